"""The tree of commits of a session, with the weights of each."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol, Self

from napari_fcn.errors import ModelError
from napari_fcn.events import Commit, HistoryChanged
from napari_fcn.learning.pins import mapping_between

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from torch import Tensor

    from napari_fcn.learning.pins import Classes, Lineage, OldIndices
    from napari_fcn.models.card import ModelInfo
    from napari_fcn.models.checkpoint import Checkpoint


@dataclass(frozen=True, slots=True, eq=False)
class Delta:
    """The stored part of the model of one commit.

    Attributes
    ----------
    info : ModelInfo
        Description of the model.
    tensors : mapping of str to Tensor
        The weights that differ from those of the parent, contiguous, on the CPU.
    sources : mapping of str to int
        For each weight of the model, the commit whose delta contains it.
    """

    info: ModelInfo
    tensors: Mapping[str, Tensor]
    sources: Mapping[str, int]


class DeltaStore(Protocol):
    """Storage for the weights of commits."""

    def put(self, number: int, delta: Delta) -> None:
        """Store the weights of a commit; existing weights of the same number are replaced."""

    def get(self, number: int) -> Delta:
        """Return the weights of a commit."""


class MemoryStore:
    """Storage in memory."""

    def __init__(self) -> None:
        self._deltas: dict[int, Delta] = {}

    def put(self, number: int, delta: Delta) -> None:
        """Store the weights of a commit."""
        self._deltas[number] = delta

    def get(self, number: int) -> Delta:
        """Return the weights of a commit."""
        return self._deltas[number]


@dataclass(frozen=True, slots=True, eq=False)
class _LoadedCommit:
    """The complete model of one commit, to which the next one is compared."""

    number: int
    checkpoint: Checkpoint
    sources: Mapping[str, int]


class History:
    """The tree of commits. The model of the present commit is in use.

    ::

        0 start ── 1 head ── 2 head ── 3 network
                         └── 4 head ── 5 head     <- present; undo: 4, redo at 1: 4, go_to(3): the other branch

    Each commit stores the weights that differ, bit for bit, from those of its parent; for all others it stores the
    number of the commit that has them.

    Parameters
    ----------
    store : DeltaStore, optional
        Storage for the weights; in memory if not given.
    last : int
        The highest commit number ever used, lost commits included; new commits get higher ones.

    Attributes
    ----------
    lineages : dict of int to Lineage
        For each commit, the changes of the classes up to it.
    """

    def __init__(self, store: DeltaStore | None = None, last: int = -1) -> None:
        self.store: DeltaStore = MemoryStore() if store is None else store
        self._last = last
        self._commits: dict[int, Commit] = {}
        self._present: int | None = None
        self._next: dict[int, int] = {}  # commit -> its child that was present last
        self._loaded: _LoadedCommit | None = None
        self.lineages: dict[int, Lineage] = {}

    @classmethod
    def restore(
        cls,
        commits: Iterable[Commit],
        present: int,
        store: DeltaStore | None = None,
        visited: Iterable[int] = (),
        last: int = -1,
    ) -> Self:
        """Return a history of commits whose weights are already in ``store``.

        Parameters
        ----------
        commits : iterable of Commit
            All commits.
        present : int
            Number of the present commit.
        store : DeltaStore, optional
            Storage with the weights.
        visited : iterable of int
            Numbers of earlier present commits, in order, for `redo`.
        last : int
            The highest commit number ever used.
        """
        history = cls(store)
        history._commits = {commit.number: commit for commit in sorted(commits, key=_number)}
        history._last = max(last, *history._commits)
        for number in (*visited, present):
            history._visit(number)
        return history

    @property
    def commits(self) -> tuple[Commit, ...]:
        """All commits, by number."""
        return tuple(self._commits.values())

    @property
    def present(self) -> Commit:
        """The commit whose model is in use."""
        assert self._present is not None, "there is no commit yet"
        return self._commits[self._present]

    def add(
        self, kind: str, turn: int, strokes: int, checkpoint: Checkpoint, scores: Mapping[str, float] | None = None
    ) -> Commit:
        """Add a child of the present commit, make it the present one, and return it. Its weights are copied."""
        number = self._last + 1
        commit = Commit(number, self._present, kind, turn, strokes, checkpoint.hash, dict(scores or {}))
        loaded, delta = self._compute_delta(number, checkpoint)
        self.store.put(number, delta)
        self.lineages[number] = () if self._present is None else self.lineages.get(self._present, ())
        self._commits[number], self._loaded, self._last = commit, loaded, number
        self._visit(number)
        return commit

    def record_class_change(self, old_indices: OldIndices) -> None:
        """Store the change of classes of the present commit: the old index of each new class."""
        number = self.present.number
        change = (-number, old_indices)  # positive numbers are those of journal entries
        self.lineages[number] = (*self.lineages.get(number, ()), change)

    def class_mapping(self, first: int, second: int) -> Classes:
        """Return the class index at commit ``second`` of each class at ``first``; `REMOVED` for missing ones."""
        return mapping_between(self.lineages.get(first, ()), self.lineages.get(second, ()))

    def undo(self) -> Commit | None:
        """Go to the parent of the present commit and return it; None at the start."""
        parent = self.present.parent
        return None if parent is None else self.go_to(parent)

    def redo(self) -> Commit | None:
        """Go to the child that was present last, or to the newest one, and return it; None if there is none."""
        present = self.present.number
        newest = max((c.number for c in self._commits.values() if c.parent == present), default=None)
        child = self._next.get(present, newest)
        return None if child is None else self.go_to(child)

    def go_to(self, number: int) -> Commit:
        """Make a commit the present one and return it."""
        self._require(number)
        self._visit(number)
        return self.present

    def rename(self, number: int, name: str) -> Commit:
        """Rename a commit and return it."""
        self._commits[number] = replace(self._require(number), name=name)
        return self._commits[number]

    def checkpoint(self, number: int) -> Checkpoint:
        """Return the model of a commit, bit for bit as it was added.

        Raises
        ------
        ModelError
            If its weights cannot be read, or differ from those that were added.
        """
        loaded = self._load(number)
        if number == self._present:
            self._loaded = loaded
        return loaded.checkpoint

    def log(self, number: int) -> tuple[dict[str, Any], ...]:
        """Return the commits on the path from the start to a commit as plain data, for the model card."""
        path = [self._require(number)]
        while path[-1].parent is not None:
            path.append(self._commits[path[-1].parent])
        return tuple({k: v for k, v in asdict(commit).items() if k != "parent"} for commit in reversed(path))

    def event(self, is_restored: bool = False) -> HistoryChanged:
        """Return the commits as an event."""
        return HistoryChanged(self.commits, self.present.number, is_restored)

    def _require(self, number: int) -> Commit:
        if number not in self._commits:
            raise ValueError(f"There is no commit {number}; the last is {max(self._commits, default=None)}.")
        return self._commits[number]

    def _visit(self, number: int) -> None:
        """Make a commit the present one and store the path to it for `redo`."""
        before, self._present = self._present, number
        child, parent = number, self._commits[number].parent
        while parent is not None:
            self._next[parent] = child
            if parent == before:  # the rest of the path is stored already
                break
            child, parent = parent, self._commits[parent].parent

    def _compute_delta(self, number: int, checkpoint: Checkpoint) -> tuple[_LoadedCommit, Delta]:
        """Return a copy of a model, and its difference from the present one."""
        import torch

        parent = None if self._present is None else self._load(self._present)
        weights, sources = {}, {}
        for name, tensor in checkpoint.weights.items():
            old = None if parent is None else parent.checkpoint.weights.get(name)
            if parent is not None and old is not None and _same_bits(old, tensor):
                weights[name], sources[name] = old, parent.sources[name]
            else:
                weights[name] = tensor.detach().to("cpu").clone(memory_format=torch.contiguous_format)
                sources[name] = number
        changed = {name: weights[name] for name, source in sources.items() if source == number}
        loaded = _LoadedCommit(number, replace(checkpoint, weights=weights), sources)
        return loaded, Delta(checkpoint.info, changed, sources)

    def _load(self, number: int) -> _LoadedCommit:
        """Return the complete model of a commit."""
        if self._loaded is not None and self._loaded.number == number:
            return self._loaded
        from napari_fcn.models.checkpoint import Checkpoint

        commit, delta = self._require(number), self.store.get(number)
        deltas = {n: self.store.get(n) for n in set(delta.sources.values()) - {number}} | {number: delta}
        missing = [name for name, source in delta.sources.items() if name not in deltas[source].tensors]
        weights = {name: deltas[n].tensors[name] for name, n in delta.sources.items() if name not in missing}
        checkpoint = Checkpoint(delta.info, weights)
        if missing or checkpoint.hash != commit.hash:
            raise ModelError(
                f"The weights of commit {number} differ from those that were saved: the file was changed or damaged. "
                "Go to another commit."
            )
        return _LoadedCommit(number, checkpoint, delta.sources)


def _number(commit: Commit) -> int:
    return commit.number


def _same_bits(first: Tensor, second: Tensor) -> bool:
    """Whether two tensors have the same bits (-0.0 differs from 0.0, NaN equals itself)."""
    import torch

    if first.shape != second.shape or first.dtype != second.dtype:
        return False
    return torch.equal(*(t.detach().to("cpu").contiguous().reshape(-1).view(torch.uint8) for t in (first, second)))
