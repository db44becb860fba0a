"""Predicts blocks of one constant value once: padding of slides, masked mosaics, empty planes."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt
    import torch

    from napari_fcn.inference.backends import Backend

MAX_CONSTANT_BLOCKS = 4  # kept: those at both borders and between them, for a row of tiles, and one more
MAX_CONSTANT_BYTES = 2**25  # of the predictions that are kept

Key = tuple[bytes, tuple[int, ...], tuple[tuple[int | None, int | None], ...], tuple[bool, bool]]


class ConstantBlockCache:
    """A back end that predicts equal constant blocks once, and copies the prediction for the others.

    The prediction for a block depends on its values, its shape and the part that is kept. Where each channel has one
    value, few blocks differ: inner tiles are all alike, and so are the tiles at one side of the image, whose padding
    is in their shape and their part. A copy equals the computed prediction bit for bit.

    Parameters
    ----------
    backend : Backend
        Runs the network.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._predictions: OrderedDict[Key, npt.NDArray[np.float32]] = OrderedDict()  # the latest is the last

    @property
    def label(self) -> str:
        """Device and back end for the user."""
        return self._backend.label

    @property
    def device(self) -> torch.device:
        """Where the network runs."""
        return self._backend.device

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the network."""
        return self._backend.dtype

    @property
    def classes(self) -> int:
        """Number of classes."""
        return self._backend.classes

    def probabilities(
        self, block: npt.NDArray[np.float32], crop: Sequence[slice] = (), trim: tuple[bool, bool] = (False, False)
    ) -> npt.NDArray[np.float32]:
        """Return the probabilities of a block; see `Backend.probabilities`."""
        values = constant_values(block)
        if values is None:
            return self._backend.probabilities(block, crop, trim)
        key = (values.tobytes(), block.shape, tuple((part.start, part.stop) for part in crop), trim)
        prediction = self._predictions.get(key)
        if prediction is None:
            prediction = self._backend.probabilities(block, crop, trim)
            self._keep(key, prediction)
        else:
            self._predictions.move_to_end(key)
        return prediction.copy()

    def release(self) -> None:
        """Free memory that the back end keeps; the predictions stay."""
        self._backend.release()

    def _keep(self, key: Key, prediction: npt.NDArray[np.float32]) -> None:
        """Keep a prediction, and drop the oldest ones beyond the limits."""
        if prediction.nbytes > MAX_CONSTANT_BYTES:
            return
        self._predictions[key] = prediction
        while (
            len(self._predictions) > MAX_CONSTANT_BLOCKS
            or sum(kept.nbytes for kept in self._predictions.values()) > MAX_CONSTANT_BYTES
        ):
            self._predictions.popitem(last=False)


def constant_values(block: npt.NDArray[np.float32]) -> npt.NDArray[np.int32] | None:
    """Return the bits of the value of each channel, ``(N, C)``, of a block ``(N, C, *space)``; None if it has several.

    Bits are compared, so that NaN equals itself and -0 differs from 0.
    """
    pixels = block.view(np.int32).reshape(*block.shape[:2], -1)
    values = pixels[..., 0]
    if not np.array_equal(values, pixels[..., -1]):  # most blocks end here
        return None
    return values if (pixels == values[..., None]).all() else None


def constant_bytes(prediction: int) -> int:
    """Return the most bytes that predictions of constant blocks take, if each has this many bytes."""
    return min(MAX_CONSTANT_BYTES // max(1, prediction), MAX_CONSTANT_BLOCKS) * prediction
