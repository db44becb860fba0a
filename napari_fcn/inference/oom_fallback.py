"""Fallbacks when memory runs out: smaller tiles, no prefetched blocks, half precision, the CPU."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from itertools import product
from math import prod
from typing import TYPE_CHECKING

import torch

from napari_fcn.errors import MemoryShortage
from napari_fcn.events import FallbackTaken, PreviewDone
from napari_fcn.geometry import Region
from napari_fcn.inference import device as devices
from napari_fcn.inference.prefetch import BLOCKS_AHEAD
from napari_fcn.inference.previews import Preview

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from napari_fcn.events import TileDone
    from napari_fcn.geometry import Tile, TilePlan
    from napari_fcn.inference.predictor import Predictor

MAX_READ_RATIO = 0.85  # of a smaller tile to the present one: near the halo, smaller tiles no longer help


@dataclass(frozen=True, slots=True)
class ExecutionConfig:
    """How a run is executed.

    Attributes
    ----------
    device : torch.device
        Where the network runs.
    dtype : torch.dtype
        Precision.
    tile : tuple of int
        Length of a core per image axis.
    ahead : int
        Blocks that are prefetched.
    """

    device: torch.device
    dtype: torch.dtype
    tile: tuple[int, ...]
    ahead: int = BLOCKS_AHEAD

    @property
    def precision(self) -> str:
        """Name of the precision, as in the settings."""
        return str(self.dtype).removeprefix("torch.")


@dataclass(frozen=True, slots=True)
class OomFallback:
    """The fallbacks of a plan, in order.

    ::

        tile ── tile / 2 ── ... ── no prefetching ── half precision ── CPU, tiles as planned ── tile / 2 ── ...

    Attributes
    ----------
    plan : TilePlan
        The planned tiles.
    mode : str
        ``"exact"``: fallbacks that keep the result, up to rounding; ``"half"``: half precision too; ``"off"``: none.
    """

    plan: TilePlan
    mode: str = "exact"

    def next(self, config: ExecutionConfig) -> tuple[str, ExecutionConfig] | None:
        """Return the name of the next fallback and its configuration, None if there is none left."""
        if self.mode == "off":
            return None
        smaller = self._smaller(config.tile)
        if smaller is not None:
            shown = " x ".join(str(n) for n in smaller)
            return f"tiles of {shown} px", replace(config, tile=smaller)
        if config.ahead:
            return "no prefetched tiles", replace(config, ahead=0)
        if self.mode == "half" and config.dtype is torch.float32 and config.device.type != "mps":
            half = devices.pick_precision("bfloat16" if config.device.type == "cpu" else "auto", config.device)
            return "half precision", replace(config, dtype=half)
        if config.device.type != "cpu":
            return "the CPU, in float32", ExecutionConfig(torch.device("cpu"), torch.float32, self.plan.tile)
        return None

    def _smaller(self, tile: tuple[int, ...]) -> tuple[int, ...] | None:
        """Return half a tile per axis, on the pooling grid; None if that would hardly read less."""
        axes = list(zip(self.plan.shape, tile, self.plan.multiple, strict=True))
        half = tuple(max(m, -(-min(n, t) // (2 * m)) * m) for n, t, m in axes)
        return half if self._read(half) <= MAX_READ_RATIO * self._read(tile) else None

    def _read(self, tile: tuple[int, ...]) -> int:
        spans = zip(self.plan.shape, tile, self.plan.margin, strict=True)
        return prod(min(n, t + before + after) for n, t, (before, after) in spans)

    def run(
        self,
        tiles: Iterable[Tile],
        config: ExecutionConfig,
        make: Callable[[ExecutionConfig], Predictor],
        progress: tuple[int, int] | None = None,
        work: int | None = None,
    ) -> Iterator[TileDone | PreviewDone | FallbackTaken]:
        """Yield the probabilities of each tile; if memory runs out, yield the fallback and continue with it.

        After a fallback there are no previews.

        Parameters
        ----------
        tiles : iterable of Tile
            Consumed lazily until memory runs out.
        config : ExecutionConfig
            The first configuration.
        make : callable
            Returns the predictor for a configuration.
        progress : (int, int), optional
            Number of tiles done before, and of all tiles.
        work : int, optional
            Pixels that the tiles read, without previews; needed if they are not a list.

        Raises
        ------
        MemoryShortage
            If memory runs out and no fallback is left.
        """
        if progress is None:
            tiles = list(tiles)
            progress = (0, len(tiles))
        if work is None:
            tiles = list(tiles)
            work = _read_pixels(tiles)
        (done, total), rest, predictor = progress, iter(tiles), make(config)
        read, left = 0.0, work
        while True:
            begun: deque[Tile] = deque()
            try:
                for event in predictor.run(_noted(rest, begun), total, config.ahead):
                    tile = begun.popleft()
                    if isinstance(tile, Preview):
                        read += tile.work
                    else:
                        done, read, left = done + 1, read + tile.read.size, left - tile.read.size
                    if isinstance(event, PreviewDone):
                        yield replace(event, work=read / (read + left))
                    else:
                        yield replace(event, done=done, total=total, work=read / (read + left))
                    del event  # its probabilities, while the next tile is computed
                return
            except MemoryShortage as error:
                step = self.next(config)
                if step is None:
                    raise
                line = f"{error.short} Continuing with {step[0]}."
            before, config = config, step[1]
            predictor.backend.release()
            if (before.device, before.dtype) != (config.device, config.dtype):
                del predictor  # its memory, before another one is made
                predictor = make(config)
            tiles = [tile for tile in (*begun, *rest) if not isinstance(tile, Preview)]
            smaller = [self.plan.around(part) for tile in tiles for part in parts(tile.core, config.tile)]
            rest, total, left = iter(smaller), done + len(smaller), _read_pixels(smaller)
            yield FallbackTaken(line, config.tile, predictor.backend.label, config.precision, total)


def _read_pixels(tiles: Iterable[Tile]) -> int:
    return sum(tile.read.size for tile in tiles)


def _noted(tiles: Iterator[Tile], started: deque[Tile]) -> Iterator[Tile]:
    """Yield tiles and record them."""
    for tile in tiles:
        started.append(tile)
        yield tile


def parts(core: Region, tile: tuple[int, ...]) -> Iterator[Region]:
    """Yield a core in parts of at most this shape, in order; each starts a multiple of the tile after the core."""
    ranges = (range(a, b, t) for a, b, t in zip(core.start, core.stop, tile, strict=True))
    for start in product(*ranges):
        stop = tuple(i + t for i, t in zip(start, tile, strict=True))
        yield Region(start, stop).intersection(core)
