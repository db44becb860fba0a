"""Adapted models predict as before until they are trained with strokes; changes of their classes."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import net_contract
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from net_contract import SPECS

from napari_fcn.models import zoo
from napari_fcn.models.adapt import (
    BANK_SIGMAS,
    TWO_CLASSES,
    filters_only,
    inflate_to_3d,
    make_teachable,
    new_model,
    start_with_classes,
    to_grey,
    with_classes,
)
from napari_fcn.models.card import ClassLabel, ModelCard
from napari_fcn.models.checkpoint import Checkpoint
from napari_fcn.nets import NetSpec
from napari_fcn.sample_data import cells
from napari_fcn.settings import TeachSettings
from napari_fcn.teaching.teaching import Teaching

TINY = NetSpec(width=2, depth=1, classes=3)
FEW = (0.7, 2.0)


def logits_of(model: Checkpoint, x: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        return model.net()(x)


def normalised_cells(spec: NetSpec, plane: tuple[int, int], seed: int) -> torch.Tensor:
    """Return normalised synthetic cells, large enough for the filter bank; in 3-D a stack of planes."""
    image = cells((8, *plane)[-spec.ndim :], seed=seed)[0].astype(np.float32)
    normalised = torch.from_numpy((image - image.mean()) / image.std())
    return normalised.expand(1, spec.channels, *normalised.shape)


def renamed(model: Checkpoint) -> Checkpoint:
    """Return a model with distinct class names, as in shipped models."""
    labels = tuple(ClassLabel(f"kind {k}", "#123456") for k in range(model.info.spec.classes))
    return Checkpoint(replace(model.info, classes=labels), model.weights)


@pytest.mark.parametrize("name", SPECS)
def test_before_any_stroke_the_prediction_is_that_of_the_model(name: str) -> None:
    spec = SPECS[name]
    start = net_contract.checkpoint(spec)
    ready = make_teachable(start, sigmas=FEW)
    is_one_grid = ready.info.spec.multiple == spec.multiple  # else what fills the image up to the grid is seen
    x = net_contract.noise(spec, [2 * n + (3 if is_one_grid else 0) for n in ready.info.spec.minimum])
    torch.testing.assert_close(logits_of(ready, x), logits_of(start, x), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    "name",
    [
        *("unet-1d", "unet-2d", "unet-3d", "reflect", "transposed", "channels-and-classes"),
        *("resunet-2d", "fcn-2d", "fcn-3d", "dilated-2d", "deeplab-2d", "video-3d"),
    ],
)
def test_the_original_head_is_the_model_bit_for_bit(name: str) -> None:
    spec = SPECS[name]
    start = net_contract.checkpoint(spec)
    kept = make_teachable(start).original()
    assert kept.info.spec == spec
    assert kept.info.classes == start.info.classes
    assert kept.hash == start.hash


@pytest.mark.parametrize("name", zoo.names())
def test_an_adapted_shipped_model_predicts_as_before(name: str) -> None:
    start = Checkpoint.load(zoo.path_of(name))
    x = normalised_cells(start.info.spec, (72, 56), seed=1)
    ready = make_teachable(start)
    torch.testing.assert_close(logits_of(ready, x), logits_of(start, x), atol=2e-5, rtol=1e-5)
    assert torch.equal(logits_of(ready.original(), x), logits_of(start, x))


@settings(max_examples=15)
@given(st.lists(st.sampled_from(["kind 0", "kind 1", "kind 2", "new", "other"]), min_size=1, max_size=5, unique=True))
def test_classes_are_matched_by_name_in_any_order(names: list[str]) -> None:
    start = renamed(net_contract.checkpoint(TINY))
    labels = tuple(ClassLabel(name, "#ffffff") for name in names)
    ready = make_teachable(start, labels, sigmas=FEW)
    x = net_contract.noise(TINY, (16, 12))
    before, after = logits_of(start, x), logits_of(ready, x)
    assert ready.info.classes == labels
    for row, name in enumerate(names):
        if name.startswith("kind"):
            torch.testing.assert_close(after[:, row], before[:, int(name[-1])], atol=1e-5, rtol=1e-5)
    known = [row for row, name in enumerate(names) if name.startswith("kind")]
    if known:
        for row in set(range(len(names))) - set(known):
            assert (after[:, row] < after[:, known].amax(1) - 1).all()
    assert ready.info.origin == ()


@pytest.mark.parametrize("shift", [0.0, -30.0, 30.0])
def test_a_new_class_is_not_predicted_for_any_logits(shift: float) -> None:
    start = renamed(net_contract.checkpoint(TINY))
    # the same answer as before in all classes: logits are known up to a constant per pixel only
    weights = {**start.weights, "score.weight": start.weights["score.weight"] + shift}
    start = Checkpoint(start.info, weights)
    ready = make_teachable(start, (*start.info.classes, ClassLabel("new", "#ffffff")), sigmas=FEW)
    logits = logits_of(ready, net_contract.noise(TINY, (32, 32)))
    assert (logits.argmax(1) != 3).all()
    assert float(logits.softmax(1)[:, 3].max()) < 0.05


@pytest.mark.parametrize("name", zoo.names())
def test_a_new_class_of_a_shipped_model_is_not_predicted(name: str) -> None:
    start = Checkpoint.load(zoo.path_of(name))
    ready = make_teachable(start, (*start.info.classes, ClassLabel("debris", "#ffffff")))
    x = normalised_cells(start.info.spec, (96, 96), seed=2).clamp(-4, 4)
    assert float(logits_of(ready, x).softmax(1)[:, -1].max()) < 0.05


@pytest.mark.parametrize(
    "name",
    [
        *("unet-2d", "transposed", "anisotropic-pool", "reflect"),
        *("resunet-2d", "fcn-linear", "dilated-2d", "deeplab-2d", "video-2d"),
    ],
)
def test_an_inflated_model_predicts_plane_by_plane(name: str) -> None:
    spec = SPECS[name]
    start = net_contract.checkpoint(spec)
    inflated = inflate_to_3d(start)
    assert inflated.info.spec.ndim == 3
    assert inflated.info.spec.multiple == (1, *spec.multiple)
    lengths = (20, 12) if "dilated" in name else (19, 13)  # on the grid of the filters where the network has none
    x = torch.cat([net_contract.noise(spec, lengths, seed) for seed in range(3)])
    together = logits_of(inflated, x.movedim(0, 1)[None])[0].movedim(1, 0)
    torch.testing.assert_close(together, logits_of(start, x), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(
        logits_of(make_teachable(inflated, sigmas=FEW), x.movedim(0, 1)[None]),
        logits_of(inflated, x.movedim(0, 1)[None]),
        atol=1e-5,
        rtol=1e-5,
    )


def test_a_3d_model_is_not_inflated() -> None:
    start = net_contract.checkpoint(SPECS["unet-3d"])
    assert inflate_to_3d(start) is start


def test_the_voxel_size_of_an_inflated_model_is_unknown_across_planes() -> None:
    start = net_contract.checkpoint(TINY)
    start = Checkpoint(replace(start.info, voxel_size=(0.5, 0.5)), start.weights)
    assert inflate_to_3d(start).info.voxel_size == (0.0, 0.5, 0.5)
    assert inflate_to_3d(net_contract.checkpoint(TINY)).info.voxel_size == ()


def test_a_taught_model_keeps_its_head() -> None:
    once = with_random_head(make_teachable(renamed(net_contract.checkpoint(TINY)), sigmas=FEW))
    again = make_teachable(once, tuple(reversed(once.info.classes)))
    x = net_contract.noise(TINY, (16, 16))
    torch.testing.assert_close(logits_of(again, x), logits_of(once, x).flip(1), atol=1e-5, rtol=1e-5)
    assert again.info.spec.original == 3
    assert again.original().hash == once.original().hash
    assert again.info.origin == ()


def with_random_head(model: Checkpoint) -> Checkpoint:
    """Return a model with a random head, as after training."""
    generator = torch.Generator().manual_seed(5)
    weights = {
        name: torch.randn(w.shape, generator=generator) * 0.1 if name.startswith("heads") else w
        for name, w in model.weights.items()
    }
    return Checkpoint(model.info, weights)


KEPT = st.lists(st.one_of(st.none(), st.integers(0, 2)), min_size=1, max_size=5)


@given(KEPT)
def test_kept_classes_keep_their_prediction(kept: list[int | None]) -> None:
    model = with_random_head(filters_only(1, 1, [ClassLabel(str(k), "#000000") for k in range(3)]))
    labels = tuple(ClassLabel(f"now {k}", "#ffffff") for k in range(len(kept)))
    other = with_classes(model, labels, kept)
    x = net_contract.noise(NetSpec(ndim=1), (24,))
    before, after = logits_of(model, x), logits_of(other, x)
    for row, k in enumerate(kept):
        if k is not None:
            torch.testing.assert_close(after[:, row], before[:, k], atol=1e-5, rtol=1e-5)
    assert other.info.origin == tuple(-1 if k is None else k for k in kept)
    assert other.info.spec.classes == len(kept)
    assert start_with_classes(model, other.info).info.classes == labels


@given(KEPT, st.data())
def test_the_origin_of_a_class_survives_several_changes(first: list[int | None], data: st.DataObject) -> None:
    model = filters_only(1, 1, [ClassLabel(str(k), "#000000") for k in range(3)])
    second = data.draw(st.lists(st.one_of(st.none(), st.integers(0, len(first) - 1)), min_size=1, max_size=4))
    once = with_classes(model, [ClassLabel("a", "#000000")] * len(first), first)
    twice = with_classes(once, [ClassLabel("a", "#000000")] * len(second), second)
    assert twice.info.origin == tuple(-1 if k is None or first[k] is None else first[k] for k in second)


def test_the_initial_model_is_converted_to_the_current_classes() -> None:
    start = with_random_head(make_teachable(renamed(net_contract.checkpoint(TINY)), sigmas=FEW))
    now = with_classes(start, [ClassLabel(n, "#000000") for n in ("b", "fresh", "a")], (1, None, 0))
    x = net_contract.noise(TINY, (16, 16))
    rows = logits_of(start_with_classes(start, now.info), x)
    torch.testing.assert_close(rows[:, [2, 0]], logits_of(start, x)[:, :2], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_an_untrained_filter_bank_predicts_equal_probabilities(ndim: int) -> None:
    model = filters_only(ndim, 2)
    assert model.info.classes == TWO_CLASSES
    assert len(model.info.spec.filters) == len(BANK_SIGMAS)
    x = net_contract.noise(model.info.spec, (16,) * ndim)
    assert not logits_of(model, x).any()
    assert model.original() is model


def test_filters_have_the_same_size_in_micrometres_along_each_axis() -> None:
    spec = filters_only(3, 1, spacing=(2.0, 0.5, 0.5)).info.spec
    assert spec.filters[-1] == (2.0, 8.0, 8.0)


def test_a_new_network_has_a_zero_head_and_no_original_head() -> None:
    model = new_model(NetSpec(width=2, depth=1), TWO_CLASSES, seed=3)
    assert not logits_of(model, net_contract.noise(TINY, (16, 16))).any()
    assert model.info.spec.original == 0
    assert "trunk.score.weight" not in model.weights
    same, other = (new_model(NetSpec(width=2, depth=1), TWO_CLASSES, seed=seed) for seed in (3, 4))
    assert model.hash == same.hash != other.hash


@pytest.mark.parametrize("make", ["teachable", "volumetric", "filters", "new", "changed"])
def test_a_taught_model_is_saved_and_loaded(make: str, tmp_path: Path) -> None:
    start = renamed(net_contract.checkpoint(TINY))
    made: dict[str, Any] = {
        "teachable": make_teachable(start),
        "volumetric": make_teachable(inflate_to_3d(start), spacing=(3.0, 1.0, 1.0)),
        "filters": filters_only(3, 2),
        "new": new_model(TINY, TWO_CLASSES),
        "changed": with_classes(make_teachable(start), TWO_CLASSES, (1, None)),
    }
    card = ModelCard(name="n", parent="abc", commits=({"number": 0, "kind": "start"},))
    saved = Checkpoint(replace(made[make].info, card=card), made[make].weights)
    saved.save(tmp_path / "m.safetensors")
    loaded = Checkpoint.load(tmp_path / "m.safetensors")
    assert loaded.info == saved.info
    assert loaded.hash == saved.hash
    assert loaded.original().hash == saved.original().hash
    x = net_contract.noise(loaded.info.spec, loaded.info.spec.minimum)
    assert torch.equal(logits_of(loaded, x), logits_of(saved, x))


def test_the_hash_depends_on_the_original_head_and_its_classes() -> None:
    model = make_teachable(renamed(net_contract.checkpoint(TINY)), sigmas=FEW)
    moved = {**model.weights, "trunk.score.bias": model.weights["trunk.score.bias"] + 1}
    named = tuple(ClassLabel("x", c.colour) for c in model.info.classes)
    others = (Checkpoint(model.info, moved), Checkpoint(replace(model.info, classes=named), model.weights))
    assert len({model.hash, *(other.hash for other in others)}) == 3
    carded = Checkpoint(replace(model.info, card=ModelCard(name="other")), model.weights)
    assert carded.hash == model.hash


def test_classes_that_do_not_fit_the_head_are_rejected() -> None:
    model = make_teachable(net_contract.checkpoint(TINY))
    with pytest.raises(ValueError, match="2 classes are named for a network with 3"):
        replace(model.info, classes=TWO_CLASSES)
    with pytest.raises(ValueError, match="0 classes are named for a network with 3"):
        replace(model.info, original=())


COLOURS = NetSpec("mbconv", channels=3, classes=3, width=4, depth=2, colours=True)


@pytest.mark.parametrize("spec", [COLOURS, NetSpec(channels=3, classes=3, width=4, depth=1, colours=True)])
def test_a_model_of_colours_predicts_the_same_on_a_grey_image_when_it_reads_one_channel(spec: NetSpec) -> None:
    model = net_contract.checkpoint(spec)
    grey = to_grey(model)
    assert (grey.info.spec.channels, grey.info.spec.colours) == (1, False)
    x = torch.randn(1, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(logits_of(grey, x), logits_of(model, x.repeat(1, 3, 1, 1)), atol=1e-4)


def test_a_model_without_colours_or_with_a_taught_head_is_not_changed() -> None:
    plain, taught = net_contract.checkpoint(TINY), make_teachable(net_contract.checkpoint(COLOURS), sigmas=FEW)
    assert to_grey(plain) is plain
    assert to_grey(taught) is taught


@pytest.mark.parametrize(("shape", "channels"), [((40, 48), 1), ((40, 48, 3), 3)])
def test_teaching_reads_as_many_channels_as_the_image_has(shape: tuple[int, ...], channels: int) -> None:
    image = np.random.default_rng(0).integers(0, 255, shape, np.uint8)
    start = net_contract.checkpoint(COLOURS)
    teaching = Teaching(image, start, rgb=len(shape) == 3, settings=TeachSettings(device="cpu"))
    assert teaching._context.start.info.spec.channels == channels
    assert teaching._context.parent_hash == start.hash
