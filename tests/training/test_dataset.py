"""A folder of labelled images, and the crops taken from them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from napari_fcn.errors import FcnError, ImageError
from napari_fcn.models.normalise import Normaliser
from napari_fcn.settings import TrainSettings
from napari_fcn.training.dataset import Crops, LabelledImage, read_folder


def put(folder: Path, name: str, image: np.ndarray, labels: np.ndarray | None = None) -> None:
    photometric = "rgb" if image.shape[-1] == 3 else "minisblack"
    tifffile.imwrite(folder / f"{name}_image.tif", image, photometric=photometric)
    if labels is None:
        labels = np.zeros(image.shape[:2], np.uint16)
    tifffile.imwrite(folder / f"{name}_label.tif", labels, photometric="minisblack")


def read(folder: Path, wanted: str = "*", unwanted: str = "", kinds: str = "", ndim: int = 2) -> list[LabelledImage]:
    return read_folder(folder, (wanted, unwanted), kinds, ndim, Normaliser())


def grey(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, shape).astype(np.uint8)


def test_images_are_read_in_order_with_their_labels(tmp_path: Path, rng: np.random.Generator) -> None:
    labels = rng.integers(0, 9, (12, 14)).astype(np.uint16)
    put(tmp_path, "b", grey(12, 14), labels)
    put(tmp_path, "a", grey(10, 11))
    first, second = read(tmp_path)
    assert (first.name, second.name) == ("a", "b")
    assert first.views[0].shape == (1, 10, 11)
    assert first.views[0].dtype == np.float32
    np.testing.assert_array_equal(second.labels, labels)


def test_images_are_scaled_as_for_inference(tmp_path: Path) -> None:
    image = grey(30, 30)
    put(tmp_path, "a", image)
    scaled = Normaliser().fit(image.reshape(1, -1)).apply(image[None])
    np.testing.assert_array_equal(read(tmp_path)[0].views[0], scaled)


def test_a_doubtful_contrast_is_noted(tmp_path: Path) -> None:
    put(tmp_path, "noise", grey(100, 100))
    (image,) = read(tmp_path)
    assert image.notes[0].startswith("noise: The contrast is doubtful")


def test_complex_images_are_rejected_by_name(tmp_path: Path) -> None:
    put(tmp_path, "phase", grey(10, 10).astype(np.complex64))
    with pytest.raises(ImageError, match="phase: The image holds complex numbers"):
        read(tmp_path)


def test_patterns_include_and_exclude(tmp_path: Path) -> None:
    for name in ("train_a", "train_b", "val_a", "odd"):
        put(tmp_path, name, grey(4, 4))
    assert [image.name for image in read(tmp_path, "train_*,odd", "*_b")] == ["odd", "train_a"]
    assert read(tmp_path, "nothing_*") == []


def test_the_first_group_of_the_pattern_is_the_kind(tmp_path: Path) -> None:
    for name in ("train_em_1", "train_fluo_2", "other"):
        put(tmp_path, name, grey(4, 4))
    assert [image.kind for image in read(tmp_path, kinds="train_([a-z]+)_")] == ["", "em", "fluo"]


def test_colours_are_read_as_luminance_and_channel_by_channel(tmp_path: Path) -> None:
    put(tmp_path, "rgb", grey(8, 9, 3))
    (image,) = read(tmp_path)
    assert [view.shape for view in image.views] == [(1, 8, 9)] * 4


@pytest.mark.parametrize(("ndim", "shapes"), [(1, [(1, 7)] * 24), (2, [(1, 6, 7)] * 4), (3, [(1, 4, 6, 7)])])
def test_each_plane_of_a_stack_is_an_image(tmp_path: Path, ndim: int, shapes: list[tuple[int, ...]]) -> None:
    put(tmp_path, "stack", grey(4, 6, 7), np.arange(4 * 6 * 7, dtype=np.uint16).reshape(4, 6, 7))
    images = read(tmp_path, ndim=ndim)
    assert [image.views[0].shape for image in images] == shapes
    np.testing.assert_array_equal(np.concatenate([image.labels.ravel() for image in images]), np.arange(4 * 6 * 7))


def test_missing_labels_are_named(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a_image.tif", grey(4, 4))
    with pytest.raises(ImageError, match=r"a_image\.tif has no labels: a_label\.tif is missing"):
        read(tmp_path)


@pytest.mark.parametrize("shape", [(4, 6), (2, 4, 5), (5, 4), (4, 5, 3)])
def test_labels_of_another_shape_are_rejected(tmp_path: Path, shape: tuple[int, ...]) -> None:
    put(tmp_path, "a", grey(4, 5), np.zeros(shape, np.uint16))
    with pytest.raises(ImageError, match="must have the same size"):
        read(tmp_path)


@pytest.mark.parametrize("which", ["image", "label"])
def test_a_damaged_file_is_named(tmp_path: Path, which: str) -> None:
    put(tmp_path, "a", grey(4, 5))
    (tmp_path / f"a_{which}.tif").write_bytes(b"this is not a TIFF")
    with pytest.raises(ImageError, match=rf"a_{which}\.tif"):
        read(tmp_path)


def test_an_image_with_too_few_axes_for_the_network_is_rejected(tmp_path: Path) -> None:
    put(tmp_path, "flat", grey(4, 5))
    with pytest.raises(ImageError, match=r"flat.*3-D model needs 3 axes"):
        read(tmp_path, ndim=3)


def test_an_invalid_pattern_of_kinds_is_rejected(tmp_path: Path) -> None:
    put(tmp_path, "a", grey(4, 5))
    with pytest.raises(FcnError, match=r"'train_\('"):
        read(tmp_path, kinds="train_(")


def labelled(kind: str, value: float = 0.0) -> LabelledImage:
    return LabelledImage("", kind, (np.full((1, 20, 20), value, np.float32),), np.zeros((20, 20), np.uint16))


def crops(images: list[LabelledImage], **settings: Any) -> Crops:
    return Crops(images, TrainSettings(patch=16, **settings))


def test_crops_are_pairs_of_one_size() -> None:
    result = crops([labelled("")] * 3, crops=2)
    assert len(result) == 6
    image, target = result[0]
    assert image.shape == (1, 16, 16)
    assert target.shape == (16, 16)
    assert not target.is_floating_point()


def test_a_crop_depends_on_seed_epoch_and_number_only() -> None:
    images = [labelled("", value) for value in np.linspace(-1, 1, 9)]

    def first(seed: int, epoch: int, index: int) -> np.ndarray:
        result = crops(images, seed=seed)
        result.epoch = epoch
        return result[index][0].numpy()

    for key in [(0, 0, 0), (1, 2, 3)]:
        np.testing.assert_array_equal(first(*key), first(*key))
    assert len({first(*key).tobytes() for key in np.ndindex(2, 2, 2)}) == 8


@pytest.mark.parametrize(("balance", "share"), [(0.0, 1 / 2), (0.5, 3 / 4), (1.0, 9 / 10)])
def test_kinds_are_drawn_according_to_the_balance(balance: float, share: float) -> None:
    result = crops([labelled("many")] * 9 + [labelled("few")], balance=balance)
    assert result.probabilities[:9].sum() == pytest.approx(share)
    assert result.probabilities.sum() == pytest.approx(1)


def test_the_default_patch_depends_on_the_number_of_axes() -> None:
    for labels, side in ((np.ones((9, 9), int), 256), (np.ones((4, 4, 4), int), 64)):
        image = LabelledImage("a", "", (np.zeros((1, *labels.shape), np.float32),), labels)
        assert Crops([image], TrainSettings()).patch == (side,) * labels.ndim


def test_a_patch_has_one_length_for_all_axes_or_one_for_each() -> None:
    image = LabelledImage("a", "", (np.zeros((1, 4, 9, 9), np.float32),), np.ones((4, 9, 9), int))
    assert Crops([image], TrainSettings(patch=16)).patch == (16, 16, 16)
    assert Crops([image], TrainSettings(patch=(4, 8, 9))).patch == (4, 8, 9)
    with pytest.raises(ImageError, match=r"patch \(4, 8\) has 2 numbers; give one, or one for each of 3 axes"):
        Crops([image], TrainSettings(patch=(4, 8)))


def test_crops_are_deformed_according_to_the_pixel_size() -> None:
    image = LabelledImage("a", "", (np.zeros((1, 4, 9, 9), np.float32),), np.ones((4, 9, 9), int))
    assert Crops([image], TrainSettings(), spacing=(3, 1, 1)).augmentation.spacing == (3, 1, 1)
    assert Crops([image], TrainSettings(spacing=(2, 1, 1)), spacing=(3, 1, 1)).augmentation.spacing == (2, 1, 1)
    with pytest.raises(ImageError, match="spacing"):
        Crops([image], TrainSettings(spacing=(2, 1)))
