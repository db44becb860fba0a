"""What to try when memory runs out: smaller tiles, fewer blocks that wait, half precision, the CPU."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from itertools import product
from math import prod
from typing import TYPE_CHECKING

import torch

from napari_fcn.errors import MemoryShortage
from napari_fcn.events import FallbackTaken
from napari_fcn.geometry import Region
from napari_fcn.inference import device as devices
from napari_fcn.inference.prefetch import BLOCKS_AHEAD

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from napari_fcn.events import TileDone
    from napari_fcn.geometry import Tile, TilePlan
    from napari_fcn.inference.predictor import Predictor

MAX_READ_RATIO = 0.85  # what is read by a smaller tile, of what was read: near the halo, tiles no longer help


@dataclass(frozen=True, slots=True)
class ExecutionConfig:
    """On what a run stands.

    Attributes
    ----------
    device : torch.device
        Where the network runs.
    dtype : torch.dtype
        In which numbers.
    tile : tuple of int
        Length of a core per image axis.
    ahead : int
        Blocks that are read in advance.
    """

    device: torch.device
    dtype: torch.dtype
    tile: tuple[int, ...]
    ahead: int = BLOCKS_AHEAD

    @property
    def precision(self) -> str:
        """Name of the numbers, as in the settings."""
        return str(self.dtype).removeprefix("torch.")


@dataclass(frozen=True, slots=True)
class OomFallback:
    """The steps down from a plan.

    ::

        tile ── tile / 2 ── ... ── nothing read ahead ── half precision ── CPU, tiles as planned ── tile / 2 ── ...

    Attributes
    ----------
    plan : TilePlan
        The tiles as planned.
    mode : str
        ``"exact"``: steps that leave the numbers as they are, up to rounding; ``"half"``: half precision too;
        ``"off"``: none.
    """

    plan: TilePlan
    mode: str = "exact"

    def next(self, config: ExecutionConfig) -> tuple[str, ExecutionConfig] | None:
        """Return what is tried next and a sentence about it, None at the foot."""
        if self.mode == "off":
            return None
        smaller = self._smaller(config.tile)
        if smaller is not None:
            shown = " x ".join(str(n) for n in smaller)
            return f"tiles of {shown} px", replace(config, tile=smaller)
        if config.ahead:
            return "reading no tiles in advance", replace(config, ahead=0)
        if self.mode == "half" and config.dtype is torch.float32 and config.device.type != "mps":
            half = devices.pick_precision("bfloat16" if config.device.type == "cpu" else "auto", config.device)
            return "half precision", replace(config, dtype=half)
        if config.device.type != "cpu":
            return "the CPU, in float32", ExecutionConfig(torch.device("cpu"), torch.float32, self.plan.tile)
        return None

    def _smaller(self, tile: tuple[int, ...]) -> tuple[int, ...] | None:
        """Return half a tile per axis, on the pooling grid; None where that would hardly read less."""
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
    ) -> Iterator[TileDone | FallbackTaken]:
        """Yield the answer for each tile; where memory runs out step down, say so, and go on with what is left.

        Parameters
        ----------
        tiles : iterable of Tile
            Asked for the next one only when it is wanted, until memory runs out.
        footing : Footing
            Where to begin.
        make : callable
            Returns the network, ready to run on a footing.
        place : (int, int), optional
            How many tiles were done before, and how many there are in all.

        Raises
        ------
        MemoryShortage
            If memory runs out at the foot.
        """
        if progress is None:
            tiles = list(tiles)
            progress = (0, len(tiles))
        (done, total), rest, predictor = progress, iter(tiles), None
        while True:
            begun: deque[Tile] = deque()
            predictor = predictor or make(config)
            try:
                for event in predictor.run(_noted(rest, begun), total, config.ahead):
                    begun.popleft()
                    done += 1
                    yield replace(event, done=done, total=total)
                    del event  # its probabilities, while the next tile is computed
                return
            except MemoryShortage as error:
                step = self.next(config)
                if step is None:
                    raise
                line = f"{error.short} Going on with {step[0]}."
            before, config = config, step[1]
            if (before.device, before.dtype) != (config.device, config.dtype):
                predictor = None
            devices.release(before.device)
            left = [self.plan.around(part) for tile in (*begun, *rest) for part in parts(tile.core, config.tile)]
            rest, total = iter(left), done + len(left)
            yield FallbackTaken(line, config.tile, devices.label(config.device), config.precision, total)


def _noted(tiles: Iterator[Tile], begun: deque[Tile]) -> Iterator[Tile]:
    """Yield tiles, and note which were taken."""
    for tile in tiles:
        begun.append(tile)
        yield tile


def parts(core: Region, tile: tuple[int, ...]) -> Iterator[Region]:
    """Yield a core in parts of at most this shape, in order; each starts a number of whole tiles after the core."""
    ranges = (range(a, b, t) for a, b, t in zip(core.start, core.stop, tile, strict=True))
    for start in product(*ranges):
        stop = tuple(i + t for i, t in zip(start, tile, strict=True))
        yield Region(start, stop).intersection(core)
