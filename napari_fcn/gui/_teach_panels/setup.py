"""Starts and stops a teaching session, and shows its project and messages."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from napari_fcn.gui._widgets.form import ALARM, WARNING, WrappingLabel
from napari_fcn.gui._widgets.run_result import LINK
from napari_fcn.gui._widgets.text import escaped, hint

if TYPE_CHECKING:
    from napari_fcn.gui._controllers import TeachState
    from napari_fcn.gui._widgets.source_panel import Source


def ago(seconds: float) -> str:
    """Return an elapsed time as in ``12 s ago``."""
    if seconds < 60:
        return f"{seconds:.0f} s ago"
    return f"{seconds / 60:.0f} min ago" if seconds < 5400 else f"{seconds / 3600:.0f} h ago"


class SetupPanel(QWidget):
    """Starts and stops a teaching session, and shows its project, messages, warnings and errors.

    Attributes
    ----------
    started, stopped, project_requested : Signal()
        The user starts, stops, or opens a saved project.
    """

    started = Signal()
    stopped = Signal()
    project_requested = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.start, self.open = QPushButton("Start"), QPushButton("Open project …")
        self.open.setToolTip("Resume a saved project (a folder NAME.fcn)")
        self.project, self.message = WrappingLabel("Project"), WrappingLabel("Message")
        self.project.setOpenExternalLinks(True)
        self.warning, self.error = WrappingLabel("Warning"), WrappingLabel("Error")
        self.warning.setStyleSheet(WARNING)
        self.error.setStyleSheet(ALARM)
        buttons, layout = QHBoxLayout(), QVBoxLayout(self)
        buttons.addWidget(self.start)
        buttons.addWidget(self.open)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(buttons)
        for part in (self.project, self.message, self.warning, self.error):
            layout.addWidget(part)
        self.start.clicked.connect(self._on_start)
        self.open.clicked.connect(self.project_requested)

    def show_state(self, state: TeachState, source: Source) -> None:
        """Show the state of the session and, before it starts, why it cannot start from the chosen source."""
        is_idle = state.phase == "idle"
        self.start.setText("Start" if is_idle else "Stop")
        self.start.setToolTip("Start teaching the model on the image" if is_idle else "Stop; layers and project stay")
        self.start.setEnabled(not is_idle or not source.problem)
        self.open.setVisible(is_idle)
        self.open.setEnabled(source.layer is not None)
        message = state.message or (source.problem if is_idle else "")
        warning = " ".join(filter(None, [state.warning, state.obstacle]))
        for part, text in ((self.message, message), (self.warning, warning), (self.error, state.error)):
            if part.text() != text:
                part.setText(text)
            part.setVisible(bool(text))
        self.show_saved(state)

    def show_saved(self, state: TeachState) -> None:
        """Show the project, and when it was last saved."""
        self.project.setVisible(bool(state.project))
        if not state.project:
            return
        folder = Path(state.project)
        link = f"<a href='{folder.as_uri()}' style='color: {LINK}'>{escaped(folder.name)}</a>"
        is_painted = any(entry.painted for entry in state.classes)
        saved = f"saved {ago(time.monotonic() - state.saved_at)}" if state.saved_at else "saved"
        saved = saved if state.saved_at or is_painted else "no strokes yet"
        text = f"{link} · {'saving …' if state.is_saving else saved}"
        if self.project.text() != text:
            self.project.set_markup(text)
            self.project.setToolTip(hint(state.project))

    def _on_start(self) -> None:
        (self.started if self.start.text() == "Start" else self.stopped).emit()
