"""What a journal adds up to: the corrections after each stroke and of each commit, classes, pins, settings."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_fcn.events import Commit
from napari_fcn.models.card import ClassLabel

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt

    from napari_fcn.events import HistoryChanged

    Entry = dict[str, Any]
    Table = npt.NDArray[np.uint8]

NONE = 255  # class index of what is in no class any more; there are at most 255 classes, 0 to 254


@dataclass(frozen=True, slots=True)
class CorrectionState:
    """The corrections after one entry.

    Attributes
    ----------
    before : int
        Index of the moment from which the entry led here; -1 at the start.
    n : int
        The entry.
    stroke : int
        Number of the last stroke up to here.
    kept : tuple of (int or None), optional
        If the entry changed the classes: the old index of each new class.
    """

    before: int
    n: int
    stroke: int
    kept: tuple[int | None, ...] | None = None


class JournalState:
    """The journal, folded.

    Corrections are a tree, as commits are: to go back to a commit brings back its corrections, and the next stroke
    continues from there. ::

        stroke 1 ── stroke 2 ── stroke 3 ── stroke 4
                           └── stroke 5 ── (classes) ── stroke 6     <- now, after going back to a commit of 2 strokes
    """

    def __init__(self) -> None:
        self._moments = [CorrectionState(-1, -1, 0)]
        self._after_stroke = {0: 0}  # stroke -> index of the moment after it
        self._of: dict[int, int] = {}  # commit -> index of its moment
        self._labels: dict[int, tuple[ClassLabel, ...]] = {}  # entry that changed the classes -> them
        self._unfinished: set[int] = set()  # moments of classes that no commit has yet
        self.now = 0
        self.strokes = 0  # number of the last one
        self.commits: dict[int, Commit] = {}
        self.visited: list[int] = []  # commits that were the present one, in order
        self.pins: dict[str, tuple[int, int]] = {}  # name -> entry, and the moment at which it was pinned
        self.pinned_at: dict[str, int] = {}  # name -> the commit that was the present one then
        self.settings: dict[str, Any] = {}  # what replaced the settings of the start
        self.reference: tuple[int, ...] = ()  # pixel of the tile that sets the scale of the features

    @property
    def stroke(self) -> int:
        """Number of the last stroke that counts: an earlier one where somebody went back."""
        return self._moments[self.now].stroke

    @property
    def known_strokes(self) -> list[int]:
        """The numbers of all strokes, ascending; those that were lost are not among them."""
        return sorted(self._after_stroke)[1:]

    def end_session(self) -> None:
        """Take back a change of classes that was not finished: no state has these classes."""
        while self.now in self._unfinished:
            self._unfinished.discard(self.now)
            self.now = self._moments[self.now].before

    def apply(self, entry: Entry) -> None:
        """Take in the next entry; kinds that it does not know change nothing.

        Raises
        ------
        ValueError, KeyError, TypeError
            If the entry does not say what its kind needs; nothing has changed then.
        """
        n = entry["n"]
        match entry["kind"]:
            case "stroke":
                self._stroke(n, int(entry["stroke"]))
            case "classes":
                labels, kept = as_labels(entry["classes"]), tuple(None if k is None else int(k) for k in entry["kept"])
                inverse(kept)  # raises if the numbers are none of classes
                self._labels[n] = labels
                self.now = self._add(CorrectionState(self.now, n, self.stroke, kept))
                self._unfinished.add(self.now)
            case "open":
                self.end_session()
            case "commit":
                self._commit(as_commit(entry["commit"]))
            case "present" if int(entry["number"]) in self.commits:
                self.now = self._of[int(entry["number"])]
                self.visited.append(int(entry["number"]))
            case "rename" if int(entry["number"]) in self.commits:
                number = int(entry["number"])
                self.commits[number] = replace(self.commits[number], name=str(entry["name"]))
            case "pin":
                self.pins[str(entry["name"])] = (n, self.now)
                self.pinned_at[str(entry["name"])] = self.visited[-1] if self.visited else -1
            case "unpin":
                self.pins.pop(entry["name"], None)
            case "turn" if "reference" in entry:
                self.reference = tuple(int(i) for i in entry["reference"])
            case "settings":
                self.settings = dict(entry["settings"])

    def _add(self, moment: CorrectionState) -> int:
        self._moments.append(moment)
        return len(self._moments) - 1

    def _stroke(self, n: int, stroke: int) -> None:
        if stroke <= self.strokes:
            raise ValueError(f"stroke {stroke} comes after stroke {self.strokes}")
        self.now = self._after_stroke[stroke] = self._add(CorrectionState(self.now, n, stroke))
        self.strokes = stroke

    def _commit(self, commit: Commit) -> None:
        """Take in a commit: its corrections are those after its last stroke, in the classes of now."""
        if commit.number in self.commits:
            raise ValueError(f"commit {commit.number} is there already")
        parent = commit.parent
        if parent is not None and parent not in self.commits:  # its file was lost: what came before takes its place
            parent = max((number for number in self.commits if number < parent), default=None)
        target = index = self.after(commit.strokes)
        back, changes = self.now, []
        while back > target:
            if self._moments[back].kept is not None:
                changes.append(self._moments[back])
            back = self._moments[back].before
        for change in reversed(changes) if back == target else ():
            index = self._add(replace(change, before=index, stroke=self._moments[target].stroke))
        self._unfinished.clear()
        self.commits[commit.number] = replace(commit, parent=parent)
        self._of[commit.number] = index
        self.visited.append(commit.number)

    def forget(self, number: int) -> None:
        """Leave out a commit whose weights cannot be read; its parent takes its place, and its strokes stay."""
        lost = self.commits.pop(number)
        del self._of[number]
        self.visited = [at for at in self.visited if at != number]
        for child in [commit for commit in self.commits.values() if commit.parent == number]:
            self.commits[child.number] = replace(child, parent=lost.parent)

    def changes_since(self, event: HistoryChanged) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield kind and facts of what is to be recorded of a history: commits, names, and which one is present.

        Each is to be recorded before the next is asked for.
        """
        present = self.visited[-1:]
        for commit in event.commits:
            if commit.number not in self.commits:
                yield "commit", {"commit": commit}
                present = [commit.number]
            elif commit.name != self.commits[commit.number].name:
                yield "rename", {"number": commit.number, "name": commit.name}
        if event.is_restored or [event.present] != present:
            yield "present", {"number": event.present}

    def after(self, stroke: int) -> int:
        """Return the moment after a stroke; if that was lost, after the one before it."""
        if stroke in self._after_stroke:
            return self._after_stroke[stroke]
        return self._after_stroke[max((known for known in self._after_stroke if known < stroke), default=0)]

    def of(self, commit: int) -> int:
        """Return the moment of a commit."""
        if commit not in self._of:
            raise ValueError(f"There is no commit {commit}; there are {sorted(self._of) or 'none'}.")
        return self._of[commit]

    def path(self, moment: int) -> list[CorrectionState]:
        """Return the moments from the first entry to one."""
        path = []
        while moment > 0:
            path.append(self._moments[moment])
            moment = self._moments[moment].before
        return path[::-1]

    def strokes_until(self, moment: int) -> Iterator[tuple[int, Table]]:
        """Yield the entries of all strokes that led to a moment, in order, and how their classes are numbered there."""
        found, table = [], np.arange(256, dtype=np.uint8)
        for at in reversed(self.path(moment)):
            if at.kept is None:
                found.append((at.n, table))
            else:
                table = table[forward(at.kept)]
        yield from reversed(found)

    def labels(self, moment: int) -> tuple[ClassLabel, ...]:
        """Return the classes at a moment; none if they are those of the start."""
        changes = [at.n for at in self.path(moment) if at.kept is not None]
        return self._labels[changes[-1]] if changes else ()

    def lineage(self, moment: int) -> tuple[tuple[int, tuple[int | None, ...]], ...]:
        """Return the changes of the classes that led to a moment, each with the number of its entry."""
        return tuple((at.n, at.kept) for at in self.path(moment) if at.kept is not None)

    def table(self, then: int, moment: int) -> Table:
        """Return how classes that were numbered at one moment are numbered at another, on any branch."""
        old, new = ([at for at in self.path(m) if at.kept is not None] for m in (then, moment))
        while old and new and old[0].n == new[0].n:
            del old[0], new[0]
        table = np.arange(256, dtype=np.uint8)
        for at in reversed(old):
            table = inverse(at.kept or ())[table]
        for at in new:
            table = forward(at.kept or ())[table]
        return table


def forward(kept: Sequence[int | None]) -> Table:
    """Return the new class index of each old one; `NONE` for those that are gone."""
    table = np.full(256, NONE, np.uint8)
    for new, old in enumerate(kept):
        if old is not None:
            table[old] = new
    return table


def inverse(kept: Sequence[int | None]) -> Table:
    """Return the old class index of each new one; `NONE` for those that were not there.

    Raises
    ------
    ValueError
        If a number is none of a class.
    """
    if len(kept) > NONE or any(old is not None and not 0 <= old < NONE for old in kept):
        raise ValueError(f"{tuple(kept)} are no class numbers")
    table = np.full(256, NONE, np.uint8)
    table[: len(kept)] = [NONE if old is None else old for old in kept]
    return table


def as_commit(data: dict[str, Any]) -> Commit:
    """Return a commit from plain data; what a newer version may have added is left out."""
    scores = {name: score for name, score in data.get("scores", {}).items() if score is not None}
    commit = Commit(**{f.name: data[f.name] for f in fields(Commit) if f.name in data} | {"scores": scores})
    numbers = (commit.number, commit.turn, commit.strokes, 0 if commit.parent is None else commit.parent)
    if not all(isinstance(number, int) for number in numbers):
        raise TypeError(f"{commit} has numbers that are none")
    return commit


def as_labels(data: list[dict[str, str]]) -> tuple[ClassLabel, ...]:
    """Return classes from plain data."""
    return tuple(ClassLabel(str(label["name"]), str(label["colour"])) for label in data)
