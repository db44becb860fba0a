"""The mouse over the canvas: clicks, moves, and the pixels under it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QObject, Signal

from napari_fcn.gui._layers.layer_image import read_layer

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from napari.components import ViewerModel
    from napari.layers import Image

MAX_CLICK_MOVEMENT = 3.0  # pixels of the window between press and release of a click


class Pointer(QObject):
    """Watches the mouse over the canvas, while enabled.

    Attributes
    ----------
    clicked, moved : Signal(object)
        Position in world coordinates.
    """

    clicked = Signal(object)
    moved = Signal(object)

    def __init__(self, viewer: ViewerModel, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self.is_enabled = False

    def set_enabled(self, is_enabled: bool) -> None:
        """Start or stop watching the mouse."""
        if is_enabled == self.is_enabled:
            return
        self.is_enabled = is_enabled
        if is_enabled:
            self._viewer.mouse_drag_callbacks.append(self._on_drag)
            self._viewer.mouse_move_callbacks.append(self._on_move)
        else:
            self._viewer.mouse_drag_callbacks.remove(self._on_drag)
            self._viewer.mouse_move_callbacks.remove(self._on_move)

    def _on_drag(self, _: object, event: Any) -> Iterator[None]:
        """Report a click without a drag; napari passes mouse events to a generator."""
        if event.button != 1:
            return
        position, start = tuple(event.position), np.array(event.pos, float)
        yield
        while event.type == "mouse_move":
            yield
        if np.abs(np.array(event.pos, float) - start).max() <= MAX_CLICK_MOVEMENT:
            self.clicked.emit(position)

    def _on_move(self, _: object, event: Any) -> None:
        self.moved.emit(tuple(event.position))


def pixel_at(layer: Image, position: Sequence[float], channel: int | None) -> tuple[int, ...]:
    """Return the pixel of a layer at a position, on the image axes; it may lie outside the layer.

    Parameters
    ----------
    layer : Image
        The layer.
    position : sequence of float
        Position in world coordinates.
    channel : int, optional
        Axis of the layer that holds its channels; None if it has none or they are colours.
    """
    point = np.asarray(layer.world_to_data(position), float)
    return tuple(int(np.floor(p + 0.5)) for axis, p in enumerate(point) if axis != channel)


def central_pixel(viewer: ViewerModel, layer: Image, channel: int | None) -> tuple[int, ...]:
    """Return the pixel at the sliders and at the middle of the displayed axes, on the image axes."""
    shape = read_layer(layer).shape[: layer.ndim]
    shown = {axis - (viewer.dims.ndim - layer.ndim) for axis in viewer.dims.displayed}
    sliders = pixel_at(layer, viewer.dims.point, None)
    pixel = [n // 2 if axis in shown else min(max(0, sliders[axis]), n - 1) for axis, n in enumerate(shape)]
    return tuple(i for axis, i in enumerate(pixel) if axis != channel)
