"""Layers for a part of an image: changes, uncertainty, the predictions of another model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from napari.components import Dims
from napari.layers import Image, Labels, Shapes

from napari_fcn.gui._layers.class_colours import stroke_colormap, stroke_name_table
from napari_fcn.gui._layers.layer_image import displayed_axes
from napari_fcn.gui._layers.napari_private import slice_layer
from napari_fcn.gui._layers.screen import camera_of
from napari_fcn.gui._layers.transforms import (
    add_result,
    align,
    find_layer,
    keep_aligned,
    region_on_layer,
    result_transform,
    tag_layer,
    to_layer_axes,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt
    from napari.components import ViewerModel
    from napari.layers import Layer

    from napari_fcn.geometry import Region

    MakeLayer = Callable[..., Layer]

HIGHLIGHT_COLOUR = "#f0e442"  # visible on dark and bright; not a colour of a class


class PartialLayer:
    """A layer for a part of an image; created at the first use, then reused for other parts.

    Parameters
    ----------
    viewer : ViewerModel
        The viewer to which the layer is added.
    source : Image
        The image.
    channel : int, optional
        Axis of the image layer that holds its channels; None if it has none or they are colours.
    kind : str
        Kind of the layer; its name is that of the image and the kind.
    """

    def __init__(self, viewer: ViewerModel, source: Image, channel: int | None, kind: str) -> None:
        self._viewer, self._source, self._channel, self.kind = viewer, source, channel, kind

    @property
    def layer(self) -> Layer | None:
        """The layer, if it is in the viewer."""
        return find_layer(self._viewer, self._source, self.kind)

    @property
    def is_shown(self) -> bool:
        """Whether the layer exists and is visible."""
        return self.layer is not None and bool(self.layer.visible)

    def show(self, region: Region, array: npt.NDArray[Any], make: MakeLayer, **attributes: Any) -> Layer:
        """Show an array over a region of the image axes.

        Parameters
        ----------
        region : Region
            Region on the image axes.
        array : ndarray
            Values in the region; colours on the last axis, if any.
        make : callable
            Returns a new layer for the array.
        attributes : object
            Arguments for ``make``, set as attributes of an existing layer.
        """
        origin = region_on_layer(region, self._channel).start
        data = to_layer_axes(array, self._channel)
        layer = self.layer
        if layer is None:
            name = f"{self._source.name} {self.kind}"
            layer = make(data, name=name, **attributes, **result_transform(self._source, self._channel, origin))
            tag_layer(layer, self._source, self.kind, self._channel, origin=origin)
            add_result(self._viewer, layer, self._source)
            keep_aligned(layer, self._source)
            return layer
        layer.data = data
        for name, value in attributes.items():
            setattr(layer, name, value)
        tag_layer(layer, self._source, self.kind, self._channel, origin=origin)
        align(layer, self._source)
        layer.visible = True
        return layer

    def hide(self) -> None:
        """Hide the layer; it is not removed, because napari may fail when layers are removed."""
        if self.layer is not None:
            self.layer.visible = False


def show_changes(
    partial_layer: PartialLayer, region: Region, changed: npt.NDArray[np.uint8], classes: Sequence[tuple[str, str]]
) -> None:
    """Show where the predicted class would change, in the colour of the new class."""
    partial_layer.show(region, changed, Labels, colormap=stroke_colormap(classes), features=stroke_name_table(classes))


def show_uncertainty(partial_layer: PartialLayer, region: Region, values: npt.NDArray[np.uint8]) -> None:
    """Show the uncertainty of the network, from 0 (dark) to 255 (bright)."""
    partial_layer.show(region, values, _heat_layer)


def show_prediction(partial_layer: PartialLayer, region: Region, colours: npt.NDArray[np.uint8]) -> None:
    """Show an RGBA overlay."""
    partial_layer.show(region, colours, _rgb_layer)


class BoxLayer(PartialLayer):
    """A layer with one box in it."""

    def show_box(self, region: Region, like: Layer) -> None:
        """Draw a box around a region of the image axes, in the displayed plane of a layer on the same axes."""
        box = _box_corners(region_on_layer(region, self._channel), displayed_axes(self._viewer, like))
        layer = self.layer
        if layer is not None:
            draw_polygons(self._viewer, layer, [box])
            tag_layer(layer, self._source, self.kind, self._channel)
            layer.visible = True
            return
        name = f"{self._source.name} {self.kind}"
        pixel = 2 / max(1e-6, float(camera_of(self._viewer).zoom))
        layer = Shapes(
            [box],
            shape_type="polygon",
            edge_color=HIGHLIGHT_COLOUR,
            face_color="transparent",
            edge_width=pixel,
            name=name,
            **result_transform(self._source, self._channel),
        )
        tag_layer(layer, self._source, self.kind, self._channel)
        add_result(self._viewer, layer, self._source)
        keep_aligned(layer, self._source)


def draw_polygons(viewer: ViewerModel, layer: Shapes, polygons: Sequence[npt.NDArray[np.float64]]) -> None:
    """Set the polygons of a Shapes layer; napari 0.9 fails if the view has more axes than the layer."""
    is_flat = layer.ndim < viewer.dims.ndisplay
    if is_flat:
        slice_layer(layer, Dims(ndim=layer.ndim, ndisplay=layer.ndim))
    layer.data = (polygons, ["polygon"] * len(polygons))
    if is_flat:
        slice_layer(layer, viewer.dims)


def _box_corners(region: Region, shown: Sequence[int]) -> npt.NDArray[np.float64]:
    """Return the corners of a box, one row each, in the middle of the axes that are not displayed."""
    middle = (np.add(region.start, region.stop) - 1) / 2
    corners = np.tile(middle, (4, 1))
    rows, columns = shown[-2:] if len(shown) > 1 else (shown[-1], shown[-1])
    low, high = np.subtract(region.start, 0.5), np.subtract(region.stop, 0.5)
    corners[:, rows] = low[rows], low[rows], high[rows], high[rows]
    corners[:, columns] = low[columns], high[columns], high[columns], low[columns]
    return corners


def _heat_layer(data: npt.NDArray[np.uint8], **more: Any) -> Image:
    return Image(data, colormap="magma", contrast_limits=(0, 255), blending="additive", opacity=0.8, rgb=False, **more)


def _rgb_layer(data: npt.NDArray[np.uint8], **more: Any) -> Image:
    return Image(data, rgb=True, opacity=0.7, **more)
