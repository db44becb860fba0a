"""Writing of results block by block; a file appears under its name when it is complete."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from napari_fcn.errors import DECODE_ERRORS, OutputError
from napari_fcn.geometry import Region
from napari_fcn.io import disk, layout
from napari_fcn.io.overwrite import NO_PROTECTION, Protection
from napari_fcn.io.result_kinds import RESULT_KINDS
from napari_fcn.io.result_meta import Result, ResultMeta

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType
    from typing import Self

    import numpy.typing as npt

WRITABLE_SUFFIXES = (".ome.zarr", ".zarr", ".ome.tif", ".ome.tiff", ".tif", ".tiff", ".npy", ".png")


class ResultSink(Protocol):
    """Writes one format under a temporary name."""

    def put(self, index: tuple[slice, ...], block: npt.NDArray[Any]) -> None:
        """Store a block at an index of the file's array."""

    def get(self, index: tuple[slice, ...]) -> npt.NDArray[Any]:
        """Return the block at an index of the file's array."""

    def finish(self) -> Path:
        """Return the temporary file or folder, complete, closed and on the disk."""

    def suspend(self) -> None:
        """Close the unfinished file and leave it for another sink with the same temporary name."""

    def discard(self) -> None:
        """Remove all temporary files; may be called at any time and more than once."""


def open_result(
    path: str | Path,
    kind: str,
    shape: Sequence[int],
    dtype: npt.DTypeLike,
    meta: ResultMeta,
    overwrite: bool = False,
    staging: Path | None = None,
    protection: Protection = NO_PROTECTION,
) -> ResultWriter:
    """Return a writer for a result that does not fit in memory; the suffix of ``path`` decides the format.

    ``.zarr`` is OME-Zarr 0.5 with a pyramid, ``.tif`` OME-TIFF, ``.npy`` a plain array, ``.png`` the class
    indices as grey values (2-D only). npy and png keep the axes. OME-Zarr demands time before channels
    (t, c, z, y, x) and OME-TIFF y and x last: there axes are moved, and 1-D results become one row. These
    files name their axes.

    Parameters
    ----------
    path : str or Path
        The file to write; folders above it are made.
    kind : str
        classes, probabilities, probabilities8 (0..1 stored as 0..255), or objects.
    shape : sequence of int
        Shape of the whole array: ``(C, *image)`` for probabilities, else ``image``.
    dtype : dtype
        Numbers to store.
    meta : ResultMeta
        Axes, scale and units of the image axes; classes; provenance.
    overwrite : bool
        Whether to replace an existing result once the new one is complete.
    staging : Path, optional
        Temporary name on the same disk. An interrupted result of this name is continued, and an incomplete one stays.
        By default the name is hidden, in the folder of ``path``, and an incomplete result is removed.
    protection : Protection, optional
        Files that must not be overwritten.

    Raises
    ------
    OutputError
        If the target exists, is protected, is a folder or cannot be written, the disk is too small, or the format
        cannot store the result.
    ValueError
        If kind, shape, dtype and meta do not fit each other.
    """
    path, dtype = Path(path), np.dtype(dtype)
    axes = _result_axes(kind, shape, dtype, meta)
    arrange, make = _format_for(path)
    result = Result(kind, arrange(axes, shape), dtype, meta)
    disk.check_name_length(path)
    try:
        protection.check(path, overwrite)
        for folder in filter(None, [path.parent, staging and staging.parent]):
            folder.mkdir(parents=True, exist_ok=True)
        return ResultWriter(
            path, result, make(path, result, staging), partial(protection.check, path, overwrite), staging
        )
    except OSError as error:
        raise disk.write_error(path, result.nbytes, error) from error


class ResultWriter:
    """Writes one result. As a context manager it closes the file, and discards it if the block raises.

    Not safe to write to from several threads at once.
    """

    def __init__(
        self, path: Path, result: Result, sink: ResultSink, check: Callable[[], None], staging: Path | None = None
    ) -> None:
        self.path = path
        self._result = result
        self._sink = sink
        self._check = check
        self._is_staged = staging is not None
        self._is_open = True
        places = [place for place in result.layout.source if place is not None]
        lengths = dict(zip(result.layout.source, result.layout.shape, strict=True))
        self.shape = tuple(lengths[place] for place in sorted(places))
        self._channels = self.shape[:1] if result.kind.startswith("probabilities") else ()

    def write(self, region: Region, block: npt.NDArray[Any]) -> None:
        """Store ``(C, *region.shape)`` for probabilities, else ``region.shape``, at a region of the image.

        Raises
        ------
        OutputError
            If the disk is full or gone; the incomplete result is removed.
        ValueError
            If the block does not fit the region, the image or the dtype, or the writer is closed.
        """
        expected = (*self._channels, *region.shape)
        where = self._file_index(region)
        if block.shape != expected:
            raise ValueError(f"A block {block.shape} at {region} does not fit {self.shape}; needed: {expected}.")
        try:
            self._sink.put(where, self._result.layout.to_file_axes(self._convert(block)))
        except OSError as error:
            self.close_incomplete()
            raise disk.write_error(self.path, self._result.nbytes, error) from error

    def read(self, region: Region) -> npt.NDArray[Any] | None:
        """Return the block at a region of the image, as passed to `write`; None if it cannot be read.

        Raises
        ------
        ValueError
            If the region lies outside the image, or the writer is closed.
        """
        where = self._file_index(region)
        try:
            return self._result.layout.to_result_axes(self._sink.get(where))
        except DECODE_ERRORS:
            return None

    def close(self) -> None:
        """Complete the file and rename it to its final name. Pixels that were never written are 0.

        Raises
        ------
        OutputError
            If that fails; the earlier result is untouched.
        """
        if not self._is_open:
            return
        try:
            temporary = self._sink.finish()
            self._check()  # another process may have been faster
            disk.publish(temporary, self.path)
            self.abort()
        except OSError as error:
            raise disk.write_error(self.path, self._result.nbytes, error) from error
        finally:
            self.close_incomplete()

    def close_incomplete(self) -> None:
        """Close the incomplete result: it is removed, or kept if ``staging`` was given."""
        if self._is_open and self._is_staged:
            self._is_open = False
            self._sink.suspend()
        elif self._is_open:
            self.abort()

    def abort(self) -> None:
        """Remove the incomplete result."""
        self._is_open = False
        self._sink.discard()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.close_incomplete()

    def _file_index(self, region: Region) -> tuple[slice, ...]:
        """Return the index in the file of a region of the image."""
        if not self._is_open:
            raise ValueError(f"The result {self.path} is closed.")
        if not Region.whole(self.shape[len(self._channels) :]).contains(region):
            raise ValueError(f"{region} does not fit a result of shape {self.shape}; it must lie inside.")
        return self._result.layout.file_index((*(slice(0, n) for n in self._channels), *region.slices))

    def _convert(self, block: npt.NDArray[Any]) -> npt.NDArray[Any]:
        dtype = self._result.dtype
        if self._result.kind == "probabilities8" and block.dtype.kind == "f":
            block = np.rint(block * 255)
        elif not np.can_cast(block.dtype, dtype, "same_kind"):
            raise ValueError(f"A block of {block.dtype} does not fit a result of {dtype}.")
        return block.astype(dtype, copy=False)


def _result_axes(kind: str, shape: Sequence[int], dtype: np.dtype[Any], meta: ResultMeta) -> tuple[str, ...]:
    """Return the axes of the array, checked against its shape."""
    if kind not in RESULT_KINDS:
        raise ValueError(f"A result is one of {', '.join(RESULT_KINDS)}, not {kind!r}.")
    if kind == "probabilities8" and dtype != np.uint8:
        raise ValueError(f"probabilities8 are stored as uint8, not {dtype}.")
    axes = (*(["c"] if kind.startswith("probabilities") else []), *meta.axes)
    if not len(axes) == len(shape) or not len(meta.axes) == len(meta.scale) == len(meta.units):
        raise ValueError(f"The axes {' '.join(axes)}, their scale and units do not fit the shape {tuple(shape)}.")
    if not all(0 < size < np.inf for size in meta.scale):
        raise ValueError(f"The scale {meta.scale} is not made of positive numbers.")
    if meta.origin and (len(meta.origin) != len(meta.axes) or not np.isfinite(meta.origin).all()):
        raise ValueError(f"The origin {meta.origin} is not one finite number for each of {' '.join(meta.axes)}.")
    if 0 in shape:
        raise ValueError(f"A result of shape {tuple(shape)} has no pixels.")
    if len(set(axes)) != len(axes):
        raise ValueError(f"Each axis needs a name of its own; the names are {' '.join(axes)}.")
    return axes


def _format_for(path: Path) -> tuple[Callable[..., layout.Layout], Callable[[Path, Result, Path | None], ResultSink]]:
    """Return the function for the layout of a format, and the class of its sink."""
    suffix = path.suffix.lower()
    if suffix == ".zarr":
        from napari_fcn.io.zarr_writer import ZarrSink

        return layout.ome_zarr_layout, ZarrSink
    if suffix in (".tif", ".tiff"):
        from napari_fcn.io.tiff_writer import TiffSink

        return layout.tiff_layout, TiffSink
    from napari_fcn.io.array_writer import NpySink, PngSink

    if suffix == ".npy":
        return layout.plain_layout, NpySink
    if suffix == ".png":
        return layout.plain_layout, PngSink
    raise OutputError(f"{path} has an unsupported output type. Use one of {', '.join(WRITABLE_SUFFIXES)}.")
