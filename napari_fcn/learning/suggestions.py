"""Suggestions for the next stroke: uncertainty, pixels far from strokes, and class balance."""

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

SMOOTHING_SIZE = 9  # pixels over which uncertainty is averaged before its maximum is taken
MAX_IMBALANCE = 20  # ratio of painted pixels of two classes


def entropy(probabilities: Map) -> Map:
    """Return the entropy of probabilities ``(K, *image)`` relative to its maximum, 0..1 (Shannon 1948)."""
    p = np.clip(probabilities, 1e-7, 1)
    values: Map = (-(p * np.log(p)).sum(0) / np.log(max(2, len(p)))).astype(np.float32)
    return values.clip(0, 1)  # rounding may exceed the bounds


def smooth(uncertainty: Map, space: Sequence[int]) -> Map:
    """Return the uncertainty averaged over `SMOOTHING_SIZE` pixels along the axes in space."""
    size = [SMOOTHING_SIZE if axis in space else 1 for axis in range(uncertainty.ndim)]
    values: Map = ndimage.uniform_filter(uncertainty, size, mode="nearest")
    return values


def unreached_pixels(
    region: Region, samples: Samples, field: ReceptiveField, space: Sequence[int]
) -> npt.NDArray[np.bool_]:
    """Return ``region.shape`` bool: the pixels of a region without a stroke in their receptive field.

    The receptive field extends along the axes in space only; strokes on other planes do not count.
    """
    before = [0] * region.ndim
    after = [0] * region.ndim
    for position, low, high in zip(space, field.before, field.after, strict=True):
        before[position], after[position] = low, high
    grown = region.grow(before, after)
    nearby = samples.select(is_inside(samples, grown))
    painted = np.zeros(grown.shape, bool)
    painted[tuple((nearby.coordinates() - np.asarray(grown.start)).T)] = True
    for axis, (low, high) in enumerate(zip(before, after, strict=True)):
        if low or high:  # pixel p is reached by strokes in p - before .. p + after
            painted = ndimage.maximum_filter1d(
                painted, low + high + 1, axis, origin=low - (low + high + 1) // 2, mode="constant"
            )
    is_unreached: npt.NDArray[np.bool_] = ~painted[region.relative_to(grown).slices]
    return is_unreached


def class_balance_advice(painted_pixels: Sequence[int], names: Sequence[str]) -> tuple[str, ...]:
    """Return sentences about classes without strokes, and about imbalance."""
    notes = []
    missing = [name for name, n in zip(names, painted_pixels, strict=True) if n == 0]
    present = [(n, name) for name, n in zip(names, painted_pixels, strict=True) if n]
    if missing and present:
        notes.append(
            f"There are no strokes of {' or '.join(missing)} yet. Paint some; until then the model uses its original "
            "training for it."
        )
    if len(present) > 1:
        (least, rare), (most, common) = min(present), max(present)
        if most > MAX_IMBALANCE * least:
            notes.append(
                f"{common} has {most} painted pixels, {rare} only {least}. Paint more {rare} for a better prediction."
            )
    return tuple(notes)
