"""Training images, read by the same rules as images to segment."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile

from napari_fcn.errors import DECODE_ERRORS, ImageError
from napari_fcn.io.images import read_image, read_labels

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

    from napari_fcn.io.image_file import ImageFile

LOSSY_SUFFIXES = (".jpg", ".jpeg")


def read_example(path: Path) -> ImageFile:
    """Return a training image with all its pixels in memory.

    Raises
    ------
    ImageError
        As for `read_image`.
    """
    image = read_image(path)
    return replace(image, data=np.asarray(image.data[...]))


def read_example_labels(path: Path) -> npt.NDArray[Any]:
    """Return the stored numbers of a label image, in the axes of its file.

    Raises
    ------
    ImageError
        As for `read_labels`; also for JPEG, which changes the numbers.
    """
    if path.suffix.lower() in LOSSY_SUFFIXES:
        raise ImageError(
            f"{path} is a JPEG, which changes the label values when it is saved. Save the labels as PNG or TIFF."
        )
    return np.asarray(read_labels(path).data[...])


def tiff_software(path: Path) -> str:
    """Return the software tag of the first page of a TIFF; empty if it has none or cannot be read."""
    try:
        with tifffile.TiffFile(path) as tiff:
            return str(tiff.pages.first.software or "")
    except DECODE_ERRORS:
        return ""
