"""The Receptive field dock: which pixels of the image a prediction depends on."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QHBoxLayout, QProgressBar, QPushButton, QWidget

from napari_fcn.gui._controllers import FieldController, FieldState, Request, duration
from napari_fcn.gui._field_panels.growth import GrowthPlot, LayerTable
from napari_fcn.gui._field_panels.panels import ChecksPanel, ObjectsPanel, PixelPanel
from napari_fcn.gui._field_panels.text import field_text
from napari_fcn.gui._widgets.dock import Dock
from napari_fcn.gui._widgets.form import ALARM, Collapsible, Form, WrappingLabel
from napari_fcn.gui._widgets.keys import Key, Keys
from napari_fcn.gui._widgets.source_panel import NO_MODEL, Source, SourcePanel
from napari_fcn.settings import PredictSettings

if TYPE_CHECKING:
    import napari
    from napari.layers import Image

POINT_KEY, CANCEL_KEY = "Shift+F", "Ctrl+."  # free in napari
WARM_UP_AFTER = 200  # milliseconds after the dock opens
FRAME, REST = 33, 250  # milliseconds between two updates of the box, and until the mouse counts as resting


class FieldWidget(Dock):
    """Show the theoretical and effective receptive field of a pixel; check tiling, shifts and padding.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        The viewer with the images; results become layers of it.
    """

    def __init__(self, viewer: napari.viewer.Viewer) -> None:  # napari needs this annotation
        super().__init__()
        self._model: Any = None
        self._position: Any = None
        self.controller = FieldController(viewer, parent=self)
        self._viewer = self.controller.viewer
        self._build()
        self._lay_out()
        self._wire()
        self._join()
        QTimer.singleShot(WARM_UP_AFTER, self._warm_up)

    def _build(self) -> None:
        self.settings = Form(PredictSettings, without=("memory",))
        self.source = SourcePanel(self._viewer, self.controller, self.settings, purpose="to analyse")
        self.pixel = PixelPanel(POINT_KEY)
        self.cancel_button = QPushButton("Cancel")
        self.cancel_button.setToolTip(f"Stop the check ({CANCEL_KEY})")
        self.progress = QProgressBar()
        self.progress.setAccessibleName("Progress")
        self.message, self.error, self.field_label = (
            WrappingLabel("Message"),
            WrappingLabel("Error"),
            WrappingLabel("Receptive field of the pixel"),
        )
        self.error.setStyleSheet(ALARM)
        self.growth, self.table = GrowthPlot(), LayerTable()
        self.objects, self.checks = ObjectsPanel(), ChecksPanel()
        self._keys = Keys(
            [
                Key("Shift-F", "Point", self.pixel.toggle.toggle, POINT_KEY),
                Key("Control-.", "Cancel", self.controller.cancel, CANCEL_KEY),
            ]
        )
        self.keys = WrappingLabel("Shortcuts")
        self.keys.setText(self._keys.line())
        self._frame, self._rest = self._timer(FRAME), self._timer(REST)

    def _timer(self, milliseconds: int) -> QTimer:
        timer = QTimer(self)
        timer.setSingleShot(True)
        timer.setInterval(milliseconds)
        return timer

    def _lay_out(self) -> None:
        self.running = QWidget()
        row = QHBoxLayout(self.running)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.progress, 1)
        row.addWidget(self.cancel_button)
        self.layers = Collapsible("Layers of the model", self.table)
        self.advanced = Collapsible("Advanced", self.settings)
        pixel = (self.pixel, self.error, self.message, self.field_label)
        model = (self.growth, self.layers, self.objects, self.checks)
        self._fill(self.source, *pixel, *model, self.running, self.advanced, self.keys)
        tabs = [self.source.image.combo, self.source.model.combo]
        tabs += [self.pixel.toggle, self.pixel.follow, self.pixel.pixel]
        tabs += [self.pixel.label, self.layers.heading, self.table, self.objects.diameter, self.objects.unit]
        tabs += [self.objects.layer, self.objects.button, *self.checks.buttons.values(), self.cancel_button]
        tabs += [self.advanced.heading, self.source.axes, *(field.editor for field in self.settings.fields.values())]
        for before, after in pairwise(tabs):
            self.setTabOrder(before, after)

    def _wire(self) -> None:
        self.cancel_button.clicked.connect(self.controller.cancel)
        self.source.changed.connect(self._on_source)
        self.pixel.toggle.toggled.connect(self._on_toggled)
        self.pixel.entered.connect(self._on_typed_pixel)
        self.pixel.refused.connect(self.controller.show_error)
        self.pixel.label.activated.connect(self._on_class)
        self.objects.typed.connect(self._on_typed_objects)
        self.objects.measured.connect(self._on_measure)
        self.checks.requested.connect(self._on_check)
        self.controller.pointer.clicked.connect(self._on_clicked)
        self.controller.pointer.moved.connect(self._on_moved)
        self.controller.changed.connect(self._sync)
        self._frame.timeout.connect(self._on_frame)
        self._rest.timeout.connect(self._on_rest)

    def _connect(self) -> None:
        self.controller.connect()
        self.source.connect_viewer()
        self._keys.bind(self._viewer)

    def _disconnect(self) -> None:
        self._frame.stop()
        self._rest.stop()
        self.pixel.toggle.setChecked(False)
        self._keys.bind()
        self.source.disconnect_viewer()
        self.controller.shutdown()

    def _ready(self) -> tuple[Image, Request] | None:
        """Return image and request; None, with the reason shown as an error, if one is missing."""
        source = self.source.value
        if source.layer is None or source.request is None or source.problem:
            self.controller.show_error(source.problem)
            return None
        return source.layer, source.request

    def _on_source(self, source: Source) -> None:
        layer, model = source.layer, source.model
        if model is not self._model and self._is_warm:
            self._choose_model()
        self.pixel.set_choices([] if model is None else [label.name for label in model.info.classes])
        self.objects.set_layers(self.controller.label_layers())
        self.objects.set_unit("" if layer is None else self.controller.unit_of(layer)[1])
        self._sync()

    def _sync(self, _: object = None) -> None:
        """Show the state and the source."""
        state, problem = self.controller.state, self.source.value.problem
        self._sync_progress(state)
        hint = "" if state.field else "Click on the image." if self.pixel.toggle.isChecked() else ""
        message = problem or state.message or hint
        self.message.setText(message)
        self.message.setVisible(bool(message))
        self.error.setText(state.error)
        self.error.setVisible(bool(state.error) and state.error != problem)
        self.field_label.set_markup("" if state.field is None else field_text(state.field))
        self.field_label.setVisible(state.field is not None)
        if state.field is not None:
            self.pixel.show_pixel([i for _, i in state.field.pixel])
        self.growth.show_growth(state.growth)
        self.table.show_growth(state.growth)
        self.layers.setVisible(state.growth is not None)
        self.objects.show_objects(state.objects * self._per_pixel(), state.advice)
        self.checks.show_state(state, not problem)

    def _sync_progress(self, state: FieldState) -> None:
        self.running.setVisible(state.is_checking)
        self.progress.setRange(0, state.total)
        self.progress.setValue(state.done)
        left = "" if state.seconds_left is None else f" · {duration(state.seconds_left)} left"
        self.progress.setFormat(f"{state.done} of {state.total}{left}" if state.total else "")

    def _per_pixel(self) -> float:
        """Return the size of a pixel along the finest axis, in the chosen unit."""
        layer = self.source.value.layer
        if layer is None or self.objects.unit.currentText() == "px":
            return 1.0
        return self.controller.unit_of(layer)[0]

    @property
    def _is_warm(self) -> bool:
        return self._model is not None

    def _warm_up(self) -> None:
        if self._is_connected:
            self._choose_model()

    def _choose_model(self) -> None:
        self._model = self.source.value.model
        self.controller.set_model(self._model)

    def _on_toggled(self, is_on: bool) -> None:
        self.controller.pointer.set_enabled(is_on)
        layer = self.source.value.layer
        if is_on and layer is not None:  # or the click would paint on another layer
            self.controller.select(layer)
        self._sync()

    def _on_clicked(self, position: Any) -> None:
        self._rest.stop()
        ready = self._ready()
        if ready:
            self.controller.measure_at_position(*ready, position, self.pixel.class_index)

    def _on_moved(self, position: Any) -> None:
        if self.pixel.follow.isChecked() and not self.source.value.problem:
            self._position = position
            self._rest.start()
            if not self._frame.isActive():
                self._frame.start()

    def _on_frame(self) -> None:
        source = self.source.value
        if source.layer is not None and source.request is not None:
            self.controller.on_hover(source.layer, source.request, self._position)

    def _on_rest(self) -> None:
        source = self.source.value
        if source.layer is not None and source.request is not None:
            self.controller.on_rest(source.layer, source.request, self._position, self.pixel.class_index)

    def _on_typed_pixel(self, index: tuple[int, ...]) -> None:
        ready = self._ready()
        if ready:
            self.controller.measure_at_index(*ready, index, self.pixel.class_index)

    def _on_class(self, _: int) -> None:
        field = self.controller.state.field
        if field is not None:
            self._on_typed_pixel(tuple(i for _, i in field.pixel))

    def _on_typed_objects(self, diameter: float, _: str) -> None:
        self.controller.set_object_diameter(diameter / self._per_pixel())

    def _on_measure(self, labels: Any) -> None:
        model = self.source.value.model
        if model is None:
            self.controller.show_error(NO_MODEL)
        else:
            self.controller.measure_objects(labels, model)

    def _on_check(self, kind: str) -> None:
        ready = self._ready()
        if ready:
            self.controller.run_check(kind, *ready)
