"""What happened in a project: the journal on the disk, and what it adds up to."""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_fcn.project import blocks
from napari_fcn.project.files import unreadable
from napari_fcn.project.journal import DROPPED, Journal
from napari_fcn.project.timeline import Timeline

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    import numpy.typing as npt

    from napari_fcn.geometry import Region
    from napari_fcn.project.journal import Entry
    from napari_fcn.project.timeline import Table

    Labels = npt.NDArray[np.uint8]


class Record:
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
        self.timeline = Timeline()
        self.last_commit = -1  # the highest number that any had, those included whose files are lost
        self._journal = Journal.open(folder, self._takes_in)
        self._turn = Lock()
        self.repair = self._journal.repair
        self.notes = tuple(self._remarks())

    def _takes_in(self, entry: Entry) -> bool:
        """Take in an entry of the journal; return whether it is whole."""
        try:
            if entry["kind"] in ("stroke", "pin"):
                blocks.content(self._folder, entry, blocks.region_of(entry, self._shape))
            if entry["kind"] == "commit":
                self.last_commit = max(self.last_commit, int(entry["commit"]["number"]))
                if not self._has_weights(int(entry["commit"]["number"])):
                    return False
            self.timeline.follow(entry)
        except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
            return False
        return True

    def _remarks(self) -> Iterator[str]:
        if lost := self._journal.lost:
            yield f"Damaged entries of the journal were left out ({lost}); all others are here."
        if self._journal.torn:
            yield (
                "The journal ended in an entry that was not complete, as after a crash; all before it is here. "
                f"What could be read of the rest is kept in {DROPPED}."
            )

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
                described, data = blocks.describe(self._journal.next, *painted)
                about.update(described)
            entry = self._journal.draft(kind, {**facts, **about})
            self.timeline.follow(entry)
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

    def _read(self, numbers: Iterable[int]) -> Iterator[tuple[Region, Labels]]:
        for entry in self._journal.entries(numbers):
            region = blocks.region_of(entry, self._shape)
            try:
                yield region, self._journal.block(entry, region)
            except OSError as error:
                raise unreadable(self._folder / entry["file"], error) from error


def _relabelled(block: Labels, table: Table) -> Labels:
    """Return labels (0: none, k + 1: class k) in other class numbers; 255 + 1 is 0 again."""
    labels: Labels = table[block - np.uint8(1)] + np.uint8(1)
    return labels
