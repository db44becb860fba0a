"""The window of a large image in which the user paints and the model predicts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_fcn.geometry import Region

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

MAX_WINDOW_PIXELS = 2**26  # of a window, each with six bytes for prediction and corrections
MAX_WINDOW_SIDE = 4096  # pixels along a displayed axis: larger textures are slow to update


class WindowedArray:
    """A part of a large array in memory, addressed by the indices of the whole array.

    Parameters
    ----------
    shape : sequence of int
        Shape of the whole array.
    window : Region
        The part in memory.
    array : ndarray
        ``window.shape``, values of the part.
    """

    def __init__(self, shape: Sequence[int], window: Region, array: npt.NDArray[np.uint8]) -> None:
        self.shape, self.window, self.array = tuple(shape), window, array

    def __getitem__(self, box: tuple[slice, ...]) -> npt.NDArray[np.uint8]:
        """Return a box of the whole array, 0 outside the window; a view if all of it is in the window."""
        region = Region.of(box)
        part = region.intersection(self.window)
        values = self.array[part.relative_to(self.window).slices]
        if part == region:
            return values
        padded = np.zeros(region.shape, self.array.dtype)
        padded[part.relative_to(region).slices] = values
        return padded

    def __setitem__(self, box: tuple[slice, ...], values: npt.ArrayLike) -> None:
        """Write values to the part of a box that is in the window."""
        region = Region.of(box)
        part = region.intersection(self.window)
        values = np.broadcast_to(np.asarray(values), region.shape)
        self.array[part.relative_to(self.window).slices] = values[part.relative_to(region).slices]


def window_around(shape: Sequence[int], view: Region) -> Region:
    """Return the window around the visible region.

    It is as large as possible along the displayed axes, which are those with more than one visible pixel; then along
    the others, starting with the last.

    Parameters
    ----------
    shape : sequence of int
        Length of the image axes.
    view : Region
        The visible region, on the image axes.
    """
    shown = sorted((axis for axis in range(view.ndim) if view.shape[axis] > 1), key=lambda axis: shape[axis])
    others = [axis for axis in reversed(range(view.ndim)) if axis not in shown]
    lengths, budget = [1] * view.ndim, MAX_WINDOW_PIXELS
    for rank, axis in enumerate(shown):
        fair = int(budget ** (1 / (len(shown) - rank)) + 1e-6)
        lengths[axis] = min(shape[axis], fair, MAX_WINDOW_SIDE)
        budget //= lengths[axis]
    for axis in others:
        lengths[axis] = max(1, min(shape[axis], budget))
        budget //= lengths[axis]
    start = [min(max(0, m - n // 2), whole - n) for m, n, whole in zip(view.middle, lengths, shape, strict=True)]
    return Region(tuple(start), tuple(a + n for a, n in zip(start, lengths, strict=True)))


def move_window(window: Region, shape: Sequence[int], view: Region) -> Region:
    """Return the window for a new view: the same while it contains the view, or is centred in it."""
    if window.contains(view):
        return window
    moved = window_around(shape, view)
    is_centred = all(
        (a <= first and last <= b) or (last - first > b - a and abs((a + b) - (first + last)) / 2 <= (b - a) / 4)
        for a, b, first, last in zip(window.start, window.stop, view.start, view.stop, strict=True)
    )
    return window if is_centred and moved.shape == window.shape else moved
