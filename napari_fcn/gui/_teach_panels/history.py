"""The history of the model as a list of states; branches are indented."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QItemSelectionModel, Qt, Signal
from qtpy.QtWidgets import (
    QAbstractItemView,
    QGridLayout,
    QHBoxLayout,
    QHeaderView,
    QPushButton,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_fcn.gui._widgets.text import one_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_fcn.events import Commit
    from napari_fcn.gui._controllers import TeachState

KINDS = {"start": "start", "head": "strokes", "network": "update", "classes": "classes"}
HINTS = {
    "start": "First model",
    "head": "Learnt from strokes",
    "network": "Accepted update of the whole network",
    "classes": "Classes changed",
}
NUMBER, KIND, SCORE, NAME = range(4)
HEIGHT = 132  # pixels


def depths(commits: Sequence[Commit]) -> dict[int, int]:
    """Return the indentation of each commit: the first child stays in line, each later one is a branch."""
    depth: dict[int, int] = {}
    has_child: set[int] = set()
    for commit in commits:
        if commit.parent is None or commit.parent not in depth:
            depth[commit.number] = 0
            continue
        depth[commit.number] = depth[commit.parent] + (commit.parent in has_child)
        has_child.add(commit.parent)
    return depth


def score(commit: Commit, scores: Sequence[tuple[int, float]]) -> str:
    """Return the share of strokes that a commit predicts correctly; empty if unknown."""
    fraction = commit.scores.get("candidate")
    if fraction is None and commit.kind != "network":
        fraction = next((value for turn, value in scores if turn == commit.turn + 1), None)
    return "" if fraction is None else f"{fraction:.0%}"


class CommitList(QWidget):
    """All commits, and the commands on them.

    Attributes
    ----------
    undone, redone : Signal()
        Go back or forward one commit.
    state_chosen : Signal(int)
        Go to this commit.
    renamed : Signal(int, str)
        The user renamed a commit.
    compared : Signal(int, int)
        Compare two commits.
    saved : Signal(int)
        Save the model of this commit.
    """

    undone = Signal()
    redone = Signal()
    state_chosen = Signal(int)
    renamed = Signal(int, str)
    compared = Signal(int, int)
    saved = Signal(int)

    def __init__(self, keys: tuple[str, str], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._shown: object = None
        self._current = 0
        self.list = QTreeWidget()
        self.list.setAccessibleName("History")
        self.list.setHeaderLabels(["#", "From", "Score", "Name"])
        self.list.headerItem().setToolTip(SCORE, "Share of later strokes predicted correctly before learning from them")
        self.list.setRootIsDecorated(False)
        self.list.setSelectionMode(QAbstractItemView.ExtendedSelection)
        self.list.setEditTriggers(QAbstractItemView.EditKeyPressed)
        self.list.setMaximumHeight(HEIGHT)
        self.list.header().setSectionResizeMode(QHeaderView.ResizeToContents)
        self.list.header().setStretchLastSection(True)
        self.list.header().setMinimumSectionSize(24)
        self.list.setHorizontalScrollBarPolicy(Qt.ScrollBarAlwaysOff)
        self.undo, self.redo = QPushButton("Undo"), QPushButton("Redo")
        self.undo.setToolTip(f"Go back one state, strokes and model together ({keys[0]})")
        self.redo.setToolTip(f"Go forward one state ({keys[1]})")
        self.go, self.compare, self.save = QPushButton("Go to"), QPushButton("Compare"), QPushButton("Save model …")
        self.go.setToolTip("Go to the selected state (or double-click it); new strokes start a branch there")
        self.compare.setToolTip("Compare two selected states (Ctrl+click), or one with the current state")
        self.save.setToolTip("Save the selected state, or the current one, to a model file")
        self._lay_out()
        self._wire()

    def _lay_out(self) -> None:
        steps, more = QHBoxLayout(), QGridLayout()
        for button in (self.undo, self.redo, self.go):
            steps.addWidget(button)
        more.addWidget(self.compare, 0, 0)
        more.addWidget(self.save, 0, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.list)
        layout.addLayout(steps)
        layout.addLayout(more)

    def _wire(self) -> None:
        self.undo.clicked.connect(self.undone)
        self.redo.clicked.connect(self.redone)
        self.go.clicked.connect(self._on_go)
        self.compare.clicked.connect(self._on_compare)
        self.save.clicked.connect(self._on_save)
        self.list.itemDoubleClicked.connect(self._on_double)
        self.list.itemChanged.connect(self._on_item)
        self.list.itemSelectionChanged.connect(self._sync_buttons)

    @property
    def selected(self) -> list[int]:
        """Numbers of the selected commits, from the oldest."""
        return sorted(int(item.data(NUMBER, Qt.UserRole)) for item in self.list.selectedItems())

    def show_history(self, state: TeachState) -> None:
        """Show all commits; the current one is bold."""
        self._current = state.present
        self.undo.setEnabled(state.can_undo)
        self.redo.setEnabled(state.can_redo)
        shown = (state.commits, state.present, state.scores)
        if shown != self._shown:
            self._shown = shown
            self._fill(state)
        self._sync_buttons()

    def _fill(self, state: TeachState) -> None:
        self.list.blockSignals(True)
        indent = depths(state.commits)
        for row, commit in enumerate(state.commits):
            item = self.list.topLevelItem(row)
            if item is None:
                item = QTreeWidgetItem(self.list)
                item.setFlags(item.flags() | Qt.ItemIsEditable)
            self._show(item, commit, indent[commit.number], state)
        while self.list.topLevelItemCount() > len(state.commits):
            self.list.takeTopLevelItem(len(state.commits))
        for row in range(self.list.topLevelItemCount()):
            item = self.list.topLevelItem(row)
            if item.data(NUMBER, Qt.UserRole) == state.present:
                self.list.scrollToItem(item)
        self.list.blockSignals(False)

    def _show(self, item: QTreeWidgetItem, commit: Commit, depth: int, state: TeachState) -> None:
        item.setData(NUMBER, Qt.UserRole, commit.number)
        item.setText(NUMBER, f"{'  ' * (depth - 1)}└ {commit.number}" if depth else str(commit.number))
        item.setText(KIND, KINDS.get(commit.kind, commit.kind))
        item.setText(SCORE, score(commit, state.scores))
        item.setText(NAME, one_line(commit.name))
        item.setToolTip(NAME, "Double-click or press F2 to rename this state")
        item.setToolTip(KIND, HINTS.get(commit.kind, ""))
        for column in range(4):
            font = item.font(column)
            font.setBold(commit.number == state.present)
            item.setFont(column, font)

    def _sync_buttons(self) -> None:
        selected = self.selected
        others = [number for number in selected if number != self._current]
        self.go.setEnabled(len(selected) == 1 and bool(others))
        self.compare.setEnabled(len(selected) == 2 or (len(selected) == 1 and bool(others)))

    def _on_go(self) -> None:
        if len(self.selected) == 1:
            self.state_chosen.emit(self.selected[0])

    def _on_compare(self) -> None:
        numbers = self.selected if len(self.selected) == 2 else sorted({*self.selected, self._current})
        if len(numbers) == 2:
            self.compared.emit(*numbers)

    def _on_save(self) -> None:
        self.saved.emit(self.selected[0] if len(self.selected) == 1 else self._current)

    def _on_double(self, item: QTreeWidgetItem, column: int) -> None:
        if column == NAME:
            self.list.editItem(item, NAME)
        else:
            self.state_chosen.emit(int(item.data(NUMBER, Qt.UserRole)))

    def _on_item(self, item: QTreeWidgetItem, column: int) -> None:
        if column == NAME:
            self.renamed.emit(int(item.data(NUMBER, Qt.UserRole)), item.text(NAME).strip())

    def select(self, *numbers: int) -> None:
        """Select commits."""
        self.list.clearSelection()
        for row in range(self.list.topLevelItemCount()):
            item = self.list.topLevelItem(row)
            if item.data(NUMBER, Qt.UserRole) in numbers:
                self.list.setCurrentItem(item, NUMBER, QItemSelectionModel.Select | QItemSelectionModel.Rows)
