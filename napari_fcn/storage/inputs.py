"""What a run reads: nothing that it writes may take the place of it."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_fcn.errors import Advice, InputAtRiskError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    FileKey = str | tuple[int, int]

OTHER_PLACE_ADVICE = Advice(
    "Choose another place with --out; --overwrite and --resume never replace what is read.",
    "Choose another place for it; what is read is never replaced.",
)


@dataclass(frozen=True, slots=True)
class Input:
    """A file or folder that is read, and what it is to the user: ``"the model"``."""

    path: Path
    role: str


class Inputs:
    """Files and folders that are read, so that outputs can be compared with all of them at once.

    Two names are one file if their real paths are the same, or the device and number by which the system knows the
    file: links, hard links, ``..`` and names that a disk does not tell apart are seen through.

    Parameters
    ----------
    entries : iterable of Input
        What is read.
    members : callable, optional
        From such a file to further files that it draws on. Asked only of inputs in whose folder, or in a folder of it,
        an output already exists.
    """

    def __init__(self, entries: Iterable[Input] = (), members: Callable[[Path], Iterable[Path]] | None = None) -> None:
        self._by_key: dict[FileKey, Input] = {}
        self._by_parent: dict[FileKey, Input] = {}
        self._members = members
        self._by_folder: dict[FileKey, list[Input]] = {}
        folders: dict[str, frozenset[FileKey]] = {}
        for entry in entries:
            _register(self._by_key, _file_keys(entry.path), entry)
            for folder in _parents(entry.path):
                if folder not in folders:
                    folders[folder] = frozenset(_file_keys(folder))
                _register(self._by_parent, folders[folder], entry)
            if members is not None:
                for key in _file_keys(entry.path.parent):
                    self._by_folder.setdefault(key, []).append(entry)

    def check_file(self, output: Path) -> None:
        """Raise InputAtRiskError if a file or folder of this name would replace or hold an input, or lie in one."""
        own = _file_keys(output)
        self._check_path(output, own)
        if found := _find(self._by_parent, own):
            raise InputAtRiskError(
                f"{output} holds {found.path}, {found.role}, and would replace it.", OTHER_PLACE_ADVICE
            )

    def check_folder(self, folder: Path) -> None:
        """Raise InputAtRiskError if results in this folder would lie in an input; the folder itself is not replaced."""
        self._check_path(folder, _file_keys(folder))

    def _check_path(self, output: Path, own: Sequence[FileKey]) -> None:
        above = [key for folder in _parents(output) for key in _file_keys(folder)]
        if os.path.lexists(output):
            self._add_members(above)
        if found := _find(self._by_key, own):
            is_named = os.path.abspath(found.path) == os.path.abspath(output)
            same = "is" if is_named else f"is the same as {found.path},"
            raise InputAtRiskError(f"{output} {same} {found.role}, which it would replace.", OTHER_PLACE_ADVICE)
        found = _find(self._by_key, above)
        if found and not os.path.isfile(found.path):  # in a file the system itself lets nothing lie
            raise InputAtRiskError(f"{output} would be written into {found.path}, {found.role}.", OTHER_PLACE_ADVICE)

    def _add_members(self, folders: Iterable[FileKey]) -> None:
        """Add the further files of the inputs in these folders, each asked once."""
        for entry in dict.fromkeys(entry for key in folders for entry in self._by_folder.pop(key, ())):
            assert self._members is not None
            for path in self._members(entry.path):
                _register(self._by_key, _file_keys(path), Input(path, f"a file of {entry.path.name}"))


NO_INPUTS = Inputs()


def _register(table: dict[FileKey, Input], keys: Iterable[FileKey], entry: Input) -> None:
    for key in keys:
        table.setdefault(key, entry)


def _find(table: Mapping[FileKey, Input], keys: Iterable[FileKey]) -> Input | None:
    return next((table[key] for key in keys if key in table), None)


def _file_keys(path: str | Path) -> list[FileKey]:
    """Return what tells a file from others: its real path and, if it is there, its device and number."""
    found: list[FileKey] = []
    with suppress(OSError, ValueError):
        real = os.path.realpath(path)
        found.append(os.path.normcase(real))
        state = os.stat(real)
        if state.st_ino:
            found.append((state.st_dev, state.st_ino))
    return found


def _parents(path: Path) -> Iterator[str]:
    """Yield the folders that hold a file, by its name as it was given and by its real path, innermost first."""
    known = set()
    for name in (os.path.realpath(path), os.path.abspath(path)):
        folder = os.path.dirname(name)
        while folder not in known:
            known.add(folder)
            yield folder
            folder = os.path.dirname(folder)
