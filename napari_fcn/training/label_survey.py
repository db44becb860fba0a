"""Counts and checks the labels of a training folder before training."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from napari_fcn.errors import ImageError, ModelError
from napari_fcn.events import LabelsFound
from napari_fcn.learning import labels as encodings
from napari_fcn.learning.labels import (
    IGNORE,
    MAX_LISTED_VALUES,
    are_classes,
    format_values,
    mean_components,
    values_advice,
)
from napari_fcn.training.targets import CLASSES, TARGETS

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from napari_fcn.settings import TrainSettings
    from napari_fcn.training.dataset import LabelledImage

SPLITS = ("training", "validation")
CLASS_NAMES = {"objects": ("background", "inside", "rim"), "membranes": ("background", "membrane")}
ADVICE = {
    "objects": "Each object needs a number of its own and a width of at least 3 px; 0 is the background.",
    "membranes": "Each cell needs a number of its own, without gaps between the cells.",
    "classes": "",
}


def read_labels(image: LabelledImage, settings: TrainSettings) -> LabelledImage:
    """Return a labelled image with labels as integers in the encoding of the target.

    Raises
    ------
    ImageError
        If the labels do not fit the target.
    """
    encoding = encodings.CLASSES if settings.target == "classes" else encodings.OBJECTS
    labels = encodings.decode_labels(image.labels, encoding, f"{image.name}: the labels", settings.label_values)
    n_nan = int(np.isnan(image.labels).sum()) if image.labels.dtype.kind == "f" else 0
    notes = (f"{image.name}: {n_nan} pixels of the labels are NaN: they count as unknown.",) if n_nan else ()
    return replace(image, labels=labels, notes=(*image.notes, *notes))


def survey(
    splits: tuple[Sequence[LabelledImage], Sequence[LabelledImage]], settings: TrainSettings, classes: Sequence[str]
) -> tuple[LabelsFound, LabelsFound]:
    """Return the pixel counts of the training labels and of the validation labels, with notes.

    Parameters
    ----------
    splits : (sequence of LabelledImage, sequence of LabelledImage)
        Training and validation images, as returned by `read_labels`.
    settings : TrainSettings
        Target, and values of the labels.
    classes : sequence of str
        Names of the classes of the network.

    Raises
    ------
    ImageError
        If the labels do not look like those of the target, or a split has fewer than two classes.
    ModelError
        If the labels have more classes than the network.
    """
    target = TARGETS[settings.target]
    classes = [
        target_name if name == f"class {k}" else name
        for k, (name, target_name) in enumerate(_target_names(classes, settings))
    ]
    counts_by_split = [
        [np.bincount(target(image.labels).ravel(), minlength=256) for image in images] for images in splits
    ]
    notes: list[str] = []
    for split, images, counts in zip(SPLITS, splits, counts_by_split, strict=True):
        if not settings.label_values:
            notes += _check_meaning(split, [image.labels for image in images], settings.target)
        _check_classes(split, np.sum(counts, axis=0), settings.target, classes)
    events = []
    for split, images, counts in zip(SPLITS, splits, counts_by_split, strict=True):
        split_notes = [note for image in images for note in image.notes]
        split_notes += _unlabelled_images(split, images, counts)
        total = np.sum(counts, axis=0)
        if split == "validation" and (missing := _missing_classes(total, len(classes))):
            split_notes.append(
                f"No pixel of the validation images is {_format_classes(missing, classes)}: it is not scored."
            )
        pixels = tuple(int(n) for n in total[: len(classes)])
        folder_notes = tuple(notes) if split == "training" else ()
        events.append(
            LabelsFound(split, len(images), tuple(classes), pixels, int(total[IGNORE]), (*folder_notes, *split_notes))
        )
    return events[0], events[1]


def _target_names(classes: Sequence[str], settings: TrainSettings) -> list[tuple[str, str]]:
    """Return the name of each class, and its name in the target; the same if the target does not name classes."""
    target_names = CLASS_NAMES.get(settings.target, ())
    return [(name, target_names[k] if k < len(target_names) else name) for k, name in enumerate(classes)]


def _check_meaning(split: str, labels: Sequence[npt.NDArray[np.generic]], target: str) -> list[str]:
    """Raise ImageError if labels look like those of another target; return a note on masks of objects."""
    values = list(encodings.count_values(labels))
    given = f"The {split} labels hold {format_values(values)} only"
    if target == "classes":
        if IGNORE in values and len(values) == 2:
            raise ImageError(
                f"{given}. 255 stands for unknown, so nothing but class {values[0]} could be learnt. If they are a "
                f"mask, add --label-values {values[0]},255, or save the labels as 0 and 1."
            )
        return []
    objects = [value for value in values if value]
    if are_classes(labels, objects) and len(objects) > 1:
        raise ImageError(
            f"The {split} labels look like classes, not like numbered objects: {format_values(objects)} have many "
            "pieces. Choose --target classes, or give each object a number of its own."
        )
    if len(values) > 2 or not objects:
        return []
    is_mask = values[-1] in (255, 65535) or mean_components(labels, objects[-1:]) > 1
    if target == "membranes" and is_mask:
        raise ImageError(
            f"{given}: they look like a mask. The target membranes needs a number for each cell. Number the cells, or "
            f"learn the mask with --target classes --label-values {','.join(map(str, values))}."
        )
    if not is_mask or len(objects) > 1:
        return []
    return [f"{given}: each connected region counts as an object, so objects that touch cannot be told apart."]


def _check_classes(split: str, total: npt.NDArray[np.int64], target: str, classes: Sequence[str]) -> None:
    """Raise an error if there are more classes than in the network, or if classes to be learnt are missing."""
    counts = total[:IGNORE]
    present = [int(k) for k in np.flatnonzero(counts)]
    if not present:
        consequence = "training is not possible" if split == "training" else "no score can be computed"
        raise ImageError(
            f"There is no labelled pixel in the {split} labels, so {consequence}: all are 255 or NaN, for unknown. "
            "Label some pixels of each class."
        )
    if present[-1] >= len(classes):
        raise ModelError(_too_many_classes(present, target, len(classes)))
    if len(present) == 1:
        raise ImageError(
            f"All labelled pixels of the {split} images are {_format_classes(present, classes)}: "
            f"{'there is nothing to learn' if split == 'training' else 'a score would be meaningless'}. Label pixels "
            f"of at least two classes. {ADVICE[target]}".rstrip()
        )
    if split == "training" and (missing := _missing_classes(total, len(classes))):
        needed = CLASSES.get(target, present[-1] + 1)
        network = f"Give the network classes={needed}, or label" if needed < len(classes) else "Label"
        raise ImageError(
            f"No pixel of the training images is {_format_classes(missing, classes)} "
            f"(found: {_format_classes(present, classes)}). {network} pixels of it. {ADVICE[target]}".rstrip()
        )


def _too_many_classes(present: Sequence[int], target: str, classes: int) -> str:
    problem = f"The labels teach {present[-1] + 1} classes; the network has {classes}."
    if target != "classes":
        return f"{problem} Give it classes={present[-1] + 1}, or choose another target than {target!r}."
    if len(present) <= present[-1] and len(present) <= MAX_LISTED_VALUES:
        return f"{problem} The label values are {format_values(present)}. {values_advice(present)}"
    return f"{problem} Give it classes={present[-1] + 1}; if they are numbered objects, choose --target objects."


def _missing_classes(total: npt.NDArray[np.int64], classes: int) -> list[int]:
    return [int(k) for k in np.flatnonzero(total[:classes] == 0)]


def _format_classes(indices: Sequence[int], classes: Sequence[str]) -> str:
    """Return classes for a sentence: numbers, and names unless they only repeat the number."""
    return ", ".join(f"class {k}" if classes[k] == f"class {k}" else f"class {k} ({classes[k]})" for k in indices)


def _unlabelled_images(
    split: str, images: Sequence[LabelledImage], counts: Sequence[npt.NDArray[np.int64]]
) -> list[str]:
    """Return a note on images without a labelled pixel."""
    empty = [image.name for image, image_counts in zip(images, counts, strict=True) if not image_counts[:IGNORE].any()]
    if not empty:
        return []
    names = ", ".join(empty[:MAX_LISTED_VALUES]) + (", …" if len(empty) > MAX_LISTED_VALUES else "")
    consequence = "it is not used for training" if split == "training" else "it is not scored"
    return [f"No labelled pixel: {names}; {consequence}."]
