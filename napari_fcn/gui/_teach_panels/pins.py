"""Pins: protected areas, whose prediction must not change."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QLineEdit, QListWidget, QPushButton, QVBoxLayout, QWidget

from napari_fcn.gui._widgets.text import one_line

if TYPE_CHECKING:
    from collections.abc import Sequence

ROWS = 3  # pins visible without scrolling


class PinList(QWidget):
    """All pins, and the controls to add and remove one.

    Attributes
    ----------
    pinned, unpinned : Signal(str)
        The user adds or removes the pin of this name.
    """

    pinned = Signal(str)
    unpinned = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._names: tuple[str, ...] = ()
        self.list = QListWidget()
        self.list.setAccessibleName("Pins")
        self.list.setMaximumHeight((ROWS + 1) * self.list.fontMetrics().height())
        self.name = QLineEdit()
        self.name.setAccessibleName("Name of the next pin")
        self.name.setToolTip("Name of the next pin")
        self.pin, self.unpin = QPushButton("Pin visible area"), QPushButton("Remove pin")
        self.pin.setToolTip("Protect the visible area: reject updates that change it")
        self.unpin.setToolTip("Remove the selected pin")
        buttons = QHBoxLayout()
        buttons.addWidget(self.pin, 1)
        buttons.addWidget(self.unpin)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.list)
        layout.addWidget(self.name)
        layout.addLayout(buttons)
        self.pin.clicked.connect(self._on_pin)
        self.unpin.clicked.connect(self._on_unpin)
        self.list.itemSelectionChanged.connect(self._sync)
        self.show_pins(())

    def show_pins(self, names: Sequence[str]) -> None:
        """Show the names of all pins."""
        if tuple(names) != self._names:
            self._names = tuple(names)
            self.list.clear()
            self.list.addItems(list(map(one_line, names)))
        self.list.setVisible(bool(names))
        self.name.setPlaceholderText(next(n for i in range(1, 1000) if (n := f"pin {i}") not in names))
        self._sync()

    def _sync(self) -> None:
        self.unpin.setEnabled(bool(self.list.selectedItems()))

    def _on_pin(self) -> None:
        self.pinned.emit(self.name.text().strip() or self.name.placeholderText())
        self.name.clear()

    def _on_unpin(self) -> None:
        for item in self.list.selectedItems():
            self.unpinned.emit(self._names[self.list.row(item)])
