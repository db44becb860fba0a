"""A candidate is examined on strokes that neither network has learnt from."""

from typing import Any

import numpy as np
import pytest
import torch
from teaching_examples import FAST, halves, run, samples_of, tiny, view_of, whole

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

SHAPE = (48, 64)
IMAGE = halves(SHAPE)
LEARN = (0.5, 0)


class Spoiled(FineTuner):
    """Makes a network whose features say nothing."""

    def copy(self) -> Any:
        net: Any = super().copy()
        plain = net.levels
        net.levels = lambda x: [level._replace(features=level.features * 0) for level in plain(x)]
        return net


def judged(steps: Any) -> CandidateEvaluated:
    """Return what an examination returns."""
    while True:
        try:
            assert isinstance(next(steps), Heartbeat)
        except StopIteration as end:
            told: CandidateEvaluated = end.value
            return told


def pair(kind: type[FineTuner] = FineTuner, since: int = 2) -> tuple[InteractiveModel, Candidate]:
    model = make_teachable(tiny(), sigmas=(0.7, 2.0))
    net: Any = model.net()
    view = view_of(IMAGE, model.info.spec)
    pupil = InteractiveModel(net, view, 2**30, head.read_head(net), (24, 32))
    return pupil, Candidate(kind(net, view, model.weights, FAST, 0), since)


def test_lesson_and_exam_are_all_strokes_and_apart() -> None:
    _, candidate = pair()
    samples = samples_of(SHAPE, 4)
    lesson, exam = candidate.training_samples(samples), candidate.test_samples(samples)
    assert set(lesson.turn) == {1}
    assert set(exam.turn) == {2, 3, 4}
    assert len(lesson) + len(exam) == len(samples)


def test_a_network_whose_weights_are_no_numbers_is_dropped_for_good() -> None:
    pupil, candidate = pair()
    samples = samples_of(SHAPE, 3)
    pupil.fit_without_hidden(samples, *LEARN)
    with torch.no_grad():
        next(candidate.tuner.net.parameters()).fill_(float("nan"))
    told = judged(candidate.evaluate(pupil, samples, LEARN, (), whole(SHAPE)))
    assert not told.is_better
    assert "--rate" in told.reason
    assert "learning rate" in in_dock(told.reason)
    assert candidate.winner is None
    assert candidate.n_evaluations > 1000


def test_a_network_that_has_forgotten_all_fails() -> None:
    pupil, candidate = pair(Spoiled)
    samples = samples_of(SHAPE, 3)
    pupil.fit_without_hidden(samples, *LEARN)
    told = judged(candidate.evaluate(pupil, samples, LEARN, (), whole(SHAPE)))
    assert not told.is_better
    assert candidate.winner is None
    assert told.candidate < told.accepted
    assert candidate.scores == {"accepted": told.accepted, "candidate": told.candidate}
    assert candidate.n_evaluations == 1


def test_a_network_that_is_the_same_is_no_better() -> None:
    pupil, candidate = pair()
    told = judged(candidate.evaluate(pupil, samples_of(SHAPE, 3), LEARN, (), whole(SHAPE)))
    assert not told.is_better
    assert "Not better" in told.reason


def test_judging_leaves_the_accepted_network_as_it_is() -> None:
    pupil, candidate = pair()
    samples = samples_of(SHAPE, 3)
    pupil.fit_without_hidden(samples, *LEARN)
    before, answer = head.read_head(pupil.net), pupil.classes(whole(SHAPE))
    run(candidate.tuner.run_until(candidate.training_samples(samples), 3))
    judged(candidate.evaluate(pupil, samples, LEARN, (), whole(SHAPE)))
    assert torch.equal(head.read_head(pupil.net).linear.weight, before.linear.weight)
    assert np.array_equal(pupil.classes(whole(SHAPE)), answer)


def test_the_exam_is_nothing_that_the_heads_have_learnt(monkeypatch: pytest.MonkeyPatch) -> None:
    learnt: list[Samples] = []
    asked: list[tuple[int, Samples]] = []
    plain_learn, plain_logits = InteractiveModel.fit_without_hidden, InteractiveModel.logits

    def learn(self: InteractiveModel, samples: Samples, keep: float, seed: int) -> None:
        learnt.append(samples)
        plain_learn(self, samples, keep, seed)

    def logits(self: InteractiveModel, samples: Samples) -> torch.Tensor:
        asked.append((len(learnt) - 1, samples))
        return plain_logits(self, samples)

    monkeypatch.setattr(InteractiveModel, "fit_without_hidden", learn)
    monkeypatch.setattr(InteractiveModel, "logits", logits)
    pupil, candidate = pair()
    judged(candidate.evaluate(pupil, samples_of(SHAPE, 5), LEARN, (), whole(SHAPE)))
    assert len(asked) == 6  # for each network: the new strokes, and each half of them
    for last, samples in asked:
        assert not set(samples.pixel_index) & set(learnt[last].pixel_index)
        assert len(samples)


def test_the_winner_knows_all_strokes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("napari_fcn.learning.evaluation.decide", lambda marks, pins: (True, "yes"))
    pupil, candidate = pair()
    samples = samples_of(SHAPE, 3)
    run(candidate.tuner.run_until(candidate.training_samples(samples), 3))
    judged(candidate.evaluate(pupil, samples, LEARN, (), whole(SHAPE)))
    assert candidate.winner is not None
    assert torch.equal(candidate.winner.logits(samples).argmax(1), pupil.labels(samples))


def test_pins_are_asked_of_both(monkeypatch: pytest.MonkeyPatch) -> None:
    pupil, candidate = pair(Spoiled)
    samples = samples_of(SHAPE, 3)
    pupil.fit_without_hidden(samples, *LEARN)
    region = Region((10, 8), (30, 56))
    pins = (Pin("middle", region, pupil.classes(region)),)
    told = judged(candidate.evaluate(pupil, samples, LEARN, pins, region))
    (score,) = told.pins
    assert (score.name, score.accepted) == ("middle", 1.0)
    assert score.candidate == 0.5
    assert "Pin middle" in told.reason
    assert told.region == region
    assert told.changed.shape == region.shape
    assert sum(change.pixels for change in told.changes) == np.count_nonzero(told.changed)


def test_a_candidate_is_lost_with_what_it_learnt_from() -> None:
    _, candidate = pair()
    samples = samples_of(SHAPE, 3)
    assert not candidate.has_no_training_samples(samples)
    assert candidate.has_no_training_samples(samples.select(samples.turn > 1))
    assert candidate.has_no_training_samples(samples.select(samples.class_index == 0))


def test_an_evaluation_that_is_stopped_decides_nothing_and_keeps_its_features() -> None:
    pupil, candidate = pair()
    samples = samples_of(SHAPE, 4)
    pupil.fit_without_hidden(samples, *LEARN)
    run(candidate.tuner.run_until(candidate.training_samples(samples), 2))
    before = head.read_head(pupil.net)
    stopped = candidate.evaluate(pupil, samples, LEARN, (), whole(SHAPE))
    for _ in range(4):
        next(stopped)
    stopped.close()
    assert candidate.n_evaluations == 0
    assert candidate.winner is None
    assert torch.equal(head.read_head(pupil.net).linear.weight, before.linear.weight)
    seen = candidate.snapshot
    judged(candidate.evaluate(pupil, samples, LEARN, (), whole(SHAPE)))
    assert candidate.snapshot is seen
    assert candidate.n_evaluations == 1
    run(candidate.tuner.run_until(candidate.training_samples(samples), 3))
    judged(candidate.evaluate(pupil, samples, LEARN, (), whole(SHAPE)))
    assert candidate.snapshot is not seen


def test_what_won_knows_the_strokes_that_it_has_learnt() -> None:
    pupil, candidate = pair()
    samples = samples_of(SHAPE, 4)
    judged(candidate.evaluate(pupil, samples, LEARN, (), whole(SHAPE)))
    assert candidate.was_trained_on(samples)
    assert not candidate.was_trained_on(samples_of(SHAPE, 5))
