"""Results that are larger than memory: stored on the disk, and read as they are displayed."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_fcn.geometry import Region
from napari_fcn.gui._layers.colorize import ColourTile, colorize, most_probable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    import numpy.typing as npt

    from napari_fcn.events import TileDone
    from napari_fcn.inference.background_writer import BackgroundWriter
    from napari_fcn.io import ResultMeta
    from napari_fcn.io.incremental_zarr import IncrementalZarr


class LazyResult:
    """One level of a result on the disk, as the array that napari slices.

    Parameters
    ----------
    array : zarr.Array
        The level.
    sources : sequence of (int or None)
        For each axis of the layer, which axis of the array it is; None for one of length 1 that the array lacks.
    form : callable, optional
        Makes colours ``(*space, 4)`` uint8 of probabilities ``(C, *space)``; None for an array that has no channels.
    channel : int, optional
        Which axis of the array holds the probabilities of the classes.
    """

    def __init__(
        self,
        array: Any,
        sources: Sequence[int | None],
        form: Callable[[npt.NDArray[Any]], npt.NDArray[np.uint8]] | None = None,
        channel: int | None = None,
    ) -> None:
        self._array, self._sources, self._convert, self._channel = array, tuple(sources), form, channel
        self.dtype = np.dtype(array.dtype if form is None else np.uint8)
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
        """Return all of it; napari asks for that of what is on screen, and of the coarsest level."""
        return self._read(self._box, slice(None)).astype(dtype or self.dtype, copy=False)

    def __getitem__(self, index: Any) -> Any:
        """Return a part: where numbers take axes away its values, else the part unread.

        Of a stack napari asks for what is on screen in all of its planes, and only of that for the plane that it shows.
        """
        asked = _full_index(index, self.ndim)
        axes, colour = (asked, slice(None)) if self._convert is None else (asked[:-1], asked[-1])
        spans = [_axis_span(one, box) for one, box in zip(axes, self._box, strict=True)]
        if colour == slice(None) and all(isinstance(span, range) for span in spans):
            part = copy(self)
            part._box = tuple(span for span in spans if isinstance(span, range))
            return part
        return self._read(spans, colour)

    def _read(self, spans: Sequence[range | int], colour: Any) -> npt.NDArray[Any]:
        """Return the values of a box."""
        where: list[Any] = [slice(None)] * self._array.ndim
        for source, span in zip(self._sources, spans, strict=True):
            if source is not None:
                where[source] = slice(span, span + 1) if isinstance(span, int) else slice(span.start, span.stop)
        block = self._reorder(np.asarray(self._array[tuple(where)]))
        if self._convert is not None:
            block = self._convert(block)
        kept = tuple(0 if isinstance(span, int) else slice(None, None, span.step) for span in spans)
        found: npt.NDArray[Any] = block[kept if self._convert is None else (*kept, colour)]
        return found

    def _reorder(self, block: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return a block with its channels first, if it has any, and then the axes of the layer."""
        first = [] if self._channel is None else [self._channel]
        known = [source for source in self._sources if source is not None]
        spare = tuple(axis for axis in range(block.ndim) if axis not in (*first, *known))  # which the format asks for
        order = [*first, *known, *spare]
        turned = block.transpose(order)
        turned = turned.reshape(turned.shape[: len(order) - len(spare)])
        missing = [axis + len(first) for axis, source in enumerate(self._sources) if source is None]
        for axis in missing:
            turned = np.expand_dims(turned, axis)
        return turned


@dataclass(slots=True, eq=False)
class StoredCanvas:
    """What a run fills in, as OME-Zarr on the disk.

    Attributes
    ----------
    shape : tuple of int
        Of the image, without its channels.
    paths : mapping of str to Path
        The folder of the probabilities, and of the classes.
    """

    shape: tuple[int, ...]
    paths: Mapping[str, Path]
    _meta: ResultMeta | None = None
    _files: dict[str, IncrementalZarr] | None = None
    _writer: BackgroundWriter | None = None

    @property
    def window(self) -> Region:
        """All of the image: it is on the disk."""
        return Region.whole(self.shape)

    def prepare(self, tile: Sequence[int], meta: Callable[[], ResultMeta]) -> None:
        """Make the files, for tiles of this size; for the worker thread, like `process_tile`.

        Parameters
        ----------
        tile : sequence of int
            Length of a tile along each axis.
        meta : callable
            Returns what the files say about themselves.

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
            kind: IncrementalZarr(self.paths[kind], name, channels, self.shape, tile, self._meta)
            for kind, (name, channels) in kinds.items()
        }
        self._writer = BackgroundWriter(self._write)

    def process_tile(self, tile: TileDone, colours: Sequence[str]) -> ColourTile:
        """Return what there is to be told of a tile; it is stored while the next one is computed.

        Raises
        ------
        OutputError
            If the tile before could not be written.
        """
        assert self._writer is not None
        classes = most_probable(tile.probabilities)
        self._writer.put(tile.region, tile.probabilities, classes)
        counts = np.bincount(classes.ravel(), minlength=len(colours))
        nothing = np.zeros(0, np.uint8)
        return ColourTile(tile.region, nothing, nothing, counts, tile.done, tile.total)

    def finish(self) -> None:
        """Note in the files that they are complete."""
        if self._writer is not None:
            self._writer.wait()
        for file in (self._files or {}).values():
            file.finish()

    def close(self) -> None:
        """Let what is being written come to its end."""
        if self._writer is not None:
            self._writer.close()

    def _write(self, region: Region, probabilities: npt.NDArray[np.float32], classes: npt.NDArray[np.uint8]) -> None:
        assert self._files is not None
        self._files["probabilities"].put(region, np.rint(probabilities * 255).astype(np.uint8))
        self._files["classes"].put(region, classes)

    def put(self, painted: ColourTile) -> None:
        """Do nothing: it is stored."""

    def layer_data(self, kind: str, channel: int | None) -> list[LazyResult] | LazyResult:
        """Return the levels that napari shows, or the only one; a channel axis between others has length 1."""
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

        def mixed(block: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
            return colorize(block * np.float32(1 / 255), palette)

        return [LazyResult(array, sources, mixed, names.index("c")) for array in file.arrays]


def _full_index(index: Any, ndim: int) -> tuple[Any, ...]:
    """Return an index with one entry for each axis."""
    given = index if isinstance(index, tuple) else (index,)
    if Ellipsis in given:
        at = given.index(Ellipsis)
        given = (*given[:at], *[slice(None)] * (ndim - len(given) + 1), *given[at + 1 :])
    return (*given, *[slice(None)] * (ndim - len(given)))


def _axis_span(one: Any, box: range) -> range | int:
    """Return the pixels that an entry of an index asks for, or the one."""
    if isinstance(one, int | np.integer):
        if not -len(box) <= one < len(box):
            raise IndexError(f"There is no {one} along an axis of {len(box)}.")  # what ends a loop over the array
        return box[int(one)]
    found = box[one]
    if found.step < 1:
        raise IndexError("Results on the disk are read forwards only.")
    return found
