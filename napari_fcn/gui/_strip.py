"""A picture of an axis: what of it a network sees, and where the slider stands."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QRectF, QSize
from qtpy.QtGui import QPainter, QPalette
from qtpy.QtWidgets import QSizePolicy, QWidget

if TYPE_CHECKING:
    from qtpy.QtGui import QPaintEvent

    from napari_fcn.gui._controller import Stretch

HEIGHT, CURSOR = 6, 3.0  # pixels
FAINT = 0.3


class Strip(QWidget):
    """A bar as long as the axis, on it the part that is seen and a mark for the place of the slider."""

    def __init__(self) -> None:
        super().__init__()
        self.stretch: Stretch | None = None
        self.setAccessibleName("What the network sees of the axis")
        self.setSizePolicy(QSizePolicy.Expanding, QSizePolicy.Fixed)
        self.hide()

    def show_stretch(self, stretch: Stretch | None) -> None:
        """Show a stretch, or nothing."""
        if stretch != self.stretch:
            self.stretch = stretch
            self.setAccessibleDescription("" if stretch is None else stretch.line)
            self.update()
        self.setVisible(stretch is not None)

    def sizeHint(self) -> QSize:
        """Return a low bar; its width is that of the dock."""
        return QSize(1, HEIGHT)

    def spans(self) -> tuple[tuple[float, float], tuple[float, float]]:
        """Return where the part that is seen and the mark begin and end, in pixels of the widget."""
        assert self.stretch is not None
        one = self.width() / self.stretch.count
        middle = (self.stretch.at + 0.5) * one
        mark = max(CURSOR, one) / 2
        return (self.stretch.first * one, (self.stretch.last + 1) * one), (middle - mark, middle + mark)

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw the bar in the colours of the theme."""
        if self.stretch is None:
            return
        painter, palette = QPainter(self), self.palette()
        ink = palette.color(QPalette.WindowText)
        seen, mark = self.spans()
        for (start, stop), strength in (((0.0, float(self.width())), FAINT / 2), (seen, 2 * FAINT), (mark, 1.0)):
            ink.setAlphaF(strength)
            painter.fillRect(QRectF(start, 0, stop - start, self.height()), ink)
        painter.end()
