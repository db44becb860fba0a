"""Probabilities to colours, on the worker thread and with numpy only."""

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
class ColourTile:
    """The overlay of one tile.

    Attributes
    ----------
    region : Region
        Region of the tile, on the image axes.
    colours : ndarray
        ``(*region.shape, 4)`` uint8, RGBA.
    classes : ndarray
        ``region.shape`` uint8, index of the most probable class.
    counts : ndarray
        Number of pixels of each class.
    done, total : int
        Finished tiles and all tiles.
    work : float
        Fraction of the work that is done, 0..1; 0 if it is unknown.
    """

    region: Region
    colours: npt.NDArray[np.uint8]
    classes: npt.NDArray[np.uint8]
    counts: npt.NDArray[np.int64]
    done: int
    total: int
    work: float = 0.0


def parse_rgb(colour: str) -> tuple[int, int, int]:
    """Return ``#rrggbb`` as three numbers 0..255."""
    red, green, blue = bytes.fromhex(colour.lstrip("#"))
    return red, green, blue


def colorize_tile(tile: TileDone, colours: Sequence[str]) -> ColourTile:
    """Return a tile in colours: each pixel in those of its classes, more opaque if their probability is higher.

    The colours of all classes except the first (the background) are mixed in proportion to their probabilities; the
    opacity is the sum of these, so certain background is transparent and uncertain pixels are faint.
    """
    classes = most_probable(tile.probabilities)
    counts = np.bincount(classes.ravel(), minlength=len(colours))
    overlay = colorize(tile.probabilities, colours)
    return ColourTile(tile.region, overlay, classes, counts, tile.done, tile.total, tile.work)


def most_probable(probabilities: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """Return ``(*space)`` uint8, the index of the most probable class at each pixel; the first one of equals.

    Eight times as fast as ``argmax``, which would take as long as all colours.
    """
    highest, best = probabilities[0], np.zeros(probabilities.shape[1:], np.uint8)
    for index, probability in enumerate(probabilities[1:], start=1):
        is_higher = (probability > highest).view(np.uint8)
        np.maximum(best, is_higher * np.uint8(index), out=best)  # the new index is the largest so far
        highest = np.maximum(highest, probability)
    return best


def colorize(probabilities: npt.NDArray[np.float32], colours: Sequence[str]) -> npt.NDArray[np.uint8]:
    """Return ``(*space, 4)`` uint8, RGBA: the colours of all classes except the first, weighted by probability."""
    palette = np.array([parse_rgb(colour) for colour in colours[1:]], np.float32).reshape(-1, 3)
    foreground = probabilities[1:]
    total = foreground.sum(0)
    weight = 1 / np.maximum(total, np.float32(1e-6))
    rgba = np.empty((*total.shape, 4), np.uint8)
    mixed, part = np.empty_like(weight), np.empty_like(weight)
    for channel in range(3):
        mixed[...] = 0
        for probability, value in zip(foreground, palette[:, channel], strict=True):
            mixed += np.multiply(probability, value, out=part)
        rgba[..., channel] = np.multiply(mixed, weight, out=mixed) + np.float32(0.5)
    rgba[..., 3] = np.multiply(total, np.float32(255), out=mixed) + np.float32(0.5)
    return rgba
