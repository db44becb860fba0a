"""Result layers: their transforms, which follow those of the image, and their metadata."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.utils.transforms import Affine

from napari_fcn.geometry import Region
from napari_fcn.gui._layers.layer_calibration import shear_matrix
from napari_fcn.gui._layers.layer_image import METADATA_KEY, read_layer
from napari_fcn.gui._layers.napari_private import ensure_view_direction, slice_layer
from napari_fcn.gui._layers.pixel_watch import pixel_watch_for
from napari_fcn.gui._layers.screen import camera_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt
    from napari.components import ViewerModel
    from napari.layers import Image, Layer

CORRECTIONS_KIND = "corrections"  # the kind of layer that the user paints on
OUTDATED_SUFFIX = "(of earlier pixels)"  # behind the name of a result whose image has changed
TRANSFORM_ATTRIBUTES = ("scale", "translate", "rotate", "shear", "affine", "units", "axis_labels")


def find_layer(viewer: ViewerModel, source: Image, kind: str) -> Layer | None:
    """Return our layer of this kind on a source, if there is one; a copy that the user made is none."""
    for layer in viewer.layers:
        ids = {"kind": kind, "source": source.unique_id, "layer": layer.unique_id}
        if ids.items() <= layer.metadata.get(METADATA_KEY, {}).items():
            return layer
    return None


def tag_layer(layer: Layer, source: Image, kind: str, channel: int | None, **more: Any) -> None:
    """Write into a layer that it is ours, what it shows, and of which source: of its present pixels."""
    name = layer.metadata.get(METADATA_KEY, {}).get("outdated", "")
    if name and layer.name == f"{name} {OUTDATED_SUFFIX}":
        layer.name = name
    ids = {"source": source.unique_id, "layer": layer.unique_id}
    layer.metadata[METADATA_KEY] = {"kind": kind, "channel": channel, **ids, **more}


def mark_outdated(layer: Layer) -> None:
    """Write into a result, and behind its name, that it is of pixels which its image does not have any more."""
    known = layer.metadata.get(METADATA_KEY, {})
    if not known or known.get("kind") == CORRECTIONS_KIND or is_outdated(layer):
        return
    layer.metadata[METADATA_KEY] = {**known, "outdated": layer.name}
    layer.name = f"{layer.name} {OUTDATED_SUFFIX}"


def is_outdated(layer: Layer) -> bool:
    """Whether a result is of pixels which its image does not have any more."""
    return bool(layer.metadata.get(METADATA_KEY, {}).get("outdated"))


def add_result(viewer: ViewerModel, layer: Layer, source: Image) -> None:
    """Add a layer under the strokes on its source, if there are any; what is selected stays selected.

    To add it on top and move it would draw everything twice.
    """
    selected = viewer.layers.selection.active
    strokes = find_layer(viewer, source, CORRECTIONS_KIND)
    ensure_view_direction(viewer, camera_of(viewer))
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
    """Return the view of an array on the image axes that napari shows: a channel axis between others has length 1."""
    return np.expand_dims(array, channel) if channel else array


def region_on_layer(region: Region, channel: int | None) -> Region:
    """Return a region of the image axes on the axes of its result layers."""
    if not channel:
        return region
    at = channel
    return Region((*region.start[:at], 0, *region.start[at:]), (*region.stop[:at], 1, *region.stop[at:]))


def region_on_image(region: Region, channel: int | None) -> Region:
    """Return a region of a result layer on the image axes."""
    if not channel:
        return region
    at = channel
    return Region((*region.start[:at], *region.start[at + 1 :]), (*region.stop[:at], *region.stop[at + 1 :]))


def result_transform(source: Image, channel: int | None, origin: Sequence[int] = ()) -> dict[str, Any]:
    """Return the transform that puts a result on its source layer, as arguments of a layer.

    napari aligns layers at their last axes. So a leading channel axis is left out, and one between others stays with
    length 1, stretched over all channels.

    Parameters
    ----------
    source : Image
        The segmented layer.
    channel : int, optional
        Axis of the layer that holds the channels; None if it has none or they are colours.
    origin : sequence of int
        Where a result that shows a part only begins, on the axes of result layers.
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
    """Put a result layer on its source; only what differs is set, since each change redraws the layer."""
    known = result.metadata[METADATA_KEY]
    wanted = result_transform(source, known["channel"], known.get("origin", ()))
    if len(wanted["scale"]) != result.ndim:
        return  # the source has got other axes since; the next run makes this good
    for name, value in wanted.items():
        present = getattr(result, name)
        if name == "shear":
            value = value[np.triu_indices(result.ndim, 1)]  # as layers spell it
        if name == "affine":
            present = present.affine_matrix
        same = present == value if isinstance(value, tuple) else np.array_equal(present, value)
        if not same:
            setattr(result, name, value)


def keep_aligned(result: Layer, source: Image) -> None:
    """Keep a result layer on its source when the source is moved, scaled or turned; mark it when its pixels change.

    napari's own ``link_layers`` asks for equal dimensions, which a leading channel axis takes away.
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
