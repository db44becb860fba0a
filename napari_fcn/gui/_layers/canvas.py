"""The arrays behind the result layers."""

from __future__ import annotations

import mmap
from contextlib import suppress
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Self

import numpy as np

from napari_fcn.geometry import Region
from napari_fcn.gui._layers.colorize import colorize_tile
from napari_fcn.gui._layers.transforms import to_layer_axes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import numpy.typing as npt

    from napari_fcn.events import TileDone
    from napari_fcn.gui._layers.colorize import ColourTile
    from napari_fcn.io import ResultMeta

BYTES_PER_PIXEL = 5  # per pixel of the image: RGBA and a class
# Shared memory, the default, would be allocated even where it is only read.
MMAP_OPTIONS = {"flags": mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS} if hasattr(mmap, "MAP_PRIVATE") else {}


@dataclass(frozen=True, slots=True, eq=False)
class CanvasArrays:
    """The arrays of a canvas and their window.

    Attributes
    ----------
    window : Region
        Part of the image, on the image axes.
    probabilities : ndarray
        ``(*window.shape, 4)`` uint8, RGBA.
    classes : ndarray
        ``window.shape`` uint8, class indices.
    """

    window: Region
    probabilities: npt.NDArray[np.uint8]
    classes: npt.NDArray[np.uint8]

    @classmethod
    def empty(cls, window: Region) -> Self:
        """Return empty arrays of any size at once; memory is allocated when it is written."""
        return cls(window, zeros((*window.shape, 4)), zeros(window.shape))

    def put(self, region: Region, colours: npt.NDArray[np.uint8], classes: npt.NDArray[np.uint8]) -> None:
        """Store the pixels of a region of the image that lie in the window."""
        part = region.intersection(self.window)
        target, source = part.relative_to(self.window).slices, part.relative_to(region).slices
        self.probabilities[target] = colours[source]
        self.classes[target] = classes[source]


class Canvas:
    """The arrays that a run fills, on the image axes: for the whole image, or for a movable window.

    Parameters
    ----------
    window : Region
        Part of the image.
    """

    def __init__(self, window: Region) -> None:
        self._arrays = CanvasArrays.empty(window)  # replaced as a whole: the worker thread may read at any time

    @classmethod
    def empty(cls, shape: Sequence[int]) -> Self:
        """Return an empty canvas for a whole image."""
        return cls(Region.whole(shape))

    @property
    def window(self) -> Region:
        """The part of the image in the canvas."""
        return self._arrays.window

    @property
    def probabilities(self) -> npt.NDArray[np.uint8]:
        """``(*window.shape, 4)`` uint8, RGBA."""
        return self._arrays.probabilities

    @property
    def classes(self) -> npt.NDArray[np.uint8]:
        """``window.shape`` uint8, class indices."""
        return self._arrays.classes

    def move_window(self, window: Region) -> None:
        """Move to another part of the image; pixels in both parts are kept."""
        old, new = self._arrays, CanvasArrays.empty(window)
        new.put(old.window, old.probabilities, old.classes)
        self._arrays = new

    @property
    def paths(self) -> dict[str, Path]:
        """No files: everything is in memory."""
        return {}

    def finish(self) -> None:
        """Do nothing: there is no file to close."""

    def close(self) -> None:
        """Do nothing: nothing is written in the background."""

    def prepare(self, tile: Sequence[int], meta: Callable[[], ResultMeta]) -> None:
        """Do nothing: there is no file to create."""

    def process_tile(self, tile: TileDone, colours: Sequence[str]) -> ColourTile:
        """Return a tile in colours, for `put`; for the worker thread."""
        self.prefault(tile.region)
        return colorize_tile(tile, colours)

    def layer_data(self, kind: str, channel: int | None) -> npt.NDArray[np.uint8]:
        """Return the view of an array that napari shows; a channel axis that is not the first has length 1."""
        return to_layer_axes(getattr(self, kind), channel)

    def prefault(self, region: Region) -> None:
        """Let the system allocate the memory of a region, without changing a value; safe on any thread.

        Otherwise the first write does so: 10 ms for a tile while a network uses the memory, too long for the GUI.
        """
        arrays = self._arrays
        inside = region.intersection(arrays.window).relative_to(arrays.window)
        for array in (arrays.probabilities, arrays.classes):
            part = array[inside.slices]
            np.bitwise_or(part, 0, out=part)

    def put(self, tile: ColourTile) -> None:
        """Store one tile."""
        self._arrays.put(tile.region, tile.colours, tile.classes)


def zeros(shape: Sequence[int]) -> npt.NDArray[np.uint8]:
    """Return zeros at once, with pages from the system: memory of ``malloc`` may have to be cleared first."""
    memory = mmap.mmap(-1, max(1, prod(shape)), **MMAP_OPTIONS)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        with suppress(OSError):  # no large pages; with them, the first upload takes half the time
            memory.madvise(mmap.MADV_HUGEPAGE)
    return np.frombuffer(memory, np.uint8, prod(shape)).reshape(shape)
