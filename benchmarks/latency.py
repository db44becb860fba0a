"""How long the answer to a stroke takes in a real window: from the release of the mouse to the drawn frame.

    xvfb-run -a -s "-screen 0 1920x1080x24" python -m benchmarks.latency [--model nuclei] [--strokes 40] [--network off]
        [--side 2048]

Opens napari with the Teach dock on an image of 2048 x 2048, zoomed so that 512 x 512 pixels are on screen, paints
strokes with mouse events and notes when each step of the way was done, and the longest gaps between two ticks of a
timer on the GUI thread while the strokes are learnt. The latency ends when napari has drawn the frame; when it has
been put on the screen, and how long that takes for a frame with nothing new in it, is told beside it. An image with a
side of more than 4096 is a pyramid on the disk.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from itertools import chain
from typing import TYPE_CHECKING, Any

import dask.array as da
import napari
import numpy as np
import psutil
import zarr
from qtpy.QtCore import QEvent, QEventLoop, QPointF, Qt, QTimer
from qtpy.QtGui import QMouseEvent
from qtpy.QtWidgets import QApplication

from benchmarks.machine import describe
from napari_fcn.events import HeadFitted
from napari_fcn.gui._layers import ColourTile
from napari_fcn.gui._layers.screen import camera_of
from napari_fcn.gui.teach import TeachWidget

if TYPE_CHECKING:
    from napari_fcn.gui._controllers.teach.messages import SessionMessage

PATTERN, LARGE, VIEW = 2048, 4096, 512
MOVES = 12


def pattern() -> np.ndarray:
    """Return noisy discs."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:64, :64] - 32
    disc = np.where(y**2 + x**2 < 18**2, 120.0, 30.0)
    tiled = np.tile(disc, (PATTERN // 64, PATTERN // 64))
    return np.clip(tiled + rng.normal(0, 12, tiled.shape), 0, 255).astype(np.uint8)


def image(side: int) -> Any:
    """Return noisy discs all over; the levels of a pyramid in the working folder, if that is large."""
    part, times = pattern(), -(-side // PATTERN)
    if side <= LARGE:
        return np.tile(part, (times, times))[:side, :side]
    row = np.tile(part, (1, times))[:, :side]
    stored = zarr.create_array("cells.zarr", shape=(side, side), chunks=(512, 512), dtype=np.uint8)
    for start in range(0, side, PATTERN):
        stored[start : start + PATTERN] = row[: side - start]
    levels = [da.from_zarr(stored)]
    while levels[-1].shape[0] > 2 * VIEW:
        levels.append(levels[-1][::2, ::2])
    return levels


class Hand:
    """Paints in a window with mouse events."""

    def __init__(self, viewer: napari.Viewer) -> None:
        self.viewer = viewer
        self.canvas = viewer.window._qt_viewer.canvas.native
        self.released = 0.0  # when the mouse was released last

    def stroke(self, start: np.ndarray, stop: np.ndarray) -> None:
        """Draw a line between two places of the image."""
        places = [self._on_canvas(place) for place in np.linspace(start, stop, MOVES)]
        self._mouse(QEvent.MouseMove, places[0], Qt.NoButton, Qt.NoButton)
        self._mouse(QEvent.MouseButtonPress, places[0], Qt.LeftButton, Qt.LeftButton)
        for place in places[1:]:
            self._mouse(QEvent.MouseMove, place, Qt.NoButton, Qt.LeftButton)
            self.wait(0.008)
        self.released = time.monotonic()
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


class Hops:
    """When each step from the release of the mouse to the frame on the screen was done, for each stroke.

    Parameters
    ----------
    widget : TeachWidget
        The dock.
    hand : Hand
        What paints.
    """

    NAMES = ("released", "noticed", "worker asked", "answer on its layer", "drawn", "on the screen")

    def __init__(self, widget: TeachWidget, hand: Hand) -> None:
        self.controller, self.hand = widget.controller, hand
        self.found: list[list[float]] = []
        self.engine: list[float] = []
        self._marks: dict[str, float] = {}
        self._answers = 0
        assert self.controller.layers is not None
        self.controller.layers.corrections.changed.connect(self._on_asked)  # after the controller, as what follows
        self.controller._runner.yielded.connect(self._on_yielded)
        hand.canvas.frameSwapped.connect(self._on_swapped)

    def stroke(self, start: np.ndarray, stop: np.ndarray) -> None:
        """Paint and wait for the answer to be on the screen."""
        self._marks = {}
        before, self._answers = len(self.controller.latencies), len(self.controller.latencies)
        self.hand.stroke(start, stop)
        self._marks["released"] = self.hand.released
        self.hand.until(lambda: len(self.controller.latencies) > before)
        self.hand.until(lambda: "on the screen" in self._marks, 2.0)
        if set(self.NAMES) <= set(self._marks):
            self.found.append([self._marks[name] for name in self.NAMES])

    def _on_asked(self) -> None:
        self._marks["worker asked"] = time.monotonic()

    def _on_yielded(self, messages: list[SessionMessage]) -> None:
        for payload in chain.from_iterable(message.payloads for message in messages):
            if isinstance(payload, HeadFitted):
                self.engine.append(payload.seconds)
            if isinstance(payload, ColourTile):
                self._marks["answer on its layer"] = time.monotonic()

    def _on_swapped(self) -> None:
        now, course, seconds = time.monotonic(), self.controller.layers, self.controller.latencies
        if course is not None and len(seconds) > self._answers and "on the screen" not in self._marks:
            noticed = course.corrections.edited_at
            self._marks |= {"noticed": noticed, "drawn": noticed + seconds[-1], "on the screen": now}

    def report(self) -> None:
        """Print medians."""
        taken = 1e3 * np.asarray(self.found)
        whole = taken[:, 4] - taken[:, 0]
        print(f"answers: {len(whole)}, median {np.median(whole):.0f} ms, 95 % within {np.percentile(whole, 95):.0f} ms")
        for name, at, step in zip(
            self.NAMES, np.median(taken - taken[:, :1], axis=0), [0, *np.median(np.diff(taken), axis=0)], strict=True
        ):
            print(f"  hop {name:20s} at {at:6.1f} ms, took {step:6.1f} ms")
        print(f"  of which hop engine, to learn the strokes: {1e3 * np.median(self.engine):.1f} ms")


def floor(hand: Hand, times: int = 20) -> tuple[float, float]:
    """Return the median milliseconds in which the same window draws a frame, and puts it on the screen."""
    scene = hand.viewer.window._qt_viewer.canvas._scene_canvas
    marks: dict[str, float] = {}

    def on_draw(_: object = None) -> None:
        marks["drawn"] = time.monotonic()

    def on_swapped() -> None:
        if "drawn" in marks:
            marks.setdefault("on the screen", time.monotonic())

    scene.events.draw.connect(on_draw, position="last")
    hand.canvas.frameSwapped.connect(on_swapped)
    taken = []
    for _ in range(times):
        hand.wait(0.1)
        marks.clear()
        asked = time.monotonic()
        scene.update()
        hand.until(lambda: "on the screen" in marks)
        taken.append([1e3 * (marks[name] - asked) for name in ("drawn", "on the screen")])
    scene.events.draw.disconnect(on_draw)
    hand.canvas.frameSwapped.disconnect(on_swapped)
    drawn, shown = np.median(taken, axis=0)
    return float(drawn), float(shown)


def opened(model: str, network: str, side: int) -> tuple[napari.Viewer, TeachWidget, Hand]:
    """Return a window in which a model is taught."""
    viewer = napari.Viewer()
    hand = Hand(viewer)
    viewer.add_image(image(side), name="cells", multiscale=side > LARGE, contrast_limits=(0, 255))
    widget = TeachWidget(viewer)
    viewer.window.add_dock_widget(widget)
    window = viewer.window._qt_window
    window.resize(1280, 900)
    hand.wait(1.0)
    window.resize(window.width() + hand.canvas.height() - hand.canvas.width(), window.height())  # as high as wide
    hand.wait(1.0)
    models = widget.source.model
    models.choose(next(entry for entry in models.models if entry.name == model))
    box = widget.learning.network
    box.setCurrentIndex(box.findData(network))
    camera = camera_of(viewer)
    camera.center = (0, side / 2, side / 2)
    camera.zoom = min(hand.canvas.height(), hand.canvas.width()) / VIEW
    hand.wait(1.0)
    widget.setup.start.click()
    hand.until(lambda: widget.controller.state.is_open)
    assert (widget.controller.state.model, widget.controller.state.settings.network) == (model, network)
    hand.until(lambda: not widget.controller.state.is_working and not widget.controller.is_busy)
    return viewer, widget, hand


def main() -> None:
    """Paint and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="nuclei")
    parser.add_argument("--strokes", type=int, default=40)
    parser.add_argument("--network", default="off", choices=("off", "automatic", "ask"))
    parser.add_argument("--side", type=int, default=2048, help="pixels of the image along each axis")
    parser.add_argument("--pause", type=float, default=1.0, help="seconds between an answer and the next stroke")
    arguments = parser.parse_args()
    os.chdir(tempfile.mkdtemp())  # the project goes there
    viewer, widget, hand = opened(arguments.model, arguments.network, arguments.side)
    assert widget.controller.layers is not None
    shape = " x ".join(map(str, widget.controller.layers.view().shape))
    bare = floor(hand)
    ticks: list[float] = []
    timer = QTimer()
    timer.setInterval(5)
    timer.timeout.connect(lambda: ticks.append(time.monotonic()))
    timer.start()
    rng = np.random.default_rng(0)
    layer, hops = widget.controller.layers.corrections.layer, Hops(widget, hand)
    for number in range(arguments.strokes):
        layer.selected_label = 1 + number % 2
        at = arguments.side / 2 + rng.uniform(-VIEW / 2 + 60, VIEW / 2 - 60, 2)
        hops.stroke(at, at + rng.uniform(-40, 40, 2))
        hand.wait(arguments.pause)
    timer.stop()
    gaps = 1e3 * np.diff(ticks)
    of = f"view {shape} of {arguments.side} x {arguments.side} px"
    print(f"{arguments.model}, whole network {arguments.network}, {of}, {describe('cpu')}")
    hops.report()
    print(f"memory of the process: {psutil.Process().memory_info().rss / 2**20:.0f} MiB")
    print(f"floor: a frame with nothing new is drawn after {bare[0]:.1f} ms, on the screen after {bare[1]:.1f} ms")
    print(f"gaps of the GUI thread: 99 % below {np.percentile(gaps, 99):.0f} ms, longest {gaps.max():.0f} ms")
    widget.controller.shutdown()
    viewer.close()


if __name__ == "__main__":
    main()
