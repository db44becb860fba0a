"""Time as the plugin sees it, in one place, so that tests can let it pass when they want."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from qtpy.QtCore import QObject, QTimer

if TYPE_CHECKING:
    from collections.abc import Callable


class Timer(Protocol):
    """What is used of a `QTimer`."""

    def start(self, milliseconds: int = ...) -> None:
        """Begin to count, or begin anew."""

    def stop(self) -> None:
        """Count no more."""

    def isActive(self) -> bool:
        """Whether it counts."""

    def interval(self) -> int:
        """Return for how long it counts, in milliseconds."""


class MakeTimer(Protocol):
    """What makes a timer: `single_shot`, or a test's own."""

    def __call__(self, parent: QObject, slot: Callable[..., Any], milliseconds: int = 0) -> Timer:
        """Return a timer that calls ``slot`` once, each time that it was started."""


def single_shot(parent: QObject, slot: Callable[..., Any], milliseconds: int = 0) -> QTimer:
    """Return a timer that calls ``slot`` once, each time that it was started."""
    timer = QTimer(parent)
    timer.setSingleShot(True)
    timer.setInterval(milliseconds)
    timer.timeout.connect(slot)
    return timer


@dataclass(frozen=True, slots=True)
class Clock:
    """What tells the time in seconds, and what makes timers."""

    now: Callable[[], float] = time.monotonic
    timer: MakeTimer = single_shot


REAL = Clock()
