"""Where the results of a layer lie in the world: on its pixels, whatever its transform, also after later edits."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_fcn.gui._layers.reading import KEY, read

if TYPE_CHECKING:
    import numpy.typing as npt
    from napari.layers import Image, Layer

TRANSFORMS = ("scale", "translate", "rotate", "shear", "affine", "units", "axis_labels")


def placement(source: Image, channel: int | None) -> dict[str, Any]:
    """Return the transform that puts a result on its source layer, as arguments of a layer.

    napari aligns layers at their last axes. So a leading channel axis is left out, and one between others stays with
    length 1, stretched over all channels.

    Parameters
    ----------
    source : Image
        The segmented layer.
    channel : int, optional
        Axis of the layer that holds the channels; None if it has none or they are colours.
    """
    scale, translate = np.array(source.scale, float), np.array(source.translate, float)
    if channel:
        channels = read(source).shape[channel]
        translate[channel] += scale[channel] * (channels - 1) / 2
        scale[channel] *= channels
    kept = [axis for axis in range(source.ndim) if not (axis == 0 and channel == 0)]
    matrix = np.ix_(kept, kept)
    affine = np.asarray(source.affine.affine_matrix)
    rows = [*kept, source.ndim]
    return {
        "scale": scale[kept],
        "translate": translate[kept],
        "rotate": np.asarray(source.rotate)[matrix],
        "shear": _shear_matrix(source)[matrix],
        "affine": affine[np.ix_(rows, rows)],
        "units": tuple(source.units[axis] for axis in kept),
        "axis_labels": tuple(source.axis_labels[axis] for axis in kept),
    }


def _shear_matrix(source: Image) -> npt.NDArray[np.float64]:
    shear = np.asarray(source.shear, float)
    if shear.ndim == 2:
        return shear
    matrix = np.eye(source.ndim)
    matrix[np.triu_indices(source.ndim, 1)] = shear
    return matrix


def align(result: Layer, source: Image) -> None:
    """Put a result layer on its source; only what differs is set, since each change redraws the layer."""
    wanted = placement(source, result.metadata[KEY]["channel"])
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


def follow(result: Layer, source: Image) -> None:
    """Keep a result layer on its source when somebody moves, scales or turns the source later.

    napari's own ``link_layers`` asks for equal dimensions, which a leading channel axis takes away.
    """
    target = weakref.ref(result)
    origin = weakref.ref(source)

    def on_moved(_: object = None) -> None:
        result, source = target(), origin()
        if result is not None and source is not None:
            align(result, source)

    for name in TRANSFORMS:
        getattr(source.events, name).connect(on_moved)
