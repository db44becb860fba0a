"""Refuse links in a project folder: they could lead to files outside of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_fcn import storage
from napari_fcn.errors import ProjectError
from napari_fcn.project import blocks, journal
from napari_fcn.storage.atomic import unreadable_error

if TYPE_CHECKING:
    from pathlib import Path


def check_links(folder: Path) -> None:
    """Raise ProjectError if a project contains a link or a special file.

    A link in place of the folder of block files is tolerated as long as no entry has a file in it; new blocks are then
    written to the journal (see `encode_block`).
    """
    try:
        links = list(storage.find_links(folder))
        if links == [folder / blocks.FOLDER] and not _names_files(folder / journal.NAME):
            return
    except OSError as error:
        raise unreadable_error(folder, error) from error
    if links:
        raise ProjectError(
            f"The project {folder} was not opened: {links[0].relative_to(folder)} in it is a link or a special file, "
            "which may lead outside the project. Nothing was changed. Replace it with the file or folder itself, or "
            "copy the project again from its source."
        )


def _names_files(path: Path) -> bool:
    """Whether an entry of a journal names a block file."""
    if not path.is_file():
        return True
    with path.open("rb") as lines:
        return any(b'"file"' in line for line in lines)
