"""Finds images that were cut from one larger picture, which must not be divided between training and validation.

Two tiles are neighbours if the last row (or column, or plane) of one continues in the first of the other:

- both correlate, after smoothing with the best of a few widths, because noise differs from row to row;
- both have the same mean and contrast (concordance correlation coefficient, Lin 1989), as tiles of one picture have;
- neither is flat, because flat edges fit any other;
- each is the best match of the other, because an edge has one neighbour.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

from napari_fcn.models.binding import COLOUR_SAMPLES

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy.typing as npt

    Edges = npt.NDArray[np.float32]

MIN_CORRELATION = 0.93  # of two edges that continue each other
MIN_CONCORDANCE = 0.7  # of the same edges, with their means and contrasts
MIN_CONTRAST = 0.02  # standard deviation along an edge, as a share of the range of the image
MIN_EDGE = 16  # pixels; shorter edges fit by chance
SMOOTHING = (0.0, 1.0, 2.0)  # standard deviations of a Gaussian along the edge, in pixels


@dataclass(frozen=True, slots=True)
class EdgeMatch:
    """Two images that continue each other.

    Attributes
    ----------
    first, second : int
        Numbers of the images; the last index of the first is next to index 0 of the second.
    axis : int
        The axis along which they touch.
    correlation : float
        Correlation of the two edges.
    """

    first: int
    second: int
    axis: int
    correlation: float


def matching_edges(images: Sequence[npt.NDArray[Any]]) -> list[EdgeMatch]:
    """Return the pairs of images that continue each other.

    Parameters
    ----------
    images : sequence of ndarray
        Grey images ``(*space)`` with the intensities of their files: scaled ones differ between tiles.
    """
    ranges = np.array([np.ptp(np.percentile(image, (1, 99.8))) for image in images], np.float32)
    matches = []
    for axis in range(max((image.ndim for image in images), default=0)):
        alike: dict[tuple[int, ...], list[int]] = defaultdict(list)
        for number, image in enumerate(images):
            if axis < image.ndim:
                alike[tuple(np.delete(image.shape, axis))].append(number)
        for shape, numbers in alike.items():
            if len(numbers) < 2 or np.prod(shape, dtype=int) < MIN_EDGE:
                continue
            ends, starts = (np.stack([images[n].take(i, axis) for n in numbers]).astype(np.float32) for i in (-1, 0))
            correlation = _correlate(ends, starts, MIN_CONTRAST * ranges[numbers])
            best = np.maximum(correlation.max(1, keepdims=True), MIN_CORRELATION)
            pairs = (correlation >= best) & (correlation >= correlation.max(0, keepdims=True))
            matches += [
                EdgeMatch(numbers[i], numbers[j], axis, float(correlation[i, j])) for i, j in np.argwhere(pairs)
            ]
    return matches


def _correlate(ends: Edges, starts: Edges, contrast: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return the correlation of each end with each start, for the best smoothing; -1 for pairs that do not fit."""
    best = np.full((len(ends), len(starts)), -1, np.float32)
    for sigma in SMOOTHING:
        rows, means, spreads = [], [], []
        for edges in (ends, starts):
            smoothed = ndimage.gaussian_filter(edges, (0, *(sigma,) * (edges.ndim - 1))) if sigma else edges
            flat = smoothed.reshape(len(edges), -1)
            means.append(flat.mean(1))
            rows.append(flat - means[-1][:, None])
            spreads.append(flat.std(1))
        covariance = rows[0] @ rows[1].T / rows[0].shape[1]
        correlation = covariance / np.maximum(np.outer(*spreads), 1e-12)
        squares = spreads[0][:, None] ** 2 + spreads[1] ** 2 + (means[0][:, None] - means[1]) ** 2
        concordance = 2 * covariance / np.maximum(squares, 1e-12)
        fits = (concordance > MIN_CONCORDANCE) & (spreads[0] > contrast)[:, None] & (spreads[1] > contrast)
        best = np.maximum(best, np.where(fits, correlation, -1))
    np.fill_diagonal(best, -1)
    return best


def picture_groups(images: Sequence[npt.NDArray[Any]]) -> list[int]:
    """Return the number of the group of each image: tiles of one picture have the same.

    Groups are the connected components of `matching_edges`.

    Parameters
    ----------
    images : sequence of ndarray
        ``(*space)``, or ``(Y, X, colours)``.
    """
    grey = [image.mean(-1) if image.ndim == 3 and image.shape[-1] in COLOUR_SAMPLES else image for image in images]
    return connected(len(images), ((match.first, match.second) for match in matching_edges(grey)))


def connected(count: int, pairs: Iterable[tuple[int, int]]) -> list[int]:
    """Return the number of the connected component of each of ``count`` items, in the order of first items."""
    parents = list(range(count))
    for first, second in pairs:
        parents[_root(parents, first)] = _root(parents, second)
    roots = [_root(parents, number) for number in range(count)]
    order = {root: number for number, root in enumerate(dict.fromkeys(roots))}
    return [order[root] for root in roots]


def _root(parents: list[int], number: int) -> int:
    while parents[number] != number:
        parents[number] = parents[parents[number]]
        number = parents[number]
    return number
