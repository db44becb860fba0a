"""Finds images that were cut from one larger picture, which must not be divided between training and validation."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

MIN_CORRELATION = 0.95  # of two edges that continue each other
MIN_CONTRAST = 0.02  # standard deviation along an edge, as a share of the range of the type: flat edges fit any other
MAX_STEP = 0.03  # difference of the means of two edges, as a share of the range of the type


def picture_groups(images: Sequence[npt.NDArray[Any]]) -> list[int]:
    """Return the number of the group of each image: tiles of one picture have the same.

    Two images of one size and type are neighbours if the last row (or column) of one continues in the first of the
    other: both vary along the edge, correlate, and have nearly equal means. Groups are the connected components.

    Parameters
    ----------
    images : sequence of ndarray
        ``(Y, X)``, or ``(Y, X, colours)``.
    """
    grey = [image.mean(-1) if image.ndim == 3 else image.astype(np.float64) for image in images]
    parents = list(range(len(images)))
    alike: dict[tuple[Any, ...], list[int]] = defaultdict(list)
    for number, image in enumerate(images):
        alike[image.shape, image.dtype].append(number)
    for (_, dtype), numbers in alike.items():
        scale = float(np.iinfo(dtype).max) if dtype.kind in "iu" else 1.0
        for axis in (0, 1):
            ends = np.stack([np.take(grey[n], -1, axis) for n in numbers])
            starts = np.stack([np.take(grey[n], 0, axis) for n in numbers])
            for i, j in zip(*np.nonzero(_continues(ends, starts, scale)), strict=True):
                if i != j:
                    parents[_root(parents, numbers[i])] = _root(parents, numbers[j])
    roots = [_root(parents, number) for number in range(len(images))]
    order = {root: number for number, root in enumerate(dict.fromkeys(roots))}
    return [order[root] for root in roots]


def _continues(ends: npt.NDArray[np.float64], starts: npt.NDArray[np.float64], scale: float) -> npt.NDArray[np.bool_]:
    """Return for each pair whether the edge in ``ends`` continues in that of ``starts``."""
    normal = []
    for edges in (ends, starts):
        deviation = edges.std(1, keepdims=True)
        varied = (edges - edges.mean(1, keepdims=True)) / np.maximum(deviation, 1e-12)
        normal.append(varied * (deviation > MIN_CONTRAST * scale))
    correlation = normal[0] @ normal[1].T / ends.shape[1]
    step = np.abs(ends.mean(1)[:, None] - starts.mean(1)[None])
    fits: npt.NDArray[np.bool_] = (correlation > MIN_CORRELATION) & (step < MAX_STEP * scale)
    return fits


def _root(parents: list[int], number: int) -> int:
    while parents[number] != number:
        parents[number] = parents[parents[number]]
        number = parents[number]
    return number
