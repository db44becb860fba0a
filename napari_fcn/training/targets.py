"""Training targets: the class of each pixel from labels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage
from skimage.segmentation import find_boundaries

from napari_fcn.learning import labels as encodings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    import numpy.typing as npt

    Labels = npt.NDArray[Any]
    Target = npt.NDArray[np.uint8]


def objects(labels: Labels) -> Target:
    """Return 0 outside objects, 1 inside, 2 on the rim: the outermost pixels of each numbered object.

    The rim is part of the object, so foreground is rim plus inside, and touching objects are separated.
    """
    target: Target = (labels > 0).astype(np.uint8)
    target[find_boundaries(labels, connectivity=1, mode="inner")] = 2
    return target


def membranes(labels: Labels) -> Target:
    """Return 1 within two pixels of a border between cells, else 0; cells are labelled without gaps."""
    borders = find_boundaries(labels, connectivity=1, mode="thick")
    target: Target = ndimage.binary_dilation(borders).astype(np.uint8)
    return target


def classes(labels: Labels) -> Target:
    """Return the labels themselves: their values are class indices, 255 and NaN are unlabelled.

    Raises
    ------
    ImageError
        If a value is not a valid class.
    """
    return encodings.decode_labels(labels, encodings.CLASSES).astype(np.uint8)


CLASSES: Mapping[str, int] = {"objects": 3, "membranes": 2}  # number of classes, where the target fixes it
TARGETS: Mapping[str, Callable[[Labels], Target]] = {
    "objects": objects,
    "membranes": membranes,
    "classes": classes,
}
