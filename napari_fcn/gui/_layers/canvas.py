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
# Shared memory, which is the default, would be handed out even where it is only read.
MMAP_OPTIONS = {"flags": mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS} if hasattr(mmap, "MAP_PRIVATE") else {}


@dataclass(frozen=True, slots=True, eq=False)
class CanvasArrays:
    """The arrays of a canvas and their window.

    Attributes
    ----------
    window : Region
        Which part of the image, on its axes.
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
        """Return empty sheets at once, however large: memory is taken where something is put."""
        return cls(window, zeros((*window.shape, 4)), zeros(window.shape))

    def put(self, region: Region, colours: npt.NDArray[np.uint8], classes: npt.NDArray[np.uint8]) -> None:
        """Store what belongs to a region of the image, as far as it lies in the window."""
        part = region.intersection(self.window)
        here, there = part.relative_to(self.window).slices, part.relative_to(region).slices
        self.probabilities[here] = colours[there]
        self.classes[here] = classes[there]


class Canvas:
    """The arrays that a run fills, on the image axes: for the whole image, or for a movable window.

    Parameters
    ----------
    window : Region
        Which part of the image.
    """

    def __init__(self, window: Region) -> None:
        self._arrays = CanvasArrays.empty(window)  # replaced as one: the worker thread may look at any moment

    @classmethod
    def empty(cls, shape: Sequence[int]) -> Self:
        """Return an empty canvas for a whole image."""
        return cls(Region.whole(shape))

    @property
    def window(self) -> Region:
        """Which part of the image it shows."""
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
        """Show another part of the image; what both parts have in common stays."""
        before, after = self._arrays, CanvasArrays.empty(window)
        after.put(before.window, before.probabilities, before.classes)
        self._arrays = after

    @property
    def paths(self) -> dict[str, Path]:
        """No files: everything is in memory."""
        return {}

    def finish(self) -> None:
        """Do nothing: there is no file to be closed."""

    def close(self) -> None:
        """Do nothing: nothing is written behind."""

    def prepare(self, tile: Sequence[int], meta: Callable[[], ResultMeta]) -> None:
        """Do nothing: memory is there."""

    def process_tile(self, tile: TileDone, colours: Sequence[str]) -> ColourTile:
        """Return a tile as it is shown, for `put`; for the worker thread."""
        self.prefault(tile.region)
        return colorize_tile(tile, colours)

    def layer_data(self, kind: str, channel: int | None) -> npt.NDArray[np.uint8]:
        """Return the view of the array that napari shows; a channel axis between others has length 1."""
        return to_layer_axes(getattr(self, kind), channel)

    def prefault(self, region: Region) -> None:
        """Let the system hand out the memory of a region, without changing a value; any thread may.

        Otherwise the first write does that: 10 ms a tile while a network keeps the memory busy, too long for the GUI.
        """
        sheets = self._arrays
        place = region.intersection(sheets.window).relative_to(sheets.window)
        for array in (sheets.probabilities, sheets.classes):
            part = array[place.slices]
            np.bitwise_or(part, 0, out=part)

    def put(self, painted: ColourTile) -> None:
        """Store one tile."""
        self._arrays.put(painted.region, painted.colours, painted.classes)


def zeros(shape: Sequence[int]) -> npt.NDArray[np.uint8]:
    """Return zeros at once, from the system itself: ``malloc``'s may be used memory that has to be wiped first."""
    memory = mmap.mmap(-1, max(1, prod(shape)), **MMAP_OPTIONS)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        with suppress(OSError):  # a kernel without large pages; with them the first upload takes half the time
            memory.madvise(mmap.MADV_HUGEPAGE)
    return np.frombuffer(memory, np.uint8, prod(shape)).reshape(shape)
