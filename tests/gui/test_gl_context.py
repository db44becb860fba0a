"""OpenGL commands of the canvas in a real window, while another context is current."""

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from gui.docks import LONG
from napari.components import ViewerModel
from napari.viewer import Viewer
from pytestqt.qtbot import QtBot
from qtpy.QtGui import QOffscreenSurface, QOpenGLContext
from qtpy.QtWidgets import QApplication, QWidget

from napari_fcn.gui import _samples
from napari_fcn.gui._layers import use_own_gl_context
from napari_fcn.gui._layers.napari_private import scene_canvas
from napari_fcn.gui.batch import BatchWidget
from napari_fcn.gui.field import FieldWidget
from napari_fcn.gui.segment import SegmentWidget
from napari_fcn.gui.teach import TeachWidget

MakeViewer = Callable[..., Viewer]


@pytest.fixture
def viewer(make_napari_viewer: MakeViewer, qtbot: QtBot) -> Viewer:
    return drawn(make_napari_viewer(show=True), qtbot)


def drawn(viewer: Viewer, qtbot: QtBot) -> Viewer:
    """A viewer with an image and a layer in paint mode, after it has been drawn."""
    with commands(viewer) as found:
        viewer.add_image(np.eye(32, dtype=np.uint8), name="cells")
        viewer.add_labels(np.eye(32, dtype=np.uint8)).mode = "paint"

        def is_drawn() -> bool:
            scene_canvas(viewer).native.update()  # again: the window may not be on the screen yet
            return any(command == "DRAW" for _, command, _ in found)

        qtbot.waitUntil(is_drawn, timeout=LONG)
    return viewer


@contextmanager
def context_of_another() -> Iterator[QOpenGLContext]:
    """Make a context current that belongs to no canvas."""
    surface, context = QOffscreenSurface(), QOpenGLContext()
    surface.create()
    context.create()
    assert context.makeCurrent(surface)
    yield context
    if QOpenGLContext.currentContext() is context:
        context.doneCurrent()


@contextmanager
def commands(*viewers: Viewer) -> Iterator[list[tuple[Viewer, str, bool]]]:
    """Record the commands of each viewer, and whether they run in its own context."""
    found: list[tuple[Viewer, str, bool]] = []
    parsers = [scene_canvas(viewer).context.shared.parser for viewer in viewers]

    def watch(viewer: Viewer, parse: Any) -> Callable[[Any], None]:
        def note(queue: Any) -> None:
            is_own = QOpenGLContext.currentContext() is scene_canvas(viewer).native.context()
            found.extend((viewer, command[0], is_own) for command in queue)
            parse(queue)

        return note

    for viewer, parser in zip(viewers, parsers, strict=True):
        parser.parse = watch(viewer, parser.parse)
    try:
        yield found
    finally:
        for parser in parsers:
            del parser.parse


def select_and_remove(viewer: Viewer) -> None:
    viewer.layers.select_all()
    viewer.layers.remove_selected()


def pop_each(viewer: Viewer) -> None:
    while viewer.layers:
        viewer.layers.pop()


def assert_deleted_in_own_context(viewer: Viewer, found: list[tuple[Viewer, str, bool]], qtbot: QtBot) -> None:
    """Fail if objects are deleted in another context, at once or when the canvas is drawn next."""

    def is_deleted() -> bool:
        gc.collect()  # a thread may have held a removed layer before
        scene_canvas(viewer).native.update()
        return any(command == "DELETE" for _, command, _ in found)

    qtbot.waitUntil(is_deleted, timeout=LONG)
    assert all(is_own for _, _, is_own in found)


@pytest.mark.parametrize("dock", [SegmentWidget, BatchWidget, TeachWidget, FieldWidget])
def test_with_a_dock_removed_layers_are_deleted_in_the_canvas_context(
    viewer: Viewer, dock: type[QWidget], qtbot: QtBot
) -> None:
    widget = dock(viewer)
    viewer.window.add_dock_widget(widget, name="dock")
    QApplication.processEvents()
    with commands(viewer) as found:
        with context_of_another():
            viewer.layers.clear()
        assert_deleted_in_own_context(viewer, found, qtbot)


@pytest.mark.parametrize("remove", [select_and_remove, pop_each, lambda viewer: viewer.layers.remove("cells")])
def test_removed_sample_layers_are_deleted_in_the_canvas_context(
    viewer: Viewer, remove: Callable[[Viewer], None], qtbot: QtBot
) -> None:
    _samples.cells_2d()
    with commands(viewer) as found:
        with context_of_another():
            remove(viewer)
        assert_deleted_in_own_context(viewer, found, qtbot)


def test_commands_of_one_viewer_do_not_run_in_another(
    viewer: Viewer, make_napari_viewer: MakeViewer, qtbot: QtBot
) -> None:
    other = drawn(make_napari_viewer(show=True), qtbot)
    use_own_gl_context(viewer)
    use_own_gl_context(other)
    with commands(viewer, other) as found:
        scene_canvas(other).native.makeCurrent()
        viewer.layers.clear()
    assert found
    assert all(is_own for _, _, is_own in found)


def test_drawing_into_a_framebuffer_is_not_redirected(viewer: Viewer) -> None:
    use_own_gl_context(viewer)
    canvas = scene_canvas(viewer)
    canvas.set_current()
    calls: list[None] = []
    canvas.native.makeCurrent = lambda: calls.append(None)  # would bind the buffer of the window
    with commands(viewer) as found:
        canvas.context.finish()
    del canvas.native.makeCurrent
    assert found
    assert not calls


def test_commands_wait_until_the_window_exists(make_napari_viewer: MakeViewer, qtbot: QtBot) -> None:
    viewer = make_napari_viewer()
    use_own_gl_context(viewer)
    with commands(viewer) as found, context_of_another():
        viewer.add_image(np.eye(8))
        viewer.layers.clear()
        assert not found
        viewer.window.show()
        qtbot.waitUntil(lambda: bool(found), timeout=LONG)
    assert all(is_own for _, _, is_own in found)


def test_no_command_runs_after_the_window_is_deleted(viewer: Viewer) -> None:
    use_own_gl_context(viewer)
    canvas = scene_canvas(viewer)
    with commands(viewer) as found:
        canvas.native.isValid = lambda: (_ for _ in ()).throw(RuntimeError("wrapped C/C++ object has been deleted"))
        canvas.context.finish()
    del canvas.native.isValid
    assert not found


def test_a_viewer_without_a_window_is_ignored() -> None:
    use_own_gl_context(ViewerModel())
