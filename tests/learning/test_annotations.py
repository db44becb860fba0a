"""What is painted is read as it is, wherever somebody looks for it."""

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
def test_samples_are_all_that_is_painted(labels: Labels) -> None:
    samples = Samples.from_labels(labels)
    assert np.array_equal(painted(samples), labels)
    assert np.all(np.diff(samples.pixel_index) > 0)
    assert len(samples) == np.count_nonzero(labels)
    assert (samples.pixel_index.dtype, samples.class_index.dtype, samples.turn.dtype) == (np.int64, np.uint8, np.int32)
    assert np.array_equal(labels[tuple(samples.coordinates().T)], samples.class_index + 1)


@given(with_regions())
def test_only_what_lies_in_the_regions_is_read_and_nothing_twice(drawn: tuple[Labels, list[Region]]) -> None:
    labels, regions = drawn
    inside = np.zeros(labels.shape, bool)
    for region in regions:
        inside[region.clip(labels.shape).slices] = True
    assert np.array_equal(painted(Samples.from_labels(labels, regions)), np.where(inside, labels, 0))


@given(with_regions())
def test_a_set_of_regions_holds_all_that_was_added(drawn: tuple[Labels, list[Region]]) -> None:
    labels, regions = drawn
    known = AnnotationSet()
    for region in regions:
        known = known.add(region)
    assert known.read_samples(labels).equals(Samples.from_labels(labels, regions))
    assert not any(a.contains(b) for a in known.regions for b in known.regions if a is not b)


@given(LABELS)
def test_the_count_of_each_class_is_the_number_of_its_pixels(labels: Labels) -> None:
    counts = Samples.from_labels(labels).counts(255)
    assert len(counts) == 255
    assert counts == tuple(int((labels == k + 1).sum()) for k in range(255))


@given(LABELS, LABELS, LABELS)
def test_each_pixel_is_dated_by_when_it_was_last_painted(first: Labels, second: Labels, third: Labels) -> None:
    """Painted again in its class it keeps its turn; in another, or after it was erased, it is new."""
    steps = [
        labels[tuple(slice(0, n) for n in first.shape)]
        for labels in (first, second, third)
        if labels.ndim == first.ndim
    ]
    canvas, turns, samples = np.zeros(first.shape, np.uint8), np.zeros(first.shape, int), Samples.empty(first.shape)
    for turn, step in enumerate(steps, start=1):
        now = np.zeros_like(canvas)
        now[tuple(slice(0, n) for n in step.shape)] = step
        turns[now != canvas] = turn
        canvas = now
        samples = Samples.from_labels(canvas).with_turns(samples, turn)
        assert np.array_equal(samples.turn, turns.ravel()[samples.pixel_index])


def test_what_did_not_change_is_the_same_whenever_it_was_painted() -> None:
    labels = np.array([0, 1, 2, 0, 1], np.uint8)
    old = Samples.from_labels(labels).with_turns(Samples.empty((5,)), 3)
    assert Samples.from_labels(labels).equals(old)
    for other in ([0, 1, 2, 1, 1], [0, 1, 1, 0, 1], [0, 1, 2, 0, 0]):
        assert not Samples.from_labels(np.array(other, np.uint8)).equals(old)


def test_a_later_stroke_does_not_change_what_was_read() -> None:
    labels = np.ones((3, 3), np.uint8)
    samples = Samples.from_labels(labels)
    labels[:] = 0
    assert len(samples) == 9


@given(with_regions())
def test_samples_within_a_region_are_those_on_it(drawn: tuple[Labels, list[Region]]) -> None:
    labels, regions = drawn
    samples = Samples.from_labels(labels)
    for region in regions:
        part = samples.select(is_inside(samples, region))
        assert part.equals(Samples.from_labels(labels, [region]))


@given(LABELS, st.integers(1, 5))
def test_boxes_on_a_grid_hold_every_sample(labels: Labels, size: int) -> None:
    samples = Samples.from_labels(labels)
    boxes = samples.regions((size,) * labels.ndim)
    assert all(len(samples.select(is_inside(samples, box))) for box in boxes)
    assert Samples.from_labels(labels, boxes).equals(samples)
    assert all(a % size == 0 for box in boxes for a in box.start)
    assert len({box.start for box in boxes}) == len(boxes)


@given(LABELS)
def test_the_first_strokes_are_a_part_of_all_and_each_class_is_examined(labels: Labels) -> None:
    early, every = split_strokes(labels)
    assert every.equals(Samples.from_labels(labels))
    assert set(early.pixel_index) <= set(every.pixel_index)
    late = every.select(~np.isin(every.pixel_index, early.pixel_index))
    assert set(late.class_index) == set(every.class_index)


def test_whole_strokes_are_left_out_for_the_test() -> None:
    labels = np.zeros((40, 44), np.uint8)
    labels[::2, 1:9] = 1  # twenty strokes
    labels[:, 20:22] = 2  # one
    early, every = split_strokes(labels)
    late = painted(every) * (painted(early) == 0)
    assert np.array_equal(np.unique(np.nonzero(late == 1)[0]), [36, 38])
    assert np.array_equal(late[36, 1:9], [1] * 8)
    assert (late == 2).sum() == 8
    assert np.array_equal(np.unique(np.nonzero(late == 2)[0]), [36, 37, 38, 39])


def test_pixels_that_touch_at_a_corner_are_one_stroke() -> None:
    labels = np.zeros((12, 12), np.uint8)
    labels[range(5), range(5)] = 1
    labels[9, 2:8] = 1
    early, _ = split_strokes(labels)
    assert len(early) == 5


@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_nothing_painted_is_no_sample(ndim: int) -> None:
    none = Samples.empty((3,) * ndim)
    assert none.equals(Samples.from_labels(np.zeros((3,) * ndim, np.uint8)))
    assert none.regions((2,) * ndim) == []
    assert none.counts(2) == (0, 0)
    assert none.coordinates().shape == (0, ndim)
    assert len(none.with_turns(none, 4)) == 0
