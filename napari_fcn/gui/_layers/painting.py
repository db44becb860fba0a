"""Probabilities to colours; done on the worker thread, with numpy alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from napari_fcn.events import TileDone
    from napari_fcn.geometry import Region


@dataclass(frozen=True, slots=True, eq=False)
class Painted:
    """The answer for one tile as it is shown.

    Attributes
    ----------
    region : Region
        Where it lies, on the image axes.
    colours : ndarray
        ``(*region.shape, 4)`` uint8, RGBA.
    classes : ndarray
        ``region.shape`` uint8, index of the most probable class.
    counts : ndarray
        Pixels of each class.
    done, total : int
        Tiles finished so far, and in all.
    """

    region: Region
    colours: npt.NDArray[np.uint8]
    classes: npt.NDArray[np.uint8]
    counts: npt.NDArray[np.int64]
    done: int
    total: int


def rgb(colour: str) -> tuple[int, int, int]:
    """Return ``#rrggbb`` as three numbers 0..255."""
    red, green, blue = bytes.fromhex(colour.lstrip("#"))
    return red, green, blue


def paint(tile: TileDone, colours: Sequence[str]) -> Painted:
    """Return how a tile is shown: each pixel in the colours of its classes, the more opaque the surer it is.

    Colours of the classes but the first (the background) are mixed by their probabilities; the opacity is what they
    have together, so sure background is transparent and an undecided pixel is faint.
    """
    probabilities = tile.probabilities
    palette = np.array([rgb(colour) for colour in colours[1:]], np.float32).reshape(-1, 3)
    foreground = probabilities[1:]
    share = foreground.sum(0)
    shown = np.empty((*tile.region.shape, 4), np.uint8)
    weight = np.maximum(share, np.float32(1e-6))
    for channel in range(3):
        mixed = np.zeros(tile.region.shape, np.float32)
        for probability, value in zip(foreground, palette[:, channel], strict=True):
            mixed += probability * value
        shown[..., channel] = mixed / weight + np.float32(0.5)
    shown[..., 3] = share * np.float32(255) + np.float32(0.5)
    classes = probabilities.argmax(0).astype(np.uint8)
    counts = np.bincount(classes.ravel(), minlength=len(colours))
    return Painted(tile.region, shown, classes, counts, tile.done, tile.total)
