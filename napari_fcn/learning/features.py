"""Features of an image from a network: tiles for prediction, and a feature matrix at painted pixels."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from functools import cached_property
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from napari_fcn.geometry import Region, TilePlan
from napari_fcn.inference.device import MEMORY_FORMATS, full_float32
from napari_fcn.learning.head import gather
from napari_fcn.nets.layers import Level, enlarge

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import numpy.typing as npt
    from torch import Tensor

    from napari_fcn.geometry import ReceptiveField, Tile
    from napari_fcn.inference.source import ImageSource
    from napari_fcn.learning.annotations import Samples
    from napari_fcn.learning.head import LinearHead
    from napari_fcn.models.normalise import Scaling
    from napari_fcn.nets.hypercolumn import HypercolumnNet

    Product = Callable[[Tensor, Tensor], Tensor]

CORE_HALOS = {1: 16, 2: 4, 3: 2}  # side of a tile's core in halos
MIN_CORE = 64
MAX_SEPARATE_CLASSES = 3  # up to that number of classes, `product_by_class` takes a matrix product for each
INITIAL_CAPACITY = 4096  # rows that the feature matrix has at first


@dataclass(frozen=True, eq=False)
class FeatureExtractor:
    """Computes the features of one image tile by tile.

    The tiles do not depend on the view, so the features of a pixel do not depend on the order of computation, bit for
    bit. The replay of a session requires this.

    Attributes
    ----------
    source : ImageSource
        The image.
    scaling : Scaling
        Normalisation of its intensities.
    field : ReceptiveField
        Receptive field of the network.
    multiple : tuple of int
        Period of the pooling grid per axis in space, in pixels.
    device : torch.device
        Device on which the network runs.
    """

    source: ImageSource
    scaling: Scaling
    field: ReceptiveField
    multiple: tuple[int, ...]
    device: torch.device

    @cached_property
    def plan(self) -> TilePlan:
        """The tiles of the image."""
        axes, ndim = self.source.axes, len(self.multiple)
        halo, multiple = axes.spread(self.field.halo, (0, 0)), axes.spread(self.multiple, 1)
        core = []
        for (before, after), m in zip(self.field.halo, self.multiple, strict=True):
            core.append(-(-max(MIN_CORE, CORE_HALOS[ndim] * max(before, after)) // m) * m)
        return TilePlan(self.source.shape, axes.spread(core, 1), halo, multiple)

    def tiles_of(self, samples: Samples) -> npt.NDArray[np.int64]:
        """Return ``(n,)`` int64: the index of the tile that contains each sample."""
        grid = samples.coordinates() // np.asarray(self.plan.tile)
        numbers: npt.NDArray[np.int64] = np.ravel_multi_index(tuple(grid.T), self.plan.counts).astype(np.int64)
        return numbers

    def read(self, region: Region) -> Tensor:
        """Return the normalised block ``(N, C, *space)`` of a region, on the device."""
        block = self.source.axes.to_net(self.scaling.apply(self.source.read(region)))
        x = torch.from_numpy(np.ascontiguousarray(block)).to(self.device)
        return x.contiguous(memory_format=MEMORY_FORMATS[x.ndim - 2]) if x.ndim - 2 in MEMORY_FORMATS else x

    def sample_positions(self, samples: Samples, region: Region) -> Tensor:
        """Return the positions ``(n, 1 + ndim)`` of samples in a block of this region, for `gather`."""
        return self.pixel_positions(samples.coordinates(), region)

    def pixel_positions(self, coordinates: npt.NDArray[np.int64], region: Region) -> Tensor:
        """Return the positions ``(n, 1 + ndim)`` of pixels ``(n, axes)`` of the image in a block of this region."""
        axes = self.source.axes
        relative = coordinates - np.asarray(region.start)
        planes = np.zeros(len(relative), np.int64)
        for axis in (axes.image.index(name) for name in axes.loop):
            planes = planes * region.shape[axis] + relative[:, axis]
        return torch.from_numpy(np.column_stack([planes, relative[:, list(axes.space_positions)]])).to(self.device)

    def compute_tile(self, net: HypercolumnNet, tile: Tile) -> FeatureTile:
        """Return the features of a tile, cropped to its core plus one period of the grid."""
        with torch.inference_mode(), full_float32(self.device):
            levels = net.levels(net.fill(self.read(tile.read)))
        period = self.source.axes.spread(self.multiple, 1)
        stored = tile.core.grow(period).intersection(tile.read)
        cropped = [(level.factor, self._crop_level(level, tile.read, stored)) for level in levels]
        by_factor: dict[tuple[int, ...], list[Tensor]] = {}
        for factor, features in cropped:
            by_factor.setdefault(factor, []).append(features)
        grids = {factor: torch.cat(parts, dim=-1) for factor, parts in by_factor.items()}
        widths = tuple((factor, features.shape[-1]) for factor, features in cropped)
        return FeatureTile(tile.core, stored, grids, widths)

    def _crop_level(self, level: Level, read: Region, stored: Region) -> Tensor:
        """Return the part ``(N, *space, C)`` of a level computed on ``read`` that covers the region ``stored``."""
        index: list[Any] = []
        for position, factor, length in zip(
            self.source.axes.space_positions, level.factor, level.features.shape[2:], strict=True
        ):
            start = (stored.start[position] - read.start[position]) // factor
            at_end = stored.stop[position] == read.stop[position]  # then with the padding up to the grid
            index.append(slice(start, length if at_end else (stored.stop[position] - read.start[position]) // factor))
        return level.features[(..., *index)].movedim(1, -1)

    def logits(
        self, head: LinearHead, tile: FeatureTile, region: Region | None = None, product: Product | None = None
    ) -> Tensor:
        """Return the logits ``(N, K, *space)`` of a head in a region of a tile's core, by default in all of it.

        The last bits depend on the product, by default `product_at_once`.
        """
        region = tile.core if region is None else region
        around = self.snap_to_grid(region).grow(self.source.axes.spread(self.multiple, 1)).intersection(tile.stored)
        slices = [around.relative_to(tile.stored).slices[p] for p in self.source.axes.space_positions]
        at_end = [around.stop[p] == tile.stored.stop[p] for p in self.source.axes.space_positions]
        planes = self._crop_planes(around, tile.stored)
        with torch.inference_mode(), full_float32(self.device):
            logits = tile.logits(head, planes, slices, at_end, product or product_at_once)
        inner = region.relative_to(around)
        index: list[Any] = [inner.slices[position] for position in self.source.axes.space_positions]
        return logits[(..., *index)]

    def crop(self, values: Tensor, tile: FeatureTile, region: Region) -> Tensor:
        """Return the part of values ``(N, K, *space)`` of a tile's core that covers a region of it."""
        inner = region.relative_to(tile.core)
        index: list[Any] = [inner.slices[position] for position in self.source.axes.space_positions]
        planes = self._crop_planes(region, tile.core)
        return values[planes][(..., *index)]

    def snap_to_grid(self, region: Region) -> Region:
        """Return a region enlarged to the grid and clipped at the image."""
        multiple = self.source.axes.spread(self.multiple, 1)
        start = tuple(a // m * m for a, m in zip(region.start, multiple, strict=True))
        stop = tuple(-(-b // m) * m for b, m in zip(region.stop, multiple, strict=True))
        return Region(start, stop).clip(self.source.shape)

    def _crop_planes(self, part: Region, whole: Region) -> slice | Tensor:
        """Return the indices along N, the loop axes of a block, of a part of it."""
        axes = self.source.axes
        loop = [axes.image.index(name) for name in axes.loop]
        if all(part.shape[a] == whole.shape[a] for a in loop):
            return slice(None)
        numbers = np.arange(prod(whole.shape[a] for a in loop)).reshape([whole.shape[a] for a in loop])
        inside = part.relative_to(whole)
        return torch.from_numpy(numbers[tuple(inside.slices[a] for a in loop)].ravel()).to(self.device)

    def probabilities(self, logits: Tensor, region: Region) -> npt.NDArray[np.float32]:
        """Return the class probabilities ``(K, *region.shape)`` of a region.

        Parameters
        ----------
        logits : Tensor
            ``(N, K - 1, *space)``: those of all classes but the first, relative to the first.
        region : Region
            The region on the image axes.
        """
        logits = logits.float()
        values = torch.cat([torch.zeros_like(logits[:, :1]), logits], dim=1).softmax(1).cpu().numpy()
        return np.ascontiguousarray(self.source.axes.from_net(values, region.shape))


@dataclass(frozen=True, slots=True, eq=False)
class FeatureTile:
    """Features of one tile.

    Attributes
    ----------
    core : Region
        The region in which they are exact, on the image axes.
    stored : Region
        The region that they cover: the core plus one period of the grid.
    grids : mapping of tuple to Tensor
        For each factor ``(N, *space, C)``, the concatenated features of all levels on that grid.
    widths : tuple of (tuple, int)
        Factor and number of features of each level.
    """

    core: Region
    stored: Region
    grids: Mapping[tuple[int, ...], Tensor]
    widths: tuple[tuple[tuple[int, ...], int], ...]

    @property
    def levels(self) -> list[Level]:
        """The features of each level, ``(N, C, *space)``; views."""
        return [Level(f, self.grids[f][..., part].movedim(-1, 1)) for f, part in self._parts()]

    def logits(
        self,
        head: LinearHead,
        planes: slice | Tensor,
        part: Sequence[slice],
        at_end: Sequence[bool],
        product: Product,
    ) -> Tensor:
        """Return the class logits ``(N, K, *space)`` of a head, by one matrix product per grid.

        Parameters
        ----------
        head : LinearHead
            A head for raw features.
        planes : slice or Tensor
            Indices along N.
        part : sequence of slice
            Pixels along each axis in space; starts and stops are on the grid.
        at_end : sequence of bool
            Whether the part ends with the tile along each axis; it then includes the padding up to the grid.
        product : callable
            `product_at_once` or `product_by_class`.
        """
        columns: dict[tuple[int, ...], list[Tensor]] = {}
        weights = head.weight.split([n for _, n in self.widths], dim=1)
        for (factor, _), weight in zip(self.widths, weights, strict=True):
            columns.setdefault(factor, []).append(weight)
        total: Tensor | None = None
        for factor, parts in sorted(columns.items()):
            index = [
                slice(s.start // f, None if last else s.stop // f)
                for s, f, last in zip(part, factor, at_end, strict=True)
            ]
            logits = product(self.grids[factor][planes][(slice(None), *index)], torch.cat(parts, dim=1))
            logits = enlarge(logits, factor) if max(factor) > 1 else logits + head.bias.reshape(-1, *[1] * len(factor))
            total = logits if total is None else total + logits
        assert total is not None
        return total

    def _parts(self) -> Iterator[tuple[tuple[int, ...], slice]]:
        start: dict[tuple[int, ...], int] = {}
        for factor, width in self.widths:
            first = start.get(factor, 0)
            start[factor] = first + width
            yield factor, slice(first, first + width)

    @property
    def nbytes(self) -> int:
        """Size in memory, in bytes."""
        return sum(grid.numel() * grid.element_size() for grid in self.grids.values())


@dataclass(slots=True, eq=False)
class FeatureCache:
    """Features of one trunk: tiles within a memory budget, and a matrix of all samples requested so far.

    Attributes
    ----------
    extractor : FeatureExtractor
        Computes the features.
    net : HypercolumnNet
        The network. Its head may change, its trunk may not.
    budget : int
        Memory for tiles, in bytes.
    focus : tuple of int
        The pixel where the user works: the farthest tile is evicted first; if empty, the least recently used one. The
        tile used last is never evicted.
    """

    extractor: FeatureExtractor
    net: HypercolumnNet
    budget: int
    focus: tuple[int, ...] = ()
    tiles: OrderedDict[Region, FeatureTile] = field(default_factory=OrderedDict)
    # The stored samples in ascending order, and the row of each in `stored_features`.
    pixel_index: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    rows: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    stored_features: Tensor = field(default_factory=lambda: torch.zeros(0, 0))

    def tile(self, tile: Tile) -> FeatureTile:
        """Return the features of a tile, from the cache if possible."""
        features = self.tiles.pop(tile.core, None)
        is_new = features is None
        features = self.tiles[tile.core] = self.extractor.compute_tile(self.net, tile) if features is None else features
        while is_new and len(self.tiles) > 1 and sum(w.nbytes for w in self.tiles.values()) > self.budget:
            del self.tiles[self._next_evicted()]
        return features

    def _next_evicted(self) -> Region:
        if not self.focus:
            return next(iter(self.tiles))
        return max(self.tiles, key=lambda core: core.distance(self.focus))

    @property
    def has_room(self) -> bool:
        """Whether one more tile fits into the budget."""
        sizes = [tile.nbytes for tile in self.tiles.values()]
        return sum(sizes) + max(sizes, default=0) <= self.budget

    def tiles_in(self, region: Region) -> Iterator[FeatureTile]:
        """Yield the features of the tiles that touch a region."""
        for tile in self.extractor.plan.touching(region):
            yield self.tile(tile)

    def matrix(self, samples: Samples) -> Tensor:
        """Return the features ``(n, F)`` of samples; only the features of new samples are computed."""
        is_new = ~np.isin(samples.pixel_index, self.pixel_index, assume_unique=True)
        if is_new.any():
            self._compute(samples.select(is_new))
        rows = self.rows[np.searchsorted(self.pixel_index, samples.pixel_index)]
        return self.stored_features[torch.from_numpy(rows).to(self.stored_features.device)]

    def _compute(self, samples: Samples) -> None:
        plan = self.extractor.plan
        numbers = self.extractor.tiles_of(samples)
        for number in np.unique(numbers):
            part = samples.select(numbers == number)
            features = self.tile(plan.at(np.unravel_index(number, plan.counts)))
            self._store(
                gather(features.levels, self.extractor.sample_positions(part, features.stored)), part.pixel_index
            )

    def _store(self, features: Tensor, pixel_index: npt.NDArray[np.int64]) -> None:
        """Append rows to the matrix, which is reallocated at twice the size when it is full."""
        count = len(self.pixel_index)
        if count + len(features) > len(self.stored_features):
            enlarged = features.new_empty(max(INITIAL_CAPACITY, 2 * (count + len(features))), features.shape[1])
            if count:
                enlarged[:count] = self.stored_features[:count]
            self.stored_features = enlarged
        self.stored_features[count : count + len(features)] = features
        all_indices = np.concatenate([self.pixel_index, pixel_index])
        order = np.argsort(all_indices, kind="stable")
        rows = np.concatenate([self.rows, np.arange(count, count + len(features))])
        self.pixel_index, self.rows = all_indices[order], rows[order]


def product_at_once(features: Tensor, weight: Tensor) -> Tensor:
    """Return ``(N, K, *space)``, contiguous, for features ``(N, *space, C)`` and weights ``(K, C)``.

    The features are read once and not copied. Few classes are enlarged four times as fast if they are contiguous.
    """
    return (features @ weight.T).movedim(-1, 1).contiguous()


def product_by_class(features: Tensor, weight: Tensor) -> Tensor:
    """Return the same as `product_at_once`, with other last bits and more slowly.

    The choice of samples depends on these bits, and replays of existing projects must choose the same samples.
    """
    if len(weight) > MAX_SEPARATE_CLASSES:
        return (features @ weight.T).movedim(-1, 1)
    flat = features.flatten(0, -2)
    logits = torch.stack([flat.mv(row) for row in weight])
    result: Tensor = logits.reshape(len(weight), *features.shape[:-1]).movedim(0, 1)
    return result
