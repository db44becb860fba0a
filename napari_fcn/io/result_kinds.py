"""Kinds of results, and the encoding of the probabilities of a tile for each kind."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_fcn.settings import RESULT_KINDS

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    import numpy.typing as npt

    ResultBlock = npt.NDArray[np.generic]


def _encode_classes(probabilities: npt.NDArray[np.float32]) -> ResultBlock:
    classes: ResultBlock = probabilities.argmax(0).astype(np.uint8)
    return classes


def _encode_probabilities(probabilities: npt.NDArray[np.float32]) -> ResultBlock:
    return probabilities


def _encode_probabilities8(probabilities: npt.NDArray[np.float32]) -> ResultBlock:
    scaled: ResultBlock = np.rint(probabilities * 255).astype(np.uint8)
    return scaled


__all__ = ["ENCODERS", "RESULT_KINDS", "ResultBlock", "encode"]

ENCODERS: Mapping[str, tuple[type[np.generic], Callable[[npt.NDArray[np.float32]], ResultBlock]]] = {
    "classes": (np.uint8, _encode_classes),
    "probabilities": (np.float32, _encode_probabilities),
    "probabilities8": (np.uint8, _encode_probabilities8),
}


def encode(probabilities: npt.NDArray[np.float32], kinds: Collection[str]) -> dict[str, ResultBlock]:
    """Return the results of these kinds for a tile, encoded as in files."""
    return {kind: ENCODERS[kind][1](probabilities) for kind in kinds}
