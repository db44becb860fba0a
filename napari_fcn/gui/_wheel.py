"""The mouse wheel over a dock: it scrolls the dock, whatever the pointer is on, and changes no setting."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QEvent, QObject, Qt, QTimer
from qtpy.QtWidgets import QAbstractItemView, QApplication, QGraphicsView, QScrollArea, QScrollBar, QWidget

if TYPE_CHECKING:
    from qtpy.QtGui import QWheelEvent


class WheelGuard(QObject):
    """Hands the wheel to a control only if that has the focus; what has not lets the dock scroll.

    It holds for everything that is in the dock now or later. Who wants to change a control by the wheel clicks on it,
    or goes there by Tab, first. A list or table without focus scrolls where the dock itself has nothing to scroll.

    Parameters
    ----------
    whole : QWidget
        The dock.
    area : QScrollArea, optional
        What scrolls in it.
    """

    def __init__(self, whole: QWidget, area: QScrollArea | None = None) -> None:
        super().__init__(whole)
        self._whole, self._area = whole, area
        self._is_due = False
        self._own = {area, area.viewport()} if area is not None else {whole}
        self._cover()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Pass the wheel on to what contains a control without focus, and cover what is new in the dock."""
        kind = event.type()
        if kind == QEvent.Wheel and isinstance(watched, QWidget) and not self._may_take(watched):
            self._scroll(event)
            return True
        if kind == QEvent.ChildAdded and not self._is_due:  # whose construction has not come to its end
            self._is_due = True
            QTimer.singleShot(0, self._cover)
        return False

    def _scroll(self, event: QWheelEvent) -> None:
        """Give the wheel to what scrolls; Qt itself hands on only what came from a real mouse."""
        if self._area is None:
            event.ignore()
        else:
            QApplication.sendEvent(self._area.viewport(), event)
            event.accept()

    def _cover(self) -> None:
        self._is_due = False
        for widget in (self._whole, *self._whole.findChildren(QWidget)):
            widget.installEventFilter(self)
            if widget.focusPolicy() == Qt.WheelFocus:  # which Qt gives before anybody sees the event
                widget.setFocusPolicy(Qt.StrongFocus)

    def _may_take(self, widget: QWidget) -> bool:
        """Whether the wheel is for this widget."""
        if widget in self._own or isinstance(widget, QScrollBar) or widget.window() is not self._whole.window():
            return True  # what is in a window of its own is a list that somebody has opened
        view = widget.parent() if isinstance(widget.parent(), QAbstractItemView | QGraphicsView) else widget
        if isinstance(view, QGraphicsView):
            return False  # a plot has no use for it
        if isinstance(view, QAbstractItemView) and not self._can_scroll:
            return True
        return widget.hasFocus() or view.hasFocus()

    @property
    def _can_scroll(self) -> bool:
        return self._area is not None and self._area.verticalScrollBar().maximum() > 0
