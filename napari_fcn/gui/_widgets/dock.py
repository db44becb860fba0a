"""What all docks are: a narrow column that scrolls, and that lets go of the viewer when it is closed."""

from __future__ import annotations

from qtpy.QtCore import QEvent, QSize, Qt
from qtpy.QtWidgets import QScrollArea, QVBoxLayout, QWidget

from napari_fcn.gui._widgets.guard import DockGuard

NARROW, WIDTH, HEIGHT = 260, 320, 400  # pixels: least width, and what is asked for


class Dock(QWidget):
    """A dock; children say what they do when they join and leave a viewer by `_connect` and `_disconnect`."""

    def __init__(self) -> None:
        super().__init__()
        self._is_connected = False

    def _connect(self) -> None:
        """Take part in the life of the viewer."""
        raise NotImplementedError

    def _disconnect(self) -> None:
        """End what runs and let go of the viewer."""
        raise NotImplementedError

    def _join(self) -> None:
        self._is_connected = True
        self._connect()

    def sizeHint(self) -> QSize:
        """Return the size in which the dock opens."""
        return QSize(WIDTH, HEIGHT)

    def changeEvent(self, event: QEvent) -> None:
        """Leave the viewer when its dock is closed: napari only takes the parent away then."""
        super().changeEvent(event)
        if event.type() != QEvent.ParentChange or self.layout() is None:
            return
        if self.parent() is None and self._is_connected:
            self._is_connected = False
            self._disconnect()
        elif self.parent() is not None and not self._is_connected:
            self._join()

    def _fill(self, *parts: QWidget) -> None:
        """Put the parts one under another into a column that scrolls up and down, but never sideways."""
        inside = QWidget()
        column = QVBoxLayout(inside)
        for part in parts:
            column.addWidget(part)
        column.addStretch()
        area = QScrollArea()
        area.setWidgetResizable(True)
        area.setFrameShape(QScrollArea.NoFrame)
        area.setHorizontalScrollBarPolicy(Qt.ScrollBarAlwaysOff)
        area.setWidget(inside)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(area)
        self._guard = DockGuard(self, area)
        self.setMinimumWidth(NARROW)
