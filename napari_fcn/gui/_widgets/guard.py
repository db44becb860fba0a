"""What holds for every widget of a dock, now and later: the wheel scrolls, and text is plain unless we write markup."""

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

MARKUP = "<qt>"  # with which a tooltip begins that is markup of our own
LOW = 5  # lines of a tooltip that may lie on the dock
GAP = 32  # pixels: margins of a tooltip, and what Qt moves it by


class DockGuard(QObject):
    """Watches all that is in a dock or comes into it.

    The wheel is for a control only if that has the focus; otherwise it scrolls the dock. Who wants to change a control
    by the wheel clicks on it, or goes there by Tab, first. A list or table without focus scrolls where the dock itself
    has nothing to scroll. Labels and tooltips are plain text, unless they say that they are markup.

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
        """Decide about the wheel and about tooltips, and cover what is new in the dock."""
        kind = event.type()
        if kind == QEvent.ChildAdded:
            if not self._is_due:  # the child itself has not been made to its end
                self._is_due = True
                QTimer.singleShot(0, self._cover)
            return False
        if kind == QEvent.Wheel and isinstance(watched, QWidget) and not self._may_take(watched):
            self._scroll(event)
            return True
        return kind == QEvent.ToolTip and isinstance(watched, QWidget) and self._tell(watched, event)

    def _cover(self) -> None:
        self._is_due = False
        for widget in (self._whole, *self._whole.findChildren(QWidget)):
            widget.installEventFilter(self)
            if widget.focusPolicy() == Qt.WheelFocus:  # which Qt gives before anybody sees the event
                widget.setFocusPolicy(Qt.StrongFocus)
            if isinstance(widget, QLabel) and widget.textFormat() == Qt.AutoText:
                widget.setTextFormat(Qt.PlainText)

    def _scroll(self, event: QWheelEvent) -> None:
        """Give the wheel to what scrolls; Qt itself hands on only what came from a real mouse."""
        if self._area is None:
            event.ignore()
        else:
            QApplication.sendEvent(self._area.viewport(), event)
            event.accept()

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

    def _tell(self, widget: QWidget, event: QHelpEvent) -> bool:
        """Show a tooltip that Qt would show otherwise than we want; return whether it was done.

        One that looks like markup and is none of ours is shown as it is written. One of many lines stands beside the
        dock, as it would cover the controls below and take their clicks.
        """
        text = widget.toolTip()
        is_plain = not text.startswith(MARKUP) and Qt.mightBeRichText(text)
        text = hint(*text.splitlines()) if is_plain else text
        size = _size(text)
        if size.height() > LOW * widget.fontMetrics().height():
            QToolTip.showText(self._beside(widget, size), text, widget, widget.rect())
            return True
        if is_plain:
            QToolTip.showText(event.globalPos(), text, widget)
        return is_plain

    def _beside(self, widget: QWidget, size: QSize) -> QPoint:
        """Return where a tooltip of this size is to be shown so that it does not lie on the dock."""
        left, top = self._whole.mapToGlobal(QPoint(0, 0)).x(), widget.mapToGlobal(QPoint(0, 0)).y()
        before, behind = left - size.width() - GAP, left + self._whole.width()
        screen = widget.screen().availableGeometry()
        return QPoint(before if before >= screen.left() else behind, max(screen.top(), top - size.height() // 2))


def _size(text: str) -> QSize:
    """Return how large Qt makes a tooltip."""
    label = QLabel(text)
    label.setFont(QToolTip.font())
    label.setWordWrap(Qt.mightBeRichText(text))
    return label.sizeHint()
