"""The GUI thread's side of one model that is taught on one image: its layers, and what is on screen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_fcn.events import CandidateEvaluated, HeadFitted, RegionSuggested
from napari_fcn.geometry import Region
from napari_fcn.gui._controllers.teach.auxiliary_layers import AuxiliaryLayers
from napari_fcn.gui._controllers.teach.messages import (
    CommandFailed,
    ComparisonReady,
    SessionOpened,
    StateRestored,
    UncertaintyReady,
)
from napari_fcn.gui._layers import Canvas, Corrections, Overlay, fits_in_memory, move_window, visible_region, window_on

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.components import ViewerModel
    from napari.layers import Image, Layer

    from napari_fcn.geometry import Axes
    from napari_fcn.gui._controllers.teach.messages import PaintedClass
    from napari_fcn.gui._controllers.teach.state import TeachState
    from napari_fcn.gui._controllers.teach.worker import TeachWorker
    from napari_fcn.gui._layers import ColourTile, Stroke


class TeachLayers:
    """The layers of a lesson.

    Parameters
    ----------
    viewer : ViewerModel
        Where the layers go.
    source : Image
        The image.
    axes : Axes
        Role of each of its axes.
    shape : sequence of int
        Of the image axes.
    classes : sequence of TaughtClass
        What to tell apart, until the engine says more.
    """

    def __init__(
        self, viewer: ViewerModel, source: Image, axes: Axes, shape: Sequence[int], classes: Sequence[PaintedClass]
    ) -> None:
        self.viewer, self.source, self.axes, self.shape = viewer, source, axes, tuple(shape)
        colours = pairs(classes)
        channel = None if source.rgb else axes.channel_position
        window = Region.whole(shape)
        if not fits_in_memory(shape):
            window = window_on(shape, visible_region(viewer, source, axes))
        self.corrections = Corrections(viewer, source, channel, self.shape, window, colours)
        self.canvas = Canvas(self.corrections.window)
        self.auxiliary = AuxiliaryLayers(viewer, source, channel, self.corrections.layer)
        self.overlay: Overlay | None = None  # napari takes its time to add a layer: when the engine is there
        self.worker: TeachWorker | None = None
        self.strokes = 0  # that were sent to the lesson
        self._channel = channel

    @property
    def layers(self) -> list[Layer]:
        """The layers that belong to it."""
        answers = [] if self.overlay is None else self.overlay.layers.values()
        return [self.source, self.corrections.layer, *answers, *self.auxiliary.layers]

    @property
    def is_windowed(self) -> bool:
        """Whether the image is so large that only a part of it is painted on and answered at a time."""
        return self.canvas.window.shape != self.shape

    def view(self) -> Region:
        """Return what is on screen, on the image axes, as far as it can be painted on."""
        return visible_region(self.viewer, self.source, self.axes).intersection(self.canvas.window)

    def move_window(self) -> None:
        """Take the part of a large image on which the user looks now."""
        view = visible_region(self.viewer, self.source, self.axes)
        window = move_window(self.canvas.window, self.shape, view) if self.is_windowed else self.canvas.window
        if window != self.canvas.window and self.corrections.move(window):
            self.canvas.move(window)
            if self.overlay is not None:
                self.overlay.moved()

    def out_of_window_message(self) -> str:
        """Return in words that more is seen than can be painted on; empty if it is not."""
        view, window = visible_region(self.viewer, self.source, self.axes), self.canvas.window
        if window.contains(view):
            return ""
        size = " × ".join(str(n) for n in window.shape if n > 1)
        return f"{self.source.name} is large: you see more of it than is painted on at a time, {size} px. Zoom in."

    def send(self, stroke: Stroke) -> None:
        """Let the lesson know of a stroke."""
        if self.worker is not None:
            self.worker.inbox.append(stroke)
            self.strokes += 1

    def show(self, tiles: Sequence[ColourTile]) -> None:
        """Show tiles of the answer."""
        if self.overlay is None or not tiles:
            return
        for tile in tiles:
            self.overlay.write(tile)
        self.overlay.refresh()

    def set_classes(self, classes: Sequence[PaintedClass]) -> None:
        """Show other names and colours."""
        colours = pairs(classes)
        self.corrections.set_classes(colours)
        if self.overlay is not None:
            self.overlay.set_classes(colours)

    def depends_on(self, layer: Layer) -> bool:
        """Whether there is nothing to teach any more without this layer."""
        return layer is self.source or layer is self.corrections.layer

    def toggle_answer(self) -> None:
        """Hide the answer, or show it again."""
        if self.overlay is not None:
            layer = self.overlay.layers["probabilities"]
            layer.visible = not layer.visible

    def apply(self, message: Any, state: TeachState) -> None:
        """Show what the worker told; ``state`` is what the dock shows from then on."""
        match message:
            case SessionOpened():
                self._open(message)
            case HeadFitted():
                self.auxiliary.hide_place()
            case StateRestored():
                self.set_classes(message.classes)
                self.corrections.restore(message.parts)
                self.corrections.release()
                self.move_window()
                self.auxiliary.hide_changes()
            case CommandFailed(is_restoring=True):
                self.corrections.release()
                self.move_window()
            case CandidateEvaluated() if state.are_changes_shown:
                self.auxiliary.show_changes(message, pairs(state.classes))
            case ComparisonReady():
                self.auxiliary.compare(message)
                self.auxiliary.show_compared(state.comparison.shown if state.comparison else "first")
            case UncertaintyReady() if state.is_uncertainty_shown:
                self.auxiliary.show_uncertainty(message)
            case RegionSuggested() if not message.region.is_empty:
                self.auxiliary.show_place(message)

    def _open(self, opened: SessionOpened) -> None:
        """Bring what was painted before and what is on the layer together."""
        self.set_classes(opened.classes)
        self.overlay = Overlay(self.viewer, self.source, self._channel, self.canvas, pairs(opened.classes))
        if self.corrections.is_new:
            self.corrections.show(opened.strokes)
        else:  # what is there was seen last, so it is right
            self.corrections.remember(opened.strokes)
            self.corrections.adopt()
        self.corrections.release()
        self.move_window()

    def close(self) -> None:
        """Let go of the layers, which stay, and of the project, once all is written."""
        if self.worker is not None:
            self.worker.writer.close()
        self.corrections.disconnect_layer()
        self.auxiliary.end_comparison()
        if self.overlay is not None and self.overlay.is_complete:
            self.overlay.finish()


def pairs(classes: Sequence[PaintedClass]) -> list[tuple[str, str]]:
    """Return names and colours."""
    return [(entry.name, entry.colour) for entry in classes]
