"""The Batch dock: one model on many image layers and files."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

from qtpy.QtWidgets import QFileDialog, QFormLayout, QHBoxLayout, QMenu, QProgressBar, QPushButton, QWidget

from napari_fcn.gui._batch_panels.table import BatchTable, detail
from napari_fcn.gui._controllers import (
    FAILED,
    RUNNING,
    WAITING,
    BatchController,
    BatchRequest,
    BatchState,
    Summary,
    duration,
)
from napari_fcn.gui._widgets.dock import Dock
from napari_fcn.gui._widgets.form import ALARM, Collapsible, Form, WrappingLabel
from napari_fcn.gui._widgets.keys import Key, Keys
from napari_fcn.gui._widgets.source_panel import SourcePanel
from napari_fcn.gui._widgets.text import escaped
from napari_fcn.settings import OutputSettings, PredictSettings, options

if TYPE_CHECKING:
    import napari
    from qtpy.QtGui import QDragEnterEvent, QDropEvent

RUN_KEY, CANCEL_KEY, ALL_KEY = "Ctrl+Return", "Ctrl+.", "Ctrl+Shift+Backspace"
ADD_KEY, FOLDER_KEY, LAYERS_KEY, REMOVE_KEY, SHOW_KEY = "Ctrl+Shift+F", "Ctrl+Shift+D", "Ctrl+Shift+L", "Del", "Return"
NO_IMAGES = "Add image layers or files to segment."
FRONT = ("save", "folder")  # settings that most users need; the others are under Advanced
IMAGES = "Images (*.tif *.tiff *.btf *.tf8 *.npy *.png *.jpg *.jpeg *.bmp);;All files (*)"
STEPS = 1000  # of the progress bar
BROWSE_WIDTH = 32  # pixels


class BatchWidget(Dock):
    """Apply a fully convolutional network to many layers and files.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        The viewer with the layers; results become layers of it.
    """

    def __init__(self, viewer: napari.viewer.Viewer) -> None:  # napari needs this annotation
        super().__init__()
        self._state = BatchState()
        self.controller = BatchController(viewer, parent=self)
        self._viewer = self.controller.viewer
        self.setAcceptDrops(True)
        self._build()
        self._name_keys()
        self._lay_out()
        self._wire()
        self._join()

    def _build(self) -> None:
        self.settings = Form(PredictSettings)
        self.source = SourcePanel(self._viewer, self.controller, self.settings)
        self.layers_button = _button("Add layers", f"Add image layers: all ({LAYERS_KEY}) or the selected ones")
        menu = QMenu(self.layers_button)
        self.all_action, self.selected_action = menu.addAction("All image layers"), menu.addAction("Selected layers")
        self.layers_button.setMenu(menu)
        self.files_button = _button("Add files …", f"Add image files ({ADD_KEY})")
        self.folder_button = _button("Add folder …", f"Add all images in a folder, or an OME-Zarr image ({FOLDER_KEY})")
        self.table = BatchTable()
        self.remove_button = _button("Remove", f"Remove the selected images from the list ({REMOVE_KEY})")
        self.clear_button = _button("Clear", "Remove all images from the list; results stay")
        self.retry_button = _button("Retry failed", "Run failed and cancelled images again")
        self.run_button = _button("Run", f"Segment the waiting images, one after another ({RUN_KEY})")
        self.cancel_button = _button("Cancel", f"Cancel the current image and continue with the next ({CANCEL_KEY})")
        self.all_button = _button("Cancel all", f"Cancel the current image and all waiting ones ({ALL_KEY})")
        self.progress = QProgressBar()
        self.progress.setAccessibleName("Progress")
        self.progress.setRange(0, STEPS)
        self.message, self.error = WrappingLabel("Message"), WrappingLabel("Error")
        self.error.setStyleSheet(ALARM)
        self.summary, self.detail = WrappingLabel("Summary"), WrappingLabel("About the image")
        self.detail.setOpenExternalLinks(True)
        hidden = [option.name for option in options(OutputSettings) if option.name not in FRONT]
        self.save, self.more = Form(OutputSettings, without=hidden), Form(OutputSettings, without=(*FRONT, "axes"))
        self.save.fields["save"].set_value(("classes",))
        self.save.fields["folder"].editor.setPlaceholderText("next to each image")
        self.browse = _button("…", "Choose the folder for all results")
        self.browse.setAccessibleName("Choose folder")
        self.browse.setMaximumWidth(BROWSE_WIDTH)
        self.keys = WrappingLabel("Shortcuts")

    def _name_keys(self) -> None:
        dock_keys = [
            Key("Control-Enter", "Run", self.run_button.click, RUN_KEY),
            Key("Control-.", "Cancel", self.cancel_button.click, CANCEL_KEY),
            Key("Control-Shift-Backspace", "Cancel all", self.all_button.click, ALL_KEY),
            Key("Control-Shift-F", "Add files", self.files_button.click, ADD_KEY),
            Key("Control-Shift-D", "Add folder", self.folder_button.click, FOLDER_KEY),
            Key("Control-Shift-L", "Add all layers", self._on_all_layers, LAYERS_KEY),
        ]
        table_keys = [
            Key("Delete", "Remove", self.remove_button.click, REMOVE_KEY),
            Key("Enter", "Show result", self.table.open_current, SHOW_KEY),
            Key("Enter", "", self.table.open_current, "Enter"),
        ]
        Keys(dock_keys).attach(self)  # not to the viewer, where the Segment dock has the same keys
        Keys(table_keys).attach(self.table)
        self.keys.set_markup(f"{Keys(dock_keys).line()}<br>In the list: {Keys(table_keys).line()}")

    def _lay_out(self) -> None:
        save = QWidget()
        column = QFormLayout(save)
        column.setContentsMargins(0, 0, 0, 0)
        column.addRow(self.save)
        folder = _row()
        self.save.rows.replaceWidget(self.save.fields["folder"], folder)
        for part in (self.save.fields["folder"], self.browse):
            folder.layout().addWidget(part)
        self.advanced = Collapsible("Advanced", self.more, self.settings)
        adders = (self.layers_button, self.files_button, self.folder_button)
        changers = (self.remove_button, self.clear_button, self.retry_button)
        runners = (self.run_button, self.cancel_button, self.all_button)
        above = (self.source, _row(*adders), self.table, _row(*changers))
        outcome = (self.progress, self.message, self.error, self.summary, self.detail)
        self._fill(*above, save, _row(*runners), *outcome, self.advanced, self.keys)
        self.table.parentWidget().layout().setStretchFactor(self.table, 1)
        fields = {name: [field.editor for field in form.fields.values()] for name, form in self._forms().items()}
        tabs = [self.source.model.combo, *adders, self.table, *changers, *fields["save"], self.browse, *runners]
        tabs += [self.advanced.heading, *fields["more"], self.source.axes, *fields["settings"]]
        for first, second in pairwise(tabs):
            self.setTabOrder(first, second)

    def _wire(self) -> None:
        for button, slot in (
            (self.files_button, self._on_files),
            (self.folder_button, self._on_folder),
            (self.remove_button, self._on_remove),
            (self.clear_button, self.controller.clear),
            (self.retry_button, self._on_retry),
            (self.run_button, self.run),
            (self.cancel_button, self.controller.cancel),
            (self.all_button, self.controller.cancel_all),
            (self.browse, self._on_browse),
        ):
            button.clicked.connect(slot)
        self.all_action.triggered.connect(self._on_all_layers)
        self.selected_action.triggered.connect(self._on_selected_layers)
        self.table.result_requested.connect(self.controller.show)
        self.table.itemSelectionChanged.connect(self._sync_detail)
        self.source.changed.connect(self._sync)
        for form in (self.save, self.more):
            form.edited.connect(self.controller.clear_error)
        self.controller.changed.connect(self._on_changed)

    def _connect(self) -> None:
        self.controller.connect()
        self._sync()

    def _disconnect(self) -> None:
        self.controller.shutdown()

    def run(self) -> None:
        """Segment the waiting images with the chosen model."""
        request = self._request()
        if request is not None and not self._problem():
            self.controller.run(request)

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        """Accept files and folders anywhere on the dock."""
        if any(url.isLocalFile() for url in event.mimeData().urls()):
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        """Add the dropped files and folders."""
        event.acceptProposedAction()
        self.controller.add_files([url.toLocalFile() for url in event.mimeData().urls() if url.isLocalFile()])

    def _forms(self) -> dict[str, Form]:
        return {"save": self.save, "more": self.more, "settings": self.settings}

    def _request(self) -> BatchRequest | None:
        """Return the model, the settings and the outputs; None if an entry is missing or not valid."""
        source = self.source.value
        if source.path is None or source.settings is None:
            return None
        front = {name: field.value() for name, field in self.save.fields.items()}
        output = replace(self.more.value(), axes=self.source.axes.text(), **front)
        return BatchRequest(source.path, source.settings, output)

    def _problem(self) -> str:
        """Return why Run is not possible; empty if it is possible."""
        return self.source.value.problem if self.controller.state.rows else NO_IMAGES

    def _on_changed(self, state: BatchState) -> None:
        """Show a new state; during a batch, 30 times a second, only its progress."""
        previous, self._state = self._state, state
        self.table.show_rows(state.rows)
        if state.is_step_after(previous):
            self._sync_progress(state)
        else:
            self._sync()

    def _sync(self, _: object = None) -> None:
        """Show the state and the source."""
        state, problem = self.controller.state, self._problem()
        is_waiting = any(row.is_waiting for row in state.rows)
        self.run_button.setEnabled(not problem and not state.is_running)
        self.run_button.setText("Run" if not state.rows or state.is_running or is_waiting else "Run again")
        self.retry_button.setEnabled(bool(state.retriable) and not problem)
        self.cancel_button.setEnabled(bool(state.count(RUNNING)))
        self.all_button.setEnabled(state.is_running)
        for button in (self.remove_button, self.clear_button):
            button.setEnabled(bool(state.rows))
        self._show(self.message, " ".join(filter(None, [state.message, "" if state.is_running else problem])))
        self._show(self.error, state.error)
        self._show_markup(self.summary, "" if state.summary is None else summary_line(state.summary))
        self._sync_progress(state)
        self._sync_detail()

    def _sync_progress(self, state: BatchState) -> None:
        self.progress.setUpdatesEnabled(False)  # or Qt paints at once, three times
        self.progress.setVisible(state.is_running)
        self.progress.setValue(round(STEPS * state.fraction))
        left = "" if state.seconds_left is None else f" · {duration(state.seconds_left)} left"
        self.progress.setFormat(f"{state.done} of {state.total} images{left}")
        self.progress.setUpdatesEnabled(True)

    def _sync_detail(self) -> None:
        row = self.table.current
        if row is not None and (row.state in (WAITING, RUNNING) or row.number not in self.table.selected):
            row = None
        self._show_markup(self.detail, "" if row is None else detail(row))
        self.detail.setStyleSheet(ALARM if row is not None and row.state == FAILED else "")

    @staticmethod
    def _show(label: WrappingLabel, text: str) -> None:
        if label.text() != text:
            label.setText(text)
        label.setVisible(bool(text))

    @staticmethod
    def _show_markup(label: WrappingLabel, text: str) -> None:
        if label.text() != text:
            label.set_markup(text)
        label.setVisible(bool(text))

    def _on_all_layers(self) -> None:
        self.controller.add_layers(self.controller.images())

    def _on_selected_layers(self) -> None:
        self.controller.add_layers(self.controller.selected_images())

    def _on_files(self) -> None:
        paths, _ = QFileDialog.getOpenFileNames(self, "Add images", "", IMAGES)
        if paths:
            self.controller.add_files(paths)

    def _on_folder(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, "Add the images in a folder, or an OME-Zarr image")
        if folder:
            self.controller.add_files([folder])

    def _on_remove(self) -> None:
        self.controller.remove(self.table.selected)

    def _on_retry(self) -> None:
        request = self._request()
        if request is not None:
            self.controller.retry(request)

    def _on_browse(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, "Save results to", self.save.fields["folder"].value())
        if folder:
            self.save.fields["folder"].set_value(folder)


def summary_line(summary: Summary) -> str:
    """Return the summary of a batch as rich text."""
    counts = [f"{summary.done} done"]
    counts += [f"{summary.failed} failed"] if summary.failed else []
    counts += [f"{summary.cancelled} cancelled"] if summary.cancelled else []
    device = f" on {escaped(', '.join(summary.devices))}" if summary.devices else ""
    line = f"<b>{', '.join(counts)}</b> in {duration(summary.seconds)}{device} with {escaped(summary.model)}."
    return line + (" Select a failed image to see why." if summary.failed else "")


def _button(text: str, hint: str) -> QPushButton:
    button = QPushButton(text)
    button.setToolTip(hint)
    return button


def _row(*parts: QWidget) -> QWidget:
    """Return widgets side by side."""
    container = QWidget()
    row = QHBoxLayout(container)
    row.setContentsMargins(0, 0, 0, 0)
    row.setSpacing(4)
    for part in parts:
        row.addWidget(part)
    return container
