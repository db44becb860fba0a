"""Writing of results to npy and png; both, and TIFF, collect blocks in an npy file."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_fcn.errors import OutputError
from napari_fcn.io import disk

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

    from napari_fcn.io.result_meta import Result


class NpySink:
    """Write an npy file, which has its full size from the start, so that a full disk is noticed at once.

    Parameters
    ----------
    target : Path
        The final file.
    result : Result
        The result.
    temporary : Path, optional
        Its temporary name. An existing file of this name is continued.
    """

    def __init__(self, target: Path, result: Result, temporary: Path | None = None) -> None:
        self._temporary = temporary or disk.temporary_path(target)
        self._array = _reopen_array(self._temporary, result)
        if self._array is not None:
            return
        disk.check_free_space(target, result.nbytes)
        try:
            array = np.lib.format.open_memmap(os.fspath(self._temporary), "w+", result.dtype, result.layout.shape)
            self._array = array
            disk.reserve(self._temporary, array.offset, array.offset + result.nbytes)
        except BaseException:
            self.discard()
            raise

    @property
    def array(self) -> np.memmap[Any, np.dtype[Any]]:
        """The array."""
        assert self._array is not None
        return self._array

    def put(self, index: tuple[slice, ...], block: npt.NDArray[Any]) -> None:
        """Store a block at an index of the file's array."""
        self.array[index] = block

    def get(self, index: tuple[slice, ...]) -> npt.NDArray[Any]:
        """Return the block at an index of the file's array."""
        return np.array(self.array[index])

    def finish(self) -> Path:
        """Return the temporary file, complete, closed and on the disk."""
        self.array.flush()
        self._array = None  # no handle may be open when the file is renamed
        disk.sync_to_disk(self._temporary)
        return self._temporary

    def suspend(self) -> None:
        """Close the file and keep it."""
        if self._array is not None:
            self._array.flush()
        self._array = None

    def discard(self) -> None:
        """Remove the temporary files."""
        self._array = None
        disk.remove(self._temporary)


class PngSink:
    """Write class indices of a 2-D image as grey values of a png; parameters as for `NpySink`."""

    def __init__(self, target: Path, result: Result, temporary: Path | None = None) -> None:
        names = " ".join(result.layout.names)
        if result.kind != "classes" or len(result.layout.shape) != 2 or result.dtype != np.uint8:
            raise OutputError(
                f"A png holds the classes (uint8) of a 2-D image, not {result.kind} ({result.dtype}) with "
                f"axes {names}. Write {target.stem}.tif or {target.stem}.zarr."
            )
        self._temporary = temporary or disk.temporary_path(target)
        self._array_sink = NpySink(target, result, disk.staging_path(self._temporary))
        self._record = result.record

    def put(self, index: tuple[slice, ...], block: npt.NDArray[Any]) -> None:
        """Store a block at an index of the image."""
        self._array_sink.put(index, block)

    def get(self, index: tuple[slice, ...]) -> npt.NDArray[Any]:
        """Return the block at an index of the image."""
        return self._array_sink.get(index)

    def finish(self) -> Path:
        """Return the temporary file, complete, closed and on the disk."""
        from PIL import Image, PngImagePlugin

        text = PngImagePlugin.PngInfo()
        text.add_text("napari_fcn", json.dumps(self._record))
        with self._temporary.open("wb") as file:
            Image.fromarray(np.asarray(self._array_sink.array)).save(file, format="png", pnginfo=text)
        disk.sync_to_disk(self._temporary)
        return self._temporary

    def suspend(self) -> None:
        """Close the collected array and keep it."""
        self._array_sink.suspend()

    def discard(self) -> None:
        """Remove the temporary files."""
        self._array_sink.discard()
        disk.remove(self._temporary)


def _reopen_array(path: Path, result: Result) -> np.memmap[Any, np.dtype[Any]] | None:
    """Return the array that an interrupted run left in a file; None without one of this shape and type."""
    try:
        array = np.lib.format.open_memmap(os.fspath(path), "r+")
    except (FileNotFoundError, ValueError, EOFError):  # missing, or truncated
        return None
    return array if (array.shape, array.dtype) == (result.layout.shape, result.dtype) else None
