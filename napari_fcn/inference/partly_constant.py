"""Divides a tile that is partly of one constant value, so that the network computes little more than the rest."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_fcn.geometry import Region
from napari_fcn.inference.constant_blocks import constant_values

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from napari_fcn.geometry import Tile, TilePlan

CELL_PER_MARGIN = 2  # length of a cell, relative to the margin on both sides: shorter ones read mostly margin
MIN_CELL = 64  # pixels along an axis
WORTH = 0.8  # share of the pixels of the tile that its parts may read
GAIN = 0.95  # share of the pixels of a box that its halves may read


def divide(tile: Tile, block: npt.NDArray[np.float32], plan: TilePlan, space_positions: tuple[int, ...]) -> list[Tile]:
    """Return smaller tiles with the same pixels, if they read clearly fewer that are not constant; else an empty list.

    The core is divided into cells. Cells whose read has one value are tiles of their own: a `ConstantBlockCache`
    predicts the first and copies the others. The rest is covered by few boxes.

    Parameters
    ----------
    tile : Tile
        The tile.
    block : ndarray
        Its scaled block, ``(N, C, *space)``.
    plan : TilePlan
        Margins and pooling grid.
    space_positions : tuple of int
        Positions of the axes of the network among the image axes.
    """
    if len(block) != 1:
        return []
    lengths = _cell_lengths(tile, plan, space_positions)
    counts = tuple(-(-n // length) for n, length in zip(tile.core.shape, lengths, strict=True))
    if prod(counts) < 2 * len(space_positions):
        return []
    is_constant, distinct = np.zeros(counts, bool), set()
    for index in np.ndindex(counts):
        part = plan.around(_box(tile, lengths, Region(index, tuple(i + 1 for i in index))))
        values = constant_values(part_of(block, part, tile, space_positions))
        if values is not None:
            is_constant[index] = True
            distinct.add((values.tobytes(), part.read.shape, part.crop.start))
    if not is_constant.any():
        return []
    cell = prod(n + a + b for n, (a, b) in zip(lengths, plan.margin, strict=True))
    boxes = [_box(tile, lengths, box) for box in _cover(~is_constant, lengths, plan)]
    parts = [plan.around(box) for box in boxes]
    if sum(part.read.size for part in parts) + cell * len(distinct) > WORTH * tile.read.size:
        return []
    for index in zip(*np.nonzero(is_constant), strict=True):
        core = _box(tile, lengths, Region(tuple(map(int, index)), tuple(int(i) + 1 for i in index)))
        if not any(box.intersects(core) for box in boxes):
            parts.append(plan.around(core))
    return parts


def part_of(
    block: npt.NDArray[np.float32], part: Tile, tile: Tile, space_positions: tuple[int, ...]
) -> npt.NDArray[np.float32]:
    """Return the block ``(N, C, *space)`` of a part of a tile."""
    inside: list[Any] = list(part.read.relative_to(tile.read).take(space_positions).slices)
    return np.ascontiguousarray(block[(..., *inside)])


def _cell_lengths(tile: Tile, plan: TilePlan, space_positions: tuple[int, ...]) -> tuple[int, ...]:
    lengths = list(tile.core.shape)  # loop axes are not divided
    for axis in space_positions:
        multiple, margin = plan.multiple[axis], sum(plan.margin[axis])
        lengths[axis] = -(-max(CELL_PER_MARGIN * margin, MIN_CELL) // multiple) * multiple
    return tuple(lengths)


def _box(tile: Tile, lengths: tuple[int, ...], cells: Region) -> Region:
    """Return a box of cells as pixels of the image; cells start at points of the pooling grid."""
    start, stop = (
        tuple(origin + i * length for origin, i, length in zip(tile.core.start, index, lengths, strict=True))
        for index in (cells.start, cells.stop)
    )
    return Region(start, stop).intersection(tile.core)


def _cover(is_needed: npt.NDArray[np.bool_], lengths: tuple[int, ...], plan: TilePlan) -> Iterator[Region]:
    """Yield boxes of cells that cover all needed ones, none of which overlap, and that read few pixels in all."""
    found = np.nonzero(is_needed)
    if not found[0].size:
        return
    box = Region(tuple(int(i.min()) for i in found), tuple(int(i.max()) + 1 for i in found))
    inside = is_needed[box.slices]
    best, cut = GAIN * _pixels(box.shape, lengths, plan), None
    for axis, count in enumerate(inside.shape):
        for position in range(1, count):
            halves = np.split(inside, [position], axis)
            pixels = sum(_pixels(_extent(half), lengths, plan) for half in halves)
            if pixels < best:
                best, cut = pixels, halves
                offset = tuple(position * (k == axis) for k in range(inside.ndim))
    if cut is None:
        yield box
        return
    for half, shift in zip(cut, (box.start, tuple(a + b for a, b in zip(box.start, offset, strict=True))), strict=True):
        for part in _cover(half, lengths, plan):
            yield part.shift(shift)


def _extent(is_needed: npt.NDArray[np.bool_]) -> tuple[int, ...]:
    """Return the lengths of the box of all needed cells."""
    return tuple(int(i.max() - i.min() + 1) if i.size else 0 for i in np.nonzero(is_needed))


def _pixels(cells: tuple[int, ...], lengths: tuple[int, ...], plan: TilePlan) -> int:
    """Return the pixels that a box of so many cells reads inside an image."""
    if not all(cells):
        return 0
    return prod(n * length + a + b for n, length, (a, b) in zip(cells, lengths, plan.margin, strict=True))
