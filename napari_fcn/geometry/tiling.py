"""Divide an image into tiles whose joined predictions equal the prediction for the whole image."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import chain, product
from math import ceil, prod
from typing import TYPE_CHECKING

import numpy as np

from napari_fcn.geometry.region import Region

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class Tile:
    """One tile: ``read`` is the input, ``core`` the part of the prediction that is kept.

    ::

          read.start         core.start          core.stop        read.stop
              |--- halo -------->|##### core #########|<------ halo ---|
              ^ on the pooling grid                     clipped at the image border
    """

    core: Region
    read: Region

    @property
    def crop(self) -> Region:
        """The core in the coordinates of the read block."""
        return self.core.relative_to(self.read)


@dataclass(frozen=True, slots=True)
class TilePlan:
    """A partition of an image into cores, each with the input that makes its prediction exact.

    Cores start on multiples of ``multiple`` (the pooling grid) and are ``tile`` long except at the far
    border; reads are wider by the halo, rounded up to the grid, and clipped at the image. All tiles that do not
    touch the border have one read shape. Axes that a network does not see (time, planes of a 2-D net) are axes
    with tile 1, halo (0, 0) and multiple 1.

    Parameters
    ----------
    shape : tuple of int
        Image axes without channels.
    tile : tuple of int
        Length of a core per axis; a multiple of ``multiple``, or at least the image's length.
    halo : tuple of (int, int)
        Pixels that an output needs before and after it, per axis.
    multiple : tuple of int
        Period of the pooling grid per axis.

    Raises
    ------
    ValueError
        If the lengths differ, a tile is not positive, or a tile that divides the image is off the grid.
    """

    shape: tuple[int, ...]
    tile: tuple[int, ...]
    halo: tuple[tuple[int, int], ...]
    multiple: tuple[int, ...]

    def __post_init__(self) -> None:
        if not len(self.shape) == len(self.tile) == len(self.halo) == len(self.multiple):
            raise ValueError(f"TilePlan needs one tile, halo and multiple for each axis of {self.shape}.")
        for n, t, m in zip(self.shape, self.tile, self.multiple, strict=True):
            if t < 1 or (t < n and t % m):
                raise ValueError(f"Tile length {t} is not a positive multiple of {m}, the pooling grid.")

    @property
    def counts(self) -> tuple[int, ...]:
        """Number of tiles along each axis."""
        return tuple(ceil(n / t) for n, t in zip(self.shape, self.tile, strict=True))

    @property
    def margin(self) -> tuple[tuple[int, int], ...]:
        """The halo rounded up to the pooling grid: the margin of a read."""
        return tuple((ceil(a / m) * m, ceil(b / m) * m) for (a, b), m in zip(self.halo, self.multiple, strict=True))

    @property
    def largest_read(self) -> tuple[int, ...]:
        """Longest read along each axis, which determines the memory."""
        return tuple(_longest_read(*axis) for axis in zip(self.shape, self.tile, self.margin, strict=True))

    @property
    def shapes(self) -> int:
        """Number of different shapes of reads."""
        return prod(len(set(self._lengths(axis))) for axis in range(len(self.shape)))

    @property
    def read_pixels(self) -> int:
        """Total number of pixels that all tiles read; at least the size of the image."""
        return prod(
            sum(length * count for length, count in self._lengths(axis).items()) for axis in range(len(self.shape))
        )

    def __len__(self) -> int:
        return prod(self.counts)

    def __iter__(self) -> Iterator[Tile]:
        for index in product(*(range(n) for n in self.counts)):
            yield self.at(index)

    def at(self, index: Sequence[int]) -> Tile:
        """Return the tile at this position in the grid of tiles."""
        spans = [self._span(axis, i)[:2] for axis, i in enumerate(index)]
        return self.around(Region(*(tuple(column) for column in zip(*spans, strict=True))))

    def around(self, core: Region) -> Tile:
        """Return the tile for a core of any shape, if its start is on the pooling grid."""
        before, after = zip(*self.margin, strict=True)
        return Tile(core, core.grow(before, after).clip(self.shape))

    def touching(self, region: Region) -> Iterator[Tile]:
        """Yield the tiles whose cores share a pixel with ``region``."""
        region = region.clip(self.shape)
        if region.is_empty:
            return
        ranges = (range(a // t, (b - 1) // t + 1) for a, b, t in zip(region.start, region.stop, self.tile, strict=True))
        for index in product(*ranges):
            yield self.at(index)

    def within(self, region: Region) -> Iterator[Tile]:
        """Yield tiles that cover exactly the pixels of ``region``, with the smallest reads."""
        for tile in self.touching(region):
            core = tile.core.intersection(region)
            start = tuple(a // m * m for a, m in zip(core.start, self.multiple, strict=True))
            yield Tile(core, self.around(Region(start, core.stop)).read)

    def nearest_first(self, region: Region) -> Iterator[Tile]:
        """Yield every tile, those at ``region`` first, then outward; its planes before all others."""
        return self.following(lambda: region)

    def following(self, visible: Callable[[], Region]) -> Iterator[Tile]:
        """Yield every tile once, as `nearest_first` does for the region that ``gaze`` returns at that moment."""
        is_left = np.ones(len(self), bool)
        seen: Region | None = None
        waiting: list[int] = []
        while is_left.any():
            region = visible()
            if region != seen:
                order = self._by_distance(region)
                seen, waiting = region, order[is_left[order]][::-1].tolist()
            number = waiting.pop()
            is_left[number] = False
            yield self.at([int(i) for i in np.unravel_index(number, self.counts)])

    def _by_distance(self, region: Region) -> npt.NDArray[np.int64]:
        """Return the numbers of all tiles, those at a region first."""
        far = np.zeros(self.counts)  # steps along axes that the net does not see
        near = np.zeros(self.counts)
        for axis, (a, b) in enumerate(zip(region.start, region.stop, strict=True)):
            starts = np.arange(self.counts[axis]) * self.tile[axis]
            gap = np.maximum(0, np.maximum(a - (starts + self.tile[axis] - 1), starts - (b - 1)))
            centre = np.abs(starts + self.tile[axis] / 2 - (a + b) / 2) * 1e-6
            target = far if self._is_loop(axis) else near
            target += ((gap + centre) ** 2).reshape([-1 if k == axis else 1 for k in range(len(self.shape))])
        return np.lexsort((near.ravel(), far.ravel()))

    def _lengths(self, axis: int) -> Counter[int]:
        """Return the number of reads of each length along an axis; inner tiles are counted, not visited."""
        count, tile, (before, after) = self.counts[axis], self.tile[axis], self.margin[axis]
        first = min(count, ceil(before / tile))  # from here on reads begin inside the image
        last = max(first, min(count, (self.shape[axis] - after) // tile))  # up to here they end inside it
        border = chain(range(first), range(last, count))
        found = Counter(stop - start for *_, start, stop in (self._span(axis, i) for i in border))
        if last > first:
            found[before + tile + after] += last - first
        return found

    def _is_loop(self, axis: int) -> bool:
        return self.tile[axis] == 1 and self.halo[axis] == (0, 0) and self.multiple[axis] == 1

    def _span(self, axis: int, i: int) -> tuple[int, int, int, int]:
        """Return core start and stop, read start and stop of the ``i``-th tile along ``axis``."""
        n, t, (before, after) = self.shape[axis], self.tile[axis], self.margin[axis]
        start, stop = int(i) * t, min((int(i) + 1) * t, n)
        return start, stop, max(0, start - before), min(stop + after, n)


def balanced_tile(
    shape: Sequence[int],
    window: Sequence[int],
    halo: Sequence[tuple[int, int]],
    multiple: Sequence[int],
) -> tuple[int, ...]:
    """Return core lengths that cover ``shape`` with the fewest reads of at most ``window``, all of about one length.

    A fixed window pays for a sliver at the far border: 2048 px in windows of 1024 with a halo of 56 need three
    windows per axis; balanced cores of 1024, read with one-sided halos as 1080, need two.

    Raises
    ------
    ValueError
        If a window cannot hold its halo and one period of the pooling grid.
    """
    tile = []
    for n, w, (before, after), m in zip(shape, window, halo, multiple, strict=True):
        margin = ceil(before / m) * m + ceil(after / m) * m
        if n <= w:
            tile.append(ceil(n / m) * m if n else m)
            continue
        longest = (w - margin) // m * m
        if longest < m:
            raise ValueError(f"A window of {w} px cannot hold the halo {(before, after)}; use at least {margin + m}.")
        for count in range(ceil(n / w), ceil(n / longest) + 1):  # tiles at the border read one halo: fewer may do
            length = ceil(ceil(n / count) / m) * m
            if _longest_read(n, length, (ceil(before / m) * m, ceil(after / m) * m)) <= w:
                break
        tile.append(length)
    return tuple(tile)


def _longest_read(n: int, tile: int, margin: tuple[int, int]) -> int:
    """Return the longest read along an axis of ``n`` pixels.

    Reads lengthen until one no longer reaches the start of the image, and shorten after that one.
    """
    if n == 0:
        return 0
    before, after = margin
    first = min(ceil(before / tile), ceil(n / tile) - 1)
    return max(min((i + 1) * tile + after, n) - max(0, i * tile - before) for i in {max(0, first - 1), first})
