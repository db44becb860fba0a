"""Another candidate is due when there is something to learn and something to be examined on."""

from dataclasses import replace
from typing import Any

import pytest
from lessons import FAST, halves, kinds, run, samples_of, tiny, view_of

from napari_fcn.learning import head
from napari_fcn.learning.annotations import Samples
from napari_fcn.learning.cancellation import watched
from napari_fcn.learning.interactive_model import Pupil
from napari_fcn.models.adapt import teachable
from napari_fcn.teaching.candidates import Trials

SHAPE = (48, 64)
TWO = samples_of(SHAPE, 2)
MODEL = teachable(tiny(), sigmas=(0.7,))


def begun(steps: int = 1) -> Trials:
    """Return trials whose candidate has learnt so many steps in turn 2."""
    trials = Trials(MODEL.weights, 0)
    run(trials.study(pupil_of(), TWO, 2, FAST, steps))
    return trials


def pupil_of() -> Pupil:
    net: Any = MODEL.net()
    return Pupil(net, view_of(halves(SHAPE), MODEL.info.spec), 2**30, head.read(net), (24, 32))


@pytest.mark.parametrize(
    ("trials", "samples", "turn", "change", "expected"),
    [
        (Trials({}, 0), TWO, 2, {}, True),
        (Trials({}, 0), samples_of(SHAPE, 1), 1, {}, False),  # nothing earlier to learn from
        (Trials({}, 0), samples_of(SHAPE, 2, (1,)), 2, {}, False),  # one class
        (Trials({}, 0), samples_of(SHAPE, 1), 2, {}, False),  # nothing new to be examined on
        (Trials({}, 0), Samples.none(SHAPE), 2, {}, False),
        (Trials({}, 2), TWO, 2, {}, False),  # these strokes have had their candidates
        (Trials({}, 0, attempt=FAST.attempts), TWO, 2, {}, False),
        (Trials({}, 0), TWO, 2, {"network": "off"}, False),
        (Trials({}, 0), TWO, 2, {"keep": 1.0}, False),
    ],
)
def test_when_a_candidate_is_due(
    trials: Trials, samples: Samples, turn: int, change: dict[str, Any], expected: bool
) -> None:
    assert trials.are_due(samples, turn, replace(FAST, **change)) == expected


def test_a_candidate_that_is_left_before_its_first_step_is_done_is_forgotten() -> None:
    trials, pupil = Trials(MODEL.weights, 0), pupil_of()
    with watched(lambda: True):
        steps = trials.study(pupil, TWO, 2, FAST, 3)
        assert kinds([next(steps)]) == ["Working"]
        steps.close()
    assert (trials.candidate, trials.steps) == (None, 0)
    steps = trials.study(pupil, TWO, 2, FAST, 3)
    assert kinds([next(steps)]) == ["StepDone"]
    steps.close()
    assert trials.steps == 1


def test_a_candidate_goes_on_where_it_was_and_is_judged_every_so_many_steps() -> None:
    trials = begun(3)
    assert (trials.steps, trials.next_judgement(2)) == (3, 2)
    candidate = trials.candidate
    assert candidate is not None
    candidate.judged = 1
    assert trials.next_judgement(2) == 4
    assert trials.are_due(samples_of(SHAPE, 3), 3, FAST)
    assert run(trials.study(None, TWO, 2, FAST, 3)) == []  # type: ignore[arg-type]
    assert trials.candidate is candidate


def test_a_winner_waits_for_somebody_to_decide() -> None:
    trials = begun()
    assert trials.winner is None
    assert trials.candidate is not None
    trials.candidate.pupil = object()  # type: ignore[assignment]
    assert trials.winner is trials.candidate
    assert not trials.are_due(TWO, 2, FAST)
    trials.give_up(2, 0)  # it is no loser
    assert trials.winner is not None
    trials.take()
    assert (trials.candidate, trials.attempt, trials.judged) == (None, 1, 0)


def test_one_that_does_not_win_is_given_up_after_its_attempts() -> None:
    trials = begun()
    trials.give_up(2, 1)
    assert trials.candidate is not None
    trials.candidate.judged = 1
    trials.give_up(2, 1)
    assert (trials.candidate, trials.attempt, trials.judged) == (None, 1, 2)


def test_other_strokes_give_new_attempts_and_take_a_candidate_whose_strokes_are_gone() -> None:
    trials = begun()
    trials.attempt = 3
    trials.begin_turn(TWO)
    assert trials.attempt == 0
    assert trials.candidate is not None
    trials.begin_turn(samples_of(SHAPE, 2, (0,)))
    assert trials.candidate is None
