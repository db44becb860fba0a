"""Another candidate is due when there is something to learn and something to be examined on."""

from dataclasses import replace
from typing import Any

import pytest
from teaching_examples import FAST, halves, kinds, run, samples_of, tiny, view_of

from napari_fcn.learning import head
from napari_fcn.learning.annotations import Samples
from napari_fcn.learning.cancellation import cancellation_scope
from napari_fcn.learning.interactive_model import InteractiveModel
from napari_fcn.models.adapt import make_teachable
from napari_fcn.teaching.candidates import CandidateScheduler

SHAPE = (48, 64)
TWO = samples_of(SHAPE, 2)
MODEL = make_teachable(tiny(), sigmas=(0.7,))


def begun(steps: int = 1) -> CandidateScheduler:
    """Return trials whose candidate has learnt so many steps in turn 2."""
    trials = CandidateScheduler(MODEL.weights, 0)
    run(trials.run_steps(pupil_of(), TWO, 2, FAST, steps))
    return trials


def pupil_of() -> InteractiveModel:
    net: Any = MODEL.net()
    return InteractiveModel(net, view_of(halves(SHAPE), MODEL.info.spec), 2**30, head.read_head(net), (24, 32))


@pytest.mark.parametrize(
    ("trials", "samples", "turn", "change", "expected"),
    [
        (CandidateScheduler({}, 0), TWO, 2, {}, True),
        (CandidateScheduler({}, 0), samples_of(SHAPE, 1), 1, {}, False),  # nothing earlier to learn from
        (CandidateScheduler({}, 0), samples_of(SHAPE, 2, (1,)), 2, {}, False),  # one class
        (CandidateScheduler({}, 0), samples_of(SHAPE, 1), 2, {}, False),  # nothing new to be examined on
        (CandidateScheduler({}, 0), Samples.empty(SHAPE), 2, {}, False),
        (CandidateScheduler({}, 2), TWO, 2, {}, False),  # these strokes have had their candidates
        (CandidateScheduler({}, 0, n_attempts=FAST.attempts), TWO, 2, {}, False),
        (CandidateScheduler({}, 0), TWO, 2, {"network": "off"}, False),
        (CandidateScheduler({}, 0), TWO, 2, {"keep": 1.0}, False),
    ],
)
def test_when_a_candidate_is_due(
    trials: CandidateScheduler, samples: Samples, turn: int, change: dict[str, Any], expected: bool
) -> None:
    assert trials.is_due(samples, turn, replace(FAST, **change)) == expected


def test_a_candidate_without_a_finished_step_is_dropped() -> None:
    trials, pupil = CandidateScheduler(MODEL.weights, 0), pupil_of()
    with cancellation_scope(lambda: True):
        steps = trials.run_steps(pupil, TWO, 2, FAST, 3)
        assert kinds([next(steps)]) == ["Heartbeat"]
        steps.close()
    assert (trials.current, trials.steps_done) == (None, 0)
    steps = trials.run_steps(pupil, TWO, 2, FAST, 3)
    assert kinds([next(steps)]) == ["StepDone"]
    steps.close()
    assert trials.steps_done == 1


def test_a_candidate_goes_on_where_it_was_and_is_judged_every_so_many_steps() -> None:
    trials = begun(3)
    assert (trials.steps_done, trials.next_evaluation_step(2)) == (3, 2)
    candidate = trials.current
    assert candidate is not None
    candidate.n_evaluations = 1
    assert trials.next_evaluation_step(2) == 4
    assert trials.is_due(samples_of(SHAPE, 3), 3, FAST)
    assert run(trials.run_steps(None, TWO, 2, FAST, 3)) == []  # type: ignore[arg-type]
    assert trials.current is candidate


def test_a_winner_waits_for_somebody_to_decide() -> None:
    trials = begun()
    assert trials.winner is None
    assert trials.current is not None
    trials.current.winner = object()  # type: ignore[assignment]
    assert trials.winner is trials.current
    assert not trials.is_due(TWO, 2, FAST)
    trials.discard_if_exhausted(2, 0)  # it is no loser
    assert trials.winner is not None
    trials.promote()
    assert (trials.current, trials.n_attempts, trials.last_finished_turn) == (None, 1, 0)


def test_one_that_does_not_win_is_given_up_after_its_attempts() -> None:
    trials = begun()
    trials.discard_if_exhausted(2, 1)
    assert trials.current is not None
    trials.current.n_evaluations = 1
    trials.discard_if_exhausted(2, 1)
    assert (trials.current, trials.n_attempts, trials.last_finished_turn) == (None, 1, 2)


def test_other_strokes_give_new_attempts_and_take_a_candidate_whose_strokes_are_gone() -> None:
    trials = begun()
    trials.n_attempts = 3
    trials.start_round(TWO)
    assert trials.n_attempts == 0
    assert trials.current is not None
    trials.start_round(samples_of(SHAPE, 2, (0,)))
    assert trials.current is None
