"""The base class of all docks: a narrow column that scrolls and disconnects from the viewer when closed."""

from __future__ import annotations

from qtpy.QtCore import QEvent, QSize, Qt
from qtpy.QtWidgets import QScrollArea, QVBoxLayout, QWidget

from napari_fcn.gui._widgets.guard import DockGuard

MIN_WIDTH, WIDTH, HEIGHT = 260, 320, 400  # pixels: minimum width, and preferred size


class Dock(QWidget):
    """A dock; subclasses implement `_connect` and `_disconnect`."""

    def __init__(self) -> None:
        super().__init__()
        self._is_connected = False

    def _connect(self) -> None:
        """Connect to the viewer."""
        raise NotImplementedError

    def _disconnect(self) -> None:
        """Stop jobs and disconnect from the viewer."""
        raise NotImplementedError

    def _join(self) -> None:
        self._is_connected = True
        self._connect()

    def sizeHint(self) -> QSize:
        """Return the size in which the dock opens."""
        return QSize(WIDTH, HEIGHT)

    def changeEvent(self, event: QEvent) -> None:
        """Disconnect from the viewer when the dock is closed, which napari does by removing the parent."""
        super().changeEvent(event)
        if event.type() != QEvent.ParentChange or self.layout() is None:
            return
        if self.parent() is None and self._is_connected:
            self._is_connected = False
            self._disconnect()
        elif self.parent() is not None and not self._is_connected:
            self._join()

    def _fill(self, *parts: QWidget) -> None:
        """Stack the parts in a column that scrolls only vertically."""
        content = QWidget()
        column = QVBoxLayout(content)
        for part in parts:
            column.addWidget(part)
        column.addStretch()
        area = QScrollArea()
        area.setWidgetResizable(True)
        area.setFrameShape(QScrollArea.NoFrame)
        area.setHorizontalScrollBarPolicy(Qt.ScrollBarAlwaysOff)
        area.setWidget(content)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(area)
        self._guard = DockGuard(self, area)
        self.setMinimumWidth(MIN_WIDTH)
