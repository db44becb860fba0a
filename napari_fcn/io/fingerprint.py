"""Fingerprints of image files from sizes and times, without reading them."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from napari_fcn.io.image_file import ImageFile


def files_for(image: ImageFile, index: Sequence[slice]) -> list[Path]:
    """Return the files that hold a part of an image."""
    if hasattr(image.data, "files"):
        return list(image.data.files(tuple(index)))
    return [image.path]


def size_and_mtime(path: Path) -> tuple[int, int]:
    """Return size in bytes and time of the last change in nanoseconds; (-1, 0) for a file that is not there."""
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return -1, 0
    return found.st_size, found.st_mtime_ns


def fingerprint(image: ImageFile, index: Sequence[slice] | None = None) -> str:
    """Return a text that changes when a file of a part of an image changes (default: of the whole image).

    It is computed from sizes and times, not from names or contents: it survives a move and needs no reading.
    """
    index = [slice(0, n) for n in image.data.shape] if index is None else index
    digest = hashlib.blake2b(digest_size=12)
    for path in files_for(image, index):
        digest.update(repr(size_and_mtime(path)).encode())
    return digest.hexdigest()


def missing_chunks_note(image: ImageFile) -> str:
    """Return a sentence about missing chunks of a zarr, which read as zeros; "" if none is missing."""
    files = files_for(image, [slice(0, n) for n in image.data.shape])
    absent = sum(size_and_mtime(path)[0] < 0 for path in files)
    if not absent:
        return ""
    return (
        f"{absent} of {len(files)} chunks are missing in {image.path} and were read as zeros. If they were not written "
        "empty, the copy is incomplete: copy it again."
    )
