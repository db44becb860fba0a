"""Folders made by napari-fcn: a mark to recognise them, and removal that spares other files."""

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
SYSTEM_FILES = (".DS_Store", "Thumbs.db", "desktop.ini")  # left by file managers
SYSTEM_PREFIXES = (
    "._",
    ".nfs",
)  # of macOS resource forks, and of files that NFS has not removed yet
MAX_MARK_BYTES = 4096  # bytes of a mark


@dataclass(frozen=True, slots=True)
class FolderMark:
    """A file that marks a folder as made by napari-fcn.

    Attributes
    ----------
    purpose : str
        The purpose of the folder: ``"unfinished run"``.
    """

    purpose: str

    def write(self, folder: Path) -> None:
        """Mark a folder; an existing file of this name is kept.

        Raises
        ------
        OSError
            If the system refuses.
        """
        with suppress(FileExistsError), (folder / MARK_NAME).open("xb") as file:
            file.write(self._start + json.dumps(secrets.token_hex(8)).encode() + b"}\n")

    def is_in(self, folder: Path) -> bool:
        """Whether a folder has this mark; a truncated mark (after a crash) counts if it is the only file."""
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
    """Return the outermost foreign entries of a folder; links always count as foreign.

    Parameters
    ----------
    folder : Path
        Where to look.
    is_own : callable
        Takes the path of an entry inside the folder, as names, and whether it is a folder.

    Raises
    ------
    OSError
        If a folder cannot be listed.
    """
    return [folder.joinpath(*parts) for parts, is_known in _walk(folder, is_own) if not is_known]


def remove_own_files(folder: Path, is_own: IsOwnFile, last: str = MARK_NAME) -> bool:
    """Remove our own files from a folder, and the folder if it is empty then; return whether it is gone.

    Links are neither followed nor removed. Files that the system refuses to remove stay.

    Parameters
    ----------
    folder : Path
        The folder.
    is_own : callable
        As for `foreign_files`.
    last : str
        Name of the file that is removed last.
    """
    if is_link(folder):
        return False
    with suppress(OSError):
        for parts, is_known in [*_walk(folder, is_own)][::-1]:  # contents before their folder
            path = folder.joinpath(*parts)
            if is_known and parts != (last,):
                with suppress(OSError):
                    path.rmdir() if _is_folder(path) else path.unlink()
        if os.listdir(folder) == [last]:
            (folder / last).unlink()
        folder.rmdir()
    return not os.path.lexists(folder)


def _walk(folder: Path, is_own: IsOwnFile) -> Iterator[tuple[tuple[str, ...], bool]]:
    """Yield the entries below a folder and whether they are our own; foreign folders are not entered."""
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
    """Whether this is a folder, not a link to one."""
    return not is_link(path) and path.is_dir()


def _is_system_file(name: str, is_folder: bool) -> bool:
    return not is_folder and (name in SYSTEM_FILES or name.startswith(SYSTEM_PREFIXES))
