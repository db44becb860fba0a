"""Random actions in random order cause neither a crash nor an exception; each sequence runs in its own process."""

import pytest
from gui.user import failure_message, run_alone


@pytest.mark.parametrize("seed", [26])
def test_a_few_random_actions_pass(seed: int) -> None:
    done = run_alone("random_actions.py", seed, 40)
    assert done.returncode == 0, failure_message(done)


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("seed", range(40))
def test_many_random_actions_pass(seed: int) -> None:
    done = run_alone("random_actions.py", seed, 100)
    assert done.returncode == 0, failure_message(done)
