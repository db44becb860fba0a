"""Reading of samples from labels, their regions and turns, and the split into training and test strokes."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from napari_fcn.geometry import Region
from napari_fcn.learning.annotations import AnnotationSet, Samples, is_inside, split_strokes

Labels = npt.NDArray[np.uint8]

SHAPES = arrays.array_shapes(min_dims=1, max_dims=4, min_side=1, max_side=9)
LABELS = SHAPES.flatmap(lambda shape: arrays.arrays(np.uint8, shape, elements=st.sampled_from([0, 0, 0, 1, 2, 255])))


def painted(samples: Samples) -> Labels:
    """Return the labels that samples were read from."""
    labels = np.zeros(samples.shape, np.uint8)
    labels.ravel()[samples.pixel_index] = samples.class_index.astype(int) + 1
    return labels


@st.composite
def with_regions(draw: st.DrawFn) -> tuple[Labels, list[Region]]:
    labels = draw(LABELS)
    regions = []
    for _ in range(draw(st.integers(0, 4))):
        start = [draw(st.integers(-3, n + 1)) for n in labels.shape]
        regions.append(Region(tuple(start), tuple(a + draw(st.integers(0, 6)) for a in start)))
    return labels, regions


@given(LABELS)
def test_samples_are_all_painted_pixels(labels: Labels) -> None:
    samples = Samples.from_labels(labels)
    assert np.array_equal(painted(samples), labels)
    assert np.all(np.diff(samples.pixel_index) > 0)
    assert len(samples) == np.count_nonzero(labels)
    assert (samples.pixel_index.dtype, samples.class_index.dtype, samples.turn.dtype) == (np.int64, np.uint8, np.int32)
    assert np.array_equal(labels[tuple(samples.coordinates().T)], samples.class_index + 1)


@given(with_regions())
def test_only_pixels_in_the_regions_are_read_each_once(example: tuple[Labels, list[Region]]) -> None:
    labels, regions = example
    inside = np.zeros(labels.shape, bool)
    for region in regions:
        inside[region.clip(labels.shape).slices] = True
    assert np.array_equal(painted(Samples.from_labels(labels, regions)), np.where(inside, labels, 0))


@given(with_regions())
def test_an_annotation_set_covers_all_added_regions(example: tuple[Labels, list[Region]]) -> None:
    labels, regions = example
    annotations = AnnotationSet()
    for region in regions:
        annotations = annotations.add(region)
    assert annotations.read_samples(labels).equals(Samples.from_labels(labels, regions))
    assert not any(a.contains(b) for a in annotations.regions for b in annotations.regions if a is not b)


@given(LABELS)
def test_counts_are_the_pixels_of_each_class(labels: Labels) -> None:
    counts = Samples.from_labels(labels).counts(255)
    assert len(counts) == 255
    assert counts == tuple(int((labels == k + 1).sum()) for k in range(255))


@given(LABELS, LABELS, LABELS)
def test_each_pixel_has_the_turn_in_which_its_class_last_changed(first: Labels, second: Labels, third: Labels) -> None:
    """A pixel repainted in its class keeps its turn; in another class, or after erasing, it has the new turn."""
    steps = [
        labels[tuple(slice(0, n) for n in first.shape)]
        for labels in (first, second, third)
        if labels.ndim == first.ndim
    ]
    labels_before, turns, samples = (
        np.zeros(first.shape, np.uint8),
        np.zeros(first.shape, int),
        Samples.empty(first.shape),
    )
    for turn, step in enumerate(steps, start=1):
        labels_now = np.zeros_like(labels_before)
        labels_now[tuple(slice(0, n) for n in step.shape)] = step
        turns[labels_now != labels_before] = turn
        labels_before = labels_now
        samples = Samples.from_labels(labels_before).with_turns(samples, turn)
        assert np.array_equal(samples.turn, turns.ravel()[samples.pixel_index])


def test_samples_are_equal_regardless_of_turns() -> None:
    labels = np.array([0, 1, 2, 0, 1], np.uint8)
    old = Samples.from_labels(labels).with_turns(Samples.empty((5,)), 3)
    assert Samples.from_labels(labels).equals(old)
    for other in ([0, 1, 2, 1, 1], [0, 1, 1, 0, 1], [0, 1, 2, 0, 0]):
        assert not Samples.from_labels(np.array(other, np.uint8)).equals(old)


def test_samples_do_not_change_with_the_labels() -> None:
    labels = np.ones((3, 3), np.uint8)
    samples = Samples.from_labels(labels)
    labels[:] = 0
    assert len(samples) == 9


@given(with_regions())
def test_samples_inside_a_region_are_those_read_from_it(example: tuple[Labels, list[Region]]) -> None:
    labels, regions = example
    samples = Samples.from_labels(labels)
    for region in regions:
        part = samples.select(is_inside(samples, region))
        assert part.equals(Samples.from_labels(labels, [region]))


@given(LABELS, st.integers(1, 5))
def test_regions_on_a_grid_contain_every_sample(labels: Labels, size: int) -> None:
    samples = Samples.from_labels(labels)
    boxes = samples.regions((size,) * labels.ndim)
    assert all(len(samples.select(is_inside(samples, box))) for box in boxes)
    assert Samples.from_labels(labels, boxes).equals(samples)
    assert all(a % size == 0 for box in boxes for a in box.start)
    assert len({box.start for box in boxes}) == len(boxes)


@given(LABELS)
def test_the_test_strokes_contain_every_class(labels: Labels) -> None:
    training, all_samples = split_strokes(labels)
    assert all_samples.equals(Samples.from_labels(labels))
    assert set(training.pixel_index) <= set(all_samples.pixel_index)
    test = all_samples.select(~np.isin(all_samples.pixel_index, training.pixel_index))
    assert set(test.class_index) == set(all_samples.class_index)


def test_the_last_tenth_of_the_strokes_is_left_out() -> None:
    labels = np.zeros((40, 44), np.uint8)
    labels[::2, 1:9] = 1  # twenty strokes
    labels[:, 20:22] = 2  # one
    training, all_samples = split_strokes(labels)
    test = painted(all_samples) * (painted(training) == 0)
    assert np.array_equal(np.unique(np.nonzero(test == 1)[0]), [36, 38])
    assert np.array_equal(test[36, 1:9], [1] * 8)
    assert (test == 2).sum() == 8
    assert np.array_equal(np.unique(np.nonzero(test == 2)[0]), [36, 37, 38, 39])


def test_pixels_that_share_a_corner_are_one_stroke() -> None:
    labels = np.zeros((12, 12), np.uint8)
    labels[range(5), range(5)] = 1
    labels[9, 2:8] = 1
    training, _ = split_strokes(labels)
    assert len(training) == 5


@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_empty_labels_give_empty_samples(ndim: int) -> None:
    empty = Samples.empty((3,) * ndim)
    assert empty.equals(Samples.from_labels(np.zeros((3,) * ndim, np.uint8)))
    assert empty.regions((2,) * ndim) == []
    assert empty.counts(2) == (0, 0)
    assert empty.coordinates().shape == (0, ndim)
    assert len(empty.with_turns(empty, 4)) == 0
