"""Size, unit and origin of the pixels of a layer, from its transforms and from its file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from napari.utils.transforms import Affine

from napari_fcn.geometry.calibration import AxisCalibration, Calibration
from napari_fcn.io.units import PIXEL, unit_word

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt
    from napari.layers import Image

    from napari_fcn.io.image_file import ImageHeader

ROTATED_NOTE = (
    "Result files cannot store the rotation, shear or mirroring of the layer: they keep its pixel size and start at "
    "the origin."
)


def layer_calibration(layer: Image, header: ImageHeader) -> tuple[Calibration, tuple[str, ...]]:
    """Return the calibration of a layer, and notes on the parts of its transform that a file cannot store.

    If the layer has napari's defaults (a scale of 1 without units), the calibration of its file is used, shifted by the
    translation of the layer.

    Parameters
    ----------
    layer : Image
        The layer; its colour axis is left out.
    header : ImageHeader
        Header of its file; empty if it has none.
    """
    own, notes = _transform_calibration(layer)
    stored = header.calibration.axes[: len(header.shape) - bool(layer.rgb)]
    count = len(stored)
    if not count or count > len(own) or any(axis.unit != PIXEL for axis in own.axes):
        return own, notes
    axes = own.axes[-count:]
    steps = [axis.step for axis in axes]
    if np.allclose(steps, 1) or np.allclose(steps, [axis.step for axis in stored]):
        axes = tuple(_shift_axis(axis, file_axis) for axis, file_axis in zip(axes, stored, strict=True))
    return Calibration((*own.axes[:-count], *axes)), notes


def _shift_axis(layer: AxisCalibration, file: AxisCalibration) -> AxisCalibration:
    """Return the axis of a file at the origin of a layer, which is in pixels unless the layer has a pixel size."""
    if not layer.origin:
        return file
    if layer.size is None:
        return file.moved(layer.origin)
    return AxisCalibration(file.size, file.unit, layer.origin)


def _transform_calibration(layer: Image) -> tuple[Calibration, tuple[str, ...]]:
    matrix = data_to_world(layer)
    linear, steps = matrix[:-1, :-1], np.diag(matrix)[:-1]
    units = [unit_word(unit) for unit in layer.units]
    if np.allclose(linear, np.diag(steps), rtol=0, atol=1e-9 * np.abs(linear).max(initial=0)) and (steps > 0).all():
        return Calibration.of(_floats(steps), units, _floats(matrix[:-1, -1])), ()
    return Calibration.of(_floats(np.linalg.norm(linear, axis=0)), units), (ROTATED_NOTE,)


def _floats(values: npt.NDArray[Any]) -> Sequence[float]:
    return [float(value) for value in values]


def data_to_world(layer: Image) -> npt.NDArray[np.float64]:
    """Return the matrix from pixels of a layer to world coordinates, with the origin in its last column."""
    linear = Affine(scale=layer.scale, rotate=layer.rotate, shear=shear_matrix(layer), translate=layer.translate)
    return np.asarray(layer.affine.affine_matrix) @ linear.affine_matrix


def shear_matrix(layer: Image) -> npt.NDArray[np.float64]:
    """Return the shear of a layer as a matrix, also if the layer stores only its upper triangle."""
    shear = np.asarray(layer.shear, float)
    if shear.ndim == 2:
        return shear
    matrix = np.eye(layer.ndim)
    matrix[np.triu_indices(layer.ndim, 1)] = shear
    return matrix
