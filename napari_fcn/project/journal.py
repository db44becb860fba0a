"""An append-only file of entries; what was flushed is on the disk."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass, is_dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from napari_fcn.errors import ProjectError
from napari_fcn.project import blocks
from napari_fcn.project.files import damaged, unreadable, why, write_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    import numpy.typing as npt

    from napari_fcn.geometry import Region

    Entry = dict[str, Any]

NAME = "journal.jsonl"
DROPPED = "journal.dropped"


@dataclass(frozen=True, slots=True)
class _Waiting:
    """An entry that is not on the disk, and the content of its block's file."""

    entry: Entry
    data: bytes | None


class Journal:
    r"""What happened, in order: one JSON object a line, numbered by ``n``.

    ::

        {"n": 0, ...}\n {"n": 1, ...}\n {"n": 2, ...}\n {"n": 3, "ki        <- a crash: the torn tail is cut off
                                                       ^ end

    Entries that the disk refuses wait in memory and are written, in order, with the next one.

    Parameters
    ----------
    folder : Path
        The project's folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self._path = folder, folder / NAME
        self._places: dict[int, tuple[int, int]] = {}  # n -> first byte and length of its line
        self._end = 0  # bytes up to here are whole entries
        self._waiting: dict[int, _Waiting] = {}
        self.lost = 0  # broken lines between whole ones
        self.torn = 0  # bytes after the last whole entry

    @classmethod
    def open(cls, folder: Path, is_whole: Callable[[Entry], bool]) -> Self:
        """Return the journal of a folder; nothing is changed on the disk.

        Parameters
        ----------
        folder : Path
            The project's folder.
        is_whole : callable
            Whether what an entry speaks of is there. It is asked for each, in order.

        Raises
        ------
        ProjectError
            If there is no journal, or it cannot be read.
        """
        journal = cls(folder)
        try:
            with journal._path.open("rb") as file:
                journal._scan(file, is_whole)
        except FileNotFoundError:
            raise damaged(journal._path, "it is missing") from None
        except OSError as error:
            raise unreadable(Path(error.filename or journal._path), error) from error
        return journal

    def _scan(self, lines: Iterable[bytes], is_whole: Callable[[Entry], bool]) -> None:
        position, broken = 0, 0
        for line in lines:
            entry = _parse(line)
            if entry is not None and entry["n"] >= self.next and is_whole(entry):
                self._places[entry["n"]] = (position, len(line))
                self._end, self.lost, broken = position + len(line), self.lost + broken, 0
            else:
                broken += 1
            position += len(line)
        self.torn = position - self._end

    def repair(self) -> None:
        """Cut off what is broken at the end; whole lines of it are kept in a file beside.

        Raises
        ------
        OSError
            If the system refuses.
        """
        if not self.torn:
            return
        with self._path.open("r+b") as file:
            file.seek(self._end)
            tail = file.read()
            if b"\n" in tail:
                with (self.folder / DROPPED).open("ab") as dropped:
                    dropped.write(tail if tail.endswith(b"\n") else tail + b"\n")
            file.truncate(self._end)
            os.fsync(file.fileno())

    @property
    def next(self) -> int:
        """Number of the next entry."""
        return max(next(reversed(self._places), -1), next(reversed(self._waiting), -1)) + 1

    @property
    def numbers(self) -> list[int]:
        """Number of each entry, in order."""
        return [*self._places, *self._waiting]

    @property
    def waiting(self) -> int:
        """Entries that are not on the disk."""
        return len(self._waiting)

    def draft(self, kind: str, facts: Entry) -> Entry:
        """Return what would be the next entry, as plain data."""
        time = datetime.now(UTC).isoformat(timespec="milliseconds")
        return {"n": self.next, "kind": kind, "time": time, **json.loads(json.dumps(facts, default=_plain))}

    def add(self, entry: Entry, data: bytes | None = None) -> None:
        """Let the next entry, and ``data`` for the file of its block, wait for `flush`."""
        assert entry["n"] == self.next
        self._waiting[entry["n"]] = _Waiting(entry, data)

    def flush(self) -> None:
        """Write what waits; all of it is on the disk when this returns.

        Raises
        ------
        ProjectError
            If the disk refuses. What was not written still waits.
        """
        try:
            for n, waiting in list(self._waiting.items()):
                self._write(waiting)
                del self._waiting[n]
        except OSError as error:
            raise ProjectError(
                f"The last strokes cannot be written to {self.folder}: {why(error)}. They are not lost: they are in "
                f"the layer and in memory (waiting: {len(self._waiting)}). Make room on the disk or put the folder "
                "back, then paint on: they are written with the next stroke. Do not close the window before."
            ) from error

    def _write(self, waiting: _Waiting) -> None:
        if waiting.data is not None:
            write_file(self.folder / waiting.entry["file"], waiting.data)
        line = json.dumps(waiting.entry, separators=(",", ":")).encode() + b"\n"
        with self._path.open("r+b", buffering=0) as file:
            try:
                file.seek(self._end)
                rest = memoryview(line)
                while rest:
                    rest = rest[file.write(rest) :]
                os.fsync(file.fileno())
            except OSError:
                with suppress(OSError):  # half a line does no harm: the next one is written over it
                    file.truncate(self._end)
                raise
        self._places[waiting.entry["n"]] = (self._end, len(line))
        self._end += len(line)

    def entries(self, numbers: Iterable[int]) -> Iterator[Entry]:
        """Yield entries by number, those that wait included.

        Raises
        ------
        ProjectError
            If the journal cannot be read any more.
        """
        try:
            with self._path.open("rb") as file:
                for n in numbers:
                    if waiting := self._waiting.get(n):  # asked first: what is written leaves it last
                        yield waiting.entry
                    else:
                        start, length = self._places[n]
                        file.seek(start)
                        yield json.loads(file.read(length))
        except OSError as error:
            raise unreadable(self._path, error) from error
        except ValueError as error:
            raise damaged(self._path, str(error)) from error

    def block(self, entry: Entry, region: Region) -> npt.NDArray[np.uint8]:
        """Return the label values of an entry; what may be raised is that of `blocks.content`."""
        waiting = self._waiting.get(entry["n"])
        return blocks.content(self.folder, entry, region, waiting.data if waiting else None)


def _parse(line: bytes) -> Entry | None:
    """Return the entry in a line, None if it is not whole."""
    try:
        entry = json.loads(line) if line.endswith(b"\n") else None
    except ValueError:
        return None
    is_entry = isinstance(entry, dict) and isinstance(entry.get("n"), int) and isinstance(entry.get("kind"), str)
    return entry if is_entry else None


def _plain(value: Any) -> Any:
    """Return a value as JSON knows it."""
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    raise TypeError(f"A {type(value).__name__} cannot stand in the journal.")
