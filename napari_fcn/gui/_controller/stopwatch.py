"""How long a stroke waits for its answer: from the release of the mouse to the frame that shows it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from napari_fcn.gui._layers import after_draw

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari.components import ViewerModel

KEPT = 1000


class Stopwatch:
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
