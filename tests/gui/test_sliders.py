"""Marks on napari's sliders: their position, visibility and removal."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from gui.docks import Dock
from napari.components import ViewerModel

from napari_fcn.gui._layers.sliders import MARK_COLOUR, SliderMark, SliderMarks
from napari_fcn.nets.spec import NetSpec

MOVIE = NetSpec("video", ndim=3, width=2, depth=1, pool=((1, 2, 2),), kernel=((1, 3, 3), (3, 3, 3)))


def marks(dock: Dock) -> list[SliderMark]:
    found = dock.viewer.window._qt_window.findChildren(SliderMark)
    return [mark for mark in found if mark.isVisible()]


def test_frames_in_the_receptive_field_are_marked_on_the_slider(
    dock: Dock, make_checkpoint: Callable[..., Path], rng: np.random.Generator
) -> None:
    dock.viewer.add_image(rng.random((24, 30, 30)), axis_labels=("t", "y", "x"))
    dock.widget.source.model.open_file(make_checkpoint(MOVIE))
    dock.viewer.dims.set_current_step(0, 10)
    dock.wait(lambda: bool(marks(dock)))
    (mark,) = marks(dock)
    assert mark.span == (8, 12)
    assert "8 to 12" in mark.accessibleName()
    line, picture = mark.line_rect(), mark.bar.grab().toImage()
    assert 0 < line.left() < line.right() < mark.bar.width()
    y = mark.height() - 1
    assert picture.pixelColor(int(line.center().x()), y).name() == MARK_COLOUR
    assert picture.pixelColor(int(line.right()) + 5, y).name() != MARK_COLOUR
    dock.viewer.dims.set_current_step(0, 0)
    assert [mark.span for mark in marks(dock)] == [(0, 2)]
    dock.viewer.dims.order = (1, 0, 2)  # rows have the slider now
    assert [mark.bar for mark in marks(dock)] == [dock.viewer.window._qt_viewer.dims.slider_widgets[1].slider]
    dock.viewer.dims.ndisplay = 3
    assert not marks(dock)


def test_a_mark_follows_the_width_of_its_slider(
    dock: Dock, make_checkpoint: Callable[..., Path], rng: np.random.Generator
) -> None:
    dock.viewer.add_image(rng.random((9, 30, 30)), axis_labels=("t", "y", "x"))
    dock.widget.source.model.open_file(make_checkpoint(MOVIE))
    dock.wait(lambda: bool(marks(dock)))
    (mark,) = marks(dock)
    mark.bar.resize(mark.bar.width() // 2, mark.bar.height())
    assert mark.size() == mark.bar.size()
    assert mark.line_rect().right() < mark.bar.width()


def test_a_viewer_without_a_window_gets_no_marks() -> None:
    sliders = SliderMarks(ViewerModel())
    sliders.show({0: (1, 2)})
    sliders.clear()
