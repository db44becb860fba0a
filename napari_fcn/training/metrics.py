"""Scores of predictions, 0..1; NaN if there is no labelled pixel."""

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
    """Return twice the common pixels over the sum of both (Dice 1945).

    One if both are empty; NaN if there is no pixel to score on.

    Parameters
    ----------
    prediction, truth : ndarray of bool
        Objects in the prediction and in the labels.
    mask : ndarray of bool, optional
        The labelled pixels; all if not given.
    """
    found = _apply_mask(prediction, truth, mask)
    if found is None:
        return nan
    prediction, truth = found
    total = int(prediction.sum()) + int(truth.sum())
    return 2 * int((prediction & truth).sum()) / total if total else 1.0


def boundary_f1(prediction: Mask, truth: Mask, tolerance: float = 2.0, mask: Mask | None = None) -> float:
    """Return the F1 of two sets of lines that match within ``tolerance`` pixels (Csurka et al. 2013).

    Parameters and special cases are as for `dice`.
    """
    found = _apply_mask(prediction, truth, mask)
    if found is None:
        return nan
    prediction, truth = found
    if not prediction.any() or not truth.any():
        return float(prediction.any() == truth.any())
    precision = float((ndimage.distance_transform_edt(~truth)[prediction] <= tolerance).mean())
    recall = float((ndimage.distance_transform_edt(~prediction)[truth] <= tolerance).mean())
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def _apply_mask(prediction: Mask, truth: Mask, mask: Mask | None) -> tuple[Mask, Mask] | None:
    """Return both masks within the labelled pixels; None if there are none."""
    if mask is None:
        return (prediction, truth) if truth.size else None
    return (prediction & mask, truth & mask) if mask.any() else None


def outline(mask: Mask) -> Mask:
    """Return the outermost pixels of a mask."""
    lines: Mask = find_boundaries(mask, connectivity=1, mode="inner")
    return lines


def centre_line(mask: Mask) -> Mask:
    """Return the centre lines of a mask of thin structures; those of a volume plane by plane.

    In each plane these are the lines of a sheet's centre surface, except for sheets parallel to the plane.
    """
    if mask.ndim > 2:
        return np.stack([centre_line(plane) for plane in mask])
    lines: Mask = skeletonize(mask).astype(bool)
    return lines
