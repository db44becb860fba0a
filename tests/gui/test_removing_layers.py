"""Layers are removed in every way that napari has, with every dock open, in separate processes."""

import pytest
from gui.user import DOCKS, failure_message, run_alone


@pytest.mark.parametrize(
    ("docks", "ways"),
    [
        (("teach",), ("by_keys", "while_painting", "without_the_dock")),
        (("segment", "batch", "field", "synthetic"), ("by_keys",)),
    ],
)
def test_removing_layers_by_keyboard_does_not_crash(docks: tuple[str, ...], ways: tuple[str, ...]) -> None:
    done = run_alone("removing_layers.py", ",".join(docks), *ways)
    assert done.returncode == 0, failure_message(done)


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("dock", DOCKS)
def test_removing_layers_in_every_way_does_not_crash(dock: str) -> None:
    done = run_alone("removing_layers.py", dock)
    assert done.returncode == 0, failure_message(done)
