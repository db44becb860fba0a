"""When the dock shows what the worker told: not while a stroke waits for its answer."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, Signal

from napari_fcn.gui._layers import after_draw
from napari_fcn.gui._timers import MakeTimer, single_shot

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari.components import ViewerModel


KEPT = 1000


class LatencyMeter:
    """Measures the latest stroke; one that is superseded before its answer is there is not counted.

    Parameters
    ----------
    viewer : ViewerModel
        Whose window is watched.
    tell : callable
        Is called after each measurement.

    Attributes
    ----------
    seconds : list of float
        The latest measurements.
    """

    def __init__(self, viewer: ViewerModel, tell: Callable[[], None]) -> None:
        self._viewer, self._tell = viewer, tell
        self._began: float | None = None
        self._is_answered = False
        self.seconds: list[float] = []

    def start(self, at: float) -> None:
        """Begin with a stroke that ended at a time of `time.monotonic`."""
        self._began, self._is_answered = at, False

    def answered(self) -> None:
        """Take note that the tiles that come now are the answer."""
        self._is_answered = True

    def shown(self) -> None:
        """Take note that the last tile is on its way to the screen."""
        if self._began is not None and self._is_answered:
            self._is_answered = False
            after_draw(self._viewer, self._on_drawn)

    def _on_drawn(self) -> None:
        if self._began is None:
            return
        self.seconds.append(time.monotonic() - self._began)
        self._began = None
        del self.seconds[:-KEPT]
        self._tell()


SOON = 100  # milliseconds; what comes in quick succession is shown once
LATE = 300  # milliseconds; an answer that takes longer keeps the dock waiting no more


class UpdateThrottle(QObject):
    """Says when to show news in the dock.

    Whatever changes in a dock makes Qt put the whole window together again: without a graphics card 10 to 50 ms on
    all cores, and a dozen events come between a stroke and its answer. So the canvas goes first.

    Attributes
    ----------
    due : Signal()
        It is time to show what is new.
    """

    due = Signal()

    def __init__(self, parent: QObject | None = None, timer: MakeTimer = single_shot) -> None:
        super().__init__(parent)
        self._is_held = False
        self._timer = timer(self, self.due.emit)

    @property
    def is_waiting(self) -> bool:
        """Whether there is something that the dock does not show yet."""
        return self._timer.isActive()

    @property
    def is_held(self) -> bool:
        """Whether an answer is on its way to the screen."""
        return self._is_held

    def request(self) -> None:
        """Take note that there is something new."""
        if not self._timer.isActive():
            self._timer.start(LATE if self._is_held else SOON)

    def hold(self) -> None:
        """Let the dock wait for an answer that was just asked for."""
        if self._timer.isActive() and not self._is_held:  # a hand that paints on and on must not put it off for ever
            self._timer.start(LATE)
        self._is_held = True

    def release(self) -> None:
        """Let the dock follow soon: the answer is on the screen."""
        self._is_held = False
        if self._timer.isActive():
            self._timer.start(SOON)

    def cancel(self) -> None:
        """Take note that everything is shown."""
        self._timer.stop()
