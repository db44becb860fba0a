"""The arrays behind the result layers."""

from __future__ import annotations

import mmap
from contextlib import suppress
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Self

import numpy as np

from napari_fcn.gui._layers.painting import paint
from napari_fcn.gui._layers.placing import as_layer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import numpy.typing as npt

    from napari_fcn.events import TileDone
    from napari_fcn.geometry import Region
    from napari_fcn.gui._layers.painting import Painted
    from napari_fcn.io import ResultMeta

BYTES = 5  # per pixel of the image: RGBA and a class
# Shared memory, which is the default, would be handed out even where it is only read.
PRIVATE = {"flags": mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS} if hasattr(mmap, "MAP_PRIVATE") else {}


@dataclass(frozen=True, slots=True, eq=False)
class Canvas:
    """What a run fills in, on the image axes.

    Attributes
    ----------
    probabilities : ndarray
        ``(*shape, 4)`` uint8, RGBA.
    classes : ndarray
        ``shape`` uint8, class indices.
    """

    probabilities: npt.NDArray[np.uint8]
    classes: npt.NDArray[np.uint8]

    @classmethod
    def blank(cls, shape: Sequence[int]) -> Self:
        """Return an empty canvas at once, however large: memory is taken where something is put."""
        return cls(zeros((*shape, 4)), zeros(shape))

    @property
    def paths(self) -> dict[str, Path]:
        """No files: everything is in memory."""
        return {}

    def finish(self) -> None:
        """Do nothing: there is no file to be closed."""

    def close(self) -> None:
        """Do nothing: nothing is written behind."""

    def begin(self, tile: Sequence[int], meta: Callable[[], ResultMeta]) -> None:
        """Do nothing: memory is there."""

    def receive(self, tile: TileDone, colours: Sequence[str]) -> Painted:
        """Return a tile as it is shown, for `put`; for the worker thread."""
        self.take_memory(tile.region)
        return paint(tile, colours)

    def data(self, kind: str, channel: int | None) -> npt.NDArray[np.uint8]:
        """Return the view of the array that napari shows; a channel axis between others has length 1."""
        return as_layer(getattr(self, kind), channel)

    def take_memory(self, region: Region) -> None:
        """Let the system hand out the memory of a region, without changing a value; any thread may.

        Otherwise the first write does that: 10 ms a tile while a network keeps the memory busy, too long for the GUI.
        """
        for array in (self.probabilities, self.classes):
            part = array[region.slices]
            np.bitwise_or(part, 0, out=part)

    def put(self, painted: Painted) -> None:
        """Store one tile."""
        self.probabilities[painted.region.slices] = painted.colours
        self.classes[painted.region.slices] = painted.classes


def zeros(shape: Sequence[int]) -> npt.NDArray[np.uint8]:
    """Return zeros at once, from the system itself: ``malloc``'s may be used memory that has to be wiped first."""
    memory = mmap.mmap(-1, max(1, prod(shape)), **PRIVATE)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        with suppress(OSError):  # a kernel without large pages; with them the first upload takes half the time
            memory.madvise(mmap.MADV_HUGEPAGE)
    return np.frombuffer(memory, np.uint8, prod(shape)).reshape(shape)
