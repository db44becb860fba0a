"""The GUI thread's side of a teaching session: its layers, and the visible region."""

from __future__ import annotations

from typing import TYPE_CHECKING

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
from napari_fcn.gui._layers import (
    Canvas,
    ColourTile,
    Corrections,
    Overlay,
    fits_in_memory,
    move_window,
    visible_region,
    window_around,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.components import ViewerModel
    from napari.layers import Image, Layer

    from napari_fcn.geometry import Axes
    from napari_fcn.gui._controllers.teach.messages import PaintedClass, SessionMessage
    from napari_fcn.gui._controllers.teach.state import TeachState
    from napari_fcn.gui._controllers.teach.worker import TeachWorker


class TeachLayers:
    """The layers of a teaching session.

    Parameters
    ----------
    viewer : ViewerModel
        The viewer to which the layers are added.
    source : Image
        The image.
    axes : Axes
        Role of each of its axes.
    shape : sequence of int
        Length of the image axes.
    classes : sequence of PaintedClass
        Classes of the model until the session is open.

    Attributes
    ----------
    worker : TeachWorker
        The worker of the session; `create_session` makes it.
    """

    worker: TeachWorker

    def __init__(
        self, viewer: ViewerModel, source: Image, axes: Axes, shape: Sequence[int], classes: Sequence[PaintedClass]
    ) -> None:
        self.viewer, self.source, self.axes, self.shape = viewer, source, axes, tuple(shape)
        colours = pairs(classes)
        channel = None if source.rgb else axes.channel_position
        window = Region.whole(shape)
        if not fits_in_memory(shape):
            window = window_around(shape, visible_region(viewer, source, axes))
        self.corrections = Corrections(viewer, source, channel, self.shape, window, colours)
        self.canvas = Canvas(self.corrections.window)
        self.auxiliary = AuxiliaryLayers(viewer, source, channel, self.corrections.layer)
        self.overlay: Overlay | None = None  # added when the engine is ready, because napari adds layers slowly
        self._channel = channel
        self._has_new_tiles = False

    @property
    def layers(self) -> list[Layer]:
        """The layers of the session."""
        overlay = [] if self.overlay is None else self.overlay.layers.values()
        return [self.source, self.corrections.layer, *overlay, *self.auxiliary.layers]

    @property
    def is_windowed(self) -> bool:
        """Whether the image is so large that only a window of it can be painted on and predicted at a time."""
        return self.canvas.window.shape != self.shape

    def view(self) -> Region:
        """Return the visible part of the window, on the image axes."""
        return visible_region(self.viewer, self.source, self.axes).intersection(self.canvas.window)

    def move_window(self) -> None:
        """Move the window of a large image to the visible region."""
        view = visible_region(self.viewer, self.source, self.axes)
        window = move_window(self.canvas.window, self.shape, view) if self.is_windowed else self.canvas.window
        if window != self.canvas.window and self.corrections.move_window(window):
            self.canvas.move_window(window)
            if self.overlay is not None:
                self.overlay.reload()

    def out_of_window_message(self) -> str:
        """Return a message if the visible region is larger than the window; empty if it is not."""
        view, window = visible_region(self.viewer, self.source, self.axes), self.canvas.window
        if window.contains(view):
            return ""
        size = " × ".join(str(n) for n in window.shape if n > 1)
        return f"{self.source.name} is large: the view shows more than the {size} px that can be painted on. Zoom in."

    def refresh(self) -> None:
        """Draw the tiles that `apply` has written."""
        if self.overlay is not None and self._has_new_tiles:
            self.overlay.refresh()
        self._has_new_tiles = False

    def set_classes(self, classes: Sequence[PaintedClass]) -> None:
        """Show these names and colours."""
        colours = pairs(classes)
        self.corrections.set_classes(colours)
        if self.overlay is not None:
            self.overlay.set_classes(colours)

    def depends_on(self, layer: Layer) -> bool:
        """Whether teaching must stop if this layer is removed."""
        return layer is self.source or layer is self.corrections.layer

    def show_changes(self, state: TeachState) -> None:
        """Show where the candidate predicts another class, or hide it, as the user has chosen."""
        if state.are_changes_shown and state.update is not None:
            self.auxiliary.show_changes(state.update.ready, pairs(state.classes))
        else:
            self.auxiliary.hide_changes()

    def toggle_overlay(self) -> None:
        """Hide the overlay, or show it again."""
        if self.overlay is not None:
            layer = self.overlay.layers["probabilities"]
            layer.visible = not layer.visible

    def apply(self, message: SessionMessage, state: TeachState) -> None:
        """Change the layers after a message of the worker; ``state`` is that of the dock with the message applied."""
        for payload in message.payloads:
            match payload:
                case ColourTile() if self.overlay is not None:
                    self.overlay.write(payload)
                    self._has_new_tiles = True
                case SessionOpened():
                    self._open(payload)
                case HeadFitted():
                    self.auxiliary.hide_place()
                case StateRestored():
                    self.set_classes(payload.classes)
                    self.corrections.restore(payload.parts)
                    self.corrections.release()
                    self.move_window()
                    self.auxiliary.hide_changes()
                case CommandFailed(is_restoring=True):
                    self.corrections.release()
                    self.move_window()
                case CandidateEvaluated() if state.are_changes_shown:
                    self.show_changes(state)
                case ComparisonReady():
                    self.auxiliary.compare(payload)
                    self.auxiliary.show_compared(state.comparison.shown if state.comparison else "first")
                case UncertaintyReady() if state.is_uncertainty_shown:
                    self.auxiliary.show_uncertainty(payload)
                case RegionSuggested() if not payload.region.is_empty:
                    self.auxiliary.show_place(payload)

    def _open(self, opened: SessionOpened) -> None:
        """Add the overlay, and merge the corrections of the project with those on the layer."""
        self.set_classes(opened.classes)
        self.overlay = Overlay(self.viewer, self.source, self._channel, self.canvas, pairs(opened.classes))
        if self.corrections.is_new:
            self.corrections.draw_strokes(opened.strokes)
        else:  # the layer is newer than the project
            self.corrections.mark_reported(opened.strokes)
            self.corrections.report_existing_strokes()
        self.corrections.release()
        self.move_window()

    def close(self) -> None:
        """Disconnect from the layers, which stay, and close the project when everything is written."""
        self.worker.writer.close()
        self.corrections.disconnect_layer()
        self.auxiliary.end_comparison()
        if self.overlay is not None and self.overlay.is_complete:
            self.overlay.finish()


def pairs(classes: Sequence[PaintedClass]) -> list[tuple[str, str]]:
    """Return names and colours."""
    return [(entry.name, entry.colour) for entry in classes]
