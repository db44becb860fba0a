"""The tasks of the Receptive field dock: one runs, and the latest of each other kind waits."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from napari.layers import Layer

    from napari_fcn.gui._controllers.field.state import ImageView

ANALYSIS, POINT, OBJECTS = "analysis", "point", "objects"  # kinds of tasks, in addition to the checks


@dataclass(frozen=True, slots=True, eq=False)
class FieldTask:
    """A job for the worker thread, with its layer, image and pixel, if it has any."""

    kind: str
    make: Callable[[], Iterator[Any]]
    source: Layer | None = None
    view: ImageView | None = None
    index: tuple[int, ...] = ()


@dataclass(slots=True, eq=False)
class TaskQueue:
    """The running task, and the waiting ones.

    Attributes
    ----------
    current : FieldTask or None
        The running task.
    """

    current: FieldTask | None = None
    _started: float = 0.0
    _waiting: dict[str, FieldTask] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        """Duration of the current task so far."""
        return time.monotonic() - self._started

    def can_start(self, task: FieldTask) -> bool:
        """Whether a task can start at once, because none runs or it replaces the current one; else it waits."""
        if self.current is None or self.current.kind in (ANALYSIS, task.kind):
            return True
        self._waiting[task.kind] = task
        return False

    def start(self, task: FieldTask) -> None:
        """Make a task the current one."""
        self.current, self._started = task, time.monotonic()

    def finish(self) -> FieldTask | None:
        """End the current task; return the one that has waited longest."""
        self.current = None
        return self._waiting.pop(next(iter(self._waiting))) if self._waiting else None

    def discard(self, source: Layer) -> bool:
        """Remove the waiting tasks of a layer; return whether the current task is one of them."""
        self._waiting = {kind: task for kind, task in self._waiting.items() if task.source is not source}
        return self.current is not None and self.current.source is source

    def clear(self) -> None:
        """Remove all tasks."""
        self.current = None
        self._waiting.clear()
