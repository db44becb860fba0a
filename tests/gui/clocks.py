"""Clocks that tests control, and functions that wait for events."""

import time
from collections.abc import Callable
from typing import Any

from pytestqt.qtbot import QtBot
from qtpy.QtCore import QObject, QTimer

from napari_fcn.gui._timers import Clock

LONG = 60_000  # milliseconds; long enough for a busy machine


class ManualTimer:
    """A single-shot timer that a test fires."""

    def __init__(self, parent: QObject, slot: Callable[..., Any], milliseconds: int = 0) -> None:
        self._slot, self._milliseconds, self._is_active = slot, milliseconds, False

    def start(self, milliseconds: int | None = None) -> None:
        self._milliseconds = self._milliseconds if milliseconds is None else milliseconds
        self._is_active = True

    def stop(self) -> None:
        self._is_active = False

    def isActive(self) -> bool:
        return self._is_active

    def interval(self) -> int:
        return self._milliseconds

    def fire(self) -> None:
        """Time out now."""
        assert self._is_active, "the timer does not run"
        self._is_active = False
        self._slot()


class ManualTime:
    """A clock that only the test advances."""

    def __init__(self) -> None:
        self.seconds = 1000.0
        self.clock = Clock(lambda: self.seconds, ManualTimer)


def turn(qtbot: QtBot) -> None:
    """Run the event loop until all events posted before are handled."""
    done: list[bool] = []
    QTimer.singleShot(0, lambda: done.append(True))
    qtbot.waitUntil(lambda: bool(done), timeout=LONG)


def until(condition: Callable[[], Any]) -> None:
    """Wait for another thread without running the event loop."""
    end = time.monotonic() + LONG / 1000
    while not condition():
        assert time.monotonic() < end, "timed out"
        time.sleep(0.001)
