"""The journey of looking: from a click on a pixel to its receptive field, and the checks."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_fcn.errors import FcnError, in_dock
from napari_fcn.events import BorderTrustDone, Certified, CheckStep, EquivarianceDone
from napari_fcn.geometry import Region
from napari_fcn.gui._controllers import image_info, model_catalog
from napari_fcn.gui._controllers.base import DockController
from napari_fcn.gui._controllers.field.presenter import (
    certificate_text,
    check_inside,
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
from napari_fcn.gui._controllers.field.worker import FieldWorker, measure
from napari_fcn.gui._layers import FieldLayers, Pointer, pixel_at, plane_of, read_layer, shown_index
from napari_fcn.gui._threads import JobRunner
from napari_fcn.io.units import PIXEL
from napari_fcn.system_errors import explained

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from napari.components import ViewerModel
    from napari.layers import Image, Labels, Layer
    from qtpy.QtCore import QObject

    from napari_fcn.gui._controllers.request import Request

OUTDATED = (
    "The pixels of {name} were replaced: what was found in the earlier ones is marked or hidden. Point at a pixel, or "
    "check, again."
)
LEAST_CHANGE = 0.05  # of a probability: maps of changes that small stay dark


@dataclass(frozen=True, slots=True, eq=False)
class FieldTask:
    """Something for the worker."""

    kind: str
    make: Callable[[], Iterator[Any]]
    source: Layer | None = None
    view: ImageView | None = None
    index: tuple[int, ...] = ()


class FieldController(DockController):
    """Shows what a model sees of an image.

    One thing is done at a time. A new pixel replaces the one that is looked at; what differs waits for its turn, and
    of each kind only the latest.

    Parameters
    ----------
    viewer : ViewerModel
        Where images are and results go.
    runner : JobRunner, optional
        What runs the engine.
    parent : QObject, optional
        Qt parent.

    Attributes
    ----------
    pointer : Pointer
        Tells where the user points.
    """

    state: FieldState

    def __init__(self, viewer: ViewerModel, runner: JobRunner | None = None, parent: QObject | None = None) -> None:
        super().__init__(viewer, FieldState(), parent)
        self.pointer = Pointer(self.viewer, self)
        self._worker = FieldWorker(self._loaded)
        self._anatomies: dict[Path, Any] = {}
        self._model: model_catalog.ModelEntry | None = None
        self._task: FieldTask | None = None
        self._waiting: dict[str, FieldTask] = {}
        self._started = 0.0
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
        """Watch the layers, and how they are shown."""
        self.viewer.layers.events.removed.connect(self._on_removed)
        for emitter in (self.viewer.dims.events.order, self.viewer.dims.events.ndisplay):
            emitter.connect(self._on_turned)

    def shutdown(self) -> None:
        """End what runs, without waiting for it, and let go of the viewer."""
        self.viewer.layers.events.removed.disconnect(self._on_removed)
        for emitter in (self.viewer.dims.events.order, self.viewer.dims.events.ndisplay):
            emitter.disconnect(self._on_turned)
        self._unwatch()
        self.pointer.set_on(False)
        self._task, self._box_layers = None, None
        self._waiting.clear()
        self._runner.shutdown()
        self._set(replace(self.state, task="", message=""))

    def choose(self, model: model_catalog.ModelEntry | None) -> None:
        """Show how the field of a model grows; its anatomy is computed if it is not known yet."""
        self._model = model
        known = None if model is None else self._anatomies.get(model.path)
        if model is None or known is None:
            self._set(replace(self.state, growth=None, field=None, advice=""))
        if model is not None and known is not None:
            self._show_growth()
        elif model is not None:
            self._submit(FieldTask("know", partial(self._worker.analyze, model.path)))

    def view(self, layer: Image, request: Request) -> ImageView:
        """Return a layer under a model.

        Raises
        ------
        ImageError
            If they do not fit each other.
        """
        image = read_layer(layer)
        bound = image.bind(model_catalog.entry(request.model).info.spec, request.axes)
        return ImageView(image, bound, request.model, request.settings)

    def point(self, layer: Image, request: Request, place: Sequence[float], label: int | None = None) -> None:
        """Show what the pixel at a place in the world sees."""
        if self.viewer.dims.ndisplay == 3:
            self._set(replace(self.state, error="In the 3-D view a click means no pixel: switch to the 2-D view."))
            return
        view = self._viewed(layer, request)
        if view is not None:
            self.measure_at(layer, view, pixel_at(layer, place, self._channel(view)), label)

    def point_at_index(self, layer: Image, request: Request, index: Sequence[int], label: int | None = None) -> None:
        """Show what a pixel sees; where the image has more axes than numbers are given, in the plane that is shown."""
        view = self._viewed(layer, request)
        if view is None:
            return
        missing = len(view.shape) - len(index)
        if missing > 0 and len(index) == len(view.axes.space):
            shown = list(plane_of(self.viewer, layer, self._channel(view)))
            for position, i in zip(view.axes.space_positions, index, strict=True):
                shown[position] = i
            index = shown
        self.measure_at(layer, view, tuple(index), label)

    def show_error(self, sentence: str) -> None:
        """Show what went wrong."""
        self._set(replace(self.state, error=sentence))

    def unit_of(self, layer: Image) -> tuple[float, str]:
        """Return the size of a pixel along the finest of the last two axes, and its unit; 1 and empty if unknown."""
        step, unit = min((abs(float(layer.scale[axis])), str(layer.units[axis])) for axis in (-2, -1)[-layer.ndim :])
        return (1.0, "") if unit == PIXEL or not step else (step, image_info.symbol(unit))

    def on_rest(self, layer: Image, request: Request, place: Sequence[float], label: int | None = None) -> None:
        """Show what the pixel sees on which the mouse has come to rest, if there is one."""
        if self._hovered(layer, request, place) is not None and self.state.task not in CHECKS:
            self.point(layer, request, place, label)

    def on_hover(self, layer: Image, request: Request, place: Sequence[float]) -> None:
        """Move the box to the pixel under the mouse, if there is one and the model is known."""
        found = self._hovered(layer, request, place)
        if found is None or request.model not in self._anatomies:
            return
        view, index = found
        at = tuple(zip(view.axes.image, index, strict=True))
        is_finite = not self._anatomies[view.model].unbounded
        if is_finite and (self.state.field is None or self.state.field.at != at):
            self._layers_of(layer, view).hide_heat()
            self._show_box(layer, view, index)

    def _hovered(
        self, layer: Image, request: Request, place: Sequence[float]
    ) -> tuple[ImageView, tuple[int, ...]] | None:
        """Return the pixel under the mouse; None if there is none."""
        view = None if self.viewer.dims.ndisplay == 3 else self._viewed(layer, request)
        if view is None:
            return None
        index = pixel_at(layer, place, self._channel(view))
        return (view, index) if all(0 <= i < n for i, n in zip(index, view.shape, strict=True)) else None

    def measure_at(self, layer: Image, view: ImageView, index: tuple[int, ...], label: int | None) -> None:
        """Show the box of a pixel at once, if the model is known, and ask for the influence."""
        try:
            with explained():
                check_inside(view, index)
                if view.model in self._anatomies:
                    self._show_box(layer, view, index)
        except FcnError as error:
            self._set(replace(self.state, error=in_dock(error), field=None))
            return
        self._set(replace(self.state, error="", message=""))
        self._submit(FieldTask("point", partial(self._worker.measure_at, view, index, label), layer, view, index))

    def check(self, kind: str, layer: Image, request: Request) -> None:
        """Begin a check of the plane that is shown."""
        view = self._viewed(layer, request)
        if view is None:
            return
        at = plane_of(self.viewer, layer, self._channel(view))
        spans = zip(view.axes.image, at, view.shape, strict=True)
        pairs = [(i, i + 1) if name in view.axes.loop else (0, n) for name, i, n in spans]
        region = Region(tuple(a for a, _ in pairs), tuple(b for _, b in pairs))
        self._set(replace(self.state, error="", message=""))
        self._submit(FieldTask(kind, partial(self._worker.run_check, kind, view, region), layer, view))

    def labels(self) -> list[Labels]:
        """Return the layers in which objects can be measured, topmost first."""
        from napari.layers import Labels

        return [layer for layer in reversed(self.viewer.layers) if isinstance(layer, Labels)]

    def measure(self, layer: Labels, model: model_catalog.ModelEntry) -> None:
        """Measure the objects in a layer of labels, in the plane that is shown."""
        image, ndim = np.asarray(layer.data[0] if layer.multiscale else layer.data), model.info.spec.ndim
        ndim -= model.info.spec.time is not None
        if image.ndim < ndim:
            self._set(replace(self.state, error=f"{layer.name} is {image.ndim}-D, the model {ndim}-D: choose others."))
            return
        plane = image[shown_index(self.viewer, layer)[: image.ndim - ndim]]
        steps = [abs(float(step)) for step in layer.scale[-ndim:]]
        self._submit(FieldTask("objects", partial(measure, plane.copy(), steps), layer))

    def set_objects(self, pixels: float) -> None:
        """Take note of the diameter of the objects, in pixels of the finest axis."""
        self._set(self._advised(replace(self.state, objects=pixels)))

    def cancel(self) -> None:
        """Give up what goes on and what waits; what was found stays."""
        if self._task is not None:
            self._stop("Cancelled.")

    def _viewed(self, layer: Image, request: Request) -> ImageView | None:
        try:
            with explained():
                return self.view(layer, request)
        except FcnError as error:
            self._set(replace(self.state, error=in_dock(error)))
            return None

    @staticmethod
    def _channel(view: ImageView) -> int | None:
        return None if view.image.rgb else view.axes.channel_position

    def _layers_of(self, layer: Image, view: ImageView) -> FieldLayers:
        return FieldLayers(self.viewer, layer, self._channel(view))

    def _show_box(self, layer: Image, view: ImageView, index: tuple[int, ...]) -> None:
        anatomy = self._anatomies[view.model]
        box = receptive_box(anatomy, view, index)
        sights = self._layers_of(layer, view)
        sights.show_box(box, index)
        self._box_layers = (sights, box, index)
        name = model_catalog.entry(view.model).name
        self._set(self._advised(replace(self.state, field=pixel_field(anatomy, view, index, name))))

    def _show_growth(self) -> None:
        assert self._model is not None
        growth = layer_growth(self._anatomies[self._model.path], self._model)
        self._set(self._advised(replace(self.state, growth=growth)))

    @staticmethod
    def _advised(state: FieldState) -> FieldState:
        return replace(state, advice=object_size_advice(state.objects, state.growth, state.field))

    def _submit(self, task: FieldTask) -> None:
        """Do a task now, or after the one that goes on; a pixel makes way for a pixel."""
        if self._task is None or self._task.kind in ("know", task.kind):
            self._begin(task)
        else:
            self._waiting[task.kind] = task

    def _begin(self, task: FieldTask) -> None:
        if task.view is not None:
            self._watch(task.source)  # type: ignore[arg-type]  # of what has a view it is an image
        self._task, self._started = task, time.monotonic()
        doing = "" if task.kind == "know" else task.kind
        self._set(replace(self.state, task=doing, done=0, total=0, seconds_left=None))
        self._runner.start(task.make)

    def _start_next(self) -> None:
        """Begin what waits."""
        self._task = None
        self._set(replace(self.state, task="", done=0, total=0, seconds_left=None))
        if self._waiting:
            self._begin(self._waiting.pop(next(iter(self._waiting))))
        elif self._model is not None and self._model.path not in self._anatomies and not self.state.error:
            self.choose(self._model)

    def _stop(self, message: str) -> None:
        self._runner.cancel()
        self._task = None
        self._waiting.clear()
        self._set(replace(self.state, task="", done=0, total=0, seconds_left=None, message=message))

    def _on_yielded(self, events: Sequence[Any]) -> None:
        for event in events:
            task = self._task
            if task is None:
                return
            if isinstance(event, AnalysisReady):
                self._on_analysis(task, event)
            elif isinstance(event, InfluenceReady):
                self._on_influence(task, event)
            elif isinstance(event, ObjectsMeasured):
                self._on_measured(event)
            elif isinstance(event, CheckStep):
                spent = time.monotonic() - self._started
                left = spent / max(1, event.done) * (event.total - event.done)
                self._set(replace(self.state, done=event.done, total=event.total, seconds_left=left))
            elif isinstance(event, Certified | EquivarianceDone | BorderTrustDone):
                self._on_checked(task, event)

    def _on_analysis(self, task: FieldTask, known: AnalysisReady) -> None:
        is_new = known.model not in self._anatomies
        self._anatomies[known.model] = known.anatomy
        if is_new and self._model is not None and self._model.path == known.model:
            self._show_growth()
        if is_new and task.kind == "point" and task.view is not None and not known.anatomy.unbounded:
            self._show_box(task.source, task.view, task.index)  # type: ignore[arg-type]  # of points it is an image

    def _on_influence(self, task: FieldTask, looked: InfluenceReady) -> None:
        assert task.view is not None
        view, done = task.view, looked.done
        model = model_catalog.entry(view.model)
        sight = pixel_field(self._anatomies[view.model], view, task.index, model.name)
        info = model.info
        classes = info.original if view.settings.head == "original" and info.original else info.classes
        sight = with_influence(sight, view, looked, classes[done.label].name)
        sights = self._layers_of(task.source, view)  # type: ignore[arg-type]  # of points it is an image
        if self._box_layers is not None and self._box_layers[2] != task.index:
            return  # the mouse has moved on
        sights.show_heat(done.region, done.heat)
        self._set(self._advised(replace(self.state, field=sight)))

    def _on_measured(self, event: ObjectsMeasured) -> None:
        if event.pixels <= 0:
            self._set(replace(self.state, error="There are no objects in the plane that is shown of these labels."))
        else:
            self.set_objects(event.pixels)

    def _on_checked(self, task: FieldTask, event: Any) -> None:
        assert task.view is not None
        values, top, sentence = _told(event)
        self._layers_of(task.source, task.view).show_map(task.kind, event.region, values, top)  # type: ignore[arg-type]
        name = model_catalog.entry(task.view.model).name
        seconds = time.monotonic() - self._started
        found = CheckResult(task.kind, sentence, task.view.image.name, name, seconds)
        others = [one for one in self.state.findings if one.kind != task.kind]
        findings = tuple(sorted([*others, found], key=lambda one: CHECKS.index(one.kind)))
        self._set(replace(self.state, findings=findings))

    def _on_finished(self) -> None:
        self._start_next()

    def _on_failed(self, error: Exception) -> None:
        self._set(replace(self.state, error=self._message(error)))
        self._start_next()

    def _on_removed(self, event: Any) -> None:
        gone, name = event.value, str(event.value.name)
        self._waiting = {kind: task for kind, task in self._waiting.items() if task.source is not gone}
        if self._box_layers is not None and gone not in self.viewer.layers:
            self._box_layers = None
        if self._task is not None and self._task.source is gone:
            self._stop(f"Stopped: the layer {name} was removed.")
        if self._task is None:
            self._worker.clear()

    def _on_replaced(self, layer: Image) -> None:
        """Give up what is asked of the earlier pixels of a layer, hide what is drawn, and mark what was found."""
        self._waiting = {kind: task for kind, task in self._waiting.items() if task.source is not layer}
        is_asked = self._task is not None and self._task.source is layer
        if is_asked:
            self._runner.cancel()
            self._task = None
        self._worker.clear()
        if self._box_layers is not None and self._box_layers[0].source is layer:
            self._box_layers = None
        FieldLayers(self.viewer, layer, None).hide()
        state = self.state
        sight = None if state.field is not None and state.field.image == layer.name else state.field
        findings = tuple(replace(one, is_outdated=one.is_outdated or one.image == layer.name) for one in state.findings)
        is_known = is_asked or sight is not state.field or findings != state.findings
        self._set(replace(state, field=sight, findings=findings))
        if is_asked:
            self._start_next()
        if is_known:
            self._set(replace(self.state, message=OUTDATED.format(name=layer.name)))

    def _on_turned(self, _: object = None) -> None:
        """Draw the box in the plane that is shown now."""
        if self._box_layers is not None:
            sights, box, index = self._box_layers
            sights.show_box(box, index)


def _told(event: Any) -> tuple[Any, float, str]:
    """Return the map of a check, the value that is brightest in it, and its sentence."""
    if isinstance(event, Certified):
        return event.difference, max(event.max_error, event.tolerance), certificate_text(event)
    if isinstance(event, EquivarianceDone):
        return event.values, max(LEAST_CHANGE, float(event.values.max(initial=0))), event.sentence
    return event.outside, max(LEAST_CHANGE, float(event.outside.max(initial=0))), event.sentence
