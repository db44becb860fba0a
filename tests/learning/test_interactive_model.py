"""Fits of the head on an image, regularised towards the prior."""

from dataclasses import replace
from itertools import count

import numpy as np
import pytest
import torch
from teaching_examples import SHAPE, model_on, painted, samples_of, tiny, whole, with_confident_head

from napari_fcn.cancellation import cancellation_scope
from napari_fcn.learning import head
from napari_fcn.learning.annotations import Samples
from napari_fcn.learning.interactive_model import InteractiveModel
from napari_fcn.models.adapt import filters_only, make_teachable
from napari_fcn.models.checkpoint import Checkpoint

CONFIDENT = with_confident_head(make_teachable(tiny(), sigmas=(0.7, 2.0)))


def linear_head(model: InteractiveModel) -> head.LinearHead:
    return head.read_head(model.net).linear


def test_without_samples_the_head_is_the_prior() -> None:
    model = model_on(CONFIDENT)
    model.fit_without_hidden(samples_of(SHAPE, 2), 0.5, 0)
    assert not torch.equal(linear_head(model).weight, model.prior.linear.weight)
    model.fit_without_hidden(Samples.empty(SHAPE), 0.5, 0)
    assert torch.equal(linear_head(model).weight, model.prior.linear.weight)


def test_the_head_depends_only_on_the_samples() -> None:
    new, used = model_on(CONFIDENT), model_on(CONFIDENT)
    for turns in (3, 1, 2):
        used.fit_without_hidden(samples_of(SHAPE, turns, (1, 0)), 0.1, turns)
        used.classes(whole(SHAPE))
    for model in (new, used):
        model.fit_without_hidden(samples_of(SHAPE, 2), 0.5, 7)
    assert torch.equal(linear_head(new).weight, linear_head(used).weight)
    assert torch.equal(linear_head(new).bias, linear_head(used).bias)


def test_a_tile_cancelled_between_layers_is_computed_again() -> None:
    expected, cancelled, checks = model_on(CONFIDENT), model_on(CONFIDENT), count()
    pauses = len(list(expected.compute_features(samples_of(SHAPE, 2), whole(SHAPE))))
    with cancellation_scope(lambda: next(checks) == 10):
        assert len(list(cancelled.compute_features(samples_of(SHAPE, 2), whole(SHAPE)))) == pauses + 1
    np.testing.assert_array_equal(cancelled.probabilities(whole(SHAPE)), expected.probabilities(whole(SHAPE)))


def test_a_larger_prior_strength_keeps_the_head_closer_to_the_prior() -> None:
    distances = []
    for prior_strength in (0.0, 0.5, 1.0):
        model = model_on(CONFIDENT)
        model.fit_without_hidden(samples_of(SHAPE, 2, (1, 0)), prior_strength, 0)
        before = model.prior.linear.to_scaled_features(model.scaler).weight
        distances.append(float((linear_head(model).to_scaled_features(model.scaler).weight - before).norm()))
    assert distances[0] > distances[1] > distances[2]


@pytest.mark.parametrize("checkpoint", [CONFIDENT, filters_only(2, 1)], ids=["network", "filters"])
def test_strokes_are_predicted_correctly(checkpoint: Checkpoint) -> None:
    model = model_on(checkpoint)
    samples = samples_of(SHAPE, 3)
    model.fit_without_hidden(samples, 0.5, 0)
    assert torch.equal(model.logits(samples).argmax(1), model.labels(samples))
    prediction = model.classes(whole(SHAPE))
    assert (prediction == (np.arange(64) >= 32)).mean() > 0.95
    region = replace(whole(SHAPE), start=(5, 9), stop=(33, 40))
    assert np.array_equal(model.classes(region), prediction[region.slices])


def test_a_class_without_strokes_is_not_forgotten() -> None:
    model = model_on(CONFIDENT)
    wrong = np.zeros(SHAPE, np.uint8)
    wrong[:, 2:6] = 1
    model.fit_without_hidden(Samples.from_labels(wrong), 0.0, 0)
    assert (model.classes(whole(SHAPE))[:, 40:] == 1).mean() > 0.95


def test_a_clone_has_its_own_head_and_shares_the_features() -> None:
    model = model_on(CONFIDENT)
    model.fit_without_hidden(samples_of(SHAPE, 1), 0.5, 0)
    before = linear_head(model)
    clone = model.clone()
    clone.fit_without_hidden(samples_of(SHAPE, 2, (1, 0)), 0.0, 0)
    assert torch.equal(linear_head(model).weight, before.weight)
    assert not torch.equal(linear_head(clone).weight, before.weight)
    assert clone.features is model.features
    assert all(a is b for a, b in zip(clone.net.trunk.parameters(), model.net.trunk.parameters(), strict=True))  # type: ignore[union-attr]


def test_an_almost_constant_reference_tile_gives_finite_weights() -> None:
    image = np.zeros((48, 400), np.float32)
    image[:, 320:] = np.random.default_rng(0).normal(5, 1, (48, 80))
    image[:, :40] += np.random.default_rng(1).normal(0, 1e-4, (48, 40)).astype(np.float32)
    model = model_on(filters_only(2, 1), image)
    model.reference = (0, 0)
    labels = painted(image.shape, 2)
    labels[:, 350:355] = 2
    model.fit_without_hidden(Samples.from_labels(labels), 0.0, 0)
    assert torch.isfinite(linear_head(model).weight).all()
    assert np.isin(model.classes(whole(image.shape)), (0, 1)).all()


def test_many_samples_are_subsampled_by_the_seed() -> None:
    labels = np.zeros(SHAPE, np.uint8)
    labels[:, 2:30], labels[:, 34:62] = 1, 2
    heads = []
    for seed in (0, 0, 1):
        model = model_on(CONFIDENT)
        model.fit_without_hidden(Samples.from_labels(labels), 0.5, seed)
        heads.append(linear_head(model).weight)
    assert torch.equal(heads[0], heads[1])
    assert not torch.equal(heads[0], heads[2])
