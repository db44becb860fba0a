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
BOX_COLOUR = "#2f9bff"  # far from the colours of the heat, seen on dark and bright
LINE_WIDTH = 2.0  # pixels of the window
GAMMA = 0.45  # so that the faint rim of a field can be read
CORE_INFLUENCE = 0.25  # of the influence
OPAQUE_FROM = 0.25  # of the scale: from here on the heat hides half or more of the image
MAX_PLANES = 512  # on which a box is drawn
COLORMAP_STEPS = 256


class FieldLayers:
    """The receptive-field layers of one image, ``source``; created at the first use, then reused.

    Parameters
    ----------
    viewer : ViewerModel
        Where they go.
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
        """Those that are in the viewer."""
        return tuple(crop.layer for crop in (self._box, self._heat, *self._maps.values()) if crop.layer is not None)

    def show_box(self, region: Region, index: Sequence[int]) -> None:
        """Draw the box of the receptive field on each plane that it covers, and a mark around the pixel."""
        at = region_on_layer(Region(tuple(index), tuple(i + 1 for i in index)), self._channel)
        planes = list(_outlines(region_on_layer(region, self._channel), self._drawing_axes(len(at.start)), at.start))
        drawn = [*planes, *_outlines(at, self._drawing_axes(len(at.start)), at.start)]
        layer = self._box.layer
        if layer is None:
            self._add_box(drawn)
            return
        draw_polygons(self._viewer, layer, drawn)
        layer.edge_width = self._line_width()
        tag_layer(layer, self.source, BOX_NAME, self._channel)
        align(layer, self.source)
        layer.visible = True

    def show_heat(self, region: Region, heat: npt.NDArray[np.float32]) -> None:
        """Show how much each pixel of a region counts, relative to the one that counts most; hide the maps.

        The few pixels that hold the first quarter of the influence are all as bright as can be: one that stands out
        would leave the others in the dark.
        """
        for crop in self._maps.values():
            _hide(crop)
        top = float(heat.max(initial=0.0))
        shown = heat / top if top > 0 else heat
        self._heat.show(region, shown, _map_layer, contrast_limits=(0.0, saturation_value(shown)), gamma=GAMMA)

    def hide_heat(self) -> None:
        """Take away the heat of another pixel."""
        _hide(self._heat)

    def hide(self) -> None:
        """Take away everything."""
        for crop in (self._box, self._heat, *self._maps.values()):
            _hide(crop)

    def show_map(self, kind: str, region: Region, values: npt.NDArray[np.float32], top: float) -> None:
        """Show one kind of map, from 0 to ``top``, and hide what else these layers show."""
        for known, crop in [*self._maps.items(), ("", self._heat), ("", self._box)]:
            if known != kind:
                _hide(crop)
        self._maps[kind].show(region, values, _map_layer, contrast_limits=(0.0, top), gamma=1.0)

    def _add_box(self, outlines: list[npt.NDArray[np.float64]]) -> None:
        layer = Shapes(
            outlines,
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
        """Return how thick a line has to be, in pixels of the image, to be seen."""
        step = max(1e-12, min(abs(float(s)) for s in self.source.scale[-2:]))
        return LINE_WIDTH / max(1e-12, float(camera_of(self._viewer).zoom)) / step

    def _drawing_axes(self, ndim: int) -> tuple[int, int]:
        """Return the two axes of the results in whose plane outlines are drawn."""
        offset = self._viewer.dims.ndim - ndim
        shown = [axis - offset for axis in self._viewer.dims.displayed if axis >= offset]
        return (shown[-2], shown[-1]) if len(shown) > 1 else (shown[-1], shown[-1])


def saturation_value(heat: npt.NDArray[np.float32]) -> float:
    """Return the value from which on pixels are shown as bright as can be; 1 where there is no influence."""
    falling = np.sort(heat, axis=None)[::-1]
    share = np.cumsum(falling, dtype=np.float64)
    return float(falling[np.searchsorted(share, CORE_INFLUENCE * share[-1])]) if share.size and share[-1] > 0 else 1.0


def _hide(crop: PartialLayer) -> None:
    if crop.is_shown:
        crop.hide()


def _outlines(region: Region, drawn: tuple[int, int], at: Sequence[int]) -> Iterator[npt.NDArray[np.float64]]:
    """Yield the corners of a box on each plane that it covers; on that of the pixel only, if these are too many."""
    rows, columns = drawn
    low, high = np.subtract(region.start, 0.5), np.subtract(region.stop, 0.5)
    others = [axis for axis in range(region.ndim) if axis not in drawn]
    is_thick = prod(region.shape[axis] for axis in others) > MAX_PLANES
    spans = [[at[axis]] if is_thick else range(region.start[axis], region.stop[axis]) for axis in others]
    for plane in product(*spans):
        corners = np.zeros((4, region.ndim))
        corners[:, others] = plane
        corners[:, rows] = low[rows], low[rows], high[rows], high[rows]
        corners[:, columns] = low[columns], high[columns], high[columns], low[columns]
        yield corners


def _map_layer(data: npt.NDArray[np.float32], **look: Any) -> Image:
    """Return a layer through which the image is seen where the values are low, on dark and on bright images."""
    return Image(data, colormap=_transparent_inferno(), blending="translucent", rgb=False, **look)


def _transparent_inferno() -> Colormap:
    """Return inferno, which colour-blind people can read, with nothing where it is darkest."""
    colours = np.array(ensure_colormap("inferno").map(np.linspace(0, 1, COLORMAP_STEPS)))
    colours[:, 3] = np.clip(np.linspace(0, 1, COLORMAP_STEPS) / (2 * OPAQUE_FROM), 0, 0.85)
    return Colormap(colours, name="inferno, see-through")
