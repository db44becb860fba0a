"""The journal of a project: an append-only file of entries."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass, is_dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from napari_fcn.errors import ProjectError
from napari_fcn.project import blocks
from napari_fcn.project.lines import Damaged, Line, decode, encode, scan, sort_lines
from napari_fcn.storage.atomic import break_hard_link, damaged_error, describe_os_error, unreadable_error, write_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import BinaryIO

    import numpy.typing as npt

    from napari_fcn.geometry import Region

    Entry = dict[str, Any]

NAME = "journal.jsonl"
DROPPED = "journal.dropped"


@dataclass(frozen=True, slots=True)
class _Unwritten:
    """An entry that is not on the disk yet, and the content of its block file."""

    entry: Entry
    data: bytes | None


class Journal:
    r"""The entries of a project in order: one JSON object per line, with a number ``n`` and a checksum.

    ::

        {"n": 0, ...}\n {"n": 1, ...}\n {"n": 2, ...}\n {"n": 3, "ki        <- incomplete after a crash: cut off
                                                       ^ end

    Entries that could not be written stay in memory and are written, in order, with the next one.

    Parameters
    ----------
    folder : Path
        The project's folder.

    Attributes
    ----------
    damaged : tuple of Damaged
        Entries that were skipped, in the order of the file.
    torn_bytes : int
        Bytes after the last complete entry.
    strokes : int
        Minimum number of strokes, including lost ones.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self._path = folder, folder / NAME
        self._spans: dict[int, tuple[int, int]] = {}  # n -> start and length of its text in bytes
        self._end = 0  # the byte after the last complete entry
        self._waiting: dict[int, _Unwritten] = {}
        self.damaged: tuple[Damaged, ...] = ()
        self.torn_bytes = 0
        self.strokes = 0

    @classmethod
    def open(cls, folder: Path, is_whole: Callable[[Entry], bool]) -> Self:
        """Return the journal of a folder; nothing is changed on the disk.

        Parameters
        ----------
        folder : Path
            The project's folder.
        is_whole : callable
            Takes an entry and returns whether its files are complete. It is called for each entry, in order.

        Raises
        ------
        ProjectError
            If there is no journal, or it cannot be read.
        """
        journal = cls(folder)
        try:
            with journal._path.open("rb") as file:
                journal._read(file, is_whole)
        except FileNotFoundError:
            raise damaged_error(journal._path, "it is missing") from None
        except OSError as error:
            raise unreadable_error(Path(error.filename or journal._path), error) from error
        return journal

    def _read(self, file: BinaryIO, is_whole: Callable[[Entry], bool]) -> None:
        parts = list(scan(file))
        size = file.tell()
        lines, invalid = sort_lines([part for part in parts if isinstance(part, Line)])
        damaged = [part for part in parts if isinstance(part, Damaged)]
        damaged += [Damaged(line.start, line.stroke or 0) for line in invalid]
        for line in lines:
            if is_whole(self._entry(file, line.start, line.length)):
                self._spans[line.n] = (line.start, line.length)
                self._end = max(self._end, line.stop)
            else:
                damaged.append(Damaged(line.start, line.stroke or 0))
            self.strokes = max(self.strokes, line.strokes)
        file.seek(self._end)
        next_byte = file.read(1) if self._end else b"\n"
        self._end += next_byte == b"\n" and self._end < size and self._end > 0
        self.damaged = tuple(sorted(damaged, key=lambda part: part.start))
        self.torn_bytes = size - self._end

    def _entry(self, file: BinaryIO, start: int, length: int) -> Entry:
        """Return the entry at a position in the file.

        Raises
        ------
        ProjectError
            If the file has changed at this position.
        """
        file.seek(start)
        decoded = decode(file.read(length))
        if decoded is None:
            raise damaged_error(self._path, "it was changed while it was open")
        return decoded[0]

    @property
    def stop(self) -> int:
        """The byte after the last complete entry."""
        return self._end

    @property
    def missing_numbers(self) -> list[int]:
        """Numbers of missing entries before the last one."""
        return [n for a, b in pairwise([-1, *self._spans]) for n in range(a + 1, min(b, a + 2**16))]

    def repair(self) -> None:
        """Move an incomplete entry at the end to the file `DROPPED`, and end the last line with a newline.

        Raises
        ------
        OSError
            If the system refuses.
        """
        break_hard_link(self._path)
        with self._path.open("r+b") as file:
            file.seek(self._end)
            tail = file.read(self.torn_bytes)
            file.seek(max(0, self._end - 1))
            has_newline = self._end == 0 or file.read(1) == b"\n"
            if not tail and has_newline:
                return
            if tail.strip():
                self._save_tail(tail)
            file.truncate(self._end)
            file.seek(self._end)
            if not has_newline:
                self._end += file.write(b"\n")
            file.flush()
            os.fsync(file.fileno())
        self.torn_bytes = 0

    def _save_tail(self, tail: bytes) -> None:
        """Append the removed bytes to the file `DROPPED`."""
        if (self.folder / DROPPED).exists():
            break_hard_link(self.folder / DROPPED)
        with (self.folder / DROPPED).open("ab") as dropped:
            dropped.write(tail if tail.endswith(b"\n") else tail + b"\n")
            dropped.flush()
            os.fsync(dropped.fileno())

    @property
    def next_number(self) -> int:
        """Number of the next entry."""
        return max(next(reversed(self._spans), -1), next(reversed(self._waiting), -1)) + 1

    @property
    def numbers(self) -> list[int]:
        """Numbers of the entries, in order."""
        return [*self._spans, *self._waiting]

    @property
    def waiting(self) -> int:
        """Number of entries that are not on the disk."""
        return len(self._waiting)

    def draft(self, kind: str, fields: Entry) -> Entry:
        """Return the next entry, as plain data, without adding it."""
        time = datetime.now(UTC).isoformat(timespec="milliseconds")
        return {"n": self.next_number, "kind": kind, "time": time, **_as_json(fields)}

    def add(self, entry: Entry, data: bytes | None = None) -> None:
        """Add the next entry, and ``data`` for its block file; `flush` writes them."""
        assert entry["n"] == self.next_number
        self._waiting[entry["n"]] = _Unwritten(entry, data)

    def flush(self) -> None:
        """Write the waiting entries; all are on the disk when this returns.

        Raises
        ------
        ProjectError
            If writing fails. Entries that were not written keep waiting.
        """
        try:
            for n, waiting in list(self._waiting.items()):
                self._write(waiting)
                del self._waiting[n]
        except OSError as error:
            raise ProjectError(
                f"The last strokes cannot be written to {self.folder}: {describe_os_error(error)}. They are not lost: "
                f"layer and memory hold them (waiting: {len(self._waiting)}). Make room on the disk or put the folder "
                "back, then paint on: they are written with the next stroke. Do not close the window before."
            ) from error

    def _write(self, waiting: _Unwritten) -> None:
        if waiting.data is not None:
            write_file(self.folder / waiting.entry["file"], waiting.data)
        line = encode(waiting.entry)
        with self._path.open("r+b", buffering=0) as file:
            try:
                file.seek(self._end)
                remaining = memoryview(line)
                while remaining:
                    remaining = remaining[file.write(remaining) :]
                os.fsync(file.fileno())
            except OSError:
                with suppress(OSError):  # an incomplete line is overwritten by the next one
                    file.truncate(self._end)
                raise
        self._spans[waiting.entry["n"]] = (self._end, len(line) - 1)
        self._end += len(line)

    def entries(self, numbers: Iterable[int]) -> Iterator[Entry]:
        """Yield entries by number, including those that wait.

        Raises
        ------
        ProjectError
            If the journal can no longer be read.
        """
        try:
            with self._path.open("rb") as file:
                for n in numbers:
                    if waiting := self._waiting.get(n):  # checked first: entries are removed here after being written
                        yield waiting.entry
                    else:
                        yield self._entry(file, *self._spans[n])
        except OSError as error:
            raise unreadable_error(self._path, error) from error

    def block(self, entry: Entry, region: Region) -> npt.NDArray[np.uint8]:
        """Return the label values of an entry; errors are those of `decode_block`."""
        waiting = self._waiting.get(entry["n"])
        return blocks.decode_block(self.folder, entry, region, waiting.data if waiting else None)


def _as_json(fields: Entry) -> Entry:
    """Return plain data; NaN and infinity become None."""
    return dict(json.loads(json.dumps(fields, default=_plain), parse_constant=lambda word: None))


def _plain(value: Any) -> Any:
    """Return a value as a type that JSON supports."""
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    raise TypeError(f"The journal cannot store a {type(value).__name__}.")
