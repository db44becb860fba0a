"""An array in a file, read when it is sliced."""

from __future__ import annotations

import weakref
from itertools import product
from math import prod
from operator import index as as_index
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_fcn.errors import DECODE_ERRORS, ImageError
from napari_fcn.file_kinds import is_pointer, mistaken
from napari_fcn.io.bounds import check_memory, memory_to_read, too_large_error
from napari_fcn.system_errors import refused

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import numpy.typing as npt

MAX_CHUNK_FILES = 2**20  # above this the folder is listed instead


class LazyArray:
    """An array in a file with numpy's slicing (integers, slices with a positive step, an ellipsis).

    Parameters
    ----------
    source : array-like
        The array to slice: a zarr array or a memory map.
    path : Path
        Its file, for messages.
    samples : int, optional
        Length to which the last axis is cut, to drop an alpha channel.
    close : callable, optional
        Closes the file; called when the array is no longer used.
    """

    def __init__(
        self, source: Any, path: Path, samples: int | None = None, close: Callable[[], None] | None = None
    ) -> None:
        self.memory: float | None = None  # GiB that one read may use; if None, half of the free memory
        self._source = source
        self._path = path
        stored: tuple[int, ...] = tuple(int(n) for n in source.shape)
        self.shape: tuple[int, ...] = stored if samples is None else (*stored[:-1], samples)
        self.dtype = np.dtype(source.dtype).newbyteorder("=")
        self.chunks: tuple[int, ...] | None = getattr(source, "chunks", None)
        if close is not None:
            weakref.finalize(self, close)

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of elements."""
        return prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of the whole array in memory."""
        return int(self.size * self.dtype.itemsize)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Any) -> npt.NDArray[Any]:
        """Return a part in memory.

        Raises
        ------
        IndexError, TypeError
            If the index is not made of integers, slices and an ellipsis.
        ImageError
            If the data on disk are damaged, or the part does not fit in memory.
        """
        parts = tuple(_normalize(part, n) for part, n in zip(self._expand(index), self.shape, strict=True))
        self._check_memory(parts)
        try:
            return np.asarray(self._source[parts], dtype=self.dtype)
        except MemoryError as error:
            raise too_large_error(self._path, str(error) or "a part of it was to be read") from error
        except DECODE_ERRORS as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise refused(f"A part of {self._path} cannot be read", error, ImageError) from error
            where = tuple(part if isinstance(part, slice) else slice(part, part + 1) for part in parts)
            if pointer := next(filter(is_pointer, self.files(where)), None):
                raise ImageError(*mistaken(pointer) or ()) from error
            raise ImageError(
                f"A part of {self._path} cannot be read ({error}). "
                "The file is damaged or incomplete: copy or export it again."
            ) from error

    def _check_memory(self, parts: Sequence[int | slice]) -> None:
        ranges = [
            range(*part.indices(n)) if isinstance(part, slice) else range(part, part + 1)
            for part, n in zip(parts, self.shape, strict=True)
        ]
        size = " x ".join(str(len(r)) for r in ranges)
        needed = memory_to_read(self.shape, self.dtype, self.chunks, ranges)
        check_memory(self._path, needed, f"A part of {size} pixels", self.memory)

    def files(self, index: tuple[slice, ...]) -> list[Path]:
        """Return the files that contain a part: one for each chunk of a zarr or plane of a stack, else the file itself.

        Missing chunks are included, unless the part has more than `MAX_CHUNK_FILES`.
        """
        if hasattr(self._source, "files"):
            return list(self._source.files(index))
        root = getattr(getattr(self._source, "store", None), "root", None)
        if root is None or self._source.metadata is None:
            return [self._path]
        grid = self._source.shards or self._source.chunks
        spans = [
            range(part.start // n, -(-part.stop // n))
            for part, n in zip(
                (slice(*p.indices(m)) for p, m in zip(index, self.shape, strict=True)), grid, strict=True
            )
        ]
        folder = root / self._source.path
        if prod(map(len, spans)) > MAX_CHUNK_FILES:
            return sorted(path for path in folder.rglob("*") if path.is_file())
        return [folder / self._source.metadata.encode_chunk_key(place) for place in product(*spans)]

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> npt.NDArray[Any]:
        if copy is False:
            raise ValueError("An array in a file cannot be seen as an ndarray without a copy.")
        return np.asarray(self[...], dtype=dtype)

    def _expand(self, index: Any) -> tuple[Any, ...]:
        """Return one integer or slice per axis."""
        parts = index if isinstance(index, tuple) else (index,)
        dots = [place for place, part in enumerate(parts) if part is Ellipsis]
        place = dots[0] if dots else len(parts)
        missing = self.ndim - (len(parts) - len(dots))
        if missing < 0 or len(dots) > 1:
            raise IndexError(f"{index} does not fit an array with {self.ndim} axes.")
        return (*parts[:place], *(slice(None),) * missing, *parts[place + 1 :])


def _normalize(part: Any, length: int) -> int | slice:
    """Return an integer or slice with non-negative bounds inside an axis."""
    if isinstance(part, slice):
        start, stop, step = part.indices(length)
        if step < 1:
            raise IndexError(f"An array in a file is sliced forwards; the step is {step}.")
        return slice(start, max(start, stop), step)
    return range(length)[as_index(part)]
