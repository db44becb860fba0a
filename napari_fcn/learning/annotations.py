"""Painted pixels as training samples, and the regions of the image that contain them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

import numpy as np
from scipy import ndimage

from napari_fcn.geometry import Region
from napari_fcn.learning.pins import REMOVED, to_new_indices
from napari_fcn.learning.sparse import SparseLabels

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy.typing as npt

    from napari_fcn.learning.pins import OldIndices

    Flat = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """All painted pixels of an image at one time; immutable, so it can be passed between threads.

    Attributes
    ----------
    shape : tuple of int
        Image axes, without channels.
    pixel_index : ndarray
        ``(n,)`` int64, index of each painted pixel in the ravelled image, ascending.
    class_index : ndarray
        ``(n,)`` uint8, class of each pixel: its label value minus 1.
    turn : ndarray
        ``(n,)`` int32, turn in which each pixel was painted.
    """

    shape: tuple[int, ...]
    pixel_index: Flat
    class_index: npt.NDArray[np.uint8]
    turn: npt.NDArray[np.int32]

    @classmethod
    def empty(cls, shape: Sequence[int]) -> Self:
        """Return an empty set of samples for an image of this shape."""
        return cls(tuple(shape), np.zeros(0, np.int64), np.zeros(0, np.uint8), np.zeros(0, np.int32))

    @classmethod
    def from_labels(cls, labels: npt.NDArray[np.uint8] | SparseLabels, regions: Iterable[Region] | None = None) -> Self:
        """Return the painted pixels of an array of labels: 0 is not painted, ``k + 1`` is class ``k``.

        Parameters
        ----------
        labels : ndarray or SparseLabels
            uint8, on the image axes.
        regions : iterable of Region, optional
            Parts of the array to read; all of it if not given.
        """
        shape = labels.shape
        if regions is None:
            regions = labels.regions if isinstance(labels, SparseLabels) else [Region.whole(shape)]
        indices, values = [np.zeros(0, np.int64)], [np.zeros(0, np.uint8)]
        for region in regions:
            region = region.clip(shape)
            block = labels[region.slices]
            painted = np.nonzero(block)
            if painted and painted[0].size:
                shifted = tuple(i + start for i, start in zip(painted, region.start, strict=True))
                indices.append(np.ravel_multi_index(shifted, shape).astype(np.int64))
                values.append(block[painted])
        pixel_index, first = np.unique(np.concatenate(indices), return_index=True)
        class_index = np.concatenate(values)[first] - np.uint8(1)
        return cls(shape, pixel_index, class_index, np.zeros(pixel_index.size, np.int32))

    def __len__(self) -> int:
        return int(self.pixel_index.size)

    def coordinates(self) -> npt.NDArray[np.int64]:
        """Return ``(n, ndim)`` positions on the image axes."""
        return np.stack(np.unravel_index(self.pixel_index, self.shape), axis=1)

    def counts(self, n_classes: int) -> tuple[int, ...]:
        """Return the number of painted pixels of each class."""
        return tuple(int(n) for n in np.bincount(self.class_index, minlength=n_classes)[:n_classes])

    def select(self, mask: npt.NDArray[np.bool_]) -> Self:
        """Return the samples where ``mask``, ``(n,)`` bool, is true."""
        return type(self)(self.shape, self.pixel_index[mask], self.class_index[mask], self.turn[mask])

    def remap_classes(self, old_indices: OldIndices) -> Self:
        """Return the samples with new class indices, without those of removed classes.

        ``old_indices`` has the old index of each new class.
        """
        class_index = to_new_indices(old_indices)[self.class_index]
        return replace(self, class_index=class_index).select(class_index != REMOVED)

    def with_turns(self, earlier: Samples, turn: int) -> Self:
        """Return the samples with the turns of ``earlier`` where pixel and class are equal, else with ``turn``."""
        position = np.searchsorted(earlier.pixel_index, self.pixel_index).clip(max=max(0, len(earlier) - 1))
        turns = np.full(len(self), turn, np.int32)
        if len(earlier):
            is_same = (earlier.pixel_index[position] == self.pixel_index) & (
                earlier.class_index[position] == self.class_index
            )
            turns[is_same] = earlier.turn[position][is_same]
        return type(self)(self.shape, self.pixel_index, self.class_index, turns)

    def equals(self, other: Samples) -> bool:
        """Whether the same pixels are painted in the same classes."""
        return np.array_equal(self.pixel_index, other.pixel_index) and np.array_equal(
            self.class_index, other.class_index
        )

    def regions(self, cell_shape: Sequence[int]) -> list[Region]:
        """Return the cells of a grid that contain a sample, as boxes in the order of the image."""
        if not len(self):
            return []
        cells = np.unique(self.coordinates() // np.asarray(cell_shape), axis=0) * np.asarray(cell_shape)
        return [
            Region(tuple(map(int, cell)), tuple(int(c) + n for c, n in zip(cell, cell_shape, strict=True))).clip(
                self.shape
            )
            for cell in cells
        ]


@dataclass(frozen=True, slots=True)
class AnnotationSet:
    """Regions that contain all strokes; their labels are read again before each round of learning.

    The set stores no labels, so an undone stroke disappears by itself.

    Attributes
    ----------
    regions : tuple of Region
        Boxes on the image axes.
    """

    regions: tuple[Region, ...] = ()

    def add(self, region: Region) -> Self:
        """Return the set with one more box; boxes inside another one are dropped."""
        if region.is_empty or any(box.contains(region) for box in self.regions):
            return self
        others = tuple(box for box in self.regions if not region.contains(box))
        return type(self)((*others, region))

    def read_samples(self, labels: npt.NDArray[np.uint8] | SparseLabels) -> Samples:
        """Return the painted pixels of an array of labels."""
        return Samples.from_labels(labels, self.regions)


def is_inside(samples: Samples, region: Region) -> npt.NDArray[np.bool_]:
    """Return ``(n,)`` bool: whether each sample is inside a region."""
    coordinates = samples.coordinates()
    inside: npt.NDArray[np.bool_] = np.logical_and(
        coordinates >= np.asarray(region.start), coordinates < np.asarray(region.stop)
    )
    return np.asarray(inside.all(axis=1))


def split_strokes(labels: npt.NDArray[np.uint8]) -> tuple[Samples, Samples]:
    """Return the first nine tenths of the strokes in an array of labels, and all strokes.

    Each connected component of a class counts as a stroke, in the order of the image. The last tenth of the strokes of
    each class, at least one, is left out of the first part; of a class with one stroke, the last tenth of its pixels.

    Parameters
    ----------
    labels : ndarray
        uint8, on the image axes: 0 is not annotated, ``k + 1`` is class ``k``.
    """
    samples = Samples.from_labels(labels)
    coordinates = samples.coordinates()
    is_last = np.zeros(len(samples), bool)
    for value in np.unique(samples.class_index):
        of_class = np.flatnonzero(samples.class_index == value)
        components, count = ndimage.label(
            labels == value + 1, ndimage.generate_binary_structure(labels.ndim, labels.ndim)
        )
        component = components[tuple(coordinates[of_class].T)]
        if count > 1:
            is_last[of_class[component > count - max(1, count // 10)]] = True
        else:
            is_last[of_class[-max(1, len(of_class) // 10) :]] = True
    return samples.select(~is_last), samples
