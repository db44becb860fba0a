"""How far a run is and how long it will take, on standard error."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Self

from napari_fcn.cli.terminal import plain
from napari_fcn.events import FallbackTaken, ObjectsStep, ResultsDone, RunPlanned, TileDone

if TYPE_CHECKING:
    from types import TracebackType

    from napari_fcn.runs.writer import Event

SELDOM = 30.0  # seconds between lines where nobody watches, as in the log of a cluster


class Progress:
    """A bar with the time left, for one image.

    Parameters
    ----------
    name : str
        What stands before the bar.
    is_quiet : bool
        Whether there is none.
    """

    def __init__(self, name: str, is_quiet: bool) -> None:
        from tqdm import tqdm

        interval = 0.1 if sys.stderr.isatty() else SELDOM
        self._name = plain(name)
        self._bar = tqdm(
            unit="tile", desc=self._name, file=sys.stderr, leave=False, disable=is_quiet, mininterval=interval
        )

    def show(self, event: Event) -> None:
        """Show what has happened. Time left is reckoned from the tiles of this run, not of an earlier one."""
        if isinstance(event, RunPlanned):
            self._start(event.tiles, event.done)
        elif isinstance(event, TileDone | ResultsDone):
            self._bar.update()
        elif isinstance(event, FallbackTaken):
            self._bar.total = event.total
        elif isinstance(event, ObjectsStep):
            if event.done == 1:
                self._bar.set_description(f"{self._name}: objects", refresh=False)
                self._start(event.total, 0)
            self._bar.update()

    def _start(self, total: int, done: int) -> None:
        self._bar.reset(total)
        self._bar.initial = self._bar.n = self._bar.last_print_n = done
        self._bar.refresh()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.close()
