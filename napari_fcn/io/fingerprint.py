"""Fingerprints of image files from sizes and times, without reading them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from napari_fcn.io.image_file import ImageFile


def files_for(image: ImageFile, index: Sequence[slice]) -> list[Path]:
    """Return the files that contain a part of an image."""
    if hasattr(image.data, "files"):
        return list(image.data.files(tuple(index)))
    return [image.path]


def size_and_mtime(path: Path) -> tuple[int, int]:
    """Return size in bytes and time of modification in nanoseconds; (-1, 0) for a missing file."""
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return -1, 0
    return status.st_size, status.st_mtime_ns


def fingerprint(image: ImageFile, index: Sequence[slice]) -> str:
    """Return a text that changes when a file of a part of an image changes.

    It is computed from sizes and times, not from names or contents, so that it does not change if files are moved.
    """
    return _digest(map(size_and_mtime, files_for(image, index)))


@dataclass(frozen=True, slots=True)
class FileSummary:
    """The state of all files of an image at one moment.

    Attributes
    ----------
    path : Path
        The image.
    count, missing : int
        The number of its files, and of those that are missing (chunks of a zarr).
    fingerprint : str
        The `fingerprint` of the whole image.
    state : (int, int), optional
        Size and time of the only file; None if there are several.
    """

    path: Path
    count: int
    missing: int
    fingerprint: str
    state: tuple[int, int] | None

    @classmethod
    def of(cls, image: ImageFile) -> Self:
        """Return the current summary of the files of an image."""
        states = [size_and_mtime(path) for path in files_for(image, [slice(0, n) for n in image.data.shape])]
        missing = sum(size < 0 for size, _ in states)
        return cls(image.path, len(states), missing, _digest(states), states[0] if len(states) == 1 else None)

    @property
    def note(self) -> str:
        """A sentence about missing chunks of a zarr, which read as zeros; "" if none is missing."""
        if not self.missing:
            return ""
        return (
            f"{self.missing} of {self.count} chunks are missing in {self.path} and were read as zeros. If they were "
            "not written empty, the copy is incomplete: copy it again."
        )


def _digest(states: Iterable[tuple[int, int]]) -> str:
    digest = hashlib.blake2b(digest_size=12)
    for state in states:
        digest.update(repr(state).encode())
    return digest.hexdigest()
