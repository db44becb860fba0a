"""Commits of a teaching session: weights, corrections and journal entries together."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict
from typing import TYPE_CHECKING

from napari_fcn.errors import ModelError
from napari_fcn.models.adapt import make_teachable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from napari_fcn.events import HistoryChanged
    from napari_fcn.learning.history import History
    from napari_fcn.models.card import ClassLabel
    from napari_fcn.models.checkpoint import Checkpoint
    from napari_fcn.teaching.current_model import ModelSnapshot
    from napari_fcn.teaching.label_history import LabelHistory


class CommitWriter:
    """Adds commits to the history, their corrections to the label history, and entries to the journal.

    A fitted head is committed after its prediction is shown. If new strokes arrive earlier, its snapshot is deferred
    and committed later, before any other commit.

    Parameters
    ----------
    history : History
        The commits.
    label_history : LabelHistory
        The corrections of each commit.
    record : callable
        Called with a kind and facts for each commit.
    """

    def __init__(self, history: History, label_history: LabelHistory, record: Callable[..., object]) -> None:
        self._history, self._label_history, self._record = history, label_history, record
        self._deferred: ModelSnapshot | None = None

    def defer(self, snapshot: ModelSnapshot) -> None:
        """Set the snapshot of a fitted head to be committed later."""
        self._deferred = snapshot

    def add_deferred(self) -> Iterator[HistoryChanged]:
        """Commit the deferred snapshot, if there is one."""
        if self._deferred is not None:
            snapshot, self._deferred = self._deferred, None
            yield self.add("head", {}, snapshot)

    def add(self, kind: str, scores: dict[str, float], snapshot: ModelSnapshot) -> HistoryChanged:
        """Add a child of the present commit and return the event."""
        commit = self._history.add(kind, snapshot.turn, snapshot.strokes, snapshot.model, scores)
        self._label_history.record(commit, snapshot.samples)
        self._record("commit", commit=asdict(commit))
        return self._history.event()


def start_model(
    history: History, checkpoint: Checkpoint, classes: tuple[ClassLabel, ...], spacing: tuple[float, ...]
) -> Checkpoint:
    """Return the model of the first commit; to an empty history, add that commit.

    If its weights cannot be read, the model is derived from ``checkpoint`` again.
    """
    for first in history.commits:
        if first.kind == "start":
            with suppress(ModelError):
                return history.checkpoint(first.number)
    model = make_teachable(checkpoint, classes, spacing)
    if not history.commits:
        history.add("start", 0, 0, model)
    return model
