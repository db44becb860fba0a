"""Decoding and checks of label images."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_fcn.errors import ImageError
from napari_fcn.learning.labels import (
    CLASSES,
    IGNORE,
    OBJECTS,
    STROKES,
    decode_labels,
    fit_shape,
    format_values,
    read_strokes,
)

SMALL = hnp.arrays(np.uint8, hnp.array_shapes(max_dims=3, max_side=6), elements=st.integers(0, 9))


@given(SMALL, st.sampled_from([np.uint16, np.int64, np.float32, np.float64]), st.sampled_from([CLASSES, OBJECTS]))
def test_whole_numbers_of_any_dtype_are_decoded(labels: np.ndarray, dtype: type, encoding: Any) -> None:
    np.testing.assert_array_equal(decode_labels(labels.astype(dtype), encoding), labels)


@given(SMALL)
def test_nan_is_decoded_as_unknown(labels: np.ndarray) -> None:
    with_nan = np.where(labels == 9, np.nan, labels)
    for encoding, unknown in ((CLASSES, IGNORE), (STROKES, 0)):
        decoded = decode_labels(with_nan, encoding)
        np.testing.assert_array_equal(decoded, np.where(labels == 9, unknown, labels))


@pytest.mark.parametrize("value", [0.5, np.inf, -np.inf, 1e30])
@pytest.mark.parametrize("encoding", [CLASSES, STROKES, OBJECTS])
def test_values_that_are_not_whole_numbers_are_rejected(value: float, encoding: Any) -> None:
    with pytest.raises(ImageError, match="needed are whole numbers"):
        decode_labels(np.array([0, 1, value]), encoding)


@pytest.mark.parametrize("labels", [np.zeros(3, complex), np.array(["a"]), np.array([None])])
def test_labels_that_are_not_numbers_are_rejected(labels: np.ndarray) -> None:
    with pytest.raises(ImageError, match="Save them as an integer image"):
        decode_labels(labels, CLASSES)


@given(SMALL)
def test_label_values_are_classes_in_order_and_others_are_unknown(labels: np.ndarray) -> None:
    decoded = decode_labels(labels, CLASSES, values=(4, 2))
    np.testing.assert_array_equal(decoded == 0, labels == 4)
    np.testing.assert_array_equal(decoded == 1, labels == 2)
    assert set(np.unique(decoded)) <= {0, 1, IGNORE}
    np.testing.assert_array_equal(
        decode_labels(labels, STROKES, values=(4, 2)), np.where(decoded == IGNORE, 0, decoded + 1)
    )


def test_label_values_must_be_unique_and_are_not_for_objects() -> None:
    with pytest.raises(ImageError, match="give each value once"):
        decode_labels(np.zeros(3, int), CLASSES, values=(0, 0))
    with pytest.raises(ImageError, match="leave out --label-values"):
        decode_labels(np.zeros(3, int), OBJECTS, values=(0, 255))


def test_axes_of_length_one_are_added_or_removed() -> None:
    labels = np.arange(6).reshape(2, 3)
    assert fit_shape(labels, (1, 2, 3)).shape == (1, 2, 3)
    assert fit_shape(labels[None, None], (2, 3)).shape == (2, 3)


def test_labels_may_lack_classes_of_the_model() -> None:
    labels = np.array([[0, 3, 3, 1]])
    np.testing.assert_array_equal(read_strokes(labels, (1, 4), n_known_classes=3), labels)
    with pytest.raises(ImageError, match="nothing is labelled 2"):
        read_strokes(labels, (1, 4), n_known_classes=0)


def test_values_are_formatted_for_a_sentence() -> None:
    assert [format_values(range(n)) for n in (1, 2, 3)] == ["0", "0 and 1", "0, 1 and 2"]
    assert format_values(range(9)) == "0, 1, 2, 3, 4, 5, …"


@pytest.mark.parametrize("values", [(0, 1), (0,), (7, 255)])
def test_label_values_with_a_single_class_in_the_labels_are_rejected(values: tuple[int, ...]) -> None:
    mask = np.repeat([0, 255], 8).reshape(4, 4)
    with pytest.raises(ImageError, match=r"hold only \d+, so a single class would be learnt\. They hold 0 and 255"):
        read_strokes(mask, mask.shape, 3, values)
    assert set(np.unique(read_strokes(mask, mask.shape, 3, (0, 255)))) == {1, 2}
