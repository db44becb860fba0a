"""A viewer with the Teach dock, and strokes with a real mouse."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from gui.clocks import LONG, turn
from gui.fakes import FakeTeaching
from napari.layers import Labels
from napari.viewer import Viewer
from pytestqt.qtbot import QtBot
from qtpy.QtCore import QEvent, QPointF, Qt
from qtpy.QtGui import QMouseEvent
from qtpy.QtWidgets import QApplication

from napari_fcn.gui._controllers import TeachState
from napari_fcn.gui._layers.screen import camera_of
from napari_fcn.gui.teach import TeachWidget

MOVES = 12  # of the mouse in a stroke

Place = Sequence[float]


@dataclass
class TeachDock:
    """A viewer with the Teach dock, used by mouse and keyboard."""

    viewer: Viewer
    widget: TeachWidget
    qtbot: QtBot

    @property
    def state(self) -> TeachState:
        return self.widget.controller.state

    @property
    def layer(self) -> Labels:
        assert self.widget.controller.layers is not None
        return self.widget.controller.layers.corrections.layer

    @property
    def engine(self) -> FakeTeaching:
        return FakeTeaching.made[-1]

    @property
    def overlay_classes(self) -> np.ndarray:
        layers = self.widget.controller.layers
        assert layers is not None
        assert layers.overlay is not None
        return layers.overlay.canvas.classes

    @property
    def canvas(self) -> Any:
        return self.viewer.window._qt_viewer.canvas.native

    def wait(self, condition: Callable[[], Any]) -> None:
        self.qtbot.waitUntil(lambda: bool(condition()), timeout=LONG)

    def rest(self) -> None:
        controller = self.widget.controller
        turn(self.qtbot)
        self.wait(lambda: not controller.is_busy and not self.state.is_working)
        self.wait(lambda: not controller.is_late)

    def click(self, button: Any) -> None:
        self.qtbot.mouseClick(button, Qt.LeftButton)

    def start(self) -> None:
        """Click on Start and wait until the session is open."""
        self.click(self.widget.setup.start)
        self.wait(lambda: self.state.phase != "opening")
        assert self.state.is_open, self.state.error
        self.rest()

    def press(self, key: Any, modifier: Any = Qt.NoModifier) -> None:
        self.qtbot.keyClick(self.canvas, key, modifier)

    def stroke(self, *places: Place, button: Any = Qt.LeftButton) -> None:
        """Draw through points of the image with the mouse, and wait for the prediction."""
        self.draw(*places, button=button)
        self.rest()

    def draw(self, *places: Place, button: Any = Qt.LeftButton) -> None:
        """Draw through points of the image with the mouse."""
        points = [self._on_canvas(place) for place in self._between(places)]
        self._mouse(QEvent.MouseMove, points[0], Qt.NoButton, Qt.NoButton)
        self._mouse(QEvent.MouseButtonPress, points[0], button, button)
        for point in points[1:]:
            self._mouse(QEvent.MouseMove, point, Qt.NoButton, button)
            self.qtbot.wait(6)  # napari leaves out moves that come within 5 ms of one another
        self._mouse(QEvent.MouseButtonRelease, points[-1], button, Qt.NoButton)

    def painted(self) -> dict[int, int]:
        """Return the number of pixels of each value."""
        values, counts = np.unique(self.layer.data, return_counts=True)
        return {int(v): int(n) for v, n in zip(values, counts, strict=True) if v}

    def _between(self, places: Sequence[Place]) -> list[np.ndarray]:
        found = [np.asarray(places[0], float)]
        for start, stop in pairwise(places):
            found += list(np.linspace(start, stop, MOVES + 1)[1:])
        return found

    def _on_canvas(self, place: Place) -> QPointF:
        world = np.asarray(self.layer.data_to_world(place))[-2:]
        camera = camera_of(self.viewer)
        size = np.array([self.canvas.height(), self.canvas.width()])
        y, x = size / 2 + (world - np.asarray(camera.center)[-2:]) * camera.zoom
        return QPointF(float(x), float(y))

    def _mouse(self, kind: Any, at: QPointF, button: Any, buttons: Any) -> None:
        everywhere = QPointF(self.canvas.mapToGlobal(at.toPoint()))
        event = QMouseEvent(kind, at, at, everywhere, button, buttons, Qt.NoModifier)
        QApplication.sendEvent(self.canvas, event)
