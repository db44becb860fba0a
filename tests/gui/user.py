"""A simulated user with keyboard and mouse in a separate process, so that a crash does not end the tests.

Scripts that use it are started by `run_alone`, or by hand: ``python tests/gui/removing_layers.py teach``.
"""

import faulthandler
import os
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import napari_fcn

DOCKS = {
    "segment": "Segment (FCN)",
    "batch": "Batch (FCN)",
    "teach": "Teach (FCN)",
    "field": "Receptive field (FCN)",
    "synthetic": "Synthetic cells",
}
OURS = str(Path(napari_fcn.__file__).parent)  # part of the path of our frames
TIMEOUT = 20_000  # milliseconds; long enough for a busy machine
HARMLESS = ("XDG_RUNTIME_DIR", "propagateSizeHints")  # messages of Qt on a virtual screen


def run_alone(script: str, *arguments: object, timeout: float = 240) -> subprocess.CompletedProcess:
    """Run a script of this folder in a separate process, with an empty home folder."""
    with tempfile.TemporaryDirectory() as home:
        environment = {**os.environ, "HOME": home, "USERPROFILE": home, "NAPARI_CONFIG": "", "OMP_NUM_THREADS": "1"}
        command = [sys.executable, str(Path(__file__).parent / script), *map(str, arguments)]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=timeout, cwd=home)


def failure_message(done: subprocess.CompletedProcess) -> str:
    """Return the end of the output of a process that has failed."""
    return f"ended with {done.returncode}\n{done.stdout[-3000:]}\n{done.stderr[-6000:]}"


class Faults:
    """Errors so far, from all places where they may be reported; ``faulthandler`` reports a crash.

    Exceptions in which none of our code takes part are printed, but do not count.
    """

    def __init__(self) -> None:
        self.texts: list[str] = []
        faulthandler.enable(all_threads=False)
        sys.excepthook = lambda kind, error, trace: self.add(error)
        threading.excepthook = sys.unraisablehook = lambda unhandled: self.add(unhandled.exc_value)

    def watch(self) -> None:
        """Collect messages of Qt and napari too."""
        from napari.utils.notifications import notification_manager
        from qtpy.QtCore import qInstallMessageHandler

        qInstallMessageHandler(self._on_qt)
        notification_manager.notification_ready.connect(self._on_notification)

    def add(self, error: BaseException) -> None:
        """Add an exception."""
        text = "".join(traceback.format_exception(error))
        if OURS in text or isinstance(error, AssertionError | TimeoutError):
            self.note(text)
        else:
            say(f"error of napari: {text}")

    def note(self, text: str) -> None:
        self.texts.append(text)
        say(f"FAULT {text}")

    def _on_qt(self, kind: object, context: object, text: str) -> None:
        if not any(word in text for word in HARMLESS):
            self.note(f"Qt: {text}")

    def _on_notification(self, event: Any) -> None:
        error = getattr(event, "exception", None)
        if error is not None:
            self.add(error)


def say(text: str) -> None:
    """Print a line at once: the next action may crash."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


class User:
    """A viewer and tiny models, used by keyboard and mouse."""

    def __init__(self) -> None:
        self.faults = Faults()
        self._cache = tempfile.TemporaryDirectory()  # napari processes that share it read half-written icons
        os.environ["XDG_CACHE_HOME"] = self._cache.name
        import napari
        from qtpy.QtWidgets import QApplication

        from napari_fcn.learning import distillation

        distillation.N_TREES, distillation.N_STEPS, distillation.STEPS_PER_PAUSE = 10, 40, 20
        self.home = Path.home()
        self.viewer = napari.Viewer(show=True)
        self.viewer.window._qt_window.resize(1000, 500)  # software draws small windows faster
        self.app = QApplication.instance()
        self.faults.watch()
        self.docks: dict[str, tuple[Any, Any]] = {}  # name -> area and widget
        self.models = [self._model(2, 1, 3), self._model(2, 2, 3), self._model(3, 1, 2)]
        self.rest(50)

    def _model(self, ndim: int, channels: int, classes: int) -> Path:
        import torch

        from napari_fcn.models.checkpoint import Checkpoint
        from napari_fcn.models.recipe import plain_recipe
        from napari_fcn.nets.spec import NetSpec

        path = self.home / f"tiny{ndim}d{channels}c{classes}k.safetensors"
        spec = NetSpec(ndim=ndim, channels=channels, classes=classes, width=4, depth=1)
        net = spec.build(torch.Generator().manual_seed(0))
        Checkpoint.of(net, plain_recipe(path.stem, spec, "made for a test")).save(path)
        return path

    @property
    def canvas(self) -> Any:
        return self._qt.canvas.native

    @property
    def _qt(self) -> Any:
        return self.viewer.window._qt_viewer

    # Time

    def rest(self, milliseconds: int = 1) -> None:
        """Run the event loop for a while."""
        from qtpy.QtTest import QTest

        QTest.qWait(milliseconds)

    def wait(self, condition: Callable[[], Any]) -> None:
        """Run the event loop until a condition holds."""
        waited = 0
        while not condition():
            self.rest(10)
            waited += 10
            if waited > TIMEOUT:
                faulthandler.dump_traceback()
                raise TimeoutError(f"timed out, with {[layer.name for layer in self.viewer.layers]}")

    # Docks

    def open(self, name: str) -> Any:
        """Open a dock from the menu, unless it is open, and choose a model."""
        if name not in self.docks:
            self.docks[name] = self.viewer.window.add_plugin_dock_widget("napari-fcn", DOCKS[name])
        widget = self.docks[name][1]
        if name == "synthetic":
            widget.size.value = 64
        elif name == "teach":
            from napari_fcn.gui._controllers import FILTERS

            widget.source.model.choose_other(FILTERS)
        else:
            widget.source.model.open_file(self.models[0])
        return widget

    def close(self, name: str) -> None:
        """Close a dock by its cross."""
        area, _ = self.docks.pop(name)
        self.click(area.title.close_button)

    # Keyboard and mouse

    def click(self, button: Any) -> None:
        from qtpy.QtCore import Qt
        from qtpy.QtTest import QTest

        QTest.mouseClick(button, Qt.LeftButton)

    def press(self, key: Any, modifier: Any = None, widget: Any = None) -> None:
        """Press a key over the canvas, or on a widget."""
        from qtpy.QtCore import Qt
        from qtpy.QtTest import QTest

        target = self.canvas if widget is None else widget
        target.setFocus()
        QTest.keyClick(target, key, Qt.NoModifier if modifier is None else modifier)

    def hover(self) -> None:
        """Move the pointer over the canvas, where napari shows its brush."""
        from qtpy.QtGui import QCursor

        QCursor.setPos(self.canvas.mapToGlobal(self.canvas.rect().center()))
        self.rest(20)
        self.viewer.mouse_over_canvas = True  # where there is no pointer to be moved

    def mouse(self, kind: str, place: Sequence[float], is_down: bool = False) -> None:
        """Move, press or release the left button at a position on the canvas, from 0 to 1 down and to the right."""
        from qtpy.QtCore import QEvent, QPointF, Qt
        from qtpy.QtGui import QMouseEvent

        at = QPointF(place[1] * self.canvas.width(), place[0] * self.canvas.height())
        button = Qt.NoButton if kind == "MouseMove" else Qt.LeftButton
        held = Qt.LeftButton if is_down or kind == "MouseButtonPress" else Qt.NoButton
        everywhere = QPointF(self.canvas.mapToGlobal(at.toPoint()))
        event = QMouseEvent(getattr(QEvent.Type, kind), at, at, everywhere, button, held, Qt.NoModifier)
        self.app.sendEvent(self.canvas, event)

    def drag(self, places: Sequence[Sequence[float]], meanwhile: Callable[[], None] | None = None) -> None:
        """Draw through positions; ``meanwhile`` is called with the button down."""
        self.mouse("MouseMove", places[0])
        self.mouse("MouseButtonPress", places[0])
        for place in places[1:]:
            self.rest(6)  # napari takes a move every 5 ms
            self.mouse("MouseMove", place, is_down=True)
        if meanwhile is not None:
            meanwhile()
            self.mouse("MouseMove", places[0], is_down=True)
            self.rest(6)
        self.mouse("MouseButtonRelease", places[-1])

    # Layers

    def remove_all_by_keys(self) -> None:
        """Ctrl+A and Delete in the list of layers."""
        from qtpy.QtCore import Qt

        self.press(Qt.Key_A, Qt.ControlModifier, self._qt.layers)
        self.press(Qt.Key_Delete, widget=self._qt.layers)

    def remove_selected_by_bin(self) -> None:
        self.click(self._qt.layerButtons.deleteButton)

    # The end

    def end(self) -> int:
        """Close the viewer and return the exit code: 1 after an error."""
        self.viewer.close()
        self.wait(lambda: not [t.name for t in threading.enumerate() if "fcn" in t.name.lower()])
        self._cache.cleanup()
        say(f"END, faults: {len(self.faults.texts)}")
        return 1 if self.faults.texts else 0
