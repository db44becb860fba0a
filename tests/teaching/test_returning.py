"""Undo, redo, branches and resumed sessions."""

from dataclasses import replace

import numpy as np
import pytest
from teaching_examples import (
    FAST,
    SHAPE,
    VIEW,
    always_better,
    candidates_of,
    head_hash,
    kinds,
    new_teaching,
    painted,
    run,
    run_turn,
)

from napari_fcn.events import CandidateEvaluated, HistoryChanged
from napari_fcn.learning.annotations import Samples
from napari_fcn.learning.interactive_model import InteractiveModel
from napari_fcn.teaching import SavedSession, Teaching


def test_undo_and_redo_restore_weights_bit_for_bit_and_samples() -> None:
    teaching = new_teaching()
    states = [(head_hash(teaching), teaching.samples)]
    for turn in range(1, 4):
        run_turn(teaching, turn)
        states.append((head_hash(teaching), teaching.samples))
    for step, expected in [*((teaching.undo, s) for s in states[2::-1]), *((teaching.redo, s) for s in states[1:])]:
        (event,) = run(step())
        assert isinstance(event, HistoryChanged)
        assert event.is_restored
        assert head_hash(teaching) == expected[0] == teaching.history.present.hash
        assert teaching.samples.equals(expected[1])
        assert np.array_equal(teaching.samples.turn, expected[1].turn)
    assert run(teaching.redo()) == []
    run(teaching.go_to(0))
    assert run(teaching.undo()) == []


def test_a_round_after_going_back_starts_a_branch() -> None:
    teaching = new_teaching()
    for turn in (1, 2):
        run_turn(teaching, turn)
    run(teaching.go_to(1))
    labels = painted(SHAPE, 1)
    labels[40, 40:50] = 2
    run(teaching.run_round(Samples.from_labels(labels), VIEW))
    commits = teaching.history.commits
    assert [(c.number, c.parent) for c in commits] == [(0, None), (1, 0), (2, 1), (3, 1)]
    run(teaching.go_to(2))
    assert head_hash(teaching) == commits[2].hash
    run(teaching.go_to(3))
    assert head_hash(teaching) == commits[3].hash
    assert teaching.samples.equals(Samples.from_labels(labels))


def test_going_to_the_present_commit_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    always_better(monkeypatch)
    teaching = new_teaching(replace(FAST, network="ask"))
    candidates_of(teaching, 2)
    candidate = teaching.candidate
    (event,) = run(teaching.go_to(teaching.history.present.number))
    assert event.is_restored
    assert teaching.candidate is candidate is not None
    with pytest.raises(ValueError, match="no commit 9"):
        run(teaching.go_to(9))


def test_strokes_of_a_restored_commit_are_not_fitted_again() -> None:
    teaching = new_teaching()
    for turn in (1, 2):
        run_turn(teaching, turn)
    run(teaching.undo())
    events = run_turn(teaching, 1)
    assert set(kinds(events)) == {"TileDone"}
    assert len(teaching.history.commits) == 3


def test_an_accepted_candidate_can_be_undone() -> None:
    teaching = new_teaching(replace(FAST, network="ask"))
    hash_before = accept_better_network(teaching)
    run(teaching.accept())
    assert teaching.history.present.kind == "network"
    run(teaching.undo())
    assert head_hash(teaching) == hash_before
    run(teaching.redo())
    assert teaching.history.present.kind == "network"
    assert head_hash(teaching) == teaching.history.present.hash != hash_before


def accept_better_network(teaching: Teaching) -> str:
    """Run two turns, make the candidate a winner, and return the hash of the current model."""
    for turn in (1, 2):
        events = run_turn(teaching, turn)
    assert isinstance(events[-1], CandidateEvaluated)
    candidate = teaching.candidate
    if candidate is None:
        run(teaching.finetune(2))
        candidate = teaching.candidate
    assert candidate is not None
    if candidate.winner is None:
        current = teaching.model
        candidate.winner = InteractiveModel(
            candidate.tuner.copy(), current.extractor, current.budget, current.prior, current.reference
        )
    return head_hash(teaching)


def test_a_commit_can_be_renamed() -> None:
    teaching = new_teaching()
    run_turn(teaching, 1)
    (event,) = run(teaching.rename(1, "good"))
    assert [c.name for c in event.commits] == ["", "good"]


def test_a_session_resumes_from_its_history() -> None:
    first = new_teaching()
    for turn in (1, 2):
        run_turn(first, turn)
    samples_by_commit = {c.number: first._label_history.samples_at(c) for c in first.history.commits}
    resumed = new_teaching(saved=SavedSession(first.history, samples_by_commit.__getitem__))
    assert head_hash(resumed) == head_hash(first)
    assert resumed.samples.equals(first.samples)
    assert set(kinds(run_turn(resumed, 2))) == {"TileDone"}
    assert "HeadFitted" in kinds(run_turn(resumed, 3))
    run(resumed.undo())
    assert head_hash(resumed) == first.history.commits[2].hash
