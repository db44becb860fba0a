"""The journal of a project on the disk, together with the state that results from it."""

from __future__ import annotations

from contextlib import suppress
from itertools import pairwise
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_fcn.project import blocks
from napari_fcn.project.journal import DROPPED, Journal
from napari_fcn.project.journal_state import JournalState
from napari_fcn.project.lines import End, read_end
from napari_fcn.storage.atomic import unreadable_error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    import numpy.typing as npt

    from napari_fcn.geometry import Region
    from napari_fcn.learning.pins import Classes
    from napari_fcn.project.journal import Entry

    Labels = npt.NDArray[np.uint8]


class ProjectRecord:
    """The journal of a project and its `JournalState`, kept consistent. Several threads may use it.

    Parameters
    ----------
    folder : Path
        The project's folder.
    shape : tuple of int
        Shape of the corrections.
    has_weights : callable
        Takes the number of a commit and returns whether its files are complete.

    Raises
    ------
    ProjectError
        If there is no journal, or it cannot be read.
    """

    def __init__(self, folder: Path, shape: tuple[int, ...], has_weights: Callable[[int], bool]) -> None:
        self._folder, self._shape, self._has_weights = folder, shape, has_weights
        self.state = JournalState()
        self.last_commit = -1  # highest commit number, including commits whose files are lost
        self.commits_without_weights: list[int] = []  # commits with missing or damaged files
        self._journal = Journal.open(folder, self._apply)
        self.state.end_session()
        self._mutex = Lock()
        self._end = read_end(folder)
        self.notes = tuple(self._loss_notes())

    def _apply(self, entry: Entry) -> bool:
        """Apply an entry of the journal to the state; return whether it is valid.

        A commit without weights keeps its entry: its files may be restored, and a replay recomputes them.
        """
        try:
            if entry["kind"] in ("stroke", "pin"):
                blocks.decode_block(self._folder, entry, blocks.region_of(entry, self._shape))
            if entry["kind"] == "turn" and (pixel := entry.get("reference")):
                blocks.check_pixel(pixel, self._shape)
            if entry["kind"] == "commit":
                number = int(entry["commit"]["number"])
                self.last_commit = max(self.last_commit, number)
                if not self._has_weights(number):
                    self.commits_without_weights.append(number)
                    return True
            self.state.apply(entry)
        except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
            return False
        return True

    def _loss_notes(self) -> Iterator[str]:
        """Yield sentences about lost entries, strokes and weights."""
        journal, strokes = self._journal, self.state.stroke_numbers
        inside = sum(part.start < journal.stop for part in journal.damaged)
        missing = max(0, len(journal.missing_numbers) - inside)
        between = missing_ranges(strokes)
        if inside:
            yield f"Damaged journal entries were left out ({inside}); all others were read.{_lost_note(between)}"
        elif missing:
            yield f"Journal entries are missing ({missing}); all others were read.{_lost_note(between)}"
        after = self._lost_at_the_end(strokes)
        if journal.torn_bytes:
            yield (
                "The last journal entry is incomplete, as after a crash; all entries before it were read. "
                f"The rest of the file was copied to {DROPPED}.{_lost_note(after)}"
            )
        elif after or self._end.entries > journal.next_number:
            entries = max(1, self._end.entries - journal.next_number)
            yield f"The last journal entries are missing ({entries}); all before them were read.{_lost_note(after)}"
        if self.commits_without_weights:
            yield lost_weights_note(*sorted(self.commits_without_weights))

    def _lost_at_the_end(self, strokes: list[int]) -> list[tuple[int, int]]:
        """Return the lost strokes after the last one that was read: an empty list, or first and last number."""
        last = strokes[-1] if strokes else 0
        tail = [part.stroke for part in self._journal.damaged if part.start >= self._journal.stop]
        guessed = [stroke for stroke in tail if last < stroke <= last + len(tail)]
        count = max([self._journal.strokes, self._end.strokes, *guessed])
        return [(last + 1, count)] if count > last else []

    def repair(self) -> None:
        """Remove an incomplete entry at the end of the journal.

        Raises
        ------
        OSError
            If the system refuses.
        """
        self._journal.repair()
        with suppress(OSError):  # a full disk does not prevent reading
            self.write_end()

    def write_end(self) -> None:
        """Store the number of entries, to detect a journal that was cut between two lines.

        Raises
        ------
        OSError
            If the system refuses.
        """
        end = End(self._journal.next_number, self.state.last_stroke)
        if end != self._end and not self.waiting:
            end.write(self._folder)
            self._end = end

    @property
    def waiting(self) -> int:
        """Number of entries that are not on the disk."""
        return self._journal.waiting

    def add(self, kind: str, fields: Entry, labels: tuple[Region, Labels] | None = None) -> Entry:
        """Return a new entry, which is applied at once and written to the disk by `flush`."""
        more: dict[str, Any] = {}
        data = None
        with self._mutex:
            if kind == "stroke":
                more["stroke"] = self.state.last_stroke + 1
            if labels is not None:
                block_fields, data = blocks.encode_block(self._folder, self._journal.next_number, *labels)
                more.update(block_fields)
            entry = self._journal.draft(kind, {**fields, **more})
            self.state.apply(entry)
            if kind == "commit":
                self.last_commit = max(self.last_commit, int(entry["commit"]["number"]))
            self._journal.add(entry, data)
        return entry

    def flush(self) -> None:
        """Write all waiting entries to the disk.

        Raises
        ------
        ProjectError
            If writing fails. Entries that were not written keep waiting.
        """
        with self._mutex:
            self._journal.flush()

    def entries(self) -> Iterator[Entry]:
        """Yield all entries in order."""
        with self._mutex:
            numbers = self._journal.numbers
        return self._journal.entries(numbers)

    def corrections(self, state: int) -> Iterator[tuple[Region, Labels]]:
        """Yield region and labels of each stroke up to a state, in order, in the classes of that state."""
        strokes = list(self.state.strokes_until(state))
        for (_, table), (region, block) in zip(strokes, self._read(n for n, _ in strokes), strict=True):
            yield region, _remap(block, table)

    def pins(self) -> Iterator[tuple[str, Region, Labels]]:
        """Yield name, region and class indices of each pin, in the current classes."""
        for name, (n, pinned_at) in list(self.state.pins.items()):
            table = self.state.class_mapping(pinned_at, self.state.current)
            for region, block in self._read([n]):
                yield name, region, table[block]

    def original_pins(self) -> Iterator[tuple[str, Region, Labels, int | None]]:
        """Yield name, region and class indices of each pin, and the commit of its classes; None: the current ones."""
        mapped = {name: (region, block) for name, region, block in self.pins()}
        for name, (n, _) in list(self.state.pins.items()):
            commit = self.state.pin_commits[name]
            if commit not in self.state.commits:  # its weights are lost
                yield (name, *mapped[name], None)
                continue
            for region, block in self._read([n]):
                yield name, region, block, commit

    def _read(self, numbers: Iterable[int]) -> Iterator[tuple[Region, Labels]]:
        for entry in self._journal.entries(numbers):
            region = blocks.region_of(entry, self._shape)
            try:
                yield region, self._journal.block(entry, region)
            except OSError as error:
                raise unreadable_error(self._folder / entry["file"], error) from error


def missing_ranges(numbers: Sequence[int]) -> list[tuple[int, int]]:
    """Return the gaps in ascending numbers from 1, each as first and last missing number."""
    return [(a + 1, b - 1) for a, b in pairwise([0, *numbers]) if b > a + 1]


def lost_weights_note(*commits: int) -> str:
    """Return a sentence about commits whose weights are missing or damaged."""
    noun, its = ("commit", "its") if len(commits) == 1 else ("commits", "their")
    numbers = _format_ranges([(n, n) for n in commits])
    return (
        f"The weights of {noun} {numbers} are missing or damaged and cannot be restored; {its} strokes were read. "
        f"Copy {its} files in the folder commits from a backup, if there is one."
    )


def _lost_note(lost: Sequence[tuple[int, int]]) -> str:
    """Return a sentence that lists lost strokes; empty if there are none."""
    if not lost:
        return ""
    return f" Lost: stroke{'s' if lost[0][0] < lost[-1][1] else ''} {_format_ranges(lost)}."


def _format_ranges(ranges: Sequence[tuple[int, int]]) -> str:
    words = [str(a) if a == b else f"{a} to {b}" for a, b in ranges]
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def _remap(block: Labels, table: Classes) -> Labels:
    """Return labels (0: none, k + 1: class k) with mapped class indices; removed classes become 0."""
    labels: Labels = table[block - np.uint8(1)] + np.uint8(1)
    return labels
