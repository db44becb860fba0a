"""Steps of opening a project: find its folder, lock it, remove leftovers of a crash."""

from __future__ import annotations

import re
from pathlib import Path

from napari_fcn.errors import ProjectError
from napari_fcn.project import blocks, manifest, weights
from napari_fcn.storage import is_link
from napari_fcn.storage.atomic import PART_SUFFIX, unwritable_error
from napari_fcn.storage.lock import LOCK_NAME, Lock

# Names of project files, and the temporary names that `write_file` and `Lock` make of them.
OWN_NAMES = r"project\.json|image\.json|journal\.(jsonl|end|dropped)|\d{6,}\.bin|\d{4,}\.safetensors"
LEFTOVER = re.compile(rf"\.({OWN_NAMES})-[0-9a-f]{{8}}{re.escape(PART_SUFFIX)}|\.{LOCK_NAME}-[0-9a-f]{{8}}")


def folder_of(path: str | Path) -> Path:
    """Return the folder of a project, given the path of the folder or of its manifest."""
    path = Path(path).expanduser().absolute()
    return path.parent if path.name == manifest.PROJECT and path.is_file() else path


def lock_folder(folder: Path) -> Lock:
    """Return the lock of a folder, so that no other program writes to it.

    Raises
    ------
    ProjectInUseError
        If another program has locked it.
    ProjectError
        If the folder cannot be written.
    """
    try:
        return Lock(folder)
    except OSError as error:
        raise ProjectError(
            f"{unwritable_error(folder, error)} It can be opened read-only, and a copy of it can be opened."
        ) from error


def remove_leftovers(folder: Path) -> None:
    """Remove incomplete files that a crash has left; files with other names are kept."""
    for parent in (folder, folder / blocks.FOLDER, folder / weights.FOLDER):
        for part in parent.glob(".*") if parent.is_dir() and (parent == folder or not is_link(parent)) else ():
            if LEFTOVER.fullmatch(part.name) and part.is_file():
                part.unlink(missing_ok=True)
