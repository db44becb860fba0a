"""A label array of any size that allocates memory only where something is painted."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Self

import numpy as np

from napari_fcn.geometry import Region

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import numpy.typing as npt

BLOCK_SIDE = 256  # of a block along the last two axes, in pixels; along all others it is 1


class SparseLabels:
    """A uint8 array of zeros whose blocks are allocated when they are first written.

    It is indexed by slices, like a numpy array; reading returns a copy.

    Parameters
    ----------
    shape : sequence of int
        Length of each axis.

    Attributes
    ----------
    block_shape : tuple of int
        Length of a block along each axis.
    """

    def __init__(self, shape: Sequence[int]) -> None:
        self.shape = tuple(int(n) for n in shape)
        self.block_shape = (*[1] * len(self.shape), BLOCK_SIDE, BLOCK_SIDE)[-len(self.shape) :]
        self._blocks: dict[tuple[int, ...], npt.NDArray[np.uint8]] = {}

    @classmethod
    def from_blocks(cls, shape: Sequence[int], blocks: Iterable[tuple[Region, npt.NDArray[np.uint8]]]) -> Self:
        """Return the labels after writing blocks to their regions, in order."""
        labels = cls(shape)
        for region, block in blocks:
            labels[region.slices] = block
        return labels

    @property
    def regions(self) -> tuple[Region, ...]:
        """The allocated blocks, in the order of the image; all others are 0."""
        return tuple(self._block_region(key).clip(self.shape) for key in sorted(self._blocks))

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> npt.NDArray[np.uint8]:
        """Return the whole array; for small images only."""
        return self[Region.whole(self.shape).slices].astype(dtype or np.uint8, copy=False)

    def __getitem__(self, box: tuple[slice, ...]) -> npt.NDArray[np.uint8]:
        region = Region.of(box)
        values = np.zeros(region.shape, np.uint8)
        for key, block_region in self._blocks_in(region):
            if key in self._blocks:
                part = block_region.intersection(region)
                values[part.relative_to(region).slices] = self._blocks[key][part.relative_to(block_region).slices]
        return values

    def __setitem__(self, box: tuple[slice, ...], values: npt.ArrayLike) -> None:
        region = Region.of(box)
        values = np.broadcast_to(np.asarray(values, np.uint8), region.shape)
        for key, block_region in self._blocks_in(region):
            part = block_region.intersection(region)
            inside = values[part.relative_to(region).slices]
            block = self._blocks.get(key)
            if block is None:
                if not inside.any():
                    continue
                block = self._blocks[key] = np.zeros(self.block_shape, np.uint8)
            block[part.relative_to(block_region).slices] = inside

    def _blocks_in(self, region: Region) -> Iterator[tuple[tuple[int, ...], Region]]:
        """Yield index and region of each block that overlaps a region."""
        if region.is_empty:
            return
        spans = zip(region.start, region.stop, self.block_shape, strict=True)
        for key in product(*(range(a // n, (b - 1) // n + 1) for a, b, n in spans)):
            yield key, self._block_region(key)

    def _block_region(self, key: tuple[int, ...]) -> Region:
        start = tuple(k * n for k, n in zip(key, self.block_shape, strict=True))
        return Region(start, tuple(a + n for a, n in zip(start, self.block_shape, strict=True)))
