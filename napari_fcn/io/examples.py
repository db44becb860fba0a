"""Images to learn from, read by the same rules as images to be segmented."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_fcn.io.images import read_image
from napari_fcn.models.binding import COLOUR_SAMPLES

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt


def read_example(path: Path) -> tuple[npt.NDArray[Any], bool | None]:
    """Return the pixels of an image, its colours last, and whether it has some; None where the file does not say.

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
