"""OME-Zarr that can be displayed while it is written: all levels are updated with each tile."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np
import zarr
from zarr.codecs import ZstdCodec

from napari_fcn.errors import OutputError
from napari_fcn.geometry import Region
from napari_fcn.geometry.axes import SPACE
from napari_fcn.io import disk, layout
from napari_fcn.io.result_meta import Result
from napari_fcn.io.zarr_writer import downsample_mean, group_attributes, plan_pyramid, pyramid_spacing

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy.typing as npt

    from napari_fcn.io.result_meta import ResultMeta

COMPLETE_KEY = "is_complete"  # in the record of the result
MIN_CHUNK_SIDE = 64  # pixels of a level that a tile must cover to be a chunk
COARSE_CHUNK_SIDE = 256  # pixels; side of a chunk on coarser levels


class IncrementalZarr:
    """A result that has its final name from the start, and can be read at any time.

    A chunk is as large as a tile on its level, so that storing a tile writes each chunk once. A mean over pixels of two
    tiles is computed again with the second one. Another thread may read at the same time: chunks appear as a whole.

    Parameters
    ----------
    path : Path
        The folder, which must not exist.
    kind : str
        ``"classes"`` or ``"probabilities8"``.
    channels : int
        Number of classes of probabilities; 0 for classes.
    shape : tuple of int
        Shape of the image without channels.
    tile : tuple of int
        Length of a tile along each of these axes.
    meta : ResultMeta
        Axes, spacing, classes, provenance.

    Attributes
    ----------
    layout : Layout
        Order of the axes in the file.
    arrays : list of zarr.Array
        The levels, finest first.

    Raises
    ------
    OutputError
        If the folder cannot be written, or OME-Zarr cannot hold these axes.
    """

    def __init__(
        self, path: Path, kind: str, channels: int, shape: Sequence[int], tile: Sequence[int], meta: ResultMeta
    ) -> None:
        axes = (*(["c"] if channels else []), *meta.axes)
        whole = (*([channels] if channels else []), *shape)
        self.layout = layout.ome_zarr_layout(axes, whole)
        self._has_channels, self._path = bool(channels), path
        result = Result(kind, self.layout, np.dtype(np.uint8), meta)
        self._nbytes = result.nbytes
        self._levels = plan_pyramid(self.layout.names, self.layout.shape, pyramid_spacing(result))
        along = (*([channels] if channels else []), *tile)
        tiles = [1 if place is None else along[place] for place in self.layout.source]
        if os.path.lexists(path):
            raise OutputError(f"{path} exists.", "Choose another folder, or remove it.")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            attributes = group_attributes(path, result, self._levels)
            self._record = {**attributes["napari_fcn"], COMPLETE_KEY: False}
            attributes["napari_fcn"] = self._record
            self._group = group = zarr.create_group(str(path), zarr_format=3, attributes=attributes)
            self.arrays: list[Any] = [
                group.create_array(
                    str(index),
                    shape=level.shape,
                    dtype=np.uint8,
                    chunks=_chunk_shape(self.layout.names, level.shape, level.factors, tiles),
                    compressors=ZstdCodec(level=1, checksum=True),
                    dimension_names=self.layout.names,
                )
                for index, level in enumerate(self._levels)
            ]
        except OSError as error:
            raise disk.write_error(path, self._nbytes, error) from error

    def put(self, region: Region, block: npt.NDArray[np.uint8]) -> None:
        """Store ``(C, *region.shape)`` or ``region.shape`` at a region of the image, on all levels.

        Raises
        ------
        OutputError
            If the disk is full or gone.
        """
        channels = (slice(0, len(block)),) if self._has_channels else ()
        where = self.layout.file_index((*channels, *region.slices))
        try:
            self._write_levels(where, self.layout.to_file_axes(block))
        except OSError as error:
            raise disk.write_error(self._path, self._nbytes, error) from error

    def finish(self) -> None:
        """Record that every pixel was written."""
        self._group.attrs["napari_fcn"] = {**self._record, COMPLETE_KEY: True}

    def _write_levels(self, where: tuple[slice, ...], block: npt.NDArray[Any]) -> None:
        self.arrays[0][where] = block
        held = Region(tuple(s.start for s in where), tuple(s.stop for s in where))
        for index in range(1, len(self.arrays)):
            finer, coarser = self._levels[index - 1], self._levels[index]
            steps = tuple(b // a for a, b in zip(finer.factors, coarser.factors, strict=True))
            held, block = self._downsample(index, held, block, steps)
            if held.is_empty:
                return
            self.arrays[index][held.slices] = block

    def _downsample(
        self, index: int, region: Region, block: npt.NDArray[Any], steps: tuple[int, ...]
    ) -> tuple[Region, npt.NDArray[Any]]:
        """Return the region of a level that depends on a block of the finer one, and its pixels."""
        if not self._has_channels:  # class indices are sampled: they have no mean
            start = tuple(-(-a // n) for a, n in zip(region.start, steps, strict=True))
            stop = tuple(-(-b // n) for b, n in zip(region.stop, steps, strict=True))
            first = [a * n - b for a, n, b in zip(start, steps, region.start, strict=True)]
            return Region(start, stop), block[tuple(slice(a, None, n) for a, n in zip(first, steps, strict=True))]
        start = tuple(a // n for a, n in zip(region.start, steps, strict=True))
        stop = tuple(-(-b // n) for b, n in zip(region.stop, steps, strict=True))
        shape = self._levels[index - 1].shape
        around = Region(
            tuple(a * n for a, n in zip(start, steps, strict=True)),
            tuple(min(b * n, length) for b, n, length in zip(stop, steps, shape, strict=True)),
        )
        if around != region:
            block = np.asarray(self.arrays[index - 1][around.slices])
        return Region(start, stop), downsample_mean(block, steps)


def _chunk_shape(
    names: Sequence[str], shape: Sequence[int], factors: Sequence[int], tiles: Sequence[int]
) -> tuple[int, ...]:
    """Return the chunk shape of a level: the tile on that level if it is large enough; all channels together."""
    chunks = []
    for name, length, factor, tile in zip(names, shape, factors, tiles, strict=True):
        side, remainder = divmod(tile, factor)
        fits = factor == 1 or (not remainder and side >= MIN_CHUNK_SIDE)
        chunks.append(min(length, side if fits or name not in SPACE else COARSE_CHUNK_SIDE))
    return tuple(chunks)
