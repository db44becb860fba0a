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
    """The request of the user: model file, settings, and outputs."""

    model: Path
    settings: PredictSettings = field(default_factory=PredictSettings)
    output: OutputSettings = field(default_factory=partial(OutputSettings, ("classes",)))


@dataclass(frozen=True, slots=True)
class Row:
    """One image of the batch.

    Attributes
    ----------
    number : int
        Identifies the row, also when others are added or removed.
    name, location : str
        Name of the image, and its path or that it is a layer.
    state : str
        waiting, running, done, failed or cancelled.
    fraction : float
        Progress of a running row, 0..1.
    task : str
        The current task, if it is not the prediction.
    seconds_left : float or None
        Estimate; None if unknown.
    seconds : float
        Duration of a finished run; 0 if its results existed already.
    result_line : str
        Time, device, precision and speed of a finished run: `RunProgress.result_line`.
    lines : tuple of str
        The error, or notes.
    files : tuple of str
        The files that were written.
    is_outdated : bool
        Whether the pixels of the image layer were replaced after the run.
    """

    number: int
    name: str
    location: str
    state: str = WAITING
    fraction: float = 0.0
    task: str = ""
    seconds_left: float | None = None
    seconds: float = 0.0
    result_line: str = ""
    lines: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    is_outdated: bool = False

    @property
    def is_waiting(self) -> bool:
        """Whether the next run includes this row."""
        return self.state in (WAITING, CANCELLED) or self.is_outdated

    def reset(self) -> Row:
        """Return the row as it was before any run."""
        return Row(self.number, self.name, self.location)


@dataclass(frozen=True, slots=True)
class Summary:
    """Summary of a finished batch: rows in each state, duration in seconds, model, devices."""

    done: int
    failed: int
    cancelled: int
    seconds: float
    model: str
    devices: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class BatchState:
    """The state of the controller that the dock shows.

    Attributes
    ----------
    rows : tuple of Row
        All images, in the order in which they are run.
    is_running : bool
        Whether a batch runs.
    done, total : int
        Rows of this batch that have ended, and all of its rows.
    seconds_left : float or None
        Estimate for the whole batch.
    message, error : str
        The latest event, and the latest error that concerns no single row.
    summary : Summary or None
        Of the latest finished batch.
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

    def is_step_after(self, previous: BatchState) -> bool:
        """Whether only the progress of the current row differs."""
        if _row_states(self) != _row_states(previous):
            return False
        return self == replace(previous, rows=self.rows, seconds_left=self.seconds_left)

    @property
    def fraction(self) -> float:
        """Progress of the batch, 0..1; all images have the same weight."""
        current = sum(row.fraction for row in self.rows if row.state == RUNNING)
        return (self.done + current) / max(1, self.total)

    @property
    def to_run(self) -> tuple[int, ...]:
        """Numbers of the rows for Run: waiting, cancelled and outdated ones; all if there are none."""
        return _numbers(row for row in self.rows if row.is_waiting) or _numbers(self.rows)

    @property
    def retriable(self) -> tuple[int, ...]:
        """Numbers of the failed and cancelled rows."""
        return _numbers(row for row in self.rows if row.state in (FAILED, CANCELLED))


def _row_states(state: BatchState) -> list[tuple[int, str, bool]]:
    return [(row.number, row.state, row.is_outdated) for row in state.rows]


def _numbers(rows: Iterable[Row]) -> tuple[int, ...]:
    return tuple(row.number for row in rows)
