"""The base class of all controllers: the viewer, the available images and models, and the state to show."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.utils.notifications import notification_manager
from qtpy.QtCore import QObject, Signal

from napari_fcn.errors import FcnError
from napari_fcn.gui._controllers import image_info, model_catalog
from napari_fcn.gui._layers import is_segmentable, pixel_watch_for, select_layer, unwrap_viewer, use_own_gl_context
from napari_fcn.system_errors import explain, explained, is_refusal

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Layer

    from napari_fcn.gui._controllers.request import ImageInfo, Request


class DockController(QObject):
    """Base class of the controllers of all docks.

    Parameters
    ----------
    viewer : ViewerModel
        The viewer with the images; results become layers of it.
    state : object
        The initial state, a frozen dataclass with an ``error``.
    parent : QObject, optional
        Qt parent.

    Attributes
    ----------
    changed : Signal(object)
        The new state to show.
    """

    changed = Signal(object)

    def __init__(self, viewer: ViewerModel, state: Any, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.viewer = unwrap_viewer(viewer)
        use_own_gl_context(self.viewer)
        self.state = state
        self._loaded = model_catalog.ModelCache()
        self._watched: list[Layer] = []

    def select(self, layer: Layer) -> None:
        """Select a layer, and no other."""
        select_layer(self.viewer, layer)

    def images(self) -> list[Image]:
        """Return the layers that can be segmented, topmost first."""
        return [layer for layer in reversed(self.viewer.layers) if is_segmentable(layer)]

    def models(self) -> tuple[model_catalog.ModelEntry, ...]:
        """Return the models that ship with the package; one that cannot be read becomes the error shown."""
        entries = [self.open_model(path) for path in model_catalog.shipped_paths()]
        return tuple(entry for entry in entries if entry is not None)

    def open_model(self, path: str | Path) -> model_catalog.ModelEntry | None:
        """Return the catalog entry of a model file; None if it cannot be read, which becomes the error shown."""
        try:
            with explained():
                return model_catalog.read_entry(Path(path))
        except FcnError as error:
            self._set(replace(self.state, error=error.in_dock))
            return None

    def describe_image(
        self, layer: Image, request: Request | None, model: model_catalog.ModelEntry | None
    ) -> ImageInfo:
        """Return the summary of an image, and why the chosen model cannot run on it."""
        return image_info.describe_image(layer, request, model)

    def clear_error(self) -> None:
        """Clear the error."""
        if self.state.error:
            self._set(replace(self.state, error=""))

    def _watch(self, layer: Image) -> None:
        """Call `_on_replaced` when the pixels of a layer are replaced from now on."""
        pixel_watch_for(layer).check()  # note pixels that were replaced without an event before
        if not any(layer is watched for watched in self._watched):
            self._watched.append(layer)
            pixel_watch_for(layer).replaced.connect(self._on_pixels)

    def _unwatch(self) -> None:
        """Stop watching all layers."""
        for layer in self._watched:
            pixel_watch_for(layer).replaced.disconnect(self._on_pixels)
        self._watched.clear()

    def _on_pixels(self, event: Any) -> None:
        self._on_replaced(event.layer)

    def _on_replaced(self, layer: Image) -> None:
        """React to replaced pixels of a watched layer; does nothing here."""

    def _message(self, error: Exception) -> str:
        """Return the message of an error; an unexpected one is also reported to napari."""
        if is_refusal(error):
            error = explain(error)
        if isinstance(error, FcnError):
            return error.in_dock
        notification_manager.receive_error(type(error), error, error.__traceback__)
        return f"Unexpected error: {type(error).__name__}: {error}. Please report it."

    def _set(self, state: Any) -> None:
        self.state = state
        self.changed.emit(state)
