"""Certificates for networks of other packages."""

from __future__ import annotations

from dataclasses import replace
from math import ceil, prod
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from napari_fcn.errors import FORWARD_ERRORS, ImageError, ModelError
from napari_fcn.events import Certified, CheckStep
from napari_fcn.geometry import Region
from napari_fcn.inference.memory import budget, living_bytes
from napari_fcn.inference.source import check_array
from napari_fcn.receptive_fields import exactness
from napari_fcn.receptive_fields.probe import first_tensor
from napari_fcn.receptive_fields.theoretical import analyze, dimensions

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt
    from torch import nn

PROBE_LENGTH = 256  # longest side of the input on which memory is measured
MAX_PIXELS = 2**22  # maximum number of pixels in one piece
TOLERANCE = 1e-5


def certify_module(
    net: nn.Module, image: npt.NDArray[Any], tile: int | Sequence[int] = ()
) -> Iterator[CheckStep | Certified]:
    """Yield progress, then the difference between tiles and one piece, for any dense network of torch layers.

    Parameters
    ----------
    net : Module
        A network from ``(N, C, *space)`` to ``(N, classes, *space)``; it runs in evaluation mode.
    image : ndarray
        ``(C, *space)``, or ``(*space)`` for one channel; normalised for the network.
    tile : int or sequence of int
        Length of a tile, for all axes or for each; a third of the image if not given.

    Raises
    ------
    ImageError
        If the image does not fit the network.
    ModelError
        If the network cannot be probed, or does not predict each pixel.
    """
    ndim, channels = dimensions(net)
    check_array(np.asarray(image))
    block = np.asarray(image, np.float32)
    block = block[None] if block.ndim == ndim else block
    if block.ndim != ndim + 1 or block.shape[0] != channels:
        raise ImageError(
            f"The network reads {channels} channels of {ndim} axes; the image is {' x '.join(map(str, block.shape))}."
        )
    lengths = (tile,) * ndim if isinstance(tile, int) else tuple(tile)
    if len(lengths) not in (0, ndim):
        raise ModelError(f"Tile {lengths} has {len(lengths)} lengths; give one, or {ndim}.")
    was_training = net.training
    net.eval()
    try:
        analysis = analyze(net)
        predict = _BlockPredictor(net, analysis.unbounded)
        part = _part(predict, block, analysis.multiple)
        plan = exactness.cut_into_tiles(part.shape, analysis, lengths)
        note = "" if part.shape == block.shape[1:] else f" Compared: {' x '.join(map(str, part.shape))} px."
        inside = np.ascontiguousarray(block[(slice(None), *part.slices)])
        for event in exactness.certify(predict, inside, plan, analysis, TOLERANCE):
            if isinstance(event, Certified):
                event = replace(event, region=part, reason=f"{event.reason}{note}")
            yield event
    finally:
        net.train(was_training)


class _BlockPredictor:
    """A network as a function from a block ``(C, *space)`` to probabilities."""

    def __init__(self, net: nn.Module, unbounded: Sequence[str] = ()) -> None:
        self.net, self.unbounded = net, unbounded
        parameter = next((p for p in net.parameters() if p.is_floating_point()), torch.zeros(()))
        self.device, self.dtype = parameter.device, parameter.dtype

    def __call__(self, block: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        with torch.inference_mode():
            out = self.run(torch.from_numpy(block)[None].to(self.device, self.dtype))[0].float()
        if out.shape[1:] != block.shape[1:]:
            raise ModelError(
                f"The network returns {tuple(out.shape[1:])} positions for {block.shape[1:]} pixels. Tiles need "
                "one output for each pixel."
            )
        if not out.isfinite().all():
            raise ModelError(
                "The network returns NaN or infinite numbers for this image. Scale the image for the network."
            )
        probabilities: npt.NDArray[np.float32] = (out.softmax(0) if len(out) > 1 else out.sigmoid()).cpu().numpy()
        return probabilities

    def run(self, x: torch.Tensor) -> torch.Tensor:
        """Return the first output tensor of the network; errors of its code become a ModelError."""
        try:
            return first_tensor(self.net(x))
        except FORWARD_ERRORS as error:
            size = " x ".join(map(str, x.shape[2:]))
            reason = (str(error).splitlines() or [""])[0]
            names = f" It depends on the whole image: {', '.join(self.unbounded)}." if self.unbounded else ""
            raise ModelError(
                f"The network does not run on {size} px ({type(error).__name__}: {reason}).{names} Tiles differ in "
                "size: give a network that runs on images of any size."
            ) from error


def _part(predict: _BlockPredictor, block: npt.NDArray[np.float32], grid: Sequence[int]) -> Region:
    """Return the largest part in the middle of the image that fits in memory, on the pooling grid."""
    shape = block.shape[1:]
    if any(n < m for n, m in zip(shape, grid, strict=True)):
        raise ImageError(f"The image is {shape} px; the network needs at least {tuple(grid)}.")
    small = [min(n // m, max(1, PROBE_LENGTH // m)) * m for n, m in zip(shape, grid, strict=True)]
    x = torch.zeros(1, block.shape[0], *small, device=predict.device, dtype=predict.dtype)
    predict.run(x)  # raises a ModelError if it does not run
    pixels = min(MAX_PIXELS, budget(predict.device, None) / (living_bytes(predict.net, x) / prod(small)))
    shrink = min(1.0, (pixels / prod(shape)) ** (1 / len(shape)))
    sides = [max(1, min(n // m, ceil(n * shrink / m))) * m for n, m in zip(shape, grid, strict=True)]
    start = tuple((n - k) // 2 // m * m for n, k, m in zip(shape, sides, grid, strict=True))
    return Region(start, tuple(a + k for a, k in zip(start, sides, strict=True)))
