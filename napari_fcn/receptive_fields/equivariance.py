"""Shift equivariance: where the prediction changes when the image is shifted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_fcn.events import CheckStep, EquivarianceDone
from napari_fcn.geometry import Region

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from napari_fcn.receptive_fields.exactness import PredictBlock
    from napari_fcn.receptive_fields.theoretical import FieldAnalysis

TOLERATED_CHANGE = 0.01  # largest change of a probability that is ignored


def equivariance(
    predict: PredictBlock, image: npt.NDArray[np.float32], region: Region, analysis: FieldAnalysis
) -> Iterator[CheckStep | EquivarianceDone]:
    """Yield progress, then the change of each prediction under shifts of the image.

    Convolutions are equivariant to any shift; pooling and strides only to shifts by a period of the pooling grid (Zhang
    2019, *Making convolutional networks shift-invariant again*). Each axis is shifted by 1 pixel to one period. The
    image is mirrored at its border, so that padding has no influence.

    Parameters
    ----------
    predict : callable
        The network.
    image : ndarray
        ``(C, *space)``, normalised.
    region : Region
        The pixels to compare.
    analysis : FieldAnalysis
        Receptive field of the network.
    """
    block, inner = _surroundings(image, region, analysis)
    shifts = [(axis, step) for axis, period in enumerate(analysis.multiple) for step in range(1, period + 1)]
    unshifted = predict(block)[(slice(None), *inner.slices)]
    classes, flipped = unshifted.argmax(0), np.zeros(region.shape, bool)
    values, by_shift = np.zeros(region.shape, np.float32), [[0.0] * period for period in analysis.multiple]
    yield CheckStep(1, len(shifts) + 1)
    for done, (axis, step) in enumerate(shifts, start=2):
        offset = tuple(-step if a == axis else 0 for a in range(region.ndim))
        shifted = predict(np.ascontiguousarray(np.moveaxis(np.moveaxis(block, 1 + axis, 0)[step:], 0, 1 + axis)))
        shifted = shifted[(slice(None), *inner.shift(offset).slices)]
        change = np.abs(shifted - unshifted).max(0)
        np.maximum(values, change, out=values)
        flipped |= shifted.argmax(0) != classes
        by_shift[axis][step - 1] = float(change.mean(dtype=np.float64))
        yield CheckStep(done, len(shifts) + 1)
    flips = float(flipped.mean())
    yield EquivarianceDone(
        region, values, tuple(map(tuple, by_shift)), flips, _sentence(values, region, analysis, flips)
    )


def _surroundings(
    image: npt.NDArray[np.float32], region: Region, analysis: FieldAnalysis
) -> tuple[npt.NDArray[np.float32], Region]:
    """Return the block on which a region depends at any shift, and the region in its coordinates."""
    grid, halo = analysis.multiple, analysis.field_per_phase
    wide = region.grow([b + m for b, m in zip(halo.before, grid, strict=True)], [2 * m for m in grid])
    wide = wide.grow((0,) * region.ndim, halo.after)
    wide = Region(tuple(a // m * m for a, m in zip(wide.start, grid, strict=True)), wide.stop)
    inside = wide.clip(image.shape[1:])
    margins = zip(wide.start, inside.start, inside.stop, wide.stop, strict=True)
    padding = [(0, 0), *((near - start, stop - far) for start, near, far, stop in margins)]
    return np.pad(image[(slice(None), *inside.slices)], padding, mode="symmetric"), region.relative_to(wide)


def _sentence(values: npt.NDArray[np.float32], region: Region, analysis: FieldAnalysis, flips: float) -> str:
    grid, largest = max(analysis.multiple), float(values.max())
    if grid == 1:
        start = "The network does not pool, so its prediction should follow every shift"
        return f"{start}; the largest change is {largest:.1e}."
    worst = np.unravel_index(int(values.argmax()), values.shape)
    position = ", ".join(str(int(i) + start) for i, start in zip(worst, region.start, strict=True))
    unchanged = float((values <= TOLERATED_CHANGE).mean())
    return (
        f"When the image is shifted by 1 to {grid} px, the prediction follows at {unchanged:.1%} of the pixels "
        f"(probabilities change by at most {TOLERATED_CHANGE}) and {flips:.2%} change class; the largest change is "
        f"{largest:.2f}, at ({position})."
    )
