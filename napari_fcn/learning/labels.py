"""Decodes, checks and counts label images before training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

from napari_fcn.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    import numpy.typing as npt

    Labels = npt.NDArray[Any]

IGNORE = 255  # target value of unlabelled pixels
MAX_CLASS_VALUES = 8  # more values, each of one piece, are numbered objects rather than classes
MIN_CLASS_PIECES = 3  # mean pieces of a value above which it is a class, not a fragmented object
MAX_COUNTED_IMAGES = 12  # label images whose pieces are counted
MAX_LISTED_VALUES = 6  # values that a message names


@dataclass(frozen=True, slots=True)
class Encoding:
    """The meaning of the values in a label image.

    Attributes
    ----------
    first, last : int
        Value of the first class, and the largest value of a class.
    unknown : int or None
        Value of unlabelled pixels; None if every pixel needs a label.
    meaning : str
        The encoding in words, for messages.
    """

    first: int
    last: int
    unknown: int | None
    meaning: str

    @property
    def highest(self) -> int:
        """The largest valid value."""
        return max(self.last, self.unknown or 0)


CLASSES = Encoding(0, 254, IGNORE, "0 to 254 the classes, 255 or NaN where nothing is known")
STROKES = Encoding(1, 255, 0, "0 or NaN not annotated, 1 to 255 the classes")
OBJECTS = Encoding(1, 2**53, None, "0 outside of objects, and a number for each object")


def decode_labels(labels: Any, encoding: Encoding, name: str = "The labels", values: Sequence[int] = ()) -> Labels:
    """Return labels as integers of an encoding; NaN becomes unknown.

    Parameters
    ----------
    labels : array-like
        Of any shape and type.
    encoding : Encoding
        The meaning of their values.
    name : str
        Name of the labels in messages.
    values : sequence of int
        Values of the classes in ``labels``, in order, if they differ from the encoding (0 and 255 in many masks). All
        other values are then unknown.

    Raises
    ------
    ImageError
        If they are not whole numbers, or not valid in the encoding.
    """
    decoded = np.asarray(labels)
    needed = f"needed are whole numbers: {encoding.meaning}"
    if decoded.dtype.kind not in "buif":
        raise ImageError(f"{name} are of type {decoded.dtype}; {needed}. Save them as an integer image.")
    is_nan = np.isnan(decoded) if decoded.dtype.kind == "f" else None
    decoded = _check_integers(decoded, is_nan, f"{name} are of type {decoded.dtype}", needed, encoding)
    if values:
        if encoding.unknown is None:
            raise ImageError(
                "Label values of classes were given, but the labels are to be numbered objects. Choose --target "
                "classes, or leave out --label-values."
            )
        decoded = _map_values(decoded, values, encoding)
    elif decoded.size and not encoding.highest >= int(decoded.max()) >= int(decoded.min()) >= 0:
        raise ImageError(_out_of_range(decoded, encoding, name, needed))
    if is_nan is not None and is_nan.any():
        decoded[is_nan] = encoding.unknown
    return decoded


def _check_integers(labels: Labels, is_nan: Labels | None, given: str, needed: str, encoding: Encoding) -> Labels:
    """Return labels of any real type as integers, with 0 for NaN."""
    if labels.dtype.kind == "b":
        return labels.astype(np.uint8)
    if is_nan is None:
        return labels
    if is_nan.any() and encoding.unknown is None:
        raise ImageError(
            f"{given} and {int(is_nan.sum())} pixels are NaN; {needed}. As objects every pixel needs a label: write 0 "
            "outside of objects, or choose --target classes, where NaN is unknown."
        )
    filled = np.where(is_nan, 0, labels)
    if not np.isfinite(filled).all() or (filled != np.rint(filled)).any():
        value = filled[~np.isfinite(filled) | (filled != np.rint(filled))].ravel()[0]
        raise ImageError(f"{given} and hold {value:g}; {needed}. Round them and save them as an integer image.")
    if (np.abs(filled) > OBJECTS.last).any():
        raise ImageError(f"{given} and hold {filled.ravel()[np.abs(filled).argmax()]:g}; {needed}.")
    return filled.astype(np.int64)


def _out_of_range(labels: Labels, encoding: Encoding, name: str, needed: str) -> str:
    low, high = int(labels.min()), int(labels.max())
    values = np.unique(labels)
    if encoding.unknown is None:
        advice = "Write 0 outside of objects, and number them from 1."
    elif low < 0:
        advice = f"Write {encoding.unknown} where nothing is known."
    elif len(values) <= MAX_CLASS_VALUES:
        advice = values_advice(values)
    else:
        advice = "To train on numbered objects, use napari-fcn train --target objects."
    return f"{name} go from {low} to {high}; {needed}. {advice}"


def _map_values(labels: Labels, values: Sequence[int], encoding: Encoding) -> Labels:
    """Return labels in which these values are replaced by those of the encoding."""
    if len(set(values)) != len(values) or len(values) > encoding.last - encoding.first + 1:
        raise ImageError(f"The label values {format_values(values)} cannot be classes: give each value once.")
    out = np.full(labels.shape, encoding.unknown, np.uint8)
    for number, value in enumerate(values, start=encoding.first):
        out[labels == value] = number
    return out


def values_advice(values: Iterable[int]) -> str:
    """Return advice for labels with other values than the encoding expects."""
    listed = ",".join(str(int(value)) for value in values)
    return f"If these are the classes, add --label-values {listed} (label_values in Python), or number them in order."


def fit_shape(labels: Any, shape: Sequence[int], name: str = "The labels") -> Labels:
    """Return labels in the shape of their image; axes of length one are added or removed.

    Raises
    ------
    ImageError
        If they have another shape than the image.
    """
    array, shape = np.asarray(labels), tuple(shape)
    long_axes = tuple(n for n in shape if n != 1)
    if tuple(n for n in array.shape if n != 1) == long_axes:
        return array.reshape(shape)
    raise ImageError(
        f"{name} are {_format_shape(array.shape)} px; the image is {_format_shape(shape)} px. "
        f"Needed is one label for each pixel. {shape_advice(array.shape, shape)}"
    )


def shape_advice(label_shape: Sequence[int], shape: Sequence[int]) -> str:
    """Return advice for labels whose shape differs from that of the image."""
    label_shape, shape = tuple(label_shape), tuple(shape)
    if len(label_shape) == len(shape) + 1 and label_shape[-1] in (2, 3, 4) and label_shape[:-1] == shape:
        return "They look like colours: save one number for each pixel instead of a colour."
    if sorted(label_shape) == sorted(shape):
        return "They look transposed: bring the axes into the order of the image."
    return "Crop or resize them to the image, without interpolation."


def _format_shape(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))


def format_values(values: Collection[int]) -> str:
    """Return numbers for a sentence; of many numbers, the first ones."""
    listed = [str(int(value)) for value in list(values)[:MAX_LISTED_VALUES]]
    if len(values) > MAX_LISTED_VALUES:
        return ", ".join([*listed, "…"])
    return " and ".join(filter(None, [", ".join(listed[:-1]), *listed[-1:]]))


def count_values(labels: Iterable[Labels]) -> dict[int, int]:
    """Return the number of pixels of each value, in ascending order of the values."""
    counts: dict[int, int] = {}
    for image in labels:
        for value, pixels in zip(*np.unique(image, return_counts=True), strict=True):
            counts[int(value)] = counts.get(int(value), 0) + int(pixels)
    return dict(sorted(counts.items()))


def mean_components(labels: Sequence[Labels], values: Collection[int]) -> float:
    """Return the mean number of connected components of a value, over the images that contain it."""
    n_masks = total = 0
    for image in labels[:: max(1, len(labels) // MAX_COUNTED_IMAGES)]:
        structure = ndimage.generate_binary_structure(image.ndim, image.ndim)
        for value in values:
            mask = image == value
            if mask.any():
                n_masks, total = n_masks + 1, total + ndimage.label(mask, structure)[1]
    return total / n_masks if n_masks else 0.0


def are_object_numbers(labels: Sequence[Labels], values: Collection[int]) -> bool:
    """Whether these values number objects: many values, each of about one piece."""
    return len(values) > MAX_CLASS_VALUES and mean_components(labels, list(values)[: 4 * MAX_CLASS_VALUES]) < 1.5


def are_classes(labels: Sequence[Labels], values: Collection[int]) -> bool:
    """Whether these values are classes: few values, of several pieces on average, or one of them of many."""
    if not 0 < len(values) <= MAX_CLASS_VALUES:
        return False
    return mean_components(labels, values) >= MIN_CLASS_PIECES or any(
        mean_components(labels, [value]) > MIN_CLASS_PIECES for value in values
    )


def read_strokes(
    labels: Any, shape: Sequence[int], n_known_classes: int, values: Sequence[int] = ()
) -> npt.NDArray[np.uint8]:
    """Return strokes for teaching: 0 is not annotated, ``k + 1`` is class ``k``.

    Parameters
    ----------
    labels : array-like
        Labels on the image axes, without channels.
    shape : sequence of int
        Shape of the image.
    n_known_classes : int
        Number of classes of the model, 0 for one with random weights.
    values : sequence of int
        As for `decode_labels`.

    Raises
    ------
    ImageError
        If the shape differs from that of the image, the values are not classes, or a mask is given without ``values``.
    """
    strokes = decode_labels(fit_shape(labels, shape), STROKES, values=values).astype(np.uint8)
    painted = [value for value in count_values([strokes]) if value]
    if not painted:
        raise ImageError(
            "The labels are empty: nothing is painted. Paint at least one stroke of each class, with 1 for the first."
        )
    if not values:
        _check_not_mask(strokes, painted, n_known_classes)
    elif len(painted) == 1:
        label_values = np.unique(np.asarray(labels))
        present = format_values(label_values[np.isfinite(label_values)][:MAX_CLASS_VALUES].tolist())
        raise ImageError(
            f"Of the label values {format_values(values)}, the labels hold only {values[painted[0] - 1]}, so a single "
            f"class would be learnt. They hold {present}: name the values of all classes with --label-values "
            "(label_values in Python)."
        )
    return strokes


def _check_not_mask(labels: npt.NDArray[np.uint8], painted: Sequence[int], n_known_classes: int) -> None:
    """Raise ImageError if labels look like a mask or numbered objects, or skip the value of a new class."""
    rule = "0 stands for not annotated, 1 for the first class, the background, 2 for the second"
    new = [value for value in painted if value > n_known_classes]
    missing = sorted({*range(n_known_classes + 1, painted[-1])} - {*painted})
    if painted == [1] or (len(painted) == 1 and (new or not n_known_classes)):
        raise ImageError(
            f"The labels hold 0 and {painted[0]} only; {rule}, so a single class would be learnt. If they are a mask, "
            f"add --label-values 0,{painted[0]} (label_values in Python), or save background as 1 and objects as 2."
        )
    if are_object_numbers([labels], new):
        raise ImageError(
            f"The labels look like numbered objects: {len(painted)} values, each of one piece; {rule}. Save background "
            "as 1 and objects as 2, or learn from numbered objects with napari-fcn train."
        )
    if new and missing:
        raise ImageError(
            f"The labels hold {format_values(painted)}, but nothing is labelled {format_values(missing)}; {rule}. "
            f"{values_advice(painted if len(painted) > 1 else (0, *painted))}"
        )
