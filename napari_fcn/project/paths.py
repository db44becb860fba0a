"""Default paths and copies of projects."""

from __future__ import annotations

import os
import re
import secrets
import shutil
from itertools import count
from pathlib import Path

from napari_fcn.errors import ProjectError
from napari_fcn.file_names import wrapped
from napari_fcn.project import blocks, journal, lines
from napari_fcn.project.links import check_links
from napari_fcn.storage import is_link, lock
from napari_fcn.storage.atomic import PART_SUFFIX, sync_folder, unwritable_error

SUFFIX = ".fcn"
ENDINGS = re.compile(r"(\.ome)?\.(tiff?|zarr|npy|png|jpe?g|fasta|fa)$", re.IGNORECASE)
UNSAFE = re.compile(r'[\x00-\x1f<>:"/\\|?*]+')  # not allowed in a file name on some systems
RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\.|$)", re.IGNORECASE)  # device names on Windows
MAX_NAME = 80


def default_path(image_name: str, image_path: str | Path | None = None) -> Path:
    """Return an unused path for a project: next to the image, else in the user's documents or home folder.

    Parameters
    ----------
    image_name : str
        Name of the image layer.
    image_path : str or Path, optional
        File or folder of the image; None or a URL if it is not on this computer.
    """
    file = Path(image_path).absolute() if image_path and "://" not in str(image_path) else None
    is_next_to_image = file is not None and file.parent.is_dir() and os.access(file.parent, os.W_OK)
    folder = file.parent if file is not None and is_next_to_image else _home()
    stem = _safe(ENDINGS.sub("", file.name if file is not None else image_name))
    names = (wrapped(stem, after=SUFFIX if i == 1 else f"-{i}{SUFFIX}") for i in count(1))
    return next(folder / name for name in names if not os.path.lexists(folder / name))


def _home() -> Path:
    documents = Path.home() / "Documents"
    return documents if documents.is_dir() and os.access(documents, os.W_OK) else Path.home()


def _safe(name: str) -> str:
    """Return a name that is valid on all systems."""
    name = UNSAFE.sub("_", name)[:MAX_NAME].strip(" .") or "image"
    return f"_{name}" if RESERVED.match(name) else name


def copy_project(path: str | Path, target: str | Path) -> Path:
    """Copy a project, which may be open in another program, and return the path of the copy.

    Raises
    ------
    ProjectError
        If ``target`` exists, or cannot be written.
    """
    path, target = Path(path).absolute(), Path(target).absolute()
    if os.path.lexists(target):
        raise ProjectError(f"{target} exists already. Choose another name for the copy.")
    if path.is_dir():
        check_links(path)
    part = target.with_name(wrapped(target.name, ".", f"-{secrets.token_hex(4)}{PART_SUFFIX}"))
    try:
        part.mkdir(parents=True)
        if (path / lines.END).exists():
            shutil.copy2(path / lines.END, part)  # before the journal: entries are written before they are counted
        shutil.copy2(path / journal.NAME, part)  # before the rest: files are written before the entries that name them
        (part / blocks.FOLDER).mkdir()
        linked = [blocks.FOLDER] if is_link(path / blocks.FOLDER) else []
        skipped = shutil.ignore_patterns(
            lock.LOCK_NAME, f".{lock.LOCK_NAME}-*", f"*{PART_SUFFIX}", journal.NAME, lines.END, *linked
        )
        shutil.copytree(path, part, ignore=skipped, dirs_exist_ok=True)
        os.rename(part, target)
    except OSError as error:
        shutil.rmtree(part, ignore_errors=True)
        raise unwritable_error(target, error) from error
    sync_folder(target.parent)
    return target
