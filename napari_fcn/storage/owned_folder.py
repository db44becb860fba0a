"""Folders that napari-fcn made: how they are told from others, and how they go without taking anything along."""

from __future__ import annotations

import json
import os
import secrets
import stat
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_fcn.storage.links import is_link

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    IsOwnFile = Callable[[tuple[str, ...], bool], bool]

MARK_NAME = "napari-fcn.json"
SYSTEM_FILES = (".DS_Store", "Thumbs.db", "desktop.ini")  # which file managers leave where somebody looks
SYSTEM_PREFIXES = (
    "._",
    ".nfs",
)  # begin names of what macOS keeps of a file elsewhere, and of what a network disk yet removes
MAX_MARK_BYTES = 4096  # bytes of a mark


@dataclass(frozen=True, slots=True)
class FolderMark:
    """The first file in a folder that napari-fcn makes, by which it knows the folder again.

    Attributes
    ----------
    purpose : str
        What the folder is: ``"unfinished run"``.
    """

    purpose: str

    def write(self, folder: Path) -> None:
        """Mark a folder; one that has a file of this name keeps it.

        Raises
        ------
        OSError
            If the system refuses.
        """
        with suppress(FileExistsError), (folder / MARK_NAME).open("xb") as file:
            file.write(self._start + json.dumps(secrets.token_hex(8)).encode() + b"}\n")

    def is_in(self, folder: Path) -> bool:
        """Whether a folder has this mark; half a mark, as a crash leaves it, counts where there is nothing else."""
        path = folder / MARK_NAME
        try:
            if not stat.S_ISREG(os.lstat(path).st_mode):
                return False
            with path.open("rb") as file:
                content = file.read(MAX_MARK_BYTES)
        except OSError:
            return False
        return content.startswith(self._start) or (
            self._start.startswith(content) and [*os.listdir(folder)] == [MARK_NAME]
        )

    @property
    def _start(self) -> bytes:
        return json.dumps({"format": f"napari-fcn {self.purpose}", "version": 1, "id": ""})[:-3].encode()


def foreign_files(folder: Path, is_own: IsOwnFile) -> list[Path]:
    """Return what lies in a folder and is none of ours, the outermost of each; links are none, whatever their names.

    Parameters
    ----------
    folder : Path
        Where to look.
    is_ours : callable
        Takes the names from the folder down to an entry and whether it is a folder.

    Raises
    ------
    OSError
        If a folder cannot be listed.
    """
    return [folder.joinpath(*parts) for parts, is_known in _walk(folder, is_own) if not is_known]


def remove_own_files(folder: Path, is_own: IsOwnFile, last: str = MARK_NAME) -> bool:
    """Remove what is ours in a folder, and the folder if nothing is left; return whether it is gone.

    Nothing that is a link is followed, or removed: it is none of ours. What the system refuses to remove stays.

    Parameters
    ----------
    folder : Path
        What goes.
    is_ours : callable
        As for `strangers`.
    last : str
        Name of the file that stays until all else is gone.
    """
    if is_link(folder):
        return False
    with suppress(OSError):
        for parts, is_known in [*_walk(folder, is_own)][::-1]:  # what is in a folder comes after it
            path = folder.joinpath(*parts)
            if is_known and parts != (last,):
                with suppress(OSError):
                    path.rmdir() if _is_folder(path) else path.unlink()
        if os.listdir(folder) == [last]:
            (folder / last).unlink()
        folder.rmdir()
    return not os.path.lexists(folder)


def _walk(folder: Path, is_own: IsOwnFile) -> Iterator[tuple[tuple[str, ...], bool]]:
    """Yield the entries below a folder and whether they are ours; folders that are not are not entered."""
    waiting: list[tuple[str, ...]] = [()]
    while waiting:
        above = waiting.pop()
        for name in sorted(os.listdir(folder.joinpath(*above))):
            parts = (*above, name)
            path = folder.joinpath(*parts)
            is_folder = _is_folder(path)
            is_plain = is_folder or stat.S_ISREG(os.lstat(path).st_mode)
            is_known = is_plain and (_is_system_file(name, is_folder) or is_own(parts, is_folder))
            yield parts, is_known
            if is_folder and is_known:
                waiting.append(parts)


def _is_folder(path: Path) -> bool:
    """Whether this is a folder and no link to one."""
    return not is_link(path) and path.is_dir()


def _is_system_file(name: str, is_folder: bool) -> bool:
    return not is_folder and (name in SYSTEM_FILES or name.startswith(SYSTEM_PREFIXES))
