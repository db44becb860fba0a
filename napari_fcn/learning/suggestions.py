"""Where to paint next: the most uncertain place that no stroke reaches yet."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from napari_fcn.learning.annotations import is_inside

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from napari_fcn.geometry import ReceptiveField, Region
    from napari_fcn.learning.annotations import Samples

    Map = npt.NDArray[np.float32]

SMOOTHING_SIZE = 9  # pixels over which uncertainty is averaged, so that a place is chosen and not a pixel
MAX_IMBALANCE = 20  # a class with so many times fewer strokes than another is out of balance


def entropy(probabilities: Map) -> Map:
    """Return the entropy of probabilities ``(K, *image)`` as a share of the largest possible, 0..1 (Shannon 1948)."""
    p = np.clip(probabilities, 1e-7, 1)
    values: Map = (-(p * np.log(p)).sum(0) / np.log(max(2, len(p)))).astype(np.float32)
    return values.clip(0, 1)  # rounding may reach beyond


def smooth(uncertainty: Map, space: Sequence[int]) -> Map:
    """Return the mean uncertainty around each pixel, along the axes in space."""
    size = [SMOOTHING_SIZE if axis in space else 1 for axis in range(uncertainty.ndim)]
    values: Map = ndimage.uniform_filter(uncertainty, size, mode="nearest")
    return values


def unreached_pixels(
    region: Region, samples: Samples, field: ReceptiveField, space: Sequence[int]
) -> npt.NDArray[np.bool_]:
    """Return where in a region no stroke lies within the receptive field: ``region.shape`` bool.

    A network looks along its axes in space only; strokes on other planes do not count.
    """
    before = [0] * region.ndim
    after = [0] * region.ndim
    for position, low, high in zip(space, field.before, field.after, strict=True):
        before[position], after[position] = low, high
    grown = region.grow(before, after)
    near = samples.select(is_inside(samples, grown))
    painted = np.zeros(grown.shape, bool)
    painted[tuple((near.coordinates() - np.asarray(grown.start)).T)] = True
    for axis, (low, high) in enumerate(zip(before, after, strict=True)):
        if low or high:  # pixel p is reached if a stroke lies in p - before .. p + after
            painted = ndimage.maximum_filter1d(
                painted, low + high + 1, axis, origin=low - (low + high + 1) // 2, mode="constant"
            )
    free: npt.NDArray[np.bool_] = ~painted[region.relative_to(grown).slices]
    return free


def class_balance_advice(painted_pixels: Sequence[int], names: Sequence[str]) -> tuple[str, ...]:
    """Return what is missing or out of balance in the strokes, as sentences."""
    notes = []
    missing = [name for name, n in zip(names, painted_pixels, strict=True) if n == 0]
    there = [(n, name) for name, n in zip(names, painted_pixels, strict=True) if n]
    if missing and there:
        notes.append(f"Nothing is painted as {' or '.join(missing)} yet: paint some, or it is known from before only.")
    if len(there) > 1:
        (least, rare), (most, common) = min(there), max(there)
        if most > MAX_IMBALANCE * least:
            notes.append(
                f"{common} has {most} painted pixels, {rare} only {least}: paint more {rare} for a better answer."
            )
    return tuple(notes)
