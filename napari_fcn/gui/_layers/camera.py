"""The camera: moves to a region, changes of the view, and the next frame."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QObject, Signal

from napari_fcn.gui._layers.layer_image import displayed_axes
from napari_fcn.gui._layers.napari_private import scene_canvas
from napari_fcn.gui._layers.screen import camera_of
from napari_fcn.gui._timers import MakeTimer, single_shot

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari.components import ViewerModel
    from napari.layers import Layer

    from napari_fcn.geometry import Region

SETTLE_MS = 150  # milliseconds without a move after which the view counts as settled
MAX_ZOOM_STEP = 8.0  # factor of one move
MIN_WINDOW_FRACTION = 1 / 12  # of the window: smaller regions are enlarged to this size
FIT_FRACTION = 0.95  # of the window that a fitted image fills


class ViewWatcher(QObject):
    """Reports when the view has changed and settled.

    Attributes
    ----------
    settled : Signal()
        The view has changed, and has not moved for `SETTLE_MS`.
    """

    settled = Signal()

    def __init__(self, viewer: ViewerModel, parent: QObject | None = None, timer: MakeTimer = single_shot) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._timer = timer(self, self.settled.emit, SETTLE_MS)

    def connect(self) -> None:
        """Watch the viewer."""
        for emitter in self._emitters():
            emitter.connect(self._on_moved)

    def disconnect_viewer(self) -> None:
        """Disconnect from the viewer."""
        self._timer.stop()
        for emitter in self._emitters():
            emitter.disconnect(self._on_moved)

    def _emitters(self) -> list[Any]:
        camera, dims = camera_of(self._viewer).events, self._viewer.dims.events
        canvas = scene_canvas(self._viewer)
        size = [] if canvas is None else [canvas.events.resize]
        return [camera.center, camera.zoom, camera.angles, dims.point, dims.order, dims.ndisplay, *size]

    def _on_moved(self, _: object = None) -> None:
        self._timer.start()


def bring_into_view(viewer: ViewerModel, layer: Layer, region: Region, source: Layer | None = None) -> None:
    """Move sliders and camera to a region of a layer, unless it is well visible already.

    The camera zooms only if the region is larger than the window, or very small in it. It stays within ``source`` if
    the layer shows only a part of it.
    """
    shown = displayed_axes(viewer, layer)
    world = np.asarray(layer.data_to_world((np.add(region.start, region.stop) - 1) / 2))
    for axis in set(range(layer.ndim)) - set(shown):
        viewer.dims.set_point(axis + viewer.dims.ndim - layer.ndim, float(world[axis]))
    canvas = scene_canvas(viewer)
    if canvas is None or viewer.dims.ndisplay != 2:
        return
    camera = camera_of(viewer)
    height, width = reversed(canvas.size)
    pixels = [region.shape[axis] * abs(float(layer.scale[axis])) * camera.zoom for axis in shown]
    is_speck, is_large = max(pixels) < MIN_WINDOW_FRACTION * min(height, width), max(pixels) > min(height, width)
    if not (is_speck or is_large) and _is_in_view(layer, region, shown):
        return
    if is_large:
        camera.zoom *= 0.8 * min(height, width) / max(pixels)
    elif is_speck:
        camera.zoom *= min(MAX_ZOOM_STEP, MIN_WINDOW_FRACTION * min(height, width) / max(1e-6, *pixels))
    half = np.array([height, width][-len(shown) :]) / 2 / camera.zoom
    outer = layer if source is None else source
    low, high = (np.asarray(edge)[list(displayed_axes(viewer, outer))] for edge in outer.extent.world)
    low, high = low + half, high - half
    centre = np.where(
        low < high, np.clip(world[list(shown)], low, high), (low + high) / 2
    )  # shows as little empty canvas as possible
    camera.center = (*camera.center[: len(camera.center) - len(shown)], *map(float, centre))


def fit_view(viewer: ViewerModel, layer: Layer) -> None:
    """Move sliders and camera so that a layer fills the window, unless all of it is well visible already."""
    low, high = np.asarray(layer.extent.world)
    shown = list(displayed_axes(viewer, layer))
    for axis in set(range(layer.ndim)) - set(shown):
        slider = axis + viewer.dims.ndim - layer.ndim
        if not low[axis] <= viewer.dims.point[slider] <= high[axis]:
            viewer.dims.set_point(slider, float(low[axis] + high[axis]) / 2)
    canvas = scene_canvas(viewer)
    if canvas is None or viewer.dims.ndisplay != 2 or not shown:
        return
    camera = camera_of(viewer)
    window = np.array(canvas.size[::-1][-len(shown) :], float)
    low, high = low[shown], high[shown]
    zoom = FIT_FRACTION * float(np.min(window / np.maximum(high - low, 1e-9)))
    centre, half = np.array(camera.center)[-len(shown) :], window / 2 / camera.zoom
    is_whole = bool(np.all(centre - half <= low) and np.all(high <= centre + half))
    if is_whole and camera.zoom > zoom / 3:
        return
    camera.zoom = zoom
    camera.center = (*camera.center[: len(camera.center) - len(shown)], *map(float, (low + high) / 2))


def _is_in_view(layer: Layer, region: Region, shown: Sequence[int]) -> bool:
    first, last = layer.corner_pixels
    return all(first[axis] <= region.start[axis] and region.stop[axis] - 1 <= last[axis] for axis in shown)


def call_after_draw(viewer: ViewerModel, call: Callable[[], None]) -> None:
    """Call a function after the next frame; at once if there is no window."""
    canvas = scene_canvas(viewer)
    if canvas is None:
        call()
        return

    def on_draw(_: object = None) -> None:
        canvas.events.draw.disconnect(on_draw)
        call()

    canvas.events.draw.connect(on_draw, position="last")
