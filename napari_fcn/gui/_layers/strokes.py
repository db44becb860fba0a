"""Strokes as values, and the regions of napari's paint events."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from napari_fcn.geometry import Region

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy.typing as npt

    from napari_fcn.gui._layers.viewport import WindowedArray
    from napari_fcn.learning.sparse import SparseLabels

    Labels8 = npt.NDArray[np.uint8]
    Paintable = Labels8 | SparseLabels | WindowedArray


@dataclass(frozen=True, slots=True, eq=False)
class Stroke:
    """The labels of a region of the corrections after the user has painted, erased or undone there.

    Attributes
    ----------
    region : Region
        Region on the image axes.
    labels : ndarray
        ``region.shape`` uint8: 0 is unpainted, ``k + 1`` is class ``k``.
    """

    region: Region
    labels: Labels8

    @classmethod
    def from_difference(cls, old: Paintable, new: Paintable, region: Region) -> Self | None:
        """Return the smallest stroke within a region that turns ``old`` into ``new``; None if they are equal."""
        region = region.clip(new.shape)
        labels = new[region.slices]
        differs = old[region.slices] != labels
        if not differs.any():
            return None
        box = _bounding_box(differs)
        return cls(box.shift(region.start), labels[box.slices].copy())

    def write(self, array: Paintable) -> None:
        """Write the labels to an array on the image axes."""
        array[self.region.slices] = self.labels


@dataclass(frozen=True, slots=True, eq=False)
class LabelChange:
    """A change of the labels in a region of the corrections, from ``before`` to ``after``.

    Pixels that no longer have the value in ``before``, because the user has painted there since, are not changed.
    """

    region: Region
    before: Labels8
    after: Labels8

    def write(self, array: Paintable) -> None:
        """Apply the change to an array on the image axes."""
        part = array[self.region.slices]
        array[self.region.slices] = np.where((part == self.before) & (self.before != self.after), self.after, part)


def painted_region(atoms: Iterable[Any], ndim: int) -> Region | None:
    """Return the bounding box of a paint event of a Labels layer, on the axes of the layer; None if it is empty.

    Parameters
    ----------
    atoms : iterable
        ``event.value``: each a record with full-ndim slices (brush, eraser, fill, polygon), or ``(indices, old, new)``
        as `Labels.data_setitem` makes it.
    ndim : int
        Number of axes of the layer.
    """
    boxes = [box for atom in atoms if (box := _atom_region(atom, ndim)) is not None]
    return reduce(Region.union, boxes) if boxes else None


def _atom_region(atom: Any, ndim: int) -> Region | None:
    key = getattr(atom, "slice_key", None)
    if key is not None:
        return Region(tuple(int(s.start) for s in key), tuple(int(s.stop) for s in key))
    indices = [np.atleast_1d(axis) for axis in atom[0]]
    if len(indices) != ndim or not all(axis.size for axis in indices):
        return None
    return Region(tuple(int(axis.min()) for axis in indices), tuple(int(axis.max()) + 1 for axis in indices))


def painted_box(labels: Labels8) -> Region | None:
    """Return the bounding box of all painted pixels; None if there are none. Reads the whole array."""
    rows = labels.reshape(-1, labels.shape[-1])
    is_painted = rows.max(axis=1, initial=0).astype(bool)  # ten times faster than `any` on bytes
    if not is_painted.any():
        return None
    leading = _bounding_box(is_painted.reshape(labels.shape[:-1])) if labels.ndim > 1 else Region((), ())
    return _bounding_box(labels[leading.slices] != 0).shift((*leading.start, 0))


def _bounding_box(mask: npt.NDArray[np.bool_]) -> Region:
    """Return the bounding box of the true pixels."""
    spans = []
    for axis in range(mask.ndim):
        others = tuple(other for other in range(mask.ndim) if other != axis)
        (indices,) = np.nonzero(mask.any(axis=others))
        spans.append((int(indices[0]), int(indices[-1]) + 1))
    return Region(tuple(a for a, _ in spans), tuple(b for _, b in spans))
