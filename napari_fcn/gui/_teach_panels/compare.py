"""Compares two states of the model: the first, the second, or one in each half."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QButtonGroup, QFrame, QHBoxLayout, QLabel, QPushButton, QToolButton, QWidget

if TYPE_CHECKING:
    from napari_fcn.gui._controllers import TeachState

MODES = ("first", "second", "split")


class CompareBar(QFrame):
    """Chooses which of two compared states is shown.

    Attributes
    ----------
    mode_chosen : Signal(str)
        ``"first"``, ``"second"`` or ``"split"``.
    ended : Signal()
        The user ends the comparison.
    """

    mode_chosen = Signal(str)
    ended = Signal()

    def __init__(self, key: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setFrameShape(QFrame.StyledPanel)
        self._group = QButtonGroup(self)
        row = QHBoxLayout(self)
        row.setContentsMargins(6, 3, 3, 3)
        row.addWidget(QLabel("Show"))
        self.buttons: dict[str, QPushButton] = {}
        for mode in MODES:
            button = self.buttons[mode] = QPushButton("Split")
            button.setCheckable(True)
            self._group.addButton(button)
            row.addWidget(button, 1)
        self.buttons["split"].setToolTip("Show the first state in the left half, the second in the right half")
        self._hint = f"Show the prediction of this state; {key} switches between the two"
        self.close_button = QToolButton()
        self.close_button.setText("×")
        self.close_button.setAutoRaise(True)
        self.close_button.setToolTip("End the comparison")
        self.close_button.setAccessibleName("End the comparison")
        row.addWidget(self.close_button)
        self._group.buttonClicked.connect(self._on_clicked)
        self.close_button.clicked.connect(self.ended)

    def show_comparison(self, state: TeachState) -> None:
        """Show the comparison, if there is one."""
        compared = state.comparison
        self.setVisible(compared is not None)
        if compared is None:
            return
        for mode, number in (("first", compared.first), ("second", compared.second)):
            self.buttons[mode].setText(f"# {number}")
            self.buttons[mode].setToolTip(self._hint)
        self.buttons[compared.shown].setChecked(True)

    def _on_clicked(self, button: QPushButton) -> None:
        self.mode_chosen.emit(next(mode for mode, choice in self.buttons.items() if choice is button))
