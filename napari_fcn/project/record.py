"""What happened in a project: the journal on the disk, and what it adds up to."""

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
    from napari_fcn.project.journal import Entry
    from napari_fcn.project.journal_state import Table

    Labels = npt.NDArray[np.uint8]


class ProjectRecord:
    """The journal of a project together with its `Timeline`, always in step. Several threads may use it.

    Parameters
    ----------
    folder : Path
        The project's folder.
    shape : tuple of int
        Of the corrections.
    has_weights : callable
        Whether the files of a commit, given by its number, are whole.

    Raises
    ------
    ProjectError
        If there is no journal, or it cannot be read.
    """

    def __init__(self, folder: Path, shape: tuple[int, ...], has_weights: Callable[[int], bool]) -> None:
        self._folder, self._shape, self._has_weights = folder, shape, has_weights
        self.timeline = JournalState()
        self.last_commit = -1  # the highest number that any had, those included whose files are lost
        self.without_weights: list[int] = []  # commits whose files are not whole
        self._journal = Journal.open(folder, self._takes_in)
        self.timeline.end_session()
        self._turn = Lock()
        self._end = read_end(folder)
        self.notes = tuple(self._remarks())

    def _takes_in(self, entry: Entry) -> bool:
        """Take in an entry of the journal; return whether it is whole.

        A state whose weights are gone keeps its entry: they may come back, and a replay makes them again.
        """
        try:
            if entry["kind"] in ("stroke", "pin"):
                blocks.content(self._folder, entry, blocks.region_of(entry, self._shape))
            if entry["kind"] == "turn" and (at := entry.get("reference")):
                blocks.check_pixel(at, self._shape)
            if entry["kind"] == "commit":
                number = int(entry["commit"]["number"])
                self.last_commit = max(self.last_commit, number)
                if not self._has_weights(number):
                    self.without_weights.append(number)
                    return True
            self.timeline.apply(entry)
        except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
            return False
        return True

    def _remarks(self) -> Iterator[str]:
        """Yield what was lost, in sentences."""
        journal, known = self._journal, self.timeline.known_strokes
        inside = sum(part.start < journal.stop for part in journal.damaged)
        missing = max(0, len(journal.missing) - inside)
        between = ranges_between(known)
        if inside:
            yield f"Damaged entries of the journal were left out ({inside}); all others are here.{_named(between)}"
        elif missing:
            yield f"Entries are missing in the journal ({missing}); all others are here.{_named(between)}"
        after = self._lost_at_the_end(known)
        if journal.torn:
            yield (
                "The journal ended in an entry that was not complete, as after a crash; all before it is here. "
                f"What could be read of the rest is kept in {DROPPED}.{_named(after)}"
            )
        elif after or self._end.entries > journal.next:
            entries = max(1, self._end.entries - journal.next)
            yield f"The journal has lost its end (entries: {entries}); all before it is here.{_named(after)}"
        if self.without_weights:
            yield without_weights(*sorted(self.without_weights))

    def _lost_at_the_end(self, known: list[int]) -> list[tuple[int, int]]:
        """Return the strokes after the last one that is here, as first and last."""
        last = known[-1] if known else 0
        tail = [part.stroke for part in self._journal.damaged if part.start >= self._journal.stop]
        guessed = [stroke for stroke in tail if last < stroke <= last + len(tail)]
        most = max([self._journal.strokes, self._end.strokes, *guessed])
        return [(last + 1, most)] if most > last else []

    def repair(self) -> None:
        """Cut off what a crash left half-written at the end of the journal.

        Raises
        ------
        OSError
            If the system refuses.
        """
        self._journal.repair()
        with suppress(OSError):  # a full disk keeps nobody from what is there
            self.write_end()

    def write_end(self) -> None:
        """Note how much there is, so that a journal that is cut off between two lines is known for it.

        Raises
        ------
        OSError
            If the system refuses.
        """
        end = End(self._journal.next, self.timeline.strokes)
        if end != self._end and not self.waiting:
            end.write(self._folder)
            self._end = end

    @property
    def waiting(self) -> int:
        """Entries that are not on the disk."""
        return self._journal.waiting

    def add(self, kind: str, facts: Entry, painted: tuple[Region, Labels] | None = None) -> Entry:
        """Return a new entry. It counts from now on, and waits in memory for `flush`."""
        about: dict[str, Any] = {}
        data = None
        with self._turn:
            if kind == "stroke":
                about["stroke"] = self.timeline.strokes + 1
            if painted is not None:
                described, data = blocks.describe(self._folder, self._journal.next, *painted)
                about.update(described)
            entry = self._journal.draft(kind, {**facts, **about})
            self.timeline.apply(entry)
            if kind == "commit":
                self.last_commit = max(self.last_commit, int(entry["commit"]["number"]))
            self._journal.add(entry, data)
        return entry

    def flush(self) -> None:
        """Write what waits; all of it is on the disk when this returns.

        Raises
        ------
        ProjectError
            If the disk refuses. What was not written still waits.
        """
        with self._turn:
            self._journal.flush()

    def entries(self) -> Iterator[Entry]:
        """Yield all entries so far, in order."""
        with self._turn:
            numbers = self._journal.numbers
        return self._journal.entries(numbers)

    def corrections(self, moment: int) -> Iterator[tuple[Region, Labels]]:
        """Yield what is to be painted, in order, to have the corrections of a moment."""
        strokes = list(self.timeline.strokes_until(moment))
        for (_, table), (region, block) in zip(strokes, self._read(n for n, _ in strokes), strict=True):
            yield region, _relabelled(block, table)

    def pins(self) -> Iterator[tuple[str, Region, Labels]]:
        """Yield name, region and class indices of each pin, numbered as the classes are now."""
        for name, (n, then) in list(self.timeline.pins.items()):
            table = self.timeline.table(then, self.timeline.now)
            for region, block in self._read([n]):
                yield name, region, table[block]

    def pins_as_made(self) -> Iterator[tuple[str, Region, Labels, int | None]]:
        """Yield name, region and class indices of each pin, and the commit that numbers them; None: those of now."""
        now = {name: (region, block) for name, region, block in self.pins()}
        for name, (n, _) in list(self.timeline.pins.items()):
            commit = self.timeline.pinned_at[name]
            if commit not in self.timeline.commits:  # its weights are lost
                yield (name, *now[name], None)
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


def ranges_between(numbers: Sequence[int]) -> list[tuple[int, int]]:
    """Return first and last of all numbers from 1 that are missing before the last of these, which ascend."""
    return [(a + 1, b - 1) for a, b in pairwise([0, *numbers]) if b > a + 1]


def without_weights(*commits: int) -> str:
    """Return a sentence about states whose weights are lost."""
    states, it, its = ("state", "it", "its") if len(commits) == 1 else ("states", "they", "their")
    return (
        f"The weights of {states} {_listed([(n, n) for n in commits])} are missing or damaged, so {it} cannot be gone "
        f"to; {its} strokes are here. Put back {its} files in commits from a backup, if there is one."
    )


def _named(lost: Sequence[tuple[int, int]]) -> str:
    """Return a sentence about strokes; nothing if there are none."""
    if not lost:
        return ""
    return f" Lost: stroke{'s' if lost[0][0] < lost[-1][1] else ''} {_listed(lost)}."


def _listed(ranges: Sequence[tuple[int, int]]) -> str:
    words = [str(a) if a == b else f"{a} to {b}" for a, b in ranges]
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def _relabelled(block: Labels, table: Table) -> Labels:
    """Return labels (0: none, k + 1: class k) in other class numbers; 255 + 1 is 0 again."""
    labels: Labels = table[block - np.uint8(1)] + np.uint8(1)
    return labels
