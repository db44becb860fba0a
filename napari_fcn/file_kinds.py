"""Detection of the type of a file from its first bytes, if its name is wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

POINTER = b"version https://git-lfs.github.com/spec/"
MAX_POINTER_BYTES = 1024  # from the specification of Git LFS
PAGES = (b"<!doctype html", b"<html")
TIFF = (".tif", ".tiff", ".btf", ".tf8")
# First bytes, type of the file, its suffixes.
SIGNATURES = (
    (b"\x89PNG\r\n\x1a\n", "a PNG picture", (".png",)),
    (b"\xff\xd8\xff", "a JPEG picture", (".jpg", ".jpeg")),
    (b"II*\0", "a TIFF", TIFF),
    (b"MM\0*", "a TIFF", TIFF),
    (b"II+\0", "a TIFF", TIFF),
    (b"MM\0+", "a TIFF", TIFF),
    (b"\x93NUMPY", "a numpy array", (".npy",)),
    (b"\x89HDF\r\n", "an HDF5 file", (".h5", ".hdf5", ".ims")),
    (b"PK\x03\x04", "a zip archive", (".zip",)),
    (b"\x1f\x8b", "a compressed file (gzip)", (".gz",)),
    (b"GIF8", "a GIF picture", (".gif",)),
    (b"%PDF", "a PDF", (".pdf",)),
)


def is_pointer(path: Path) -> bool:
    """Whether a file is a Git LFS pointer: a text that stands for a file that was not downloaded."""
    start = _start(path)
    return start is not None and len(start) <= MAX_POINTER_BYTES and start.startswith(POINTER)


def mistaken(path: Path) -> tuple[str, str] | None:
    """Return the real type of a file that cannot be read, and what to do; None if the type is unknown."""
    start = _start(path)
    if start is None:
        return None
    if not start:
        return f"{path} is damaged: it is empty (0 bytes).", "The copy or download was cut short: copy the file again."
    if len(start) <= MAX_POINTER_BYTES and start.startswith(POINTER):
        return (
            f"{path} is a Git LFS pointer: a text that stands for a file that was not downloaded.",
            "Download it with git lfs pull.",
        )
    if start.lower().startswith(PAGES):
        return f"{path} is a web page, saved instead of the file.", "Download the file again."
    for signature, kind, suffixes in SIGNATURES:
        if start.startswith(signature) and path.suffix.lower() not in suffixes:
            return (
                f"{path} is {kind}, although its name says otherwise.",
                f"Rename it to {path.with_suffix(suffixes[0]).name}.",
            )
    return None


def _start(path: Path) -> bytes | None:
    """Return the first bytes of a file; None if it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(MAX_POINTER_BYTES + 1)
    except OSError:
        return None
