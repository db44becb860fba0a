"""Latency of teaching in a real window: time from the release of the mouse to the updated overlay.

    xvfb-run -a -s "-screen 0 1920x1080x24" python -m benchmarks.latency [--model nuclei] [--strokes 40] [--network off]
        [--side 2048]
    python -m benchmarks.latency --engine [--strokes 40]

Opens napari with the Teach dock on an image of 2048 x 2048 pixels, of which 512 x 512 are visible, paints strokes with
mouse events, and records the time of each step from stroke to screen, and the longest gaps between two ticks of a timer
on the GUI thread meanwhile. The latency ends when napari has drawn the frame; the time until it is on the screen, and
the same times for an unchanged frame, are also reported. An image with a side of more than 4096 is a pyramid on disk.

With ``--engine``, the same strokes are learnt without a window on one core, and the wall and processor time of each
step is printed: processor times can also be compared on a busy computer. The digest is that of all weights learnt.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import tempfile
import time
from itertools import chain
from typing import TYPE_CHECKING, Any

import dask.array as da
import napari
import numpy as np
import psutil
import torch
import zarr
from qtpy.QtCore import QEvent, QEventLoop, QPointF, Qt, QTimer
from qtpy.QtGui import QMouseEvent
from qtpy.QtWidgets import QApplication

from benchmarks.machine import describe
from napari_fcn.events import HeadFitted, TileDone
from napari_fcn.geometry import Region
from napari_fcn.gui._layers import Canvas, ColourTile
from napari_fcn.gui._layers.screen import camera_of
from napari_fcn.gui.teach import TeachWidget
from napari_fcn.learning.annotations import Samples
from napari_fcn.models.checkpoint import Checkpoint
from napari_fcn.models.zoo import path_of
from napari_fcn.settings import TeachSettings
from napari_fcn.teaching import Teaching

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
    """Return an image of noisy discs; if it is large, the levels of a pyramid in the working folder."""
    part, repeats = pattern(), -(-side // PATTERN)
    if side <= LARGE:
        return np.tile(part, (repeats, repeats))[:side, :side]
    row = np.tile(part, (1, repeats))[:, :side]
    stored = zarr.create_array("cells.zarr", shape=(side, side), chunks=(512, 512), dtype=np.uint8)
    for start in range(0, side, PATTERN):
        stored[start : start + PATTERN] = row[: side - start]
    levels = [da.from_zarr(stored)]
    while levels[-1].shape[0] > 2 * VIEW:
        levels.append(levels[-1][::2, ::2])
    return levels


class Painter:
    """Paint in a window with mouse events."""

    def __init__(self, viewer: napari.Viewer) -> None:
        self.viewer = viewer
        self.canvas = viewer.window._qt_viewer.canvas.native
        self.released = 0.0  # time of the last release of the mouse

    def stroke(self, start: np.ndarray, stop: np.ndarray) -> None:
        """Draw a line between two points of the image."""
        points = [self._on_canvas(point) for point in np.linspace(start, stop, MOVES)]
        self._send(QEvent.MouseMove, points[0], Qt.NoButton, Qt.NoButton)
        self._send(QEvent.MouseButtonPress, points[0], Qt.LeftButton, Qt.LeftButton)
        for point in points[1:]:
            self._send(QEvent.MouseMove, point, Qt.NoButton, Qt.LeftButton)
            self.wait(0.008)
        self.released = time.monotonic()
        self._send(QEvent.MouseButtonRelease, points[-1], Qt.LeftButton, Qt.NoButton)

    def wait(self, seconds: float) -> None:
        """Run the event loop for some time."""
        loop = QEventLoop()
        QTimer.singleShot(max(1, round(1e3 * seconds)), loop.quit)
        loop.exec_()

    def wait_until(self, condition: object, timeout: float = 60.0) -> None:
        """Run the event loop until a condition is true."""
        end = time.monotonic() + timeout
        while not condition() and time.monotonic() < end:  # type: ignore[operator]
            self.wait(0.02)

    def _on_canvas(self, point: np.ndarray) -> QPointF:
        size = np.array([self.canvas.height(), self.canvas.width()])
        camera = camera_of(self.viewer)
        y, x = size / 2 + (point - np.asarray(camera.center)[-2:]) * camera.zoom
        return QPointF(float(x), float(y))

    def _send(self, kind: object, local: QPointF, button: object, buttons: object) -> None:
        on_screen = QPointF(self.canvas.mapToGlobal(local.toPoint()))
        QApplication.sendEvent(self.canvas, QMouseEvent(kind, local, local, on_screen, button, buttons, Qt.NoModifier))


class StepTimes:
    """Times of the steps from the release of the mouse to the frame on the screen, for each stroke.

    Parameters
    ----------
    widget : TeachWidget
        The dock.
    painter : Painter
        Paints the strokes.
    """

    NAMES = ("released", "noticed", "worker asked", "answer on its layer", "drawn", "on the screen")

    def __init__(self, widget: TeachWidget, painter: Painter) -> None:
        self.controller, self.painter = widget.controller, painter
        self.times: list[list[float]] = []
        self.engine: list[float] = []
        self._marks: dict[str, float] = {}
        self._n_latencies = 0
        assert self.controller.layers is not None
        self.controller.layers.corrections.changed.connect(self._on_changed)  # called after the controller's slot
        self.controller._runner.yielded.connect(self._on_yielded)
        painter.canvas.frameSwapped.connect(self._on_swapped)

    def stroke(self, start: np.ndarray, stop: np.ndarray) -> None:
        """Paint and wait until the updated overlay is on the screen."""
        self._marks = {}
        before = self._n_latencies = len(self.controller.latencies)
        self.painter.stroke(start, stop)
        self._marks["released"] = self.painter.released
        self.painter.wait_until(lambda: len(self.controller.latencies) > before)
        self.painter.wait_until(lambda: "on the screen" in self._marks, 2.0)
        if set(self.NAMES) <= set(self._marks):
            self.times.append([self._marks[name] for name in self.NAMES])

    def _on_changed(self) -> None:
        self._marks["worker asked"] = time.monotonic()

    def _on_yielded(self, messages: list[SessionMessage]) -> None:
        for payload in chain.from_iterable(message.payloads for message in messages):
            if isinstance(payload, HeadFitted):
                self.engine.append(payload.seconds)
            if isinstance(payload, ColourTile):
                self._marks["answer on its layer"] = time.monotonic()

    def _on_swapped(self) -> None:
        now, layers, seconds = time.monotonic(), self.controller.layers, self.controller.latencies
        if layers is not None and len(seconds) > self._n_latencies and "on the screen" not in self._marks:
            noticed = layers.corrections.edited_at
            self._marks |= {"noticed": noticed, "drawn": noticed + seconds[-1], "on the screen": now}

    def report(self) -> None:
        """Print medians."""
        times = 1e3 * np.asarray(self.times)
        total = times[:, 4] - times[:, 0]
        print(f"answers: {len(total)}, median {np.median(total):.0f} ms, 95 % within {np.percentile(total, 95):.0f} ms")
        for name, at, step in zip(
            self.NAMES, np.median(times - times[:, :1], axis=0), [0, *np.median(np.diff(times), axis=0)], strict=True
        ):
            print(f"  hop {name:20s} at {at:6.1f} ms, took {step:6.1f} ms")
        print(f"  of which hop engine, to learn the strokes: {1e3 * np.median(self.engine):.1f} ms")


def frame_times(painter: Painter, repeats: int = 20) -> tuple[float, float]:
    """Return the median milliseconds until an unchanged frame is drawn, and until it is on the screen."""
    scene = painter.viewer.window._qt_viewer.canvas._scene_canvas
    marks: dict[str, float] = {}

    def on_draw(_: object = None) -> None:
        marks["drawn"] = time.monotonic()

    def on_swapped() -> None:
        if "drawn" in marks:
            marks.setdefault("on the screen", time.monotonic())

    scene.events.draw.connect(on_draw, position="last")
    painter.canvas.frameSwapped.connect(on_swapped)
    times = []
    for _ in range(repeats):
        painter.wait(0.1)
        marks.clear()
        start = time.monotonic()
        scene.update()
        painter.wait_until(lambda: "on the screen" in marks)
        times.append([1e3 * (marks[name] - start) for name in ("drawn", "on the screen")])
    scene.events.draw.disconnect(on_draw)
    painter.canvas.frameSwapped.disconnect(on_swapped)
    drawn, shown = np.median(times, axis=0)
    return float(drawn), float(shown)


def open_session(model: str, network: str, side: int) -> tuple[napari.Viewer, TeachWidget, Painter]:
    """Return a window with a teaching session."""
    viewer = napari.Viewer()
    painter = Painter(viewer)
    viewer.add_image(image(side), name="cells", multiscale=side > LARGE, contrast_limits=(0, 255))
    widget = TeachWidget(viewer)
    viewer.window.add_dock_widget(widget)
    window = viewer.window._qt_window
    window.resize(1280, 900)
    painter.wait(1.0)
    window.resize(window.width() + painter.canvas.height() - painter.canvas.width(), window.height())  # as high as wide
    painter.wait(1.0)
    models = widget.source.model
    models.choose(next(entry for entry in models.models if entry.name == model))
    box = widget.learning.network
    box.setCurrentIndex(box.findData(network))
    camera = camera_of(viewer)
    camera.center = (0, side / 2, side / 2)
    camera.zoom = min(painter.canvas.height(), painter.canvas.width()) / VIEW
    painter.wait(1.0)
    widget.setup.start.click()
    painter.wait_until(lambda: widget.controller.state.is_open)
    assert (widget.controller.state.model, widget.controller.state.settings.network) == (model, network)
    painter.wait_until(lambda: not widget.controller.state.is_working and not widget.controller.is_busy)
    return viewer, widget, painter


def engine_times(model: str, strokes: int) -> None:
    """Learn strokes without a window, and print the median wall and processor milliseconds of each step."""
    torch.set_num_threads(1)
    checkpoint = Checkpoint.load(path_of(model))
    settings = TeachSettings(network="off", device="cpu")
    teaching = Teaching(image(PATTERN), checkpoint, ("y", "x"), settings)
    start = (PATTERN - VIEW) // 2
    view = Region((start, start), (start + VIEW + 1, start + VIEW + 1))
    canvas, labels = Canvas(Region.whole((PATTERN, PATTERN))), np.zeros((PATTERN, PATTERN), np.uint8)
    colours = [label.colour for label in teaching.classes]
    rng, digest, times = np.random.default_rng(0), hashlib.sha256(), []
    for number in range(strokes):
        y, x = (int(n) for n in rng.integers(start + 20, start + VIEW - 80, 2))
        labels[y : y + 13, x : x + 60] = 1 + number % 2
        samples = Samples.from_labels(labels)
        marks = [(time.perf_counter(), time.thread_time())]
        for event in teaching.run_round(samples, view, number + 1):
            if isinstance(event, HeadFitted):
                marks.append((time.perf_counter(), time.thread_time()))
            elif isinstance(event, TileDone) and len(marks) == 2 and event.done == event.total:
                marks.append((time.perf_counter(), time.thread_time()))
                canvas.process_tile(event, colours)
                marks.append((time.perf_counter(), time.thread_time()))
                if event.total > 1:  # the features were computed too
                    marks.clear()
        if len(marks) == 4:
            times.append(1e3 * np.diff(marks, axis=0))
        head = teaching.model.head
        hidden = () if head.hidden is None else (head.hidden.units.weight, head.hidden.output_weights)
        for part in (head.linear.weight, head.linear.bias, *hidden):
            digest.update(part.numpy().tobytes())
    print(f"{model}, view {VIEW + 1} x {VIEW + 1} of {PATTERN} x {PATTERN} px, one core, {describe('cpu')}")
    steps = np.median(times, axis=0)
    for name, (wall, computed) in zip(("learn", "predict", "colour"), steps, strict=True):
        print(f"  step {name:8s} {wall:6.1f} ms, {computed:6.1f} ms of processor time")
    print(f"  all           {steps[:, 0].sum():6.1f} ms, {steps[:, 1].sum():6.1f} ms of processor time")
    print(f"digest of the learnt weights: {digest.hexdigest()[:16]}")


def main() -> None:
    """Paint strokes and print the times."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="nuclei")
    parser.add_argument("--strokes", type=int, default=40)
    parser.add_argument("--network", default="off", choices=("off", "automatic", "ask"))
    parser.add_argument("--side", type=int, default=2048, help="pixels of the image along each axis")
    parser.add_argument("--pause", type=float, default=1.0, help="seconds between an answer and the next stroke")
    parser.add_argument("--engine", action="store_true", help="without a window: processor time of each step")
    arguments = parser.parse_args()
    if arguments.engine:
        engine_times(arguments.model, arguments.strokes)
        return
    os.chdir(tempfile.mkdtemp())  # the project goes there
    viewer, widget, painter = open_session(arguments.model, arguments.network, arguments.side)
    assert widget.controller.layers is not None
    shape = " x ".join(map(str, widget.controller.layers.view().shape))
    bare = frame_times(painter)
    ticks: list[float] = []
    timer = QTimer()
    timer.setInterval(5)
    timer.timeout.connect(lambda: ticks.append(time.monotonic()))
    timer.start()
    rng = np.random.default_rng(0)
    layer, steps = widget.controller.layers.corrections.layer, StepTimes(widget, painter)
    for number in range(arguments.strokes):
        layer.selected_label = 1 + number % 2
        start = arguments.side / 2 + rng.uniform(-VIEW / 2 + 60, VIEW / 2 - 60, 2)
        steps.stroke(start, start + rng.uniform(-40, 40, 2))
        painter.wait(arguments.pause)
    timer.stop()
    gaps = 1e3 * np.diff(ticks)
    of = f"view {shape} of {arguments.side} x {arguments.side} px"
    print(f"{arguments.model}, whole network {arguments.network}, {of}, {describe('cpu')}")
    steps.report()
    print(f"memory of the process: {psutil.Process().memory_info().rss / 2**20:.0f} MiB")
    print(f"floor: a frame with nothing new is drawn after {bare[0]:.1f} ms, on the screen after {bare[1]:.1f} ms")
    print(f"gaps of the GUI thread: 99 % below {np.percentile(gaps, 99):.0f} ms, longest {gaps.max():.0f} ms")
    widget.controller.shutdown()
    viewer.close()


if __name__ == "__main__":
    main()
