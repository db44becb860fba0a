"""Stacks of image files, read plane by plane."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_fcn.errors import ImageError
from napari_fcn.geometry.calibration import UNKNOWN, Calibration
from napari_fcn.io.image_file import TIFF_SUFFIXES, ImageFile
from napari_fcn.io.images import read_image
from napari_fcn.io.lazy_array import LazyArray

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

CACHE_BYTES = 2**28  # of planes in memory, as neighbouring tiles read the same ones
DEFAULT_PLANE_AXES = {1: ("x",), 2: ("y", "x")}  # of a plane whose file names no axes


@dataclass(frozen=True, slots=True)
class ImageLocation:
    """The files of an image, and the axis along which they are stacked.

    Attributes
    ----------
    paths : tuple of Path
        Absolute path of a file, or of the files of a stack in order.
    stack : str
        Letter of the axis along which they are stacked; empty for one file.
    """

    paths: tuple[Path, ...]
    stack: str = ""

    @classmethod
    def from_file(cls, path: Path) -> ImageLocation:
        """Return the location of an image in one file."""
        return cls((path.absolute(),))

    @classmethod
    def from_stack(cls, paths: Sequence[Path], axis: str) -> ImageLocation:
        """Return the location of a stack of files, sorted by their names."""
        return cls(tuple(path.absolute() for path in natural_sort(paths)), axis)

    def read(self, memory: float | None = None) -> ImageFile:
        """Return the image; ``memory`` and errors are those of `read_image` and `read_series`."""
        return read_series(self.paths, self.stack) if self.stack else read_image(self.paths[0], memory=memory)


def read_series(paths: Sequence[str | Path], axis: str) -> ImageFile:
    """Return files of one shape and type as one image; the first axis numbers them in the given order.

    Parameters
    ----------
    paths : sequence of str or Path
        The files; see `natural_sort`.
    axis : str
        Letter of the first axis, such as z or t.

    Raises
    ------
    ImageError
        If there is no file, one cannot be read, they differ in shape, type or axes, or have the axis already.
    """
    files = [Path(path) for path in paths]
    if not files:
        raise ImageError("A stack needs files; none was given. Check the folder or the pattern.")
    first = read_image(files[0])
    axes = first.axes or DEFAULT_PLANE_AXES.get(first.data.ndim, ())
    if axis.lower() in axes:
        raise ImageError(
            f"{first.path} has an axis {axis} of its own ({' '.join(axes)}); files cannot be stacked along it. "
            "Stack them along another, or segment them file by file."
        )
    planes = _FilePlanes(files, first)
    planes.check_headers()
    folder = files[0].parent
    return replace(
        first,
        path=folder,
        data=LazyArray(planes, folder),
        axes=(axis.lower(), *axes) if axes else (),
        calibration=Calibration((UNKNOWN, *first.calibration.axes)),
        levels=1,
        notes=(
            f"{len(files)} files were read as one stack along {axis.lower()}, {files[0].name} to {files[-1].name}.",
            *first.notes,
        ),
    )


def natural_sort(paths: Sequence[Path]) -> list[Path]:
    """Return files sorted by name, with numbers by value: z2 before z10."""
    return sorted(paths, key=lambda path: _natural_key(path.name.lower()))


def _natural_key(name: str) -> list[tuple[bool, int, str]]:
    parts = [part for part in re.split(r"(\d+)", name) if part]
    return [(False, int(part), "") if part.isdecimal() else (True, 0, part) for part in parts]


class _FilePlanes:
    """Files of one shape and type, opened when they are read."""

    def __init__(self, files: Sequence[Path], first: ImageFile) -> None:
        self._files, self._first = tuple(files), first
        self.shape = (len(files), *first.data.shape)
        self.dtype = np.dtype(first.data.dtype)
        size = max(1, int(np.prod(first.data.shape)) * self.dtype.itemsize)
        self._plane = lru_cache(max(1, CACHE_BYTES // size))(self._open)

    def check_headers(self) -> None:
        """Raise ImageError for the first TIFF whose header does not match; other files are checked when read."""
        from tifffile import TiffFile, TiffFileError

        for path in self._files:
            if path.suffix.lower() not in TIFF_SUFFIXES:
                continue
            try:
                with TiffFile(path) as tiff:
                    series = tiff.series[0]
                    shape, dtype = series.shape, series.dtype
            except (TiffFileError, OSError, IndexError):
                read_image(path)  # raises an error with the reason
                raise
            if path == self._files[0] and tuple(shape) != self.shape[1:]:
                return  # conversion changes the shape, as of a palette
            if path.suffix == self._first.path.suffix and not self._first.rgb:
                self._check_same(path, shape, dtype)

    def files(self, index: tuple[slice, ...]) -> list[Path]:
        """Return the files that hold a part."""
        return [self._files[i] for i in range(*index[0].indices(len(self._files)))]

    def __getitem__(self, parts: tuple[Any, ...]) -> npt.NDArray[Any]:
        outer, inner = parts[0], parts[1:]
        if not isinstance(outer, slice):
            return np.asarray(self._plane(outer)[inner])
        planes = [np.asarray(self._plane(i)[inner]) for i in range(*outer.indices(len(self._files)))]
        if planes:
            return np.stack(planes)
        return np.empty((0, *np.empty(self.shape[1:], np.bool_)[inner].shape), self.dtype)

    def _open(self, number: int) -> Any:
        image = read_image(self._files[number])
        self._check_same(image.path, image.data.shape, image.data.dtype)
        return image.data

    def _check_same(self, path: Path, shape: Sequence[int], dtype: Any) -> None:
        first, other = (self.shape[1:], self.dtype), (tuple(shape), np.dtype(dtype).newbyteorder("="))
        if other != first:
            raise ImageError(
                f"The files of a stack must be alike: {self._first.path.name} is {_format_array(*first)} and "
                f"{path.name} is {_format_array(*other)}. Leave it out, or segment them file by file."
            )


def _format_array(shape: Sequence[int], dtype: np.dtype[Any]) -> str:
    return f"{' x '.join(map(str, shape))} {dtype}"
