"""Candidates of a session: evaluation, acceptance and rejection."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
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
    tiny,
)

from napari_fcn import api
from napari_fcn.events import CandidateEvaluated, HeadFitted, HistoryChanged, StepDone
from napari_fcn.geometry import Region
from napari_fcn.learning.annotations import Samples
from napari_fcn.learning.finetune import FineTuner
from napari_fcn.nets.layers import Level
from napari_fcn.teaching import Teaching


class ZeroTuner(FineTuner):
    """Returns a network with a trunk of zeros."""

    def copy(self) -> Any:
        net = super().copy()
        with torch.no_grad():
            for name, values in net.trunk.named_parameters():  # type: ignore[union-attr]
                if not name.startswith("score"):
                    values.zero_()
        return net


def test_a_candidate_that_forgets_fails_the_evaluation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("napari_fcn.teaching.candidates.FineTuner", ZeroTuner)
    model = tiny()
    image = np.random.default_rng(0).normal(0, 1, SHAPE).astype(np.float32)  # only the trunk predicts its classes
    margin = np.subtract(*api.predict(image, model, device="cpu"))
    truth = (margin > np.median(margin)).astype(np.uint8)
    teaching = Teaching(image, model, settings=FAST)
    labels = np.zeros(SHAPE, np.uint8)
    evaluations = []
    for turn in range(3):
        rows = slice(5 + 12 * turn, 10 + 12 * turn)
        labels[rows] = truth[rows] + 1
        evaluations += [
            e for e in run(teaching.run_round(Samples.from_labels(labels), VIEW)) if isinstance(e, CandidateEvaluated)
        ]
    assert evaluations
    assert not any(event.is_better for event in evaluations)
    assert all(event.candidate < event.accepted for event in evaluations)
    assert "Worse on the new strokes" in evaluations[-1].reason
    assert {c.kind for c in teaching.history.commits} == {"start", "head"}


def test_the_number_of_evaluations_on_the_same_strokes_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("napari_fcn.learning.evaluation.decide", lambda scores, pins: (False, "no"))
    teaching = new_teaching(replace(FAST, attempts=2))
    evaluations = candidates_of(teaching, 2)
    assert [event.is_better for event in evaluations] == [False, False]
    assert run_turn(teaching, 2) == []


def test_a_candidate_that_changes_a_pin_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    always_better(monkeypatch)
    teaching = new_teaching(replace(FAST, network="ask", attempts=1))
    run_turn(teaching, 1)
    monkeypatch.setattr(Teaching, "_improve", lambda self, view: iter(()))
    run_turn(teaching, 2)
    teaching.pin(Region((30, 20), (40, 44)), "rim of it")
    accepted = teaching.model.classes(teaching.pins[0].region)
    monkeypatch.undo()
    always_better(monkeypatch)
    monkeypatch.setattr("napari_fcn.teaching.candidates.FineTuner", InvertedTuner)
    events = run_turn(teaching, 2)
    (evaluation,) = [event for event in events if isinstance(event, CandidateEvaluated)]
    (score,) = evaluation.pins
    assert score.accepted == 1
    assert score.candidate < 0.9
    assert not evaluation.is_better
    assert "Pin rim of it would get worse" in evaluation.reason
    assert np.array_equal(teaching.model.classes(teaching.pins[0].region), accepted)


class InvertedTuner(FineTuner):
    """Returns a network with inverted features in the lower half of the image, where there are no strokes."""

    def copy(self) -> Any:
        net: Any = super().copy()
        original_levels = net.levels

        def levels(x: torch.Tensor) -> list[Level]:
            inverted = []
            for level in original_levels(x):
                features = level.features.clone()
                features[:, :, features.shape[2] // 2 :] *= -5
                inverted.append(level._replace(features=features))
            return inverted

        net.levels = levels
        return net


def test_a_candidate_that_leaves_the_pin_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    always_better(monkeypatch)
    teaching = new_teaching(replace(FAST, network="ask"))
    run_turn(teaching, 1)
    teaching.pin(Region((0, 0), (3, 3)), "corner")
    evaluations = [event for event in run_turn(teaching, 2) if isinstance(event, CandidateEvaluated)]
    assert evaluations[-1].is_better
    assert evaluations[-1].pins[0].candidate >= 0.995
    teaching.unpin("corner")
    assert teaching.pins == ()


def test_a_better_candidate_waits_for_acceptance_if_set_so(monkeypatch: pytest.MonkeyPatch) -> None:
    always_better(monkeypatch)
    teaching = new_teaching(replace(FAST, network="ask"))
    evaluations = candidates_of(teaching, 2)
    assert [event.is_better for event in evaluations] == [True]
    before = head_hash(teaching)
    assert run_turn(teaching, 2) == []  # it waits without further training
    assert "network" not in {c.kind for c in teaching.history.commits}
    (event,) = run(teaching.accept())
    assert isinstance(event, HistoryChanged)
    assert teaching.history.present.kind == "network"
    assert set(teaching.history.present.scores) == {"accepted", "candidate"}
    assert head_hash(teaching) != before
    assert run(teaching.accept()) == []


def test_a_rejected_candidate_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    always_better(monkeypatch)
    teaching = new_teaching(replace(FAST, network="ask"))
    candidates_of(teaching, 2)
    before = head_hash(teaching)
    teaching.reject()
    assert run(teaching.accept()) == []
    assert head_hash(teaching) == before
    assert run_turn(teaching, 2) == []
    assert "CandidateEvaluated" in kinds(run_turn(teaching, 3))  # new strokes, new candidate


def test_an_accepted_candidate_is_fitted_to_strokes_since_its_evaluation(monkeypatch: pytest.MonkeyPatch) -> None:
    always_better(monkeypatch)
    teaching = new_teaching(replace(FAST, network="ask"))
    candidates_of(teaching, 2)
    run_turn(teaching, 3)
    run(teaching.accept())
    present = teaching.history.present
    assert (present.kind, present.turn) == ("network", 3)
    assert teaching.samples.equals(Samples.from_labels(painted(SHAPE, 3)))


def test_a_better_candidate_is_accepted_automatically(monkeypatch: pytest.MonkeyPatch) -> None:
    always_better(monkeypatch)
    teaching = new_teaching(replace(FAST, attempts=1))
    events = [event for turn in (1, 2) for event in run_turn(teaching, turn)]
    assert teaching.history.present.kind == "network"
    names = kinds(events)
    assert names[names.index("CandidateEvaluated") :][:3] == ["CandidateEvaluated", "HistoryChanged", "TileDone"]
    assert [e.step for e in events if isinstance(e, StepDone)] == [1, 2]


def test_a_better_candidate_is_accepted_after_a_round_that_was_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    always_better(monkeypatch)
    teaching = new_teaching(replace(FAST, attempts=1))
    run_turn(teaching, 1)
    events = teaching.run_round(Samples.from_labels(painted(SHAPE, 2)), VIEW)
    next(event for event in events if isinstance(event, CandidateEvaluated))
    events.close()
    run_turn(teaching, 3)
    assert "network" in {c.kind for c in teaching.history.commits}


def test_accepting_commits_the_fitted_head_first(monkeypatch: pytest.MonkeyPatch) -> None:
    always_better(monkeypatch)
    teaching = new_teaching(replace(FAST, network="ask"))
    candidates_of(teaching, 2)
    events = teaching.run_round(Samples.from_labels(painted(SHAPE, 3)), VIEW)
    next(event for event in events if isinstance(event, HeadFitted))
    events.close()
    run(teaching.accept())
    assert [c.kind for c in teaching.history.commits] == ["start", "head", "head", "head", "network"]


def test_a_candidate_without_training_strokes_is_replaced() -> None:
    teaching = new_teaching(replace(FAST, judge_every=5))
    run_turn(teaching, 1)
    events = teaching.run_round(Samples.from_labels(painted(SHAPE, 2)), VIEW)
    next(event for event in events if isinstance(event, StepDone))
    events.close()
    labels = painted(SHAPE, 2)
    labels[:5] = 0
    run(teaching.run_round(Samples.from_labels(labels), VIEW))
    labels[40, 2:6], labels[40, 40:44] = 1, 2
    assert "CandidateEvaluated" in kinds(run(teaching.run_round(Samples.from_labels(labels), VIEW)))


@pytest.mark.parametrize("change", [{"network": "off"}, {"keep": 1.0}])
def test_nothing_is_fine_tuned_if_settings_forbid_it(change: dict[str, Any]) -> None:
    teaching = new_teaching(replace(FAST, **change))
    assert not {"StepDone", "CandidateEvaluated"} & set(kinds(run_turn(teaching, 1) + run_turn(teaching, 2)))


def test_strokes_of_one_class_give_no_candidate() -> None:
    teaching = new_teaching(FAST)
    for turn in (1, 2, 3):
        events = run(teaching.run_round(Samples.from_labels(painted(SHAPE, turn, [0])), VIEW))
        assert "StepDone" not in kinds(events)


def test_other_settings_drop_the_candidate() -> None:
    teaching = new_teaching(replace(FAST, network="ask"))
    run_turn(teaching, 1)
    events = teaching.run_round(Samples.from_labels(painted(SHAPE, 2)), VIEW)
    next(event for event in events if isinstance(event, StepDone))
    events.close()
    assert teaching.candidate is not None
    teaching.configure(teaching.settings)
    assert teaching.candidate is not None
    teaching.configure(replace(teaching.settings, keep=0.9))
    assert teaching.candidate is None


def test_an_evaluation_lists_the_changes_of_a_candidate(monkeypatch: pytest.MonkeyPatch) -> None:
    always_better(monkeypatch)
    monkeypatch.setattr("napari_fcn.teaching.candidates.FineTuner", InvertedTuner)
    teaching = new_teaching(replace(FAST, network="ask"))
    evaluation = candidates_of(teaching, 2)[-1]
    before = teaching.model.classes(VIEW)
    run(teaching.accept())
    after = teaching.model.classes(VIEW)
    assert np.array_equal(evaluation.changed > 0, before != after)
    assert np.array_equal(evaluation.changed[evaluation.changed > 0] - 1, after[before != after])
    assert sum(change.pixels for change in evaluation.changes) <= np.count_nonzero(before != after)
