"""The order of a result's axes in a file, by the rules of each format."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_fcn.geometry.axes import SPACE

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class Layout:
    """The axes of a file, and the axis of the result behind each.

    Attributes
    ----------
    names : tuple of str
        Axes of the file in order.
    source : tuple of (int or None)
        Index of the result's axis behind each; None for an axis of length 1 that the format requires.
    shape : tuple of int
        Shape of the array in the file.
    """

    names: tuple[str, ...]
    source: tuple[int | None, ...]
    shape: tuple[int, ...]

    def file_index(self, slices: Sequence[slice]) -> tuple[slice, ...]:
        """Return the index into the file's array for a box of the result."""
        return tuple(slice(0, 1) if place is None else slices[place] for place in self.source)

    def to_file_axes(self, block: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
        """Return a block of the result with the axes of the file."""
        moved = block.transpose([place for place in self.source if place is not None])
        return np.expand_dims(moved, self._extra_axes)

    def to_result_axes(self, block: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
        """Return a block of the file with the axes of the result."""
        return block.squeeze(self._extra_axes).transpose(
            np.argsort([place for place in self.source if place is not None])
        )

    @property
    def _extra_axes(self) -> tuple[int, ...]:
        return tuple(i for i, place in enumerate(self.source) if place is None)


def plain_layout(axes: Sequence[str], shape: Sequence[int]) -> Layout:
    """Return the layout of a plain array: the axes of the result."""
    return _make_layout(axes, axes, shape)


def tiff_layout(axes: Sequence[str], shape: Sequence[int]) -> Layout:
    """Return the layout of a TIFF: y and x last, as the axes of a page; a 1-D result becomes one row."""
    pages = [name for name in axes if name not in ("y", "x")]
    plane = [name for name in ("y", "x") if name in axes]
    while len(plane) < 2 and len(pages) > ("c" in pages):
        plane.insert(0, pages.pop())  # another axis serves as y
    while len(plane) < 2:
        plane = [*plane, "x"] if "y" in plane else ["y", *plane]
    return _make_layout((*pages, *plane), axes, shape)


def ome_zarr_layout(axes: Sequence[str], shape: Sequence[int]) -> Layout:
    """Return the layout of an OME-Zarr: time, channel or another axis, then z, y, x."""
    space = [name for name in SPACE if name in axes]
    for name in ("y", "x"):
        if len(space) < 2 and name not in space:
            space.append(name)
    time = [name for name in axes if name == "t"]
    others = [name for name in axes if name not in (*time, *space)]
    return _make_layout((*time, *others, *sorted(space, key=SPACE.index)), axes, shape)


def _make_layout(names: Sequence[str], axes: Sequence[str], shape: Sequence[int]) -> Layout:
    source = tuple(axes.index(name) if name in axes else None for name in names)
    return Layout(tuple(names), source, tuple(1 if place is None else int(shape[place]) for place in source))
