"""Labels the objects of images larger than memory, block by block."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from scipy import ndimage, sparse

from napari_fcn.errors import ImageError
from napari_fcn.geometry import Region, TilePlan
from napari_fcn.geometry.axes import SPACE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt

    Labels = npt.NDArray[Any]

RIM_NAMES = frozenset({"rim", "border", "boundary", "outline", "contour", "edge"})
WALL_NAMES = frozenset({"membrane", "membranes", "wall", "walls", "cell wall", "cell walls"})
GROWTH = 3  # pixels by which an object grows into the rim around it
BLOCK_SHAPES = {1: (2**20,), 2: (2048, 2048), 3: (64, 512, 512)}  # pixels along the connected axes
MAX_OBJECTS = 2**32 - 1  # of uint32


@dataclass(frozen=True, slots=True)
class ObjectRule:
    """Which pixels form an object.

    Attributes
    ----------
    inside : tuple of int
        Classes whose connected pixels (of one class, sharing a face) are an object.
    rim : tuple of int
        Classes between objects that belong to them: each object grows into them by at most `GROWTH` pixels.
    axes : tuple of int
        Image axes along which pixels are connected; along others, such as time, each index has its own objects.
    """

    inside: tuple[int, ...]
    rim: tuple[int, ...]
    axes: tuple[int, ...]

    @classmethod
    def from_class_names(cls, names: Sequence[str], axes: Sequence[str], space: Sequence[str]) -> ObjectRule:
        """Return the rule for a model, from the names of its classes.

        Parameters
        ----------
        names : sequence of str
            The classes, background first. A class named rim, border, boundary, outline, contour or edge belongs to the
            objects that it separates. If all others are membranes or walls, objects are regions of background.
        axes : sequence of str
            The axes of the image, without channels.
        space : sequence of str
            The axes that the network convolves.
        """
        lower = [name.strip().lower() for name in names]
        rim = tuple(i for i, name in enumerate(lower) if i and name in RIM_NAMES)
        inside = tuple(i for i in range(1, len(lower)) if i not in rim)
        if inside and all(lower[i] in WALL_NAMES for i in inside):
            inside = (0,)
        elif not inside:
            inside, rim = rim, ()
        connected = [i for i, name in enumerate(axes) if name in SPACE or (name in space and name != "t")]
        return cls(inside, rim, tuple(connected))


class BlockReader(Protocol):
    """Reads classes of pixels by region."""

    def read(self, region: Region) -> Labels | None:
        """Return ``region.shape``."""


class BlockStore(BlockReader, Protocol):
    """Stores numbers of objects by region."""

    def write(self, region: Region, block: Labels) -> None:
        """Store ``region.shape`` uint32."""


@dataclass(frozen=True, slots=True)
class _Pieces:
    """The pieces of objects in all blocks; piece ``i`` has number ``i + 1``."""

    first_pixel: Labels  # (n,): index of the first pixel of each piece in the ravelled image
    touching: Labels  # (n, 2): numbers of pieces that touch


def find_objects(
    classes: BlockReader, scratch: BlockStore, objects: BlockStore, shape: Sequence[int], rule: ObjectRule
) -> Iterator[int]:
    """Assign numbers to the objects in the order of their first pixels, block by block.

    The result equals the labelling of the whole image. Pieces within blocks are numbered in ``scratch``, joined where
    they touch across faces (Rosenfeld & Pfaltz 1966), and then written to ``objects``.

    Parameters
    ----------
    classes : BlockReader
        Class of each pixel.
    scratch, objects : BlockStore
        uint32 arrays of the image's shape: one for intermediate results, one for the objects.
    shape : sequence of int
        Shape of the image without channels.
    rule : ObjectRule
        Which pixels form an object.

    Yields
    ------
    int
        The total number of steps, after each step.

    Raises
    ------
    ImageError
        If there are more objects than uint32 can number.
    """
    blocks = [tile.core for tile in _plan(shape, rule)]
    firsts, pairs, count = [], [], 0
    for block in blocks:
        first, touching = _number_pieces(classes, scratch, block, (tuple(shape), rule, count))
        firsts.append(first)
        pairs.append(touching)
        count += len(first)
        yield 2 * len(blocks)
    numbers = _join(_Pieces(np.concatenate(firsts), np.concatenate(pairs)))
    reach = [GROWTH if rule.rim and axis in rule.axes else 0 for axis in range(len(shape))]
    for block in blocks:
        wide = block.grow(reach).clip(shape)
        grown = _grow(numbers[_read(scratch, wide)], np.isin(_read(classes, wide), rule.rim), rule)
        objects.write(block, grown[block.relative_to(wide).slices])
        yield 2 * len(blocks)


def _plan(shape: Sequence[int], rule: ObjectRule) -> TilePlan:
    lengths = dict(zip(rule.axes[-3:], BLOCK_SHAPES[min(len(rule.axes), 3)], strict=True))
    tile = tuple(min(n, lengths.get(axis, 1)) for axis, n in enumerate(shape))
    return TilePlan(tuple(shape), tile, ((0, 0),) * len(tile), (1,) * len(tile))


def _read(store: BlockReader, region: Region) -> Labels:
    block = store.read(region)
    if block is None:
        raise ImageError("Intermediate results cannot be read back: the disk may be damaged. Use another one.")
    return block


def _number_pieces(
    classes: BlockReader, scratch: BlockStore, block: Region, context: tuple[tuple[int, ...], ObjectRule, int]
) -> tuple[Labels, Labels]:
    """Assign numbers to the pieces of a block; return their first pixels, and pairs that touch earlier blocks."""
    shape, rule, count = context
    block_classes = _read(classes, block)
    cross = np.zeros((3,) * len(shape), bool)
    cross[(1,) * len(shape)] = True
    for axis in rule.axes:
        cross[tuple(slice(None) if i == axis else 1 for i in range(len(shape)))] = True
    pieces, total = np.zeros(block.shape, np.int64), 0
    for value in rule.inside:
        components, n_components = ndimage.label(block_classes == value, cross)
        pieces += np.where(components, components + total, 0)
        total += n_components
    flat = pieces.ravel()
    order = np.flatnonzero(flat)[::-1]  # reversed, so that the first pixel of a piece is assigned last
    first = np.zeros(total, np.int64)
    positions = np.unravel_index(order, block.shape)
    first[flat[order] - 1] = np.ravel_multi_index([p + a for p, a in zip(positions, block.start, strict=True)], shape)
    if count + total > MAX_OBJECTS:
        raise ImageError(f"There are more than {MAX_OBJECTS} objects, too many to number. Segment parts of the image.")
    numbers = np.where(pieces, pieces + count, 0).astype(np.uint32)
    scratch.write(block, numbers)
    inner = [axis for axis in rule.axes if block.start[axis]]
    pairs = [_touching_pieces(classes, scratch, block, (axis, block_classes, numbers)) for axis in inner]
    return first, np.concatenate([np.zeros((0, 2), np.uint32), *pairs])


def _touching_pieces(
    classes: BlockReader, scratch: BlockStore, block: Region, face: tuple[int, Labels, Labels]
) -> Labels:
    """Return the pairs of pieces that touch across the start of a block along an axis."""
    axis, block_classes, numbers = face
    start = tuple(a - (i == axis) for i, a in enumerate(block.start))
    stop = tuple(block.start[i] if i == axis else b for i, b in enumerate(block.stop))
    neighbour = Region(start, stop)
    first_plane = tuple(slice(0, 1) if i == axis else slice(None) for i in range(block.ndim))
    numbers_before, numbers_here = _read(scratch, neighbour), numbers[first_plane]
    is_touching = (numbers_before > 0) & (numbers_here > 0) & (_read(classes, neighbour) == block_classes[first_plane])
    return np.unique(np.stack([numbers_before[is_touching], numbers_here[is_touching]], axis=1), axis=0)


def _join(pieces: _Pieces) -> Labels:
    """Return the object number of each piece (0 stays 0), ordered by the first pixels of the joined pieces."""
    n = len(pieces.first_pixel)
    numbers = np.zeros(n + 1, np.uint32)
    if not n:
        return numbers
    left, right = pieces.touching.astype(np.int64).T - 1
    links = sparse.coo_array((np.ones(len(left), bool), (left, right)), shape=(n, n))
    count, member = sparse.csgraph.connected_components(links, directed=False)
    first = np.full(count, np.iinfo(np.int64).max)
    np.minimum.at(first, member, pieces.first_pixel)
    rank = np.empty(count, np.uint32)
    rank[np.argsort(first)] = np.arange(1, count + 1, dtype=np.uint32)
    numbers[1:] = rank[member]
    return numbers


def _grow(labels: Labels, rim: Labels, rule: ObjectRule) -> Labels:
    """Return objects grown into the rim pixel by pixel; where two meet, the lower number is used."""
    if not rule.rim:
        return labels
    for _ in range(GROWTH):
        is_free = rim & (labels == 0)
        if not is_free.any():
            break
        lowest = np.full_like(labels, MAX_OBJECTS)
        neighbours = np.where(labels > 0, labels, np.uint32(MAX_OBJECTS))
        for axis in rule.axes:
            target, source = np.moveaxis(lowest, axis, 0), np.moveaxis(neighbours, axis, 0)
            np.minimum(target[1:], source[:-1], out=target[1:])
            np.minimum(target[:-1], source[1:], out=target[:-1])
        labels = np.where(is_free & (lowest < MAX_OBJECTS), lowest, labels)
    return labels
