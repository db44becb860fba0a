"""The overlay of a run: a layer of probabilities as colours, and a layer of classes."""

from __future__ import annotations

import re
import time
from functools import cache
from importlib.metadata import version
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil
from napari.layers import Image, Labels

from napari_fcn.geometry import Region
from napari_fcn.gui._layers.canvas import BYTES_PER_PIXEL
from napari_fcn.gui._layers.class_colours import class_colormap, class_name_table
from napari_fcn.gui._layers.layer_image import METADATA_KEY, displayed_axes, slider_index
from napari_fcn.gui._layers.texture import upload_region
from napari_fcn.gui._layers.transforms import (
    add_hidden,
    align,
    find_layer,
    keep_aligned,
    region_on_layer,
    result_transform,
    tag_layer,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.components import ViewerModel
    from napari.layers import Layer

    from napari_fcn.gui._layers.canvas import Canvas
    from napari_fcn.gui._layers.colorize import ColourTile
    from napari_fcn.gui._layers.lazy_result import StoredCanvas

OVERLAY_KINDS = ("probabilities", "classes")
MAX_MEMORY_FRACTION = 0.8  # of the free memory that results may take
MAX_OVERLAY_BYTES = 2**30  # bytes of results in memory, at most
REDRAW_PAUSE_3D = 1.0  # seconds between two updates of the 3-D view, where each costs a full rendering
REDRAW_RATIO = 15  # time between two redraws of a whole layer, relative to the duration of one


@cache
def supports_colour_volumes() -> bool:
    """Whether volumes are drawn in colour: before vispy 0.17 they were grey."""
    return tuple(int(part) for part in re.findall(r"\d+", version("vispy"))[:2]) >= (0, 17)


def fits_in_memory(shape: Sequence[int]) -> bool:
    """Whether the result layers for image axes of this shape fit in memory."""
    needed = BYTES_PER_PIXEL * prod(shape)
    return needed <= min(MAX_OVERLAY_BYTES, psutil.virtual_memory().available * MAX_MEMORY_FRACTION)


class Overlay:
    """The result layers of one run on one source layer.

    Layers of an earlier run on the same source are reused. The probabilities appear at once and the classes with
    the next `refresh`, because napari takes 50 ms to add a layer. Only the GUI thread may call this.

    Parameters
    ----------
    viewer : ViewerModel
        The viewer to which the layers are added.
    source : Image
        The segmented layer.
    channel : int, optional
        Axis of the layer that holds its channels; None if it has none or they are colours.
    canvas : Canvas or StoredCanvas
        The data of the layers.
    classes : sequence of (str, str)
        Name and colour ``#rrggbb`` of each class.
    """

    def __init__(
        self,
        viewer: ViewerModel,
        source: Image,
        channel: int | None,
        canvas: Canvas | StoredCanvas,
        classes: Sequence[tuple[str, str]],
    ) -> None:
        self.viewer, self.source, self.canvas, self.classes = viewer, source, canvas, classes
        self._channel = channel
        self._pending: list[ColourTile] = []
        self._next_redraw = 0.0
        self.layers: dict[str, Layer] = {}
        self._layer_data: dict[str, Any] = {}  # the data that each layer shows
        self._provide_layer(OVERLAY_KINDS[0])

    @property
    def is_complete(self) -> bool:
        """Whether the source and both results are still in the viewer."""
        return all(layer in self.viewer.layers for layer in (self.source, *self.layers.values()))

    def write(self, tile: ColourTile) -> None:
        """Store one tile; `refresh` shows it."""
        self.canvas.put(tile)
        self._pending.append(tile)

    def refresh(self) -> None:
        """Show the tiles that were written since the last call and are visible."""
        missing = [kind for kind in OVERLAY_KINDS if kind not in self.layers]
        if missing:
            self._provide_layer(missing[0])
            return
        if time.monotonic() < self._next_redraw:
            return
        pending, self._pending = self._pending, []
        if pending and self.viewer.dims.ndisplay == 3:
            self._next_redraw = time.monotonic() + REDRAW_PAUSE_3D
        for kind, layer in self.layers.items():
            if (
                layer.visible
                and layer in self.viewer.layers
                and self._has_own_data(kind, layer)
                and any(self._is_shown(layer, tile.region) for tile in pending)
            ):
                self._update_layer(layer, pending)

    def finish(self) -> None:
        """Bring the layers fully up to date after the last tile."""
        self._pending = []
        for kind in OVERLAY_KINDS:
            if kind not in self.layers:
                self._provide_layer(kind)
        for layer in self.layers.values():
            layer.refresh(extent=False, highlight=False)

    def reload(self) -> None:
        """Show the current window of the canvas."""
        self._pending = []
        for kind, layer in self.layers.items():
            if layer in self.viewer.layers:
                self._set_data(kind, layer, self._canvas_data(kind))

    def set_classes(self, classes: Sequence[tuple[str, str]]) -> None:
        """Show other names and colours."""
        self.classes = classes
        layer = self.layers.get("classes")
        if layer is not None:
            layer.colormap, layer.features = class_colormap(self.classes), class_name_table(self.classes)

    def add_metadata(self, facts: dict[str, Any]) -> None:
        """Store facts about the run in the metadata of the layers."""
        for layer in self.layers.values():
            layer.metadata[METADATA_KEY] = {**layer.metadata[METADATA_KEY], **facts}

    def _provide_layer(self, kind: str) -> None:
        """Add a result layer to the viewer, or reuse one; the selection stays."""
        layer = self._reuse_layer(kind)
        if layer is None:
            layer = self._create_layer(kind)
            # Only now: if a visible layer is selected in 3-D, napari reads its value under the mouse, which may fail.
            layer.visible = kind == self._initial_kind
        self.layers[kind] = layer
        self._layer_data[kind] = _finest(layer)

    @property
    def _initial_kind(self) -> str:
        """The kind that is visible initially."""
        is_grey = self.viewer.dims.ndisplay == 3 and not supports_colour_volumes()
        return OVERLAY_KINDS[1] if is_grey else OVERLAY_KINDS[0]

    def _canvas_data(self, kind: str) -> Any:
        """Return the array for the layer, or its levels."""
        return self.canvas.layer_data(kind, self._channel)

    def _reuse_layer(self, kind: str) -> Layer | None:
        layer = find_layer(self.viewer, self.source, kind)
        data = self._canvas_data(kind)
        if layer is not None and layer.multiscale != isinstance(data, list):
            self.viewer.layers.remove(layer)
            layer = None
        if layer is None:
            return None
        self._set_data(kind, layer, data)
        if kind == "classes":
            layer.colormap, layer.features = class_colormap(self.classes), class_name_table(self.classes)
        return layer

    def _set_data(self, kind: str, layer: Layer, data: Any) -> None:
        """Set the data of a layer, and align it."""
        tag_layer(layer, self.source, kind, self._channel, origin=self._origin)
        layer.data = data
        self._layer_data[kind] = _finest(layer)
        align(layer, self.source)

    @property
    def _origin(self) -> tuple[int, ...]:
        """Origin of the layers, on their own axes."""
        return region_on_layer(self.canvas.window, self._channel).start

    def _create_layer(self, kind: str) -> Layer:
        name = f"{self.source.name} {kind}"
        transform = result_transform(self.source, self._channel, self._origin)
        layer: Layer
        data = self._canvas_data(kind)
        transform["multiscale"] = isinstance(data, list)
        if kind == "probabilities":
            layer = Image(data, name=name, rgb=True, opacity=0.7, **transform)
        else:
            colours, names = class_colormap(self.classes), class_name_table(self.classes)
            layer = Labels(data, name=name, colormap=colours, features=names, **transform)
        tag_layer(layer, self.source, kind, self._channel, origin=self._origin)
        add_hidden(self.viewer, layer, self.source)
        keep_aligned(layer, self.source)
        return layer

    def _has_own_data(self, kind: str, layer: Layer) -> bool:
        """Whether a layer still has our data, not data that were set since."""
        return _finest(layer) is self._layer_data[kind]

    def _is_shown(self, layer: Layer, region: Region) -> bool:
        return not self._region_on_layer(region).intersection(self._displayed_region(layer)).is_empty

    def _region_on_layer(self, region: Region) -> Region:
        """Return the part of a region of the image in the window, on the axes of the layers."""
        window = self.canvas.window
        return region_on_layer(region.intersection(window).relative_to(window), self._channel)

    def _displayed_region(self, layer: Layer) -> Region:
        """Return the displayed slice of a result layer."""
        shown, index = displayed_axes(self.viewer, layer), slider_index(self.viewer, layer)
        shape = _finest(layer).shape[: layer.ndim]
        return Region(
            tuple(0 if axis in shown else index[axis] for axis in range(layer.ndim)),
            tuple(n if axis in shown else index[axis] + 1 for axis, n in enumerate(shape)),
        )

    def _update_layer(self, layer: Layer, pending: list[ColourTile]) -> None:
        plane = self._displayed_region(layer)
        for tile in pending:
            region = self._region_on_layer(tile.region).intersection(plane)
            is_lazy = not isinstance(layer.data, np.ndarray)  # napari draws a copy
            if not region.is_empty and (is_lazy or not upload_region(self.viewer, layer, region)):
                self._redraw(layer)
                return

    def _redraw(self, layer: Layer) -> None:
        """Refresh a whole layer, and then pause, so that the window stays responsive."""
        start = time.monotonic()
        layer.refresh(thumbnail=False, extent=False, highlight=False)
        self._next_redraw = time.monotonic() + REDRAW_RATIO * (time.monotonic() - start)


def _finest(layer: Layer) -> Any:
    """Return the data of a layer at full resolution."""
    return layer.data[0] if layer.multiscale else layer.data
