"""Atomic, durable writing of project files, with checksums, and the errors of failed reads and writes."""

from __future__ import annotations

import json
import os
import re
import secrets
from contextlib import suppress
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from napari_fcn import storage
from napari_fcn.errors import ProjectError
from napari_fcn.file_names import wrapped
from napari_fcn.system_errors import reason

if TYPE_CHECKING:
    from pathlib import Path

PART_SUFFIX = ".part"
CHECKSUM_KEY = "sum"  # the key of the checksum
CHECKSUM_PATTERN = re.compile("[^ ]{14,18}")  # a checksum, perhaps damaged


def write_file(path: Path, data: bytes) -> None:
    """Replace the content of a file; a crash leaves either the old or the new content.

    Raises
    ------
    OSError
        If the system refuses; the old content stays.
    """
    part = path.with_name(wrapped(path.name, ".", f"-{secrets.token_hex(4)}{PART_SUFFIX}"))
    try:
        with part.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def break_hard_link(path: Path) -> None:
    """Replace a hard link by a copy before data are appended to it.

    Files that `write_file` writes need no such care: they are replaced.

    Raises
    ------
    OSError
        If the system refuses.
    """
    if os.stat(path).st_nlink > 1:
        write_file(path, path.read_bytes())


def sync_folder(folder: Path) -> None:
    """Write the entries of a folder to the disk, where the system can: not on Windows and some network disks."""
    if os.name == "nt":
        return
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def write_json(path: Path, data: dict[str, Any]) -> None:
    """Write an indented JSON file with a checksum of its content."""
    write_file(path, (json.dumps({**data, CHECKSUM_KEY: _data_checksum(data)}, indent=2) + "\n").encode())


def read_json(path: Path) -> dict[str, Any]:
    """Return the content of a JSON file, with its checksum; see `verify_checksum`.

    Raises
    ------
    ProjectError
        If the file is missing, cannot be read, or holds something else.
    """
    try:
        data = storage.read_json(path)
    except FileNotFoundError:
        raise damaged_error(path, "it is missing") from None
    except OSError as error:
        raise unreadable_error(path, error) from error
    except ValueError as error:
        raise damaged_error(path, str(error)) from error
    if not isinstance(data, dict):
        raise damaged_error(path, "it holds no description")
    return data


def verify_checksum(path: Path, data: dict[str, Any]) -> None:
    """Raise ProjectError if a file is not as `write_json` wrote it; files of version 0.1.0 have no checksum."""
    for key in [
        key for key, value in data.items() if len(key) <= len(CHECKSUM_KEY) and CHECKSUM_PATTERN.fullmatch(str(value))
    ]:
        if data[key] != _data_checksum({k: v for k, v in data.items() if k != key}):
            raise damaged_error(
                path, f"its checksum is of another content; if you meant to change it, remove {key} from it"
            )


def checksum(data: bytes) -> str:
    """Return 16 hexadecimal digits that change with each bit of the data."""
    return blake2b(data, digest_size=8).hexdigest()


def _data_checksum(data: dict[str, Any]) -> str:
    """Return the checksum of plain data, whatever the formatting of its file."""
    return checksum(json.dumps(data, sort_keys=True, separators=(",", ":")).encode())


def damaged_error(path: Path, reason: str) -> ProjectError:
    """Return the error for a damaged file."""
    return ProjectError(
        f"The project {path.parent} is damaged: {path.name} cannot be used ({reason}). Copy this file again from a "
        "backup. The strokes are in journal.jsonl and blocks, the weights in commits: keep them."
    )


def unreadable_error(path: Path, error: OSError) -> ProjectError:
    """Return the error for a file that the system refuses to read."""
    return ProjectError(
        f"{path} cannot be read ({describe_os_error(error)}). Nothing was changed; try again when it can."
    )


def unwritable_error(path: Path, error: OSError) -> ProjectError:
    """Return the error for a place where the system refuses to write."""
    return ProjectError(
        f"{path} cannot be written: {describe_os_error(error)}. Choose another folder, or make room for it there."
    )


def describe_os_error(error: OSError) -> str:
    """Return the reason of a system error as a phrase."""
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return "the folder is gone: it was moved or deleted, or its disk was taken out"
    return reason(error)
