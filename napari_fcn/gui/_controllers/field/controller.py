"""The controller of the Receptive field dock: the field of a pixel, the growth of the field, and the checks."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_fcn.errors import FcnError, in_dock
from napari_fcn.events import BorderTrustDone, Certified, CheckStep, EquivarianceDone
from napari_fcn.geometry import Region
from napari_fcn.gui._controllers import model_catalog
from napari_fcn.gui._controllers.base import DockController
from napari_fcn.gui._controllers.field.presenter import (
    check_inside,
    check_map,
    layer_growth,
    object_size_advice,
    pixel_field,
    receptive_box,
    with_influence,
)
from napari_fcn.gui._controllers.field.state import (
    CHECKS,
    AnalysisReady,
    CheckResult,
    FieldState,
    ImageView,
    InfluenceReady,
    ObjectsMeasured,
)
from napari_fcn.gui._controllers.field.tasks import ANALYSIS, OBJECTS, POINT, FieldTask, TaskQueue
from napari_fcn.gui._controllers.field.worker import FieldWorker, measure_objects
from napari_fcn.gui._layers import FieldLayers, Pointer, central_pixel, pixel_at, read_layer, slider_index
from napari_fcn.gui._threads import JobRunner
from napari_fcn.io.units import PIXEL, unit_symbol
from napari_fcn.system_errors import explained

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from napari.components import ViewerModel
    from napari.layers import Image, Labels
    from qtpy.QtCore import QObject

    from napari_fcn.gui._controllers.request import Request

OUTDATED_MESSAGE = (
    "The pixels of {name} were replaced: earlier results are marked or hidden. Point at a pixel, or run the checks, "
    "again."
)


class FieldController(DockController):
    """Shows the receptive field of a model on an image.

    One task runs at a time. A new pixel replaces the previous one; other tasks wait, the latest of each kind.

    Parameters
    ----------
    viewer : ViewerModel
        The viewer with the images; results become layers of it.
    runner : JobRunner, optional
        Runs tasks on a worker thread.
    parent : QObject, optional
        Qt parent.

    Attributes
    ----------
    pointer : Pointer
        Reports clicks and moves of the mouse.
    """

    state: FieldState

    def __init__(self, viewer: ViewerModel, runner: JobRunner | None = None, parent: QObject | None = None) -> None:
        super().__init__(viewer, FieldState(), parent)
        self.pointer = Pointer(self.viewer, self)
        self._worker = FieldWorker(self._loaded)
        self._analyses: dict[Path, Any] = {}
        self._model: model_catalog.ModelEntry | None = None
        self._tasks = TaskQueue()
        self._box_layers: tuple[FieldLayers, Region, tuple[int, ...]] | None = None
        self._runner = runner or JobRunner(self)
        self._runner.yielded.connect(self._on_yielded)
        self._runner.failed.connect(self._on_failed)
        self._runner.finished.connect(self._on_finished)

    @property
    def is_busy(self) -> bool:
        """Whether the worker thread is alive."""
        return self._runner.is_running

    def connect(self) -> None:
        """Watch the layers and the displayed axes."""
        self.viewer.layers.events.removed.connect(self._on_removed)
        for emitter in (self.viewer.dims.events.order, self.viewer.dims.events.ndisplay):
            emitter.connect(self._on_axes_changed)

    def shutdown(self) -> None:
        """Cancel tasks without waiting for their end, and disconnect from the viewer."""
        self.viewer.layers.events.removed.disconnect(self._on_removed)
        for emitter in (self.viewer.dims.events.order, self.viewer.dims.events.ndisplay):
            emitter.disconnect(self._on_axes_changed)
        self._unwatch()
        self.pointer.set_enabled(False)
        self._box_layers = None
        self._tasks.clear()
        self._runner.shutdown()
        self._set(replace(self.state, task="", message=""))

    def set_model(self, model: model_catalog.ModelEntry | None) -> None:
        """Show the receptive field of each layer of a model; analyse the model first if necessary."""
        self._model = model
        analysis = None if model is None else self._analyses.get(model.path)
        if model is None or analysis is None:
            self._set(replace(self.state, growth=None, field=None, advice=""))
        if model is not None and analysis is not None:
            self._show_growth()
        elif model is not None:
            self._submit(FieldTask(ANALYSIS, partial(self._worker.analyze, model.path)))

    def image_view(self, layer: Image, request: Request) -> ImageView:
        """Return a layer as a model reads it.

        Raises
        ------
        ImageError
            If the model cannot run on the layer.
        """
        image = read_layer(layer)
        bound = image.bind(model_catalog.read_entry(request.model).info.spec, request.axes)
        return ImageView(image, bound, request.model, request.settings)

    def measure_at_position(
        self, layer: Image, request: Request, position: Sequence[float], label: int | None = None
    ) -> None:
        """Show the receptive field of the pixel at a position in world coordinates."""
        if self.viewer.dims.ndisplay == 3:
            self._set(replace(self.state, error="A click in the 3-D view selects no pixel: switch to the 2-D view."))
            return
        view = self._try_image_view(layer, request)
        if view is not None:
            self.measure_at(layer, view, pixel_at(layer, position, self._channel(view)), label)

    def measure_at_index(self, layer: Image, request: Request, index: Sequence[int], label: int | None = None) -> None:
        """Show the receptive field of a pixel; row and column alone mean the displayed plane."""
        view = self._try_image_view(layer, request)
        if view is None:
            return
        missing = len(view.shape) - len(index)
        if missing > 0 and len(index) == len(view.axes.space):
            pixel = list(central_pixel(self.viewer, layer, self._channel(view)))
            for axis, i in zip(view.axes.space_positions, index, strict=True):
                pixel[axis] = i
            index = pixel
        self.measure_at(layer, view, tuple(index), label)

    def show_error(self, error: str) -> None:
        """Show an error."""
        self._set(replace(self.state, error=error))

    def unit_of(self, layer: Image) -> tuple[float, str]:
        """Return the size of a pixel along the finest of the last two axes, and its unit; 1 and empty if unknown."""
        step, unit = min((abs(float(layer.scale[axis])), str(layer.units[axis])) for axis in (-2, -1)[-layer.ndim :])
        return (1.0, "") if unit == PIXEL or not step else (step, unit_symbol(unit))

    def on_rest(self, layer: Image, request: Request, position: Sequence[float], label: int | None = None) -> None:
        """Show the receptive field of the pixel on which the mouse rests, if there is one."""
        if self._pixel_under_mouse(layer, request, position) is not None and self.state.task not in CHECKS:
            self.measure_at_position(layer, request, position, label)

    def on_hover(self, layer: Image, request: Request, position: Sequence[float]) -> None:
        """Move the box to the pixel under the mouse, if there is one and the model is analysed."""
        target = self._pixel_under_mouse(layer, request, position)
        if target is None or request.model not in self._analyses:
            return
        view, index = target
        pixel = tuple(zip(view.axes.image, index, strict=True))
        is_finite = not self._analyses[view.model].unbounded
        if is_finite and (self.state.field is None or self.state.field.pixel != pixel):
            self._field_layers(layer, view).hide_heat()
            self._show_box(layer, view, index)

    def _pixel_under_mouse(
        self, layer: Image, request: Request, position: Sequence[float]
    ) -> tuple[ImageView, tuple[int, ...]] | None:
        """Return the pixel under the mouse; None if there is none."""
        view = None if self.viewer.dims.ndisplay == 3 else self._try_image_view(layer, request)
        if view is None:
            return None
        index = pixel_at(layer, position, self._channel(view))
        return (view, index) if all(0 <= i < n for i, n in zip(index, view.shape, strict=True)) else None

    def measure_at(self, layer: Image, view: ImageView, index: tuple[int, ...], label: int | None) -> None:
        """Show the box of a pixel at once if the model is analysed, and submit the measurement of its influence."""
        try:
            with explained():
                check_inside(view, index)
                if view.model in self._analyses:
                    self._show_box(layer, view, index)
        except FcnError as error:
            self._set(replace(self.state, error=in_dock(error), field=None))
            return
        self._set(replace(self.state, error="", message=""))
        self._submit(FieldTask(POINT, partial(self._worker.measure_at, view, index, label), layer, view, index))

    def run_check(self, kind: str, layer: Image, request: Request) -> None:
        """Start a check of the displayed plane."""
        view = self._try_image_view(layer, request)
        if view is None:
            return
        pixel = central_pixel(self.viewer, layer, self._channel(view))
        spans = zip(view.axes.image, pixel, view.shape, strict=True)
        pairs = [(i, i + 1) if name in view.axes.loop else (0, n) for name, i, n in spans]
        region = Region(tuple(a for a, _ in pairs), tuple(b for _, b in pairs))
        self._set(replace(self.state, error="", message=""))
        self._submit(FieldTask(kind, partial(self._worker.run_check, kind, view, region), layer, view))

    def label_layers(self) -> list[Labels]:
        """Return the labels layers, topmost first."""
        from napari.layers import Labels

        return [layer for layer in reversed(self.viewer.layers) if isinstance(layer, Labels)]

    def measure_objects(self, layer: Labels, model: model_catalog.ModelEntry) -> None:
        """Measure the objects in the displayed plane of a labels layer."""
        image, ndim = np.asarray(layer.data[0] if layer.multiscale else layer.data), model.info.spec.ndim
        ndim -= model.info.spec.time is not None
        if image.ndim < ndim:
            self._set(replace(self.state, error=f"{layer.name} is {image.ndim}-D, the model {ndim}-D."))
            return
        plane = image[slider_index(self.viewer, layer)[: image.ndim - ndim]]
        steps = [abs(float(step)) for step in layer.scale[-ndim:]]
        self._submit(FieldTask(OBJECTS, partial(measure_objects, plane.copy(), steps), layer))

    def set_object_diameter(self, pixels: float) -> None:
        """Set the diameter of the objects, in pixels of the finest axis."""
        self._set(self._with_advice(replace(self.state, objects=pixels)))

    def cancel(self) -> None:
        """Cancel the current and the waiting tasks; results stay."""
        if self._tasks.current is not None:
            self._stop("Cancelled.")

    def _try_image_view(self, layer: Image, request: Request) -> ImageView | None:
        try:
            with explained():
                return self.image_view(layer, request)
        except FcnError as error:
            self._set(replace(self.state, error=in_dock(error)))
            return None

    @staticmethod
    def _channel(view: ImageView) -> int | None:
        return None if view.image.rgb else view.axes.channel_position

    def _field_layers(self, layer: Image, view: ImageView) -> FieldLayers:
        return FieldLayers(self.viewer, layer, self._channel(view))

    def _show_box(self, layer: Image, view: ImageView, index: tuple[int, ...]) -> None:
        analysis = self._analyses[view.model]
        box = receptive_box(analysis, view, index)
        layers = self._field_layers(layer, view)
        layers.show_box(box, index)
        self._box_layers = (layers, box, index)
        name = model_catalog.read_entry(view.model).name
        self._set(self._with_advice(replace(self.state, field=pixel_field(analysis, view, index, name))))

    def _show_growth(self) -> None:
        assert self._model is not None
        growth = layer_growth(self._analyses[self._model.path], self._model)
        self._set(self._with_advice(replace(self.state, growth=growth)))

    @staticmethod
    def _with_advice(state: FieldState) -> FieldState:
        return replace(state, advice=object_size_advice(state.objects, state.growth, state.field))

    def _submit(self, task: FieldTask) -> None:
        if self._tasks.can_start(task):
            self._start(task)

    def _start(self, task: FieldTask) -> None:
        if task.view is not None:
            self._watch(task.source)  # type: ignore[arg-type]  # a task with a view has an image layer
        self._tasks.start(task)
        self._set(replace(self.state.without_task(), task="" if task.kind == ANALYSIS else task.kind))
        self._runner.start(task.make)

    def _start_next(self) -> None:
        """Start the task that has waited longest, if there is one."""
        task = self._tasks.finish()
        self._set(self.state.without_task())
        if task is not None:
            self._start(task)
        elif self._model is not None and self._model.path not in self._analyses and not self.state.error:
            self.set_model(self._model)

    def _stop(self, message: str) -> None:
        self._runner.cancel()
        self._tasks.clear()
        self._set(replace(self.state.without_task(), message=message))

    def _on_yielded(self, events: Sequence[Any]) -> None:
        for event in events:
            task = self._tasks.current
            if task is None:
                return
            if isinstance(event, AnalysisReady):
                self._on_analysis(task, event)
            elif isinstance(event, InfluenceReady):
                self._on_influence(task, event)
            elif isinstance(event, ObjectsMeasured):
                self._on_measured(event)
            elif isinstance(event, CheckStep):
                left = self._tasks.seconds / max(1, event.done) * (event.total - event.done)
                self._set(replace(self.state, done=event.done, total=event.total, seconds_left=left))
            elif isinstance(event, Certified | EquivarianceDone | BorderTrustDone):
                self._on_checked(task, event)

    def _on_analysis(self, task: FieldTask, ready: AnalysisReady) -> None:
        is_new = ready.model not in self._analyses
        self._analyses[ready.model] = ready.analysis
        if is_new and self._model is not None and self._model.path == ready.model:
            self._show_growth()
        if is_new and task.kind == POINT and task.view is not None and not ready.analysis.unbounded:
            self._show_box(task.source, task.view, task.index)  # type: ignore[arg-type]  # an image layer in tasks of this kind

    def _on_influence(self, task: FieldTask, influence: InfluenceReady) -> None:
        assert task.view is not None
        view, done = task.view, influence.done
        model = model_catalog.read_entry(view.model)
        field = pixel_field(self._analyses[view.model], view, task.index, model.name)
        info = model.info
        classes = info.original if view.settings.head == "original" and info.original else info.classes
        field = with_influence(field, view, influence, classes[done.label].name)
        layers = self._field_layers(task.source, view)  # type: ignore[arg-type]  # an image layer in tasks of this kind
        if self._box_layers is not None and self._box_layers[2] != task.index:
            return  # the mouse has moved to another pixel
        layers.show_heat(done.region, done.heat)
        self._set(self._with_advice(replace(self.state, field=field)))

    def _on_measured(self, event: ObjectsMeasured) -> None:
        if event.pixels <= 0:
            self._set(replace(self.state, error="The displayed plane of these labels has no objects."))
        else:
            self.set_object_diameter(event.pixels)

    def _on_checked(self, task: FieldTask, event: Any) -> None:
        assert task.view is not None
        values, top, sentence = check_map(event)
        self._field_layers(task.source, task.view).show_map(task.kind, event.region, values, top)  # type: ignore[arg-type]
        name = model_catalog.read_entry(task.view.model).name
        result = CheckResult(task.kind, sentence, task.view.image.name, name, self._tasks.seconds)
        self._set(self.state.with_check(result))

    def _on_finished(self) -> None:
        self._start_next()

    def _on_failed(self, error: Exception) -> None:
        self._set(replace(self.state, error=self._message(error)))
        self._start_next()

    def _on_removed(self, event: Any) -> None:
        layer, name = event.value, str(event.value.name)
        if self._box_layers is not None and layer not in self.viewer.layers:
            self._box_layers = None
        if self._tasks.discard(layer):
            self._stop(f"Stopped: the layer {name} was removed.")
        if self._tasks.current is None:
            self._worker.clear()

    def _on_replaced(self, layer: Image) -> None:
        """Cancel tasks on the earlier pixels of a layer, hide their overlays, and mark their results as outdated."""
        is_running = self._tasks.discard(layer)
        if is_running:
            self._runner.cancel()
            self._tasks.current = None
        self._worker.clear()
        if self._box_layers is not None and self._box_layers[0].source is layer:
            self._box_layers = None
        FieldLayers(self.viewer, layer, None).hide()
        previous = self.state
        self._set(previous.mark_outdated(layer.name))
        is_affected = is_running or self.state != previous
        if is_running:
            self._start_next()
        if is_affected:
            self._set(replace(self.state, message=OUTDATED_MESSAGE.format(name=layer.name)))

    def _on_axes_changed(self, _: object = None) -> None:
        """Draw the box in the displayed plane."""
        if self._box_layers is not None:
            layers, box, index = self._box_layers
            layers.show_box(box, index)
