"""The longest gaps of a real window while Segment runs, and what the GUI thread did in them.

    xvfb-run -a -s "-screen 0 1920x1080x24" python -m benchmarks.gaps [--data ../shared/data] [--runs 3]
        [--cases plane movie volume] [--pictures FOLDER]

Opens napari with the Segment dock on an image, clicks Run with the mouse, and records each pause of more than 50 ms
between two ticks of a timer on the GUI thread. For each, it gives the time that the GUI thread computed: the rest of a
gap was spent waiting for a core or for Python's lock, and happens in any window on such a machine. The same is measured
before the runs while nothing happens, and while the network runs in a thread without any layer (the floor). By turns
with the runs of the dock, the command line predicts the same image in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import napari
import tifffile
from qtpy.QtCore import QEventLoop, Qt, QTimer
from qtpy.QtTest import QTest

from benchmarks.latency import image as noisy_discs
from benchmarks.live import new_session
from benchmarks.machine import describe
from napari_fcn.events import RunPlanned
from napari_fcn.gui._layers import ColourTile
from napari_fcn.gui._layers.layer_image import METADATA_KEY
from napari_fcn.gui.segment import SegmentWidget

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import FrameType

    import numpy as np

RESULTS = Path(__file__).parent / "results" / "gaps.md"
TICK, LONG = 0.005, 0.05  # seconds between two ticks, and of a gap that is listed
IDLE = 5.0  # seconds of the idle window
PATIENCE = 600.0
CASES = {  # file of the shared data, model, axes
    "plane": ("", "nuclei", ("y", "x")),
    "movie": ("t98g_video/seq_image.tif", "cells-video", ("t", "y", "x")),
    "volume": ("flyem_fibsem/val_image.tif", "membranes-3d", ("z", "y", "x")),
}
ADDS_LAYER = ("_create_layer",)  # functions in which napari adds a layer, or replaces its data


@dataclass(frozen=True, slots=True)
class Gap:
    """A pause between two ticks.

    Attributes
    ----------
    at, seconds, computed : float
        Start after the click, length, and processor time of the GUI thread.
    doing : str
        The calls that were seen most often.
    is_adding : bool
        Whether napari added a layer.
    """

    at: float
    seconds: float
    computed: float
    doing: str
    is_adding: bool


@dataclass(slots=True, eq=False, weakref_slot=True)  # Qt keeps weak references to slots
class GapRecorder:
    """Records the gaps of the GUI thread; a second thread looks at its stack during each long one."""

    gaps: list[Gap] = field(default_factory=list)
    ticks: int = 0
    _timer: QTimer = field(default_factory=QTimer)
    _start: float = 0.0
    _last: tuple[float, float] = (0.0, 0.0)  # time, processor time
    _seen: list[tuple[str, ...]] = field(default_factory=list)
    _is_stopped: threading.Event = field(default_factory=threading.Event)
    _watcher: threading.Thread | None = None

    def start(self) -> None:
        """Start to record; from the GUI thread."""
        self._timer.setTimerType(Qt.PreciseTimer)
        self._timer.setInterval(round(1e3 * TICK))
        self._timer.timeout.connect(self._tick)
        self._start, self._last = time.monotonic(), (time.monotonic(), time.thread_time())
        self._watcher = threading.Thread(target=self._watch, args=(threading.get_ident(),), daemon=True)
        self._watcher.start()
        self._timer.start()

    def stop(self) -> GapRecorder:
        """Stop, and return this object."""
        self._tick()
        self._timer.stop()
        self._is_stopped.set()
        assert self._watcher is not None
        self._watcher.join()
        return self

    def _tick(self) -> None:
        now, computed = time.monotonic(), time.thread_time()
        seconds = now - self._last[0]
        if seconds > LONG:
            stacks = Counter(self._seen)
            stack = stacks.most_common(1)[0][0] if stacks else ()
            is_adding = any(name in ADDS_LAYER for seen in stacks for name in _names(seen))
            doing = " > ".join(stack[-4:]) or "(not seen)"
            self.gaps.append(Gap(self._last[0] - self._start, seconds, computed - self._last[1], doing, is_adding))
        self.ticks += 1
        self._seen = []
        self._last = (time.monotonic(), time.thread_time())

    def _watch(self, thread: int) -> None:
        while not self._is_stopped.wait(TICK):
            seen = self._seen
            if time.monotonic() - self._last[0] > 0.6 * LONG:
                seen.append(_calls(sys._current_frames().get(thread)))


def _names(stack: Sequence[str]) -> list[str]:
    return [call.rpartition(".")[2] for call in stack]


def _calls(frame: FrameType | None) -> tuple[str, ...]:
    """Return the calls of a stack above the event loop, outermost first, shortened to module and function."""
    calls: list[str] = []
    while frame is not None:
        module, name = frame.f_globals.get("__name__", ""), frame.f_code.co_name
        if module == __name__ or module.startswith("benchmarks."):
            break
        calls.append(f"{module.removeprefix('napari_fcn.gui.')}.{name}")
        frame = frame.f_back
    return tuple(reversed(calls)) or ("Qt",)


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """One run of the dock.

    Attributes
    ----------
    recorder : GapRecorder
        Its gaps.
    first, seconds : float
        Seconds from the click to the first prediction, and from the first read to the last tile.
    whole : float
        Seconds from the click to the result line.
    """

    recorder: GapRecorder
    first: float
    seconds: float
    whole: float


class Window:
    """A napari window with the Segment dock on one image."""

    def __init__(self, case: str, data: Path) -> None:
        file, self.model, axes = CASES[case]
        self.pixels: np.ndarray = tifffile.imread(data / file) if file else noisy_discs(2048)
        self.axes = axes
        self.viewer = napari.Viewer()
        layer = self.viewer.add_image(self.pixels, name=case, axis_labels=axes)
        self.dock = SegmentWidget(self.viewer)
        self.viewer.window.add_dock_widget(self.dock, name="Segment (FCN)")
        self.viewer.window._qt_window.resize(1280, 800)
        self.viewer.dims.set_point(range(len(axes) - 2), [n // 2 for n in self.pixels.shape[:-2]])
        wait(1.0)
        self.viewer.reset_view()
        models = self.dock.source.model
        models.choose(next(entry for entry in models.models if entry.name == self.model))
        wait_until(lambda: not self.dock.controller.is_busy and self.dock.source.value.layer is layer)
        wait(1.0)  # the dock warms up
        wait_until(lambda: not self.dock.controller.is_busy)

    def idle(self, seconds: float = IDLE) -> GapRecorder:
        """Return the gaps while nothing happens."""
        recorder = GapRecorder()
        recorder.start()
        wait(seconds)
        return recorder.stop()

    def without_layers(self) -> GapRecorder:
        """Return the gaps while the network runs in a thread, without the dock."""
        session = new_session(self.pixels, self.model, self.axes)
        thread = threading.Thread(target=lambda: list(session.predict()))
        recorder = GapRecorder()
        recorder.start()
        thread.start()
        wait_until(lambda: not thread.is_alive(), pause=0.1)
        return recorder.stop()

    def run(self, on_tile: Callable[[], None] | None = None) -> Run:
        """Click Run and return the gaps until the result is there."""
        controller, marks = self.dock.controller, {}

        def on_yielded(events: list[Any]) -> None:
            if any(isinstance(event, ColourTile) for event in events):
                if "first" not in marks:
                    marks["first"] = time.monotonic()
                    QTimer.singleShot(300, on_tile or int)
            elif any(isinstance(event, RunPlanned) for event in events):
                marks["planned"] = time.monotonic()

        controller._runner.yielded.connect(on_yielded)
        recorder = GapRecorder()
        recorder.start()
        start = time.monotonic()
        QTest.mouseClick(self.dock.run_button, Qt.LeftButton)
        wait_until(lambda: controller.state.is_running)
        wait_until(lambda: not controller.state.is_running)
        whole = time.monotonic() - start
        wait(0.5)  # what is drawn after the end belongs to the run
        controller._runner.yielded.disconnect(on_yielded)
        recorder.stop()
        if controller.state.result is None:
            raise SystemExit(f"The run failed: {controller.state.error or controller.state.message}")
        shown = controller.result_layer(self.dock.source.value.layer, "classes")
        return Run(recorder, marks["first"] - start, shown.metadata[METADATA_KEY]["seconds"], whole)

    def save(self, path: Path) -> None:
        """Save a picture of the window."""
        self.viewer.window._qt_window.grab().save(str(path))

    def close(self) -> None:
        """Close the window."""
        self.dock.controller.shutdown()
        wait_until(lambda: not self.dock.controller.is_busy)
        self.viewer.close()


def wait(seconds: float) -> None:
    """Run the event loop for some time."""
    loop = QEventLoop()
    QTimer.singleShot(max(1, round(1e3 * seconds)), loop.quit)
    loop.exec_()


def wait_until(condition: Callable[[], object], pause: float = 0.02) -> None:
    """Run the event loop until a condition is true."""
    end = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > end:
            raise SystemExit("Nothing happened for too long.")
        wait(pause)


def command_line(case: str, data: Path, folder: Path) -> float:
    """Return the seconds of a run of the command line in its own process, from the first read to the last tile."""
    file, model, axes = CASES[case]
    path = data / file if file else folder / "plane.tif"
    if not file:
        tifffile.imwrite(path, noisy_discs(2048))
    out = folder / f"{case} classes.tif"
    options = ["--model", model, "--out", str(out), "--axes", "".join(axes), "--overwrite", "--json", "--quiet"]
    command = [sys.executable, "-m", "napari_fcn", "predict", str(path), *options]
    done = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    wait_until(lambda: done.poll() is not None, pause=0.1)
    text = done.communicate()[0]
    if done.returncode:
        raise SystemExit(f"The command line failed: {command}")
    return float(json.loads(text.splitlines()[-1])["seconds"])


def gaps_line(name: str, recorders: Sequence[GapRecorder]) -> str:
    """Return a row: number of gaps, the longest, and the longest that is not napari adding a layer."""
    gaps = [gap for recorder in recorders for gap in recorder.gaps]
    ours = [gap for gap in gaps if not gap.is_adding]
    longest, most = (1e3 * max((g.seconds for g in s), default=0) for s in (gaps, ours))
    computed = 1e3 * max((gap.computed for gap in ours), default=0)
    return f"| {name} | {len(gaps)} | {longest:.0f} | {most:.0f} | {computed:.0f} |"


def measure(case: str, options: argparse.Namespace) -> tuple[list[str], str]:
    """Return the rows of the gaps of a case, and that of its times; print each long gap."""
    window = Window(case, options.data)
    with tempfile.TemporaryDirectory() as folder:
        idle, floor = window.idle(), window.without_layers()
        runs, alone = [], []
        for number in range(options.runs):
            picture = options.pictures and options.pictures / f"{case}-{number}.png"
            runs.append(window.run(partial_picture(window, picture) if picture and not number else None))
            alone.append(command_line(case, options.data, Path(folder)))
            if picture:
                window.save(picture)
            print(f"{case}, run {number + 1}: first {runs[-1].first:.2f} s, run {runs[-1].seconds:.2f} s,", end=" ")
            print(f"command line {alone[-1]:.2f} s, ratio {runs[-1].seconds / alone[-1]:.2f}")
            for gap in sorted(runs[-1].recorder.gaps, key=lambda gap: -gap.seconds)[: options.listed]:
                kind = " (adds a layer)" if gap.is_adding else ""
                print(
                    f"  at {gap.at:6.2f} s: {1e3 * gap.seconds:4.0f} ms, {1e3 * gap.computed:4.0f} computed{kind}: "
                    f"{gap.doing}"
                )
            sys.stdout.flush()
    shape = " x ".join(map(str, window.pixels.shape))
    window.close()
    rows = [
        gaps_line(f"{case}: idle window", [idle]),
        gaps_line(f"{case}: network in a thread, no layers", [floor]),
        gaps_line(f"{case}: first run", [runs[0].recorder]),
        *([gaps_line(f"{case}: later runs", [run.recorder for run in runs[1:]])] if runs[1:] else []),
    ]
    first, watched, whole = (
        statistics.median(getattr(run, name) for run in runs) for name in ("first", "seconds", "whole")
    )
    ratio = statistics.median(run.seconds / other for run, other in zip(runs, alone, strict=True))
    cells = f"{first:.2f} s | {watched:.2f} s | {whole:.2f} s | {statistics.median(alone):.2f} s | {ratio:.2f}"
    return rows, f"| {case} | {shape} | {window.model} | {cells} |"


def partial_picture(window: Window, path: Path) -> Callable[[], None]:
    """Return a function that saves a picture of the running window."""
    return lambda: window.save(path.with_stem(f"{path.stem}-running"))


def main() -> None:
    """Measure, print and save the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("NAPARI_FCN_DATA", "../shared/data")))
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--cases", nargs="+", default=list(CASES), choices=list(CASES))
    parser.add_argument("--listed", type=int, default=8, help="longest gaps of each run to print")
    parser.add_argument("--pictures", type=Path, help="folder for pictures of the window; they cause gaps")
    parser.add_argument("--save", action="store_true", help=f"write {RESULTS.name}")
    options = parser.parse_args()
    options.data = options.data.resolve()
    measured = [measure(case, options) for case in options.cases]
    lines = [
        "# Gaps of the window while Segment runs",
        "",
        f"{describe('cpu')}, {os.cpu_count()} cores.",
        "",
        f"Pauses of more than {1e3 * LONG:.0f} ms between two ticks of a timer on the GUI thread, in ms. *Computed* is",
        "the most processor time of the GUI thread within one of them, except those in which napari adds a layer; the",
        "rest of a pause is spent waiting for a core or for Python's lock.",
        "",
        "| window | gaps | longest | longest but for added layers | computed |",
        "|---|---|---|---|---|",
        *(row for rows, _ in measured for row in rows),
        "",
        f"Medians of {options.runs} runs: until the first prediction, from the first read to the last tile, until the",
        "result line; the command line by turns, and the ratio of the times from the first read to the last tile.",
        "",
        "| image | pixels | model | first | dock | until the result | command line | ratio |",
        "|---|---|---|---|---|---|---|---|",
        *(row for _, row in measured),
        "",
    ]
    text = "\n".join(lines)
    print(text)
    if options.save:
        RESULTS.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
