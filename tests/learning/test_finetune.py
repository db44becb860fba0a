"""Fine-tuning changes only the trunk of a copy; patches, loss, regularisation and cancellation."""

from dataclasses import replace
from itertools import count
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from teaching_examples import FAST, IMAGE, SHAPE, extractor_of, halves, kinds, run, samples_of, tiny

from napari_fcn.cancellation import cancellation_scope
from napari_fcn.geometry import Axes, Region
from napari_fcn.learning import finetune
from napari_fcn.learning.annotations import Samples
from napari_fcn.learning.finetune import FineTuner, Patch, candidate_seed, partial_cross_entropy
from napari_fcn.learning.labels import IGNORE
from napari_fcn.models.adapt import make_teachable, new_model
from napari_fcn.settings import TeachSettings


def tuner_of(
    teach_settings: TeachSettings = FAST, seed: int = 0, image: Any = IMAGE, axes: Axes | None = None, **values: Any
) -> FineTuner:
    ndim = image.ndim if axes is None else len(axes.space)
    model = make_teachable(tiny(ndim, **values), sigmas=(0.7, 2.0))
    net: Any = model.net()
    with torch.no_grad():  # a trained head is not zero
        net.heads_of_levels[-1].weight.normal_(0, 1, generator=torch.Generator().manual_seed(1))
    return FineTuner(net, extractor_of(image, model.info.spec, axes), model.weights, teach_settings, seed)


def weights(net: Any) -> dict[str, torch.Tensor]:
    return {name: values.clone() for name, values in net.state_dict().items()}


def changed_weights(tuner: FineTuner, samples: Samples | None = None, steps: int = 4) -> set[str]:
    """Return the names of the weights that training changes."""
    before = weights(tuner.net)
    run(tuner.run_until(samples_of(SHAPE, 3) if samples is None else samples, steps))
    return {name for name, values in weights(tuner.net).items() if not torch.equal(values, before[name])}


def test_only_the_trunk_is_trained() -> None:
    tuner = tuner_of(replace(FAST, keep=0.2))
    names = changed_weights(tuner)
    assert names
    assert all(name.startswith("trunk.") for name in names)
    assert not any("running" in name or "num_batches" in name or "score" in name for name in names)
    assert {name.split(".")[1] for name in names} == {"encoder", "decoder", "ups"}


def test_the_initial_network_and_copies_do_not_change() -> None:
    model = make_teachable(tiny(), sigmas=(0.7, 2.0))
    net: Any = model.net()
    tuner = FineTuner(net, extractor_of(IMAGE, model.info.spec), model.weights, FAST, 0)
    changed_weights(tuner)
    assert all(torch.equal(values, model.weights[name]) for name, values in weights(net).items())
    copy = tuner.copy()
    run(tuner.run_until(samples_of(SHAPE, 3), 8))
    assert not torch.equal(copy.trunk.encoder[0][0].weight, tuner.net.trunk.encoder[0][0].weight)  # type: ignore[union-attr, index]
    assert not any(p.requires_grad for p in copy.parameters())


def test_the_same_seed_gives_the_same_weights_bit_for_bit() -> None:
    ends = []
    for seed in (3, 3, 4):
        tuner = tuner_of(seed=seed)
        changed_weights(tuner)
        ends.append(weights(tuner.net))
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])
    assert any(not torch.equal(ends[0][name], ends[2][name]) for name in ends[0])


def test_interrupted_training_gives_the_same_weights() -> None:
    at_once, in_parts = tuner_of(), tuner_of()
    samples = samples_of(SHAPE, 3)
    events_at_once = run(at_once.run_until(samples, 4))
    for until in (1, 1, 3, 4):  # closed after the first event
        events = in_parts.run_until(samples, until)
        next(events, None)
        events.close()
    assert [(event.step, event.steps) for event in events_at_once] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert in_parts.steps_done == 3
    run(in_parts.run_until(samples, 4))
    assert all(torch.equal(values, weights(at_once.net)[name]) for name, values in weights(in_parts.net).items())


def test_a_step_cancelled_at_any_layer_is_repeated_without_side_effects() -> None:
    samples = samples_of(SHAPE, 3)
    expected = tuner_of()
    run(expected.run_until(samples, 2))
    for at in count(1, 7):
        tuner, checks = tuner_of(), count(1)
        with cancellation_scope(lambda at=at, checks=checks: next(checks) == at):
            events_at_once = list(tuner.run_until(samples, 2))
        assert all(torch.equal(values, weights(expected.net)[name]) for name, values in weights(tuner.net).items()), at
        if next(checks) <= at:  # two steps have fewer layers
            break
        assert kinds(events_at_once).count("Heartbeat") == 1
    assert at > 40


def test_a_cancelled_step_that_is_not_resumed_changes_nothing() -> None:
    tuner, samples = tuner_of(), samples_of(SHAPE, 3)
    checks = count()
    with cancellation_scope(lambda: next(checks) == 30):  # in the backward pass
        events = tuner.run_until(samples, 1)
        assert kinds([next(events)]) == ["Heartbeat"]
        events.close()
    assert tuner.steps_done == 0
    run(tuner.run_until(samples, 2))
    expected = tuner_of()
    run(expected.run_until(samples, 2))
    assert all(torch.equal(values, weights(expected.net)[name]) for name, values in weights(tuner.net).items())


def test_a_prior_strength_of_one_leaves_the_trunk_unchanged() -> None:
    assert changed_weights(tuner_of(replace(FAST, keep=1.0))) == set()


def test_a_larger_prior_strength_changes_the_trunk_less() -> None:
    distances = []
    for keep in (0.0, 0.5, 0.9):
        tuner = tuner_of(replace(FAST, keep=keep, rate=1e-2))
        run(tuner.run_until(samples_of(SHAPE, 3), 10))
        distances.append(
            sum(float((p.detach() - tuner.start_weights[k]).square().sum()) for k, p in tuner.parameters.items()) ** 0.5
        )
    assert distances[0] > distances[1] > distances[2] > 0


def test_weights_decay_towards_the_original_ones() -> None:
    tuner = tuner_of(replace(FAST, rate=0.0, keep=0.5))
    with torch.no_grad():
        for values in tuner.parameters.values():
            values.add_(1.0)
    run(tuner.run_until(samples_of(SHAPE, 2), 3))
    for name, values in tuner.parameters.items():
        left = (1 - finetune.L2SP_STRENGTH) ** 3
        torch.testing.assert_close(values, tuner.start_weights[name] + left, atol=1e-5, rtol=1e-4)


def test_a_new_network_is_not_interpolated_with_its_start_weights() -> None:
    model = new_model(tiny().info.spec, tiny().info.classes)
    tuner = FineTuner(model.net(), extractor_of(IMAGE, model.info.spec), {}, FAST, 0)  # type: ignore[arg-type]
    assert tuner.start_weights == {}
    run(tuner.run_until(samples_of(SHAPE, 2), 2))
    assert np.isfinite(tuner.loss)
    for trained, drawn in zip(tuner.net.trunk.parameters(), tuner.copy().trunk.parameters(), strict=True):  # type: ignore[union-attr]
        assert torch.equal(trained, drawn)


def test_training_lowers_the_loss() -> None:
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
def test_images_with_any_axes_can_be_used(names: str, shape: tuple[int, ...]) -> None:
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
def test_a_patch_contains_a_painted_pixel_at_any_position(
    height: int, width: int, patch: int, seed: int, data: st.DataObject
) -> None:
    """Also near the far border of an image whose length is not a multiple of the grid."""
    model = make_teachable(tiny(depth=0), sigmas=(0.7, 8.0))
    image = halves((height, width))
    view = extractor_of(image, model.info.spec)
    tuner = FineTuner(model.net(), view, model.weights, replace(FAST, patch=patch), seed)  # type: ignore[arg-type]
    labels = np.zeros(image.shape, np.uint8)
    labels[tuple(n - 1 - data.draw(st.integers(0, n - 1)) for n in image.shape)] = 1  # mostly near the far border
    drawn = tuner._draw_patch(Samples.from_labels(labels))
    assert int((drawn.target == 0).sum()) == 1
    assert drawn.image.shape[2:] == drawn.target.shape[1:]
    assert max(drawn.image.shape[2:]) <= max(patch, 8)


@settings(max_examples=30)
@given(st.integers(1, 3), st.integers(0, 999))
def test_augmentation_keeps_image_and_target_aligned(ndim: int, seed: int) -> None:
    """The intensity of each pixel encodes its class, before and after augmentation."""
    shape = {1: (150,), 2: (45, 52), 3: (12, 20, 22)}[ndim]
    labels = np.random.default_rng(0).integers(0, 4, shape).astype(np.uint8)
    tuner = tuner_of(replace(FAST, patch=16), seed, labels.astype(np.float32), classes=3)
    samples = Samples.from_labels(labels)
    patch = tuner._draw_patch(samples)
    values = {}
    for value in (IGNORE, 0, 1, 2):
        drawn = patch.image[:, 0][patch.target == value]
        if len(drawn):
            assert float(drawn.max() - drawn.min()) < 1e-5
            values[value] = float(drawn.mean())
    ranks = [values[k] for k in (IGNORE, 0, 1, 2) if k in values]
    assert ranks == sorted(ranks)


def test_patches_are_flipped_transposed_and_changed_in_intensity() -> None:
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


def test_axes_with_different_pooling_are_not_transposed() -> None:
    image = np.arange(32 * 32, dtype=np.float32).reshape(32, 32)
    tuner = tuner_of(replace(FAST, patch=32), image=image, pool=((1, 2),), up="linear")
    samples = Samples.from_labels(np.eye(32, dtype=np.uint8))
    for _ in range(20):
        steps = tuner._draw_patch(samples).image[0, 0].diff(dim=1).abs()
        assert steps.max() < 0.1  # neighbours along the last axis differ by one


def test_classes_are_drawn_equally_often() -> None:
    labels = np.zeros(SHAPE, np.uint8)
    labels[:, :16] = 1
    labels[0, 63] = 2
    tuner = tuner_of(replace(FAST, patch=16))
    hits = [bool((tuner._draw_patch(Samples.from_labels(labels)).target == 1).any()) for _ in range(60)]
    assert 15 < sum(hits) < 45


def test_new_strokes_are_drawn_more_often() -> None:
    old_labels = np.zeros(SHAPE, np.uint8)
    old_labels[:, :10] = 1
    all_labels = old_labels.copy()
    all_labels[47, 63] = 1
    samples = Samples.from_labels(all_labels).with_turns(
        Samples.from_labels(old_labels).with_turns(Samples.empty(SHAPE), 1), 2
    )
    tuner = tuner_of(replace(FAST, patch=16))
    hits = [int((tuner._draw_patch(samples).target == 0).sum()) == 1 for _ in range(60)]
    assert sum(hits) > 18


def test_the_loss_depends_on_painted_pixels_only() -> None:
    rng = torch.Generator().manual_seed(0)
    logits = torch.randn(1, 3, 9, 9, generator=rng)
    target = torch.full((1, 9, 9), IGNORE)
    target[0, 2, 2:6], target[0, 7, 1] = 0, 2
    other = torch.where((target == IGNORE)[:, None], torch.randn(1, 3, 9, 9, generator=rng), logits)
    assert torch.equal(partial_cross_entropy(logits, target), partial_cross_entropy(other, target))
    log_p = logits.log_softmax(1)
    expected = -(log_p[0, 0, 2, 2:6].mean() + log_p[0, 2, 7, 1]) / 2
    torch.testing.assert_close(partial_cross_entropy(logits, target), expected)


def test_the_target_of_a_patch_contains_only_its_own_strokes() -> None:
    labels_near = np.zeros((40, 200), np.uint8)
    labels_near[3, 2:6], labels_near[30, 2:6] = 1, 2
    labels_more = labels_near.copy()
    labels_more[3, 180:190] = 2
    tuner = tuner_of(replace(FAST, keep=0.0), image=halves(labels_near.shape))
    left, right = Region((0, 0), (40, 40)), Region((0, 160), (40, 200))
    for region, is_same in ((left, True), (right, False)):
        targets = [tuner._target(Samples.from_labels(labels), region) for labels in (labels_near, labels_more)]
        assert torch.equal(*targets) == is_same


@pytest.mark.parametrize(("keep", "fraction"), [(0.0, 0.6), (0.5, 0.3), (0.9, 0.06)])
def test_the_result_interpolates_start_and_trained_weights(keep: float, fraction: float) -> None:
    tuner = tuner_of(replace(FAST, keep=keep, rate=1e-2))
    run(tuner.run_until(samples_of(SHAPE, 3), 5))
    trunks = (tuner.start_net.trunk, tuner.net.trunk, tuner.copy().trunk)
    far = 0.0
    for start, trained, drawn in zip(*(trunk.parameters() for trunk in trunks), strict=True):  # type: ignore[union-attr]
        torch.testing.assert_close(drawn, start + fraction * (trained - start), atol=1e-6, rtol=1e-5)
        far = max(far, float((trained - start).detach().abs().max()))
    assert far > 1e-3


@given(st.integers(0, 9), st.integers(0, 9), st.integers(0, 9))
def test_each_candidate_has_a_different_seed(seed: int, turn: int, attempt: int) -> None:
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


def test_the_loss_without_painted_pixels_is_nan() -> None:
    """So `_draw_patch` must include one."""
    empty = Patch(torch.zeros(1, 1, 8, 8), torch.full((1, 8, 8), IGNORE))
    assert torch.isnan(partial_cross_entropy(torch.zeros(1, 2, 8, 8), empty.target))
