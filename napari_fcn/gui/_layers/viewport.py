"""The window on a large image in which the user paints and the model predicts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_fcn.geometry import Region

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

MAX_WINDOW_PIXELS = 2**26  # of a window: with six bytes each, for answer and strokes
MAX_WINDOW_SIDE = 4096  # pixels of the longest side of what is displayed: larger textures are slow to change


class WindowedArray:
    """A part of a large array, which is in memory, addressed as if all of it were there.

    Parameters
    ----------
    shape : sequence of int
        Of the whole.
    window : Region
        The part.
    array : ndarray
        ``window.shape``: its values.
    """

    def __init__(self, shape: Sequence[int], window: Region, array: npt.NDArray[np.uint8]) -> None:
        self.shape, self.window, self.array = tuple(shape), window, array

    def __getitem__(self, box: tuple[slice, ...]) -> npt.NDArray[np.uint8]:
        """Return a box of the whole, 0 where nothing is in memory; a view, if all of it is."""
        region = Region.of(box)
        part = region.intersection(self.window)
        held = self.array[part.relative_to(self.window).slices]
        if part == region:
            return held
        found = np.zeros(region.shape, self.array.dtype)
        found[part.relative_to(region).slices] = held
        return found

    def __setitem__(self, box: tuple[slice, ...], values: npt.ArrayLike) -> None:
        """Put values into a box of the whole, as far as it is in memory."""
        region = Region.of(box)
        part = region.intersection(self.window)
        values = np.broadcast_to(np.asarray(values), region.shape)
        self.array[part.relative_to(self.window).slices] = values[part.relative_to(region).slices]


def window_around(shape: Sequence[int], view: Region) -> Region:
    """Return the part of an image to hold around what is on screen.

    As much as possible of the axes that are displayed, which are those along which more than a pixel is seen; then of
    the others, the last one first.

    Parameters
    ----------
    shape : sequence of int
        Of the image axes.
    view : Region
        What is on screen of them.
    """
    shown = sorted((axis for axis in range(view.ndim) if view.shape[axis] > 1), key=lambda axis: shape[axis])
    others = [axis for axis in reversed(range(view.ndim)) if axis not in shown]
    lengths, room = [1] * view.ndim, MAX_WINDOW_PIXELS
    for rank, axis in enumerate(shown):
        fair = int(room ** (1 / (len(shown) - rank)) + 1e-6)
        lengths[axis] = min(shape[axis], fair, MAX_WINDOW_SIDE)
        room //= lengths[axis]
    for axis in others:
        lengths[axis] = max(1, min(shape[axis], room))
        room //= lengths[axis]
    start = [min(max(0, m - n // 2), whole - n) for m, n, whole in zip(view.middle, lengths, shape, strict=True)]
    return Region(tuple(start), tuple(a + n for a, n in zip(start, lengths, strict=True)))


def move_window(window: Region, shape: Sequence[int], view: Region) -> Region:
    """Return the part to hold from now on: the same, while what is on screen is in it or in the middle of it."""
    if window.contains(view):
        return window
    wanted = window_around(shape, view)
    is_around = all(
        (a <= first and last <= b) or (last - first > b - a and abs((a + b) - (first + last)) / 2 <= (b - a) / 4)
        for a, b, first, last in zip(window.start, window.stop, view.start, view.stop, strict=True)
    )
    return window if is_around and wanted.shape == window.shape else wanted
