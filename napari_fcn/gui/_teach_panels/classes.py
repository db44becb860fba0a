"""The list of classes: key, colour, name and number of painted pixels of each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QColor
from qtpy.QtWidgets import (
    QColorDialog,
    QFrame,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_fcn.gui._controllers import MAX_CLASSES, MIN_CLASSES
from napari_fcn.gui._widgets.text import css, hint, one_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qtpy.QtGui import QMouseEvent

    from napari_fcn.gui._controllers import PaintedClass

SWATCH = 18  # pixels
CHOSEN = "QFrame#row { background: rgba(128, 128, 128, 90); border-radius: 4px; }"
NOT_CHOSEN = "QFrame#row { background: transparent; }"
SWATCH_STYLE = "background: {colour}; border: 1px solid #888; border-radius: 3px;"
PLAIN = "QLineEdit { background: transparent; border: none; padding: 1px; }"


class ClassRow(QFrame):
    """One class.

    Attributes
    ----------
    chosen, recolour, remove : Signal(int)
        The user selects the class for painting, changes its colour, removes it.
    named : Signal(int, str)
        The user renamed the class.
    """

    chosen = Signal(int)
    recolour = Signal(int)
    remove = Signal(int)
    named = Signal(int, str)

    def __init__(self, index: int, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("row")
        self._index, self._name = index, ""
        self._shown: object = None
        self.key = QToolButton()
        self.key.setText(str(index + 1))
        self.key.setCheckable(True)
        self.key.setFixedWidth(22)
        self.swatch = QPushButton()
        self.swatch.setFixedSize(SWATCH, SWATCH)
        self.name = QLineEdit()
        self.name.setStyleSheet(PLAIN)
        self.count = QLabel()
        self.count.setTextFormat(Qt.PlainText)
        self.count.setAlignment(Qt.AlignRight | Qt.AlignVCenter)
        self.remove_button = QToolButton()
        self.remove_button.setText("×")
        self.remove_button.setAutoRaise(True)
        row = QHBoxLayout(self)
        row.setContentsMargins(3, 1, 1, 1)
        row.setSpacing(5)
        row.addWidget(self.key)
        row.addWidget(self.swatch)
        row.addWidget(self.name, 1)
        row.addWidget(self.count)
        row.addWidget(self.remove_button)
        self.key.clicked.connect(self._on_key)
        self.swatch.clicked.connect(self._on_swatch)
        self.remove_button.clicked.connect(self._on_remove)
        self.name.editingFinished.connect(self._on_named)
        self.name.returnPressed.connect(self.name.clearFocus)  # so that keys reach the viewer again

    def show_class(self, entry: PaintedClass, is_chosen: bool, can_remove: bool) -> None:
        """Show a class; a name being typed stays, unless the row now shows another class."""
        if self._shown == (entry, is_chosen, can_remove):
            return
        self._shown = (entry, is_chosen, can_remove)
        is_another, self._name = self._name != one_line(entry.name), one_line(entry.name)
        is_typed = self.name.hasFocus() or self.name.isModified()
        if is_another or not is_typed:
            self.name.setText(self._name)
            self.name.setCursorPosition(0)
        self.name.setAccessibleName(f"Name of class {self._index + 1}")
        self.name.setToolTip("Name of the class; press Enter to apply it")
        swatch = SWATCH_STYLE.format(colour=css(entry.stroke_colour))
        if self.swatch.styleSheet() != swatch:
            self.swatch.setStyleSheet(swatch)
        self.swatch.setAccessibleName(f"Colour of {entry.name}")
        self.swatch.setToolTip(hint(f"Choose another colour for {entry.name}"))
        self.key.setChecked(is_chosen)
        self.key.setAccessibleName(f"Paint {entry.name}")
        self.key.setToolTip(hint(f"Paint {entry.name} (key {self._index + 1})"))
        self.count.setText(f"{entry.painted:,} px".replace(",", "\u202f"))
        self.count.setToolTip(hint(f"Pixels painted as {entry.name}"))
        self.remove_button.setEnabled(can_remove)
        self.remove_button.setAccessibleName(f"Remove {entry.name}")
        self.remove_button.setToolTip(
            hint(f"Remove {entry.name} and its strokes" if can_remove else "At least two classes are needed")
        )
        self._paint(CHOSEN if is_chosen else NOT_CHOSEN)

    def discard(self) -> None:
        """Hide the row of a class that was removed, and discard a name being typed."""
        self._shown = None
        self.name.setText(self._name)
        self.hide()

    def _paint(self, style: str) -> None:
        if self.styleSheet() != style:  # a change makes Qt polish all children
            self.setStyleSheet(style)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Select the class by a click anywhere on its row."""
        super().mousePressEvent(event)
        self.chosen.emit(self._index)

    def _on_key(self) -> None:
        self.chosen.emit(self._index)

    def _on_swatch(self) -> None:
        self.recolour.emit(self._index)

    def _on_remove(self) -> None:
        self.remove.emit(self._index)

    def _on_named(self) -> None:
        self.name.setModified(False)
        name = self.name.text().strip()
        if name and name != self._name:
            self._name = name
            self.named.emit(self._index, name)


class ClassList(QWidget):
    """All classes, one row each, and the eraser.

    Attributes
    ----------
    chosen : Signal(int)
        Value to paint: 0 erases, ``k + 1`` is class ``k``.
    added : Signal()
        The user adds a class.
    removed : Signal(int)
        The user removes this class.
    named, coloured : Signal(int, str)
        The user changed the name of a class, or its colour ``#rrggbb``.
    """

    chosen = Signal(int)
    added = Signal()
    removed = Signal(int)
    named = Signal(int, str)
    coloured = Signal(int, str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.rows: list[ClassRow] = []
        self._classes: tuple[PaintedClass, ...] = ()
        self._rows = QVBoxLayout()
        self._rows.setSpacing(1)
        self.eraser = QPushButton("Erase")
        self.eraser.setCheckable(True)
        self.eraser.setToolTip("Erase strokes (0 or E)")
        self.add_button = QPushButton("Add class")
        self.add_button.setToolTip("Add a class")
        buttons = QHBoxLayout()
        buttons.addWidget(self.eraser)
        buttons.addWidget(self.add_button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(self._rows)
        layout.addLayout(buttons)
        self.eraser.clicked.connect(self._on_erase)
        self.add_button.clicked.connect(self.added)

    def show_classes(self, classes: Sequence[PaintedClass], label: int) -> None:
        """Show the classes, and which one is being painted."""
        self._classes = tuple(classes)
        while len(self.rows) < len(classes):
            self._add_row()
        for index, row in enumerate(self.rows):
            if index < len(classes):
                row.show_class(classes[index], label == index + 1, len(classes) > MIN_CLASSES)
                row.show()
            elif not row.isHidden():
                row.discard()
        self.eraser.setChecked(label == 0)
        self.add_button.setEnabled(len(classes) < MAX_CLASSES)

    def _add_row(self) -> None:
        row = ClassRow(len(self.rows), self)
        row.chosen.connect(self._on_chosen)
        row.recolour.connect(self._on_recolour)
        row.remove.connect(self.removed)
        row.named.connect(self.named)
        self.rows.append(row)
        self._rows.addWidget(row)

    def _on_chosen(self, index: int) -> None:
        self.chosen.emit(index + 1)
        for row_index, row in enumerate(self.rows):  # a second click on the selected class must not uncheck it
            row.key.setChecked(row_index == index)

    def _on_erase(self) -> None:
        self.chosen.emit(0)
        self.eraser.setChecked(True)

    def _on_recolour(self, index: int) -> None:
        entry = self._classes[index]
        colour = QColorDialog.getColor(QColor(entry.colour), self, f"Colour of {entry.name}")
        # While the dialog was open, the class may have been removed, and its row may show another one.
        is_same = [current.name for current in self._classes[index : index + 1]] == [entry.name]
        if colour.isValid() and is_same:
            self.coloured.emit(index, colour.name())
