"""Layers of the receptive field: its box, the influence of each pixel, and maps of the checks."""

from __future__ import annotations

from itertools import product
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Shapes
from napari.utils.colormaps import Colormap, ensure_colormap

from napari_fcn.geometry import Region
from napari_fcn.gui._layers.partial_layers import PartialLayer, draw_polygons
from napari_fcn.gui._layers.screen import camera_of
from napari_fcn.gui._layers.transforms import (
    add_result,
    align,
    keep_aligned,
    region_on_layer,
    result_transform,
    tag_layer,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt
    from napari.components import ViewerModel
    from napari.layers import Layer

BOX_NAME, HEAT_NAME = "receptive field", "influence"
MAP_NAMES = {
    "certificate": "tiled against whole",
    "equivariance": "change under shifts",
    "border": "influence of padding",
}
BOX_COLOUR = "#2f9bff"  # unlike the colours of the heat map; visible on dark and bright
LINE_WIDTH = 2.0  # pixels of the window
GAMMA = 0.45  # so that weak influence is visible
CORE_INFLUENCE = 0.25  # of the influence: the pixels that hold it are drawn brightest
OPAQUE_FROM = 0.25  # of the scale: from here on, at least half opaque
MAX_PLANES = 512  # on which a box is drawn, at most
COLORMAP_STEPS = 256


class FieldLayers:
    """The receptive-field layers of one image, ``source``; created at the first use, then reused.

    Parameters
    ----------
    viewer : ViewerModel
        The viewer to which the layers are added.
    source : Image
        The image layer.
    channel : int, optional
        Axis of the image layer that holds its channels; None if it has none or they are colours.
    """

    def __init__(self, viewer: ViewerModel, source: Image, channel: int | None) -> None:
        self._viewer, self.source, self._channel = viewer, source, channel
        self._box = PartialLayer(viewer, source, channel, BOX_NAME)
        self._heat = PartialLayer(viewer, source, channel, HEAT_NAME)
        self._maps = {kind: PartialLayer(viewer, source, channel, name) for kind, name in MAP_NAMES.items()}

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The layers that are in the viewer."""
        return tuple(part.layer for part in (self._box, self._heat, *self._maps.values()) if part.layer is not None)

    def show_box(self, region: Region, index: Sequence[int]) -> None:
        """Draw the box of the receptive field on each plane that it covers, and a mark around the pixel."""
        pixel = region_on_layer(Region(tuple(index), tuple(i + 1 for i in index)), self._channel)
        axes = self._drawing_axes(len(pixel.start))
        box = _outlines(region_on_layer(region, self._channel), axes, pixel.start)
        polygons = [*box, *_outlines(pixel, axes, pixel.start)]
        layer = self._box.layer
        if layer is None:
            self._add_box(polygons)
            return
        draw_polygons(self._viewer, layer, polygons)
        layer.edge_width = self._line_width()
        tag_layer(layer, self.source, BOX_NAME, self._channel)
        align(layer, self.source)
        layer.visible = True

    def show_heat(self, region: Region, heat: npt.NDArray[np.float32]) -> None:
        """Show the influence of each pixel of a region, relative to the largest; hide the maps.

        The strongest pixels, which hold a quarter of the influence, are all drawn brightest: otherwise a single one
        could make all others dark.
        """
        for layer in self._maps.values():
            _hide(layer)
        top = float(heat.max(initial=0.0))
        relative = heat / top if top > 0 else heat
        self._heat.show(region, relative, _map_layer, contrast_limits=(0.0, saturation_value(relative)), gamma=GAMMA)

    def hide_heat(self) -> None:
        """Hide the heat map."""
        _hide(self._heat)

    def hide(self) -> None:
        """Hide all layers."""
        for layer in (self._box, self._heat, *self._maps.values()):
            _hide(layer)

    def show_map(self, kind: str, region: Region, values: npt.NDArray[np.float32], top: float) -> None:
        """Show the map of a check, from 0 to ``top``, and hide the other layers."""
        for layer in (*self._maps.values(), self._heat, self._box):
            if layer is not self._maps[kind]:
                _hide(layer)
        self._maps[kind].show(region, values, _map_layer, contrast_limits=(0.0, top), gamma=1.0)

    def _add_box(self, polygons: list[npt.NDArray[np.float64]]) -> None:
        layer = Shapes(
            polygons,
            shape_type="polygon",
            edge_color=BOX_COLOUR,
            face_color="transparent",
            edge_width=self._line_width(),
            name=f"{self.source.name} {BOX_NAME}",
            **result_transform(self.source, self._channel),
        )
        tag_layer(layer, self.source, BOX_NAME, self._channel)
        add_result(self._viewer, layer, self.source)
        keep_aligned(layer, self.source)

    def _line_width(self) -> float:
        """Return the line width in pixels of the image for `LINE_WIDTH` on the screen."""
        step = max(1e-12, min(abs(float(s)) for s in self.source.scale[-2:]))
        return LINE_WIDTH / max(1e-12, float(camera_of(self._viewer).zoom)) / step

    def _drawing_axes(self, ndim: int) -> tuple[int, int]:
        """Return the two axes of the results in whose plane boxes are drawn."""
        offset = self._viewer.dims.ndim - ndim
        shown = [axis - offset for axis in self._viewer.dims.displayed if axis >= offset]
        return (shown[-2], shown[-1]) if len(shown) > 1 else (shown[-1], shown[-1])


def saturation_value(heat: npt.NDArray[np.float32]) -> float:
    """Return the value from which on pixels are drawn brightest; 1 if there is no influence."""
    descending = np.sort(heat, axis=None)[::-1]
    total = np.cumsum(descending, dtype=np.float64)
    if not total.size or total[-1] <= 0:
        return 1.0
    return float(descending[np.searchsorted(total, CORE_INFLUENCE * total[-1])])


def _hide(layer: PartialLayer) -> None:
    if layer.is_shown:
        layer.hide()


def _outlines(region: Region, axes: tuple[int, int], pixel: Sequence[int]) -> Iterator[npt.NDArray[np.float64]]:
    """Yield the corners of a box on each plane that it covers; on that of the pixel only, if there are too many."""
    rows, columns = axes
    low, high = np.subtract(region.start, 0.5), np.subtract(region.stop, 0.5)
    others = [axis for axis in range(region.ndim) if axis not in axes]
    is_thick = prod(region.shape[axis] for axis in others) > MAX_PLANES
    spans = [[pixel[axis]] if is_thick else range(region.start[axis], region.stop[axis]) for axis in others]
    for plane in product(*spans):
        corners = np.zeros((4, region.ndim))
        corners[:, others] = plane
        corners[:, rows] = low[rows], low[rows], high[rows], high[rows]
        corners[:, columns] = low[columns], high[columns], high[columns], low[columns]
        yield corners


def _map_layer(data: npt.NDArray[np.float32], **options: Any) -> Image:
    """Return a layer that is transparent where the values are low, so that the image is visible."""
    return Image(data, colormap=_transparent_inferno(), blending="translucent", rgb=False, **options)


def _transparent_inferno() -> Colormap:
    """Return the colormap inferno, which is safe for colour-blind people, with transparent low values."""
    colours = np.array(ensure_colormap("inferno").map(np.linspace(0, 1, COLORMAP_STEPS)))
    colours[:, 3] = np.clip(np.linspace(0, 1, COLORMAP_STEPS) / (2 * OPAQUE_FROM), 0, 0.85)
    return Colormap(colours, name="inferno, transparent")
