"""The Segment dock: one model on one image layer."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

from qtpy.QtCore import QTimer
from qtpy.QtWidgets import (
    QCheckBox,
    QFileDialog,
    QHBoxLayout,
    QProgressBar,
    QPushButton,
    QWidget,
)

from napari_fcn.gui._controllers import SegmentController, ViewState, duration
from napari_fcn.gui._widgets.dock import Dock
from napari_fcn.gui._widgets.form import ALARM, Collapsible, Form, WrappingLabel
from napari_fcn.gui._widgets.keys import Key, Keys
from napari_fcn.gui._widgets.region_picker import RegionPicker
from napari_fcn.gui._widgets.run_result import RunResultPanel
from napari_fcn.gui._widgets.source_panel import SourcePanel
from napari_fcn.settings import OutputSettings, PredictSettings

if TYPE_CHECKING:
    import napari

RUN_KEY, CANCEL_KEY = "Ctrl+Return", "Ctrl+."  # free in napari
PROGRESS_STEPS = 1000  # of the progress bar
WARM_UP_AFTER = 200  # milliseconds after the dock opens


class SegmentWidget(Dock):
    """Segment an image layer with a fully convolutional network.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        The viewer with the images; results become layers of it.
    """

    def __init__(self, viewer: napari.viewer.Viewer) -> None:  # napari needs this annotation
        super().__init__()
        self._state = ViewState()
        self.controller = SegmentController(viewer, parent=self)
        self._viewer = self.controller.viewer
        self._build()
        self._lay_out()
        self._wire()
        self._join()
        QTimer.singleShot(WARM_UP_AFTER, self._warm_up)

    def _build(self) -> None:
        self.settings = Form(PredictSettings, without=("roi",))
        self.region = RegionPicker(self._viewer, self.controller)
        self.source = SourcePanel(self._viewer, self.controller, self.settings, purpose="to segment")
        self.run_button = QPushButton("Run")
        self.run_button.setToolTip(f"Segment the image ({RUN_KEY})")
        self.cancel_button = QPushButton("Cancel")
        self.cancel_button.setToolTip(f"Stop the run; finished tiles stay ({CANCEL_KEY})")
        self.progress = QProgressBar()
        self.progress.setAccessibleName("Progress")
        self.slider_extent_label = WrappingLabel("Slices the model uses")
        self.slider_extent_label.setToolTip("<qt>Slices the model uses at this position (0-based).</qt>")
        self.pixel_size_label = WrappingLabel("Pixel size")
        self.resample = QCheckBox("Resample to the model's pixel size")
        self.resample.setToolTip(
            "<qt>Resample tile by tile; the result keeps the image's pixel size. Same as Advanced &gt; Resample.</qt>"
        )
        self.message = WrappingLabel("Message")
        self.error = WrappingLabel("Error")
        self.error.setStyleSheet(ALARM)
        self.result_panel = RunResultPanel()
        self.save = Form(OutputSettings, without=("overwrite", "axes"))
        self.browse = QPushButton("Choose folder …")
        self._keys = Keys(
            [
                Key("Control-Enter", "Run", self.run, RUN_KEY),
                Key("Control-.", "Cancel", self.controller.cancel, CANCEL_KEY),
            ]
        )
        self.keys = WrappingLabel("Shortcuts")
        self.keys.setText(self._keys.line())

    def _lay_out(self) -> None:
        buttons = QWidget()
        row = QHBoxLayout(buttons)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.run_button)
        row.addWidget(self.cancel_button)
        self.save.rows.addRow("", self.browse)
        self.advanced = Collapsible("Advanced", self.settings, self.save)
        hints = (self.region, self.slider_extent_label, self.pixel_size_label, self.resample)
        outcome = (self.progress, self.message, self.error, self.result_panel)
        self._fill(self.source, *hints, buttons, *outcome, self.advanced, self.keys)
        fields = [field.editor for form in (self.settings, self.save) for field in form.fields.values()]
        tabs = [
            self.source.image.combo,
            self.source.model.combo,
            self.region.combo,
            self.resample,
            self.run_button,
            self.cancel_button,
        ]
        tabs += [*self.result_panel.buttons.values(), self.advanced.heading, self.source.axes, *fields, self.browse]
        for before, after in pairwise(tabs):
            self.setTabOrder(before, after)

    def _wire(self) -> None:
        self.run_button.clicked.connect(self.run)
        self.cancel_button.clicked.connect(self.controller.cancel)
        self.browse.clicked.connect(self._on_browse)
        self.result_panel.kind_chosen.connect(self._on_show)
        self.source.changed.connect(self._sync)
        self.save.edited.connect(self.controller.clear_error)
        self.controller.changed.connect(self._on_changed)
        self.controller.slider_extents.changed.connect(self._sync_slider_extent)
        self.resample.clicked.connect(self._on_resample)

    def _connect(self) -> None:
        self.controller.connect()
        self.source.connect_viewer()
        self.region.connect_viewer()
        self._keys.bind(self._viewer)

    def _disconnect(self) -> None:
        self._keys.bind()
        self.source.disconnect_viewer()
        self.region.disconnect_viewer()
        self.controller.shutdown()

    def run(self) -> None:
        """Segment the chosen image with the chosen model."""
        source = self.source.value
        if not source.problem and source.request is not None:
            request = replace(source.request, output=self.save.value())
            self.controller.predict(source.layer, request, self.region.value())

    def _on_changed(self, state: ViewState) -> None:
        """Show a new state; during a run, 30 times a second, only its progress."""
        previous, self._state = self._state, state
        if state.is_step_after(previous):
            self._sync_progress(state)
        else:
            self._sync()

    def _sync(self, _: object = None) -> None:
        """Show the state and the source."""
        state, source = self.controller.state, self.source.value
        self._sync_slider_extent()
        self._sync_pixel_size()
        self.run_button.setEnabled(not source.problem)
        self.cancel_button.setEnabled(state.is_running)
        self._sync_progress(state)
        message = state.message if state.is_running else source.problem or state.message
        self.message.setText(message)
        self.message.setVisible(bool(message))
        self.error.setText(state.error)
        self.error.setVisible(bool(state.error))
        layers = {kind: self.controller.result_layer(source.layer, kind) for kind in self.result_panel.buttons}
        visible = {kind: layer.visible for kind, layer in layers.items() if layer is not None}
        self.result_panel.show_result(state.result, visible)

    def _sync_slider_extent(self) -> None:
        """Show the extent of the receptive field along the axes that have a slider."""
        source = self.source.value
        extents = self.controller.slider_extents.extents(source.layer, source.request, source.model)
        lines = [extent.line for extent in extents]
        if "\n".join(lines) != self.slider_extent_label.text():
            self.slider_extent_label.set_lines(*lines)
        self.slider_extent_label.setVisible(bool(lines))

    def _sync_pixel_size(self) -> None:
        """Warn of a pixel size other than the model's, and offer to resample."""
        is_resampled = self.settings.fields["resample"].value() != "off"
        warning = self.source.value.info.pixel_size_warning
        effect = "The image is resampled, tile by tile." if is_resampled else "Objects may be missed or split."
        self.pixel_size_label.setText(f"{warning} {effect}" if warning else "")
        self.resample.setChecked(is_resampled)
        for part in (self.pixel_size_label, self.resample):
            part.setVisible(bool(warning))

    def _sync_progress(self, state: ViewState) -> None:
        self.progress.setUpdatesEnabled(False)  # or Qt paints at once, three times
        self.progress.setVisible(state.is_running)
        self.progress.setRange(0, PROGRESS_STEPS if state.total else 0)
        self.progress.setValue(round(PROGRESS_STEPS * state.fraction))
        left = "" if state.seconds_left is None else f" · {duration(state.seconds_left)} left"
        self.progress.setFormat(f"{state.done} of {state.total} tiles{left}" if state.total else "")
        self.progress.setUpdatesEnabled(True)

    def _warm_up(self) -> None:
        if self.source.value.path is not None and self._is_connected:
            self.controller.warm_up(self.source.value.path)

    def _on_resample(self, is_on: bool) -> None:
        self.settings.fields["resample"].set_value("auto" if is_on else "off")

    def _on_show(self, kind: str) -> None:
        self.controller.show_only(self.source.value.layer, kind)

    def _on_browse(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, "Save results to", self.save.value().folder)
        if folder:
            self.save.fields["folder"].set_value(folder)
