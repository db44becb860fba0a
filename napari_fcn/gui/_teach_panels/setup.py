"""The top of the Teach dock: which image, which model, which project, and how things stand."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import QSignalBlocker, Signal
from qtpy.QtWidgets import QFormLayout, QHBoxLayout, QLineEdit, QPushButton, QVBoxLayout, QWidget

from napari_fcn.gui._controllers import FILTERS, NEW_NETWORKS
from napari_fcn.gui._widgets.form import ALARM, WARNING, WrappingLabel
from napari_fcn.gui._widgets.pickers import ImagePicker, ModelPicker
from napari_fcn.gui._widgets.run_result import LINK
from napari_fcn.gui._widgets.text import escaped, hint
from napari_fcn.typed import read_axes

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image

    from napari_fcn.gui._controllers import ModelEntry, TeachController, TeachState

KNOWS_NOTHING = "No network: filters of several sizes learn textures from your strokes alone."


def ago(seconds: float) -> str:
    """Return how long ago something was, for people."""
    if seconds < 60:
        return f"{seconds:.0f} s ago"
    return f"{seconds / 60:.0f} min ago" if seconds < 5400 else f"{seconds / 3600:.0f} h ago"


class SetupPanel(QWidget):
    """The choices before teaching begins, and one line on the project once it has.

    Attributes
    ----------
    started, stopped, project_asked : Signal()
        The user wants to begin, to end, to go on with a project.
    """

    started = Signal()
    stopped = Signal()
    project_asked = Signal()

    def __init__(self, viewer: ViewerModel, controller: TeachController, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.image = ImagePicker(viewer, controller)
        self.model = ModelPicker(controller, {FILTERS: KNOWS_NOTHING, **NEW_NETWORKS})
        self.start, self.open = QPushButton("Start"), QPushButton("Open project …")
        self.open.setToolTip("Go on with strokes and model of an earlier day (a folder NAME.fcn)")
        self.axes = QLineEdit()
        self.axes.setAccessibleName("Axes")
        self.axes.setToolTip(
            "<qt>One letter for each axis of the image, such as tzyx or cyx: t time, c channels, z y x space. "
            "Empty: as the layer names them, else guessed. It holds from the next start.</qt>"
        )
        self.project, self.message = WrappingLabel("Project"), WrappingLabel("Message")
        self.project.setOpenExternalLinks(True)
        self.warning, self.error = WrappingLabel("Warning"), WrappingLabel("Error")
        self.warning.setStyleSheet(WARNING)
        self.error.setStyleSheet(ALARM)
        self._lay_out()
        self.start.clicked.connect(self._on_start)
        self.open.clicked.connect(self.project_asked)

    def _lay_out(self) -> None:
        rows, buttons = QFormLayout(), QHBoxLayout()
        rows.setFieldGrowthPolicy(QFormLayout.AllNonFixedFieldsGrow)
        rows.addRow("Image", self.image)
        rows.addRow("Model", self.model)
        buttons.addWidget(self.start)
        buttons.addWidget(self.open)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(rows)
        layout.addLayout(buttons)
        for part in (self.project, self.message, self.warning, self.error):
            layout.addWidget(part)

    def show_taught(self, layer: Image | None, model: ModelEntry | None, other: str) -> None:
        """Show the image and the model that are taught, whatever is selected meanwhile; without an image, none is."""
        self.image.hold(layer)
        if layer is None:
            return
        with QSignalBlocker(self.model):
            if model is not None:
                self.model.choose(model)
            elif other:
                self.model.choose_other(other)

    @property
    def path(self) -> Path | None:
        """The chosen model file; None for filters only, or a new network."""
        return None if self.model.model is None else self.model.model.path

    @property
    def new(self) -> str:
        """Family of the chosen new network; empty if something else is chosen."""
        return self.model.other.split()[-1] if self.model.other in NEW_NETWORKS else ""

    @property
    def has_model(self) -> bool:
        """Whether there is something to teach."""
        return self.model.model is not None or bool(self.model.other)

    def names(self) -> tuple[str, ...]:
        """Return what the user calls the axes."""
        return read_axes(self.axes.text().lower())

    def show_state(self, state: TeachState, reason: str) -> None:
        """Show how things stand; ``reason`` is why nothing can begin."""
        is_idle = state.phase == "idle"
        self.start.setText("Start" if is_idle else "Stop")
        self.start.setToolTip("Begin to teach the model on the image" if is_idle else "End; layers and project stay")
        self.start.setEnabled(not is_idle or not reason)
        self.image.setEnabled(is_idle)
        self.model.setEnabled(is_idle)
        self.model.line.setVisible(is_idle and bool(self.model.line.text()))
        self.open.setVisible(is_idle)
        self.open.setEnabled(self.image.layer is not None)
        message = state.message or (reason if is_idle else "")
        warning = " ".join(filter(None, [state.warning, state.obstacle]))
        for part, text in ((self.message, message), (self.warning, warning), (self.error, state.error)):
            if part.text() != text:
                part.setText(text)
            part.setVisible(bool(text))
        self.show_saved(state)

    def show_saved(self, state: TeachState) -> None:
        """Show the project, and when it was written to."""
        self.project.setVisible(bool(state.project))
        if not state.project:
            return
        folder = Path(state.project)
        link = f"<a href='{folder.as_uri()}' style='color: {LINK}'>{escaped(folder.name)}</a>"
        is_painted = any(entry.painted for entry in state.classes)
        saved = f"saved {ago(time.monotonic() - state.saved_at)}" if state.saved_at else "saved"
        saved = saved if state.saved_at or is_painted else "nothing painted yet"
        text = f"{link} · {'saving …' if state.is_saving else saved}"
        if self.project.text() != text:
            self.project.set_markup(text)
            self.project.setToolTip(hint(state.project))

    def _on_start(self) -> None:
        (self.started if self.start.text() == "Start" else self.stopped).emit()
