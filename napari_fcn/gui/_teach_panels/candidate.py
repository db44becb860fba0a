"""An update of the whole network: its test scores, its changes, and the decision of the user."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QFrame, QHBoxLayout, QListWidget, QPushButton, QVBoxLayout, QWidget

from napari_fcn.errors import in_dock
from napari_fcn.gui._widgets.form import WrappingLabel
from napari_fcn.gui._widgets.text import escaped, hint, one_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_fcn.events import CandidateEvaluated, Change
    from napari_fcn.gui._controllers import PaintedClass, TeachState

SMALL = "QListWidget { font-size: 8pt; }"
ROWS = 4  # changes visible without scrolling
STATUS = {
    "accepted": "The update is in use; Undo reverts it.",
    "rejected": "The update was rejected.",
    "discarded": "The update was discarded.",
    "pending": "",
}


def headline(ready: CandidateEvaluated) -> str:
    """Return the test scores in one line of rich text."""
    before, after = round(100 * ready.accepted), round(100 * ready.candidate)
    arrow = "▲" if after > before else "▼" if after < before else "="
    return f"Test strokes correct: {before}% → <b>{after}%</b>&nbsp;{arrow}"


def change_line(change: Change, classes: Sequence[PaintedClass], axes: Sequence[str]) -> str:
    """Return a change as ``312 px at y 210, x 88: background → nucleus``."""
    centre = [(a + b) // 2 for a, b in zip(change.region.start, change.region.stop, strict=True)]
    position = ", ".join(f"{axis} {i}" for axis, i in zip(axes, centre, strict=False))
    names = [classes[k].name if k < len(classes) else f"class {k}" for k in (change.before, change.after)]
    return f"{change.pixels} px at {position}: {names[0]} → {names[1]}"


class CandidateCard(QFrame):
    """Shows the update that was evaluated last.

    Attributes
    ----------
    accepted, rejected : Signal()
        The user's decision.
    changes_shown : Signal(bool)
        Whether to show the layer of changes.
    change_chosen : Signal(Change)
        The user goes to a change.
    """

    accepted = Signal()
    rejected = Signal()
    changes_shown = Signal(bool)
    change_chosen = Signal(object)

    def __init__(self, keys: tuple[str, str, str], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setFrameShape(QFrame.StyledPanel)
        self._shown: object = None
        self._content: object = ()
        self.headline, self.text = WrappingLabel("Test strokes"), WrappingLabel("Decision")
        self.change_list = QListWidget()
        self.change_list.setAccessibleName("Changes in view")
        self.change_list.setToolTip("Changes in view, largest first; click one to go there")
        self.change_list.setStyleSheet(SMALL)  # a change fits into one line
        self.change_list.setMaximumHeight((ROWS + 1) * self.change_list.fontMetrics().height())
        self.changes_button = QPushButton("Changes")
        self.changes_button.setCheckable(True)
        self.changes_button.setToolTip(f"Show the changes as a layer ({keys[2]})")
        self.accept, self.reject = QPushButton("Accept"), QPushButton("Reject")
        self.accept.setToolTip(f"Use the updated network from now on ({keys[0]})")
        self.reject.setToolTip(f"Keep the current model ({keys[1]})")
        self.change_list.setHorizontalScrollBarPolicy(Qt.ScrollBarAlwaysOff)
        self.change_list.setWordWrap(True)  # long names of classes in a narrow dock
        self.change_list.setResizeMode(QListWidget.Adjust)
        row = QHBoxLayout()
        for button in (self.accept, self.reject, self.changes_button):
            row.addWidget(button, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(6, 4, 6, 4)
        layout.setSpacing(3)
        for part in (self.headline, self.text, self.change_list):
            layout.addWidget(part)
        layout.addLayout(row)
        self.accept.clicked.connect(self.accepted)
        self.reject.clicked.connect(self.rejected)
        self.changes_button.toggled.connect(self.changes_shown)
        self.change_list.currentRowChanged.connect(self._on_row)
        self.change_list.itemClicked.connect(self._on_clicked)

    def show_update(self, state: TeachState, axes: Sequence[str]) -> None:
        """Show the evaluated update, if there is one."""
        update = state.update
        self.setVisible(update is not None)  # even if nothing else differs: showing the dock makes this widget visible
        content = (update, state.are_changes_shown, state.can_decide)
        if content == self._content or update is None:
            return
        self._content = content
        ready = update.ready
        self.headline.set_markup(headline(ready))
        pins = [f"Pin {escaped(pin.name)}: {pin.accepted:.0%} → {pin.candidate:.0%}" for pin in ready.pins]
        decision = " ".join(filter(None, [escaped(in_dock(ready.reason)), STATUS[update.status]]))
        self.text.set_markup("<br>".join([*pins, decision]))
        self.changes_button.setChecked(state.are_changes_shown)
        for button in (self.accept, self.reject):
            button.setVisible(state.can_decide)
        has_changes = update.status != "discarded" and bool(ready.changes)  # a discarded update changes nothing
        self.change_list.setVisible(has_changes)
        self.changes_button.setVisible(has_changes or state.are_changes_shown)
        if ready is not self._shown:
            self._shown = ready
            self._fill(ready, state.classes, axes)

    def _fill(self, ready: CandidateEvaluated, classes: Sequence[PaintedClass], axes: Sequence[str]) -> None:
        self._changes = ready.changes
        self.change_list.blockSignals(True)
        self.change_list.clear()
        for change in ready.changes:
            line = change_line(change, classes, axes)
            self.change_list.addItem(one_line(line))
            self.change_list.item(self.change_list.count() - 1).setToolTip(hint(line))
        self.change_list.blockSignals(False)

    def _on_row(self, row: int) -> None:
        if 0 <= row < len(self._changes):
            self.change_chosen.emit(self._changes[row])

    def _on_clicked(self, _: object) -> None:
        self._on_row(self.change_list.currentRow())
