"""The progress and the outcome of a run, computed from its events: the same on the command line and in all docks."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from napari_fcn.events import FallbackTaken, ObjectsStep, RunDone, RunPlanned

if TYPE_CHECKING:
    from collections.abc import Iterable

    from napari_fcn.geometry import Region

OBJECTS = "objects"
MAX_EXTRAPOLATION = 0.95  # of the estimated time left


@runtime_checkable
class FinishedTile(Protocol):
    """The event of a tile: `TileDone`, `ResultsDone`, or a tile in the colours of a dock."""

    @property
    def region(self) -> Region:
        """The region of the tile, on the image axes."""

    @property
    def done(self) -> int:
        """The number of tiles finished so far."""

    @property
    def total(self) -> int:
        """The number of all tiles."""


@dataclass(frozen=True, slots=True)
class RunProgress:
    """The state of a run after some of its events.

    Attributes
    ----------
    done, total : int
        Steps of the present task that are finished, and all of them; 0 before the run is planned.
    task : str
        ``"objects"`` while objects are numbered, else empty: the network predicts tiles.
    seconds_left : float or None
        Estimate for the present task; None while it is unknown.
    notes : tuple of str
        Sentences for the user, each once, in the order of the events.
    counts : tuple of int
        Pixels of each class so far; empty if the events do not count them.
    plan : RunPlanned or None
        The plan; None before it.
    result : RunDone or None
        The end; None before it.
    work : float
        Fraction of the work of the present task that is done, by the pixels that tiles read; 0 while it is unknown.
    started : float
        Time at which the present task started, in seconds of the clock that the caller uses.
    updated : float
        Time of the latest estimate.
    resumed : int
        Steps of the present task that were finished at that time.
    """

    done: int = 0
    total: int = 0
    task: str = ""
    seconds_left: float | None = None
    notes: tuple[str, ...] = ()
    counts: tuple[int, ...] = ()
    plan: RunPlanned | None = None
    result: RunDone | None = None
    work: float = 0.0
    started: float = 0.0
    updated: float = 0.0
    resumed: int = 0

    @property
    def fraction(self) -> float:
        """The finished fraction of the present task, 0..1."""
        if not self.work:
            return self.done / max(1, self.total)
        return (self.resumed + self.work * (self.total - self.resumed)) / max(1, self.total)

    def at(self, now: float) -> RunProgress:
        """Return the progress that is expected at a time after the latest event, never that of the end."""
        if not self.work or not self.seconds_left:
            return self
        passed = min(max(0.0, now - self.updated), MAX_EXTRAPOLATION * self.seconds_left)
        work = self.work + (1 - self.work) * passed / self.seconds_left
        return replace(self, work=work, seconds_left=self.seconds_left - passed)

    @property
    def class_fractions(self) -> tuple[float, ...]:
        """The fraction of the pixels in each class, 0..1; empty if they were not counted."""
        pixels = max(1, sum(self.counts))
        return tuple(count / pixels for count in self.counts)

    @property
    def result_line(self) -> str:
        """Time, device, precision and speed of the finished run; empty before its end."""
        end = self.result
        if end is None:
            return ""
        speed = end.pixels / 1e6 / max(end.seconds, 1e-6)
        return f"{duration(end.seconds)} on {end.device} in {end.precision}, {speed:.2g} Mpx/s"


def advance(progress: RunProgress, event: object, now: float) -> RunProgress:
    """Return the progress after one more event.

    Parameters
    ----------
    progress : RunProgress
        The progress before.
    event : object
        Any event; those without progress change nothing.
    now : float
        The time of the event in seconds, by any clock.
    """
    if isinstance(event, RunPlanned):
        return _planned(progress, event, now)
    if isinstance(event, FallbackTaken):
        return _timed(replace(_noted(progress, event.line), total=event.total), now)
    if isinstance(event, ObjectsStep):
        if event.done == 1:  # the duration of the first step is unknown: events come after their steps
            first = replace(progress, task=OBJECTS, done=1, total=event.total, work=0.0)
            return replace(first, started=now, resumed=1, seconds_left=None)
        return _timed(replace(progress, done=event.done, total=event.total), now)
    if isinstance(event, RunDone):
        return replace(_noted(progress, *event.notes), result=event, seconds_left=0.0)
    if isinstance(event, FinishedTile):
        counts = _sums(progress.counts, getattr(event, "counts", ()))
        work = float(getattr(event, "work", 0.0))
        return _timed(replace(progress, done=event.done, total=event.total, counts=counts, work=work), now)
    return progress


def duration(seconds: float) -> str:
    """Return a time as text: ``0.42 s``, ``12 s``, ``3:05 min``, ``1:02 h``."""
    if seconds < 10:
        return f"{seconds:.2g} s"
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60) if seconds >= 3600 else int(seconds // 60)
    if seconds < 3600:
        return f"{minutes}:{int(seconds % 60):02d} min"
    return f"{minutes // 60}:{minutes % 60:02d} h"


def _planned(progress: RunProgress, plan: RunPlanned, now: float) -> RunProgress:
    resumed = [f"{plan.done} of {plan.tiles} tiles were already done."] if plan.done else []
    progress = _noted(progress, *plan.notes, *resumed)
    return replace(progress, done=plan.done, total=plan.tiles, plan=plan, started=now, resumed=plan.done)


def _noted(progress: RunProgress, *notes: str) -> RunProgress:
    return replace(progress, notes=tuple(dict.fromkeys((*progress.notes, *notes))))


def _timed(progress: RunProgress, now: float) -> RunProgress:
    """Return the progress with an estimate from the steps of this run, without resumed ones."""
    steps, elapsed = progress.done - progress.resumed, now - progress.started
    if progress.work:
        return replace(progress, updated=now, seconds_left=elapsed / progress.work * (1 - progress.work))
    return replace(progress, seconds_left=elapsed / steps * (progress.total - progress.done) if steps > 0 else None)


def _sums(counts: tuple[int, ...], new: Iterable[int]) -> tuple[int, ...]:
    more = tuple(map(int, new))
    return tuple(map(sum, zip(counts, more, strict=True))) if counts and more else counts or more
