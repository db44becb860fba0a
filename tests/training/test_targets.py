"""Training targets from labels."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_fcn.errors import FcnError
from napari_fcn.learning.labels import IGNORE
from napari_fcn.training.targets import TARGETS, classes, membranes, objects

LABELS = hnp.arrays(np.int32, hnp.array_shapes(min_dims=1, max_dims=3, max_side=8), elements=st.integers(0, 3))


@given(LABELS)
def test_inside_and_rim_together_are_the_objects(labels: np.ndarray) -> None:
    target = objects(labels)
    np.testing.assert_array_equal(target > 0, labels > 0)
    assert set(np.unique(target)) <= {0, 1, 2}


@given(LABELS)
def test_objects_are_separated_by_their_rims(labels: np.ndarray) -> None:
    """Neighbouring inside pixels belong to one object."""
    target = objects(labels)
    for axis in range(labels.ndim):
        here, there = (np.moveaxis(a, axis, 0) for a in (target, labels))
        both_inside = (here[1:] == 1) & (here[:-1] == 1)
        assert (there[1:] == there[:-1])[both_inside].all()


def test_the_rim_is_the_outermost_pixel_of_an_object() -> None:
    labels = np.zeros((7, 7), int)
    labels[1:6, 1:6] = 9
    expected = np.zeros((7, 7), int)
    expected[1:6, 1:6] = 2
    expected[2:5, 2:5] = 1
    np.testing.assert_array_equal(objects(labels), expected)


def test_touching_objects_are_separated_by_both_rims() -> None:
    labels = np.repeat([[1, 1, 1, 2, 2, 2]], 3, 0)
    np.testing.assert_array_equal(objects(labels), np.repeat([[1, 1, 2, 2, 1, 1]], 3, 0))


def test_an_object_at_the_image_border_has_no_rim_there() -> None:
    labels = np.array([5, 5, 5, 0])
    np.testing.assert_array_equal(objects(labels), [1, 1, 2, 0])


@pytest.mark.parametrize("first", [0, 1])
def test_membranes_lie_within_two_pixels_of_a_border_between_cells(first: int) -> None:
    labels = np.repeat([[first] * 6 + [2] * 6], 3, 0)
    np.testing.assert_array_equal(membranes(labels)[1], [0, 0, 0, 0, 1, 1, 1, 1, 0, 0, 0, 0])


def test_one_cell_has_no_membrane() -> None:
    assert not membranes(np.full((5, 5), 3)).any()


@given(LABELS)
def test_classes_are_the_labels(labels: np.ndarray) -> None:
    np.testing.assert_array_equal(classes(labels), labels)


def test_unlabelled_pixels_are_kept() -> None:
    assert classes(np.array([0, IGNORE]))[1] == IGNORE


@pytest.mark.parametrize("value", [-1, 256, 300])
def test_invalid_class_values_are_rejected(value: int) -> None:
    with pytest.raises(FcnError, match=f"{value}"):
        classes(np.array([0, 1, value]))


@given(LABELS, st.sampled_from(sorted(TARGETS)))
def test_targets_have_the_shape_of_the_labels_which_do_not_change(labels: np.ndarray, name: str) -> None:
    before = labels.copy()
    target = TARGETS[name](labels)
    assert target.shape == labels.shape
    assert target.dtype == np.uint8
    np.testing.assert_array_equal(labels, before)
