"""Delays updates of the dock while a stroke waits for its prediction, and measures the latency."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, Signal

from napari_fcn.gui._layers import call_after_draw
from napari_fcn.gui._timers import MakeTimer, single_shot

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari.components import ViewerModel


MAX_MEASUREMENTS = 1000


class LatencyMeter:
    """Measures the time from the end of a stroke to the frame that shows its prediction.

    A stroke that is followed by another before its prediction is complete is not counted.

    Parameters
    ----------
    viewer : ViewerModel
        The viewer whose frames are watched.
    on_measured : callable
        Called after each measurement.

    Attributes
    ----------
    seconds : list of float
        The latest measurements.
    """

    def __init__(self, viewer: ViewerModel, on_measured: Callable[[], None]) -> None:
        self._viewer, self._on_measured = viewer, on_measured
        self._start: float | None = None
        self.seconds: list[float] = []

    def start(self, seconds: float) -> None:
        """Measure from this time of `time.monotonic`, the end of a stroke."""
        self._start = seconds

    def shown(self) -> None:
        """Stop at the next frame: the prediction after the last stroke is complete on its layer."""
        if self._start is not None:
            call_after_draw(self._viewer, self._on_drawn)

    def _on_drawn(self) -> None:
        if self._start is None:
            return
        self.seconds.append(time.monotonic() - self._start)
        self._start = None
        del self.seconds[:-MAX_MEASUREMENTS]
        self._on_measured()


SOON = 100  # milliseconds; changes in quick succession are shown together
LATE = 300  # milliseconds; a prediction that takes longer does not delay the dock any further


class UpdateThrottle(QObject):
    """Decides when to update the dock.

    Each change of a widget makes Qt lay out and compose the whole window, which takes 10 to 50 ms of all cores without
    a graphics card, and there are a dozen events between a stroke and its prediction. The canvas has priority.

    Attributes
    ----------
    due : Signal()
        The dock should be updated.
    """

    due = Signal()

    def __init__(self, parent: QObject | None = None, timer: MakeTimer = single_shot) -> None:
        super().__init__(parent)
        self._is_held = False
        self._timer = timer(self, self.due.emit)

    @property
    def is_waiting(self) -> bool:
        """Whether the dock does not show the latest state yet."""
        return self._timer.isActive()

    @property
    def is_held(self) -> bool:
        """Whether a stroke waits for its prediction."""
        return self._is_held

    def request(self) -> None:
        """Update the dock soon: the state has changed."""
        if not self._timer.isActive():
            self._timer.start(LATE if self._is_held else SOON)

    def hold(self) -> None:
        """Delay updates: a stroke waits for its prediction."""
        if self._timer.isActive() and not self._is_held:  # continuous painting must not delay it for ever
            self._timer.start(LATE)
        self._is_held = True

    def release(self) -> None:
        """Update the dock soon: the prediction is on screen."""
        self._is_held = False
        if self._timer.isActive():
            self._timer.start(SOON)

    def cancel(self) -> None:
        """Cancel the update: the dock shows the latest state."""
        self._timer.stop()
