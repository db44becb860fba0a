"""What the model sees along a slider: said in the dock, marked on the slider, exact."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gui.docks import Dock
from napari.components import ViewerModel

from napari_fcn.geometry import Axes
from napari_fcn.gui._controller import Request, catalogue
from napari_fcn.gui._controller.spans import Span, spans
from napari_fcn.gui._layers.sliders import COLOUR, SliderMark
from napari_fcn.models.checkpoint import Checkpoint
from napari_fcn.models.recipe import plain_recipe
from napari_fcn.nets.spec import NetSpec
from napari_fcn.session import Session
from napari_fcn.settings import PredictSettings

MOVIE = NetSpec("video", ndim=3, width=2, depth=1, pool=((1, 2, 2),), kernel=((1, 3, 3), (3, 3, 3)))
VOLUME = NetSpec(ndim=3, width=2, depth=1)
FLAT = NetSpec(ndim=2, width=2, depth=1)

Make = Callable[[NetSpec], catalogue.ModelEntry]


@pytest.fixture
def entry(tmp_path: Path) -> Make:
    def make(spec: NetSpec) -> catalogue.ModelEntry:
        path = tmp_path / f"{spec.family}{spec.ndim}.safetensors"
        net = spec.build(torch.Generator().manual_seed(0))
        Checkpoint.of(net, plain_recipe(path.stem, spec, "made for a test")).save(path)
        return catalogue.entry(path)

    return make


@pytest.fixture
def viewer() -> ViewerModel:
    return ViewerModel()


@pytest.mark.parametrize("at", [0, 1, 4, 5, 8])
@pytest.mark.parametrize("spec", [MOVIE, VOLUME], ids=["video", "volume"])
def test_the_span_is_the_field_at_the_slider(spec: NetSpec, at: int, viewer: ViewerModel, entry: Make) -> None:
    names = ("t", "y", "x") if spec.time == 0 else ("z", "y", "x")
    image = np.zeros((9, 20, 20), np.uint8)
    layer = viewer.add_image(image, axis_labels=names)
    viewer.dims.set_current_step(0, at)
    model = entry(spec)
    (found,) = spans(viewer, layer, None, model)
    field = Session(image, Checkpoint.load(model.path), Axes(names, names)).field_at((at, 10, 10))
    assert found == Span(0, names[0], at, field.start[0], field.stop[0] - 1, 9)


def test_only_axes_of_the_model_that_are_not_on_screen_have_a_span(viewer: ViewerModel, entry: Make) -> None:
    layer = viewer.add_image(np.zeros((3, 9, 20, 20), np.uint8), axis_labels=("t", "z", "y", "x"))
    assert [span.name for span in spans(viewer, layer, None, entry(VOLUME))] == ["z"]
    assert spans(viewer, layer, None, entry(FLAT)) == ()
    viewer.dims.order = (0, 2, 1, 3)
    (across,) = spans(viewer, layer, None, entry(FLAT))
    assert (across.name, across.axis) == ("y", 2)
    viewer.dims.ndisplay = 3
    assert spans(viewer, layer, None, entry(VOLUME)) == ()


def test_a_layer_with_fewer_axes_than_the_viewer_is_counted_from_the_last(viewer: ViewerModel, entry: Make) -> None:
    viewer.add_image(np.zeros((2, 9, 20, 20), np.uint8))
    layer = viewer.add_image(np.zeros((9, 20, 20), np.uint8), axis_labels=("z", "y", "x"))
    viewer.dims.set_current_step(1, 6)
    (found,) = spans(viewer, layer, None, entry(VOLUME))
    assert (found.axis, found.at) == (1, 6)


def test_nothing_is_said_of_an_image_that_is_resampled(viewer: ViewerModel, entry: Make) -> None:
    layer, model = viewer.add_image(np.zeros((9, 20, 20), np.uint8)), entry(VOLUME)
    assert spans(viewer, layer, Request(model.path), model)
    assert not spans(viewer, layer, Request(model.path, PredictSettings(resample="linear")), model)


def test_a_field_of_one_frame_is_said_so() -> None:
    assert Span(0, "t", 3, 3, 3, 9).sentence == "At frame 3 the model sees this frame only."
    assert Span(0, "t", 3, 1, 5, 9).sentence == "At frame 3 the model sees frames 1 to 5 (of 0 to 8)."
    assert (
        Span(0, "phase", 3, 1, 5, 9).sentence
        == "At step along phase 3 the model sees steps along phase 1 to 5 (of 0 to 8)."
    )


def marks(dock: Dock) -> list[SliderMark]:
    return dock.viewer.window._qt_window.findChildren(SliderMark)


def test_the_dock_and_the_slider_show_the_frames_that_are_seen(dock: Dock, entry: Make, rng: Any) -> None:
    dock.viewer.add_image(rng.random((24, 30, 30)), axis_labels=("t", "y", "x"))
    dock.wait_for_rest()
    dock.widget.model.open_file(entry(MOVIE).path)
    dock.viewer.dims.set_current_step(0, 10)
    assert dock.widget.sees.text() == "At frame 10 the model sees frames 8 to 12 (of 0 to 23)."
    (mark,) = marks(dock)
    assert mark.span == (8, 12)
    assert "8 to 12" in mark.accessibleName()
    dock.wait(mark.isVisible)
    line, picture = mark.line(), mark.bar.grab().toImage()
    assert 0 < line.left() < line.right() < mark.bar.width()
    y = mark.height() - 1
    assert picture.pixelColor(int(line.center().x()), y).name() == COLOUR
    assert picture.pixelColor(int(line.right()) + 5, y).name() != COLOUR
    dock.viewer.dims.set_current_step(0, 0)
    assert "frames 0 to 2" in dock.widget.sees.text()
    assert [mark.span for mark in marks(dock) if mark.isVisible()] == [(0, 2)]


def test_marks_go_with_the_model_that_they_are_of(dock: Dock, entry: Make, rng: Any) -> None:
    dock.viewer.add_image(rng.random((9, 30, 30)), axis_labels=("t", "y", "x"))
    dock.wait_for_rest()
    dock.widget.model.open_file(entry(MOVIE).path)
    assert dock.widget.sees.isVisible()
    dock.widget.model.open_file(entry(FLAT).path)
    assert not dock.widget.sees.isVisible()
    assert not [mark for mark in marks(dock) if mark.isVisible()]
