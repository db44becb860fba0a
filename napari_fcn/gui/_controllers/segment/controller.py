"""The controller of the Segment dock: from the Run button to layers that fill up tile by tile."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from napari_fcn.cancellation import cancellation_scope
from napari_fcn.errors import FcnError, in_dock
from napari_fcn.events import FallbackTaken, ObjectsStep, RunPlanned
from napari_fcn.geometry import Region
from napari_fcn.gui._controllers import model_catalog
from napari_fcn.gui._controllers.base import DockController
from napari_fcn.gui._controllers.output_paths import unused_paths
from napari_fcn.gui._controllers.segment.slider_extent import SliderExtents
from napari_fcn.gui._controllers.segment.state import ClassShare, RunResult, ViewState
from napari_fcn.gui._controllers.segment.worker import LayerJob, VisibleRegion, run_segmentation, warm_up
from napari_fcn.gui._layers import (
    OVERLAY_KINDS,
    WHOLE_IMAGE,
    Canvas,
    ColourTile,
    Overlay,
    PixelsReplacedError,
    RegionChoice,
    StoredCanvas,
    ViewWatcher,
    chosen_region,
    find_layer,
    fits_in_memory,
    mark_outdated,
    pixels_replaced_error,
    read_layer,
    region_choices,
    visible_region,
)
from napari_fcn.gui._threads import JobRunner
from napari_fcn.gui._timers import REAL, Clock
from napari_fcn.inference.roi import format_roi
from napari_fcn.io.overwrite import Protection
from napari_fcn.io.run_inputs import collect_inputs
from napari_fcn.runs.progress import RunProgress, advance
from napari_fcn.settings import ZARR
from napari_fcn.system_errors import explained

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from napari.components import ViewerModel
    from napari.layers import Image, Layer
    from qtpy.QtCore import QObject

    from napari_fcn.gui._controllers.request import Request
    from napari_fcn.gui._layers import LayerImage
    from napari_fcn.models.card import ClassLabel

REFRESH_PERIOD = 250  # milliseconds


@dataclass(slots=True, eq=False)
class _Run:
    """The current run."""

    source: Image
    job: LayerJob
    model: model_catalog.ModelEntry
    overlay: Overlay | None = None
    progress: RunProgress = field(default_factory=RunProgress)

    @property
    def classes(self) -> tuple[ClassLabel, ...]:
        """The classes of the chosen head."""
        info = self.model.info
        return info.original if self.job.settings.head == "original" and info.original else info.classes


class SegmentController(DockController):
    """Runs models on layers and shows their predictions.

    Parameters
    ----------
    viewer : ViewerModel
        The viewer with the images; results become layers of it.
    runner : JobRunner, optional
        Runs the engine on a worker thread.
    parent : QObject, optional
        Qt parent.
    clock : Clock, optional
        Clock for the estimate of the time left.

    Attributes
    ----------
    slider_extents : SliderExtents
        The extent of the receptive field along the axes that have a slider.
    """

    state: ViewState

    def __init__(
        self,
        viewer: ViewerModel,
        runner: JobRunner | None = None,
        parent: QObject | None = None,
        clock: Clock = REAL,
    ) -> None:
        super().__init__(viewer, ViewState(), parent)
        self._clock = clock
        self._run: _Run | None = None
        self._result_source: Image | None = None  # the layer of the displayed result
        self._refresh_timer = clock.timer(self, self._refresh, REFRESH_PERIOD)
        self._view_watcher = ViewWatcher(self.viewer, self)
        self._view_watcher.settled.connect(self._on_view_settled)
        self.slider_extents = SliderExtents(self.viewer, self)
        self.slider_extents.failed.connect(self._message)
        self._runner = runner or JobRunner(self, scope=cancellation_scope)
        self._runner.yielded.connect(self._on_yielded)
        self._runner.failed.connect(self._on_failed)
        self._runner.finished.connect(self._on_finished)

    @property
    def is_busy(self) -> bool:
        """Whether a worker thread is alive, also to warm up; a cancelled one still finishes a layer."""
        return self._runner.is_running or self.slider_extents.is_busy

    def connect(self) -> None:
        """Watch the layers: a run ends when one of its layers is removed."""
        self.viewer.layers.events.removed.connect(self._on_removed)
        self._view_watcher.connect()
        self.slider_extents.connect()

    def shutdown(self) -> None:
        """Cancel the run without waiting for its end, and disconnect from the viewer."""
        self.viewer.layers.events.removed.disconnect(self._on_removed)
        self._view_watcher.disconnect_viewer()
        self._unwatch()
        self.slider_extents.shutdown()
        self._run = None
        self._runner.shutdown()
        self._set(replace(self.state, is_running=False))

    def warm_up(self, model: Path) -> None:
        """Load what the first run needs, unless a job runs already."""
        if self._run is None and not self._runner.is_running:
            self._runner.start(partial(warm_up, model, self._loaded))

    def predict(self, layer: Image, request: Request, region: RegionChoice = WHOLE_IMAGE) -> None:
        """Segment a region of a layer; this cancels the current run. Errors become the error shown."""
        self._end_run()
        try:
            with explained():
                self._watch(layer)
                self._run = self._prepare(layer, request, region)
        except FcnError as error:
            self._runner.cancel()
            self._set(ViewState(error=in_dock(error)))
            return
        self._set(ViewState(is_running=True, message=f"Preparing {self._run.model.name} for {layer.name} …"))
        self._runner.start(partial(run_segmentation, self._run.job, self._loaded))

    def cancel(self) -> None:
        """Cancel the run; finished tiles stay."""
        if self._run is not None:
            where = "".join(f", also in {path.parent}" for path in _stored_path(self._run))
            self._stop(f"Cancelled after {self.state.done} of {self.state.total} tiles; finished tiles stay{where}.")

    def region_choices(self) -> list[tuple[str, RegionChoice]]:
        """Return a text and a choice for each region that a run can be restricted to; the first is the whole image."""
        return region_choices(self.viewer)

    def result_layer(self, layer: Image | None, kind: str) -> Layer | None:
        """Return the result layer of an image, if there is one."""
        return None if layer is None else find_layer(self.viewer, layer, kind)

    def show_only(self, layer: Image | None, kind: str) -> None:
        """Show one kind of result of an image and hide the other."""
        for shown_kind in OVERLAY_KINDS:
            result = self.result_layer(layer, shown_kind)
            if result is not None:
                result.visible = shown_kind == kind

    def _prepare(self, layer: Image, request: Request, choice: RegionChoice) -> _Run:
        model = model_catalog.read_entry(request.model)
        image = read_layer(layer)
        bound = image.bind(model.info.spec, request.axes)
        axes = bound.axes
        region = chosen_region(self.viewer, layer, axes, choice)
        settings = request.settings
        if region is not None:
            settings = replace(settings, roi=format_roi(region, axes.image))
        canvas, paths = _make_canvas(request, image, region or Region.whole(axes.image_shape(image.shape)))
        protection = Protection((collect_inputs({"the image": image.files, "the model": [request.model]}),))
        protection.check_inputs(*paths.values(), *canvas.paths.values())
        visible = VisibleRegion(visible_region(self.viewer, layer, axes))
        job = LayerJob(image, bound, request.model, settings, visible, canvas, paths, protection=protection)
        return _Run(layer, job, model)

    def _on_view_settled(self) -> None:
        """Compute the tiles of the new visible region next."""
        if self._run is not None and self._run.job.visible is not None and self._run.source in self.viewer.layers:
            self._run.job.visible.region = visible_region(self.viewer, self._run.source, self._run.job.axes)

    def _on_yielded(self, events: Sequence[Any]) -> None:
        run = self._run
        if run is None:
            return
        overlay = run.overlay
        if run.source not in self.viewer.layers:
            self._stop(f"Stopped: the layer {run.source.name} was removed.")
            return
        for event in events:
            run.progress = advance(run.progress, event, self._clock.now())
            if isinstance(event, RunPlanned):
                self._on_planned(run, event)
            elif isinstance(event, ColourTile):
                assert run.overlay is not None
                run.overlay.write(event)
            elif isinstance(event, FallbackTaken):
                self.state = replace(self.state, message=event.line)
            elif isinstance(event, ObjectsStep):
                self.state = replace(self.state, message="Finding objects …")
        if overlay is not None and self._run is run:  # adding the layers of a new one has taken long enough
            overlay.refresh()
        self._show_progress(run.progress)

    def _refresh(self) -> None:
        """Show what waits to be drawn and the expected progress, while no event comes."""
        run = self._run
        if run is None:
            return
        if run.overlay is not None and run.overlay.is_complete:
            run.overlay.refresh()
        self._show_progress(run.progress.at(self._clock.now()))

    def _show_progress(self, progress: RunProgress) -> None:
        done, total, left = progress.done, progress.total, progress.seconds_left
        self._set(replace(self.state, done=done, total=total, fraction=progress.fraction, seconds_left=left))
        self._refresh_timer.start()

    def _on_planned(self, run: _Run, planned: RunPlanned) -> None:
        classes = [(label.name, label.colour) for label in run.classes]
        channel = None if run.source.rgb else run.job.axes.channel_position
        run.overlay = Overlay(self.viewer, run.source, channel, run.job.canvas, classes)
        stored = "".join(
            f" Results are too large for memory and are written to {path.parent}." for path in _stored_path(run)
        )
        message = f"Segmenting {run.source.name} on {planned.device}{_memory_text(planned)} …{stored}"
        self.state = replace(self.state, message=message)

    def _on_finished(self) -> None:
        run = self._end_run()
        end = None if run is None else run.progress.result
        if run is None or end is None or run.overlay is None:
            return
        run.overlay.add_metadata({"model": run.model.name, "seconds": end.seconds, "device": end.device})
        self._result_source = run.source
        self._set(ViewState(done=run.progress.done, total=run.progress.total, result=_make_result(run)))

    def _on_failed(self, error: Exception) -> None:
        run = self._end_run()
        if isinstance(error, PixelsReplacedError):
            _mark_outdated(run)
        self._set(replace(self.state, is_running=False, message="", error=self._message(error)))

    def _on_removed(self, event: Any) -> None:
        run = self._run
        needed = [] if run is None else [run.source, *(run.overlay.layers.values() if run.overlay else ())]
        if any(layer is event.value for layer in needed):
            self._stop(f"Stopped: the layer {event.value.name} was removed.")

    def _on_replaced(self, layer: Image) -> None:
        """Stop the run on this layer, or mark its result as outdated."""
        run, result = self._run, self.state.result
        if run is not None and run.source is layer:
            self._stop(str(pixels_replaced_error(layer.name)))
            _mark_outdated(run)
        elif result is not None and self._result_source is layer:
            self._set(replace(self.state, result=replace(result, is_outdated=True)))

    def _stop(self, message: str) -> None:
        self._runner.cancel()
        self._end_run()
        self._set(replace(self.state, is_running=False, seconds_left=None, message=message))

    def _end_run(self) -> _Run | None:
        """Bring the layers of the current run up to date; return the run, which is no longer the current one."""
        run, self._run = self._run, None
        if run is not None and run.overlay is not None and run.overlay.is_complete:
            run.overlay.finish()
        return run


def _mark_outdated(run: _Run | None) -> None:
    """Mark the layers of a run as outdated."""
    for layer in [] if run is None or run.overlay is None else run.overlay.layers.values():
        mark_outdated(layer)


def _make_canvas(request: Request, image: LayerImage, region: Region) -> tuple[Canvas | StoredCanvas, dict[str, Path]]:
    """Return the canvas of the prediction of a region, and the result files in addition to it.

    Raises
    ------
    OutputError
        If there is no folder for results that are too large for memory.
    """
    output = request.output
    if fits_in_memory(region.shape):
        return Canvas(region), unused_paths(output, image.name, image.path)
    stored = unused_paths(replace(output, save=("classes", "probabilities"), suffix=ZARR), image.name, image.path)
    others = unused_paths(output, image.name, image.path)
    return StoredCanvas(region, stored), {kind: path for kind, path in others.items() if path != stored.get(kind)}


def _memory_text(planned: RunPlanned) -> str:
    """Return the memory of a run and its limit as text."""
    if not planned.allowed_bytes:
        return ""
    return f", with up to {planned.peak_bytes / 2**30:.1f} of {planned.allowed_bytes / 2**30:.1f} GiB of memory"


def _stored_path(run: _Run) -> list[Path]:
    return [*run.job.canvas.paths.values()][:1]


def _make_result(run: _Run) -> RunResult:
    classes = tuple(
        ClassShare(label.name, label.colour, fraction)
        for label, fraction in zip(run.classes, run.progress.class_fractions, strict=True)
    )
    files = tuple(str(path) for path in (*run.job.paths.values(), *run.job.canvas.paths.values()))
    notes = tuple(map(in_dock, run.progress.notes))
    return RunResult(run.source.name, run.model.name, run.progress.result_line, classes, notes, files)
