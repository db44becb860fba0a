"""Parts of the Receptive field dock: the pixel, the size of objects, and the checks."""

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
        "Compare the prediction of the whole image with that in tiles: are tiles exact? The map shows differences.",
    ),
    "equivariance": (
        "Shifts",
        "Shift the image by a few pixels: does the prediction shift equally (equivariance)? The map shows where not.",
    ),
    "border": (
        "Padding",
        "How much does each prediction depend on padding? The map shows this share.",
    ),
}


class PixelPanel(QWidget):
    """Chooses the pixel, and the class whose score is explained.

    Attributes
    ----------
    entered : Signal(tuple)
        The user typed a pixel.
    refused : Signal(str)
        The user typed something else; the error to show.
    """

    entered = Signal(object)
    refused = Signal(str)

    def __init__(self, key: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.toggle = QPushButton("Point at a pixel")
        self.toggle.setCheckable(True)
        self.toggle.setToolTip(f"<qt>Click on the image to show the receptive field of that pixel ({key}).</qt>")
        self.follow = QCheckBox("Follow the mouse")
        self.follow.setToolTip("<qt>The box follows the mouse; the heat map appears when the mouse rests.</qt>")
        self.pixel = QLineEdit()
        self.pixel.setPlaceholderText("row, column")
        self.pixel.setAccessibleName("Pixel")
        self.pixel.setToolTip(
            "<qt>Pixel as whole numbers from 0, such as 120, 80: one for each axis of the image, or row and column of "
            "the visible plane. Press Return.</qt>"
        )
        self.label = QComboBox()
        self.label.setAccessibleName("Class")
        self.label.setToolTip("<qt>Class whose score is explained.</qt>")
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
        """The chosen class; None for the most probable one."""
        index: int | None = self.label.currentData()
        return index

    def set_choices(self, classes: Sequence[str]) -> None:
        """Offer these classes; the choice stays if it is among them."""
        current = self.label.currentText()
        with QSignalBlocker(self.label):
            self.label.clear()
            self.label.addItem(PROBABLE, None)
            for index, name in enumerate(classes):
                self.label.addItem(one_line(name), index)
            self.label.setCurrentIndex(max(0, self.label.findText(current)))

    def show_pixel(self, index: Sequence[int]) -> None:
        """Show the analysed pixel, unless the user is typing."""
        if not self.pixel.hasFocus():
            self.pixel.setText(", ".join(map(str, index)))

    def _on_typed(self) -> None:
        text = self.pixel.text()
        try:
            index = tuple(int(part) for part in text.replace(";", ",").split(",") if part.strip())
        except ValueError:
            index = ()
        if index:
            self.entered.emit(index)
        else:
            self.refused.emit(f"“{text}” is not a pixel. Type whole numbers separated by commas, such as 120, 80.")


class ObjectsPanel(QWidget):
    """The size of objects, typed or measured, and advice on the model.

    Attributes
    ----------
    typed : Signal(float, str)
        A diameter, and ``"px"`` or the unit of the image.
    measured : Signal(object)
        The labels layer to measure.
    """

    typed = Signal(float, str)
    measured = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.diameter = QLineEdit()
        self.diameter.setPlaceholderText("diameter")
        self.diameter.setAccessibleName("Diameter of objects")
        self.diameter.setToolTip("<qt>Diameter of a typical object, in the unit on the right. Press Return.</qt>")
        self.unit = _narrow_combo("Unit of the diameter", "Pixels of the finest axis, or the unit of the image.")
        self.layer = _narrow_combo("Labels", "Labels layer with one number for each object.")
        self.button = QPushButton("Measure")
        self.button.setToolTip("<qt>Measure the typical diameter of the objects in this labels layer.</qt>")
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
        rows.addRow("or from", measured)
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
        """Offer these labels layers."""
        current = self.layer.currentText()
        self._layers = list(layers)
        with QSignalBlocker(self.layer):
            self.layer.clear()
            self.layer.addItems([one_line(layer.name) for layer in layers] or ["no labels layer"])
            self.layer.setCurrentIndex(max(0, self.layer.findText(current)))
        self.button.setEnabled(bool(layers))
        self.layer.setEnabled(bool(layers))

    def set_unit(self, unit: str) -> None:
        """Offer pixels, and the unit of the image if it is known."""
        current = self.unit.currentText()
        units = ["px", *filter(None, [unit])]
        with QSignalBlocker(self.unit):
            self.unit.clear()
            self.unit.addItems(units)
            self.unit.setCurrentIndex(units.index(current) if current in units else 0)

    def show_objects(self, diameter: float, advice: str) -> None:
        """Show a diameter in the chosen unit, and the advice."""
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
    """Three checks, and the result of each.

    Attributes
    ----------
    requested : Signal(str)
        The user starts this check.
    """

    requested = Signal(str)

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
            self.check_results[kind] = WrappingLabel(f"{name}: result")
            column.addWidget(self.check_results[kind])

    def show_state(self, state: FieldState, is_possible: bool) -> None:
        """Show the results, and whether a check can start."""
        for kind, (name, _) in BUTTONS.items():
            result = state.check_result(kind)
            self.check_results[kind].set_markup("" if result is None else f"<b>{name}.</b> {check_text(result)}")
            self.check_results[kind].setVisible(result is not None)
            self.buttons[kind].setEnabled(is_possible and not state.is_checking)

    def _on_clicked(self) -> None:
        self.requested.emit(self.sender().property("check"))


def _narrow_combo(name: str, hint: str) -> QComboBox:
    combo = QComboBox()
    combo.setAccessibleName(name)
    combo.setToolTip(f"<qt>{hint}</qt>")
    combo.setSizeAdjustPolicy(QComboBox.AdjustToMinimumContentsLengthWithIcon)
    combo.setMinimumContentsLength(4)
    return combo
