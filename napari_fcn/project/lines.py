"""Encoding of journal entries as lines of JSON that end in a checksum, so that each changed byte is detected."""

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
COUNTERS = ("stroke", "strokes", "turn", "number", "parent")  # of each there is one an entry at most
MAX_GAP = (
    2**20
)  # by which such a number may be ahead, as lost entries have had theirs: no later one runs out of numbers
MAX_LINE = 2**20  # bytes of a line; strokes of more than 32 KiB have a file of their own

# The checksum, with a byte of it changed or missing too.
_SEAL = re.compile(rb',\s*"([^"]{2,4})"\s*:\s*"([^"]{14,18})"\s*\}\Z')
_HEX = re.compile(rb"[0-9a-f]{12,}")
_START = re.compile(rb'\{"n":')
_NO_NUMBER = re.compile(rb"(?<=[:,\[])-?(?:NaN|Infinity)(?=[,\]}])")  # as version 0.1.0 may have written for no score


@dataclass(frozen=True, slots=True)
class Line:
    """Position of an entry in the journal.

    Attributes
    ----------
    n : int
        Its number.
    stroke : int or None
        The number of its stroke, if it is one.
    start, length : int
        Position of its text, in bytes.
    is_sealed : bool
        Whether its checksum was verified; journals of version 0.1.0 have none.
    strokes : int
        Minimum number of strokes when it was written.
    """

    n: int
    stroke: int | None
    start: int
    length: int
    is_sealed: bool
    strokes: int

    @property
    def stop(self) -> int:
        """The first byte after its text."""
        return self.start + self.length


@dataclass(frozen=True, slots=True)
class Damaged:
    """Bytes of the journal that are not a valid entry, and the stroke they probably held; 0 if none."""

    start: int
    stroke: int


@dataclass(frozen=True, slots=True)
class End:
    """Number of entries and strokes in a journal when it was last closed."""

    entries: int = 0
    strokes: int = 0

    def write(self, folder: Path) -> None:
        """Write it to its file.

        Raises
        ------
        OSError
            If the system refuses.
        """
        write_file(folder / END, encode({"n": self.entries, "kind": "end", "strokes": self.strokes}))


def read_end(folder: Path) -> End:
    """Return the counts of the journal in a folder when it was last closed; zeros if they cannot be read."""
    try:
        with (folder / END).open("rb") as file:
            decoded = decode(file.read(MAX_LINE).removesuffix(b"\n"))
    except OSError:
        return End()
    return End(decoded[0]["n"], decoded[0].get("strokes", 0)) if decoded is not None and decoded[1] else End()


def encode(entry: Entry) -> bytes:
    """Return the line of an entry."""
    text = json.dumps(entry, separators=(",", ":")).encode()
    return text[:-1] + f',"{CHECKSUM_KEY}":"{checksum(text)}"}}\n'.encode()


def decode(text: bytes) -> tuple[Entry, bool] | None:
    """Return the entry in a text, without its checksum, and whether it had one; None if it is not whole."""
    seal = _SEAL.search(text)
    is_sealed = False
    if seal is not None and (seal[1] == CHECKSUM_KEY.encode() or (len(seal[1]) < 4 and _HEX.search(seal[2]))):
        text = text[: seal.start()] + b"}"
        is_sealed = checksum(text).encode() == seal[2]
        if not is_sealed:
            return None
    try:
        entry = parse_json(text if is_sealed else _NO_NUMBER.sub(b"null", text), MAX_LINE)
        check_entry(entry)
    except (JsonError, ValueError):
        return None
    return entry, is_sealed


def scan(file: BinaryIO) -> Iterator[Line | Damaged]:
    """Yield the valid and damaged parts of a journal, in the order of the file.

    An entry ends with one byte, a newline unless that was changed; if it is gone, the next entry follows at once.
    """
    start = 0
    while text := file.readline(MAX_LINE):
        whole = text
        while not whole.endswith(b"\n") and (more := file.readline(MAX_LINE)):
            whole = more  # longer than any line that is written
            text += more[: max(0, MAX_LINE - len(text))]
        length = file.tell() - start
        yield from _parse_lines(text, start) if length <= MAX_LINE else [Damaged(start, 0)]
        start += length


def _parse_lines(text: bytes, start: int) -> Iterator[Line | Damaged]:
    """Yield the entries in the bytes up to a newline: one, unless something was damaged."""
    found = _parse_line(text[:-1].removesuffix(b"\r"), start) if text.endswith(b"\n") else None
    if found is not None:
        yield found
        return
    if not text.strip():
        return
    begins = [match.start() for match in _START.finditer(text)]
    if begins[:1] != [0]:
        yield Damaged(start, 0)
    for begin, end in pairwise([*begins, len(text)]):
        part = text[begin:end]
        is_followed = end < len(text) and text.endswith(b"\n")
        found = _parse_line(part[:-1], start + begin) or (_parse_line(part, start + begin) if is_followed else None)
        yield found or Damaged(start + begin, _guess_stroke(part))


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
    """Return the stroke that a damaged entry seems to be."""
    found = re.search(rb'"stroke":(\d{1,9})\b', text)
    return int(found[1]) if found else 0


def sort_lines(lines: Sequence[Line]) -> tuple[list[Line], list[Line]]:
    """Return entries by number, and those with implausible numbers.

    Those with a checksum are right wherever they stand, once if they stand there twice. Of the others, the numbers of
    entries and of strokes must ascend: whatever breaks the longest such run was changed.
    """
    near = [line for place, line in enumerate(lines) if line.n <= place + MAX_GAP]
    sealed: dict[int, Line] = {}
    for line in near:
        if line.is_sealed:
            sealed.setdefault(line.n, line)
    old = [line for line in near if not line.is_sealed and line.n not in sealed]
    ascending = _longest_ascending([line.n for line in old])
    kept = {old[i].n: old[i] for i in ascending}
    last = max(kept, default=-1)
    for line in old:  # two lines that have changed places
        if line.n < last:
            kept.setdefault(line.n, line)
    found = sorted([*sealed.values(), *kept.values()], key=lambda line: line.n)
    right = _plausible_strokes([line for line in found if line.stroke is not None])
    chosen = [line for line in found if line.stroke is None or line.n in right]
    places = {line.start for line in chosen}
    again = {(line.n, line.is_sealed, line.length) for line in chosen}
    out = [line for line in lines if line.start not in places and (line.n, line.is_sealed, line.length) not in again]
    return chosen, out


def _plausible_strokes(lines: Sequence[Line]) -> set[int]:
    """Return the numbers of those entries, given by number, whose stroke numbers are plausible."""
    first, last = [0], [sys.maxsize]  # the strokes between which one of each entry lies
    for line in lines:
        first.append(max(first[-1], line.stroke or 0) if line.is_sealed else first[-1])
    for line in reversed(lines):
        last.append(min(last[-1], line.stroke or 0) if line.is_sealed else last[-1])
    old = [
        line
        for line, low, high in zip(lines, first, reversed(last[:-1]), strict=False)
        if not line.is_sealed and low < (line.stroke or 0) < high
    ]
    kept = {old[i].n for i in _longest_ascending([line.stroke or 0 for line in old])}
    return kept | {line.n for line in lines if line.is_sealed}


def _longest_ascending(numbers: Sequence[int]) -> list[int]:
    """Return the places of the longest run of numbers that ascends, others left out (patience sorting)."""
    ends: list[int] = []  # the smallest number that ends a run of each length
    places: list[int] = []
    before: list[int] = []
    for place, number in enumerate(numbers):
        length = bisect_left(ends, number)
        before.append(places[length - 1] if length else -1)
        if length == len(ends):
            ends.append(number)
            places.append(place)
        else:
            ends[length], places[length] = number, place
    run = places[-1:]
    while run and before[run[-1]] >= 0:
        run.append(before[run[-1]])
    return run[::-1]
