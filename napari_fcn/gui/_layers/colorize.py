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
class ColourTile:
    """The overlay of one tile.

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


def parse_rgb(colour: str) -> tuple[int, int, int]:
    """Return ``#rrggbb`` as three numbers 0..255."""
    red, green, blue = bytes.fromhex(colour.lstrip("#"))
    return red, green, blue


def colorize_tile(tile: TileDone, colours: Sequence[str]) -> ColourTile:
    """Return how a tile is shown: each pixel in the colours of its classes, the more opaque the surer it is.

    Colours of the classes but the first (the background) are mixed by their probabilities; the opacity is what they
    have together, so sure background is transparent and an undecided pixel is faint.
    """
    classes = most_probable(tile.probabilities)
    counts = np.bincount(classes.ravel(), minlength=len(colours))
    return ColourTile(tile.region, colorize(tile.probabilities, colours), classes, counts, tile.done, tile.total)


def most_probable(probabilities: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """Return ``(*space)`` uint8, at each pixel the first of the classes that are most probable.

    Eight times as fast as ``argmax``, which takes as long as all the colours.
    """
    highest, best = probabilities[0], np.zeros(probabilities.shape[1:], np.uint8)
    for index, probability in enumerate(probabilities[1:], start=1):
        is_higher = (probability > highest).view(np.uint8)
        np.maximum(best, is_higher * np.uint8(index), out=best)  # no class so far has a larger index
        highest = np.maximum(highest, probability)
    return best


def colorize(probabilities: npt.NDArray[np.float32], colours: Sequence[str]) -> npt.NDArray[np.uint8]:
    """Return ``(*space, 4)`` uint8, the colours of all classes but the first, by their probabilities."""
    palette = np.array([parse_rgb(colour) for colour in colours[1:]], np.float32).reshape(-1, 3)
    foreground = probabilities[1:]
    share = foreground.sum(0)
    weight = 1 / np.maximum(share, np.float32(1e-6))
    shown = np.empty((*share.shape, 4), np.uint8)
    mixed, part = np.empty_like(weight), np.empty_like(weight)
    for channel in range(3):
        mixed[...] = 0
        for probability, value in zip(foreground, palette[:, channel], strict=True):
            mixed += np.multiply(probability, value, out=part)
        shown[..., channel] = np.multiply(mixed, weight, out=mixed) + np.float32(0.5)
    shown[..., 3] = np.multiply(share, np.float32(255), out=mixed) + np.float32(0.5)
    return shown
