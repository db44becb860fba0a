"""Predicts what is on screen ahead of the tiles of a run, where whole tiles are too long to wait for."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import reduce
from math import ceil, prod
from typing import TYPE_CHECKING

from napari_fcn.geometry import Region, Tile

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from napari_fcn.geometry import TilePlan

MAX_EXTRA_WORK = 0.25  # pixels that previews and smaller tiles may read in addition, relative to the fastest tiles
LATER_PREVIEW_SECONDS = 10.0  # of each preview after the first, whose speed is unknown
MIN_GROWTH = 2.0  # of a further preview of one place, in pixels on screen
MIN_CORE_SHARE = 0.25  # shortest core of a preview, relative to the halo on both sides


@dataclass(frozen=True, slots=True)
class Preview(Tile):
    """A tile that is predicted for the screen alone; its pixels are predicted again with the tiles of the plan.

    Attributes
    ----------
    work : float
        Its work, in pixels that a tile reads.
    """

    work: float = 0.0


class PreviewPlanner:
    """Orders the tiles of a run that is watched and inserts previews of what is on screen.

    A preview is the visible region, on its plane, or the middle of it: as large as the allowed extra work and a short
    wait permit. The tiles of the plan, and so the result, are the same with and without previews.

    Parameters
    ----------
    plan : TilePlan
        The tiles.
    visible : callable
        Returns the region on screen at that moment, on the image axes.
    extra : int
        Work of all previews together, in pixels that a tile reads.
    first_read : int
        Work of the first preview.
    work : callable
        Returns the work of a preview, in pixels that a tile reads.
    done : collection of Region
        Cores that were predicted before.
    clock : callable
        Returns the time in seconds.
    """

    def __init__(
        self,
        plan: TilePlan,
        visible: Callable[[], Region],
        extra: int,
        first_read: int,
        work: Callable[[Tile], float] = lambda tile: tile.read.size,
        done: Collection[Region] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.plan, self.visible, self.extra, self.work, self.clock = plan, visible, extra, work, clock
        self._max_work = first_read
        self._done = set(done)
        self._previews: list[Region] = []
        self._settled: Region | None = None  # nothing more is previewed while this is on screen

    def __iter__(self) -> Iterator[Tile]:
        """Yield each tile of the plan that is not done, those on screen first, and previews between them.

        The next tile is chosen when it is asked for; the time between two tiles is taken for that of the first.
        """
        tiles = (tile for tile in self.plan.following(self.visible) if tile.core not in self._done)
        while True:
            preview = self._next_preview()
            if preview is None:
                tile = next(tiles, None)
                if tile is None:
                    return
                yield tile
                self._done.add(tile.core)
                continue
            start = self.clock()
            yield preview
            self._previews.append(preview.core)
            self.extra -= int(preview.work)
            speed = preview.work / max(self.clock() - start, 1e-3)
            self._max_work = int(speed * LATER_PREVIEW_SECONDS)

    def _next_preview(self) -> Preview | None:
        """Return a preview of what is on screen and not predicted, None if there is none that pays."""
        region = self.visible().intersection(self.plan.area)
        if region == self._settled or self.extra <= 0:
            return None
        missing = self._missing(region)
        limit = min(self.extra, prod(self.plan.largest_read))
        if missing is not None:
            preview = largest_preview(self.plan, missing, min(limit, self._max_work), self.work)
            shown = max((part.intersection(missing).size for part in self._previews), default=0)
            if preview.work <= limit and preview.core.size >= MIN_GROWTH * shown:
                return preview
        self._settled = region
        return None

    def _missing(self, region: Region) -> Region | None:
        """Return the box of the pixels whose tiles are not done, None if there are none or all are previewed."""
        parts = [tile.core.intersection(region) for tile in self.plan.touching(region) if tile.core not in self._done]
        if not parts:
            return None
        box = reduce(Region.union, parts)
        return None if any(preview.contains(box) for preview in self._previews) else box


def largest_preview(plan: TilePlan, region: Region, max_work: int, work: Callable[[Tile], float]) -> Preview:
    """Return the largest preview of a region or of its middle; the smallest if that is too much work already.

    Parameters
    ----------
    plan : TilePlan
        Halo and pooling grid.
    region : Region
        What should be shown.
    max_work : int
        Most work.
    work : callable
        Returns the work of a preview.
    """
    low, high = 0.0, 1.0
    preview = _middle(plan, region, high, work)
    if preview.work <= max_work:
        return preview
    while high - low > 1e-3:
        share = (low + high) / 2
        low, high = (share, high) if _middle(plan, region, share, work).work <= max_work else (low, share)
    return _middle(plan, region, low, work)


def _middle(plan: TilePlan, region: Region, share: float, work: Callable[[Tile], float]) -> Preview:
    """Return the preview of the middle of a region, on the pooling grid; ``share`` is that of its length per axis.

    It is not so short along an axis that nearly all of its work would be halo.
    """
    start, stop = [], []
    for a, b, m, halo in zip(region.start, region.stop, plan.multiple, plan.halo, strict=True):
        length = min(b - a, max(1, ceil(MIN_CORE_SHARE * sum(halo)), round((b - a) * share)))
        begin = a + (b - a - length) // 2
        start.append(begin // m * m)
        stop.append(begin + length)
    tile = plan.around(Region(tuple(start), tuple(stop)))
    return Preview(tile.core, tile.read, work(tile))


def trimmable_sides(tile: Tile, axis: int, shape: Sequence[int]) -> tuple[bool, bool]:
    """Return whether planes that only the first layers need can be left out, before and after the core of a tile.

    Where the read ends with the image, the padding of each layer is that of the whole image.
    """
    return tile.read.start[axis] > 0, tile.read.stop[axis] < shape[axis]
