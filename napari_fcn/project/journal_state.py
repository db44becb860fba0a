"""State of a project according to its journal: corrections after each stroke and commit, classes, pins, settings."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_fcn.events import Commit
from napari_fcn.learning.pins import REMOVED, mapping_between, to_new_indices
from napari_fcn.models.card import ClassLabel

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from napari_fcn.events import HistoryChanged
    from napari_fcn.learning.pins import Classes, Lineage, OldIndices

    Entry = dict[str, Any]


@dataclass(frozen=True, slots=True)
class CorrectionState:
    """The corrections after one entry.

    Attributes
    ----------
    parent : int
        Index of the state before the entry; -1 at the start.
    n : int
        Number of the entry.
    stroke : int
        Number of the last stroke that this state contains.
    old_indices : tuple of (int or None), optional
        If the entry changed the classes: the old index of each new class; None for added classes.
    """

    parent: int
    n: int
    stroke: int
    old_indices: OldIndices | None = None


class JournalState:
    """State of a project, updated entry by entry.

    Corrections form a tree, as commits do: going back to a commit restores its corrections, and the next stroke
    continues from there. Each state of the corrections has an index. ::

        stroke 1 ── stroke 2 ── stroke 3 ── stroke 4
                           └── stroke 5 ── (classes) ── stroke 6     <- current, after going back to 2 strokes
    """

    def __init__(self) -> None:
        self._states = [CorrectionState(-1, -1, 0)]
        self._after_stroke = {0: 0}  # stroke -> index of the state after it
        self._of_commit: dict[int, int] = {}  # commit -> index of its state
        self._classes: dict[int, tuple[ClassLabel, ...]] = {}  # number of the entry -> its new classes
        self._unfinished: set[int] = set()  # states with new classes that have no commit yet
        self.current = 0
        self.last_stroke = 0
        self.commits: dict[int, Commit] = {}
        self.visited: list[int] = []  # present commits, oldest first
        self.pins: dict[str, tuple[int, int]] = {}  # name -> number of the entry, and index of the state
        self.pin_commits: dict[str, int] = {}  # name -> present commit when the pin was set
        self.settings: dict[str, Any] = {}  # replace those of the manifest
        self.reference: tuple[int, ...] = ()  # pixel of the tile that sets the scale of the features

    @property
    def current_stroke(self) -> int:
        """Number of the last stroke in the corrections; an earlier one after going back to a commit."""
        return self._states[self.current].stroke

    @property
    def stroke_numbers(self) -> list[int]:
        """Numbers of all strokes that were read, ascending; lost strokes are missing."""
        return sorted(self._after_stroke)[1:]

    def end_session(self) -> None:
        """Undo changes of the classes that have no commit."""
        while self.current in self._unfinished:
            self._unfinished.discard(self.current)
            self.current = self._states[self.current].parent

    def apply(self, entry: Entry) -> None:
        """Update the state by the next entry; unknown kinds of entries are ignored.

        Raises
        ------
        ValueError, KeyError, TypeError
            If the entry is invalid; the state is then unchanged.
        """
        n = entry["n"]
        match entry["kind"]:
            case "stroke":
                self._stroke(n, int(entry["stroke"]))
            case "classes":
                classes = as_classes(entry["classes"])
                old_indices = tuple(None if k is None else int(k) for k in entry["kept"])
                check_old_indices(old_indices)
                self._classes[n] = classes
                self.current = self._add(CorrectionState(self.current, n, self.current_stroke, old_indices))
                self._unfinished.add(self.current)
            case "open":
                self.end_session()
            case "commit":
                self._commit(as_commit(entry["commit"]))
            case "present" if int(entry["number"]) in self.commits:
                self.current = self._of_commit[int(entry["number"])]
                self.visited.append(int(entry["number"]))
            case "rename" if int(entry["number"]) in self.commits:
                number = int(entry["number"])
                self.commits[number] = replace(self.commits[number], name=str(entry["name"]))
            case "pin":
                self.pins[str(entry["name"])] = (n, self.current)
                self.pin_commits[str(entry["name"])] = self.visited[-1] if self.visited else -1
            case "unpin":
                self.pins.pop(entry["name"], None)
            case "turn" if "reference" in entry:
                self.reference = tuple(int(i) for i in entry["reference"])
            case "settings":
                self.settings = dict(entry["settings"])

    def _add(self, state: CorrectionState) -> int:
        self._states.append(state)
        return len(self._states) - 1

    def _stroke(self, n: int, stroke: int) -> None:
        if stroke <= self.last_stroke:
            raise ValueError(f"stroke {stroke} comes after stroke {self.last_stroke}")
        self.current = self._after_stroke[stroke] = self._add(CorrectionState(self.current, n, stroke))
        self.last_stroke = stroke

    def _commit(self, commit: Commit) -> None:
        """Apply a commit, whose corrections are those after its last stroke, in the current classes."""
        if commit.number in self.commits:
            raise ValueError(f"commit {commit.number} exists already")
        parent = commit.parent
        if parent is not None and parent not in self.commits:  # its file is lost: use the newest earlier commit
            parent = max((number for number in self.commits if number < parent), default=None)
        target = index = self.after_stroke(commit.strokes)
        back, changes = self.current, []
        while back > target:
            if self._states[back].old_indices is not None:
                changes.append(self._states[back])
            back = self._states[back].parent
        for change in reversed(changes) if back == target else ():
            index = self._add(replace(change, parent=index, stroke=self._states[target].stroke))
        self._unfinished.clear()
        self.commits[commit.number] = replace(commit, parent=parent)
        self._of_commit[commit.number] = index
        self.visited.append(commit.number)

    def skip_commit(self, number: int) -> None:
        """Remove a commit whose weights cannot be read; its children get its parent, and its strokes stay."""
        lost = self.commits.pop(number)
        del self._of_commit[number]
        self.visited = [visited for visited in self.visited if visited != number]
        for child in [commit for commit in self.commits.values() if commit.parent == number]:
            self.commits[child.number] = replace(child, parent=lost.parent)

    def changes_since(self, event: HistoryChanged) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield kind and content of the entries that record a history: commits, names, and the present commit.

        Record each entry before taking the next one.
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

    def after_stroke(self, stroke: int) -> int:
        """Return the state after a stroke; if the stroke is lost, after the last one before it."""
        if stroke in self._after_stroke:
            return self._after_stroke[stroke]
        return self._after_stroke[max((earlier for earlier in self._after_stroke if earlier < stroke), default=0)]

    def of_commit(self, commit: int) -> int:
        """Return the state of a commit."""
        if commit not in self._of_commit:
            raise ValueError(f"There is no commit {commit}; there are {sorted(self._of_commit) or 'none'}.")
        return self._of_commit[commit]

    def path_to(self, state: int) -> list[CorrectionState]:
        """Return the states from the start to a state, without the start."""
        path = []
        while state > 0:
            path.append(self._states[state])
            state = self._states[state].parent
        return path[::-1]

    def strokes_until(self, state: int) -> Iterator[tuple[int, Classes]]:
        """Yield the entry of each stroke up to a state, in order, and its class mapping to that state."""
        strokes, table = [], np.arange(256, dtype=np.uint8)
        for step in reversed(self.path_to(state)):
            if step.old_indices is None:
                strokes.append((step.n, table))
            else:
                table = table[to_new_indices(step.old_indices)]
        yield from reversed(strokes)

    def classes_at(self, state: int) -> tuple[ClassLabel, ...]:
        """Return the classes at a state; empty if they are those of the manifest."""
        changes = [step.n for step in self.path_to(state) if step.old_indices is not None]
        return self._classes[changes[-1]] if changes else ()

    def lineage(self, state: int) -> Lineage:
        """Return the changes of the classes up to a state, each with the number of its entry."""
        return tuple((step.n, step.old_indices) for step in self.path_to(state) if step.old_indices is not None)

    def class_mapping(self, old: int, new: int) -> Classes:
        """Return the class index at state ``new`` of each class at state ``old``, on any branch."""
        return mapping_between(self.lineage(old), self.lineage(new))


def check_old_indices(old_indices: Sequence[int | None]) -> None:
    """Raise ValueError if an old index is not a class index."""
    if len(old_indices) > REMOVED or any(old is not None and not 0 <= old < REMOVED for old in old_indices):
        raise ValueError(f"{tuple(old_indices)} are not class indices")


def as_commit(data: dict[str, Any]) -> Commit:
    """Return a commit from plain data; keys of newer versions are ignored."""
    scores = {name: score for name, score in data.get("scores", {}).items() if score is not None}
    commit = Commit(**{f.name: data[f.name] for f in fields(Commit) if f.name in data} | {"scores": scores})
    numbers = (commit.number, commit.turn, commit.strokes, 0 if commit.parent is None else commit.parent)
    if not all(isinstance(number, int) for number in numbers):
        raise TypeError(f"{commit} has fields that are not integers")
    return commit


def as_classes(data: list[dict[str, str]]) -> tuple[ClassLabel, ...]:
    """Return classes from plain data."""
    return tuple(ClassLabel(str(label["name"]), str(label["colour"])) for label in data)
