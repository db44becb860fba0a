"""The inputs of a run, which its outputs must not overwrite."""

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
    """A file or folder that is read, and its role in messages: ``"the model"``."""

    path: Path
    role: str


class Inputs:
    """Files and folders that are read, with checks of outputs against all of them.

    Two names are one file if their real paths are the same, or their device and inode: links, hard links, ``..`` and
    case-insensitive names are resolved.

    Parameters
    ----------
    entries : iterable of Input
        What is read.
    members : callable, optional
        Returns further files that an input refers to. Called only if an output exists in the folder of the input or
        below it.
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
        """Raise InputAtRiskError if an output would replace, contain or lie inside an input."""
        own = _file_keys(output)
        self._check_path(output, own)
        if found := _find(self._by_parent, own):
            raise InputAtRiskError(
                f"{output} holds {found.path}, {found.role}, and would replace it.", OTHER_PLACE_ADVICE
            )

    def check_folder(self, folder: Path) -> None:
        """Raise InputAtRiskError if results in this folder would lie inside an input."""
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
        if found and not os.path.isfile(found.path):  # nothing can lie inside a file
            raise InputAtRiskError(f"{output} would be written into {found.path}, {found.role}.", OTHER_PLACE_ADVICE)

    def _add_members(self, folders: Iterable[FileKey]) -> None:
        """Add the files to which the inputs in these folders refer, once for each input."""
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
    """Return the keys of a file: its real path and, if it exists, its device and inode."""
    found: list[FileKey] = []
    with suppress(OSError, ValueError):
        real = os.path.realpath(path)
        found.append(os.path.normcase(real))
        state = os.stat(real)
        if state.st_ino:
            found.append((state.st_dev, state.st_ino))
    return found


def _parents(path: Path) -> Iterator[str]:
    """Yield the parent folders of a file, of its real and its given path, innermost first."""
    seen = set()
    for name in (os.path.realpath(path), os.path.abspath(path)):
        folder = os.path.dirname(name)
        while folder not in seen:
            seen.add(folder)
            yield folder
            folder = os.path.dirname(folder)
