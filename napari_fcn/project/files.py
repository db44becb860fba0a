"""Files that are on the disk, whole, when the call returns; and what the system refused in words."""

from __future__ import annotations

import json
import os
import secrets
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from napari_fcn.errors import ProjectError
from napari_fcn.file_names import wrapped
from napari_fcn.system_errors import reason

if TYPE_CHECKING:
    from pathlib import Path

PART = ".part"


def write_file(path: Path, data: bytes) -> None:
    """Give a file new content so that a crash leaves either the old content or the new.

    Raises
    ------
    OSError
        If the system refuses; the old content stays.
    """
    part = path.with_name(wrapped(path.name, ".", f"-{secrets.token_hex(4)}{PART}"))
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


def sync_folder(folder: Path) -> None:
    """Put the names in a folder on the disk, where the system can: Windows and some network disks cannot."""
    if os.name == "nt":
        return
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def write_json(path: Path, data: dict[str, Any]) -> None:
    """Write a file for people and programs."""
    write_file(path, (json.dumps(data, indent=2) + "\n").encode())


def read_json(path: Path) -> dict[str, Any]:
    """Return what `write_json` wrote.

    Raises
    ------
    ProjectError
        If the file is missing, cannot be read, or holds something else.
    """
    try:
        data = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise damaged(path, "it is missing") from None
    except OSError as error:
        raise unreadable(path, error) from error
    except ValueError as error:
        raise damaged(path, str(error)) from error
    if not isinstance(data, dict):
        raise damaged(path, "it holds no description")
    return data


def damaged(path: Path, reason: str) -> ProjectError:
    """Return the error of a file that is not as it was written."""
    return ProjectError(
        f"The project {path.parent} is damaged: {path.name} cannot be used ({reason}). Copy this file again from a "
        "backup. The strokes are in journal.jsonl and blocks, the weights in commits: keep them."
    )


def unreadable(path: Path, error: OSError) -> ProjectError:
    """Return the error of a file that the system does not let us read."""
    return ProjectError(f"{path} cannot be read ({why(error)}). Nothing was changed; try again when it can.")


def unwritable(path: Path, error: OSError) -> ProjectError:
    """Return the error of a place where the system does not let us write."""
    return ProjectError(f"{path} cannot be written: {why(error)}. Choose another folder, or make room for it there.")


def why(error: OSError) -> str:
    """Return what the system refused in a few words."""
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return "the folder is gone: it was moved or deleted, or its disk was taken out"
    return reason(error)
