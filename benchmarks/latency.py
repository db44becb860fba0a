"""How long the answer to a stroke takes in a real window: from the release of the mouse to the drawn frame.

    xvfb-run -a -s "-screen 0 1920x1080x24" python -m benchmarks.latency [--model nuclei] [--strokes 40] [--network off]

Opens napari with the Teach dock on an image of 2048 x 2048, zoomed so that 512 x 512 pixels are on screen, paints
strokes with mouse events and notes the latencies that the dock shows, and the longest gaps between two ticks of a timer
on the GUI thread while the strokes are learnt.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time

import napari
import numpy as np
from qtpy.QtCore import QEvent, QEventLoop, QPointF, Qt, QTimer
from qtpy.QtGui import QMouseEvent
from qtpy.QtWidgets import QApplication

from benchmarks.machine import describe
from napari_fcn.gui._layers.camera import camera_of
from napari_fcn.gui.teach import TeachWidget

SIDE, VIEW = 2048, 512
MOVES = 12


def image() -> np.ndarray:
    """Return noisy discs."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:64, :64] - 32
    disc = np.where(y**2 + x**2 < 18**2, 120.0, 30.0)
    tiled = np.tile(disc, (SIDE // 64, SIDE // 64))
    return np.clip(tiled + rng.normal(0, 12, tiled.shape), 0, 255).astype(np.uint8)


class Hand:
    """Paints in a window with mouse events."""

    def __init__(self, viewer: napari.Viewer) -> None:
        self.viewer = viewer
        self.canvas = viewer.window._qt_viewer.canvas.native

    def stroke(self, start: np.ndarray, stop: np.ndarray) -> None:
        """Draw a line between two places of the image."""
        places = [self._on_canvas(place) for place in np.linspace(start, stop, MOVES)]
        self._mouse(QEvent.MouseMove, places[0], Qt.NoButton, Qt.NoButton)
        self._mouse(QEvent.MouseButtonPress, places[0], Qt.LeftButton, Qt.LeftButton)
        for place in places[1:]:
            self._mouse(QEvent.MouseMove, place, Qt.NoButton, Qt.LeftButton)
            self.wait(0.008)
        self._mouse(QEvent.MouseButtonRelease, places[-1], Qt.LeftButton, Qt.NoButton)

    def wait(self, seconds: float) -> None:
        """Let the window live."""
        loop = QEventLoop()
        QTimer.singleShot(max(1, round(1e3 * seconds)), loop.quit)
        loop.exec_()

    def until(self, condition: object, patience: float = 60.0) -> None:
        """Let the window live until something is so."""
        end = time.monotonic() + patience
        while not condition() and time.monotonic() < end:  # type: ignore[operator]
            self.wait(0.02)

    def _on_canvas(self, place: np.ndarray) -> QPointF:
        size = np.array([self.canvas.height(), self.canvas.width()])
        camera = camera_of(self.viewer)
        y, x = size / 2 + (place - np.asarray(camera.center)[-2:]) * camera.zoom
        return QPointF(float(x), float(y))

    def _mouse(self, kind: object, at: QPointF, button: object, buttons: object) -> None:
        everywhere = QPointF(self.canvas.mapToGlobal(at.toPoint()))
        QApplication.sendEvent(self.canvas, QMouseEvent(kind, at, at, everywhere, button, buttons, Qt.NoModifier))


def main() -> None:
    """Paint and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="nuclei")
    parser.add_argument("--strokes", type=int, default=40)
    parser.add_argument("--network", default="off", choices=("off", "automatic", "ask"))
    parser.add_argument("--pause", type=float, default=0.3, help="seconds between an answer and the next stroke")
    arguments = parser.parse_args()
    os.chdir(tempfile.mkdtemp())  # the project goes there
    viewer = napari.Viewer()
    hand = Hand(viewer)
    viewer.add_image(image(), name="cells")
    widget = TeachWidget(viewer)
    viewer.window.add_dock_widget(widget)
    viewer.window._qt_window.resize(1280, 900)
    hand.wait(2.0)
    models = widget.begin.model
    models.combo.setCurrentIndex(models.combo.findText(arguments.model))
    network = widget.learning.network
    network.setCurrentIndex(network.findData(arguments.network))
    widget.begin.start.click()
    hand.until(lambda: widget.controller.state.is_open)
    camera = camera_of(viewer)
    camera.center = (0, SIDE / 2, SIDE / 2)
    camera.zoom = min(hand.canvas.height(), hand.canvas.width()) / VIEW
    hand.wait(1.0)
    hand.until(lambda: not widget.controller.state.is_working and not widget.controller.is_busy)
    ticks: list[float] = []
    timer = QTimer()
    timer.setInterval(5)
    timer.timeout.connect(lambda: ticks.append(time.monotonic()))
    timer.start()
    rng = np.random.default_rng(0)
    layer = widget.controller.course.corrections.layer
    for number in range(arguments.strokes):
        layer.selected_label = 1 + number % 2
        at = SIDE / 2 + rng.uniform(-VIEW / 2 + 60, VIEW / 2 - 60, 2)
        before = len(widget.controller.latencies)
        hand.stroke(at, at + rng.uniform(-40, 40, 2))
        hand.until(lambda before=before: len(widget.controller.latencies) > before)
        hand.wait(arguments.pause)
    timer.stop()
    found, gaps = 1e3 * np.asarray(widget.controller.latencies), 1e3 * np.diff(ticks)
    print(f"{arguments.model}, whole network {arguments.network}, {describe('cpu')}")
    print(f"answers: {len(found)}, median {np.median(found):.0f} ms, 95 % within {np.percentile(found, 95):.0f} ms")
    print(f"gaps of the GUI thread: 99 % below {np.percentile(gaps, 99):.0f} ms, longest {gaps.max():.0f} ms")
    widget.controller.shutdown()
    viewer.close()


if __name__ == "__main__":
    main()
