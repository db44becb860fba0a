"""Results larger than memory: stored on disk, and read as they are displayed."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_fcn.gui._layers.colorize import ColourTile, colorize, most_probable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    import numpy.typing as npt

    from napari_fcn.events import TileDone
    from napari_fcn.geometry import Region
    from napari_fcn.inference.background_writer import BackgroundWriter
    from napari_fcn.io import ResultMeta
    from napari_fcn.io.incremental_zarr import IncrementalZarr


class LazyResult:
    """One level of a result on disk, as an array that napari slices.

    Parameters
    ----------
    array : zarr.Array
        The level.
    sources : sequence of (int or None)
        Axis of the array for each axis of the layer; None for an axis of length 1 that the array lacks.
    convert : callable, optional
        Returns colours ``(*space, 4)`` uint8 for probabilities ``(C, *space)``; None for an array without channels.
    channel : int, optional
        Axis of the array with the probabilities of the classes.
    """

    def __init__(
        self,
        array: Any,
        sources: Sequence[int | None],
        convert: Callable[[npt.NDArray[Any]], npt.NDArray[np.uint8]] | None = None,
        channel: int | None = None,
    ) -> None:
        self._array, self._sources, self._convert, self._channel = array, tuple(sources), convert, channel
        self.dtype = np.dtype(array.dtype if convert is None else np.uint8)
        self._box = tuple(range(1 if axis is None else array.shape[axis]) for axis in self._sources)

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each axis, colours included."""
        lengths = tuple(map(len, self._box))
        return lengths if self._convert is None else (*lengths, 4)

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of values."""
        return int(np.prod(self.shape))

    def __len__(self) -> int:
        return self.shape[0]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        """Return all values; napari requests them for the visible part and the coarsest level."""
        return self._read(self._box, slice(None)).astype(dtype or self.dtype, copy=False)

    def __getitem__(self, index: Any) -> Any:
        """Return a part: its values if the index contains numbers, else a lazy part.

        For a stack, napari first slices the visible part of all planes, and then the displayed plane.
        """
        full = _full_index(index, self.ndim)
        axes, colour = (full, slice(None)) if self._convert is None else (full[:-1], full[-1])
        spans = [_axis_span(entry, box) for entry, box in zip(axes, self._box, strict=True)]
        if colour == slice(None) and all(isinstance(span, range) for span in spans):
            part = copy(self)
            part._box = tuple(span for span in spans if isinstance(span, range))
            return part
        return self._read(spans, colour)

    def _read(self, spans: Sequence[range | int], colour: Any) -> npt.NDArray[Any]:
        """Return the values of a box."""
        slices: list[Any] = [slice(None)] * self._array.ndim
        for source, span in zip(self._sources, spans, strict=True):
            if source is not None:
                slices[source] = slice(span, span + 1) if isinstance(span, int) else slice(span.start, span.stop)
        block = self._reorder(np.asarray(self._array[tuple(slices)]))
        if self._convert is not None:
            block = self._convert(block)
        steps = tuple(0 if isinstance(span, int) else slice(None, None, span.step) for span in spans)
        values: npt.NDArray[Any] = block[steps if self._convert is None else (*steps, colour)]
        return values

    def _reorder(self, block: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return a block with the channel axis first, if it has one, then the axes of the layer."""
        first = [] if self._channel is None else [self._channel]
        used = [source for source in self._sources if source is not None]
        unused = tuple(
            axis for axis in range(block.ndim) if axis not in (*first, *used)
        )  # length 1, in the format only
        order = [*first, *used, *unused]
        reordered = block.transpose(order)
        reordered = reordered.reshape(reordered.shape[: len(order) - len(unused)])
        missing = [axis + len(first) for axis, source in enumerate(self._sources) if source is None]
        for axis in missing:
            reordered = np.expand_dims(reordered, axis)
        return reordered


@dataclass(slots=True, eq=False)
class StoredCanvas:
    """The result of a run as OME-Zarr on disk.

    Attributes
    ----------
    window : Region
        The part of the image in the result.
    paths : mapping of str to Path
        Folders of the probabilities and of the classes.
    """

    window: Region
    paths: Mapping[str, Path]
    _meta: ResultMeta | None = None
    _files: dict[str, IncrementalZarr] | None = None
    _writer: BackgroundWriter | None = None

    def prepare(self, tile: Sequence[int], meta: Callable[[], ResultMeta]) -> None:
        """Create the files, for tiles of this size; for the worker thread, like `process_tile`.

        Parameters
        ----------
        tile : sequence of int
            Length of a tile along each axis.
        meta : callable
            Returns the metadata of the files.

        Raises
        ------
        OutputError
            If they cannot be written.
        """
        from napari_fcn.inference.background_writer import BackgroundWriter
        from napari_fcn.io.incremental_zarr import IncrementalZarr

        self._meta = meta()
        count = len(self._meta.classes)
        kinds = {"probabilities": ("probabilities8", count), "classes": ("classes", 0)}
        self._files = {
            kind: IncrementalZarr(self.paths[kind], name, channels, self.window.shape, tile, self._meta)
            for kind, (name, channels) in kinds.items()
        }
        self._writer = BackgroundWriter(self._write)

    def process_tile(self, tile: TileDone, colours: Sequence[str]) -> ColourTile:
        """Return the progress and counts of a tile; its pixels are written while the next one is computed.

        Raises
        ------
        OutputError
            If the previous tile could not be written.
        """
        assert self._writer is not None
        classes = most_probable(tile.probabilities)
        self._writer.put(tile.region, tile.probabilities, classes)
        counts = np.bincount(classes.ravel(), minlength=len(colours))
        empty = np.zeros(0, np.uint8)
        return ColourTile(tile.region, empty, empty, counts, tile.done, tile.total, tile.work)

    def finish(self) -> None:
        """Mark the files as complete."""
        if self._writer is not None:
            self._writer.wait()
        for file in (self._files or {}).values():
            file.finish()

    def close(self) -> None:
        """Wait until the last tile is written."""
        if self._writer is not None:
            self._writer.close()

    def _write(self, region: Region, probabilities: npt.NDArray[np.float32], classes: npt.NDArray[np.uint8]) -> None:
        assert self._files is not None
        region = region.relative_to(self.window)
        self._files["probabilities"].put(region, np.rint(probabilities * 255).astype(np.uint8))
        self._files["classes"].put(region, classes)

    def put(self, tile: ColourTile) -> None:
        """Do nothing: the tile is stored already."""

    def layer_data(self, kind: str, channel: int | None) -> list[LazyResult] | LazyResult:
        """Return the levels that napari shows, or the only one; a channel axis that is not the first has length 1."""
        levels = self._levels(kind, channel)
        return levels if len(levels) > 1 else levels[0]

    def _levels(self, kind: str, channel: int | None) -> list[LazyResult]:
        assert self._files is not None
        assert self._meta is not None
        file = self._files[kind]
        axes: list[str | None] = [*self._meta.axes]
        if channel:
            axes.insert(channel, None)
        names = file.layout.names
        sources = [None if name is None else names.index(name) for name in axes]
        if kind == "classes":
            return [LazyResult(array, sources) for array in file.arrays]
        palette = [colour for _, colour in self._meta.classes]

        def convert(block: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
            return colorize(block * np.float32(1 / 255), palette)

        return [LazyResult(array, sources, convert, names.index("c")) for array in file.arrays]


def _full_index(index: Any, ndim: int) -> tuple[Any, ...]:
    """Return an index with one entry for each axis."""
    entries = index if isinstance(index, tuple) else (index,)
    if Ellipsis in entries:
        i = entries.index(Ellipsis)
        entries = (*entries[:i], *[slice(None)] * (ndim - len(entries) + 1), *entries[i + 1 :])
    return (*entries, *[slice(None)] * (ndim - len(entries)))


def _axis_span(entry: Any, box: range) -> range | int:
    """Return the pixels, or the one pixel, that an entry of an index selects."""
    if isinstance(entry, int | np.integer):
        if not -len(box) <= entry < len(box):
            raise IndexError(f"Index {entry} is out of range for an axis of length {len(box)}.")  # ends loops
        return box[int(entry)]
    span = box[entry]
    if span.step < 1:
        raise IndexError("Results on disk support positive steps only.")
    return span
