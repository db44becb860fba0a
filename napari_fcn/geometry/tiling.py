"""Divides an image into tiles whose joined predictions equal the prediction for the whole image."""

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
    """A partition of an image, or of a region of it, into cores, each with the input that makes its prediction exact.

    Cores start on multiples of ``multiple`` (the pooling grid) and have length ``tile`` except at the far border; reads
    are larger by the halo, rounded up to the grid, and clipped at the image. All tiles that do not touch the border
    have the same read shape. Loop axes (time, planes of a 2-D network) have halo (0, 0), multiple 1, and tile 1, or
    more for small planes. In a region, the first cores start with the region, and their reads on the grid before it.

    Parameters
    ----------
    shape : tuple of int
        Image axes without channels.
    tile : tuple of int
        Length of a core per axis; a multiple of ``multiple``, or at least the length of the image.
    halo : tuple of (int, int)
        Number of input pixels before and after an output pixel on which it depends, per axis.
    multiple : tuple of int
        Period of the pooling grid per axis.
    region : Region, optional
        The part of the image to cover; all of it if not given.

    Raises
    ------
    ValueError
        If the numbers of axes differ, or a tile shorter than the region is not a positive multiple of the grid.
    """

    shape: tuple[int, ...]
    tile: tuple[int, ...]
    halo: tuple[tuple[int, int], ...]
    multiple: tuple[int, ...]
    region: Region | None = None

    def __post_init__(self) -> None:
        if not len(self.shape) == len(self.tile) == len(self.halo) == len(self.multiple) == self.area.ndim:
            raise ValueError(f"TilePlan needs one tile, halo and multiple for each axis of {self.shape}.")
        for n, t, m in zip(self._lengths_on_grid, self.tile, self.multiple, strict=True):
            if t < 1 or (t < n and t % m):
                raise ValueError(f"Tile length {t} is not a positive multiple of {m}, the pooling grid.")

    @property
    def area(self) -> Region:
        """The part of the image that the cores cover."""
        return Region.whole(self.shape) if self.region is None else self.region

    @property
    def counts(self) -> tuple[int, ...]:
        """Number of tiles along each axis."""
        return tuple(ceil(n / t) for n, t in zip(self._lengths_on_grid, self.tile, strict=True))

    @property
    def margin(self) -> tuple[tuple[int, int], ...]:
        """The halo rounded up to the pooling grid: the margin of a read."""
        return tuple((ceil(a / m) * m, ceil(b / m) * m) for (a, b), m in zip(self.halo, self.multiple, strict=True))

    @property
    def largest_read(self) -> tuple[int, ...]:
        """Longest read along each axis, which determines the memory."""
        return tuple(max(self._read_lengths(axis), default=0) for axis in range(len(self.shape)))

    @property
    def shapes(self) -> int:
        """Number of different shapes of reads."""
        return prod(len(self._read_lengths(axis)) for axis in range(len(self.shape)))

    @property
    def read_pixels(self) -> int:
        """Total number of pixels that all tiles read; at least the size of the area."""
        return prod(
            sum(length * count for length, count in self._read_lengths(axis).items()) for axis in range(len(self.shape))
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
        """Return the tile for a core of any shape; its read starts on the pooling grid."""
        before, after = zip(*self.margin, strict=True)
        start = tuple(a // m * m for a, m in zip(core.start, self.multiple, strict=True))
        return Tile(core, Region(start, core.stop).grow(before, after).clip(self.shape))

    def touching(self, region: Region) -> Iterator[Tile]:
        """Yield the tiles whose cores share a pixel with ``region``."""
        region = region.intersection(self.area)
        if region.is_empty:
            return
        first = tuple(self._first(axis) for axis in range(len(self.shape)))
        spans = zip(region.start, region.stop, first, self.tile, strict=True)
        for index in product(*(range((a - o) // t, (b - 1 - o) // t + 1) for a, b, o, t in spans)):
            yield self.at(index)

    def within(self, region: Region) -> Iterator[Tile]:
        """Yield tiles that cover exactly the pixels of ``region``, with the smallest reads."""
        for tile in self.touching(region):
            yield self.around(tile.core.intersection(region))

    def nearest_first(self, region: Region) -> Iterator[Tile]:
        """Yield all tiles, those in ``region`` first, then outward; its own planes before all others."""
        return self.following(lambda: region)

    def following(self, visible: Callable[[], Region]) -> Iterator[Tile]:
        """Yield all tiles once, in the order of `nearest_first` for the current result of ``visible``."""
        is_pending = np.ones(len(self), bool)
        last_region: Region | None = None
        queue: list[int] = []
        while is_pending.any():
            region = visible()
            if region != last_region:
                order = self._by_distance(region)
                last_region, queue = region, order[is_pending[order]][::-1].tolist()
            number = queue.pop()
            is_pending[number] = False
            yield self.at([int(i) for i in np.unravel_index(number, self.counts)])

    def _by_distance(self, region: Region) -> npt.NDArray[np.int64]:
        """Return the indices of all tiles, those in a region first."""
        loop_distance = np.zeros(self.counts)  # along loop axes
        space_distance = np.zeros(self.counts)
        for axis, (a, b) in enumerate(zip(region.start, region.stop, strict=True)):
            starts = self._first(axis) + np.arange(self.counts[axis]) * self.tile[axis]
            gap = np.maximum(0, np.maximum(a - (starts + self.tile[axis] - 1), starts - (b - 1)))
            centre = np.abs(starts + self.tile[axis] / 2 - (a + b) / 2) * 1e-6
            target = loop_distance if self._is_loop(axis) else space_distance
            target += ((gap + centre) ** 2).reshape([-1 if k == axis else 1 for k in range(len(self.shape))])
        return np.lexsort((space_distance.ravel(), loop_distance.ravel()))

    @property
    def _lengths_on_grid(self) -> tuple[int, ...]:
        """Length of the area per axis, from the first position on the pooling grid."""
        return tuple(b - self._first(axis) for axis, b in enumerate(self.area.stop))

    def _first(self, axis: int) -> int:
        """Return the position on the pooling grid from which tiles are counted."""
        return 0 if self.region is None else self.region.start[axis] // self.multiple[axis] * self.multiple[axis]

    def _read_lengths(self, axis: int) -> Counter[int]:
        """Return the number of reads of each length along an axis, without a loop over inner tiles."""
        count, tile, (before, after) = self.counts[axis], self.tile[axis], self.margin[axis]
        # inner tiles, whose reads start and end inside the image, are first to last - 1
        start, stop = self._first(axis), min(self.shape[axis] - after, self.area.stop[axis])
        first = min(count, max(0, ceil((before - start) / tile)))
        last = max(first, min(count, (stop - start) // tile))
        border = chain(range(first), range(last, count))
        lengths = Counter(stop - start for *_, start, stop in (self._span(axis, i) for i in border))
        if last > first:
            lengths[before + tile + after] += last - first
        return lengths

    def _is_loop(self, axis: int) -> bool:
        return self.tile[axis] == 1 and self.halo[axis] == (0, 0) and self.multiple[axis] == 1

    def _span(self, axis: int, i: int) -> tuple[int, int, int, int]:
        """Return core start and stop, read start and stop of the ``i``-th tile along ``axis``."""
        n, t, (before, after) = self.shape[axis], self.tile[axis], self.margin[axis]
        on_grid = self._first(axis) + int(i) * t
        start, stop = max(on_grid, self.area.start[axis]), min(on_grid + t, self.area.stop[axis])
        return start, stop, max(0, on_grid - before), min(stop + after, n)


def balanced_tile(
    shape: Sequence[int],
    window: Sequence[int],
    halo: Sequence[tuple[int, int]],
    multiple: Sequence[int],
    region: Region | None = None,
) -> tuple[int, ...]:
    """Return core lengths that cover an image, or a region of it, with the fewest reads of at most ``window``.

    All are of similar length. A fixed window leaves a small remainder at the far border: 2048 px in windows of 1024
    with a halo of 56 need three windows per axis; balanced cores of 1024, read with a halo on one side, need two.

    Raises
    ------
    ValueError
        If a window is shorter than its halo and one period of the pooling grid.
    """
    area = Region.whole(shape) if region is None else region
    tile = []
    for n, a, b, w, margins, m in zip(shape, area.start, area.stop, window, halo, multiple, strict=True):
        length = b - a // m * m  # from the grid on
        margin = sum(ceil(side / m) * m for side in margins)
        whole = ceil(length / m) * m if length else m
        if _longest_read(n, (a, b), whole, margins, m) <= w:
            tile.append(whole)
            continue
        longest = (w - margin) // m * m
        if longest < m:
            raise ValueError(f"A window of {w} px cannot hold the halo {margins}; use at least {margin + m}.")
        core = _balanced(length, ceil(length / w), m)
        while core > longest and _longest_read(n, (a, b), core, margins, m) > w:  # at the border there is one halo
            core = _balanced(length, -(-length // (core - m)), m)  # the fewest tiles that are shorter
        tile.append(core)
    return tuple(tile)


def _balanced(length: int, count: int, multiple: int) -> int:
    """Return the length of a number of equal cores on the pooling grid that cover a length."""
    return -(-length // (count * multiple)) * multiple


def _longest_read(n: int, span: tuple[int, int], tile: int, halo: tuple[int, int], multiple: int) -> int:
    """Return the longest read of tiles of a span of an axis of ``n`` pixels."""
    region = Region((span[0],), (span[1],))
    return TilePlan((n,), (tile,), (halo,), (multiple,), region).largest_read[0]
