"""Receptive field and influence of a pixel and of a stroke of a session, on any axes."""

from typing import Any

import net_contract
import numpy as np
import pytest
import torch
from net_contract import SPECS
from random_networks import random_net

from napari_fcn.errors import ImageError, ModelError
from napari_fcn.events import CheckStep, FieldDone
from napari_fcn.geometry import Axes, Region
from napari_fcn.models.adapt import make_teachable
from napari_fcn.models.checkpoint import Checkpoint
from napari_fcn.nets import NetSpec
from napari_fcn.session import Session
from napari_fcn.settings import PredictSettings

SPEC = SPECS["unet-2d"]


def session(spec: NetSpec, shape: tuple[int, ...], names: str, **settings: Any) -> Session:
    image = np.random.default_rng(0).normal(size=shape)
    checkpoint = Checkpoint.of(random_net(spec), net_contract.info(spec))
    axes = Axes.guess(shape, spec.ndim, tuple(names))
    return Session(image, checkpoint, axes, PredictSettings(device="cpu", **settings))


def influence(running: Session, index: tuple[int, ...], label: int | None = None) -> FieldDone:
    (result,) = running.influence_at(index, label)
    return result


def test_the_receptive_field_needs_no_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    running = session(SPEC, (80, 70), "yx")
    monkeypatch.setattr(Session, "predictor", property(lambda self: pytest.fail("the network was built")))
    box = running.field_at((40, 33))
    assert box.contains(Region((40, 33), (41, 34)))
    worst = running.field.around((40, 33), (80, 70))
    assert worst.contains(box)


def test_the_heat_is_inside_the_box_and_sums_to_one() -> None:
    running = session(SPEC, (80, 70), "yx")
    result = influence(running, (40, 33), 1)
    assert result.region == running.field_at((40, 33))
    assert result.heat.shape == result.region.shape
    assert result.heat.sum() == pytest.approx(1, abs=1e-4)
    assert (result.index, result.label, result.size) == ((40, 33), 1, running.field.size)
    assert 0 < result.r50 <= result.r90 <= result.r99
    assert 0 < result.used <= 1
    assert all(0 < width <= size for width, size in zip(result.widths, result.size, strict=True))


def test_only_pixels_of_the_influence_map_change_the_prediction() -> None:
    running = session(SPEC, (80, 70), "yx")
    result = influence(running, (40, 33), 1)
    block = torch.from_numpy(running.predictor.read(next(iter(running.plan()))))
    with torch.inference_mode():
        before = running.float_net(block)[0, 1, 40, 33]
        outside = torch.randn(block.shape, generator=torch.Generator().manual_seed(0))
        outside[(..., *result.region.slices)] = block[(..., *result.region.slices)]
        after = running.float_net(outside)[0, 1, 40, 33]
    assert abs(float(after - before)) < 1e-4


@pytest.mark.parametrize(
    ("name", "shape", "names", "index"),
    [
        ("unet-2d", (3, 40, 36), "tyx", (2, 20, 11)),
        ("unet-2d", (40, 3, 36), "ytx", (20, 1, 11)),
        ("unet-3d", (2, 20, 24, 28), "tzyx", (1, 9, 10, 11)),
        ("unet-1d", (2, 70), "yx", (1, 30)),
        ("channels-and-classes", (3, 30, 31), "cyx", (9, 10)),
    ],
)
def test_planes_movies_and_channels_are_supported(
    name: str, shape: tuple[int, ...], names: str, index: tuple[int, ...]
) -> None:
    running = session(SPECS[name], shape, names)
    result = influence(running, index)
    assert result.region == running.field_at(index)
    assert result.heat.shape == result.region.shape
    for axis, letter in enumerate(running.axes.image):
        if letter in running.axes.loop:
            assert (result.region.start[axis], result.size[axis]) == (index[axis], 1)


def test_a_pixel_in_space_only_is_in_the_middle_of_the_movie() -> None:
    running = session(SPEC, (5, 40, 36), "tyx")
    assert influence(running, (20, 11)).index == (2, 20, 11)


def test_the_mean_influence_is_relative_to_the_pixel() -> None:
    running = session(SPEC, (2, 80, 90), "tyx")
    *steps, last = running.mean_influence(1)
    assert all(isinstance(step, CheckStep) for step in steps)
    assert isinstance(last, FieldDone)
    assert last.index == (0, 0, 0)
    field = running.field
    assert last.region == Region((0, *(-n for n in field.before)), (1, *(n + 1 for n in field.after)))
    assert last.label == 1


@pytest.mark.parametrize("head", ["taught", "original"])
def test_a_taught_model_is_measured_with_either_head(head: str, rng: np.random.Generator) -> None:
    model = make_teachable(Checkpoint.of(random_net(SPEC), net_contract.info(SPEC)), (), ())
    running = Session(rng.random((60, 64)), model, settings=PredictSettings(device="cpu", head=head))
    result = influence(running, (30, 31), 1)
    assert result.heat.sum() == pytest.approx(1, abs=1e-4)
    assert result.region == running.field_at((30, 31))


def test_half_precision_is_not_used_for_gradients() -> None:
    exact, half = (session(SPEC, (60, 60), "yx", precision=name) for name in ("float32", "bfloat16"))
    np.testing.assert_array_equal(influence(exact, (30, 30), 0).heat, influence(half, (30, 30), 0).heat)


def test_a_stroke_on_some_planes_influences_only_those() -> None:
    running = session(SPEC, (5, 60, 64), "tyx")
    at = Region((1, 20, 20), (4, 24, 24))
    mask = np.zeros(at.shape, bool)
    mask[0, 1, 1] = mask[2, 3, :] = True
    result = running.reach_of(at, mask)
    assert result.mask.shape == result.region.shape
    assert (result.region.start[0], result.region.stop[0]) == (1, 4)
    assert result.mask.any((1, 2)).tolist() == [True, False, True]
    for plane in (0, 2):
        alone = running.reach_of(Region((1 + plane, 20, 20), (2 + plane, 24, 24)), mask[plane : plane + 1])
        inner = Region((plane, *alone.region.start[1:]), (plane + 1, *alone.region.stop[1:]))
        place = inner.shift((0, *(-a for a in result.region.start[1:])))
        np.testing.assert_array_equal(result.mask[place.slices], alone.mask)
        assert result.mask[plane].sum() == alone.mask.sum()


def test_a_pixel_outside_is_rejected_with_the_size_of_the_image() -> None:
    running = session(SPEC, (3, 40, 36), "tyx")
    for index in [(0, 40, 3), (0, -1, 3), (3, 0, 0), (40, 0)]:
        with pytest.raises(ImageError, match="is outside the image, which is 3 x 40 x 36 px"):
            running.field_at(index)
    with pytest.raises(ImageError, match="has 1 numbers; the image has 3 axes"):
        influence(running, (3,))


def test_a_missing_class_or_pixel_is_rejected() -> None:
    running = session(SPEC, (40, 36), "yx")
    with pytest.raises(ModelError, match="Class 2 was requested; the model has classes 0 to 1"):
        influence(running, (3, 3), 2)
    with pytest.raises(ImageError, match="stroke is empty"):
        running.reach_of(Region((0, 0), (3, 3)), np.zeros((3, 3), bool))
    with pytest.raises(ImageError, match="outside the image"):
        running.reach_of(Region((50, 0), (53, 3)))


def test_a_plane_is_rejected_by_a_3d_model() -> None:
    with pytest.raises(ImageError, match="3-D model needs 3 axes"):
        Session(np.zeros((9, 9)), net_contract.checkpoint(SPECS["unet-3d"]))
