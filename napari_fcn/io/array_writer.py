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
        if _holds_array(self._temporary, result):
            return
        disk.check_free_space(target, result.nbytes)
        try:
            array = np.lib.format.open_memmap(os.fspath(self._temporary), "w+", result.dtype, result.layout.shape)
            disk.reserve(self._temporary, array.offset, array.offset + result.nbytes)
        except BaseException:
            self.discard()
            raise

    @property
    def array(self) -> np.memmap[Any, np.dtype[Any]]:
        """The array; its pages count as memory of the process until it is no longer used."""
        return np.lib.format.open_memmap(os.fspath(self._temporary), "r+")

    def put(self, index: tuple[slice, ...], block: npt.NDArray[Any]) -> None:
        """Store a block at an index of the file's array."""
        self.array[index] = block

    def get(self, index: tuple[slice, ...]) -> npt.NDArray[Any]:
        """Return the block at an index of the file's array."""
        return np.array(self.array[index])

    def finish(self) -> Path:
        """Return the temporary file, complete, closed and on the disk."""
        disk.sync_to_disk(self._temporary)
        return self._temporary

    def suspend(self) -> None:
        """Keep the file, which is not open."""

    def discard(self) -> None:
        """Remove the temporary files."""
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


def _holds_array(path: Path, result: Result) -> bool:
    """Whether an interrupted run left an array of this shape and type in a file."""
    try:
        array = np.lib.format.open_memmap(os.fspath(path), "r+")
    except (FileNotFoundError, ValueError, EOFError):  # missing, or truncated
        return False
    return (array.shape, array.dtype) == (result.layout.shape, result.dtype)
