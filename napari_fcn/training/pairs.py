"""Images and their labels in a training folder, and the axes that they share."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from typing import TYPE_CHECKING, Any

from napari_fcn.errors import ImageError
from napari_fcn.io import READABLE_SUFFIXES
from napari_fcn.io.examples import read_example, read_example_labels
from napari_fcn.learning.labels import shape_advice
from napari_fcn.models.binding import COLOUR_SAMPLES, ImageForm, Network, bind

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import numpy as np
    import numpy.typing as npt

    from napari_fcn.io import ImageFile
    from napari_fcn.models.binding import Binding, NetworkShape

KINDS = ("image", "label")
_SUFFIXES = "|".join(re.escape(suffix) for suffix in READABLE_SUFFIXES)
_FILE = re.compile(rf"(.+)_({'|'.join(KINDS)})((?:\.ome)?(?:{_SUFFIXES}))", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Pair:
    """An image and its labels in files.

    Attributes
    ----------
    name : str
        The common part of the file names.
    image, labels : Path
        The files.
    """

    name: str
    image: Path
    labels: Path

    def read(self) -> tuple[ImageFile, npt.NDArray[np.generic]]:
        """Return the image and its labels, with all pixels in memory.

        Raises
        ------
        ImageError
            If a file cannot be read.
        """
        return read_example(self.image), read_example_labels(self.labels)


def training_files(folder: Path) -> Iterator[tuple[str, str, Path]]:
    """Yield name, kind (``image`` or ``label``) and path of the files of a training folder, in order.

    Files are called ``NAME_image.EXT`` and ``NAME_label.EXT``, with any suffix that can be read, such as ``.tif``,
    ``.ome.tif``, ``.ome.zarr``, ``.npy`` or ``.png``; both may have different ones.
    """
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if match := _FILE.fullmatch(path.name):
            yield match[1], match[2].lower(), path


def find_pairs(folder: Path, patterns: tuple[str, str] = ("*", "")) -> list[Pair]:
    """Return the images of a folder with their labels, in the order of their names.

    Parameters
    ----------
    folder : Path
        The folder.
    patterns : (str, str)
        Shell patterns, separated by commas: names to include and to exclude.

    Raises
    ------
    ImageError
        If an image has no labels, or there are two files for one name.
    """
    files: dict[str, dict[str, Path]] = {kind: {} for kind in KINDS}
    for name, kind, path in training_files(folder):
        if not _matches(name, patterns[0]) or _matches(name, patterns[1]):
            continue
        if other := files[kind].get(name):
            raise ImageError(
                f"{other.name} and {path.name} in {folder} are both the {kind} of {name}. Keep one of them."
            )
        files[kind][name] = path
    pairs = []
    for name, image in sorted(files["image"].items()):
        labels = files["label"].get(name)
        if labels is None:
            raise ImageError(
                f"{image} has no labels: {name}_label{''.join(image.suffixes[-1:])} is missing in its folder. "
                "Add it, or move the image away."
            )
        pairs.append(Pair(name, image, labels))
    return pairs


def _matches(name: str, patterns: str) -> bool:
    return any(fnmatch(name, pattern) for pattern in patterns.split(",") if pattern)


def compiled(pattern: str, what: str) -> re.Pattern[str]:
    """Return a compiled regular expression; raise ImageError if it is not one."""
    try:
        return re.compile(pattern)
    except re.error as error:
        raise ImageError(f"{what} are {pattern!r}, which is not a regular expression ({error}).") from error


def bind_pair(
    image: ImageFile, labels: npt.NDArray[np.generic], network: NetworkShape
) -> tuple[Binding, npt.NDArray[np.generic]]:
    """Return how a network reads an image, and the labels in the axes of the image without channels.

    Axes that the file does not name follow from the labels: an axis that these lack holds the channels.

    Raises
    ------
    ImageError
        If the labels have another size than the image, or the axes do not fit the network.
    """
    shape = tuple(image.data.shape)
    bound = bind(_form(image, labels, network), network)
    space = bound.axes.image_shape(shape)
    if tuple(n for n in labels.shape if n != 1) == tuple(n for n in space if n != 1):
        return bound, labels.reshape(space)
    named = f" (axes {bound.axis_text})" if image.axes else ""
    advice = shape_advice(labels.shape, space)
    if len(shape) == labels.ndim + 1:
        advice = f"{advice} An axis of channels must be named c, as in an OME-TIFF with the axes CYX."
    raise ImageError(
        f"the labels have shape {labels.shape}, the image {shape}{named}. They must have the same size. {advice}"
    )


def _form(image: ImageFile, labels: npt.NDArray[Any], network: NetworkShape) -> ImageForm:
    """Return shape, axis names and calibration of an image; unnamed axes are named after those of the labels."""
    form, shape = image.form, tuple(image.data.shape)
    if image.axes or image.rgb:
        return form
    if shape == labels.shape:
        single = Network(network.ndim, 1, network.time)  # the labels show that no axis holds channels
        return replace(form, names=bind(ImageForm(labels.shape), single).axes.names)
    if len(shape) != labels.ndim + 1:
        return form
    if shape[-1] in COLOUR_SAMPLES and shape[:-1] == labels.shape:
        return replace(form, rgb=True)
    channel = next((p for p in range(len(shape)) if shape[:p] + shape[p + 1 :] == labels.shape), None)
    if channel is None:
        return form
    names = bind(ImageForm(labels.shape), Network(network.ndim, 1, network.time)).axes.names
    return replace(form, names=(*names[:channel], "c", *names[channel:]))
