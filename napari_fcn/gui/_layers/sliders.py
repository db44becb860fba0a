"""Marks on napari's sliders: the extent of the receptive field along axes that are not displayed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QEvent, QObject, QRectF, Qt
from qtpy.QtGui import QColor, QPainter, QPaintEvent
from qtpy.QtWidgets import QStyle, QStyleOptionSlider, QWidget

from napari_fcn.gui._layers.napari_private import slider_bars

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari.components import ViewerModel
    from qtpy.QtWidgets import QScrollBar

MARK_COLOUR = "#56b4e9"  # sky blue (Okabe & Ito 2008): visible in both themes
MARK_HEIGHT = 3  # pixels


class SliderMarks:
    """The marks on the sliders of a viewer, one for each axis.

    Parameters
    ----------
    viewer : ViewerModel
        The viewer; without a window, there are no sliders and no marks.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self._marks: list[SliderMark] = []

    def show(self, spans: Mapping[int, tuple[int, int]]) -> None:
        """Mark the steps from first to last on the sliders of these axes, and remove all other marks."""
        bars = slider_bars(self._viewer)
        marks = [(bars[axis], span) for axis, span in spans.items() if axis < len(bars)]
        if [(mark.bar, mark.span) for mark in self._marks] == marks:
            return
        self.clear()
        self._marks = [SliderMark(bar, span) for bar, span in marks]

    def clear(self) -> None:
        """Remove all marks."""
        for mark in self._marks:
            mark.remove()
        self._marks = []


class SliderMark(QWidget):
    """A line under a slider, as long as the steps from first to last; clicks go through it."""

    def __init__(self, bar: QScrollBar, span: tuple[int, int]) -> None:
        super().__init__(bar)
        self.bar, self.span = bar, span
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.setAccessibleName(f"Used by the model: {span[0]} to {span[1]}")
        self.setGeometry(bar.rect())
        bar.installEventFilter(self)
        self.show()

    def remove(self) -> None:
        """Remove the mark; napari may have removed the slider already."""
        try:
            self.bar.removeEventFilter(self)
            self.hide()
            self.setParent(None)
            self.deleteLater()
        except RuntimeError:  # Qt has deleted it
            return

    def line_rect(self) -> QRectF:
        """Return the rectangle of the mark, from the middle of the handle at the first step to that at the last."""
        style, option = self.bar.style(), QStyleOptionSlider()
        self.bar.initStyleOption(option)
        parts = (QStyle.SubControl.SC_ScrollBarGroove, QStyle.SubControl.SC_ScrollBarSlider)
        groove, handle = (
            style.subControlRect(QStyle.ComplexControl.CC_ScrollBar, option, part, self.bar) for part in parts
        )
        steps = max(1, self.bar.maximum() - self.bar.minimum())
        pixels = (groove.width() - handle.width()) / steps
        start = groove.left() + handle.width() / 2
        first, last = (start + pixels * (step - self.bar.minimum()) for step in self.span)
        return QRectF(first - 1, self.height() - MARK_HEIGHT, last - first + 2, MARK_HEIGHT)

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw the line."""
        painter = QPainter(self)
        painter.fillRect(self.line_rect(), QColor(MARK_COLOUR))
        painter.end()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Follow the size of the slider."""
        if event.type() == QEvent.Type.Resize:
            self.setGeometry(self.bar.rect())
        return False
