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

SETTLE_MS = 150  # milliseconds without a move after which somebody looks at something
MAX_ZOOM_STEP = 8.0  # at once
MIN_WINDOW_FRACTION = 1 / 12  # of the window that something to look at should fill
FIT_FRACTION = 0.95  # of the window that an image fills which is looked at as a whole


class ViewWatcher(QObject):
    """Reports when the view has changed and come to rest.

    Attributes
    ----------
    settled : Signal()
        The view has changed, and then rested for a moment.
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
        """Let go of the viewer."""
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
    """Move sliders and camera so that a region of a layer is seen well; what is seen well already stays where it is.

    The camera zooms only if the region would be larger than the window, or a speck in it. It stays over ``source``, if
    the layer shows only a part of that.
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
    whole = layer if source is None else source
    low, high = (np.asarray(edge)[list(displayed_axes(viewer, whole))] for edge in whole.extent.world)
    low, high = low + half, high - half
    centre = np.where(low < high, np.clip(world[list(shown)], low, high), (low + high) / 2)  # no more void than needed
    camera.center = (*camera.center[: len(camera.center) - len(shown)], *map(float, centre))


def fit_view(viewer: ViewerModel, layer: Layer) -> None:
    """Move sliders and camera so that a layer fills the window; where it is seen whole and well already, none moves."""
    low, high = np.asarray(layer.extent.world)
    shown = list(displayed_axes(viewer, layer))
    for axis in set(range(layer.ndim)) - set(shown):
        place = axis + viewer.dims.ndim - layer.ndim
        if not low[axis] <= viewer.dims.point[place] <= high[axis]:
            viewer.dims.set_point(place, float(low[axis] + high[axis]) / 2)
    canvas = scene_canvas(viewer)
    if canvas is None or viewer.dims.ndisplay != 2 or not shown:
        return
    camera = camera_of(viewer)
    window = np.array(canvas.size[::-1][-len(shown) :], float)
    low, high = low[shown], high[shown]
    wanted = FIT_FRACTION * float(np.min(window / np.maximum(high - low, 1e-9)))
    centre, half = np.array(camera.center)[-len(shown) :], window / 2 / camera.zoom
    is_whole = bool(np.all(centre - half <= low) and np.all(high <= centre + half))
    if is_whole and camera.zoom > wanted / 3:
        return
    camera.zoom = wanted
    camera.center = (*camera.center[: len(camera.center) - len(shown)], *map(float, (low + high) / 2))


def _is_in_view(layer: Layer, region: Region, shown: Sequence[int]) -> bool:
    first, last = layer.corner_pixels
    return all(first[axis] <= region.start[axis] and region.stop[axis] - 1 <= last[axis] for axis in shown)


def call_after_draw(viewer: ViewerModel, call: Callable[[], None]) -> None:
    """Call once the window has been drawn the next time; at once where there is no window."""
    canvas = scene_canvas(viewer)
    if canvas is None:
        call()
        return

    def on_draw(_: object = None) -> None:
        canvas.events.draw.disconnect(on_draw)
        call()

    canvas.events.draw.connect(on_draw, position="last")
