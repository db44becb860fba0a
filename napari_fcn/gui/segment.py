"""The dock in which an image is segmented."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from qtpy.QtCore import QTimer
from qtpy.QtWidgets import (
    QCheckBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLineEdit,
    QProgressBar,
    QPushButton,
    QWidget,
)

from napari_fcn.gui._controllers import ImageInfo, Request, SaveSettings, SegmentController, ViewState
from napari_fcn.gui._widgets.dock import Dock
from napari_fcn.gui._widgets.form import ALARM, Collapsible, Form, WrappingLabel
from napari_fcn.gui._widgets.keys import Key, Keys
from napari_fcn.gui._widgets.pickers import ImagePicker, ModelPicker
from napari_fcn.gui._widgets.run_result import RunResultPanel, duration
from napari_fcn.settings import DEVICES, PredictSettings
from napari_fcn.typed import read_axes

if TYPE_CHECKING:
    import napari

RUN_KEY, CANCEL_KEY = "Ctrl+Return", "Ctrl+."  # free in napari
WARM_UP_AFTER = 200  # milliseconds after the dock is there
NO_IMAGE = "Open or select an image to segment."
NO_MODEL = "Choose a model: open a model file."


class SegmentWidget(Dock):
    """Segment an image layer with a fully convolutional network.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Where the images are and the results go.
    """

    def __init__(self, viewer: napari.viewer.Viewer) -> None:  # napari looks for this very annotation
        super().__init__()
        self._facts, self._state = ImageInfo(), ViewState()
        self.controller = SegmentController(viewer, parent=self)
        self._viewer = self.controller.viewer
        self._build()
        self._lay_out()
        self._wire()
        self._join()
        QTimer.singleShot(WARM_UP_AFTER, self._warm_up)

    def _build(self) -> None:
        self.image = ImagePicker(self._viewer, self.controller)
        self.image.line.setToolTip("<qt>Axes and channel can be corrected under Advanced.</qt>")
        self.model = ModelPicker(self.controller)
        self.run_button = QPushButton("Run")
        self.run_button.setToolTip(f"Segment the image ({RUN_KEY})")
        self.cancel_button = QPushButton("Cancel")
        self.cancel_button.setToolTip(f"Stop; what is finished stays ({CANCEL_KEY})")
        self.progress = QProgressBar()
        self.progress.setAccessibleName("Progress")
        self.sees = WrappingLabel("What the network sees")
        self.sees.setToolTip("<qt>Counted from 0, as the slider of napari does. The answer here depends on these.</qt>")
        self.apart = WrappingLabel("Pixel size")
        self.resample = QCheckBox("Resample to the model's pixel size")
        self.resample.setToolTip(
            "<qt>Tile by tile; the answer has the pixels of the image. As Resample under Advanced.</qt>"
        )
        self.message = WrappingLabel("Message")
        self.error = WrappingLabel("Error")
        self.error.setStyleSheet(ALARM)
        self.result_panel = RunResultPanel()
        self.settings = Form(PredictSettings)
        self.settings.fields["channel"].set_choices([("auto", None)])
        self.settings.fields["device"].set_choices([(name, name) for name in DEVICES], free=True)
        self.save = Form(SaveSettings)
        self.axes = QLineEdit()
        self.axes.setAccessibleName("Axes")
        self.axes.setToolTip(
            "<qt>One letter for each axis of the image, such as tzyx or cyx: t time, c channels, z y x space. "
            "Empty: as the layer names them, else guessed. Write what applies if the guess in grey is wrong.</qt>"
        )
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
        top, buttons = QWidget(), QWidget()
        rows = QFormLayout(top)
        rows.setContentsMargins(0, 0, 0, 0)
        rows.setFieldGrowthPolicy(QFormLayout.AllNonFixedFieldsGrow)
        rows.addRow("Image", self.image)
        rows.addRow("Model", self.model)
        row = QHBoxLayout(buttons)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.run_button)
        row.addWidget(self.cancel_button)
        self.settings.rows.insertRow(0, "Axes", self.axes)
        self.save.rows.addRow("", self.browse)
        self.advanced = Collapsible("Advanced", self.settings, self.save)
        hints = (self.sees, self.apart, self.resample)
        self._fill(
            top, *hints, buttons, self.progress, self.message, self.error, self.result_panel, self.advanced, self.keys
        )
        fields = [field.editor for form in (self.settings, self.save) for field in form.fields.values()]
        tabs = [self.image.combo, self.model.combo, self.resample, self.run_button, self.cancel_button]
        tabs += [*self.result_panel.buttons.values(), self.advanced.heading, self.axes, *fields, self.browse]
        for before, after in pairwise(tabs):
            self.setTabOrder(before, after)

    def _wire(self) -> None:
        self.run_button.clicked.connect(self.run)
        self.cancel_button.clicked.connect(self.controller.cancel)
        self.browse.clicked.connect(self._on_browse)
        self.result_panel.asked.connect(self._on_show)
        self.image.edited.connect(self._on_edited)
        for edited in (self.axes.textChanged, self.model.edited, self.settings.edited, self.save.edited):
            edited.connect(self._on_user_edited)
        self.controller.changed.connect(self._on_changed)
        self.controller.slider_extents.changed.connect(self._sync_seen)
        self.resample.clicked.connect(self._on_resample)

    def _connect(self) -> None:
        self.controller.connect()
        self.image.connect()
        self._keys.bind(self._viewer)

    def _disconnect(self) -> None:
        self._keys.bind()
        self.image.disconnect_layers()
        self.controller.shutdown()

    def run(self) -> None:
        """Segment the chosen image with the chosen model."""
        request = self._request()
        if self.image.layer is not None and request is not None and not self._reason():
            self.controller.predict(self.image.layer, request)

    def _request(self) -> Request | None:
        """Return what the user asks for; None if something is missing or mistyped."""
        if self.model.model is None:
            return None
        try:
            settings, save = self.settings.value(), self.save.value()
        except ValueError:
            return None
        return Request(self.model.model.path, settings, self._typed_axes(), save)

    def _typed_axes(self) -> tuple[str, ...]:
        return read_axes(self.axes.text().lower())

    def _reason(self) -> str:
        """Return why Run is not possible; empty if it is."""
        if self.image.layer is None:
            return NO_IMAGE
        if self.model.model is None:
            return NO_MODEL
        try:
            self.settings.value()
        except ValueError as error:
            return str(error)
        return self._facts.problem

    def _on_user_edited(self, _: object = None) -> None:
        self.controller.clear_error()
        self._on_edited()

    def _on_edited(self) -> None:
        layer = self.image.layer
        known = self._facts.channels
        self._facts = (
            ImageInfo() if layer is None else self.controller.describe_image(layer, self._request(), self.model.model)
        )
        if self._facts.channels != known:
            choices = [("auto", None), *((name, index) for index, name in enumerate(self._facts.channels))]
            self.settings.fields["channel"].set_choices(choices)
        self._sync()

    def _on_changed(self, state: ViewState) -> None:
        """Show a new state; 30 times a second while a run goes on, so no more is done than needed."""
        earlier, self._state = self._state, state
        if state.is_step_after(earlier):
            self._sync_progress(state)
        else:
            self._sync()

    def _sync(self) -> None:
        """Show the state of everything."""
        state, reason = self.controller.state, self._reason()
        self.image.line.setText(self._facts.summary)
        self.image.line.setVisible(bool(self._facts.summary))
        self.axes.setPlaceholderText(self._facts.axes)
        self.settings.fields["channel"].setEnabled(bool(self._facts.channels))
        self.settings.fields["colour"].setEnabled(self._facts.rgb)
        self._sync_seen()
        self._sync_apart()
        self.run_button.setEnabled(not reason)
        self.cancel_button.setEnabled(state.is_running)
        self._sync_progress(state)
        message = state.message if state.is_running else reason or state.message
        self.message.setText(message)
        self.message.setVisible(bool(message))
        self.error.setText(state.error)
        self.error.setVisible(bool(state.error))
        kinds = {kind: self.controller.result_of(self.image.layer, kind) for kind in self.result_panel.buttons}
        self.result_panel.show_result(
            state.result, {kind: layer.visible for kind, layer in kinds.items() if layer is not None}
        )

    def _sync_seen(self) -> None:
        """Show what the network sees along the axes that have a slider."""
        seen = self.controller.slider_extents.extents(self.image.layer, self._request(), self.model.model)
        lines = [stretch.line for stretch in seen]
        if "\n".join(lines) != self.sees.text():
            self.sees.set_lines(*lines)
        self.sees.setVisible(bool(lines))

    def _sync_apart(self) -> None:
        """Show whether the pixel size of the image is another than the model knows, and offer to change it."""
        resampled = self.settings.fields["resample"].value() != "off"
        then = "The image is resampled, tile by tile." if resampled else "Objects may be missed or cut up."
        self.apart.setText(f"{self._facts.pixel_size_warning} {then}" if self._facts.pixel_size_warning else "")
        self.resample.setChecked(resampled)
        for part in (self.apart, self.resample):
            part.setVisible(bool(self._facts.pixel_size_warning))

    def _sync_progress(self, state: ViewState) -> None:
        self.progress.setUpdatesEnabled(False)  # or Qt paints at once, three times
        self.progress.setVisible(state.is_running)
        self.progress.setRange(0, state.total)
        self.progress.setValue(state.done)
        left = "" if state.seconds_left is None else f" · {duration(state.seconds_left)} left"
        self.progress.setFormat(f"{state.done} of {state.total} tiles{left}" if state.total else "")
        self.progress.setUpdatesEnabled(True)

    def _warm_up(self) -> None:
        if self.model.model is not None and self._is_connected:
            self.controller.warm_up(self.model.model.path)

    def _on_resample(self, is_on: bool) -> None:
        self.settings.fields["resample"].set_value("auto" if is_on else "off")

    def _on_show(self, kind: str) -> None:
        self.controller.show(self.image.layer, kind)

    def _on_browse(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, "Save results to", self.save.value().folder)
        if folder:
            self.save.fields["folder"].set_value(folder)
