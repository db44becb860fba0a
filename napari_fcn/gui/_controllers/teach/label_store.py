"""The worker's copy of what is painted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_fcn.geometry import Region
from napari_fcn.gui._layers import LabelChange, Stroke
from napari_fcn.learning.annotations import AnnotationSet, Samples, is_inside
from napari_fcn.learning.sparse import SparseLabels

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt


class LabelStore:
    """Corrections as the worker knows them, stroke by stroke; the layer itself stays with the GUI thread.

    Parameters
    ----------
    shape : sequence of int
        Of the image axes.
    """

    def __init__(self, shape: Sequence[int]) -> None:
        self._labels = SparseLabels(shape)
        self._annotated = AnnotationSet()
        self._samples = Samples.empty(shape)

    def write(self, stroke: Stroke) -> None:
        """Take in what was painted."""
        stroke.write(self._labels)
        self._annotated = self._annotated.add(stroke.region)
        self._samples = _replaced(self._samples, self._labels, stroke.region)

    def samples(self, classes: int) -> Samples:
        """Return all painted pixels of the first so many classes."""
        samples = self._samples
        return samples if classes > 254 else samples.select(samples.class_index < classes)

    def strokes(self) -> tuple[Stroke, ...]:
        """Return what makes an empty layer into this sheet."""
        return tuple(Stroke(region, self._labels[region.slices]) for region in self._annotated.regions)

    def replace_with(self, samples: Samples) -> tuple[LabelChange, ...]:
        """Hold other samples from now on, and return how the layer has to change."""
        after = tuple(_in_blocks(samples, self._labels.block_shape))
        for stroke in after:  # of another branch, painted where nothing of this one is
            self._annotated = self._annotated.add(stroke.region)
        before = self.strokes()
        for stroke in before:
            self._labels[stroke.region.slices] = 0
        for stroke in after:
            stroke.write(self._labels)
        return self._differences(before)

    def remap_classes(self, old_indices: Sequence[int | None]) -> tuple[LabelChange, ...]:
        """Give each class its new number (``kept[new]`` is the old one), and return how the layer has to change."""
        before, table = self.strokes(), label_table(old_indices)
        for stroke in before:
            self._labels[stroke.region.slices] = table[stroke.labels]
        return self._differences(before)

    def _differences(self, before: Sequence[Stroke]) -> tuple[LabelChange, ...]:
        self._samples = self._annotated.read_samples(self._labels)
        now = [self._labels[stroke.region.slices] for stroke in before]
        return tuple(
            LabelChange(stroke.region, stroke.labels, labels)
            for stroke, labels in zip(before, now, strict=True)
            if not np.array_equal(stroke.labels, labels)
        )


def _in_blocks(samples: Samples, size: Sequence[int]) -> Iterator[Stroke]:
    """Yield strokes, one in each block of a grid at most, that paint these samples and nothing else."""
    for block in samples.regions(size):
        inside = samples.select(is_inside(samples, block))
        at = inside.coordinates()
        region = Region(tuple(map(int, at.min(0))), tuple(int(i) + 1 for i in at.max(0)))
        labels = np.zeros(region.shape, np.uint8)
        labels[tuple((at - np.asarray(region.start)).T)] = inside.class_index + np.uint8(1)
        yield Stroke(region, labels)


def _replaced(samples: Samples, labels: SparseLabels, region: Region) -> Samples:
    """Return samples as they are after a region has been painted on: to read all strokes again would take longer."""
    parts = samples.select(~is_inside(samples, region)), Samples.from_labels(labels, [region])
    index = np.concatenate([part.pixel_index for part in parts])
    order = np.argsort(index, kind="stable")
    label = np.concatenate([part.class_index for part in parts])[order]
    return Samples(samples.shape, index[order], label, np.zeros(index.size, np.int32))


def label_table(old_indices: Sequence[int | None]) -> npt.NDArray[np.uint8]:
    """Return the new value of each value of the corrections; those of classes that are gone become 0."""
    table = np.zeros(256, np.uint8)
    for new, old in enumerate(old_indices):
        if old is not None:
            table[old + 1] = new + 1
    return table
