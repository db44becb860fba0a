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
MAX_SAMPLE = 2**20  # pixels from which the range of an image is measured
BLOCK = 512  # edges that are compared with all others at once
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


def matching_edges(images: Iterable[npt.NDArray[Any]]) -> list[EdgeMatch]:
    """Return the pairs of images that continue each other.

    Parameters
    ----------
    images : iterable of ndarray
        Grey images ``(*space)`` with the intensities of their files: scaled ones differ between tiles. Only their edges
        are kept.
    """
    contrasts: list[float] = []
    alike: dict[tuple[int, ...], list[tuple[int, Edges, Edges]]] = defaultdict(list)
    for number, image in enumerate(images):
        sample = image.ravel()[:: max(1, image.size // MAX_SAMPLE)]
        contrasts.append(MIN_CONTRAST * float(np.ptp(np.percentile(sample, (1, 99.8)))))
        for axis in range(image.ndim):
            end, start = (image.take(i, axis).astype(np.float32) for i in (-1, 0))
            if end.size >= MIN_EDGE:
                alike[axis, *end.shape].append((number, end, start))
    matches = []
    for (axis, *_), edges in alike.items():
        numbers = [number for number, _, _ in edges]
        ends, starts = (np.stack(arrays) for arrays in list(zip(*edges, strict=True))[1:])
        candidates = _candidates(ends, starts, np.array([contrasts[n] for n in numbers], np.float32))
        best: dict[tuple[str, int], float] = defaultdict(float)  # of each end, and of each start
        for i, j, value in candidates:
            best["end", i], best["start", j] = max(best["end", i], value), max(best["start", j], value)
        matches += [
            EdgeMatch(numbers[i], numbers[j], axis, value)
            for i, j, value in candidates
            if value == best["end", i] == best["start", j]
        ]
    return matches


def _candidates(ends: Edges, starts: Edges, contrasts: npt.NDArray[np.float32]) -> list[tuple[int, int, float]]:
    """Return index of the end, index of the start, and correlation of all pairs that correlate."""
    found = []
    for first in range(0, len(ends), BLOCK):
        rows = slice(first, first + BLOCK)
        correlation = _correlate((ends[rows], starts), (contrasts[rows], contrasts))
        for i, j in np.argwhere(correlation > MIN_CORRELATION):
            if first + i != j:
                found.append((int(first + i), int(j), float(correlation[i, j])))
    return found


def _correlate(
    pair: tuple[Edges, Edges], contrasts: tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]
) -> npt.NDArray[np.float32]:
    """Return the correlation of each end with each start, for the best smoothing; -1 for pairs that do not fit."""
    best = np.full((len(pair[0]), len(pair[1])), -1, np.float32)
    for sigma in SMOOTHING:
        rows, means, spreads = [], [], []
        for edges in pair:
            smoothed = ndimage.gaussian_filter(edges, (0, *(sigma,) * (edges.ndim - 1))) if sigma else edges
            flat = smoothed.reshape(len(edges), -1)
            means.append(flat.mean(1))
            rows.append(flat - means[-1][:, None])
            spreads.append(flat.std(1))
        covariance = rows[0] @ rows[1].T / rows[0].shape[1]
        correlation = covariance / np.maximum(np.outer(*spreads), 1e-12)
        squares = spreads[0][:, None] ** 2 + spreads[1] ** 2 + (means[0][:, None] - means[1]) ** 2
        varies = (spreads[0] > contrasts[0])[:, None] & (spreads[1] > contrasts[1])
        fits = varies & (2 * covariance / np.maximum(squares, 1e-12) > MIN_CONCORDANCE)
        best = np.maximum(best, np.where(fits, correlation, -1))
    return best


def picture_groups(images: Sequence[npt.NDArray[Any]]) -> list[int]:
    """Return the number of the group of each image: tiles of one picture have the same.

    Groups are the connected components of `matching_edges`.

    Parameters
    ----------
    images : sequence of ndarray
        ``(*space)``, or ``(Y, X, colours)``.
    """
    grey = (image.mean(-1) if image.ndim == 3 and image.shape[-1] in COLOUR_SAMPLES else image for image in images)
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
