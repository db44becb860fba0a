"""Many files as one stack, read plane by plane."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_fcn.errors import ImageError
from napari_fcn.geometry.calibration import UNKNOWN, Calibration
from napari_fcn.io.image_file import TIFF, ImageFile
from napari_fcn.io.images import read_image
from napari_fcn.io.lazy import LazyArray

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

KEPT = 2**28  # bytes of planes that stay in memory, as neighbouring tiles read the same ones
PLANE = {1: ("x",), 2: ("y", "x")}  # axes of a plane whose file names none


@dataclass(frozen=True, slots=True)
class Origin:
    """How an image is read, on this computer or another one.

    Attributes
    ----------
    paths : tuple of Path
        A file, or those of a stack in order; from the root of the file system.
    stack : str
        Letter of the axis along which they are stacked; empty for one file.
    """

    paths: tuple[Path, ...]
    stack: str = ""

    @classmethod
    def of(cls, path: Path) -> Origin:
        """Return the origin of an image in a file."""
        return cls((path.absolute(),))

    @classmethod
    def of_stack(cls, paths: Sequence[Path], axis: str) -> Origin:
        """Return the origin of a stack of files, by their names."""
        return cls(tuple(path.absolute() for path in in_order(paths)), axis)

    def read(self, memory: float | None = None) -> ImageFile:
        """Return the image; ``memory`` and errors are those of `read_image` and `read_series`."""
        return read_series(self.paths, self.stack) if self.stack else read_image(self.paths[0], memory=memory)


def read_series(paths: Sequence[str | Path], axis: str) -> ImageFile:
    """Return files of one shape and type as one image, with a first axis that counts them in the order given.

    Parameters
    ----------
    paths : sequence of str or Path
        The files; see `in_order`.
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
    axes = first.axes or PLANE.get(first.data.ndim, ())
    if axis.lower() in axes:
        raise ImageError(
            f"{first.path} has an axis {axis} of its own ({' '.join(axes)}); files cannot be stacked along it. "
            "Stack them along another, or segment them file by file."
        )
    planes = _FilePlanes(files, first)
    planes.check()
    together = files[0].parent
    return replace(
        first,
        path=together,
        data=LazyArray(planes, together),
        axes=(axis.lower(), *axes) if axes else (),
        calibration=Calibration((UNKNOWN, *first.calibration.axes)),
        levels=1,
        notes=(
            f"{len(files)} files were read as one stack along {axis.lower()}, {files[0].name} to {files[-1].name}.",
            *first.notes,
        ),
    )


def in_order(paths: Sequence[Path]) -> list[Path]:
    """Return files by name, numbers in names by their value: z2 before z10."""
    return sorted(paths, key=lambda path: _order(path.name.lower()))


def _order(name: str) -> list[tuple[bool, int, str]]:
    parts = [part for part in re.split(r"(\d+)", name) if part]
    return [(False, int(part), "") if part.isdecimal() else (True, 0, part) for part in parts]


class _FilePlanes:
    """Files of one shape and type, opened when they are looked at."""

    def __init__(self, files: Sequence[Path], first: ImageFile) -> None:
        self._files, self._first = tuple(files), first
        self.shape = (len(files), *first.data.shape)
        self.dtype = np.dtype(first.data.dtype)
        size = max(1, int(np.prod(first.data.shape)) * self.dtype.itemsize)
        self._plane = lru_cache(max(1, KEPT // size))(self._open)

    def check(self) -> None:
        """Raise ImageError for the first TIFF whose head says that it does not fit; others are checked when read."""
        from tifffile import TiffFile, TiffFileError

        for path in self._files:
            if path.suffix.lower() not in TIFF:
                continue
            try:
                with TiffFile(path) as tiff:
                    series = tiff.series[0]
                    shape, dtype = series.shape, series.dtype
            except (TiffFileError, OSError, IndexError):
                read_image(path)  # says in words what is wrong
                raise
            if path == self._files[0] and tuple(shape) != self.shape[1:]:
                return  # what is read has another shape than what is stored, as the colours of a palette
            if path.suffix == self._first.path.suffix and not self._first.rgb:
                self._compare(path, shape, dtype)

    def files(self, index: tuple[slice, ...]) -> list[Path]:
        """Return the files that hold a part."""
        return [self._files[i] for i in range(*index[0].indices(len(self._files)))]

    def __getitem__(self, parts: tuple[Any, ...]) -> npt.NDArray[Any]:
        which, inside = parts[0], parts[1:]
        if not isinstance(which, slice):
            return np.asarray(self._plane(which)[inside])
        planes = [np.asarray(self._plane(i)[inside]) for i in range(*which.indices(len(self._files)))]
        if planes:
            return np.stack(planes)
        return np.empty((0, *np.empty(self.shape[1:], np.bool_)[inside].shape), self.dtype)

    def _open(self, number: int) -> Any:
        image = read_image(self._files[number])
        self._compare(image.path, image.data.shape, image.data.dtype)
        return image.data

    def _compare(self, path: Path, shape: Sequence[int], dtype: Any) -> None:
        wanted, found = (self.shape[1:], self.dtype), (tuple(shape), np.dtype(dtype).newbyteorder("="))
        if found != wanted:
            raise ImageError(
                f"The files of a stack must be alike: {self._first.path.name} is {_said(*wanted)} and {path.name} is "
                f"{_said(*found)}. Leave it out, or segment them file by file."
            )


def _said(shape: Sequence[int], dtype: np.dtype[Any]) -> str:
    return f"{' x '.join(map(str, shape))} {dtype}"
