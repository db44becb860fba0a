"""Rules for all widgets of a dock: the wheel scrolls the dock, and text is plain unless it is our markup."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QEvent, QObject, QPoint, QSize, Qt, QTimer
from qtpy.QtWidgets import (
    QAbstractItemView,
    QApplication,
    QGraphicsView,
    QLabel,
    QScrollArea,
    QScrollBar,
    QToolTip,
    QWidget,
)

from napari_fcn.gui._widgets.text import hint

if TYPE_CHECKING:
    from qtpy.QtGui import QHelpEvent, QWheelEvent

MARKUP = "<qt>"  # start of a tooltip that is our own markup
MAX_LINES = 5  # of a tooltip over the dock, at most
GAP = 32  # pixels: margins of a tooltip, and the offset that Qt adds


class DockGuard(QObject):
    """Watches all widgets of a dock, also those added later.

    The wheel changes a control only if it has the focus (by a click or Tab); otherwise it scrolls the dock. A list or
    table without focus scrolls where the dock itself has nothing to scroll. Labels and tooltips are plain text unless
    marked as rich text.

    Parameters
    ----------
    dock : QWidget
        The dock.
    area : QScrollArea, optional
        Its scroll area.
    """

    def __init__(self, dock: QWidget, area: QScrollArea | None = None) -> None:
        super().__init__(dock)
        self._dock, self._area = dock, area
        self._is_due = False
        self._own = {area, area.viewport()} if area is not None else {dock}
        self._watch_all()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Redirect the wheel, show tooltips, and watch new widgets."""
        kind = event.type()
        if kind == QEvent.ChildAdded:
            if not self._is_due:  # the child is not fully constructed yet
                self._is_due = True
                QTimer.singleShot(0, self._watch_all)
            return False
        if kind == QEvent.Wheel and isinstance(watched, QWidget) and not self._may_take(watched):
            self._scroll(event)
            return True
        return kind == QEvent.ToolTip and isinstance(watched, QWidget) and self._show_tooltip(watched, event)

    def _watch_all(self) -> None:
        self._is_due = False
        for widget in (self._dock, *self._dock.findChildren(QWidget)):
            widget.installEventFilter(self)
            if widget.focusPolicy() == Qt.WheelFocus:  # Qt gives the focus before any event filter runs
                widget.setFocusPolicy(Qt.StrongFocus)
            if isinstance(widget, QLabel) and widget.textFormat() == Qt.AutoText:
                widget.setTextFormat(Qt.PlainText)

    def _scroll(self, event: QWheelEvent) -> None:
        """Send the wheel to the scroll area; Qt itself forwards only events of a real mouse."""
        if self._area is None:
            event.ignore()
        else:
            QApplication.sendEvent(self._area.viewport(), event)
            event.accept()

    def _may_take(self, widget: QWidget) -> bool:
        """Whether the wheel may reach this widget."""
        if widget in self._own or isinstance(widget, QScrollBar) or widget.window() is not self._dock.window():
            return True  # a separate window is the open list of a combo box
        view = widget.parent() if isinstance(widget.parent(), QAbstractItemView | QGraphicsView) else widget
        if isinstance(view, QGraphicsView):
            return False  # plots do not zoom
        if isinstance(view, QAbstractItemView) and not self._can_scroll:
            return True
        return widget.hasFocus() or view.hasFocus()

    @property
    def _can_scroll(self) -> bool:
        return self._area is not None and self._area.verticalScrollBar().maximum() > 0

    def _show_tooltip(self, widget: QWidget, event: QHelpEvent) -> bool:
        """Show a tooltip that Qt would show as markup or over the dock; return whether it was shown.

        Foreign text that looks like markup is shown as plain text. A tall tooltip is shown next to the dock, because it
        would cover the controls below and take their clicks.
        """
        text = widget.toolTip()
        is_plain = not text.startswith(MARKUP) and Qt.mightBeRichText(text)
        text = hint(*text.splitlines()) if is_plain else text
        size = _size(text)
        if size.height() > MAX_LINES * widget.fontMetrics().height():
            QToolTip.showText(self._position_of(widget, size), text, widget, widget.rect())
            return True
        if is_plain:
            QToolTip.showText(event.globalPos(), text, widget)
        return is_plain

    def _position_of(self, widget: QWidget, size: QSize) -> QPoint:
        """Return the position at which a tooltip of this size does not cover the dock."""
        left, top = self._dock.mapToGlobal(QPoint(0, 0)).x(), widget.mapToGlobal(QPoint(0, 0)).y()
        before, after = left - size.width() - GAP, left + self._dock.width()
        screen = widget.screen().availableGeometry()
        return QPoint(before if before >= screen.left() else after, max(screen.top(), top - size.height() // 2))


def _size(text: str) -> QSize:
    """Return the size that Qt gives a tooltip."""
    label = QLabel(text)
    label.setFont(QToolTip.font())
    label.setWordWrap(Qt.mightBeRichText(text))
    return label.sizeHint()
