"""Kinds of results, and the encoding of the prediction of a tile for each kind."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_fcn.settings import RESULT_KINDS

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    import numpy.typing as npt

    from napari_fcn.events import TileDone
    from napari_fcn.objects import ObjectRule

    ResultBlock = npt.NDArray[np.generic]

__all__ = ["ENCODERS", "LANDSCAPE", "RESULT_KINDS", "ResultBlock", "encode"]

LANDSCAPE = "landscape"  # from which objects are found; it is not a result


def _encode_classes(tile: TileDone, rule: ObjectRule) -> ResultBlock:
    classes: ResultBlock = tile.probabilities.argmax(0).astype(np.uint8)
    return classes


def _encode_probabilities(tile: TileDone, rule: ObjectRule) -> ResultBlock:
    return tile.probabilities


def _encode_probabilities8(tile: TileDone, rule: ObjectRule) -> ResultBlock:
    scaled: ResultBlock = np.rint(tile.probabilities * 255).astype(np.uint8)
    return scaled


def _encode_landscape(tile: TileDone, rule: ObjectRule) -> ResultBlock:
    return rule.landscape(tile.probabilities, tile.distance)


ENCODERS: Mapping[str, tuple[type[np.generic], Callable[[TileDone, ObjectRule], ResultBlock]]] = {
    "classes": (np.uint8, _encode_classes),
    "probabilities": (np.float32, _encode_probabilities),
    "probabilities8": (np.uint8, _encode_probabilities8),
    LANDSCAPE: (np.uint16, _encode_landscape),
}


def encode(tile: TileDone, kinds: Collection[str], rule: ObjectRule) -> dict[str, ResultBlock]:
    """Return the results of these kinds for a tile, encoded as in files; ``rule`` says what forms objects."""
    return {kind: ENCODERS[kind][1](tile, rule) for kind in kinds}
