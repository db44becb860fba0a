"""Runs a network on tiles and returns probabilities."""

from __future__ import annotations

import re
from contextlib import contextmanager
from copy import copy
from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_fcn.errors import Advice, MemoryShortage
from napari_fcn.events import TileDone
from napari_fcn.inference.device import MEMORY_FORMATS, full_float32, place
from napari_fcn.inference.prefetch import BLOCKS_AHEAD, prefetch
from napari_fcn.nets.fold import fold

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import numpy.typing as npt

    from napari_fcn.geometry import Tile
    from napari_fcn.inference.resampling import ResampledSource, ResampledTiling
    from napari_fcn.inference.source import ImageSource
    from napari_fcn.models.normalise import Scaling
    from napari_fcn.nets.build import Net


# Texts of torch errors when memory ran out: CPU on Windows, CPU elsewhere, Apple GPU and CUDA, cuDNN, cuBLAS, oneDNN.
OUT_OF_MEMORY_TEXT = re.compile(
    "not enough memory|can't allocate memory|out of memory|ALLOC_FAILED|could not create a (primitive|memory object)$"
)


class Predictor:
    """A network that is ready to run: norms folded, on its device, in its precision.

    Parameters
    ----------
    net : Net
        The network, as trained.
    source : ImageSource
        The image.
    scaling : Scaling
        How its intensities are scaled.
    device : torch.device
        Where to run.
    dtype : torch.dtype
        Precision of the network; probabilities are float32.
    """

    def __init__(
        self,
        net: Net,
        source: ImageSource | ResampledSource,
        scaling: Scaling,
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        self.ndim = net.spec.ndim
        self.net = place(fold(net), self.ndim, device, dtype)
        self.source, self.scaling, self.device, self.dtype = source, scaling, device, dtype
        self.resampled_tiling: ResampledTiling | None = None

    def with_resampling(self, tiling: ResampledTiling | None) -> Predictor:
        """Return a predictor for an image whose grid is not that of the network."""
        clone = copy(self)
        clone.resampled_tiling = tiling
        return clone

    def read(self, tile: Tile) -> npt.NDArray[np.float32]:
        """Return the scaled block of a tile as the network takes it, ``(N, C, *space)``."""
        tile = tile if self.resampled_tiling is None else self.resampled_tiling.network_tile(tile.core)
        try:
            block = self.scaling.apply(self.source.read(tile.read))
            return np.ascontiguousarray(self.source.axes.to_net(block))
        except MemoryError as error:
            raise _out_of_memory(tile.read.shape, torch.device("cpu")) from error

    def tile(self, tile: Tile) -> npt.NDArray[np.float32]:
        """Return the probabilities ``(classes, *tile.core.shape)`` of one tile; it depends on the tile alone."""
        return self.predict(tile, self.read(tile))

    def run(self, tiles: Iterable[Tile], total: int, ahead: int = BLOCKS_AHEAD) -> Iterator[TileDone]:
        """Yield the probabilities of each tile in order, prefetching ``ahead`` blocks."""
        for done, (tile, block) in enumerate(prefetch(self.read, tiles, ahead), start=1):
            yield TileDone(tile.core, self.predict(tile, block), done, total)

    def with_net(self, net: torch.nn.Module) -> Predictor:
        """Return a predictor with another network that is ready to run."""
        clone = copy(self)
        clone.net = net
        return clone

    def predict(self, tile: Tile, block: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return the probabilities ``(classes, *tile.core.shape)`` of a tile from its block."""
        tiling, axes = self.resampled_tiling, self.source.axes
        network_tile = tile if tiling is None else tiling.network_tile(tile.core)
        crop = [network_tile.crop.slices[position] for position in axes.space_positions]
        predicted = axes.from_net(self.probabilities(block, crop), network_tile.core.shape)
        probabilities = np.ascontiguousarray(predicted)
        return probabilities if tiling is None else tiling.back(probabilities, network_tile, tile.core)

    def probabilities(self, block: npt.NDArray[np.float32], crop: Sequence[slice] = ()) -> npt.NDArray[np.float32]:
        """Return the probabilities ``(N, classes, *space)`` of a scaled block ``(N, C, *space)``, or of a part of it.

        Raises
        ------
        MemoryShortage
            If memory runs out.
        """
        with memory_errors(block.shape[2:], self.device), torch.inference_mode(), full_float32(self.device):
            x = torch.from_numpy(block).to(self.device, self.dtype)
            if self.ndim in MEMORY_FORMATS:
                x = x.contiguous(memory_format=MEMORY_FORMATS[self.ndim])
            logits = self.net(x)[(..., *crop)]
            probabilities: npt.NDArray[np.float32] = logits.float().softmax(1).cpu().numpy()
        return probabilities


@contextmanager
def memory_errors(shape: Sequence[int], device: torch.device) -> Iterator[None]:
    """Turn memory errors of torch into a sentence about a tile of this shape.

    Raises
    ------
    MemoryShortage
        If memory runs out.
    """
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise _out_of_memory(shape, device) from error
    except RuntimeError as error:
        if not OUT_OF_MEMORY_TEXT.search(str(error)):
            raise
        raise _out_of_memory(shape, device) from error


def _out_of_memory(shape: Sequence[int], device: torch.device) -> MemoryShortage:
    other, place = ("close other programs",) * 2 if device.type == "cpu" else ("add --device cpu", "choose the CPU")
    return MemoryShortage(
        f"A tile of {' x '.join(map(str, shape))} px does not fit in the free memory of {device}.",
        Advice(
            f"Set a smaller tile (--tile) or memory limit (--memory), or {other}.",
            f"Set a smaller tile or a memory limit under Advanced, or {place}.",
        ),
    )
