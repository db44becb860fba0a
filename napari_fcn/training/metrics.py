"""Metrics of predictions, 0..1; NaN without labelled pixels."""

from __future__ import annotations

from math import nan
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage
from skimage.morphology import skeletonize
from skimage.segmentation import find_boundaries

if TYPE_CHECKING:
    import numpy.typing as npt

    Mask = npt.NDArray[np.bool_]


def dice(prediction: Mask, truth: Mask, mask: Mask | None = None) -> float:
    """Return twice the number of common pixels, divided by the sum of both (Dice 1945).

    1 if both are empty; NaN if there are no labelled pixels.

    Parameters
    ----------
    prediction, truth : ndarray of bool
        Objects in the prediction and in the labels.
    mask : ndarray of bool, optional
        The labelled pixels; all if not given.
    """
    masked = _apply_mask(prediction, truth, mask)
    if masked is None:
        return nan
    prediction, truth = masked
    total = int(prediction.sum()) + int(truth.sum())
    return 2 * int((prediction & truth).sum()) / total if total else 1.0


def boundary_f1(prediction: Mask, truth: Mask, tolerance: float = 2.0, mask: Mask | None = None) -> float:
    """Return the F1 score of two sets of lines that match within ``tolerance`` pixels (Csurka et al. 2013).

    Other parameters and special cases are as for `dice`.
    """
    masked = _apply_mask(prediction, truth, mask)
    if masked is None:
        return nan
    prediction, truth = masked
    if not prediction.any() or not truth.any():
        return float(prediction.any() == truth.any())
    precision = float((ndimage.distance_transform_edt(~truth)[prediction] <= tolerance).mean())
    recall = float((ndimage.distance_transform_edt(~prediction)[truth] <= tolerance).mean())
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def _apply_mask(prediction: Mask, truth: Mask, mask: Mask | None) -> tuple[Mask, Mask] | None:
    """Return both masks restricted to the labelled pixels; None if there are none."""
    if mask is None:
        return (prediction, truth) if truth.size else None
    return (prediction & mask, truth & mask) if mask.any() else None


def outline(mask: Mask) -> Mask:
    """Return the outermost pixels of a mask."""
    lines: Mask = find_boundaries(mask, connectivity=1, mode="inner")
    return lines


def centre_line(mask: Mask) -> Mask:
    """Return the centre lines of a mask of thin structures, plane by plane in volumes.

    In each plane they trace the centre surface of a sheet, unless the sheet is parallel to the plane.
    """
    if mask.ndim > 2:
        return np.stack([centre_line(plane) for plane in mask])
    lines: Mask = skeletonize(mask).astype(bool)
    return lines
