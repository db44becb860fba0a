"""Reading, checking and counting of label images before training."""

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
MAX_CLASS_VALUES = 8  # more values than that, each of one piece, are numbered objects rather than classes
MIN_CLASS_PIECES = 3  # pieces of a value that are more than fragments of an object
MAX_COUNTED_IMAGES = 12  # label images whose pieces are counted
MAX_LISTED_VALUES = 6  # values that a message names


@dataclass(frozen=True, slots=True)
class Encoding:
    """Meaning of the numbers in a label image.

    Attributes
    ----------
    first, last : int
        The numbers of the first class and of the last one that there can be.
    unknown : int or None
        The number of pixels about which nothing is known; None if every pixel needs a label.
    meaning : str
        The same in words, for messages.
    """

    first: int
    last: int
    unknown: int | None
    meaning: str

    @property
    def highest(self) -> int:
        """The largest number that means something."""
        return max(self.last, self.unknown or 0)


CLASSES = Encoding(0, 254, IGNORE, "0 to 254 the classes, 255 or NaN where nothing is known")
STROKES = Encoding(1, 255, 0, "0 or NaN not annotated, 1 to 255 the classes")
OBJECTS = Encoding(1, 2**53, None, "0 outside of objects, and a number for each object")


def decode_labels(labels: Any, encoding: Encoding, name: str = "The labels", values: Sequence[int] = ()) -> Labels:
    """Return labels as whole numbers of an encoding; NaN becomes unknown.

    Parameters
    ----------
    labels : array-like
        Of any shape and type.
    encoding : Encoding
        Meaning of their numbers.
    name : str
        Name of the labels at the start of a message.
    values : sequence of int
        What the classes are written as in ``labels``, in their order, if not as the encoding has it: 0 and 255 in many
        masks. Any other number is then unknown.

    Raises
    ------
    ImageError
        If they are no whole numbers, or cannot be classes.
    """
    found = np.asarray(labels)
    needed = f"needed are whole numbers: {encoding.meaning}"
    if found.dtype.kind not in "buif":
        raise ImageError(f"{name} are of type {found.dtype}; {needed}. Save them as an integer image.")
    nothing = np.isnan(found) if found.dtype.kind == "f" else None
    found = _check_integers(found, nothing, f"{name} are of type {found.dtype}", needed, encoding)
    if values:
        if encoding.unknown is None:
            raise ImageError(
                "Label values of classes were given, but the labels are to be numbered objects. Choose --target "
                "classes, or leave out --label-values."
            )
        found = _map_values(found, values, encoding)
    elif found.size and not encoding.highest >= int(found.max()) >= int(found.min()) >= 0:
        raise ImageError(_out_of_range(found, encoding, name, needed))
    if nothing is not None and nothing.any():
        found[nothing] = encoding.unknown
    return found


def _check_integers(found: Labels, nothing: Labels | None, given: str, needed: str, encoding: Encoding) -> Labels:
    """Return labels of any real type as integers, with 0 for NaN."""
    if found.dtype.kind == "b":
        return found.astype(np.uint8)
    if nothing is None:
        return found
    if nothing.any() and encoding.unknown is None:
        raise ImageError(
            f"{given} and {int(nothing.sum())} pixels are NaN; {needed}. As objects every pixel needs a label: write 0 "
            "outside of objects, or choose --target classes, where NaN is unknown."
        )
    filled = np.where(nothing, 0, found)
    if not np.isfinite(filled).all() or (filled != np.rint(filled)).any():
        wrong = filled[~np.isfinite(filled) | (filled != np.rint(filled))].ravel()[0]
        raise ImageError(f"{given} and hold {wrong:g}; {needed}. Round them and save them as an integer image.")
    if (np.abs(filled) > OBJECTS.last).any():
        raise ImageError(f"{given} and hold {filled.ravel()[np.abs(filled).argmax()]:g}; {needed}.")
    return filled.astype(np.int64)


def _out_of_range(found: Labels, encoding: Encoding, name: str, needed: str) -> str:
    low, high = int(found.min()), int(found.max())
    values = np.unique(found)
    if encoding.unknown is None:
        advice = "Write 0 outside of objects, and number them from 1."
    elif low < 0:
        advice = f"Write {encoding.unknown} where nothing is known."
    elif len(values) <= MAX_CLASS_VALUES:
        advice = values_advice(values)
    else:
        advice = "To train on numbered objects, use napari-fcn train --target objects."
    return f"{name} go from {low} to {high}; {needed}. {advice}"


def _map_values(found: Labels, values: Sequence[int], encoding: Encoding) -> Labels:
    """Return labels in which the classes have the numbers of the encoding instead of these values."""
    if len(set(values)) != len(values) or len(values) > encoding.last - encoding.first + 1:
        raise ImageError(f"The label values {format_values(values)} cannot be classes: give each value once.")
    out = np.full(found.shape, encoding.unknown, np.uint8)
    for number, value in enumerate(values, start=encoding.first):
        out[found == value] = number
    return out


def values_advice(values: Iterable[int]) -> str:
    """Return how labels are read whose classes are written as other values."""
    listed = ",".join(str(int(value)) for value in values)
    return f"If these are the classes, add --label-values {listed} (label_values in Python), or number them in order."


def fit_shape(labels: Any, shape: Sequence[int], name: str = "The labels") -> Labels:
    """Return labels in the shape of their image; axes of length one may be missing or too many.

    Raises
    ------
    ImageError
        If they do not lie on the image.
    """
    found, shape = np.asarray(labels), tuple(shape)
    kept = tuple(n for n in shape if n != 1)
    if tuple(n for n in found.shape if n != 1) == kept:
        return found.reshape(shape)
    raise ImageError(
        f"{name} are {_format_shape(found.shape)} px; the image is {_format_shape(shape)} px. "
        f"Needed is one label for each pixel. {shape_advice(found.shape, shape)}"
    )


def shape_advice(found: Sequence[int], shape: Sequence[int]) -> str:
    """Return advice for labels whose shape differs from that of the image."""
    found, shape = tuple(found), tuple(shape)
    if len(found) == len(shape) + 1 and found[-1] in (2, 3, 4) and found[:-1] == shape:
        return "They look like colours: save one number for each pixel instead of a colour."
    if sorted(found) == sorted(shape):
        return "They look transposed: bring the axes into the order of the image."
    return "Crop or resize them to the image, without interpolation."


def _format_shape(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))


def format_values(values: Collection[int]) -> str:
    """Return some numbers as in a sentence, the first ones of many."""
    listed = [str(int(value)) for value in list(values)[:MAX_LISTED_VALUES]]
    if len(values) > MAX_LISTED_VALUES:
        return ", ".join([*listed, "…"])
    return " and ".join(filter(None, [", ".join(listed[:-1]), *listed[-1:]]))


def count_values(labels: Iterable[Labels]) -> dict[int, int]:
    """Return how many pixels have each value, in the order of the values."""
    found: dict[int, int] = {}
    for image in labels:
        for value, pixels in zip(*np.unique(image, return_counts=True), strict=True):
            found[int(value)] = found.get(int(value), 0) + int(pixels)
    return dict(sorted(found.items()))


def mean_components(labels: Sequence[Labels], values: Collection[int]) -> float:
    """Return the mean number of connected components of a value in the images that have it."""
    held = total = 0
    for image in labels[:: max(1, len(labels) // MAX_COUNTED_IMAGES)]:
        whole = ndimage.generate_binary_structure(image.ndim, image.ndim)
        for value in values:
            mask = image == value
            if mask.any():
                held, total = held + 1, total + ndimage.label(mask, whole)[1]
    return total / held if held else 0.0


def are_object_numbers(labels: Sequence[Labels], values: Collection[int]) -> bool:
    """Whether these values number objects: many of them, each of one piece or little more."""
    return len(values) > MAX_CLASS_VALUES and mean_components(labels, list(values)[: 4 * MAX_CLASS_VALUES]) < 1.5


def are_classes(labels: Sequence[Labels], values: Collection[int]) -> bool:
    """Whether these values are classes: few of them, each of several pieces or one of many."""
    if not 0 < len(values) <= MAX_CLASS_VALUES:
        return False
    return mean_components(labels, values) >= MIN_CLASS_PIECES or any(
        mean_components(labels, [value]) > MIN_CLASS_PIECES for value in values
    )


def read_strokes(
    labels: Any, shape: Sequence[int], n_known_classes: int, values: Sequence[int] = ()
) -> npt.NDArray[np.uint8]:
    """Return the labels that a model is to learn from on one image: 0 not annotated, ``k + 1`` is class ``k``.

    Parameters
    ----------
    labels : array-like
        On the axes of the image, without channels.
    shape : sequence of int
        Of the image.
    n_known_classes : int
        Number of classes of the model, 0 for one with random weights.
    values : sequence of int
        As for `decode_labels`.

    Raises
    ------
    ImageError
        If they do not lie on the image, are no classes, or are a mask of which one class would be learnt.
    """
    found = decode_labels(fit_shape(labels, shape), STROKES, values=values).astype(np.uint8)
    painted = [value for value in count_values([found]) if value]
    if not painted:
        raise ImageError(
            "The labels are empty: nothing is painted. Paint at least one stroke of each class, with 1 for the first."
        )
    if not values:
        _check_not_mask(found, painted, n_known_classes)
    elif len(painted) == 1:
        held = np.unique(np.asarray(labels))
        present = format_values(held[np.isfinite(held)][:MAX_CLASS_VALUES].tolist())
        raise ImageError(
            f"Of the label values {format_values(values)}, the labels hold only {values[painted[0] - 1]}, so a single "
            f"class would be learnt. They hold {present}: name the values of all classes with --label-values "
            "(label_values in Python)."
        )
    return found


def _check_not_mask(labels: npt.NDArray[np.uint8], painted: Sequence[int], n_known_classes: int) -> None:
    """Raise if labels look like a mask, like numbered objects, or leave out a class that nothing else teaches."""
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
