"""Parts of the Receptive field dock: which pixel, how large the objects are, and the checks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QSignalBlocker, Signal
from qtpy.QtWidgets import QCheckBox, QComboBox, QFormLayout, QHBoxLayout, QLineEdit, QPushButton, QVBoxLayout, QWidget

from napari_fcn.gui._field_panels.text import check_text
from napari_fcn.gui._widgets.form import WrappingLabel
from napari_fcn.gui._widgets.text import one_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_fcn.gui._controllers import FieldState

PROBABLE = "most probable"
BUTTONS = {
    "certificate": (
        "Certificate",
        "Answer the image in one piece and in tiles, and compare: are tiles exact? The map shows where they differ.",
    ),
    "equivariance": (
        "Shifts",
        "Shift the image by a few pixels: does the answer follow? The map shows where it does not (equivariance).",
    ),
    "border": (
        "Border trust",
        "How much of each answer rests on what the model imagines beyond the border? The map shows the share.",
    ),
}


class PixelPanel(QWidget):
    """Which pixel is looked at, and the score of which class.

    Attributes
    ----------
    asked : Signal(tuple)
        The user typed a pixel.
    complained : Signal(str)
        What was typed is no pixel.
    """

    asked = Signal(object)
    complained = Signal(str)

    def __init__(self, key: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.toggle = QPushButton("Point at a pixel")
        self.toggle.setCheckable(True)
        self.toggle.setToolTip(f"<qt>Click on the image to see what decides about that pixel ({key}).</qt>")
        self.follow = QCheckBox("Follow the cursor")
        self.follow.setToolTip("<qt>The box goes with the mouse; the heat map comes when the mouse rests.</qt>")
        self.pixel = QLineEdit()
        self.pixel.setPlaceholderText("row, column")
        self.pixel.setAccessibleName("Pixel")
        self.pixel.setToolTip(
            "<qt>Or type a pixel: whole numbers from 0 with commas between, such as 120, 80; one for each axis of the "
            "image, or row and column in the plane that is shown. Then press Return.</qt>"
        )
        self.label = QComboBox()
        self.label.setAccessibleName("Class")
        self.label.setToolTip("<qt>Whose score is asked: what would make this pixel more, or less, of this class?</qt>")
        self.label.setSizeAdjustPolicy(QComboBox.AdjustToMinimumContentsLengthWithIcon)
        self.label.setMinimumContentsLength(8)
        top = QHBoxLayout()
        top.addWidget(self.toggle, 1)
        top.addWidget(self.follow)
        rows = QFormLayout()
        rows.setFieldGrowthPolicy(QFormLayout.AllNonFixedFieldsGrow)
        rows.addRow("Pixel", self.pixel)
        rows.addRow("Class", self.label)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addLayout(top)
        column.addLayout(rows)
        self.pixel.returnPressed.connect(self._on_typed)
        self.toggle.toggled.connect(self.follow.setEnabled)
        self.follow.setEnabled(False)
        self.set_choices([])

    @property
    def class_index(self) -> int | None:
        """The class that was chosen; None for the most probable one."""
        index: int | None = self.label.currentData()
        return index

    def set_choices(self, classes: Sequence[str]) -> None:
        """Let the user choose from these classes; the choice stays if it is there still."""
        kept = self.label.currentText()
        with QSignalBlocker(self.label):
            self.label.clear()
            self.label.addItem(PROBABLE, None)
            for index, name in enumerate(classes):
                self.label.addItem(one_line(name), index)
            self.label.setCurrentIndex(max(0, self.label.findText(kept)))

    def show_pixel(self, index: Sequence[int]) -> None:
        """Show which pixel was looked at, unless the user is typing."""
        if not self.pixel.hasFocus():
            self.pixel.setText(", ".join(map(str, index)))

    def _on_typed(self) -> None:
        text = self.pixel.text()
        try:
            index = tuple(int(part) for part in text.replace(";", ",").split(",") if part.strip())
        except ValueError:
            index = ()
        if index:
            self.asked.emit(index)
        else:
            self.complained.emit(f"“{text}” is no pixel: type whole numbers with commas between, such as 120, 80.")


class ObjectsPanel(QWidget):
    """How large the objects are, typed or measured, and what follows for the model.

    Attributes
    ----------
    typed : Signal(float, str)
        A diameter, and ``"px"`` or the unit of the image.
    measured : Signal(object)
        The layer of labels to be measured.
    """

    typed = Signal(float, str)
    measured = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.diameter = QLineEdit()
        self.diameter.setPlaceholderText("diameter")
        self.diameter.setAccessibleName("Diameter of objects")
        self.diameter.setToolTip("<qt>How wide a typical object is. Press Return.</qt>")
        self.unit = _narrow_combo("Unit of the diameter", "In pixels of the finest axis, or in the unit of the image")
        self.layer = _narrow_combo("Labels", "A layer of labels in which each object has a number of its own")
        self.button = QPushButton("Measure")
        self.button.setToolTip("<qt>Measure the typical diameter of the objects in this layer of labels.</qt>")
        self.advice = WrappingLabel("Advice")
        self._layers: list[Any] = []
        typed, measured = QHBoxLayout(), QHBoxLayout()
        typed.addWidget(self.diameter, 1)
        typed.addWidget(self.unit)
        measured.addWidget(self.layer, 1)
        measured.addWidget(self.button)
        rows = QFormLayout()
        rows.setFieldGrowthPolicy(QFormLayout.AllNonFixedFieldsGrow)
        rows.addRow("Objects", typed)
        rows.addRow("or of", measured)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addLayout(rows)
        column.addWidget(self.advice)
        self.diameter.editingFinished.connect(self._on_typed)
        self.unit.activated.connect(self._on_typed)
        self.button.clicked.connect(self._on_measure)
        self.set_layers([])
        self.set_unit("")

    def set_layers(self, layers: Sequence[Any]) -> None:
        """Let the user choose from these layers of labels."""
        kept = self.layer.currentText()
        self._layers = list(layers)
        with QSignalBlocker(self.layer):
            self.layer.clear()
            self.layer.addItems([one_line(layer.name) for layer in layers] or ["no labels"])
            self.layer.setCurrentIndex(max(0, self.layer.findText(kept)))
        self.button.setEnabled(bool(layers))
        self.layer.setEnabled(bool(layers))

    def set_unit(self, unit: str) -> None:
        """Let the user type pixels, or the unit of the image if it is known."""
        kept = self.unit.currentText()
        units = ["px", *filter(None, [unit])]
        with QSignalBlocker(self.unit):
            self.unit.clear()
            self.unit.addItems(units)
            self.unit.setCurrentIndex(units.index(kept) if kept in units else 0)

    def show_objects(self, diameter: float, advice: str) -> None:
        """Show a diameter in the chosen unit, and what follows."""
        if not self.diameter.hasFocus():
            self.diameter.setText(f"{diameter:.3g}" if diameter > 0 else "")
        self.advice.setText(advice)
        self.advice.setVisible(bool(advice))

    def _on_typed(self, _: object = None) -> None:
        try:
            value = float(self.diameter.text().replace(",", ".") or 0)
        except ValueError:
            self.diameter.clear()
            value = 0.0
        self.typed.emit(max(0.0, value), self.unit.currentText())

    def _on_measure(self) -> None:
        if self._layers:
            self.measured.emit(self._layers[self.layer.currentIndex()])


class ChecksPanel(QWidget):
    """Three checks, and what each has found.

    Attributes
    ----------
    asked : Signal(str)
        Which one to begin.
    """

    asked = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.buttons: dict[str, QPushButton] = {}
        self.check_results: dict[str, WrappingLabel] = {}
        row = QHBoxLayout()
        row.setSpacing(4)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addLayout(row)
        for kind, (name, hint) in BUTTONS.items():
            button = self.buttons[kind] = QPushButton(name)
            button.setToolTip(f"<qt>{hint}</qt>")
            button.setProperty("check", kind)
            button.clicked.connect(self._on_clicked)
            row.addWidget(button)
            self.check_results[kind] = WrappingLabel(f"{name}: what was found")
            column.addWidget(self.check_results[kind])

    def show_state(self, state: FieldState, is_possible: bool) -> None:
        """Show what was found, and whether a check can begin."""
        for kind, (name, _) in BUTTONS.items():
            finding = state.check_result(kind)
            self.check_results[kind].set_markup("" if finding is None else f"<b>{name}.</b> {check_text(finding)}")
            self.check_results[kind].setVisible(finding is not None)
            self.buttons[kind].setEnabled(is_possible and not state.is_checking)

    def _on_clicked(self) -> None:
        self.asked.emit(self.sender().property("check"))


def _narrow_combo(name: str, hint: str) -> QComboBox:
    combo = QComboBox()
    combo.setAccessibleName(name)
    combo.setToolTip(f"<qt>{hint}</qt>")
    combo.setSizeAdjustPolicy(QComboBox.AdjustToMinimumContentsLengthWithIcon)
    combo.setMinimumContentsLength(4)
    return combo
