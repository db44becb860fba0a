"""OpenGL commands of napari's canvas, which must run in the context of that canvas only."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from qtpy.QtGui import QOpenGLContext

from napari_fcn.gui._layers.napari_private import queue_runner, scene_canvas

if TYPE_CHECKING:
    from napari.components import ViewerModel


def use_own_gl_context(viewer: ViewerModel) -> None:
    """Let the canvas of a viewer run its OpenGL commands in its own context only.

    vispy queues commands and runs them in the current context. While the canvas draws, that is its own; but when a
    layer is removed, napari runs the queue at once (`VispyCanvas._clean_and_update_scenegraph`). If Qt has drawn a dock
    before, the context of the window is current, and if another viewer has drawn, that of its canvas. Shaders and
    buffers are then deleted in the wrong context, and the next ``glDrawArrays`` reads deleted memory and ends the
    process (napari #6472, #7345, #8471).

    Parameters
    ----------
    viewer : ViewerModel
        The viewer; without a window, nothing is done.
    """
    canvas = scene_canvas(viewer)
    if canvas is None or "flush_commands" in vars(canvas.context):
        return
    run_queue = queue_runner(canvas.context)
    if run_queue is None:
        return
    context, weak_canvas = weakref.ref(canvas.context), weakref.ref(canvas)

    def flush_commands(event: Any = None) -> None:
        canvas, own = weak_canvas(), context()
        if canvas is not None and own is not None and _make_current(canvas.native):
            run_queue(own, event)

    canvas.context.flush_commands = flush_commands


def _make_current(widget: Any) -> bool:
    """Make the context of an OpenGL widget current; return False if it has none yet, so that commands wait."""
    try:
        if not widget.isValid():
            return False
        if QOpenGLContext.currentContext() is not widget.context():
            widget.makeCurrent()
    except RuntimeError:  # Qt has deleted the widget, and its context with it
        return False
    return True
