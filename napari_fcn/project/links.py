"""Check for links in a project: they are never followed, because they may lead out of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_fcn import storage
from napari_fcn.errors import ProjectError
from napari_fcn.project import blocks, journal
from napari_fcn.storage.atomic import unreadable_error

if TYPE_CHECKING:
    from pathlib import Path


def check_links(folder: Path) -> None:
    """Raise ProjectError if something in a project is a link.

    A link in place of the folder for large strokes is left alone where no stroke is in it: it is not needed, and
    strokes that are painted from then on stand in the journal (`blocks.describe`).
    """
    try:
        links = list(storage.find_links(folder))
        if links == [folder / blocks.FOLDER] and not _has_files(folder / journal.NAME):
            return
    except OSError as error:
        raise unreadable_error(folder, error) from error
    if links:
        raise ProjectError(
            f"The project {folder} was not opened: {links[0].relative_to(folder)} in it is a link or a special file, "
            "which may lead outside the project. Nothing was changed. Replace it by the file or folder itself, or copy "
            "the project again from its source."
        )


def _has_files(path: Path) -> bool:
    """Whether a line of a journal names a file of a stroke."""
    if not path.is_file():
        return True
    with path.open("rb") as lines:
        return any(b'"file"' in line for line in lines)
