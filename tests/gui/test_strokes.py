"""Strokes as values: the smallest box of a change, and its application."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as nps
from napari.layers import Labels

from napari_fcn.geometry import Region
from napari_fcn.gui._controllers.teach.label_store import LabelStore, label_table
from napari_fcn.gui._layers import LabelChange, Stroke
from napari_fcn.gui._layers.strokes import painted_box, painted_region
from napari_fcn.learning.annotations import Samples

SHAPES = nps.array_shapes(min_dims=1, max_dims=3, max_side=6)
LABELS = SHAPES.flatmap(lambda shape: nps.arrays(np.uint8, shape, elements=st.integers(0, 3)))
PAIRS = SHAPES.flatmap(
    lambda shape: st.tuples(*(nps.arrays(np.uint8, shape, elements=st.integers(0, 2)) for _ in range(2)))
)


@given(PAIRS)
def test_a_stroke_turns_one_array_into_the_other(pair: tuple[np.ndarray, np.ndarray]) -> None:
    known, present = pair
    whole = Region.whole(known.shape)
    stroke = Stroke.from_difference(known, present, whole)
    if stroke is None:
        np.testing.assert_array_equal(known, present)
        return
    assert whole.contains(stroke.region)
    at = np.argwhere(known != present)
    assert stroke.region == Region(tuple(map(int, at.min(0))), tuple(int(i) + 1 for i in at.max(0)))
    stroke.write(known)
    np.testing.assert_array_equal(known, present)
    present[...] = 9  # it holds a copy
    assert not (stroke.labels == 9).any()


@given(LABELS)
def test_the_bounding_box_of_painted_pixels(labels: np.ndarray) -> None:
    box = painted_box(labels)
    at = np.argwhere(labels)
    expected = Region(tuple(map(int, at.min(0))), tuple(int(i) + 1 for i in at.max(0))) if len(at) else None
    assert box == expected


def test_a_stroke_beyond_the_image_is_clipped() -> None:
    known, present = np.zeros((4, 4), np.uint8), np.ones((4, 4), np.uint8)
    stroke = Stroke.from_difference(known, present, Region((-3, 2), (9, 9)))
    assert stroke is not None
    assert stroke.region == Region((0, 2), (4, 4))


def test_strokes_painted_since_survive_a_restore() -> None:
    layer = np.array([1, 1, 2, 0], np.uint8)  # the user has painted the 2 since
    part = LabelChange(Region((0,), (4,)), np.array([1, 1, 1, 0], np.uint8), np.array([0, 0, 0, 3], np.uint8))
    part.write(layer)
    assert layer.tolist() == [0, 0, 2, 3]


def test_both_kinds_of_paint_events_are_read() -> None:
    layer = Labels(np.zeros((3, 20, 30), np.uint8))
    regions: list[Region | None] = []
    layer.events.paint.connect(lambda event: regions.append(painted_region(event.value, 3)))
    layer.brush_size = 1
    layer.paint((1, 4, 5), 2)
    layer.data_setitem((np.array([0, 2]), np.array([7, 3]), np.array([8, 9])), 1)
    assert regions == [Region((1, 4, 5), (2, 5, 6)), Region((0, 3, 8), (3, 8, 10))]
    assert painted_region([], 3) is None
    assert painted_region([((np.zeros(0, int),) * 3, 0, 1)], 3) is None


@given(LABELS, LABELS)
def test_replacing_samples_returns_the_changes(first: np.ndarray, second: np.ndarray) -> None:
    if first.shape != second.shape:
        second = np.zeros_like(first)
    store = LabelStore(first.shape)
    for array in (second, first):
        store.write(Stroke(Region.whole(array.shape), array))
    layer = first.copy()
    for part in store.replace_with(Samples.from_labels(second)):
        part.write(layer)
    np.testing.assert_array_equal(layer, second)
    assert store.samples(3).equals(Samples.from_labels(second))


@given(LABELS, LABELS)
def test_samples_of_unpainted_regions_can_be_restored(first: np.ndarray, second: np.ndarray) -> None:
    """As after reopening a project: the label store has only the strokes of one branch."""
    if first.shape != second.shape:
        second = np.zeros_like(first)
    store, layer = LabelStore(first.shape), first.copy()
    if (box := painted_box(first)) is not None:
        store.write(Stroke(box, first[box.slices]))
    for expected in (second, first):
        for part in store.replace_with(Samples.from_labels(expected)):
            part.write(layer)
        np.testing.assert_array_equal(layer, expected)
        assert store.samples(255).equals(Samples.from_labels(expected))


def test_samples_of_missing_classes_are_left_out() -> None:
    store = LabelStore((4,))
    store.write(Stroke(Region((0,), (4,)), np.array([0, 1, 2, 9], np.uint8)))
    assert store.samples(2).pixel_index.tolist() == [1, 2]


def test_remapping_erases_removed_classes() -> None:
    table = label_table((0, 2, None))
    assert table[[0, 1, 2, 3]].tolist() == [0, 1, 0, 2]


@given(st.data())
def test_samples_accumulate_stroke_by_stroke(data: st.DataObject) -> None:
    shape = data.draw(nps.array_shapes(min_dims=1, max_dims=3, max_side=6))
    store, labels = LabelStore(shape), np.zeros(shape, np.uint8)
    for _ in range(data.draw(st.integers(1, 5))):
        spans = [sorted(data.draw(st.tuples(st.integers(0, n - 1), st.integers(1, n)))) for n in shape]
        region = Region(tuple(a for a, _ in spans), tuple(max(a + 1, b) for a, b in spans))
        stroke = Stroke(region, data.draw(nps.arrays(np.uint8, region.shape, elements=st.integers(0, 3))))
        stroke.write(labels)
        store.write(stroke)
        found, expected = store.samples(255), Samples.from_labels(labels)
        assert found.equals(expected)
        assert found.turn.shape == found.pixel_index.shape
