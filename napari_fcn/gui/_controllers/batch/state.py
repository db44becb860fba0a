"""The state and the requests of the Batch dock, as frozen values."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

from napari_fcn.settings import OutputSettings, PredictSettings

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

WAITING, RUNNING, DONE, FAILED, CANCELLED = "waiting", "running", "done", "failed", "cancelled"


@dataclass(frozen=True, slots=True)
class BatchRequest:
    """What the user asks for: a model file, how to run it, and what to write."""

    model: Path
    settings: PredictSettings = field(default_factory=PredictSettings)
    output: OutputSettings = field(default_factory=partial(OutputSettings, ("classes",)))


@dataclass(frozen=True, slots=True)
class Row:
    """One image of the batch.

    Attributes
    ----------
    number : int
        Stays the same while other rows come and go.
    name, place : str
        What it is called, and where it is: a path, or the layers of the viewer.
    state : str
        waiting, running, done, failed or cancelled.
    share : float
        How much of a running one is done, 0..1.
    task : str
        What it is at, if that is not to ask the network.
    seconds_left : float or None
        Estimate; None while nobody knows.
    seconds : float
        Time of a finished run; 0 if its results were there already.
    result_line : str
        Time, device, precision and speed of a finished run: `RunProgress.result_line`.
    lines : tuple of str
        Sentences for the user: what went wrong, or notes.
    files : tuple of str
        What was written.
    is_outdated : bool
        Whether the pixels of the image, which is a layer, were replaced since.
    """

    number: int
    name: str
    place: str
    state: str = WAITING
    share: float = 0.0
    task: str = ""
    seconds_left: float | None = None
    seconds: float = 0.0
    result_line: str = ""
    lines: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    is_outdated: bool = False

    @property
    def is_waiting(self) -> bool:
        """Whether the next run is to run it."""
        return self.state in (WAITING, CANCELLED) or self.is_outdated

    def reset(self) -> Row:
        """Return the row as it was before any run."""
        return Row(self.number, self.name, self.place)


@dataclass(frozen=True, slots=True)
class Summary:
    """What a batch that has ended has to tell: rows in each state, seconds, the model, where it ran."""

    done: int
    failed: int
    cancelled: int
    seconds: float
    model: str
    devices: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class BatchState:
    """All that the dock shows of the controller.

    Attributes
    ----------
    rows : tuple of Row
        All images, in the order in which they are run.
    is_running : bool
        Whether a batch goes on.
    done, total : int
        Rows of this batch that have come to an end, and all of them.
    seconds_left : float or None
        Estimate for the whole batch.
    message, error : str
        What happened, and what went wrong apart from single rows.
    summary : Summary or None
        Of the latest batch that has ended.
    """

    rows: tuple[Row, ...] = ()
    is_running: bool = False
    done: int = 0
    total: int = 0
    seconds_left: float | None = None
    message: str = ""
    error: str = ""
    summary: Summary | None = None

    def count(self, *states: str) -> int:
        """Return how many rows are in one of these states."""
        return sum(row.state in states for row in self.rows)

    def is_step_after(self, earlier: BatchState) -> bool:
        """Whether nothing but the progress of the present row differs."""
        if _row_states(self) != _row_states(earlier):
            return False
        return self == replace(earlier, rows=self.rows, seconds_left=self.seconds_left)

    @property
    def share(self) -> float:
        """How much of the batch is done, 0..1, as if all images were of one size."""
        present = sum(row.share for row in self.rows if row.state == RUNNING)
        return (self.done + present) / max(1, self.total)

    @property
    def to_run(self) -> tuple[int, ...]:
        """Numbers of the rows that Run would run: those that wait, were cancelled or are outdated; else all."""
        left = _numbers(row for row in self.rows if row.is_waiting)
        return left or _numbers(self.rows)

    @property
    def retriable(self) -> tuple[int, ...]:
        """Numbers of the rows that did not reach their end."""
        return _numbers(row for row in self.rows if row.state in (FAILED, CANCELLED))


def _row_states(state: BatchState) -> list[tuple[int, str, bool]]:
    return [(row.number, row.state, row.is_outdated) for row in state.rows]


def _numbers(rows: Iterable[Row]) -> tuple[int, ...]:
    return tuple(row.number for row in rows)
