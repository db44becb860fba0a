"""Random actions in random order: ``python random_actions.py SEED ACTIONS``.

Each action has its own random numbers, so that the timing of threads does not change later actions. The last line
before a crash names the action.
"""

import os
import random
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from user import DOCKS, User, say

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_LAYERS = 10
NAMES = ("cells", "a<b>x</b>", "", "x" * 200, "é\u202e\n", "cells corrections")
TEXTS = ("", "32", "yx", "zyx", "abc", "-1", "1e9", "32,32", "cpu", "<i>n</i>")
PAUSES = (1, 5, 20, 60, 150)  # milliseconds
OPENS_DIALOG = ("file", "…", "browse")  # in the text of buttons that open a dialog, which would block


WEIGHTS = {  # how often each action is done, relative to the others
    "add_image": 2, "add_painted": 1, "remove_one": 1, "remove_some": 1, "remove_everything": 1, "rename": 1,
    "select": 1, "replace_pixels": 1, "open_dock": 2, "close_dock": 1, "teach": 4, "paint": 4, "paint_and_remove": 1,
    "pick_class": 1, "change_class": 2, "use_history": 2, "segment": 1, "batch": 1, "point": 1, "any_button": 2,
    "any_setting": 2, "any_toggle": 1, "key": 2, "undo": 1, "slide": 1, "zoom": 1, "turn": 1, "resize": 1, "grid": 1,
}  # fmt: skip


class RandomUser(User):
    """A user who performs random actions."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.seed = seed
        self.rng = random.Random(seed)
        self.pictures = [self._picture(rows) for rows in (40, 41)]
        self._answer_dialogs()

    def _picture(self, rows: int) -> Path:
        path = self.home / f"picture{rows}.npy"
        np.save(path, np.random.default_rng(rows).integers(0, 255, (rows, 50), np.uint8))
        return path

    def _answer_dialogs(self) -> None:
        """Answer every dialog at once."""
        from qtpy.QtGui import QColor
        from qtpy.QtWidgets import QColorDialog, QFileDialog, QInputDialog, QMessageBox

        saved = str(self.home / "saved.safetensors")
        QMessageBox.exec = QMessageBox.exec_ = lambda *a, **k: QMessageBox.Yes
        QFileDialog.getExistingDirectory = staticmethod(lambda *a, **k: str(self.home))
        QFileDialog.getSaveFileName = staticmethod(lambda *a, **k: (saved, ""))
        QFileDialog.getOpenFileNames = staticmethod(lambda *a, **k: ([str(p) for p in self.pictures], ""))
        QFileDialog.getOpenFileName = staticmethod(lambda *a, **k: (str(self.models[1]), ""))
        QColorDialog.getColor = staticmethod(lambda *a, **k: QColor("#cc79a7"))
        QInputDialog.getText = staticmethod(lambda *a, **k: ("a name", True))

    def act(self, number: int) -> None:
        """Perform one random action."""
        self.rng = random.Random(f"{self.seed} {number}")
        (name,) = self.rng.choices(list(WEIGHTS), list(WEIGHTS.values()))
        say(f"{number} {name}")
        try:
            getattr(self, name)()
        except Exception as error:
            self.faults.add(error)
        self.rest(self.rng.choice(PAUSES))

    # Layers

    def _pixels(self) -> np.ndarray:
        draw = np.random.default_rng(self.rng.randrange(2**32))
        makers: list[Callable[[], np.ndarray]] = [
            lambda: draw.integers(0, 255, (60, 80), np.uint8),
            lambda: draw.random((5, 40, 40)),
            lambda: draw.integers(0, 255, (40, 48, 3), np.uint8),
            lambda: draw.random((2, 40, 40)).astype(np.float32),
            lambda: np.full((30, 30), 7.0),
            lambda: draw.random((1, 1)),
            lambda: np.where(draw.random((40, 48)) > 0.9, np.nan, 1.0),
            lambda: draw.integers(0, 9, (70, 60)).astype(np.int16),
        ]
        return self.rng.choice(makers)()

    def add_image(self) -> None:
        if len(self.viewer.layers) < MAX_LAYERS:
            pixels = self._pixels()
            self.viewer.add_image(
                pixels, name=self.rng.choice(NAMES), rgb=pixels.dtype == np.uint8 and pixels.ndim == 3
            )

    def add_painted(self) -> None:
        if len(self.viewer.layers) < MAX_LAYERS:
            self.viewer.add_labels(np.zeros((40, 48), np.uint8)).mode = self.rng.choice(["paint", "polygon", "fill"])
            self.hover()

    def _any_layer(self) -> Any:
        return self.rng.choice(list(self.viewer.layers)) if self.viewer.layers else None

    def remove_one(self) -> None:
        self.select()
        self.remove_selected_by_bin()

    def remove_some(self) -> None:
        self.viewer.layers.selection = {layer for layer in self.viewer.layers if self.rng.random() < 0.4}
        self.remove_selected_by_bin()

    def remove_everything(self) -> None:
        if self.rng.random() < 0.4:
            self.rng.choice([self.remove_all_by_keys, self.viewer.layers.clear])()

    def rename(self) -> None:
        layer = self._any_layer()
        if layer is not None:
            layer.name = self.rng.choice(NAMES)

    def select(self) -> None:
        self.viewer.layers.selection.active = self._any_layer()

    def replace_pixels(self) -> None:
        from napari.layers import Image

        images = [layer for layer in self.viewer.layers if type(layer) is Image and isinstance(layer.data, np.ndarray)]
        if images:
            layer = self.rng.choice(images)
            changes: list[Callable[[np.ndarray], np.ndarray]] = [
                lambda data: data.astype(np.float64), lambda data: data.astype(np.uint16), lambda data: data[::2],
                lambda data: data * 0, lambda data: data if layer.rgb else data[..., : max(1, data.shape[-1] // 2)],
            ]  # fmt: skip
            layer.data = self.rng.choice(changes)(layer.data)

    # Docks

    def open_dock(self) -> None:
        name = self.rng.choice(list(DOCKS))
        widget = self.open(name)
        model = self.rng.choice(self.models)
        if name != "synthetic" and (name != "teach" or self.rng.random() < 0.5):
            widget.source.model.open_file(model)

    def close_dock(self) -> None:
        if self.docks:
            self.close(self.rng.choice(list(self.docks)))

    def _dock(self, name: str) -> Any:
        return self.docks[name][1] if name in self.docks else None

    def teach(self) -> None:
        """Start, or sometimes stop; does nothing without an image."""
        if not self.viewer.layers:
            self.add_image()
        dock = self._dock("teach") or self.open("teach")
        if dock.controller.state.phase == "idle" or self.rng.random() < 0.1:
            self.click(dock.setup.start)
            self.rest(100)

    def _places(self) -> list[tuple[float, float]]:
        y, x = self.rng.random(), self.rng.random()
        places = [(y, x)]
        for _ in range(self.rng.randrange(1, 8)):
            y, x = y + self.rng.uniform(-0.1, 0.1), x + self.rng.uniform(-0.1, 0.1)
            places.append((y, x))
        return places

    def paint(self) -> None:
        dock = self._dock("teach")
        teach_layers = None if dock is None else dock.controller.layers
        if (
            teach_layers is not None
            and teach_layers.corrections.layer in self.viewer.layers
            and self.rng.random() < 0.8
        ):
            self.viewer.layers.selection.active = teach_layers.corrections.layer
        if self.rng.random() < 0.3:
            self.viewer.reset_view()
        self.hover()
        self.drag(self._places())

    def paint_and_remove(self) -> None:
        if self.rng.random() < 0.5:
            self.hover()
            self.drag(self._places(), self.rng.choice([self.remove_all_by_keys, self.remove_one, self.close_dock]))

    def pick_class(self) -> None:
        dock = self._dock("teach")
        if dock is not None:
            dock.controller.choose(self.rng.randrange(6))

    def change_class(self) -> None:
        dock = self._dock("teach")
        classes = () if dock is None else dock.controller.state.classes
        if not classes:
            return
        index = self.rng.randrange(len(classes))
        change = self.rng.randrange(3)
        if change == 0 and len(classes) > 2:
            dock._on_class_removed(index)
        elif change == 1:
            dock._on_class_named(index, self.rng.choice(TEXTS))
        else:
            self.click(dock.classes.add_button)

    def use_history(self) -> None:
        dock = self._dock("teach")
        commits = [] if dock is None else [commit.number for commit in dock.controller.state.commits]
        if len(commits) > 1:
            first, second = self.rng.choice(commits), self.rng.choice(commits)
            uses: list[Callable[[], None]] = [
                lambda: dock._on_go(first), lambda: dock._on_compare(first, second),
                lambda: dock._on_named(first, self.rng.choice(TEXTS)), lambda: dock._on_save(first),
            ]  # fmt: skip
            self.rng.choice(uses)()

    def segment(self) -> None:
        dock = self._dock("segment")
        if dock is not None:
            self.click(dock.run_button)

    def batch(self) -> None:
        dock = self._dock("batch")
        if dock is not None:
            dock.all_action.trigger()
            self.click(dock.run_button)

    def point(self) -> None:
        dock = self._dock("field")
        if dock is not None:
            if not dock.pixel.toggle.isChecked():
                self.click(dock.pixel.toggle)
            self.drag(self._places())

    # Anything in a dock

    def _any_child(self, kinds: tuple[str, ...]) -> Any:
        from qtpy import QtWidgets

        if not self.docks:
            return None
        dock = self.docks[self.rng.choice(list(self.docks))][1]
        native = getattr(dock, "native", dock)
        found = [child for kind in kinds for child in native.findChildren(getattr(QtWidgets, kind))]
        found = [child for child in found if child.isVisible() and child.isEnabled()]
        return self.rng.choice(found) if found else None

    def any_button(self) -> None:
        button = self._any_child(("QPushButton",))
        if button is not None and button.menu() is None and not any(w in button.text().lower() for w in OPENS_DIALOG):
            say(f"  {button.text()[:30]!r}")
            self.click(button)

    def any_toggle(self) -> None:
        box = self._any_child(("QCheckBox", "QRadioButton"))
        if box is not None:
            say(f"  {box.text()[:30]!r}")
            box.toggle()

    def any_setting(self) -> None:
        from qtpy.QtCore import Qt
        from qtpy.QtTest import QTest
        from qtpy.QtWidgets import QLineEdit

        widget = self._any_child(("QComboBox", "QLineEdit"))
        if isinstance(widget, QLineEdit):
            widget.setFocus()
            QTest.keyClick(widget, Qt.Key_A, Qt.ControlModifier)
            QTest.keyClicks(widget, self.rng.choice(TEXTS))
            QTest.keyClick(widget, Qt.Key_Return)
        elif widget is not None and widget.count():
            index = self.rng.randrange(widget.count())
            if "file" not in widget.itemText(index).lower():
                widget.setCurrentIndex(index)
                widget.activated.emit(index)

    # The window

    def key(self) -> None:
        from qtpy.QtCore import Qt

        letter = self.rng.choice("UNQKHJWGEF0123")
        self.press(getattr(Qt, f"Key_{letter}"), self.rng.choice([Qt.NoModifier, Qt.NoModifier, Qt.ShiftModifier]))

    def undo(self) -> None:
        from qtpy.QtCore import Qt

        self.press(Qt.Key_Z, self.rng.choice([Qt.ControlModifier, Qt.ControlModifier | Qt.ShiftModifier]))

    def slide(self) -> None:
        if self.viewer.dims.ndim > 2:
            self.viewer.dims.set_current_step(0, self.rng.randrange(6))

    def zoom(self) -> None:
        self.viewer.scene.camera.zoom = self.rng.uniform(0.2, 20)

    def turn(self) -> None:
        if self.rng.random() < 0.4:
            self.viewer.dims.ndisplay = 5 - self.viewer.dims.ndisplay

    def resize(self) -> None:
        self.viewer.window._qt_window.resize(self.rng.randrange(900, 1200), self.rng.randrange(450, 600))

    def grid(self) -> None:
        if self.rng.random() < 0.3:
            self.viewer.canvas.grid.enabled = not self.viewer.canvas.grid.enabled


def main(seed: int, count: int) -> int:
    user = RandomUser(seed)
    user.add_image()
    user.open("teach")
    for number in range(count):
        user.act(number)
    return user.end()


if __name__ == "__main__":
    code = main(int(sys.argv[1]), int(sys.argv[2]))
    sys.stdout.flush()
    os._exit(code)  # the order in which Python and Qt exit is not tested
