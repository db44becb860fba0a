"""A head learns from strokes, pulled towards what the model knew."""

from dataclasses import replace
from itertools import count
from typing import Any

import numpy as np
import pytest
import torch
from teaching_examples import halves, painted, samples_of, tiny, view_of, whole

from napari_fcn.learning import head
from napari_fcn.learning.annotations import Samples
from napari_fcn.learning.cancellation import cancellation_scope
from napari_fcn.learning.interactive_model import InteractiveModel
from napari_fcn.models.adapt import filters_only, make_teachable
from napari_fcn.models.checkpoint import Checkpoint

SHAPE = (48, 64)
IMAGE = halves(SHAPE)


def pupil_of(model: Checkpoint, image: Any = IMAGE) -> InteractiveModel:
    net: Any = model.net()
    shape = image.shape
    return InteractiveModel(
        net, view_of(image, model.info.spec), 2**30, head.read_head(net), tuple(n // 2 for n in shape)
    )


def sure() -> Checkpoint:
    """Return a model that tells the halves apart."""
    model = make_teachable(tiny(), sigmas=(0.7, 2.0))
    weights = {k: torch.zeros_like(w) if k.startswith("heads") else w for k, w in model.weights.items()}
    weights["heads.0.weight"][:2] = torch.tensor([-6.0, 6.0]).reshape(2, 1, 1, 1)
    return Checkpoint(model.info, weights)


def state(pupil: InteractiveModel) -> head.LinearHead:
    return head.read_head(pupil.net).linear


def test_without_samples_the_head_is_the_prior() -> None:
    pupil = pupil_of(sure())
    pupil.fit_without_hidden(samples_of(SHAPE, 2), 0.5, 0)
    assert not torch.equal(state(pupil).weight, pupil.prior.linear.weight)
    pupil.fit_without_hidden(Samples.empty(SHAPE), 0.5, 0)
    assert torch.equal(state(pupil).weight, pupil.prior.linear.weight)


def test_the_head_follows_from_the_samples_alone() -> None:
    fresh, used = pupil_of(sure()), pupil_of(sure())
    for turns in (3, 1, 2):
        used.fit_without_hidden(samples_of(SHAPE, turns, (1, 0)), 0.1, turns)
        used.classes(whole(SHAPE))
    for pupil in (fresh, used):
        pupil.fit_without_hidden(samples_of(SHAPE, 2), 0.5, 7)
    assert torch.equal(state(fresh).weight, state(used).weight)
    assert torch.equal(state(fresh).bias, state(used).bias)


def test_looking_that_is_left_within_a_tile_goes_on_with_that_tile() -> None:
    expected, left, looks = pupil_of(sure()), pupil_of(sure()), count()
    pauses = len(list(expected.compute_features(samples_of(SHAPE, 2), whole(SHAPE))))
    with cancellation_scope(lambda: next(looks) == 10):
        assert len(list(left.compute_features(samples_of(SHAPE, 2), whole(SHAPE)))) == pauses + 1
    np.testing.assert_array_equal(left.probabilities(whole(SHAPE)), expected.probabilities(whole(SHAPE)))


def test_the_slider_says_how_far_the_head_goes() -> None:
    moved = []
    for keep in (0.0, 0.5, 1.0):
        pupil = pupil_of(sure())
        pupil.fit_without_hidden(samples_of(SHAPE, 2, (1, 0)), keep, 0)
        before = pupil.prior.linear.to_scaled_features(pupil.scaler).weight
        moved.append(float((state(pupil).to_scaled_features(pupil.scaler).weight - before).norm()))
    assert moved[0] > moved[1] > moved[2]


@pytest.mark.parametrize("model", [sure, lambda: filters_only(2, 1)], ids=["network", "filters"])
def test_what_is_painted_is_answered_right(model: Any) -> None:
    pupil = pupil_of(model())
    samples = samples_of(SHAPE, 3)
    pupil.fit_without_hidden(samples, 0.5, 0)
    assert torch.equal(pupil.logits(samples).argmax(1), pupil.labels(samples))
    answer = pupil.classes(whole(SHAPE))
    assert (answer == (np.arange(64) >= 32)).mean() > 0.95
    region = replace(whole(SHAPE), start=(5, 9), stop=(33, 40))
    assert np.array_equal(pupil.classes(region), answer[region.slices])


def test_a_class_that_nobody_paints_is_not_lost() -> None:
    pupil = pupil_of(sure())
    wrong = np.zeros(SHAPE, np.uint8)
    wrong[:, 2:6] = 1
    pupil.fit_without_hidden(Samples.from_labels(wrong), 0.0, 0)
    assert (pupil.classes(whole(SHAPE))[:, 40:] == 1).mean() > 0.95


def test_a_twin_learns_something_else_and_shares_the_features() -> None:
    pupil = pupil_of(sure())
    pupil.fit_without_hidden(samples_of(SHAPE, 1), 0.5, 0)
    before = state(pupil)
    twin = pupil.clone()
    twin.fit_without_hidden(samples_of(SHAPE, 2, (1, 0)), 0.0, 0)
    assert torch.equal(state(pupil).weight, before.weight)
    assert not torch.equal(state(twin).weight, before.weight)
    assert twin.features is pupil.features
    assert all(a is b for a, b in zip(twin.net.trunk.parameters(), pupil.net.trunk.parameters(), strict=True))  # type: ignore[union-attr]


def test_an_almost_flat_tile_to_compare_with_does_not_break_the_fit() -> None:
    image = np.zeros((48, 400), np.float32)
    image[:, 320:] = np.random.default_rng(0).normal(5, 1, (48, 80))
    image[:, :40] += np.random.default_rng(1).normal(0, 1e-4, (48, 40)).astype(np.float32)
    model = filters_only(2, 1)
    pupil = pupil_of(model, image)
    pupil.reference = (0, 0)
    labels = painted(image.shape, 2)
    labels[:, 350:355] = 2
    pupil.fit_without_hidden(Samples.from_labels(labels), 0.0, 0)
    assert torch.isfinite(state(pupil).weight).all()
    assert np.isin(pupil.classes(whole(image.shape)), (0, 1)).all()


def test_of_very_many_pixels_the_same_are_drawn() -> None:
    labels = np.zeros(SHAPE, np.uint8)
    labels[:, 2:30], labels[:, 34:62] = 1, 2
    heads = []
    for seed in (0, 0, 1):
        pupil = pupil_of(sure())
        pupil.fit_without_hidden(Samples.from_labels(labels), 0.5, seed)
        heads.append(state(pupil).weight)
    assert torch.equal(heads[0], heads[1])
    assert not torch.equal(heads[0], heads[2])
