"""The region of a run that the user chooses on the canvas: the visible one, or that of shapes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Shapes

from napari_fcn.errors import ImageError
from napari_fcn.geometry import Region
from napari_fcn.gui._layers.layer_image import displayed_axes, visible_region

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image

    from napari_fcn.geometry import Axes


@dataclass(frozen=True, slots=True)
class RegionChoice:
    """The choice of a region.

    Attributes
    ----------
    is_visible : bool
        Whether it is the visible region, on the plane of the sliders.
    shapes : Shapes, optional
        The layer whose shapes it contains.
    """

    is_visible: bool = False
    shapes: Shapes | None = None


WHOLE_IMAGE = RegionChoice()


def region_choices(viewer: ViewerModel) -> list[tuple[str, RegionChoice]]:
    """Return a text and a choice for each region that a user can choose."""
    layers = [layer for layer in viewer.layers if isinstance(layer, Shapes)]
    shapes = [(f"Shapes: {layer.name}", RegionChoice(shapes=layer)) for layer in layers]
    return [("Whole image", WHOLE_IMAGE), ("Visible region", RegionChoice(is_visible=True)), *shapes]


def chosen_region(viewer: ViewerModel, layer: Image, axes: Axes, choice: RegionChoice) -> Region | None:
    """Return a chosen region of an image layer, on the image axes; None for the whole image.

    Raises
    ------
    ImageError
        If the shapes are removed, there are none, or they lie outside of the image.
    """
    if choice.shapes is not None:
        return shapes_region(viewer, choice.shapes, layer, axes)
    return visible_region(viewer, layer, axes) if choice.is_visible else None


def shapes_region(viewer: ViewerModel, shapes: Shapes, layer: Image, axes: Axes) -> Region:
    """Return the box of the selected shapes, or of all, on the displayed axes of an image; others are whole.

    Raises
    ------
    ImageError
        If the shapes are removed, there are none, or they lie outside of the image.
    """
    chosen = sorted(shapes.selected_data) or range(len(shapes.data))
    vertices = [vertex for number in chosen for vertex in np.asarray(shapes.data[number])]
    if shapes not in viewer.layers or not vertices:
        raise ImageError(f"{shapes.name} has no shapes. Draw a rectangle on {layer.name}, or choose another region.")
    pixels = layer.data[0] if layer.multiscale else layer.data
    lengths = [int(n) for n in pixels.shape[: layer.ndim]]
    corners = np.array([_on_layer(shapes, layer, vertex) for vertex in vertices])
    shown = displayed_axes(viewer, layer)
    start, stop = [0] * layer.ndim, list(lengths)
    for axis in shown:  # a pixel reaches from -0.5 to 0.5 around its centre
        low, high = np.floor(corners[:, axis].min() + 0.5), np.ceil(corners[:, axis].max() + 0.5)
        start[axis], stop[axis] = int(np.clip(low, 0, lengths[axis])), int(np.clip(high, 0, lengths[axis]))
    kept = [axis for axis in range(layer.ndim) if axis != axes.channel_position]
    region = Region(tuple(start), tuple(stop)).take(kept)
    if region.is_empty:
        raise ImageError(f"The shapes of {shapes.name} are outside of {layer.name}. Draw a rectangle on the image.")
    return region


def _on_layer(shapes: Shapes, layer: Image, vertex: np.ndarray) -> np.ndarray:
    """Return the position of a vertex in pixels of a layer; layers are aligned at their last axes."""
    world = np.asarray(shapes.data_to_world(vertex), float)
    missing = layer.ndim - len(world)
    return np.asarray(layer.world_to_data(np.concatenate([np.zeros(max(0, missing)), world])[-layer.ndim :]))
