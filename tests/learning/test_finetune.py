"""A copy of the network learns from painted pixels, and only its trunk moves."""

from dataclasses import replace
from itertools import count
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from teaching_examples import FAST, halves, kinds, run, samples_of, tiny, view_of

from napari_fcn.geometry import Axes, Region
from napari_fcn.learning import finetune
from napari_fcn.learning.annotations import Samples
from napari_fcn.learning.cancellation import cancellation_scope
from napari_fcn.learning.finetune import FineTuner, Patch, candidate_seed, partial_cross_entropy
from napari_fcn.learning.labels import IGNORE
from napari_fcn.models.adapt import make_teachable, new_model
from napari_fcn.settings import TeachSettings

SHAPE = (48, 64)
IMAGE = halves(SHAPE)


def tuner_of(
    asked: TeachSettings = FAST, seed: int = 0, image: Any = IMAGE, axes: Axes | None = None, **values: Any
) -> FineTuner:
    ndim = image.ndim if axes is None else len(axes.space)
    model = make_teachable(tiny(ndim, **values), sigmas=(0.7, 2.0))
    net: Any = model.net()
    with torch.no_grad():  # a head as strokes leave it
        net.heads_of_levels[-1].weight.normal_(0, 1, generator=torch.Generator().manual_seed(1))
    return FineTuner(net, view_of(image, model.info.spec, axes), model.weights, asked, seed)


def weights(net: Any) -> dict[str, torch.Tensor]:
    return {name: values.clone() for name, values in net.state_dict().items()}


def moved(tuner: FineTuner, samples: Samples | None = None, steps: int = 4) -> set[str]:
    """Return the names of all weights that steps have changed."""
    before = weights(tuner.net)
    run(tuner.run_until(samples_of(SHAPE, 3) if samples is None else samples, steps))
    return {name for name, values in weights(tuner.net).items() if not torch.equal(values, before[name])}


def test_the_trunk_alone_moves() -> None:
    tuner = tuner_of(replace(FAST, keep=0.2))
    names = moved(tuner)
    assert names
    assert all(name.startswith("trunk.") for name in names)
    assert not any("running" in name or "num_batches" in name or "score" in name for name in names)
    assert {name.split(".")[1] for name in names} == {"encoder", "decoder", "ups"}


def test_the_network_that_it_began_with_stays_as_it_was() -> None:
    model = make_teachable(tiny(), sigmas=(0.7, 2.0))
    net: Any = model.net()
    tuner = FineTuner(net, view_of(IMAGE, model.info.spec), model.weights, FAST, 0)
    moved(tuner)
    assert all(torch.equal(values, model.weights[name]) for name, values in weights(net).items())
    copy = tuner.copy()
    run(tuner.run_until(samples_of(SHAPE, 3), 8))
    assert not torch.equal(copy.trunk.encoder[0][0].weight, tuner.net.trunk.encoder[0][0].weight)  # type: ignore[union-attr, index]
    assert not any(p.requires_grad for p in copy.parameters())


def test_the_same_seed_gives_the_same_weights_bit_by_bit() -> None:
    ends = []
    for seed in (3, 3, 4):
        tuner = tuner_of(seed=seed)
        moved(tuner)
        ends.append(weights(tuner.net))
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])
    assert any(not torch.equal(ends[0][name], ends[2][name]) for name in ends[0])


def test_steps_taken_one_by_one_are_the_same_steps() -> None:
    at_once, in_parts = tuner_of(), tuner_of()
    samples = samples_of(SHAPE, 3)
    told = run(at_once.run_until(samples, 4))
    for until in (1, 1, 3, 4):  # a step is told, and whoever wants no more leaves there
        events = in_parts.run_until(samples, until)
        next(events, None)
        events.close()
    assert [(event.step, event.steps) for event in told] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert in_parts.steps_done == 3
    run(in_parts.run_until(samples, 4))
    assert all(torch.equal(values, weights(at_once.net)[name]) for name, values in weights(in_parts.net).items())


def test_a_step_that_is_cancelled_at_any_layer_changes_nothing() -> None:
    samples = samples_of(SHAPE, 3)
    expected = tuner_of()
    run(expected.run_until(samples, 2))
    for at in count(1, 7):
        tuner, looks = tuner_of(), count(1)
        with cancellation_scope(lambda at=at, looks=looks: next(looks) == at):
            told = list(tuner.run_until(samples, 2))
        assert all(torch.equal(values, weights(expected.net)[name]) for name, values in weights(tuner.net).items()), at
        if next(looks) <= at:  # there are not so many layers in two steps
            break
        assert kinds(told).count("Heartbeat") == 1
    assert at > 40


def test_a_step_that_is_cancelled_and_not_resumed_is_not_done() -> None:
    tuner, samples = tuner_of(), samples_of(SHAPE, 3)
    looks = count()
    with cancellation_scope(lambda: next(looks) == 30):  # on the way back
        events = tuner.run_until(samples, 1)
        assert kinds([next(events)]) == ["Heartbeat"]
        events.close()
    assert tuner.steps_done == 0
    run(tuner.run_until(samples, 2))
    expected = tuner_of()
    run(expected.run_until(samples, 2))
    assert all(torch.equal(values, weights(expected.net)[name]) for name, values in weights(tuner.net).items())


def test_to_keep_all_leaves_the_trunk() -> None:
    assert moved(tuner_of(replace(FAST, keep=1.0))) == set()


def test_the_more_the_slider_keeps_the_less_the_trunk_moves() -> None:
    ways = []
    for keep in (0.0, 0.5, 0.9):
        tuner = tuner_of(replace(FAST, keep=keep, rate=1e-2))
        run(tuner.run_until(samples_of(SHAPE, 3), 10))
        ways.append(
            sum(float((p.detach() - tuner.start_weights[k]).square().sum()) for k, p in tuner.parameters.items()) ** 0.5
        )
    assert ways[0] > ways[1] > ways[2] > 0


def test_a_step_without_a_rate_pulls_back_to_what_it_was() -> None:
    tuner = tuner_of(replace(FAST, rate=0.0, keep=0.5))
    with torch.no_grad():
        for values in tuner.parameters.values():
            values.add_(1.0)
    run(tuner.run_until(samples_of(SHAPE, 2), 3))
    for name, values in tuner.parameters.items():
        left = (1 - finetune.L2SP_STRENGTH) ** 3
        torch.testing.assert_close(values, tuner.start_weights[name] + left, atol=1e-5, rtol=1e-4)


def test_a_new_network_has_nothing_to_keep() -> None:
    model = new_model(tiny().info.spec, tiny().info.classes)
    tuner = FineTuner(model.net(), view_of(IMAGE, model.info.spec), {}, FAST, 0)  # type: ignore[arg-type]
    assert tuner.start_weights == {}
    run(tuner.run_until(samples_of(SHAPE, 2), 2))
    assert np.isfinite(tuner.loss)
    for learnt, found in zip(tuner.net.trunk.parameters(), tuner.copy().trunk.parameters(), strict=True):  # type: ignore[union-attr]
        assert torch.equal(learnt, found)


def test_learning_brings_the_loss_down() -> None:
    tuner = tuner_of(replace(FAST, keep=0.0, rate=1e-2), width=4)
    losses = [event.loss for event in run(tuner.run_until(samples_of(SHAPE, 4), 40))]
    assert np.mean(losses[-10:]) < 0.8 * np.mean(losses[:10])


@pytest.mark.parametrize(
    ("names", "shape"),
    [
        ("x", (200,)),
        ("yx", (37, 41)),
        ("zyx", (7, 18, 21)),
        ("tyx", (2, 33, 35)),
        ("yxc", (33, 35, 2)),
        ("ytx", (33, 2, 35)),
    ],
)
def test_any_image_is_learnt_from(names: str, shape: tuple[int, ...]) -> None:
    space = tuple(n for n in names if n in "zyx")
    axes = Axes(tuple(names), space, "c" if "c" in names else None)
    channels = 2 if "c" in names else 1
    image = np.random.default_rng(0).normal(size=shape)
    tuner = tuner_of(image=image, axes=axes, channels=channels)
    assert all(n % m == 0 for n, m in zip(tuner.patch_shape, tuner.extractor.multiple, strict=True))
    run(tuner.run_until(samples_of(tuner.extractor.source.shape, 2), 3))
    assert np.isfinite(tuner.loss)
    assert all(torch.isfinite(p).all() for p in tuner.parameters.values())


# Patches


@settings(max_examples=60)
@given(st.integers(17, 70), st.integers(17, 70), st.sampled_from([24, 16, 40]), st.integers(0, 999), st.data())
def test_a_patch_holds_a_painted_pixel_wherever_it_is(
    height: int, width: int, patch: int, seed: int, data: st.DataObject
) -> None:
    """Near the far border of an image that does not end on the grid too."""
    model = make_teachable(tiny(depth=0), sigmas=(0.7, 8.0))
    image = halves((height, width))
    view = view_of(image, model.info.spec)
    tuner = FineTuner(model.net(), view, model.weights, replace(FAST, patch=patch), seed)  # type: ignore[arg-type]
    labels = np.zeros(image.shape, np.uint8)
    labels[tuple(n - 1 - data.draw(st.integers(0, n - 1)) for n in image.shape)] = 1  # mostly near the far border
    found = tuner._draw_patch(Samples.from_labels(labels))
    assert int((found.target == 0).sum()) == 1
    assert found.image.shape[2:] == found.target.shape[1:]
    assert max(found.image.shape[2:]) <= max(patch, 8)


@settings(max_examples=30)
@given(st.integers(1, 3), st.integers(0, 999))
def test_image_and_target_stay_in_register(ndim: int, seed: int) -> None:
    """The brightness of each pixel says its class, before and after."""
    shape = {1: (150,), 2: (45, 52), 3: (12, 20, 22)}[ndim]
    truth = np.random.default_rng(0).integers(0, 4, shape).astype(np.uint8)
    tuner = tuner_of(replace(FAST, patch=16), seed, truth.astype(np.float32), classes=3)
    samples = Samples.from_labels(truth)
    patch = tuner._draw_patch(samples)
    values = {}
    for value in (IGNORE, 0, 1, 2):
        found = patch.image[:, 0][patch.target == value]
        if len(found):
            assert float(found.max() - found.min()) < 1e-5
            values[value] = float(found.mean())
    ranks = [values[k] for k in (IGNORE, 0, 1, 2) if k in values]
    assert ranks == sorted(ranks)


def test_patches_are_turned_mirrored_and_made_brighter() -> None:
    image = np.arange(32 * 32, dtype=np.float32).reshape(32, 32)
    tuner = tuner_of(replace(FAST, patch=32), image=image)
    samples = Samples.from_labels(np.eye(32, dtype=np.uint8))
    corners = {
        tuple(np.argsort(tuner._draw_patch(samples).image[0, 0][[0, 0, -1, -1], [0, -1, 0, -1]].numpy()))
        for _ in range(60)
    }
    assert len(corners) == 8
    contrasts = {round(float(tuner._draw_patch(samples).image.std()), 5) for _ in range(5)}
    means = {round(float(tuner._draw_patch(samples).image.mean()), 5) for _ in range(5)}
    assert min(len(contrasts), len(means)) > 3


def test_axes_of_unlike_scale_are_not_swapped() -> None:
    image = np.arange(32 * 32, dtype=np.float32).reshape(32, 32)
    tuner = tuner_of(replace(FAST, patch=32), image=image, pool=((1, 2),), up="linear")
    samples = Samples.from_labels(np.eye(32, dtype=np.uint8))
    for _ in range(20):
        steps = tuner._draw_patch(samples).image[0, 0].diff(dim=1).abs()
        assert steps.max() < 0.1  # neighbours along the last axis still are


def test_each_class_is_drawn_as_often_as_the_others() -> None:
    labels = np.zeros(SHAPE, np.uint8)
    labels[:, :16] = 1
    labels[0, 63] = 2
    tuner = tuner_of(replace(FAST, patch=16))
    hits = [bool((tuner._draw_patch(Samples.from_labels(labels)).target == 1).any()) for _ in range(60)]
    assert 15 < sum(hits) < 45


def test_new_strokes_are_drawn_more_often() -> None:
    old = np.zeros(SHAPE, np.uint8)
    old[:, :10] = 1
    both = old.copy()
    both[47, 63] = 1
    samples = Samples.from_labels(both).with_turns(Samples.from_labels(old).with_turns(Samples.empty(SHAPE), 1), 2)
    tuner = tuner_of(replace(FAST, patch=16))
    hits = [int((tuner._draw_patch(samples).target == 0).sum()) == 1 for _ in range(60)]
    assert sum(hits) > 18


def test_only_painted_pixels_count() -> None:
    draw = torch.Generator().manual_seed(0)
    logits = torch.randn(1, 3, 9, 9, generator=draw)
    target = torch.full((1, 9, 9), IGNORE)
    target[0, 2, 2:6], target[0, 7, 1] = 0, 2
    other = torch.where((target == IGNORE)[:, None], torch.randn(1, 3, 9, 9, generator=draw), logits)
    assert torch.equal(partial_cross_entropy(logits, target), partial_cross_entropy(other, target))
    log = logits.log_softmax(1)
    expected = -(log[0, 0, 2, 2:6].mean() + log[0, 2, 7, 1]) / 2
    torch.testing.assert_close(partial_cross_entropy(logits, target), expected)


def test_a_patch_learns_from_the_strokes_in_it_and_from_no_others() -> None:
    near = np.zeros((40, 200), np.uint8)
    near[3, 2:6], near[30, 2:6] = 1, 2
    more = near.copy()
    more[3, 180:190] = 2
    tuner = tuner_of(replace(FAST, keep=0.0), image=halves(near.shape))
    here, there = Region((0, 0), (40, 40)), Region((0, 160), (40, 200))
    for region, is_same in ((here, True), (there, False)):
        targets = [tuner._target(Samples.from_labels(labels), region) for labels in (near, more)]
        assert torch.equal(*targets) == is_same


@pytest.mark.parametrize(("keep", "share"), [(0.0, 0.6), (0.5, 0.3), (0.9, 0.06)])
def test_what_comes_out_lies_between_the_start_and_what_has_learnt(keep: float, share: float) -> None:
    tuner = tuner_of(replace(FAST, keep=keep, rate=1e-2))
    run(tuner.run_until(samples_of(SHAPE, 3), 5))
    trunks = (tuner.start_net.trunk, tuner.net.trunk, tuner.copy().trunk)
    far = 0.0
    for start, learnt, found in zip(*(trunk.parameters() for trunk in trunks), strict=True):  # type: ignore[union-attr]
        torch.testing.assert_close(found, start + share * (learnt - start), atol=1e-6, rtol=1e-5)
        far = max(far, float((learnt - start).detach().abs().max()))
    assert far > 1e-3


@given(st.integers(0, 9), st.integers(0, 9), st.integers(0, 9))
def test_each_candidate_has_a_seed_of_its_own(seed: int, turn: int, attempt: int) -> None:
    assert candidate_seed(seed, turn, attempt) == candidate_seed(seed, turn, attempt)
    assert (
        len(
            {
                candidate_seed(seed, turn, attempt),
                candidate_seed(seed + 1, turn, attempt),
                candidate_seed(seed, turn + 1, attempt),
            }
        )
        == 3
    )


def test_a_patch_without_a_painted_pixel_would_be_no_number() -> None:
    """Why `_patch` must hold one."""
    empty = Patch(torch.zeros(1, 1, 8, 8), torch.full((1, 8, 8), IGNORE))
    assert torch.isnan(partial_cross_entropy(torch.zeros(1, 2, 8, 8), empty.target))
