"""Training images, read by the same rules as images to segment."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile

from napari_fcn.errors import DECODE_ERRORS, ImageError
from napari_fcn.file_kinds import mistaken
from napari_fcn.io.images import read_image
from napari_fcn.models.binding import COLOUR_SAMPLES

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt


def read_example(path: Path) -> tuple[npt.NDArray[Any], bool | None]:
    """Return the pixels of an image with colours last, and whether it has colours (None if the file does not say).

    Raises
    ------
    ImageError
        As for `read_image`.
    """
    image = read_image(path)
    pixels, names = np.asarray(image.data[...]), image.axes
    if "s" in names:
        pixels = np.moveaxis(pixels, names.index("s"), -1)
        return pixels, pixels.shape[-1] in COLOUR_SAMPLES
    if "c" in names and pixels.shape[names.index("c")] == 1:
        pixels = pixels.squeeze(names.index("c"))
    return pixels, image.rgb if names or image.rgb else None


def read_tiff(path: Path) -> npt.NDArray[Any]:
    """Return the stored numbers of a TIFF.

    Raises
    ------
    ImageError
        If the file cannot be read.
    """
    try:
        return tifffile.imread(path)
    except DECODE_ERRORS as error:
        if found := mistaken(path):
            raise ImageError(*found) from error
        raise ImageError(f"{path} cannot be read ({error}). Copy it again, or move it out of the folder.") from error


def tiff_software(path: Path) -> str:
    """Return the software tag of the first page of a TIFF; empty if it has none or cannot be read."""
    try:
        with tifffile.TiffFile(path) as tiff:
            return str(tiff.pages.first.software or "")
    except DECODE_ERRORS:
        return ""
