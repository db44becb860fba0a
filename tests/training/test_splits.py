"""Training and validation images never share a picture, or the user learns which do."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from napari_fcn.errors import ImageError
from napari_fcn.models.normalise import Normaliser
from napari_fcn.training.dataset import LabelledImage, read_folder
from napari_fcn.training.splits import describe_split, draw_validation, validation_share, with_pictures


def scene(seed: int, shape: tuple[int, ...] = (64, 64)) -> np.ndarray:
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), 3)
    return (100 + 500 * noise).astype(np.float32)


def labelled(name: str, pixels: np.ndarray, kind: str = "", picture: str = "") -> LabelledImage:
    """Return an image as `read_folder` does: scaled by itself, so that tiles of one picture differ in scale."""
    scaling = Normaliser().fit(pixels.reshape(1, -1))
    labels = np.zeros(pixels.shape, np.uint8)
    return LabelledImage(name, kind, (scaling.apply(pixels[None]),), labels, picture=picture, scaling=scaling)


def tiles(name: str, seed: int, shape: tuple[int, ...] = (64, 128)) -> list[LabelledImage]:
    whole = scene(seed, shape)
    half = shape[-1] // 2
    return [labelled(f"{name}_{i}", part) for i, part in enumerate((whole[..., :half], whole[..., half:]))]


@pytest.mark.parametrize(
    ("text", "share"), [("0.2", 0.2), (".25", 0.25), ("20%", 0.2), ("12.5 %", 0.125), ("val_*", None), ("a,b", None)]
)
def test_a_share_is_a_fraction_or_a_percentage(text: str, share: float | None) -> None:
    assert validation_share(text) == share


@pytest.mark.parametrize("text", ["0%", "100%", "250%", "0.0"])
def test_a_share_outside_of_0_to_1_is_refused(text: str) -> None:
    with pytest.raises(ImageError, match="above 0 and below 1"):
        validation_share(text)


@pytest.mark.parametrize("shape", [(64, 128), (8, 16, 32)])
def test_tiles_are_recognised_although_each_was_scaled_by_itself(shape: tuple[int, ...]) -> None:
    images = with_pictures([*tiles("a", 0, shape), *tiles("b", 1, shape)])
    assert [image.picture for image in images] == ["a_0", "a_0", "b_0", "b_0"]


def test_planes_equal_pixels_and_names_join_images() -> None:
    images = [labelled(f"mouse{n // 2}_{n}", scene(n)) for n in range(6)]
    assert len({image.picture for image in with_pictures(images)}) == 6
    by_name = with_pictures(images, "(mouse[0-9]+)_")
    assert [image.picture for image in by_name] == [f"mouse{n}_{2 * n}" for n in (0, 0, 1, 1, 2, 2)]
    assert len({image.picture for image in with_pictures(images, "mouse[0-9]+")}) == 3
    copies = [labelled(name, scene(7)) for name in ("a", "b")]
    planes = [labelled(f"stack {i}", scene(10 + i), picture="stack") for i in range(3)]
    assert [image.picture for image in with_pictures([*copies, *planes])] == ["a", "a", *["stack 0"] * 3]
    empty = [labelled(name, np.zeros((64, 64), np.float32)) for name in ("a", "b")]
    assert [image.picture for image in with_pictures(empty)] == ["a", "b"]
    with pytest.raises(ImageError, match="not a regular expression"):
        with_pictures(images, "(")


@settings(max_examples=40)
@given(
    st.lists(st.tuples(st.integers(0, 6), st.sampled_from(["", "he", "fluo"])), min_size=2, max_size=40),
    st.sampled_from([0.1, 0.2, 0.5]),
    st.integers(0, 99),
)
def test_no_picture_is_in_both_parts(drawn: list[tuple[int, str]], share: float, seed: int) -> None:
    view = np.zeros((1, 4, 4), np.float32)
    images = [
        LabelledImage(str(i), kind, (view,), np.zeros((4, 4), np.uint8), picture=f"{kind}{number}")
        for i, (number, kind) in enumerate(drawn)
    ]
    if len({image.picture for image in images}) == 1:
        with pytest.raises(ImageError, match="parts of one picture"):
            draw_validation(images, share, seed)
        return
    training, validation = draw_validation(images, share, seed)
    assert training
    assert validation
    assert sorted(image.name for image in (*training, *validation)) == sorted(image.name for image in images)
    assert {image.picture for image in training}.isdisjoint({image.picture for image in validation})
    assert [image.name for image in draw_validation(images, share, seed)[1]] == [image.name for image in validation]


def test_each_kind_is_validated_with_its_share() -> None:
    numbered = [(kind, n) for kind in ("a", "bb") for n in range(10)]
    images = with_pictures([labelled(f"{kind}{n}", scene(n + 50 * len(kind)), kind) for kind, n in numbered])
    _, validation = draw_validation(images, 0.2, 0)
    assert sorted(image.kind for image in validation) == ["a", "a", "bb", "bb"]


def test_shared_pictures_are_named() -> None:
    (one, two), (three, four) = tiles("a", 0), tiles("b", 1)
    images = with_pictures([one, three, two, four, labelled("c", scene(5))])
    found = describe_split(images[:2], images[2:], "val_*")
    assert found.shared == (("a_1", "a_0"), ("b_1", "b_0"))
    assert "2 of 3 validation images are of pictures that are also used for training" in found.notes[0]
    assert "a_1 and a_0; b_1 and b_0" in found.notes[1]
    assert "--validate 0.2" in found.notes[1]
    clean = describe_split(images[:4], images[4:], "val_*")
    assert (clean.shared, clean.notes, clean.warning) == ((), (), "")
    assert clean.line == "Validation: 1 image with names val_*, from 1 picture. No picture is in both parts."


def test_a_split_of_the_nuclei_images_shares_pictures(shared_data: Path) -> None:
    folder = shared_data / "dsb2018"
    parts = [read_folder(folder, (f"{part}_*", ""), "", 2, Normaliser()) for part in ("train", "val")]
    images = with_pictures([*parts[0], *parts[1]])
    found = describe_split(images[: len(parts[0])], images[len(parts[0]) :], "val_*")
    assert (len(found.shared), found.validation) == (28, 49)
    training, validation = draw_validation(images, 0.2, 0)
    assert describe_split(training, validation, "0.2").shared == ()
