"""The extent of the receptive field along axes with a slider."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from napari.components import ViewerModel
from pytestqt.qtbot import QtBot

from napari_fcn.geometry import Axes, Region
from napari_fcn.geometry.resampling import Resampling
from napari_fcn.gui._controllers import Request, SegmentController
from napari_fcn.gui._controllers.segment.slider_extent import SliderExtent, compute_phases, slider_extents
from napari_fcn.nets.spec import NetSpec
from napari_fcn.settings import PredictSettings

FRAMES = 24
MOVIE = Axes(("t", "y", "x"), ("t", "y", "x"))


def seen_by_trial(spec: NetSpec, along: int) -> list[set[int]]:
    """Return for each position on an axis the positions whose change affects its prediction."""
    net = spec.build(torch.Generator().manual_seed(0)).double().eval()
    rng = np.random.default_rng(0)
    shape = [16] * spec.ndim
    shape[along] = FRAMES
    image = rng.normal(size=shape)

    def answer(pixels: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return net(torch.from_numpy(pixels)[None, None]).numpy()[0]

    before, seen = answer(image), [set() for _ in range(FRAMES)]
    for frame in range(FRAMES):
        changed = image.copy()
        np.moveaxis(changed, along, 0)[frame] += rng.normal(size=16 ** (spec.ndim - 1)).reshape([16] * (spec.ndim - 1))
        moved = np.abs(answer(changed) - before).max(axis=tuple(a for a in range(spec.ndim + 1) if a != along + 1))
        for place in np.flatnonzero(moved):
            seen[place].add(frame)
    return seen


@pytest.mark.parametrize(
    "spec",
    [
        NetSpec(family="video", ndim=3, width=2, depth=1),
        NetSpec(ndim=3, width=2, depth=2, pool=((2, 2, 2), (1, 2, 2)), kernel=((3,) * 3, (3,) * 3, (1, 3, 3))),
    ],
    ids=["movie", "volume"],
)
def test_the_extent_contains_exactly_the_slices_that_change_the_prediction(spec: NetSpec) -> None:
    phases = next(compute_phases(spec)).phases
    axes = MOVIE if spec.time == 0 else Axes(("z", "y", "x"), ("z", "y", "x"))
    for at, expected in enumerate(seen_by_trial(spec, 0)):
        (found,) = slider_extents(phases, axes, (FRAMES, 16, 16), {axes.names[0]: at})
        assert (found.first, found.last, found.count) == (min(expected), max(expected), FRAMES)


def test_axes_without_a_slider_or_with_a_field_of_one_pixel_have_no_extent() -> None:
    flat = NetSpec(ndim=3, width=2, depth=1, kernel=((1, 3, 3),), pool=((1, 2, 2),))
    phases = next(compute_phases(flat)).phases
    axes = Axes(("z", "y", "x"), ("z", "y", "x"))
    assert slider_extents(phases, axes, (9, 16, 16), {"z": 4}) == ()
    assert slider_extents(phases, axes, (9, 16, 16), {}) == ()
    assert [found.axis for found in slider_extents(phases, axes, (9, 16, 16), {"y": 4})] == ["y"]
    assert slider_extents(phases, axes, (4, 9, 16, 16), {"t": 1}) == ()


def test_extents_on_a_resampled_image_are_in_pixels_of_the_image() -> None:
    phases = (((2, 3),),)
    grid = Resampling((10,), (20,))  # two pixels of the network for each of the image
    (found,) = slider_extents(phases, Axes(("z",), ("z",)), (10,), {"z": 5}, grid)
    touched = grid.back.needs(Region((5,), (6,)))
    needed = grid.needs(Region((touched.start[0] - 2,), (touched.stop[0] + 3,)))
    assert (found.first, found.last) == (needed.start[0], needed.stop[0] - 1)
    assert found.first < 5 < found.last


def test_an_extent_has_a_sentence() -> None:
    assert SliderExtent("t", 6, 3, 9, 24).line == "At frame 6, the model uses frames 3 to 9 of 24."
    assert SliderExtent("z", 1, 0, 4, 5).line == "At plane 1, the model uses planes 0 to 4 of 5 (all)."
    assert "positions along q 0 to 1" in SliderExtent("q", 1, 0, 1, 5).line


def test_loop_axes_have_no_extent(qtbot: QtBot, make_checkpoint: Callable[..., object]) -> None:
    viewer = ViewerModel()
    layer = viewer.add_image(np.zeros((5, 2, 12, 16, 16), np.uint8), axis_labels=tuple("tczyx"))
    controller = SegmentController(viewer)
    controller.connect()
    model = controller.open_model(make_checkpoint(NetSpec(ndim=3, width=2, depth=1)))
    assert model is not None
    request = Request(model.path, PredictSettings())
    qtbot.waitUntil(lambda: bool(controller.slider_extents.extents(layer, request, model)))
    viewer.dims.set_point(0, 3)
    viewer.dims.set_point(2, 7)
    (found,) = controller.slider_extents.extents(layer, request, model)
    assert (found.axis, found.position, found.count) == ("z", 7, 12)
    assert controller.slider_extents.extents(layer, Request(model.path, axes=("z", "y")), model) == ()
    assert controller.slider_extents.extents(None, request, model) == ()
    controller.shutdown()
    qtbot.waitUntil(lambda: not controller.is_busy)
