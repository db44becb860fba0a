"""Advice on the size of objects, and the measured size."""

import numpy as np
import pytest

from napari_fcn.errors import ImageError
from napari_fcn.receptive_fields.advice import advise, object_size


@pytest.mark.parametrize(
    ("objects", "effective", "theoretical", "words"),
    [
        (310, 120, 117, "dilated network or a deeper one (unet depth=6, receptive field 761 px), or downsample by 3"),
        (310, 0, 117, "Objects are 310 px, the receptive field is 117 px: in the middle"),
        (100, 60, 117, "theoretical receptive field is 117 px, but its outer part is hardly used"),
        (40, 60, 117, "Objects are 40 px, the effective receptive field is 60 px: a whole object fits."),
        (60, 60, 117, "fits"),
        (2, 60, 117, "far larger than needed"),
        (0, 60, 117, "no objects"),
    ],
)
def test_advice_follows_from_object_and_field(objects: float, effective: float, theoretical: float, words: str) -> None:
    assert words in advise(objects, effective, theoretical)


def test_no_network_is_suggested_if_none_is_deep_enough() -> None:
    assert "Use the dilated network, or downsample by 100" in advise(2000, 20, 100, 3)


@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_the_diameter_of_a_ball_is_measured(ndim: int) -> None:
    grid = np.indices((41,) * ndim) - 20
    ball = ((grid**2).sum(0) <= 15**2).astype(np.uint8) * 7
    assert object_size(ball) == pytest.approx(30.5, abs=1)


def test_the_size_is_that_of_the_median_object() -> None:
    labels = np.zeros((40, 40), np.int32)
    labels[:10, :10], labels[20:30, :10], labels[0, 30] = 1, 2, 3
    assert object_size(labels) == pytest.approx(np.sqrt(400 / np.pi))
    assert object_size(labels > 0) == object_size(labels)
    assert object_size(np.zeros((4, 4), np.uint8)) == 0


def test_the_pixel_size_is_taken_into_account() -> None:
    labels = np.zeros((4, 20, 20), np.uint8)
    labels[:2, :8, :8] = 1
    assert object_size(labels, (4.0, 1.0, 1.0)) == pytest.approx((6 * 8**3 / np.pi) ** (1 / 3))


@pytest.mark.parametrize("kind", [bool, np.uint8, np.int64])
def test_a_mask_of_any_dtype_is_split_into_components(kind: type) -> None:
    mask = np.zeros((40, 40), kind)
    mask[2:12, 2:12] = mask[20:30, 20:30] = 1
    assert object_size(mask * kind(1)) == pytest.approx(10 * np.sqrt(4 / np.pi))


@pytest.mark.parametrize("shape", [(), (2, 3, 4, 5)])
def test_labels_without_one_to_three_axes_are_rejected(shape: tuple[int, ...]) -> None:
    with pytest.raises(ImageError, match="objects are measured in 1 to 3 axes"):
        object_size(np.ones(shape, int))
