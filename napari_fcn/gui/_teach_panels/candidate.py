"""An update, that is a fine-tuned network: its test scores, its changes, and whether the user accepts it."""

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
ENDED = {
    "taken": "The update is in use; Undo reverts it.",
    "dropped": "The update was rejected.",
    "worse": "The update was discarded.",
    "waits": "",
}


def headline(ready: CandidateEvaluated) -> str:
    """Return the test scores in one line of rich text."""
    before, after = round(100 * ready.accepted), round(100 * ready.candidate)
    arrow = "▲" if after > before else "▼" if after < before else "="
    return f"Test strokes correct: {before}% → <b>{after}%</b>&nbsp;{arrow}"


def change_line(change: Change, classes: Sequence[PaintedClass], axes: Sequence[str]) -> str:
    """Return a change as ``312 px at y 210, x 88: background → nucleus``."""
    centre = [(a + b) // 2 for a, b in zip(change.region.start, change.region.stop, strict=True)]
    where = ", ".join(f"{axis} {at}" for axis, at in zip(axes, centre, strict=False))
    names = [classes[k].name if k < len(classes) else f"class {k}" for k in (change.before, change.after)]
    return f"{change.pixels} px at {where}: {names[0]} → {names[1]}"


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
        self.places = QListWidget()
        self.places.setAccessibleName("Changes in view")
        self.places.setToolTip("Changes in view, largest first; click one to go there")
        self.places.setStyleSheet(SMALL)  # a change fits into one line
        self.places.setMaximumHeight((ROWS + 1) * self.places.fontMetrics().height())
        self.shower = QPushButton("Changes")
        self.shower.setCheckable(True)
        self.shower.setToolTip(f"Show the changes as a layer ({keys[2]})")
        self.accept, self.reject = QPushButton("Accept"), QPushButton("Reject")
        self.accept.setToolTip(f"Use the updated network from now on ({keys[0]})")
        self.reject.setToolTip(f"Keep the current model ({keys[1]})")
        self.places.setHorizontalScrollBarPolicy(Qt.ScrollBarAlwaysOff)
        self.places.setWordWrap(True)  # long names of classes in a narrow dock
        self.places.setResizeMode(QListWidget.Adjust)
        row = QHBoxLayout()
        for button in (self.accept, self.reject, self.shower):
            row.addWidget(button, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(6, 4, 6, 4)
        layout.setSpacing(3)
        for part in (self.headline, self.text, self.places):
            layout.addWidget(part)
        layout.addLayout(row)
        self.accept.clicked.connect(self.accepted)
        self.reject.clicked.connect(self.rejected)
        self.shower.toggled.connect(self.changes_shown)
        self.places.currentRowChanged.connect(self._on_row)
        self.places.itemClicked.connect(self._on_clicked)

    def show_update(self, state: TeachState, axes: Sequence[str]) -> None:
        """Show the evaluated update, if there is one."""
        update = state.update
        self.setVisible(update is not None)  # also if nothing else differs: showing the dock has shown this too
        content = (update, state.are_changes_shown, state.can_decide)
        if content == self._content or update is None:
            return
        self._content = content
        ready = update.ready
        self.headline.set_markup(headline(ready))
        pins = [f"Pin {escaped(pin.name)}: {pin.accepted:.0%} → {pin.candidate:.0%}" for pin in ready.pins]
        decision = " ".join(filter(None, [escaped(in_dock(ready.reason)), ENDED[update.standing]]))
        self.text.set_markup("<br>".join([*pins, decision]))
        self.shower.setChecked(state.are_changes_shown)
        for button in (self.accept, self.reject):
            button.setVisible(state.can_decide)
        has_changes = update.standing != "worse" and bool(ready.changes)  # a discarded update changes nothing
        self.places.setVisible(has_changes)
        self.shower.setVisible(has_changes or state.are_changes_shown)
        if ready is not self._shown:
            self._shown = ready
            self._fill(ready, state.classes, axes)

    def _fill(self, ready: CandidateEvaluated, classes: Sequence[PaintedClass], axes: Sequence[str]) -> None:
        self._changes = ready.changes
        self.places.blockSignals(True)
        self.places.clear()
        for change in ready.changes:
            line = change_line(change, classes, axes)
            self.places.addItem(one_line(line))
            self.places.item(self.places.count() - 1).setToolTip(hint(line))
        self.places.blockSignals(False)

    def _on_row(self, row: int) -> None:
        if 0 <= row < len(self._changes):
            self.change_chosen.emit(self._changes[row])

    def _on_clicked(self, _: object) -> None:
        self._on_row(self.places.currentRow())
