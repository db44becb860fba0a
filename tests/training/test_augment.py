"""Augmented crops and their labels."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from napari_fcn.settings import TrainSettings
from napari_fcn.training.augment import Augmentation

SEEDS = st.integers(0, 2**16)


def blobs(shape: tuple[int, ...]) -> np.ndarray:
    """Return two classes in patches of some ten pixels."""
    smooth = ndimage.gaussian_filter(np.random.default_rng(1).normal(size=shape), 5, mode="wrap")
    return (smooth > 0).astype(np.uint16) * 7


@settings(max_examples=25)
@given(
    st.sampled_from(
        [((60,), (32,)), ((50, 41), (32, 16)), ((20, 30), (48, 48)), ((9, 20, 22), (4, 16, 16)), ((1, 30), (1, 16))]
    ),
    st.integers(1, 3),
    SEEDS,
)
def test_a_crop_has_the_requested_size(
    shapes: tuple[tuple[int, ...], tuple[int, ...]], channels: int, seed: int
) -> None:
    shape, patch = shapes
    labels = blobs(shape)
    image = np.random.default_rng(0).normal(size=(channels, *shape)).astype(np.float32)
    crop, cut = Augmentation(invert=True).crop(image, labels, patch, np.random.default_rng(seed))
    assert crop.shape == (channels, *patch)
    assert crop.dtype == np.float32
    assert np.isfinite(crop).all()
    assert cut.shape == patch
    assert cut.dtype == labels.dtype
    assert set(np.unique(cut)) <= set(np.unique(labels))


@settings(max_examples=25)
@given(st.sampled_from([(200,), (90, 80), (30, 28, 26)]), SEEDS)
def test_labels_are_deformed_like_the_image(shape: tuple[int, ...], seed: int) -> None:
    """An image of its labels still matches them, except for interpolated pixels at borders."""
    labels = blobs(shape)
    image = np.where(labels > 0, 1, -1).astype(np.float32)[None]
    gentle = Augmentation(noise=0, blur=0, gamma=1)
    crop, cut = gentle.crop(image, labels, (24,) * len(shape), np.random.default_rng(seed))
    away = ~(ndimage.maximum_filter(cut, 3) != ndimage.minimum_filter(cut, 3))
    assert ((crop[0] > 0) == (cut > 0))[away].mean() > 0.99  # but for what is thinner than the crop can show


def test_the_same_seed_gives_the_same_crop(rng: np.random.Generator) -> None:
    image, labels = rng.normal(size=(1, 40, 40)).astype(np.float32), blobs((40, 40))
    one, same, other = (Augmentation().crop(image, labels, (24, 24), np.random.default_rng(s)) for s in (3, 3, 4))
    np.testing.assert_array_equal(one[0], same[0])
    np.testing.assert_array_equal(one[1], same[1])
    assert (one[0] != other[0]).any()


def test_crops_cover_the_whole_image() -> None:
    labels = np.arange(4).repeat(30)
    seen = set()
    for seed in range(30):
        seen |= set(Augmentation().crop(labels[None].astype(np.float32), labels, (16,), np.random.default_rng(seed))[1])
    assert seen == {0, 1, 2, 3}


@pytest.mark.parametrize("scale", [0.5, 2.0])
def test_objects_are_magnified_by_the_scale(scale: float) -> None:
    yy, xx = np.mgrid[:128, :128] - 63.5
    labels = (yy**2 + xx**2 < 20**2).astype(np.uint8)
    still = Augmentation(scale=(scale, scale), elastic_sigma=0)
    _, cut = still.crop(labels[None].astype(np.float32), labels, (128, 128), np.random.default_rng(0))
    assert cut.sum() / labels.sum() == pytest.approx(scale**2, rel=0.1) or cut.sum() > 0.5 * labels.sum()


def test_half_of_the_crops_are_inverted_if_set() -> None:
    image, labels = np.ones((1, 32, 32), np.float32), np.zeros((32, 32), np.uint8)
    gentle = Augmentation(noise=0, blur=0, gamma=1, invert=True)
    signs = [gentle.crop(image, labels, (16, 16), np.random.default_rng(s))[0].mean() > 0 for s in range(60)]
    assert 15 < sum(signs) < 45


def test_crops_are_flipped_and_transposed() -> None:
    labels = np.arange(16).reshape(4, 4)
    still = Augmentation(scale=(1.0, 1.0), elastic_sigma=0)
    result = {
        still.crop(labels[None].astype(np.float32), labels, (4, 4), np.random.default_rng(s))[1].tobytes()
        for s in range(80)
    }
    assert len(result) == 8  # the symmetries of a square


def test_the_image_is_not_changed(rng: np.random.Generator) -> None:
    image, labels = rng.normal(size=(1, 40, 40)).astype(np.float32), blobs((40, 40))
    before = image.copy(), labels.copy()
    Augmentation(invert=True).crop(image, labels, (24, 24), rng)
    np.testing.assert_array_equal(image, before[0])
    np.testing.assert_array_equal(labels, before[1])


@settings(max_examples=20)
@given(SEEDS)
def test_frames_keep_their_order_and_distance(seed: int) -> None:
    frames = np.broadcast_to(np.arange(40.0, dtype=np.float32)[:, None, None], (40, 24, 24))
    plain = Augmentation(noise=0, blur=0, gamma=1, time=0)
    where = plain._sampling_grid(frames.shape, (16, 16, 16), np.random.default_rng(seed))
    assert np.allclose(np.diff(where[0], axis=0), 1, atol=1e-4)
    _, cut = plain.crop(frames[None], frames.astype(np.uint8), (16, 16, 16), np.random.default_rng(seed))
    assert (np.diff(cut.astype(int), axis=0) == 1).all()


def test_thick_planes_are_deformed_less_and_not_transposed() -> None:
    """A ramp along z encodes the origin of each voxel of a crop."""
    shape, patch = (16, 64, 64), (16, 16, 16)
    ramp = np.broadcast_to(np.arange(16, dtype=np.float32)[:, None, None], shape)[None]
    labels = np.zeros(shape, np.uint8)
    gentle = {"noise": 0, "blur": 0, "gamma": 1, "scale": (1, 1)}
    apart, cubes = (Augmentation(spacing=s, **gentle) for s in ((8, 1, 1), ()))  # type: ignore[arg-type]
    slopes: dict[str, list[np.ndarray]] = {"apart": [], "cubes": []}
    for seed in range(12):
        for name, augmentation in (("apart", apart), ("cubes", cubes)):
            crop, _ = augmentation.crop(ramp, labels, patch, np.random.default_rng(seed))
            slopes[name].append([np.abs(np.diff(crop[0], axis=axis)).mean() for axis in range(3)])
    assert all(np.argmax(slope) == 0 for slope in slopes["apart"])
    assert any(np.argmax(slope) != 0 for slope in slopes["cubes"])
    across = {name: np.mean([sorted(slope)[0] for slope in result]) for name, result in slopes.items()}
    assert across["apart"] < across["cubes"] / 2


def grids(**how: Any) -> set[bytes]:
    """Return the different crops of a square of numbers, without deformation."""
    labels = np.arange(16).reshape(4, 4)
    still = Augmentation(scale=(1.0, 1.0), elastic_sigma=0, **how)
    return {
        still.crop(labels[None].astype(np.float32), labels, (4, 4), np.random.default_rng(s))[1].tobytes()
        for s in range(80)
    }


def symmetries(*matrices: tuple[int, ...]) -> set[bytes]:
    """Return the square of numbers under symmetries of a square, each given as flip y, flip x, transpose."""
    square = np.arange(16).reshape(4, 4)
    flipped = (np.flip(square, tuple(axis for axis in (0, 1) if flips[axis])) for flips in matrices)
    return {
        np.ascontiguousarray(one.T if flips[2] else one).tobytes() for one, flips in zip(flipped, matrices, strict=True)
    }


def test_mirrors_and_turns_are_chosen_separately() -> None:
    assert grids(flip_axes=(), rotate_axes=()) == symmetries((0, 0, 0))
    assert grids(flip_axes=(1,), rotate_axes=()) == symmetries((0, 0, 0), (0, 1, 0))
    assert grids(rotate_axes=()) == symmetries(*((y, x, 0) for y in (0, 1) for x in (0, 1)))
    assert len(grids()) == 8


def test_turns_without_mirrors_are_proper_rotations() -> None:
    square = np.arange(16).reshape(4, 4)
    turned = {np.ascontiguousarray(np.rot90(square, k)).tobytes() for k in range(4)}
    assert grids(flip_axes=()) == turned


@settings(max_examples=40)
@given(SEEDS)
def test_turns_of_volumes_keep_their_handedness(seed: int) -> None:
    cube = np.zeros((3, 3, 3), np.int64)
    cube[2, 1, 1], cube[1, 2, 1], cube[1, 1, 2] = 1, 2, 3
    image = cube[None].astype(np.float32)
    plain = Augmentation(scale=(1, 1), elastic_sigma=0, flip_axes=())
    _, cut = plain.crop(image, cube, (3, 3, 3), np.random.default_rng(seed))
    axes = np.stack([np.argwhere(cut == k)[0] - 1 for k in (1, 2, 3)])
    assert round(np.linalg.det(axes)) == 1


def test_settings_switch_each_change_off() -> None:
    off = TrainSettings(flips="off", right_angles="off", zoom=(1,), elastic=False, intensity=False)
    still = Augmentation.of(off, (1.0, 1.0))
    image = np.random.default_rng(0).normal(size=(2, 12, 12)).astype(np.float32)
    crop, cut = still.crop(image, np.arange(144).reshape(12, 12), (12, 12), np.random.default_rng(1))
    np.testing.assert_allclose(crop, image, atol=1e-6)
    np.testing.assert_array_equal(cut, np.arange(144).reshape(12, 12))
    for change in ({"zoom": (2,)}, {"elastic": True}, {"intensity": True}, {"invert": True}, {"flips": "on"}):
        moved = Augmentation.of(replace(off, **change), (1.0, 1.0))  # type: ignore[arg-type]
        crops = [
            moved.crop(image, np.arange(144).reshape(12, 12), (12, 12), np.random.default_rng(s))[0] for s in (1, 2)
        ]
        assert max(np.abs(one - image).max() for one in crops) > 0.1, change


def test_under_auto_directed_axes_are_neither_mirrored_nor_exchanged() -> None:
    chosen = Augmentation.of(TrainSettings(), (1.0, 1.0, 1.0), directed=(1,))
    assert chosen.flip_axes == chosen.rotate_axes == (0, 2)
    stated = Augmentation.of(TrainSettings(flips="on", right_angles="off"), (1.0, 1.0, 1.0), directed=(1,))
    assert (stated.flip_axes, stated.rotate_axes) == (None, ())
