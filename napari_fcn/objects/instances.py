"""Numbers the objects of images larger than memory, block by block, with the result of the whole image.

An object is a hill of a landscape. From each pixel a path leads up to the highest neighbour; pixels whose paths end on
one peak are a basin of the watershed by steepest ascent (Vincent & Soille 1991). Of two basins that meet, the lower one
joins the other if its peak rises above the pass by less than a depth: its persistence (Edelsbrunner et al. 2002). Paths
and passes can be found in blocks: those that cross borders are joined afterwards, so no halo is needed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from scipy import sparse

from napari_fcn.errors import ImageError
from napari_fcn.geometry import Region, TilePlan
from napari_fcn.objects.landscape import CLASS_STEP, HEIGHTS
from napari_fcn.settings import SPLIT

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt

    from napari_fcn.objects.landscape import ObjectRule
    from napari_fcn.settings import PredictSettings

    Numbers = npt.NDArray[Any]

BLOCK_SHAPES = {1: (2**20,), 2: (2048, 2048), 3: (64, 512, 512)}  # pixels along the connected axes
MAX_OBJECTS = 2**32 - 1  # of uint32
SMALLEST = {1: 5, 2: 15, 3: 40}  # pixels of an object by default, by the number of connected axes
LARGEST_WEIGHT = 2**16  # of a pass, in a spanning tree of the smallest weights: the highest passes
LEAST_PEAK = 0.4  # height of an object: a rim without an inside is none


@dataclass(frozen=True, slots=True)
class Separation:
    """How objects are separated.

    Attributes
    ----------
    depth : float
        Rise of a peak above the pass to a higher one from which it is an object of its own, 0 to 1: less splits more.
    smallest : int, optional
        Pixels of the smallest object; `SMALLEST` if not given.
    """

    depth: float = 1 - SPLIT
    smallest: int | None = None

    @classmethod
    def from_settings(cls, settings: PredictSettings) -> Separation:
        """Return the separation that a user has chosen."""
        return cls(1 - settings.split, settings.smallest)

    def min_pixels(self, rule: ObjectRule) -> int:
        """Return the number of pixels of the smallest object."""
        return SMALLEST[min(max(len(rule.axes), 1), 3)] if self.smallest is None else self.smallest


class BlockReader(Protocol):
    """Reads values of pixels by region."""

    def read(self, region: Region) -> Numbers | None:
        """Return ``region.shape``."""


class BlockStore(BlockReader, Protocol):
    """Stores numbers of objects by region."""

    def write(self, region: Region, block: Numbers) -> None:
        """Store ``region.shape`` uint32."""


class ArrayStore:
    """An array in memory with the interface of a stored one."""

    def __init__(self, array: Numbers) -> None:
        self.array = array

    def read(self, region: Region) -> Numbers:
        """Return the values of a region."""
        return self.array[region.slices]

    def write(self, region: Region, block: Numbers) -> None:
        """Store the values of a region."""
        self.array[region.slices] = block


@dataclass(frozen=True, slots=True)
class _Pieces:
    """The pieces of basins in all blocks; piece ``i`` has number ``i + 1``.

    Attributes
    ----------
    peak : ndarray
        ``(n,)``: index of the highest pixel of each piece in the ravelled image.
    height : ndarray
        ``(n,)``: its value in the landscape.
    target : ndarray
        ``(n,)``: index of the pixel to which the path continues in another block; -1 if it ends.
    first, size : ndarray
        ``(n,)``: index of the first pixel, and number of pixels.
    """

    peak: Numbers
    height: Numbers
    target: Numbers
    first: Numbers
    size: Numbers

    @classmethod
    def join(cls, parts: Sequence[_Pieces]) -> _Pieces:
        """Return the pieces of several blocks."""
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in cls.__slots__))


@dataclass(frozen=True, slots=True)
class _Image:
    """The stores, shape and rule of one run."""

    landscape: BlockReader
    scratch: BlockStore
    shape: tuple[int, ...]
    rule: ObjectRule

    def index(self, region: Region) -> Numbers:
        """Return the index in the ravelled image of each pixel of a region."""
        strides = np.cumprod([1, *self.shape[:0:-1]])[::-1]
        index = np.zeros((1,) * len(self.shape), np.int64)
        for axis, (start, stop, stride) in enumerate(zip(region.start, region.stop, strides, strict=True)):
            line = np.arange(start, stop, dtype=np.int64) * stride
            index = index + line.reshape([-1 if i == axis else 1 for i in range(len(self.shape))])
        return index

    def grow(self, block: Region) -> Region:
        """Return a block with its neighbouring pixels along the connected axes."""
        return block.grow([int(axis in self.rule.axes) for axis in range(len(self.shape))]).clip(self.shape)


def find_objects(
    landscape: BlockReader,
    scratch: BlockStore,
    objects: BlockStore,
    shape: Sequence[int],
    rule: ObjectRule,
    separation: Separation | None = None,
) -> Iterator[int]:
    """Assign numbers to the objects in the order of their first pixels, block by block.

    The result equals that of the whole image in one block.

    Parameters
    ----------
    landscape : BlockReader
        uint16, see `ObjectRule.landscape`.
    scratch, objects : BlockStore
        uint32 arrays of the image's shape: one for intermediate results, one for the objects.
    shape : sequence of int
        Shape of the image without channels.
    rule : ObjectRule
        Which pixels form an object.
    separation : Separation, optional
        How objects are separated.

    Yields
    ------
    int
        The total number of steps, after each step.

    Raises
    ------
    ImageError
        If there are more objects than uint32 can number.
    """
    image = _Image(landscape, scratch, tuple(shape), rule)
    blocks = [tile.core for tile in _plan(image.shape, rule)]
    parts, count = [], 0
    for block in blocks:
        parts.append(_climb(image, block, count))
        count += len(parts[-1].peak)
        yield 3 * len(blocks)
    pieces, passes, target = _Pieces.join(parts), [], np.arange(count)
    for block in blocks:
        passes.append(_passes(image, block))
        inside = _continued_in(image, block, pieces.target)
        target[inside] = _read(scratch, block)[_position(image, block, pieces.target[inside])].astype(np.int64) - 1
        yield 3 * len(blocks)
    numbers = _number(pieces, _top(target), np.concatenate(passes), rule, separation or Separation())
    for block in blocks:
        objects.write(block, numbers[_read(scratch, block)])
        yield 3 * len(blocks)


def objects_of(landscape: Numbers, rule: ObjectRule, separation: Separation | None = None) -> Numbers:
    """Return the objects, uint32, of a landscape in memory; see `find_objects`."""
    scratch, objects = (ArrayStore(np.zeros(landscape.shape, np.uint32)) for _ in range(2))
    for _ in find_objects(ArrayStore(landscape), scratch, objects, landscape.shape, rule, separation):
        pass
    return objects.array


def _plan(shape: Sequence[int], rule: ObjectRule) -> TilePlan:
    lengths = dict(zip(rule.axes[-3:], BLOCK_SHAPES[min(len(rule.axes), 3)], strict=True))
    tile = tuple(min(n, lengths.get(axis, 1)) for axis, n in enumerate(shape))
    return TilePlan(tuple(shape), tile, ((0, 0),) * len(tile), (1,) * len(tile))


def _read(store: BlockReader, region: Region) -> Numbers:
    block = store.read(region)
    if block is None:
        raise ImageError("Intermediate results cannot be read back: the disk may be damaged. Use another one.")
    return block


def _shifted(ndim: int, axis: int) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """Return the slices of all pixels but the last, and of all but the first, along an axis."""
    before = tuple(slice(None, -1) if i == axis else slice(None) for i in range(ndim))
    after = tuple(slice(1, None) if i == axis else slice(None) for i in range(ndim))
    return before, after


def _climb(image: _Image, block: Region, count: int) -> _Pieces:
    """Store the number of the piece of each pixel of a block, from ``count + 1`` on, and return the pieces."""
    wide = image.grow(block)
    values, index = _read(image.landscape, wide), image.index(wide)
    best, upward = values.copy(), np.broadcast_to(index, values.shape).copy()
    for axis in image.rule.axes:
        for here, there in (_shifted(values.ndim, axis), _shifted(values.ndim, axis)[::-1]):
            is_linked = (values[there] > 0) & (values[there] // CLASS_STEP == values[here] // CLASS_STEP)
            is_linked &= values[here] > 0
            higher = (values[there] > best[here]) | ((values[there] == best[here]) & (index[there] > upward[here]))
            best[here] = np.where(is_linked & higher, values[there], best[here])
            upward[here] = np.where(is_linked & higher, index[there], upward[here])
    core = block.relative_to(wide).slices
    values, upward, index = values[core], upward[core], index[core]
    is_inside = _is_in(image, block, upward)
    own = np.arange(values.size).reshape(values.shape)
    step = np.where(is_inside, _position_flat(image, block, np.where(is_inside, upward, index)), own).ravel()
    while True:
        further = step[step]
        if np.array_equal(further, step):
            break
        step = further
    is_object = values.ravel() > 0
    tops, piece = np.unique(step[is_object], return_inverse=True)
    if count + len(tops) > MAX_OBJECTS:
        raise ImageError(f"There are more than {MAX_OBJECTS} objects, too many to number. Segment parts of the image.")
    numbers = np.zeros(values.size, np.uint32)
    numbers[is_object] = piece + count + 1
    image.scratch.write(block, numbers.reshape(values.shape))
    leaves = ~is_inside.ravel()[tops]
    pixels = index.ravel()[is_object]
    first = np.full(len(tops), np.iinfo(np.int64).max)
    np.minimum.at(first, piece, pixels)
    return _Pieces(
        index.ravel()[tops],
        values.ravel()[tops].astype(np.int64),
        np.where(leaves, upward.ravel()[tops], -1),
        first,
        np.bincount(piece, minlength=len(tops)),
    )


def _is_in(image: _Image, block: Region, index: Numbers) -> Numbers:
    """Return whether pixels of the ravelled image lie in a block."""
    places = np.unravel_index(index, image.shape)
    inside = np.ones(np.shape(index), bool)
    for place, start, stop in zip(places, block.start, block.stop, strict=True):
        inside &= (place >= start) & (place < stop)
    return inside


def _position(image: _Image, block: Region, index: Numbers) -> tuple[Numbers, ...]:
    """Return the position in a block of pixels of the ravelled image."""
    return tuple(p - a for p, a in zip(np.unravel_index(index, image.shape), block.start, strict=True))


def _position_flat(image: _Image, block: Region, index: Numbers) -> Numbers:
    """Return the index in the ravelled block of pixels of the ravelled image."""
    flat: Numbers = np.ravel_multi_index(_position(image, block, index), block.shape)
    return flat


def _continued_in(image: _Image, block: Region, target: Numbers) -> Numbers:
    """Return the numbers, from 0, of the pieces whose paths continue in a block."""
    leaving = np.flatnonzero(target >= 0)
    found: Numbers = leaving[_is_in(image, block, target[leaving])]
    return found


def _passes(image: _Image, block: Region) -> Numbers:
    """Return ``(n, 3)``: pairs of pieces that meet in a block or across its start, and the height of their pass."""
    found = []
    for axis in image.rule.axes:
        start = tuple(max(0, a - (i == axis)) for i, a in enumerate(block.start))
        region = Region(start, block.stop)
        values, numbers = _read(image.landscape, region), _read(image.scratch, region).astype(np.int64)
        here, there = _shifted(values.ndim, axis)
        meets = (numbers[here] > 0) & (numbers[there] > 0) & (numbers[here] != numbers[there])
        meets &= values[here] // CLASS_STEP == values[there] // CLASS_STEP
        pair = np.stack([numbers[here][meets], numbers[there][meets], np.minimum(values[here], values[there])[meets]])
        found.append(pair.astype(np.int64))
    return _highest(np.concatenate(found, 1).T if found else np.zeros((0, 3), np.int64))


def _highest(passes: Numbers) -> Numbers:
    """Return the highest pass of each pair."""
    low, high = passes[:, :2].min(1), passes[:, :2].max(1)
    order = np.lexsort((passes[:, 2], high, low))
    low, high, height = low[order], high[order], passes[order, 2]
    last = np.append((low[1:] != low[:-1]) | (high[1:] != high[:-1]), True)[: len(low)]
    highest: Numbers = np.stack([low, high, height], 1)[last]
    return highest


def _top(target: Numbers) -> Numbers:
    """Return for each piece the one in which its path ends."""
    further: Numbers = target[target]
    while not np.array_equal(further, target):
        target, further = further, further[further]
    return target


def _number(pieces: _Pieces, top: Numbers, passes: Numbers, rule: ObjectRule, separation: Separation) -> Numbers:
    """Return the object number of each piece (0 stays 0), ordered by the first pixels of the objects."""
    numbers = np.zeros(len(top) + 1, np.uint32)
    if not len(top):
        return numbers
    between = np.column_stack([top[passes[:, :2] - 1], passes[:, 2]])
    root = _merge(pieces, _highest(between[between[:, 0] != between[:, 1]]), separation.depth)[top]
    first, size = np.full(len(top), np.iinfo(np.int64).max), np.zeros(len(top), np.int64)
    np.minimum.at(first, root, pieces.first)
    np.add.at(size, root, pieces.size)
    is_high = (pieces.height - 1) % CLASS_STEP + 1 >= LEAST_PEAK * HEIGHTS
    kept = np.flatnonzero((size >= separation.min_pixels(rule)) & is_high & (root[np.arange(len(top))] >= 0))
    rank = np.zeros(len(top), np.uint32)
    rank[kept[np.argsort(first[kept])]] = np.arange(1, len(kept) + 1, dtype=np.uint32)
    numbers[1:] = rank[root]
    return numbers


def _merge(pieces: _Pieces, passes: Numbers, depth: float) -> Numbers:
    """Return for each basin, known by the piece of its peak, the basin of the object that it belongs to.

    Passes are taken from the highest to the lowest. Those of a spanning tree suffice: a pass that closes a circle of
    higher ones finds two basins that have met there already, and stayed apart for the same reason.
    """
    count, least = len(pieces.peak), depth * (HEIGHTS - 1)
    weight = LARGEST_WEIGHT - passes[:, 2]
    graph = sparse.coo_array((weight, (passes[:, 0], passes[:, 1])), shape=(count, count))
    tree = sparse.csgraph.minimum_spanning_tree(graph.tocsr()).tocoo()
    order = np.argsort(tree.data, kind="stable")
    parent = list(range(count))
    height, peak = pieces.height.tolist(), pieces.peak.tolist()

    def find(piece: int) -> int:
        while parent[piece] != piece:
            parent[piece] = parent[parent[piece]]
            piece = parent[piece]
        return piece

    edges = zip(tree.row[order].tolist(), tree.col[order].tolist(), tree.data[order].tolist(), strict=True)
    for a, b, w in edges:
        low, high = sorted((find(a), find(b)), key=lambda piece: (height[piece], peak[piece]))
        between = LARGEST_WEIGHT - int(w)
        if height[low] - between < least or height[low] == height[high] == between:
            parent[low] = high
    merged: Numbers = np.array([find(piece) for piece in range(count)])
    return merged
