"""A head learns from strokes, pulled towards what the model knew."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from lessons import halves, painted, samples_of, tiny, view_of, whole

from napari_fcn.learning import head
from napari_fcn.learning.annotations import Samples
from napari_fcn.learning.pupil import NEWEST, REHEARSED, Pupil, _weights
from napari_fcn.models.checkpoint import Checkpoint
from napari_fcn.models.teachable import filters_only, teachable

SHAPE = (48, 64)
IMAGE = halves(SHAPE)


def pupil_of(model: Checkpoint, image: Any = IMAGE) -> Pupil:
    net: Any = model.net()
    shape = image.shape
    return Pupil(net, view_of(image, model.info.spec), 2**30, head.read(net), tuple(n // 2 for n in shape))


def sure() -> Checkpoint:
    """Return a model that tells the halves apart."""
    model = teachable(tiny(), sigmas=(0.7, 2.0))
    weights = {k: torch.zeros_like(w) if k.startswith("heads") else w for k, w in model.weights.items()}
    weights["heads.0.weight"][:2] = torch.tensor([-6.0, 6.0]).reshape(2, 1, 1, 1)
    return Checkpoint(model.info, weights)


def state(pupil: Pupil) -> head.Linear:
    return head.read(pupil.net).linear


def test_without_samples_the_head_is_the_prior() -> None:
    pupil = pupil_of(sure())
    pupil.learn(samples_of(SHAPE, 2), 0.5, 0)
    assert not torch.equal(state(pupil).weight, pupil.prior.linear.weight)
    pupil.learn(Samples.none(SHAPE), 0.5, 0)
    assert torch.equal(state(pupil).weight, pupil.prior.linear.weight)


def test_the_head_follows_from_the_samples_alone() -> None:
    fresh, used = pupil_of(sure()), pupil_of(sure())
    for turns in (3, 1, 2):
        used.learn(samples_of(SHAPE, turns, (1, 0)), 0.1, turns)
        used.classes(whole(SHAPE))
    for pupil in (fresh, used):
        pupil.learn(samples_of(SHAPE, 2), 0.5, 7)
    assert torch.equal(state(fresh).weight, state(used).weight)
    assert torch.equal(state(fresh).bias, state(used).bias)


def test_the_slider_says_how_far_the_head_goes() -> None:
    moved = []
    for keep in (0.0, 0.5, 1.0):
        pupil = pupil_of(sure())
        pupil.learn(samples_of(SHAPE, 2, (1, 0)), keep, 0)
        before = pupil.prior.linear.standardised(pupil.standard).weight
        moved.append(float((state(pupil).standardised(pupil.standard).weight - before).norm()))
    assert moved[0] > moved[1] > moved[2]


@pytest.mark.parametrize("model", [sure, lambda: filters_only(2, 1)], ids=["network", "filters"])
def test_what_is_painted_is_answered_right(model: Any) -> None:
    pupil = pupil_of(model())
    samples = samples_of(SHAPE, 3)
    pupil.learn(samples, 0.5, 0)
    assert torch.equal(pupil.logits(samples).argmax(1), pupil.labels(samples))
    answer = pupil.classes(whole(SHAPE))
    assert (answer == (np.arange(64) >= 32)).mean() > 0.95
    region = replace(whole(SHAPE), start=(5, 9), stop=(33, 40))
    assert np.array_equal(pupil.classes(region), answer[region.slices])


def test_a_class_that_nobody_paints_is_not_lost() -> None:
    pupil = pupil_of(sure())
    wrong = np.zeros(SHAPE, np.uint8)
    wrong[:, 2:6] = 1
    pupil.learn(Samples.read(wrong), 0.0, 0)
    assert (pupil.classes(whole(SHAPE))[:, 40:] == 1).mean() > 0.95


def test_the_rehearsal_is_of_pixels_that_the_model_was_sure_of() -> None:
    pupil = pupil_of(sure())
    rows, label = pupil._rehearsal({1})
    assert 0 < len(rows) <= REHEARSED
    assert set(label.tolist()) == {1}
    assert (pupil.prior.logits(rows).softmax(1)[:, 1] > 0.75).all()
    assert len(pupil._rehearsal(set())[0]) == 0
    nothing, _ = pupil_of(filters_only(2, 1))._rehearsal({0, 1})
    assert nothing.shape == (0, sum(n for _, n in filters_only(2, 1).net().widths))


def test_a_twin_learns_something_else_and_shares_the_features() -> None:
    pupil = pupil_of(sure())
    pupil.learn(samples_of(SHAPE, 1), 0.5, 0)
    before = state(pupil)
    twin = pupil.twin()
    twin.learn(samples_of(SHAPE, 2, (1, 0)), 0.0, 0)
    assert torch.equal(state(pupil).weight, before.weight)
    assert not torch.equal(state(twin).weight, before.weight)
    assert twin.features is pupil.features
    assert all(a is b for a, b in zip(twin.net.trunk.parameters(), pupil.net.trunk.parameters(), strict=True))  # type: ignore[union-attr]


def test_a_long_stroke_weighs_as_its_root_and_the_newest_more() -> None:
    shape = (10, 100)
    labels = np.zeros(shape, np.uint8)
    labels[0, :64] = 1
    first = Samples.read(labels).dated(Samples.none(shape), 1)
    labels[5, :4] = 1
    both = Samples.read(labels).dated(first, 2)
    weight = _weights(both)
    assert weight[both.turn == 1].sum() == pytest.approx(8)
    assert weight[both.turn == 2].sum() == pytest.approx(NEWEST * 2)


def test_an_almost_flat_tile_to_compare_with_does_not_break_the_fit() -> None:
    image = np.zeros((48, 400), np.float32)
    image[:, 320:] = np.random.default_rng(0).normal(5, 1, (48, 80))
    image[:, :40] += np.random.default_rng(1).normal(0, 1e-4, (48, 40)).astype(np.float32)
    model = filters_only(2, 1)
    pupil = pupil_of(model, image)
    pupil.reference = (0, 0)
    labels = painted(image.shape, 2)
    labels[:, 350:355] = 2
    pupil.learn(Samples.read(labels), 0.0, 0)
    assert torch.isfinite(state(pupil).weight).all()
    assert np.isin(pupil.classes(whole(image.shape)), (0, 1)).all()


def test_of_very_many_pixels_the_same_are_drawn() -> None:
    labels = np.zeros(SHAPE, np.uint8)
    labels[:, 2:30], labels[:, 34:62] = 1, 2
    heads = []
    for seed in (0, 0, 1):
        pupil = pupil_of(sure())
        pupil.learn(Samples.read(labels), 0.5, seed)
        heads.append(state(pupil).weight)
    assert torch.equal(heads[0], heads[1])
    assert not torch.equal(heads[0], heads[2])
