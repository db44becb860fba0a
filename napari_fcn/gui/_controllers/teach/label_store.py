"""The worker's copy of the corrections."""

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
    """Corrections, stroke by stroke; the layer itself belongs to the GUI thread.

    Parameters
    ----------
    shape : sequence of int
        Length of the image axes.
    """

    def __init__(self, shape: Sequence[int]) -> None:
        self._labels = SparseLabels(shape)
        self._painted = AnnotationSet()
        self._samples = Samples.empty(shape)

    def write(self, stroke: Stroke) -> None:
        """Add a stroke."""
        stroke.write(self._labels)
        self._painted = self._painted.add(stroke.region)
        self._samples = _with_region_updated(self._samples, self._labels, stroke.region)

    def samples(self, classes: int) -> Samples:
        """Return the painted pixels of the first ``classes`` classes."""
        samples = self._samples
        return samples if classes > 254 else samples.select(samples.class_index < classes)

    def strokes(self) -> tuple[Stroke, ...]:
        """Return strokes that paint these corrections on an empty layer."""
        return tuple(Stroke(region, self._labels[region.slices]) for region in self._painted.regions)

    def replace_with(self, samples: Samples) -> tuple[LabelChange, ...]:
        """Replace all corrections by samples; return the changes of the layer."""
        new_strokes = tuple(_in_blocks(samples, self._labels.block_shape))
        for stroke in new_strokes:  # strokes of another branch may be outside those of this one
            self._painted = self._painted.add(stroke.region)
        old_strokes = self.strokes()
        for stroke in old_strokes:
            self._labels[stroke.region.slices] = 0
        for stroke in new_strokes:
            stroke.write(self._labels)
        return self._differences(old_strokes)

    def remap_classes(self, old_indices: Sequence[int | None]) -> tuple[LabelChange, ...]:
        """Renumber the classes (``old_indices[new]`` is the old index); return the changes of the layer."""
        old_strokes, table = self.strokes(), label_table(old_indices)
        for stroke in old_strokes:
            self._labels[stroke.region.slices] = table[stroke.labels]
        return self._differences(old_strokes)

    def _differences(self, old_strokes: Sequence[Stroke]) -> tuple[LabelChange, ...]:
        self._samples = self._painted.read_samples(self._labels)
        new_labels = [self._labels[stroke.region.slices] for stroke in old_strokes]
        return tuple(
            LabelChange(stroke.region, stroke.labels, labels)
            for stroke, labels in zip(old_strokes, new_labels, strict=True)
            if not np.array_equal(stroke.labels, labels)
        )


def _in_blocks(samples: Samples, size: Sequence[int]) -> Iterator[Stroke]:
    """Yield strokes, at most one in each block of a grid, that paint exactly these samples."""
    for block in samples.regions(size):
        inside = samples.select(is_inside(samples, block))
        index = inside.coordinates()
        region = Region(tuple(map(int, index.min(0))), tuple(int(i) + 1 for i in index.max(0)))
        labels = np.zeros(region.shape, np.uint8)
        labels[tuple((index - np.asarray(region.start)).T)] = inside.class_index + np.uint8(1)
        yield Stroke(region, labels)


def _with_region_updated(samples: Samples, labels: SparseLabels, region: Region) -> Samples:
    """Return samples after a stroke; reading only its region is faster than reading all strokes."""
    parts = samples.select(~is_inside(samples, region)), Samples.from_labels(labels, [region])
    index = np.concatenate([part.pixel_index for part in parts])
    order = np.argsort(index, kind="stable")
    label = np.concatenate([part.class_index for part in parts])[order]
    return Samples(samples.shape, index[order], label, np.zeros(index.size, np.int32))


def label_table(old_indices: Sequence[int | None]) -> npt.NDArray[np.uint8]:
    """Return the new value of each value of the corrections; those of removed classes become 0."""
    table = np.zeros(256, np.uint8)
    for new, old in enumerate(old_indices):
        if old is not None:
            table[old + 1] = new + 1
    return table
