"""Transforms of result layers, which follow those of the image, and their metadata."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.utils.transforms import Affine

from napari_fcn.geometry import Region
from napari_fcn.gui._layers.layer_calibration import shear_matrix
from napari_fcn.gui._layers.layer_image import METADATA_KEY, read_layer
from napari_fcn.gui._layers.napari_private import ensure_view_direction, slice_layer, without_activation
from napari_fcn.gui._layers.pixel_watch import pixel_watch_for
from napari_fcn.gui._layers.screen import camera_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt
    from napari.components import ViewerModel
    from napari.layers import Image, Layer

CORRECTIONS_KIND = "corrections"  # the kind of layer that the user paints on
OUTDATED_SUFFIX = "(of earlier pixels)"  # after the name of a result whose image has changed
TRANSFORM_ATTRIBUTES = ("scale", "translate", "rotate", "shear", "affine", "units", "axis_labels")


def find_layer(viewer: ViewerModel, source: Image, kind: str) -> Layer | None:
    """Return our layer of this kind for a source, if there is one; copies by the user do not count."""
    for layer in viewer.layers:
        ids = {"kind": kind, "source": source.unique_id, "layer": layer.unique_id}
        if ids.items() <= layer.metadata.get(METADATA_KEY, {}).items():
            return layer
    return None


def tag_layer(layer: Layer, source: Image, kind: str, channel: int | None, **more: Any) -> None:
    """Store in the metadata of a layer that it is ours, its kind and its source; it is no longer outdated."""
    name = layer.metadata.get(METADATA_KEY, {}).get("outdated", "")
    if name and layer.name == f"{name} {OUTDATED_SUFFIX}":
        layer.name = name
    ids = {"source": source.unique_id, "layer": layer.unique_id}
    layer.metadata[METADATA_KEY] = {"kind": kind, "channel": channel, **ids, **more}


def mark_outdated(layer: Layer) -> None:
    """Mark a result of earlier pixels in its metadata and its name."""
    metadata = layer.metadata.get(METADATA_KEY, {})
    if not metadata or metadata.get("kind") == CORRECTIONS_KIND or is_outdated(layer):
        return
    layer.metadata[METADATA_KEY] = {**metadata, "outdated": layer.name}
    layer.name = f"{layer.name} {OUTDATED_SUFFIX}"


def is_outdated(layer: Layer) -> bool:
    """Whether the pixels of the image were replaced after a result was computed."""
    return bool(layer.metadata.get(METADATA_KEY, {}).get("outdated"))


def add_result(viewer: ViewerModel, layer: Layer, source: Image) -> None:
    """Add a layer below the corrections of its source, if there are any; the selection stays.

    Adding it on top and moving it would draw everything twice.
    """
    selected = viewer.layers.selection.active
    strokes = find_layer(viewer, source, CORRECTIONS_KIND)
    ensure_view_direction(viewer, camera_of(viewer))
    with without_activation(viewer.layers):
        viewer.layers.insert(len(viewer.layers) if strokes is None else viewer.layers.index(strokes), layer)
    if selected in viewer.layers:
        viewer.layers.selection.active = selected


def add_on_top(viewer: ViewerModel, layer: Layer) -> None:
    """Add a layer above all others, and select it."""
    ensure_view_direction(viewer, camera_of(viewer))
    viewer.add_layer(layer)


def select_layer(viewer: ViewerModel, layer: Layer) -> None:
    """Select a layer, and no other."""
    ensure_view_direction(viewer, camera_of(viewer))
    viewer.layers.selection.active = layer


def add_hidden(viewer: ViewerModel, layer: Layer, source: Image) -> None:
    """Add a layer as `add_result` does, but hidden.

    napari does not read hidden layers, and napari 0.9 cannot draw a colour plane in 3-D that it has not read.
    """
    is_read = viewer.dims.ndisplay <= layer.ndim or slice_layer(layer, viewer.dims)
    layer.visible = not is_read
    add_result(viewer, layer, source)
    layer.visible = False


def to_layer_axes(array: npt.NDArray[Any], channel: int | None) -> npt.NDArray[Any]:
    """Return the view of an array on the image axes that napari shows: a later channel axis has length 1."""
    return np.expand_dims(array, channel) if channel else array


def region_on_layer(region: Region, channel: int | None) -> Region:
    """Return a region of the image axes on the axes of its result layers."""
    if not channel:
        return region
    c = channel
    return Region((*region.start[:c], 0, *region.start[c:]), (*region.stop[:c], 1, *region.stop[c:]))


def region_on_image(region: Region, channel: int | None) -> Region:
    """Return a region of a result layer on the image axes."""
    if not channel:
        return region
    c = channel
    return Region((*region.start[:c], *region.start[c + 1 :]), (*region.stop[:c], *region.stop[c + 1 :]))


def result_transform(source: Image, channel: int | None, origin: Sequence[int] = ()) -> dict[str, Any]:
    """Return the transform that aligns a result with its source, as arguments of a layer.

    napari aligns layers at their last axes. A leading channel axis is therefore left out; a later one stays with
    length 1, stretched over all channels.

    Parameters
    ----------
    source : Image
        The segmented layer.
    channel : int, optional
        Axis of the layer that holds the channels; None if it has none or they are colours.
    origin : sequence of int
        First pixel of a result that shows only a part, on the axes of result layers.
    """
    scale, translate = np.array(source.scale, float), np.array(source.translate, float)
    if channel:
        channels = read_layer(source).shape[channel]
        translate[channel] += scale[channel] * (channels - 1) / 2
        scale[channel] *= channels
    kept = [axis for axis in range(source.ndim) if not (axis == 0 and channel == 0)]
    matrix = np.ix_(kept, kept)
    affine = np.asarray(source.affine.affine_matrix)
    rows = [*kept, source.ndim]
    linear = {
        "scale": scale[kept],
        "rotate": np.asarray(source.rotate)[matrix],
        "shear": shear_matrix(source)[matrix],
    }
    begin = np.asarray(origin, float) if len(origin) else np.zeros(len(kept))
    return {
        **linear,
        "translate": translate[kept] + Affine(**linear).linear_matrix @ begin,
        "affine": affine[np.ix_(rows, rows)],
        "units": tuple(source.units[axis] for axis in kept),
        "axis_labels": tuple(source.axis_labels[axis] for axis in kept),
    }


def align(result: Layer, source: Image) -> None:
    """Align a result layer with its source; only changed attributes are set, because each one redraws the layer."""
    metadata = result.metadata[METADATA_KEY]
    transform = result_transform(source, metadata["channel"], metadata.get("origin", ()))
    if len(transform["scale"]) != result.ndim:
        return  # the number of axes of the source has changed; the next run replaces the layer
    for name, value in transform.items():
        current = getattr(result, name)
        if name == "shear":
            value = value[np.triu_indices(result.ndim, 1)]  # as layers store it
        if name == "affine":
            current = current.affine_matrix
        is_same = current == value if isinstance(value, tuple) else np.array_equal(current, value)
        if not is_same:
            setattr(result, name, value)


def keep_aligned(result: Layer, source: Image) -> None:
    """Keep a result layer aligned with its source; mark it as outdated when the pixels of the source change.

    napari's ``link_layers`` needs layers with the same number of axes.
    """
    target = weakref.ref(result)
    origin = weakref.ref(source)

    def on_moved(_: object = None) -> None:
        result, source = target(), origin()
        if result is not None and source is not None:
            align(result, source)

    def on_replaced(_: object = None) -> None:
        result = target()
        if result is not None:
            mark_outdated(result)

    for name in TRANSFORM_ATTRIBUTES:
        getattr(source.events, name).connect(on_moved)
    pixel_watch_for(source).replaced.connect(on_replaced)
