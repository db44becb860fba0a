"""Evaluation of a candidate and of the current model on strokes that neither head was fitted to."""

from typing import Any

import numpy as np
import pytest
import torch
from teaching_examples import FAST, SHAPE, model_on, run, samples_of, tiny, whole

from napari_fcn.errors import in_dock
from napari_fcn.events import CandidateEvaluated, Heartbeat
from napari_fcn.geometry import Region
from napari_fcn.learning import head
from napari_fcn.learning.annotations import Samples
from napari_fcn.learning.candidate import Candidate
from napari_fcn.learning.finetune import FineTuner
from napari_fcn.learning.interactive_model import InteractiveModel
from napari_fcn.learning.pins import Pin
from napari_fcn.models.adapt import make_teachable

FIT_OPTIONS = (0.5, 0)


class ZeroFeatures(FineTuner):
    """Returns a network whose features are zero."""

    def copy(self) -> Any:
        net: Any = super().copy()
        levels = net.levels
        net.levels = lambda x: [level._replace(features=level.features * 0) for level in levels(x)]
        return net


def result_of(steps: Any) -> CandidateEvaluated:
    """Return the result of an evaluation."""
    while True:
        try:
            assert isinstance(next(steps), Heartbeat)
        except StopIteration as end:
            evaluation: CandidateEvaluated = end.value
            return evaluation


def create(kind: type[FineTuner] = FineTuner, first_test_turn: int = 2) -> tuple[InteractiveModel, Candidate]:
    checkpoint = make_teachable(tiny(), sigmas=(0.7, 2.0))
    model = model_on(checkpoint)
    return model, Candidate(kind(model.net, model.extractor, checkpoint.weights, FAST, 0), first_test_turn)


def test_training_and_test_samples_are_a_partition_by_turn() -> None:
    _, candidate = create()
    samples = samples_of(SHAPE, 4)
    training, test = candidate.training_samples(samples), candidate.test_samples(samples)
    assert set(training.turn) == {1}
    assert set(test.turn) == {2, 3, 4}
    assert len(training) + len(test) == len(samples)


def test_a_diverged_candidate_is_never_evaluated_again() -> None:
    model, candidate = create()
    samples = samples_of(SHAPE, 3)
    model.fit_without_hidden(samples, *FIT_OPTIONS)
    with torch.no_grad():
        next(candidate.tuner.net.parameters()).fill_(float("nan"))
    evaluation = result_of(candidate.evaluate(model, samples, FIT_OPTIONS, (), whole(SHAPE)))
    assert not evaluation.is_better
    assert "--rate" in evaluation.reason
    assert "learning rate" in in_dock(evaluation.reason)
    assert candidate.winner is None
    assert candidate.n_evaluations > 1000


def test_a_candidate_without_features_is_worse() -> None:
    model, candidate = create(ZeroFeatures)
    samples = samples_of(SHAPE, 3)
    model.fit_without_hidden(samples, *FIT_OPTIONS)
    evaluation = result_of(candidate.evaluate(model, samples, FIT_OPTIONS, (), whole(SHAPE)))
    assert not evaluation.is_better
    assert candidate.winner is None
    assert evaluation.candidate < evaluation.accepted
    assert candidate.scores == {"accepted": evaluation.accepted, "candidate": evaluation.candidate}
    assert candidate.n_evaluations == 1


def test_an_equal_candidate_is_not_better() -> None:
    model, candidate = create()
    evaluation = result_of(candidate.evaluate(model, samples_of(SHAPE, 3), FIT_OPTIONS, (), whole(SHAPE)))
    assert not evaluation.is_better
    assert "Not better" in evaluation.reason


def test_an_evaluation_does_not_change_the_current_model() -> None:
    model, candidate = create()
    samples = samples_of(SHAPE, 3)
    model.fit_without_hidden(samples, *FIT_OPTIONS)
    before, prediction = head.read_head(model.net), model.classes(whole(SHAPE))
    run(candidate.tuner.run_until(candidate.training_samples(samples), 3))
    result_of(candidate.evaluate(model, samples, FIT_OPTIONS, (), whole(SHAPE)))
    assert torch.equal(head.read_head(model.net).linear.weight, before.linear.weight)
    assert np.array_equal(model.classes(whole(SHAPE)), prediction)


def test_heads_are_never_scored_on_samples_that_they_were_fitted_to(monkeypatch: pytest.MonkeyPatch) -> None:
    fitted: list[Samples] = []
    scored: list[tuple[int, Samples]] = []
    original_fit, original_logits = InteractiveModel.fit_without_hidden, InteractiveModel.logits

    def fit(self: InteractiveModel, samples: Samples, prior_strength: float, seed: int) -> None:
        fitted.append(samples)
        original_fit(self, samples, prior_strength, seed)

    def logits(self: InteractiveModel, samples: Samples) -> torch.Tensor:
        scored.append((len(fitted) - 1, samples))
        return original_logits(self, samples)

    monkeypatch.setattr(InteractiveModel, "fit_without_hidden", fit)
    monkeypatch.setattr(InteractiveModel, "logits", logits)
    model, candidate = create()
    result_of(candidate.evaluate(model, samples_of(SHAPE, 5), FIT_OPTIONS, (), whole(SHAPE)))
    assert len(scored) == 6  # for each network: the new strokes, and each half of them
    for fit_index, samples in scored:
        assert not set(samples.pixel_index) & set(fitted[fit_index].pixel_index)
        assert len(samples)


def test_the_head_of_the_winner_is_fitted_to_all_strokes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("napari_fcn.learning.evaluation.decide", lambda scores, pins: (True, "yes"))
    model, candidate = create()
    samples = samples_of(SHAPE, 3)
    run(candidate.tuner.run_until(candidate.training_samples(samples), 3))
    result_of(candidate.evaluate(model, samples, FIT_OPTIONS, (), whole(SHAPE)))
    assert candidate.winner is not None
    assert torch.equal(candidate.winner.logits(samples).argmax(1), model.labels(samples))


def test_pins_are_compared_with_both_models(monkeypatch: pytest.MonkeyPatch) -> None:
    model, candidate = create(ZeroFeatures)
    samples = samples_of(SHAPE, 3)
    model.fit_without_hidden(samples, *FIT_OPTIONS)
    region = Region((10, 8), (30, 56))
    pins = (Pin("middle", region, model.classes(region)),)
    evaluation = result_of(candidate.evaluate(model, samples, FIT_OPTIONS, pins, region))
    (score,) = evaluation.pins
    assert (score.name, score.accepted) == ("middle", 1.0)
    assert score.candidate == 0.5
    assert "Pin middle" in evaluation.reason
    assert evaluation.region == region
    assert evaluation.changed.shape == region.shape
    assert sum(change.pixels for change in evaluation.changes) == np.count_nonzero(evaluation.changed)


def test_a_candidate_needs_training_samples_of_two_classes() -> None:
    _, candidate = create()
    samples = samples_of(SHAPE, 3)
    assert not candidate.has_no_training_samples(samples)
    assert candidate.has_no_training_samples(samples.select(samples.turn > 1))
    assert candidate.has_no_training_samples(samples.select(samples.class_index == 0))


def test_a_stopped_evaluation_decides_nothing_and_reuses_its_snapshot() -> None:
    model, candidate = create()
    samples = samples_of(SHAPE, 4)
    model.fit_without_hidden(samples, *FIT_OPTIONS)
    run(candidate.tuner.run_until(candidate.training_samples(samples), 2))
    before = head.read_head(model.net)
    stopped = candidate.evaluate(model, samples, FIT_OPTIONS, (), whole(SHAPE))
    for _ in range(4):
        next(stopped)
    stopped.close()
    assert candidate.n_evaluations == 0
    assert candidate.winner is None
    assert torch.equal(head.read_head(model.net).linear.weight, before.linear.weight)
    snapshot = candidate.snapshot
    result_of(candidate.evaluate(model, samples, FIT_OPTIONS, (), whole(SHAPE)))
    assert candidate.snapshot is snapshot
    assert candidate.n_evaluations == 1
    run(candidate.tuner.run_until(candidate.training_samples(samples), 3))
    result_of(candidate.evaluate(model, samples, FIT_OPTIONS, (), whole(SHAPE)))
    assert candidate.snapshot is not snapshot


def test_the_winner_was_trained_on_the_evaluated_samples_only() -> None:
    model, candidate = create()
    samples = samples_of(SHAPE, 4)
    result_of(candidate.evaluate(model, samples, FIT_OPTIONS, (), whole(SHAPE)))
    assert candidate.was_trained_on(samples)
    assert not candidate.was_trained_on(samples_of(SHAPE, 5))
