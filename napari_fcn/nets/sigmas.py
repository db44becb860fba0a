"""Sigmas of the filter bank per axis, and the downsampling for each sigma."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_fcn.nets.validation import POOLS

if TYPE_CHECKING:
    from collections.abc import Sequence

MIN_SIGMA = 0.5  # smallest sigma whose derivatives can be sampled on pixels


def factors(sigma: Sequence[float]) -> tuple[int, ...]:
    """Return the factor per axis by which an image is downsampled before filtering with a sigma in pixels."""
    return tuple(max(f for f in POOLS if f <= max(1.0, s)) for s in sigma)


def scales(sigmas: Sequence[float], spacing: Sequence[float]) -> tuple[tuple[float, ...], ...]:
    """Return each sigma, in pixels of the finest axis, as one sigma per axis in pixels of that axis.

    Parameters
    ----------
    sigmas : sequence of float
        Sigma of each scale, in pixels of the finest axis.
    spacing : sequence of float
        Pixel size per axis, all in the same unit.
    """
    finest = min(spacing)
    return tuple(tuple(round(max(MIN_SIGMA, s * finest / step), 4) for step in spacing) for s in sigmas)
