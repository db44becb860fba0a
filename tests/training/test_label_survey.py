"""Labels of a training folder are counted and checked before training."""

from collections.abc import Sequence

import numpy as np
import pytest

from napari_fcn.errors import ImageError
from napari_fcn.settings import TrainSettings
from napari_fcn.training.dataset import LabelledImage
from napari_fcn.training.label_survey import read_labels, survey

CLASSES = TrainSettings(target="classes")
NAMES = ("background", "class 1")


def labelled(labels: np.ndarray, name: str = "a", seed: int = 0) -> LabelledImage:
    image = np.random.default_rng(seed).normal(size=(1, *labels.shape)).astype(np.float32)
    return LabelledImage(name, "", (image,), labels)


def half(value: int = 1) -> np.ndarray:
    labels = np.zeros((8, 8), np.uint8)
    labels[:, 4:] = value
    return labels


def both(
    train: Sequence[np.ndarray], validate: Sequence[np.ndarray]
) -> tuple[list[LabelledImage], list[LabelledImage]]:
    parts = (("t", train), ("v", validate))
    return tuple([labelled(one, f"{p}{k}", hash((p, k)) % 99) for k, one in enumerate(all_)] for p, all_ in parts)  # type: ignore[return-value]


def test_pixels_are_counted_by_split_and_class() -> None:
    unknown = half()
    unknown[0] = 255
    first, second = survey(both([half(), unknown], [half()]), CLASSES, NAMES)
    assert (first.pixels, first.unknown, first.images) == ((60, 60), 8, 2)
    assert (second.pixels, second.unknown, second.images) == ((32, 32), 0, 1)
    assert "60 px (50.0%)" in first.line


@pytest.mark.parametrize(
    ("validate", "words"),
    [
        (np.full((8, 8), 255, np.uint8), "no labelled pixel in the validation labels, so no score can be computed"),
        (
            np.zeros((8, 8), np.uint8),
            "All labelled pixels of the validation images .*a score would be meaningless",
        ),
    ],
)
def test_a_validation_split_that_cannot_be_scored_is_rejected(validate: np.ndarray, words: str) -> None:
    with pytest.raises(ImageError, match=words):
        survey(both([half()], [validate]), CLASSES, NAMES)


def test_images_without_labels_are_named() -> None:
    nothing = np.full((8, 8), 255, np.uint8)
    first, second = survey(both([half(), nothing], [half(), nothing]), CLASSES, NAMES)
    assert first.notes == ("No labelled pixel: t1; it is not used for training.",)
    assert second.notes == ("No labelled pixel: v1; it is not scored.",)


def test_a_class_that_is_not_scored_is_named() -> None:
    three = half()
    three[0] = 2
    _, result = survey(both([three], [half()]), CLASSES, (*NAMES, "class 2"))
    assert result.notes == ("No pixel of the validation images is class 2: it is not scored.",)


def test_a_mask_as_objects_is_split_into_components_with_a_note() -> None:
    mask = np.zeros((16, 16), np.uint8)
    mask[2:7, 2:7] = mask[9:14, 9:14] = 255
    result, _ = survey(both([mask], [mask]), TrainSettings(), ("background", "class 1", "class 2"))
    assert result.classes == ("background", "inside", "rim")
    assert "each connected region counts as an object" in result.notes[0]


def test_numbered_objects_are_not_taken_for_a_mask_or_classes() -> None:
    labels = np.zeros((16, 16), np.int64)
    labels[2:7, 2:7], labels[9:14, 9:14] = 1, 70_000
    result, _ = survey(both([labels], [labels]), TrainSettings(), ("background", "inside", "rim"))
    assert result.notes == ()


def test_labels_are_decoded_for_their_target() -> None:
    wide = np.where(half() > 0, np.nan, 0.0)
    result = read_labels(labelled(wide), CLASSES)
    assert (result.labels[:, 4:] == 255).all()
    assert result.notes == ("a: 32 pixels of the labels are NaN: they count as unknown.",)
    with pytest.raises(ImageError, match="a: the labels are of type float64 and 32 pixels are NaN"):
        read_labels(labelled(wide), TrainSettings())


@pytest.mark.parametrize("values", [(0, 1), (0, 255), (1, 255), (1, 2)])
def test_a_mask_is_rejected_for_membranes(values: tuple[int, int]) -> None:
    mask = np.zeros((16, 16), np.uint8)
    mask[2:7, 2:7] = mask[9:14, 9:14] = 1
    labels = np.array(values, np.uint8)[mask]
    with pytest.raises(ImageError, match="they look like a mask"):
        survey(both([labels], [labels]), TrainSettings(target="membranes"), NAMES)


def test_one_class_of_many_pieces_distinguishes_classes_from_objects() -> None:
    labels = np.kron((np.indices((5, 5)) % 2).prod(0), np.ones((4, 4), int)) * 2
    labels[:2] = 1
    with pytest.raises(ImageError, match="look like classes"):
        survey(both([labels], [labels]), TrainSettings(), ("background", "inside", "rim"))
