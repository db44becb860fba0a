"""Axes along which classes differ in direction, found from the labels."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from napari_fcn.learning.labels import IGNORE
from napari_fcn.models.normalise import Normaliser
from napari_fcn.settings import TrainSettings
from napari_fcn.training.dataset import LabelledImage, read_folder
from napari_fcn.training.directions import choose_augmentation, class_centroids, count_directions, sign_test
from napari_fcn.training.label_survey import read_labels

CLASSES = TrainSettings(target="classes")
NAMES = ("background", "left", "right")


def image(labels: np.ndarray, name: str = "", picture: str = "") -> LabelledImage:
    return LabelledImage(name, "", (np.zeros((1, *labels.shape), np.float32),), labels, picture=picture)


def discs(rng: np.random.Generator, first: int = 1, second: int = 2) -> np.ndarray:
    """Return labels of two discs at random places, one left of the other."""
    yy, xx = np.mgrid[:40, :60]
    labels = np.zeros((40, 60), np.uint8)
    for value, x in ((first, rng.uniform(8, 22)), (second, rng.uniform(36, 52))):
        labels[(yy - rng.uniform(8, 32)) ** 2 + (xx - x) ** 2 < 36] = value
    return labels


def images_of(labels: list[np.ndarray]) -> list[LabelledImage]:
    return [image(one, f"image {i}") for i, one in enumerate(labels)]


@given(st.integers(0, 40), st.integers(0, 40))
def test_the_sign_test_is_that_of_scipy(agreeing: int, opposing: int) -> None:
    high, total = max(agreeing, opposing), agreeing + opposing
    expected = stats.binomtest(high, total).pvalue if total else 1.0
    assert sign_test(high, total) == pytest.approx(expected)


@settings(max_examples=20)
@given(st.integers(1, 3), st.integers(0, 2**16))
def test_centroids_are_the_mean_positions_of_each_class(ndim: int, seed: int) -> None:
    labels = np.random.default_rng(seed).choice([0, 2, IGNORE], (7, 6, 5)[:ndim]).astype(np.uint8)
    found = class_centroids(labels, 3)
    for k in range(3):
        positions = np.argwhere(labels == k)
        expected = positions.mean(axis=0) if len(positions) else np.full(ndim, np.nan)
        np.testing.assert_allclose(found[k], expected)


def test_discs_that_differ_by_side_are_not_mirrored_along_that_axis(rng: np.random.Generator) -> None:
    chosen = choose_augmentation(images_of([discs(rng) for _ in range(12)]), CLASSES, NAMES)
    assert chosen.directed == (1,)
    assert chosen.notes[0].startswith("Along axis x, crops are neither mirrored nor turned, because classes differ")
    assert "left lies before right in 12 of 12 pictures (sign test: p = 0.0005)" in chosen.notes[0]
    assert chosen.notes[1] == "Along axis y, crops are mirrored: a mirror exchanges no classes."


def test_discs_on_either_side_are_mirrored(rng: np.random.Generator) -> None:
    labels = [discs(rng, *(1, 2) if i % 2 else (2, 1)) for i in range(24)]
    chosen = choose_augmentation(images_of(labels), CLASSES, NAMES)
    assert chosen.directed == ()
    assert "no class lies on the same side of another" in chosen.notes[0]


def test_random_labels_are_nearly_always_mirrored(rng: np.random.Generator) -> None:
    """The level of the test holds for all pairs of classes and axes together."""
    directed = 0
    for _ in range(200):
        labels = [rng.integers(0, 4, (24, 24)).repeat(2, 0) for _ in range(10)]
        directed += bool(choose_augmentation(images_of(labels), CLASSES, (*NAMES, "other")).directed)
    assert directed <= 20


def test_side_among_many_opposite_pictures_is_found_if_three_of_four_agree(rng: np.random.Generator) -> None:
    for opposite, directed in ((10, (1,)), (16, ())):
        labels = [discs(rng, *(2, 1) if i < opposite else (1, 2)) for i in range(50)]
        assert choose_augmentation(images_of(labels), CLASSES, NAMES).directed == directed


def test_few_pictures_do_not_decide_and_the_note_says_so(rng: np.random.Generator) -> None:
    chosen = choose_augmentation(images_of([discs(rng) for _ in range(4)]), CLASSES, NAMES)
    assert chosen.directed == ()
    assert "left lies before right along axis x in all 4 pictures; at least 8 are needed" in chosen.notes[0]
    assert "add --flips off --right-angles off" in chosen.notes[0]
    (note,) = choose_augmentation(images_of([discs(rng)]), CLASSES, NAMES).notes
    assert "fewer than 8 pictures hold two classes" in note


def test_planes_of_one_volume_count_once(rng: np.random.Generator) -> None:
    planes = [image(discs(rng), f"volume {i}", "volume") for i in range(30)]
    assert choose_augmentation(planes, CLASSES, NAMES).directed == ()
    pictures = [replace(plane, picture=f"volume {i // 3}") for i, plane in enumerate(planes)]
    assert choose_augmentation(pictures, CLASSES, NAMES).directed == (1,)


def test_a_small_offset_along_another_axis_does_not_forbid_its_mirror_images(rng: np.random.Generator) -> None:
    labels = []
    for _ in range(20):
        one = np.zeros((40, 60), np.uint8)
        y, x = rng.integers(5, 20), rng.integers(5, 15)
        one[y : y + 8, x : x + 8] = 1
        one[y + 6 : y + 14, x + 20 : x + 28] = 2  # 6 px lower, and 20 px to the right
        labels.append(one)
    found = {(d.axis, d.agreeing): d.share for d in count_directions(labels, list("abcdefghijklmnopqrst"), 3)}
    assert found[0, 20] == pytest.approx(0.3)
    assert choose_augmentation(images_of(labels), CLASSES, NAMES).directed == (1,)


def test_distances_are_compared_in_true_proportion() -> None:
    labels = np.zeros((10, 40), np.uint8)
    labels[1, 5], labels[4, 15] = 1, 2
    shares = [
        {d.axis: d.share for d in count_directions([labels], ["a"], 3, spacing) if {d.first, d.second} == {1, 2}}
        for spacing in ((), (10, 1))
    ]
    assert shares[0] == {0: pytest.approx(0.3), 1: 1}
    assert shares[1] == {0: 1, 1: pytest.approx(1 / 3)}


@pytest.mark.parametrize("target", ["objects", "membranes"])
def test_numbered_objects_have_no_direction(target: str, rng: np.random.Generator) -> None:
    chosen = choose_augmentation(images_of([discs(rng) for _ in range(12)]), TrainSettings(target=target), NAMES)
    assert chosen.directed == ()
    assert target in chosen.notes[0]


def test_parts_of_an_organ_are_not_mirrored_from_front_to_back(shared_data: Path) -> None:
    folder = shared_data / "hippocampus_mri"
    read = read_folder(folder, ("train_*", ""), "", 3, Normaliser())
    chosen = choose_augmentation([read_labels(one, CLASSES) for one in read], CLASSES, ("background", "front", "back"))
    assert 1 in chosen.directed
    assert 2 not in chosen.directed
    assert any(f"back lies before front in {len(read)} of {len(read)} pictures" in note for note in chosen.notes)


@pytest.mark.parametrize(("flips", "words"), [("on", "along all axes"), ("off", "along no axis")])
def test_stated_settings_are_not_changed(flips: str, words: str, rng: np.random.Generator) -> None:
    images = images_of([discs(rng) for _ in range(12)])
    chosen = choose_augmentation(images, replace(CLASSES, flips=flips, right_angles="on"), NAMES)
    assert chosen.directed == ()
    assert words in chosen.notes[0]
    assert "turned in all planes" in chosen.notes[1]
    mixed = choose_augmentation(images, replace(CLASSES, flips=flips), NAMES)
    assert mixed.directed == (1,)
    assert words in mixed.notes[0]
    assert mixed.notes[1].startswith("Along axis x, crops are not turned, because")
