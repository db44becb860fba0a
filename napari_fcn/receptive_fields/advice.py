"""Advice on whether the receptive field of a network fits the size of the objects."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_fcn.errors import ImageError
from napari_fcn.nets.size import min_receptive_field
from napari_fcn.nets.spec import NetSpec

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

AMPLE_RATIO = 20.0  # ratio of receptive field to object size above which the field is far larger than needed


def advise(objects: float, effective: float, theoretical: float, ndim: int = 2) -> str:
    """Return advice for objects of this size.

    Parameters
    ----------
    objects : float
        Diameter of a typical object, in pixels.
    effective : float
        Width that contains 90 % of the effective receptive field, in pixels; 0 if not measured.
    theoretical : float
        Width of the theoretical receptive field, in pixels.
    ndim : int
        Dimensions of the network.
    """
    width = effective or theoretical
    name = "effective receptive field" if effective else "receptive field"
    facts = f"Objects are {objects:.0f} px, the {name} is {width:.0f} px"
    if objects <= 0:
        return "There are no objects to measure. Enter their diameter in pixels."
    factor = ceil(objects / width)
    if objects > theoretical:
        return (
            f"{facts}: in the middle of an object the prediction does not depend on its border. Use the dilated "
            f"network{larger_network(objects, ndim)}, or downsample by {factor}."
        )
    if objects > width:
        return (
            f"{facts}: the theoretical receptive field is {theoretical:.0f} px, but its outer part is hardly used. Use "
            f"the dilated network{larger_network(objects, ndim)}, teach with strokes on whole objects, or downsample "
            f"by {factor}."
        )
    if objects * AMPLE_RATIO < width:
        return f"{facts}: it is far larger than needed. A shallower net is faster, or upsample small objects by 2."
    return f"{facts}: a whole object fits."


def larger_network(objects: float, ndim: int) -> str:
    """Return a U-Net whose receptive field is twice the object size in pixels, as text; empty if there is none."""
    spec = NetSpec.suggest(1.0, objects, ndim)
    width = 2 * max(min_receptive_field(spec)) + 1
    if width < objects:
        return ""
    return f" or a deeper one ({spec.family} depth={spec.depth}, receptive field {width} px)"


def object_size(labels: npt.NDArray[Any], spacing: Sequence[float] = ()) -> float:
    """Return the typical diameter of labelled objects: that of a disc or ball of the median size.

    Parameters
    ----------
    labels : ndarray of int
        0 is background, every other value an object; a mask (booleans, or one value and 0) is split into connected
        components. All axes are in space.
    spacing : sequence of float
        Pixel size per axis; if given, the diameter is in pixels of the finest axis.

    Returns
    -------
    float
        0 if there are no objects.

    Raises
    ------
    ImageError
        If the labels have no axis in space, or more than three.
    """
    if not 1 <= labels.ndim <= 3:
        raise ImageError(
            f"The labels have {labels.ndim} axes; objects are measured in 1 to 3 axes in space. Save one number for "
            "each pixel, of one frame."
        )
    values, sizes = np.unique(labels[labels > 0], return_counts=True)
    if len(values) == 1:  # a mask
        from scipy.ndimage import label

        sizes = np.bincount(label(labels > 0)[0].ravel())[1:]
    if not len(sizes):
        return 0.0
    finest = min(spacing, default=1.0)
    volume = float(np.median(sizes)) * float(np.prod([step / finest for step in spacing]))
    ball = {1: 1.0, 2: np.pi / 4, 3: np.pi / 6}[labels.ndim]  # volume of a ball of diameter 1
    return float((volume / ball) ** (1 / labels.ndim))
