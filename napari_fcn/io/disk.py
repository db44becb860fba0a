"""Disk space, temporary names, and the renaming that makes a result visible."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from contextlib import suppress
from typing import TYPE_CHECKING

from napari_fcn import file_names
from napari_fcn.errors import OutputError
from napari_fcn.io.overwrite import check_replaceable_zarr, is_zarr_entry
from napari_fcn.storage import is_link, remove_own_files
from napari_fcn.system_errors import refused

if TYPE_CHECKING:
    from pathlib import Path

BLOCK_BYTES = 2**24  # bytes written at a time where the system cannot reserve them


def temporary_path(target: Path) -> Path:
    """Return an unused hidden name in the folder of ``target``, so that a rename to ``target`` stays on one disk."""
    return target.with_name(file_names.wrapped(target.name[:80], ".", f"-{secrets.token_hex(6)}.part"))


def check_name_length(target: Path) -> None:
    """Raise OutputError if the name of ``target`` or of a parent folder is too long for file systems."""
    for name in target.parts:
        if not file_names.fits(name):
            raise OutputError(
                f"The name {name} is too long: it has {file_names.length_of(name)} {file_names.UNIT}, and "
                f"{file_names.LONGEST} are allowed.",
                "Choose a shorter name; if results are named after their images, rename the image.",
            )


def staging_path(temporary: Path) -> Path:
    """Return the name of the plain array from which a temporary file is made."""
    return temporary.with_name(f"{temporary.name}.npy")


def format_size(count: int) -> str:
    """Return a number of bytes with a unit: ``"1.2 GB"``."""
    size, unit = float(count), "bytes"
    for larger in ("kB", "MB", "GB", "TB"):
        if size < 1000:
            break
        size, unit = size / 1000, larger
    return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"


def check_free_space(target: Path, needed: int) -> None:
    """Raise OutputError if the disk of ``target`` has fewer free bytes than ``needed``."""
    if _free_bytes(target) < needed:
        raise disk_full_error(target, needed)


def disk_full_error(target: Path, needed: int) -> OutputError:
    """Return the error of a full disk."""
    try:
        free = f" and there are {format_size(_free_bytes(target))} free"
    except OSError:
        free = ""
    return OutputError(
        f"The disk is full: {target} needs at least {format_size(needed)} while it is written{free}.",
        "Free some space or choose a folder on another disk.",
    )


def write_error(target: Path, needed: int, error: OSError) -> OutputError:
    """Return the error to show when the system refuses to write."""
    if error.errno == errno.ENOSPC:
        return disk_full_error(target, needed)
    if isinstance(error, PermissionError):
        return OutputError(
            f"{target} cannot be written: no permission in {target.parent}. Choose a folder of your own, "
            "or close the program that has the file open."
        )
    return refused(f"{target} cannot be written", error, OutputError)


def _free_bytes(target: Path) -> int:
    return shutil.disk_usage(target.parent).free


def reserve(path: Path, start: int, stop: int) -> None:
    """Allocate the bytes of a file from ``start`` to ``stop`` on the disk.

    A memory map of a sparse file has no space of its own: the process dies (SIGBUS) when the disk is full.

    Raises
    ------
    OSError
        ENOSPC if the disk is full.
    """
    with path.open("r+b") as file:
        if hasattr(os, "posix_fallocate"):
            try:
                os.posix_fallocate(file.fileno(), start, max(1, stop - start))
                return
            except OSError as error:
                if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS):
                    raise
        file.seek(start)
        for position in range(start, stop, BLOCK_BYTES):
            file.write(bytes(min(BLOCK_BYTES, stop - position)))


def sync_to_disk(path: Path) -> None:
    """Write the buffers of a file to the disk."""
    with path.open("r+b") as file:
        os.fsync(file.fileno())


def publish(temporary: Path, target: Path) -> None:
    """Rename a finished file or folder to its target, replacing an earlier one; on failure that one stays.

    Raises
    ------
    OutputError
        If the target is a folder that is not a result of napari-fcn, or contains other files.
    OSError
        If the system refuses.
    """
    if not (temporary.is_dir() and os.path.lexists(target)):
        os.replace(temporary, target)
        return
    old = temporary_path(target)
    os.rename(target, old)
    try:
        if not is_link(old):
            check_replaceable_zarr(old)  # after the renaming, when other programs no longer add files
        os.rename(temporary, target)
    except (OSError, OutputError):
        os.rename(old, target)
        raise
    if is_link(old):
        remove(old)
    else:
        remove_own_files(old, is_zarr_entry, last="zarr.json")


def remove(path: Path) -> None:
    """Delete a file or folder if it exists; of a link only the link."""
    with suppress(OSError):
        if path.is_dir() and not is_link(path):
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink()
