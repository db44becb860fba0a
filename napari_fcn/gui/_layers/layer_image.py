"""Image layers as the engine reads them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image

from napari_fcn.errors import ImageError
from napari_fcn.geometry import Region
from napari_fcn.geometry.axes import axis_names
from napari_fcn.gui._layers.layer_calibration import layer_calibration
from napari_fcn.gui._layers.layer_metadata import channel_names, file_header
from napari_fcn.gui._layers.screen import visible_world_corners
from napari_fcn.io.image_file import NO_CALIBRATION
from napari_fcn.models.binding import ImageForm, Network, bind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.components import ViewerModel
    from napari.layers import Layer

    from napari_fcn.geometry import Axes
    from napari_fcn.geometry.calibration import Calibration
    from napari_fcn.models.binding import Binding, NetworkShape

METADATA_KEY = "napari_fcn"  # entry in the metadata of our result layers
DEFAULT_AXIS_NAME = re.compile(r"axis -?\d+|-?\d+|")  # napari's names of unnamed axes


@dataclass(frozen=True, slots=True, eq=False)
class LayerImage:
    """An image layer as the engine reads it.

    Attributes
    ----------
    name : str
        Name of the layer.
    data : array-like
        Pixels at full resolution: numpy, dask, zarr.
    names : tuple of str
        One name for each axis of ``data``, colours included; empty if unknown.
    rgb : bool
        Whether the last axis holds colours.
    path : str
        File of the layer; empty if it has none.
    calibration : Calibration
        Size, unit and origin of the pixels along each axis, colours not included.
    channels : tuple of str
        Names of the channels; empty if unknown.
    notes : tuple of str
        Notes on the parts of the transform that a file cannot store.
    meaning : str
        Meaning of the values if they are not intensities, as a phrase; else empty.
    """

    name: str
    data: Any
    names: tuple[str, ...]
    rgb: bool
    path: str = ""
    calibration: Calibration = NO_CALIBRATION
    channels: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    meaning: str = ""

    @property
    def files(self) -> tuple[Path, ...]:
        """Files and folders with the pixels, as far as known."""
        store = getattr(getattr(self.data, "store", None), "root", None)
        mapped = getattr(self.data, "filename", None)
        paths = (self.path if "://" not in self.path else "", store, mapped)
        return tuple(Path(path) for path in paths if isinstance(path, str | Path) and str(path))

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each axis, colours included."""
        return tuple(int(n) for n in self.data.shape)

    @property
    def spacing(self) -> tuple[tuple[float, str], ...]:
        """Pixel size and unit along each axis, colours not included."""
        return tuple(zip(self.calibration.scale, self.calibration.units, strict=True))

    @property
    def form(self) -> ImageForm:
        """Shape, names and calibration, for the binding to a model."""
        return ImageForm(self.shape, self.names, self.rgb, self.calibration)

    def bind(self, network: NetworkShape, names: Sequence[str] = ()) -> Binding:
        """Return how a network reads the layer.

        Parameters
        ----------
        network : NetworkShape
            The input of the network.
        names : sequence of str
            Names of the axes as typed by the user, colours not included; empty: those of the layer.

        Raises
        ------
        ImageError
            If the names do not match the shape, or the network cannot read the image.
        """
        try:
            return bind(self.form, network, names)
        except ImageError as error:
            raise ImageError(f"{self.name}: {error.short}" if self.name else error.short, error.advice) from error

    def axes(self, ndim: int, names: Sequence[str] = ()) -> Axes:
        """Return the role of each axis for a network of ``ndim`` dimensions with one channel."""
        return self.bind(Network(ndim), names).axes


def unwrap_viewer(viewer: ViewerModel) -> ViewerModel:
    """Return the viewer itself: plugins get a proxy, whose layers are proxies without stable identity."""
    return getattr(viewer, "__wrapped__", viewer)


def is_segmentable(layer: Layer | None) -> bool:
    """Whether a network can run on this layer: an image that is not one of our results."""
    return isinstance(layer, Image) and METADATA_KEY not in layer.metadata


def read_layer(layer: Image) -> LayerImage:
    """Return an image layer for the engine; missing names and calibration are taken from its file."""
    data = layer.data[0] if layer.multiscale else layer.data
    header = file_header(layer, data.shape)
    stored = header.axes[: layer.ndim] if len(header.axes) == len(data.shape) else ()
    names = _valid_names(layer, layer.axis_labels) or _valid_names(layer, stored)
    channels = channel_names(layer.metadata) or header.channels
    path = str(layer.source.path or "")
    calibration, notes = layer_calibration(layer, header)
    return LayerImage(layer.name, data, names, bool(layer.rgb), path, calibration, channels, notes, header.meaning)


def _valid_names(layer: Image, labels: Sequence[str]) -> tuple[str, ...]:
    names = axis_names(labels)
    if any(DEFAULT_AXIS_NAME.fullmatch(name) for name in names) or len(set(names)) < len(names) or not names:
        return ()
    if layer.rgb and {"c", "s"} & set(names):
        return ()
    return (*names, "c") if layer.rgb else names


def visible_region(viewer: ViewerModel, layer: Image, axes: Axes) -> Region:
    """Return the visible region of a layer, on the axes of its results.

    If it is unknown (in 3-D, before the first draw), it is all of the displayed axes.
    """
    data = layer.data[0] if layer.multiscale else layer.data
    shape = tuple(int(n) for n in data.shape[: layer.ndim])
    shown, index = displayed_axes(viewer, layer), slider_index(viewer, layer)
    first, last = _visible_corners(viewer, layer)
    is_known = viewer.dims.ndisplay == 2 and any(first[axis] != last[axis] for axis in shown)
    spans = []
    for axis, length in enumerate(shape):
        if axis not in shown:
            spans.append((index[axis], index[axis] + 1))
        elif is_known:
            start = int(np.clip(first[axis], 0, max(0, length - 1)))
            spans.append((start, int(np.clip(last[axis] + 1, start + 1, max(length, start + 1)))))
        else:
            spans.append((0, length))
    spans = [span for axis, span in enumerate(spans) if axis != axes.channel_position]
    return Region(tuple(a for a, _ in spans), tuple(b for _, b in spans))


def _visible_corners(viewer: ViewerModel, layer: Image) -> tuple[np.ndarray, np.ndarray]:
    """Return the first and the last visible pixel at full resolution."""
    first, last = layer.corner_pixels
    if not layer.multiscale:
        return first, last
    factor = layer.downsample_factors[layer.data_level][: layer.ndim]
    first, last = np.floor(first * factor).astype(int), np.ceil((last + 1) * factor).astype(int) - 1
    corners = visible_world_corners(viewer)
    if corners is None:
        return first, last
    visible = np.array([layer.world_to_data(corner) for corner in corners])  # napari rounds to chunks of a pyramid
    shown = list(displayed_axes(viewer, layer))
    first[shown] = np.maximum(first, np.floor(visible.min(0)).astype(int))[shown]
    last[shown] = np.minimum(last, np.ceil(visible.max(0)).astype(int))[shown]
    return first, last


def displayed_axes(viewer: ViewerModel, layer: Layer) -> tuple[int, ...]:
    """Return the displayed axes of a layer, in drawing order."""
    offset = viewer.dims.ndim - layer.ndim  # napari aligns the last axes of layers
    return tuple(axis - offset for axis in viewer.dims.displayed if axis >= offset)


def slider_index(viewer: ViewerModel, layer: Layer) -> tuple[int, ...]:
    """Return the pixel of a layer at the position of the sliders, clipped to the layer."""
    point = layer.world_to_data(viewer.dims.point)
    shape = layer.data[0].shape if getattr(layer, "multiscale", False) else layer.data.shape
    return tuple(int(np.clip(round(float(p)), 0, max(0, n - 1))) for p, n in zip(point, shape, strict=False))


def slider_positions(viewer: ViewerModel, layer: Layer) -> dict[int, int]:
    """Return the slider position in pixels of each axis of a layer that is not displayed."""
    shown, index = displayed_axes(viewer, layer), slider_index(viewer, layer)
    return {axis: index[axis] for axis in range(layer.ndim) if axis not in shown}
