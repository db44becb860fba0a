"""Detection of replaced pixels, which make results outdated; shared by all docks."""

from __future__ import annotations

import os
import weakref
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
from napari.utils.events import EventEmitter
from qtpy.QtCore import QTimer

from napari_fcn.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from napari.layers import Layer

    from napari_fcn.geometry import Region

GUI_CHECKSUM_BYTES = 2**25  # bytes in a checksum on the GUI thread: 16 ms
WORKER_CHECKSUM_BYTES = 2**32  # bytes in a checksum on a worker thread
BLOCK_BYTES = 2**16  # bytes of a block, if only some blocks are in the checksum
CHECK_DELAY_MS = 250  # after a change of the view, so that a moving slider causes few checks
MAX_FILES = 2000  # of a zarr folder whose modification times are compared
MAX_PROBES = 4  # blocks that are read of a lazy array

# Errors of reading a part of an array: of a file, or of the code behind a lazy array.
ARRAY_ERRORS = (ArithmeticError, AttributeError, ImageError, LookupError, OSError, RuntimeError, TypeError, ValueError)


class PixelsReplacedError(ImageError):
    """The pixels of a layer were replaced while a network ran on them."""


def pixels_replaced_error(name: str) -> PixelsReplacedError:
    """Return the error of a run during which the image has changed."""
    return PixelsReplacedError(
        f"The pixels of {name} were replaced while it was segmented, so the run was stopped: part of the result shows "
        "the earlier pixels. Run again when the image no longer changes."
    )


def outdated_message(name: str) -> str:
    """Return the warning of a result whose image has changed since."""
    return f"The pixels of {name} were replaced: this result shows the earlier pixels. Run again."


class PixelWatch:
    """Detects that the pixels of a layer are replaced, by other data or in place.

    Other data are detected at once. Changes in place are detected at the next `Layer.refresh` or change of the view, by
    a checksum of all pixels, or of blocks spread over a large image. For arrays that are not in memory, the
    modification times of local files are compared.

    Attributes
    ----------
    replaced : EventEmitter
        The pixels were replaced; the event has the ``layer``.
    generation : int
        How often the pixels were replaced.
    """

    def __init__(self, layer: Layer) -> None:
        self._layer = weakref.ref(layer)
        self.replaced = EventEmitter(type_name="replaced")
        self.generation = 0
        self._is_scheduled = False
        self._record(layer)
        layer.events.data.connect(self._on_data)
        layer.events.set_data.connect(self._on_set_data)

    def check(self) -> bool:
        """Return whether the pixels were replaced since the last check; emit `replaced` if so."""
        layer = self._layer()
        if layer is None:
            return False
        content, data = self._content, self._data
        self._record(layer)
        is_comparable = self._is_whole or self._data is data
        if is_comparable and content == self._content:
            return False
        self.generation += 1
        self.replaced(layer=layer)
        return True

    def _record(self, layer: Layer) -> None:
        """Store the checksum of the current pixels."""
        self._data = finest_data(layer)
        self._content = pixel_digest(self._data, GUI_CHECKSUM_BYTES)
        self._is_whole = isinstance(self._data, np.ndarray) and self._data.nbytes <= GUI_CHECKSUM_BYTES

    def _on_data(self, _: object = None) -> None:
        self.check()

    def _on_set_data(self, _: object = None) -> None:
        if not self._is_scheduled:
            self._is_scheduled = True
            QTimer.singleShot(CHECK_DELAY_MS, self._on_due)

    def _on_due(self) -> None:
        self._is_scheduled = False
        self.check()


# Shared by all docks and results, so that each checksum is computed once.
_watches: WeakKeyDictionary[Any, PixelWatch] = WeakKeyDictionary()


def pixel_watch_for(layer: Layer) -> PixelWatch:
    """Return the watch of the pixels of a layer; there is one for each layer, for its lifetime."""
    if layer not in _watches:
        _watches[layer] = PixelWatch(layer)
    return _watches[layer]


def finest_data(layer: Layer) -> Any:
    """Return the array of a layer, at full resolution."""
    return layer.data[0] if getattr(layer, "multiscale", False) else layer.data


def pixel_digest(array: Any, limit: int = WORKER_CHECKSUM_BYTES) -> tuple[object, ...]:
    """Return a value that differs if the pixels of an array differ, within a limit of bytes to read.

    Parameters
    ----------
    array : array-like
        numpy, dask, zarr: anything with ``shape``, ``dtype`` and slices.
    limit : int
        Bytes to read at most. Above `GUI_CHECKSUM_BYTES`, for worker threads only, a few blocks of lazy arrays are
        read too.
    """
    kind = (tuple(array.shape), str(array.dtype))
    if isinstance(array, np.ndarray):
        limit = min(limit, GUI_CHECKSUM_BYTES) if isinstance(array, np.memmap) else limit
        return (*kind, *_checksums(array, limit))
    probes = _probe_checksums(array) if limit > GUI_CHECKSUM_BYTES else ()
    return (*kind, *_file_times(array), *probes)


def _checksums(array: np.ndarray, limit: int) -> Iterator[int]:
    """Yield the checksum of an array; above the limit, checksums of blocks spread over it."""
    if array.dtype.hasobject:
        return
    if not array.flags.c_contiguous:
        parts: Iterable[np.ndarray] = array if array.ndim > 1 else [array]
        stride = max(1, array.nbytes // max(1, limit))
        for part in list(parts)[::stride]:
            yield zlib.crc32(np.ascontiguousarray(part).view(np.uint8).reshape(-1).data)
        return
    flat = array.reshape(-1).view(np.uint8)
    if flat.size <= limit:
        yield zlib.crc32(flat.data)
        return
    for start in np.linspace(0, flat.size - BLOCK_BYTES, limit // BLOCK_BYTES, dtype=np.int64):
        yield zlib.crc32(flat[start : start + BLOCK_BYTES].data)


def _file_times(array: Any) -> tuple[object, ...]:
    """Return number, total size and latest modification of the files of a zarr array; empty for other arrays."""
    root = getattr(getattr(array, "store", None), "root", None)
    if not isinstance(root, Path):
        return ()
    size = number = latest = 0
    folders = [root / str(getattr(array, "path", ""))]
    try:
        while folders and number < MAX_FILES:
            with os.scandir(folders.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(Path(entry.path))
                        continue
                    state = entry.stat()
                    number, size, latest = number + 1, size + state.st_size, max(latest, state.st_mtime_ns)
    except OSError:  # it is being written, or missing: the next check sees the rest
        return ("unreadable",)
    return number, size, latest


def _probe_checksums(array: Any) -> tuple[object, ...]:
    from napari_fcn.project.image import sample_regions

    shape = tuple(int(n) for n in array.shape)
    regions: list[Region] = sample_regions(shape)
    try:
        blocks = [np.asarray(array[region.slices]) for region in regions[:: max(1, len(regions) // MAX_PROBES)]]
    except ARRAY_ERRORS:  # the run reports them
        return ("unreadable",)
    return tuple(checksum for block in blocks for checksum in _checksums(block, WORKER_CHECKSUM_BYTES))
