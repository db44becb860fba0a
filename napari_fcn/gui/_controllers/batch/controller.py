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

LAYER_PLACE = "a layer of the viewer"
MIN_ESTIMATE_FRACTION = 0.02  # of a batch; before that nobody knows how long it takes


class BatchController(DockController):
    """Runs a model on many images; one that fails does not stop the others.

    Parameters
    ----------
    viewer : ViewerModel
        Where layers are and results go.
    runner : JobRunner, optional
        What runs the engine: one job for each image.
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
        """Whether a worker thread is alive, also to finish the tile at which it was cancelled."""
        return self._runner.is_running or self._opener.is_busy

    def connect(self) -> None:
        """Watch the layers: a row ends when its layer goes."""
        self.viewer.layers.events.removed.connect(self._on_removed)

    def shutdown(self) -> None:
        """End what runs, without waiting for it, and let go of the viewer."""
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
        known = [origin for origin in self._origins.values() if not isinstance(origin, Path)]
        new = [layer for layer in layers if is_segmentable(layer) and not any(layer is one for one in known)]
        for layer in new:
            number = self._add(layer.name, str(layer.source.path or LAYER_PLACE), layer)
            self._opener.assign_layer(number, layer)
        self._report_progress(message=added_message(len(new), len(layers) - len(new)), error="")
        self._start_next()

    def add_files(self, paths: Iterable[str | Path]) -> None:
        """Add files, and the images in folders; those that cannot be read by their suffix are left out and named."""
        images, problems = expand_paths(list(map(Path, paths)))
        known = {origin for origin in self._origins.values() if isinstance(origin, Path)}
        new = [path for path in dict.fromkeys(images) if path not in known]
        for path in new:
            self._add(path.name, str(path), path)
        self._report_progress(message=added_message(len(new), len(images) - len(new)), error=" ".join(problems))
        self._start_next()

    def remove(self, numbers: Iterable[int]) -> None:
        """Take rows out of the list; what they have written stays."""
        for number in numbers:
            if self._current is not None and self._current.number == number:
                self._stop(CANCELLED, "")
            for known in (self._rows, self._origins, self._saved_results):
                known.pop(number, None)
            self._opener.remove_row(number)
            if self._batch is not None and number in self._batch.ended:
                self._batch.ended.remove(number)
        self._report_progress(message="", error="", **({} if self._rows else {"summary": None}))
        self._start_next()

    def clear(self) -> None:
        """Take all rows out of the list; what runs is cancelled."""
        self.remove(list(self._rows))

    def run(self, request: BatchRequest) -> None:
        """Run the rows that wait or were cancelled; if there are none, all. While a batch goes on, do nothing."""
        if self._batch is None:
            self._start(request, self.state.to_run)

    def retry(self, request: BatchRequest) -> None:
        """Run the rows that failed or were cancelled once more."""
        self._start(request, self.state.retriable)

    def cancel(self) -> None:
        """Cancel the present row and go on with the next."""
        self._stop(CANCELLED, self._cancel_message())
        self._report_progress()
        self._start_next()

    def cancel_all(self) -> None:
        """Cancel the present row and all that wait."""
        self._stop(CANCELLED, self._cancel_message())
        for row in self._rows.values():
            if row.state == WAITING and self._batch is not None:
                self._end_row(row.number, CANCELLED)
        self._report_progress()
        self._start_next()

    def show(self, number: int) -> None:
        """Show the result of a row in the viewer; if it is not done, do nothing."""
        row, outcome = self._rows.get(number), self._saved_results.get(number)
        if row is None or outcome is None or row.state != DONE:
            return
        origin = self._origins[number]
        if origin is None:
            self._report_progress(error=f"The layer {row.name} is no longer in the viewer.")
            return
        self._report_progress(message=f"Opening the result of {row.name} …", error="")
        is_file = isinstance(origin, Path)
        self._opener.open(number, origin if is_file else None, image_stem(origin) if is_file else row.name, outcome)

    def _add(self, name: str, place: str, origin: Path | Image) -> int:
        number = next(self._numbers)
        self._rows[number], self._origins[number] = Row(number, name, place), origin
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
        """Begin with the next row that waits, if a batch goes on and no row is being run; else end the batch."""
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
        """Return what is to be done for a row.

        Raises
        ------
        FcnError
            If that is known to be impossible.
        """
        origin = self._origins[row.number]
        if origin is None:
            raise ImageError(f"The layer {row.name} is no longer in the viewer.")
        if not isinstance(origin, Path):
            self._watch(origin)
        batch.update_inputs(self._origins)
        present = job_for_file(batch, row, origin, self._loaded) if isinstance(origin, Path) else None
        present = present or job_for_layer(batch, row, origin, self._loaded)
        for path in present.files.values():
            owner = batch.owners.setdefault(path, row.number)
            if owner != row.number:
                other = self._rows[owner].place if owner in self._rows else "an image that was removed"
                raise OutputError(
                    f"{path} is already the result of {other}. Leave Save to empty to write results next to their "
                    "images, or rename one of the two."
                )
        return present

    def _on_yielded(self, events: Sequence[RunProgress | JobEnded]) -> None:
        present = self._current
        if present is None:
            return
        for event in events:
            if isinstance(event, JobEnded):
                present.end = event
            else:
                row = self._rows[present.number]
                self._rows[present.number] = replace(
                    row, share=event.fraction, seconds_left=event.seconds_left, task=event.task
                )
        self._report_progress()

    def _on_finished(self) -> None:
        present, self._current = self._current, None
        if present is None or present.end is None or self._batch is None:
            return
        ended, end = present.end, present.end.end
        self._saved_results[present.number] = SavedResults(ended.axes, ended.classes, present.files)
        if end is not None:
            self._batch.devices.add(end.device)
        if present.layer is not None and isinstance(present.job and present.job.canvas, HiddenCanvas):
            self._show_layers(present, ended)
        self._end_row(
            present.number,
            DONE,
            seconds=0.0 if end is None else end.seconds,
            result_line=ended.progress.result_line,
            lines=(*present.notes, *ended.notes),
            files=tuple(map(str, present.files.values())),
        )
        self._report_progress()
        self._start_next()

    def _show_layers(self, present: CurrentJob, ended: JobEnded) -> None:
        """Bring the result layers of a layer that is done into the viewer."""
        assert present.layer is not None
        assert present.job is not None
        assert self._batch is not None
        channel = None if present.layer.rgb else ended.axes.channel_position
        overlay = Overlay(self.viewer, present.layer, channel, present.job.canvas, ended.classes)
        overlay.finish()
        told = {} if ended.end is None else {"seconds": ended.end.seconds, "device": ended.end.device}
        overlay.add_metadata({"model": self._batch.model.name, **told})
        if ended.opened is not None:
            replace_results(self.viewer, ended.opened, present.layer)
            overlay.layers["probabilities"].visible = False  # objects are what was asked for

    def _on_failed(self, error: Exception) -> None:
        present, self._current = self._current, None
        if present is not None:
            self._end_row(present.number, FAILED, lines=(self._message(error),))
            self._report_progress()
            self._start_next()

    def _on_removed(self, event: Any) -> None:
        gone = [number for number, origin in self._origins.items() if origin is event.value]
        for number in gone:
            self._origins[number] = None
            if self._current is not None and self._current.number == number:
                self._stop(FAILED, f"The layer {event.value.name} was removed while it was segmented.")
                self._report_progress()
                self._start_next()

    def _on_replaced(self, layer: Image) -> None:
        """Give up the row of this layer if it is being run, or say of its result that it is of the earlier pixels."""
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
        present = self._current
        if present is None:
            return ""
        rest = "nothing was saved" if present.job else "Run resumes it"
        return f"Cancelled at {100 * self._rows[present.number].share:.0f} %; {rest}."

    def _stop(self, state: str, line: str) -> None:
        """Give up the present row, if there is one."""
        present, self._current = self._current, None
        if present is not None:
            self._runner.cancel()
            self._end_row(present.number, state, lines=(line,) if line else ())

    def _end_row(self, number: int, state: str, **known: Any) -> None:
        self._rows[number] = replace(self._rows[number].reset(), state=state, **known)
        if self._batch is not None:
            self._batch.ended.append(number)

    def _report_progress(self, **changed: Any) -> None:
        """Show the rows as they are, and what else has changed."""
        state = replace(self.state, rows=tuple(self._rows.values()), **changed)
        batch = self._batch
        if batch is not None:
            total = len(batch.ended) + state.count(WAITING, RUNNING)
            state = replace(state, done=len(batch.ended), total=total)
            share = state.share
            state = replace(
                state, seconds_left=batch.seconds / share * (1 - share) if share > MIN_ESTIMATE_FRACTION else None
            )
        self._set(state)
