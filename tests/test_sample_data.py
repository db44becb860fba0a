"""Synthetic cells with exact truth, and real images that come with scikit-image."""

import socket
from itertools import pairwise

import numpy as np
import pytest
from scipy import ndimage

from napari_fcn import sample_data
from napari_fcn.sample_data import Look, cells, cells_movie, skimage_image, skimage_images


@pytest.mark.parametrize("shape", [(400,), (96, 80), (12, 48, 40), (3, 8, 32, 32)])
def test_cells_have_any_number_of_axes(shape: tuple[int, ...]) -> None:
    image, labels = cells(shape, look=Look(diameter=14))
    assert image.shape == labels.shape == shape
    assert (image.dtype, labels.dtype) == (np.uint16, np.uint16)
    assert labels.max() > 1


def test_the_same_seed_gives_the_same_cells_and_another_one_others() -> None:
    first, again, other = cells((64, 64), seed=3), cells((64, 64), seed=3), cells((64, 64), seed=4)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[1], other[1])


def test_labels_count_from_one_without_gaps() -> None:
    labels = cells((128, 128))[1]
    assert np.array_equal(np.unique(labels), np.arange(labels.max() + 1))


def test_cells_are_brighter_than_the_background_and_of_the_given_size() -> None:
    image, labels = cells((256, 256), look=Look(diameter=24))
    assert image[labels > 0].mean() > 3 * image[labels == 0].mean()
    assert 0.5 < np.median(np.bincount(labels.ravel())[1:]) / (np.pi * 12**2) < 1.3


def test_a_cell_is_one_piece() -> None:
    labels = cells((256, 256))[1]
    assert all(ndimage.label(labels == label)[1] == 1 for label in range(1, labels.max() + 1))


def test_some_cells_touch() -> None:
    labels = cells((256, 256))[1]
    assert ndimage.label(labels > 0)[1] < 0.8 * labels.max()


def test_coarse_spacing_makes_cells_short_along_that_axis() -> None:
    labels = cells((16, 96, 96), look=Look(diameter=24, spacing=(3, 1, 1)))[1]
    boxes = ndimage.find_objects(labels)
    whole = [box for box in boxes if box[0].start > 0 and box[0].stop < 16 and box[1].start > 0 and box[1].stop < 96]
    ratio = np.mean([(b[1].stop - b[1].start) / (b[0].stop - b[0].start) for b in whole])
    assert 2 < ratio < 4


def test_fewer_photons_are_noisier() -> None:
    noise = []
    for photons in (10, 1000):
        image, labels = cells((128, 128), look=Look(photons=photons))
        inside = ndimage.binary_erosion(labels > 0, iterations=3)
        detail = image - ndimage.gaussian_filter(image.astype(float), 2)
        noise.append(detail[inside].std() / image[inside].mean())
    assert noise[0] > 2 * noise[1]


def test_cells_can_be_uint8() -> None:
    image = cells((64, 64), look=Look(dtype="uint8"))[0]
    assert image.dtype == np.uint8
    assert np.ptp(image) > 50


def test_a_look_that_does_not_fit_the_axes_is_an_error() -> None:
    with pytest.raises(ValueError, match="2 axes"):
        cells((64, 64), look=Look(spacing=(1, 1, 1)))


def test_an_image_without_cells_is_dark() -> None:
    image, labels = cells((64, 64), look=Look(crowding=0))
    assert labels.max() == 0
    assert image.max() < 500


@pytest.mark.parametrize("shape", [(6, 128, 128), (3, 8, 64, 64)])
def test_tracks_follow_cells_from_frame_to_frame(shape: tuple[int, ...]) -> None:
    movie, tracks = cells_movie(shape, divisions=0)
    assert movie.shape == tracks.shape == shape
    for before, after in pairwise(tracks):
        stays = (before > 0) & (before == after)
        assert stays.sum() > 0.6 * (before > 0).sum()
        assert stays.sum() < (before > 0).sum()


def test_a_cell_that_divides_gives_two_new_tracks_and_ends_its_own() -> None:
    tracks = cells_movie((8, 192, 192), seed=1, divisions=3)[1]
    first = set(np.unique(tracks[0])) - {0}
    gone = first - set(np.unique(tracks[-1]))
    new = set(np.unique(tracks[-1])) - first
    assert len(gone) >= 1
    assert len(new) >= 2


def test_a_movie_is_the_same_for_the_same_seed() -> None:
    first, again = cells_movie((3, 64, 64), seed=2), cells_movie((3, 64, 64), seed=2)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))


@pytest.mark.parametrize("name", ["cells_2d", "cells_3d", "cells_2d_movie"])
def test_a_sample_names_its_axes_and_states_its_scale(name: str) -> None:
    sample = getattr(sample_data, name)()
    assert len(sample.axes) == len(sample.scale) == len(sample.units) == sample.image.ndim
    assert sample.labels.shape == sample.image.shape
    assert sample.units[-1] == "micrometer"


def test_real_images_need_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("a download")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert {"immunohistochemistry", "cell"} <= set(skimage_images())
    for name in skimage_images():
        sample = skimage_image(name)
        assert len(sample.axes) == len(sample.scale) == len(sample.units) == sample.image.ndim
        assert (sample.axes[-1] == "s") == (sample.image.ndim == 3)
        assert sample.labels is None


def test_an_unknown_sample_is_an_error_that_lists_the_others() -> None:
    with pytest.raises(ValueError, match="immunohistochemistry"):
        skimage_image("kidney")
