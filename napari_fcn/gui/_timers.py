"""The clock and the timers of the plugin, in one place, so that tests can replace them."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from qtpy.QtCore import QObject, QTimer

if TYPE_CHECKING:
    from collections.abc import Callable


class Timer(Protocol):
    """The part of `QTimer` that the plugin uses."""

    def start(self, milliseconds: int = ...) -> None:
        """Start, or restart."""

    def stop(self) -> None:
        """Stop."""

    def isActive(self) -> bool:
        """Whether it runs."""

    def interval(self) -> int:
        """Return its interval in milliseconds."""


class MakeTimer(Protocol):
    """A function that makes timers: `single_shot`, or one of a test."""

    def __call__(self, parent: QObject, slot: Callable[..., Any], milliseconds: int = 0) -> Timer:
        """Return a timer that calls ``slot`` once each time it is started."""


def single_shot(parent: QObject, slot: Callable[..., Any], milliseconds: int = 0) -> QTimer:
    """Return a timer that calls ``slot`` once each time it is started."""
    timer = QTimer(parent)
    timer.setSingleShot(True)
    timer.setInterval(milliseconds)
    timer.timeout.connect(slot)
    return timer


@dataclass(frozen=True, slots=True)
class Clock:
    """A function that returns the time in seconds, and one that makes timers."""

    now: Callable[[], float] = time.monotonic
    timer: MakeTimer = single_shot


REAL = Clock()
