"""Random crops of pictures."""

import numpy as np
import pytest
from training.test_pictures import discs

from napari_fcn.training.pictures import Picture, border_distance
from napari_fcn.training.plane_crops import (
    OUTSIDE,
    PlaneAugmentation,
    PlaneCrops,
    change_colours,
    change_intensities,
    jitter_stains,
)


def picture(
    task: str = "nuclei", is_colour: bool = False, kind: str = "fluo", shape: tuple[int, int] = (80, 90)
) -> Picture:
    labels = discs(shape).astype(np.int32)
    image = np.repeat(((labels > 0) * 1.6 - 0.8).astype(np.float32)[None], 3, 0)
    distance = border_distance(labels) if task in ("nuclei", "cells") else None
    return Picture(f"set/train_{task}", task, kind, "group", image, labels, distance, 16.0, is_colour)


PLAIN = PlaneAugmentation(native=1.0, near=1.0, elastic=0.0)


def test_a_crop_is_the_same_for_the_same_numbers_and_differs_for_others() -> None:
    crops = PlaneCrops([picture()], {"nuclei": 1.0}, 48, 10, seed=3)
    first, again, other = crops[4], crops[4], crops[5]
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a, b)
    assert not np.array_equal(first[0], other[0])
    crops.epoch = 1
    assert not np.array_equal(first[0], crops[4][0])


def test_image_labels_and_distance_show_the_same_place() -> None:
    for seed in range(20):
        image, labels, distance = PLAIN._warp(picture(), 48, 1.0, np.random.default_rng(seed))
        inside = labels != OUTSIDE
        agree = (image[0] > 0) == (labels > 0)
        assert agree[inside].mean() > 0.95
        assert (distance[labels > 0] > 0).mean() > 0.95
        assert ((distance > 0.2) <= (labels != 0)).mean() > 0.98


@pytest.mark.parametrize("zoom", [0.3, 0.7, 1.0, 2.5])
def test_objects_are_magnified(zoom: float) -> None:
    areas = []
    for seed in range(12):
        _, labels, _ = PLAIN._warp(picture(shape=(160, 160)), 96, zoom, np.random.default_rng(seed))
        known = (labels != OUTSIDE).sum()
        areas.append((labels > 0).sum() / max(known, 1))
    whole = (discs((160, 160)) > 0).mean()
    assert np.mean(areas) == pytest.approx(whole, rel=0.6)
    side = 96 / zoom
    assert side > 0


def test_what_lies_outside_the_picture_is_unknown() -> None:
    _, labels, _ = PLAIN._warp(picture(), 200, 1.0, np.random.default_rng(0))
    assert (labels == OUTSIDE).sum() == pytest.approx(200 * 200 - 80 * 90, rel=0.05)


def test_sizes_of_objects_are_drawn_over_the_whole_range() -> None:
    augmentation = PlaneAugmentation(native=0.0)
    sizes = [16 * augmentation._zoom(picture(), np.random.default_rng(seed)) for seed in range(400)]
    assert min(sizes) < 9
    assert max(sizes) > 60
    assert 20 < np.median(sizes) < 36


def test_tasks_and_kinds_get_their_shares() -> None:
    pictures = [picture("nuclei", kind="a")] * 9 + [picture("nuclei", kind="b")] + [picture("cells")] * 2
    crops = PlaneCrops(pictures, {"nuclei": 0.75, "cells": 0.25}, 32, 10)
    assert crops.probabilities[:10].sum() == pytest.approx(0.75)
    assert crops.probabilities[:9].sum() == pytest.approx(3 * crops.probabilities[9])


def test_intensities_stay_within_bounds_and_finite() -> None:
    for seed in range(60):
        rng = np.random.default_rng(seed)
        for is_empty in (False, True):
            changed = change_intensities(picture().image * 0.01, is_empty, rng)
            assert changed.dtype == np.float32
            assert np.isfinite(changed).all()
            assert np.abs(changed).max() <= 4


def test_grey_pictures_may_be_tinted_and_colours_may_turn_grey() -> None:
    grey, colour = picture().image, picture(is_colour=True).image.copy()
    colour[1] *= 0.3
    tinted = [change_colours(grey, False, np.random.default_rng(seed)) for seed in range(60)]
    assert 2 < sum(not np.allclose(t, t[:1]) for t in tinted) < 30
    greyed = [change_colours(colour, True, np.random.default_rng(seed)) for seed in range(60)]
    assert any(np.allclose(g, g[:1]) for g in greyed)


def test_stains_are_jittered_but_a_white_place_stays_light() -> None:
    image = np.ones((3, 16, 16), np.float32)
    image[:, 4:8] = np.array([0.2, -0.4, 0.3])[:, None, None]
    changed = [jitter_stains(image, np.random.default_rng(seed)) for seed in range(20)]
    assert min(c[:, 12].mean() for c in changed) > 0.5
    assert np.std([c[0, 5, 5] for c in changed]) > 0.02
