"""When candidates are due, evaluated, dropped and accepted."""

from dataclasses import replace
from typing import Any

import pytest
from teaching_examples import FAST, SHAPE, kinds, model_on, run, samples_of, tiny

from napari_fcn.cancellation import cancellation_scope
from napari_fcn.learning.annotations import Samples
from napari_fcn.models.adapt import make_teachable
from napari_fcn.teaching.candidates import CandidateScheduler

TWO_TURNS = samples_of(SHAPE, 2)
CHECKPOINT = make_teachable(tiny(), sigmas=(0.7,))


def with_candidate(steps: int = 1) -> CandidateScheduler:
    """Return a scheduler with a candidate that was trained for some steps in turn 2."""
    scheduler = CandidateScheduler(CHECKPOINT.weights, 0)
    run(scheduler.run_steps(model_on(CHECKPOINT), TWO_TURNS, 2, FAST, steps))
    return scheduler


@pytest.mark.parametrize(
    ("scheduler", "samples", "turn", "change", "expected"),
    [
        (CandidateScheduler({}, 0), TWO_TURNS, 2, {}, True),
        (CandidateScheduler({}, 0), samples_of(SHAPE, 1), 1, {}, False),  # no training strokes
        (CandidateScheduler({}, 0), samples_of(SHAPE, 2, (1,)), 2, {}, False),  # one class
        (CandidateScheduler({}, 0), samples_of(SHAPE, 1), 2, {}, False),  # no test strokes
        (CandidateScheduler({}, 0), Samples.empty(SHAPE), 2, {}, False),
        (CandidateScheduler({}, 2), TWO_TURNS, 2, {}, False),  # this turn is finished
        (CandidateScheduler({}, 0, n_attempts=FAST.attempts), TWO_TURNS, 2, {}, False),
        (CandidateScheduler({}, 0), TWO_TURNS, 2, {"network": "off"}, False),
        (CandidateScheduler({}, 0), TWO_TURNS, 2, {"keep": 1.0}, False),
    ],
)
def test_a_candidate_is_due_with_training_and_test_strokes(
    scheduler: CandidateScheduler, samples: Samples, turn: int, change: dict[str, Any], expected: bool
) -> None:
    assert scheduler.is_due(samples, turn, replace(FAST, **change)) == expected


def test_a_candidate_without_a_finished_step_is_dropped() -> None:
    scheduler, model = CandidateScheduler(CHECKPOINT.weights, 0), model_on(CHECKPOINT)
    with cancellation_scope(lambda: True):
        steps = scheduler.run_steps(model, TWO_TURNS, 2, FAST, 3)
        assert kinds([next(steps)]) == ["Heartbeat"]
        steps.close()
    assert (scheduler.current, scheduler.steps_done) == (None, 0)
    steps = scheduler.run_steps(model, TWO_TURNS, 2, FAST, 3)
    assert kinds([next(steps)]) == ["StepDone"]
    steps.close()
    assert scheduler.steps_done == 1


def test_a_candidate_continues_training_and_is_evaluated_at_intervals() -> None:
    scheduler = with_candidate(3)
    assert (scheduler.steps_done, scheduler.next_evaluation_step(2)) == (3, 2)
    candidate = scheduler.current
    assert candidate is not None
    candidate.n_evaluations = 1
    assert scheduler.next_evaluation_step(2) == 4
    assert scheduler.is_due(samples_of(SHAPE, 3), 3, FAST)
    assert run(scheduler.run_steps(None, TWO_TURNS, 2, FAST, 3)) == []  # type: ignore[arg-type]
    assert scheduler.current is candidate


def test_a_winner_waits_until_it_is_accepted() -> None:
    scheduler = with_candidate()
    assert scheduler.winner is None
    assert scheduler.current is not None
    scheduler.current.winner = object()  # type: ignore[assignment]
    assert scheduler.winner is scheduler.current
    assert not scheduler.is_due(TWO_TURNS, 2, FAST)
    scheduler.discard_if_exhausted(2, 0)  # a winner is not discarded
    assert scheduler.winner is not None
    scheduler.promote()
    assert (scheduler.current, scheduler.n_attempts, scheduler.last_finished_turn) == (None, 1, 0)


def test_a_candidate_is_dropped_after_its_evaluations() -> None:
    scheduler = with_candidate()
    scheduler.discard_if_exhausted(2, 1)
    assert scheduler.current is not None
    scheduler.current.n_evaluations = 1
    scheduler.discard_if_exhausted(2, 1)
    assert (scheduler.current, scheduler.n_attempts, scheduler.last_finished_turn) == (None, 1, 2)


def test_new_strokes_reset_the_attempts_and_erased_strokes_drop_the_candidate() -> None:
    scheduler = with_candidate()
    scheduler.n_attempts = 3
    scheduler.start_round(TWO_TURNS)
    assert scheduler.n_attempts == 0
    assert scheduler.current is not None
    scheduler.start_round(samples_of(SHAPE, 2, (0,)))
    assert scheduler.current is None
