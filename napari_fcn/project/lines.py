"""Journal entries as lines of JSON with a checksum, and their recovery from a damaged file."""

from __future__ import annotations

import json
import re
import sys
from bisect import bisect_left
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from napari_fcn.project.schema import ENTRIES, check_entry
from napari_fcn.storage import JsonError, parse_json
from napari_fcn.storage.atomic import CHECKSUM_KEY, checksum, write_file

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path
    from typing import BinaryIO

    Entry = dict[str, Any]

END = "journal.end"
COUNTERS = ("stroke", "strokes", "turn", "number", "parent")  # each grows by at most 1 per entry
MAX_GAP = 2**20  # by which a counter may exceed the entry number; more than the entries that can have been lost
MAX_LINE = 2**20  # bytes; blocks of more than 32 KiB have a file of their own

_CHECKSUM = re.compile(rb',\s*"([^"]{2,4})"\s*:\s*"([^"]{14,18})"\s*\}\Z')  # also matches with one damaged byte
_HEX = re.compile(rb"[0-9a-f]{12,}")
_START = re.compile(rb'\{"n":')
_NOT_FINITE = re.compile(rb"(?<=[:,\[])-?(?:NaN|Infinity)(?=[,\]}])")  # version 0.1.0 wrote these for missing scores


@dataclass(frozen=True, slots=True)
class Line:
    """Position of an entry in the journal.

    Attributes
    ----------
    n : int
        Number of the entry.
    stroke : int or None
        Number of the stroke; None for other kinds of entries.
    start, length : int
        Position and length of the text, in bytes.
    is_sealed : bool
        Whether its checksum was verified; journals of version 0.1.0 have none.
    strokes : int
        Minimum number of strokes when the entry was written.
    """

    n: int
    stroke: int | None
    start: int
    length: int
    is_sealed: bool
    strokes: int

    @property
    def stop(self) -> int:
        """The first byte after the text."""
        return self.start + self.length


@dataclass(frozen=True, slots=True)
class Damaged:
    """Start of bytes that are not a valid entry, and the number of the stroke they probably held; 0 if none."""

    start: int
    stroke: int


@dataclass(frozen=True, slots=True)
class End:
    """Number of entries and strokes in a journal when it was last closed."""

    entries: int = 0
    strokes: int = 0

    def write(self, folder: Path) -> None:
        """Write the counts to the file `END` of a project.

        Raises
        ------
        OSError
            If the system refuses.
        """
        write_file(folder / END, encode({"n": self.entries, "kind": "end", "strokes": self.strokes}))


def read_end(folder: Path) -> End:
    """Return the counts in the file `END` of a project; zeros if it cannot be read."""
    try:
        with (folder / END).open("rb") as file:
            decoded = decode(file.read(MAX_LINE).removesuffix(b"\n"))
    except OSError:
        return End()
    return End(decoded[0]["n"], decoded[0].get("strokes", 0)) if decoded is not None and decoded[1] else End()


def encode(entry: Entry) -> bytes:
    """Return an entry as a line with a checksum."""
    text = json.dumps(entry, separators=(",", ":")).encode()
    return text[:-1] + f',"{CHECKSUM_KEY}":"{checksum(text)}"}}\n'.encode()


def decode(text: bytes) -> tuple[Entry, bool] | None:
    """Return the entry in a line, without its checksum, and whether it had one; None if the line is damaged."""
    found = _CHECKSUM.search(text)
    is_sealed = False
    if found is not None and (found[1] == CHECKSUM_KEY.encode() or (len(found[1]) < 4 and _HEX.search(found[2]))):
        text = text[: found.start()] + b"}"
        is_sealed = checksum(text).encode() == found[2]
        if not is_sealed:
            return None
    try:
        entry = parse_json(text if is_sealed else _NOT_FINITE.sub(b"null", text), MAX_LINE)
        check_entry(entry)
    except (JsonError, ValueError):
        return None
    return entry, is_sealed


def scan(file: BinaryIO) -> Iterator[Line | Damaged]:
    """Yield the valid and damaged parts of a journal, in the order of the file.

    Entries are recognised even if the newline between two of them is damaged or missing.
    """
    start = 0
    while text := file.readline(MAX_LINE):
        chunk = text
        while not chunk.endswith(b"\n") and (chunk := file.readline(MAX_LINE)):  # longer than any valid line
            text += chunk[: max(0, MAX_LINE - len(text))]
        length = file.tell() - start
        yield from _parse_lines(text, start) if length <= MAX_LINE else [Damaged(start, 0)]
        start += length


def _parse_lines(text: bytes, start: int) -> Iterator[Line | Damaged]:
    """Yield the entries in the bytes up to a newline: one, unless they are damaged."""
    line = _parse_line(text[:-1].removesuffix(b"\r"), start) if text.endswith(b"\n") else None
    if line is not None:
        yield line
        return
    if not text.strip():
        return
    starts = [match.start() for match in _START.finditer(text)]
    if starts[:1] != [0]:
        yield Damaged(start, 0)
    for first, end in pairwise([*starts, len(text)]):
        part = text[first:end]
        is_followed = end < len(text) and text.endswith(b"\n")
        line = _parse_line(part[:-1], start + first) or (_parse_line(part, start + first) if is_followed else None)
        yield line or Damaged(start + first, _guess_stroke(part))


def _parse_line(text: bytes, start: int) -> Line | None:
    decoded = decode(text)
    if decoded is None:
        return None
    entry, is_sealed = decoded
    stroke = entry["stroke"] if entry["kind"] == "stroke" else None
    counters = entry["commit"] if entry["kind"] == "commit" else entry
    if max(counters.get(name) or 0 for name in COUNTERS) > entry["n"] + MAX_GAP and entry["kind"] in ENTRIES:
        return None
    strokes = stroke or (counters.get("strokes", 0) if is_sealed and entry["kind"] in ("turn", "commit") else 0)
    return Line(entry["n"], stroke, start, len(text), is_sealed, strokes)


def _guess_stroke(text: bytes) -> int:
    """Return the number of the stroke that a damaged entry seems to be; 0 if it seems to be none."""
    found = re.search(rb'"stroke":(\d{1,9})\b', text)
    return int(found[1]) if found else 0


def sort_lines(lines: Sequence[Line]) -> tuple[list[Line], list[Line]]:
    """Return the entries in the order of their numbers, and the entries with implausible numbers.

    Entries with a checksum are valid at any position; duplicates are dropped. Of the others, numbers of entries and of
    strokes must ascend: those outside the longest ascending subsequence are taken as damaged.
    """
    near = [line for position, line in enumerate(lines) if line.n <= position + MAX_GAP]
    sealed: dict[int, Line] = {}
    for line in near:
        if line.is_sealed:
            sealed.setdefault(line.n, line)
    old = [line for line in near if not line.is_sealed and line.n not in sealed]
    ascending = _longest_ascending([line.n for line in old])
    unsealed = {old[i].n: old[i] for i in ascending}
    last = max(unsealed, default=-1)
    for line in old:  # two lines that were swapped
        if line.n < last:
            unsealed.setdefault(line.n, line)
    by_number = sorted([*sealed.values(), *unsealed.values()], key=lambda line: line.n)
    plausible = _plausible_strokes([line for line in by_number if line.stroke is not None])
    valid = [line for line in by_number if line.stroke is None or line.n in plausible]
    starts = {line.start for line in valid}
    copies = {(line.n, line.is_sealed, line.length) for line in valid}
    invalid = [
        line for line in lines if line.start not in starts and (line.n, line.is_sealed, line.length) not in copies
    ]
    return valid, invalid


def _plausible_strokes(lines: Sequence[Line]) -> set[int]:
    """Return the numbers of the entries whose stroke numbers are plausible; ``lines`` are sorted by number."""
    first, last = [0], [sys.maxsize]  # exclusive bounds of the stroke of each entry
    for line in lines:
        first.append(max(first[-1], line.stroke or 0) if line.is_sealed else first[-1])
    for line in reversed(lines):
        last.append(min(last[-1], line.stroke or 0) if line.is_sealed else last[-1])
    old = [
        line
        for line, low, high in zip(lines, first, reversed(last[:-1]), strict=False)
        if not line.is_sealed and low < (line.stroke or 0) < high
    ]
    ascending = {old[i].n for i in _longest_ascending([line.stroke or 0 for line in old])}
    return ascending | {line.n for line in lines if line.is_sealed}


def _longest_ascending(numbers: Sequence[int]) -> list[int]:
    """Return the indices of a longest ascending subsequence (patience sorting)."""
    ends: list[int] = []  # the smallest number that ends a subsequence of each length
    indices: list[int] = []
    previous: list[int] = []
    for i, number in enumerate(numbers):
        length = bisect_left(ends, number)
        previous.append(indices[length - 1] if length else -1)
        if length == len(ends):
            ends.append(number)
            indices.append(i)
        else:
            ends[length], indices[length] = number, i
    chain = indices[-1:]
    while chain and previous[chain[-1]] >= 0:
        chain.append(previous[chain[-1]])
    return chain[::-1]
