"""The controller of the Batch dock: one model on many layers and files, one after the other."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_fcn.errors import FcnError, ImageError, OutputError, in_dock
from napari_fcn.gui._controllers import model_catalog
from napari_fcn.gui._controllers.base import DockController
from napari_fcn.gui._controllers.batch.jobs import HiddenCanvas, JobEnded
from napari_fcn.gui._controllers.batch.open_results import ResultOpener, SavedResults
from napari_fcn.gui._controllers.batch.state import (
    CANCELLED,
    DONE,
    FAILED,
    RUNNING,
    WAITING,
    BatchRequest,
    BatchState,
    Row,
    Summary,
)
from napari_fcn.gui._controllers.batch.tasks import (
    Batch,
    CurrentJob,
    added_message,
    expand_paths,
    job_for_file,
    job_for_layer,
)
from napari_fcn.gui._layers import (
    Overlay,
    is_segmentable,
    mark_outdated,
    outdated_message,
    pixels_replaced_error,
    replace_results,
)
from napari_fcn.gui._threads import JobRunner
from napari_fcn.io.image_paths import image_stem
from napari_fcn.system_errors import explained

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from napari.components import ViewerModel
    from napari.layers import Image
    from qtpy.QtCore import QObject

    from napari_fcn.runs.progress import RunProgress

LAYER_LOCATION = "a layer in the viewer"
MIN_ESTIMATE_FRACTION = 0.02  # of a batch; before that there is no estimate


class BatchController(DockController):
    """Runs a model on many images; one that fails does not stop the others.

    Parameters
    ----------
    viewer : ViewerModel
        The viewer with the layers; results become layers of it.
    runner : JobRunner, optional
        Runs the engine on a worker thread, one job for each image.
    parent : QObject, optional
        Qt parent.
    """

    state: BatchState

    def __init__(self, viewer: ViewerModel, runner: JobRunner | None = None, parent: QObject | None = None) -> None:
        super().__init__(viewer, BatchState(), parent)
        self._numbers = count()
        self._rows: dict[int, Row] = {}
        self._origins: dict[int, Path | Image | None] = {}
        self._saved_results: dict[int, SavedResults] = {}
        self._batch: Batch | None = None
        self._current: CurrentJob | None = None
        self._runner = runner or JobRunner(self)
        self._runner.yielded.connect(self._on_yielded)
        self._runner.failed.connect(self._on_failed)
        self._runner.finished.connect(self._on_finished)
        self._opener = ResultOpener(self.viewer, self)
        self._opener.failed.connect(self._on_not_opened)
        self._opener.opened.connect(self._on_opened)

    @property
    def is_busy(self) -> bool:
        """Whether a worker thread is alive; a cancelled one still finishes its tile."""
        return self._runner.is_running or self._opener.is_busy

    def connect(self) -> None:
        """Watch the layers: a row ends when its layer is removed."""
        self.viewer.layers.events.removed.connect(self._on_removed)

    def shutdown(self) -> None:
        """Cancel the batch without waiting for its end, and disconnect from the viewer."""
        self.viewer.layers.events.removed.disconnect(self._on_removed)
        self._unwatch()
        self._stop(CANCELLED, "The dock was closed.")
        self._batch = None
        self._runner.shutdown()
        self._opener.shutdown()
        for number, origin in self._origins.items():
            self._origins[number] = origin if isinstance(origin, Path) else None
        self._report_progress(is_running=False)

    def selected_images(self) -> list[Image]:
        """Return the selected layers that can be segmented, topmost first."""
        return [layer for layer in self.images() if layer in self.viewer.layers.selection]

    def add_layers(self, layers: Sequence[Image]) -> None:
        """Add image layers that are not in the list yet."""
        listed = [origin for origin in self._origins.values() if not isinstance(origin, Path)]
        new = [layer for layer in layers if is_segmentable(layer) and not any(layer is origin for origin in listed)]
        for layer in new:
            number = self._add(layer.name, str(layer.source.path or LAYER_LOCATION), layer)
            self._opener.assign_layer(number, layer)
        self._report_progress(message=added_message(len(new), len(layers) - len(new)), error="")
        self._start_next()

    def add_files(self, paths: Iterable[str | Path]) -> None:
        """Add files, and the images in folders; files of unsupported types are skipped and named in the error."""
        images, problems = expand_paths(list(map(Path, paths)))
        listed = {origin for origin in self._origins.values() if isinstance(origin, Path)}
        new = [path for path in dict.fromkeys(images) if path not in listed]
        for path in new:
            self._add(path.name, str(path), path)
        self._report_progress(message=added_message(len(new), len(images) - len(new)), error=" ".join(problems))
        self._start_next()

    def remove(self, numbers: Iterable[int]) -> None:
        """Remove rows from the list; their files stay."""
        for number in numbers:
            if self._current is not None and self._current.number == number:
                self._stop(CANCELLED, "")
            for table in (self._rows, self._origins, self._saved_results):
                table.pop(number, None)
            self._opener.remove_row(number)
            if self._batch is not None and number in self._batch.ended:
                self._batch.ended.remove(number)
        self._report_progress(message="", error="", **({} if self._rows else {"summary": None}))
        self._start_next()

    def clear(self) -> None:
        """Remove all rows from the list; the current one is cancelled."""
        self.remove(list(self._rows))

    def run(self, request: BatchRequest) -> None:
        """Run the waiting and cancelled rows, or all if there are none; during a batch, do nothing."""
        if self._batch is None:
            self._start(request, self.state.to_run)

    def retry(self, request: BatchRequest) -> None:
        """Run the failed and cancelled rows again."""
        self._start(request, self.state.retriable)

    def cancel(self) -> None:
        """Cancel the current row and continue with the next."""
        self._stop(CANCELLED, self._cancel_message())
        self._report_progress()
        self._start_next()

    def cancel_all(self) -> None:
        """Cancel the current row and all waiting ones."""
        self._stop(CANCELLED, self._cancel_message())
        for row in self._rows.values():
            if row.state == WAITING and self._batch is not None:
                self._end_row(row.number, CANCELLED)
        self._report_progress()
        self._start_next()

    def show(self, number: int) -> None:
        """Show the result of a row in the viewer; do nothing if the row is not done."""
        row, results = self._rows.get(number), self._saved_results.get(number)
        if row is None or results is None or row.state != DONE:
            return
        origin = self._origins[number]
        if origin is None:
            self._report_progress(error=f"The layer {row.name} is no longer in the viewer.")
            return
        self._report_progress(message=f"Opening the result of {row.name} …", error="")
        is_file = isinstance(origin, Path)
        self._opener.open(number, origin if is_file else None, image_stem(origin) if is_file else row.name, results)

    def _add(self, name: str, location: str, origin: Path | Image) -> int:
        number = next(self._numbers)
        self._rows[number], self._origins[number] = Row(number, name, location), origin
        return number

    def _start(self, request: BatchRequest, numbers: Sequence[int]) -> None:
        if self._batch is None:
            try:
                with explained():
                    model = model_catalog.read_entry(request.model)
            except FcnError as error:
                self._report_progress(error=in_dock(error))
                return
            self._batch = Batch(request, model, time.monotonic())
        for number in numbers:
            self._rows[number] = self._rows[number].reset()
            self._saved_results.pop(number, None)
            if number in self._batch.ended:
                self._batch.ended.remove(number)
        self._report_progress(is_running=True, message="", error="", summary=None, seconds_left=None)
        self._start_next()

    def _start_next(self) -> None:
        """Start the next waiting row unless one runs already; end the batch if none is left."""
        while self._batch is not None and self._current is None:
            row = next((row for row in self._rows.values() if row.state == WAITING), None)
            if row is None:
                self._finish_batch(self._batch)
                return
            try:
                with explained():
                    self._current = self._prepare(self._batch, row)
            except FcnError as error:
                self._end_row(row.number, FAILED, lines=(self._message(error),))
                continue
            self._rows[row.number] = replace(row, state=RUNNING)
            self._report_progress()
            self._runner.start(self._current.make)

    def _finish_batch(self, batch: Batch) -> None:
        self._batch = None
        states = Counter(self._rows[number].state for number in batch.ended)
        summary = Summary(
            states[DONE], states[FAILED], states[CANCELLED], batch.seconds, batch.model.name, (*sorted(batch.devices),)
        )
        self._report_progress(is_running=False, seconds_left=None, summary=summary if batch.ended else None)

    def _prepare(self, batch: Batch, row: Row) -> CurrentJob:
        """Return the job of a row.

        Raises
        ------
        FcnError
            If the row cannot be run.
        """
        origin = self._origins[row.number]
        if origin is None:
            raise ImageError(f"The layer {row.name} is no longer in the viewer.")
        if not isinstance(origin, Path):
            self._watch(origin)
        batch.update_inputs(self._origins)
        is_file = isinstance(origin, Path)
        current = (job_for_file if is_file else job_for_layer)(batch, row, origin, self._loaded)
        for path in current.files.values():
            owner = batch.owners.setdefault(path, row.number)
            if owner != row.number:
                location = self._rows[owner].location if owner in self._rows else "an image that was removed"
                raise OutputError(
                    f"{path} is already the result of {location}. Leave Save to empty to write results next to their "
                    "images, or rename one of the two."
                )
        return current

    def _on_yielded(self, events: Sequence[RunProgress | JobEnded]) -> None:
        current = self._current
        if current is None:
            return
        for event in events:
            if isinstance(event, JobEnded):
                current.end = event
            else:
                row = self._rows[current.number]
                self._rows[current.number] = replace(
                    row, fraction=event.fraction, seconds_left=event.seconds_left, task=event.task
                )
        self._report_progress()

    def _on_finished(self) -> None:
        current, self._current = self._current, None
        if current is None or current.end is None or self._batch is None:
            return
        ended, end = current.end, current.end.end
        self._saved_results[current.number] = SavedResults(ended.axes, ended.classes, current.files)
        if end is not None:
            self._batch.devices.add(end.device)
        if current.layer is not None and isinstance(current.job and current.job.canvas, HiddenCanvas):
            self._show_layers(current, ended)
        self._end_row(
            current.number,
            DONE,
            seconds=0.0 if end is None else end.seconds,
            result_line=ended.progress.result_line,
            lines=(*current.notes, *ended.notes),
            files=tuple(map(str, current.files.values())),
        )
        self._report_progress()
        self._start_next()

    def _show_layers(self, current: CurrentJob, ended: JobEnded) -> None:
        """Add the result layers of a segmented layer to the viewer."""
        assert current.layer is not None
        assert current.job is not None
        assert self._batch is not None
        channel = None if current.layer.rgb else ended.axes.channel_position
        overlay = Overlay(self.viewer, current.layer, channel, current.job.canvas, ended.classes)
        overlay.finish()
        facts = {} if ended.end is None else {"seconds": ended.end.seconds, "device": ended.end.device}
        overlay.add_metadata({"model": self._batch.model.name, **facts})
        if ended.opened is not None:
            replace_results(self.viewer, ended.opened, current.layer)
            overlay.layers["probabilities"].visible = False  # the user has requested objects

    def _on_failed(self, error: Exception) -> None:
        current, self._current = self._current, None
        if current is not None:
            self._end_row(current.number, FAILED, lines=(self._message(error),))
            self._report_progress()
            self._start_next()

    def _on_removed(self, event: Any) -> None:
        removed = [number for number, origin in self._origins.items() if origin is event.value]
        for number in removed:
            self._origins[number] = None
            if self._current is not None and self._current.number == number:
                self._stop(FAILED, f"The layer {event.value.name} was removed while it was segmented.")
                self._report_progress()
                self._start_next()

    def _on_replaced(self, layer: Image) -> None:
        """Stop the row of this layer if it runs; mark its result as outdated if it is done."""
        for number in [number for number, origin in self._origins.items() if origin is layer]:
            row = self._rows[number]
            if self._current is not None and self._current.number == number:
                self._stop(FAILED, str(pixels_replaced_error(layer.name)))
            elif row.state == DONE and not row.is_outdated:
                lines = (outdated_message(layer.name), *row.lines)
                self._rows[number] = replace(row, lines=lines, is_outdated=True)
        self._report_progress()
        self._start_next()

    def _on_opened(self, number: int) -> None:
        row = self._rows.get(number)
        if row is None:
            return
        if row.is_outdated:
            for layer in self._opener.result_layers(number):
                mark_outdated(layer)
        of = " (of its earlier pixels)" if row.is_outdated else ""
        self._report_progress(message=f"The result of {row.name}{of} is shown in the viewer.")

    def _on_not_opened(self, error: Exception) -> None:
        self._report_progress(message="", error=self._message(error))

    def _cancel_message(self) -> str:
        """Return the progress of the current row, and whether it can be resumed."""
        current = self._current
        if current is None:
            return ""
        consequence = "nothing was saved" if current.job else "Run resumes it"
        return f"Cancelled at {100 * self._rows[current.number].fraction:.0f} %; {consequence}."

    def _stop(self, state: str, line: str) -> None:
        """Stop the current row, if there is one."""
        current, self._current = self._current, None
        if current is not None:
            self._runner.cancel()
            self._end_row(current.number, state, lines=(line,) if line else ())

    def _end_row(self, number: int, state: str, **facts: Any) -> None:
        self._rows[number] = replace(self._rows[number].reset(), state=state, **facts)
        if self._batch is not None:
            self._batch.ended.append(number)

    def _report_progress(self, **changed: Any) -> None:
        """Emit a state with the rows and other changed fields."""
        state = replace(self.state, rows=tuple(self._rows.values()), **changed)
        batch = self._batch
        if batch is not None:
            total = len(batch.ended) + state.count(WAITING, RUNNING)
            state = replace(state, done=len(batch.ended), total=total)
            fraction, left = state.fraction, None
            if fraction > MIN_ESTIMATE_FRACTION:
                left = batch.seconds / fraction * (1 - fraction)
            state = replace(state, seconds_left=left)
        self._set(state)
