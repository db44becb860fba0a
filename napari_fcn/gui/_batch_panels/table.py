"""The table of the Batch dock, with a row for each image, and the details of one row."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import QSignalBlocker, QSize, Qt, Signal
from qtpy.QtGui import QPainter
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QStyledItemDelegate, QTableWidget, QTableWidgetItem

from napari_fcn.gui._controllers import CANCELLED, DONE, FAILED, RUNNING, WAITING, duration
from napari_fcn.gui._widgets.run_result import link
from napari_fcn.gui._widgets.text import escaped, hint, one_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qtpy.QtCore import QModelIndex
    from qtpy.QtGui import QPaintEvent
    from qtpy.QtWidgets import QStyleOptionViewItem

    from napari_fcn.gui._controllers import Row

EMPTY = "Drop images or folders here,\nor add layers or files above."
SIGNS = {WAITING: "", RUNNING: "▸ ", DONE: "✓ ", FAILED: "✗ ", CANCELLED: "– "}
COLUMNS = ("Image", "State")
HEIGHT, PADDING = 190, 8  # pixels: height of the table, and space between its rows


def state_text(row: Row) -> str:
    """Return the state of a row: ``waiting``, ``34 % · 12 s left``, ``done · 3.1 s``, ``failed: ...``."""
    if row.state == RUNNING:
        if not row.fraction and not row.task:
            return "preparing …"
        left = "" if row.seconds_left is None else f" · {duration(row.seconds_left)} left"
        return f"{row.task} {100 * row.fraction:.0f} %{left}".strip()
    if row.state == DONE:
        if row.is_outdated:
            return "done · outdated"
        return f"done · {duration(row.seconds)}" if row.seconds else "already done"
    if row.state == FAILED:
        return f"failed: {_brief(row)}"
    return row.state


def _brief(row: Row) -> str:
    """Return the error without the path of the image, which would fill the whole cell."""
    line = " ".join(row.lines)
    return line.removeprefix(row.location).lstrip(": ").replace(row.location, row.name)


def detail(row: Row) -> str:
    """Return the details of a row as rich text."""
    is_plain = row.state == FAILED or (row.result_line and not row.is_outdated)
    head = " · ".join(filter(None, [row.state if is_plain else state_text(row), row.result_line]))
    lines = [f"<b>{escaped(row.name)}</b>: {escaped(head)}", *map(escaped, row.lines)]
    if not any(row.location in line for line in row.lines):
        lines.append(f"From {escaped(row.location)}")
    lines += [f"Saved {link(Path(file))}" for file in row.files]
    return "<br>".join(lines)


class _ElideMiddleDelegate(QStyledItemDelegate):
    """Elides the middle of a long name, because names of one series differ at their ends."""

    def initStyleOption(self, option: QStyleOptionViewItem, index: QModelIndex) -> None:
        super().initStyleOption(option, index)
        option.textElideMode = Qt.ElideMiddle


class BatchTable(QTableWidget):
    """The images of a batch, by name and state.

    Attributes
    ----------
    result_requested : Signal(int)
        The user opens the result of the row with this number.
    """

    result_requested = Signal(int)

    def __init__(self) -> None:
        super().__init__(0, len(COLUMNS))
        self._rows: tuple[Row, ...] = ()
        self.setHorizontalHeaderLabels(COLUMNS)
        self.setAccessibleName("Images")
        self.setAccessibleDescription("Images of the batch and their states. Return opens a result.")
        self.setSelectionBehavior(QAbstractItemView.SelectRows)
        self.setSelectionMode(QAbstractItemView.ExtendedSelection)
        self.setEditTriggers(QAbstractItemView.NoEditTriggers)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarAlwaysOff)
        self.setTabKeyNavigation(False)
        self.setWordWrap(False)
        self.setShowGrid(False)
        self.setMinimumHeight(HEIGHT)
        self.setItemDelegateForColumn(0, _ElideMiddleDelegate(self))
        self.verticalHeader().hide()
        self.verticalHeader().setDefaultSectionSize(self.fontMetrics().height() + PADDING)
        self.horizontalHeader().setHighlightSections(False)
        self.horizontalHeader().setSectionResizeMode(QHeaderView.Stretch)
        self.itemDoubleClicked.connect(self._on_double_clicked)

    @property
    def current(self) -> Row | None:
        """The row with the cursor."""
        index = self.currentRow()
        return self._rows[index] if 0 <= index < len(self._rows) else None

    @property
    def selected(self) -> tuple[int, ...]:
        """Numbers of the selected rows."""
        return tuple(self._rows[index.row()].number for index in self.selectionModel().selectedRows())

    def show_rows(self, rows: tuple[Row, ...]) -> None:
        """Show rows; only changed rows are written, as this runs 30 times a second."""
        old_rows, self._rows = self._rows, rows
        if [row.number for row in old_rows] != [row.number for row in rows]:
            self._rebuild(old_rows)
            return
        for position, (old, new) in enumerate(zip(old_rows, rows, strict=True)):
            if old is not new and old != new:
                self._write(position, new)

    def open_current(self) -> None:
        """Request the result of the row with the cursor."""
        if self.current is not None:
            self.result_requested.emit(self.current.number)

    def sizeHint(self) -> QSize:
        """Return a width smaller than that of the dock, so that the dock decides."""
        return QSize(200, HEIGHT)

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw the table; if it is empty, a hint how to fill it."""
        super().paintEvent(event)
        if not self._rows:
            painter = QPainter(self.viewport())
            painter.drawText(self.viewport().rect(), Qt.AlignCenter | Qt.TextWordWrap, EMPTY)
            painter.end()

    def _rebuild(self, old_rows: Sequence[Row]) -> None:
        """Write all rows, and keep the selection."""
        selected = {old_rows[index.row()].number for index in self.selectionModel().selectedRows()}
        current = old_rows[self.currentRow()].number if 0 <= self.currentRow() < len(old_rows) else None
        numbers = [row.number for row in self._rows]
        with QSignalBlocker(self):
            self.setRowCount(len(self._rows))
            for position, row in enumerate(self._rows):
                self._write(position, row)
            nearest = min(max(0, self.currentRow()), len(numbers) - 1)
            self._select(
                numbers.index(current) if current in numbers else nearest,
                [numbers.index(number) for number in selected if number in numbers],
            )
        self.itemSelectionChanged.emit()

    def _select(self, current: int, selected: Sequence[int]) -> None:
        """Move the cursor to a row and select rows, independent of the keys that are pressed."""
        model, rows = self.selectionModel(), self.selectionModel().Rows
        model.setCurrentIndex(self.model().index(current, 0), model.ClearAndSelect | rows)
        for position in selected:
            model.select(self.model().index(position, 0), model.Select | rows)

    def _write(self, position: int, row: Row) -> None:
        text = state_text(row)
        hints = (row.location, " ".join([text, *(row.lines if row.state != FAILED else ())]))
        for column, (cell, tooltip) in enumerate(zip((row.name, SIGNS[row.state] + text), hints, strict=True)):
            item = self.item(position, column)
            if item is None:
                item = QTableWidgetItem()
                self.setItem(position, column, item)
            item.setText(one_line(cell))
            item.setToolTip(hint(tooltip))
        self.item(position, 0).setData(Qt.AccessibleTextRole, f"{row.name}, {text}")

    def _on_double_clicked(self, item: QTableWidgetItem) -> None:
        self.result_requested.emit(self._rows[item.row()].number)
