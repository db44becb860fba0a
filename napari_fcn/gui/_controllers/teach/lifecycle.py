"""How a course of teaching begins, and all the ways in which it ends."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_fcn.gui._layers import (
    LayerImage,
    load_what_layers_need,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_fcn.gui._controllers.model_catalog import ModelCache

import time
from typing import TYPE_CHECKING, Any

from napari_fcn.errors import FcnError, in_dock
from napari_fcn.gui._controllers.base import DockController
from napari_fcn.gui._controllers.teach.open_session import Factories
from napari_fcn.gui._controllers.teach.progress import KIND, TeachProgress
from napari_fcn.gui._controllers.teach.project_writer import ProjectGuard, ProjectWriter
from napari_fcn.gui._controllers.teach.setup import TeachRequest, create_session, is_same_model, own_request
from napari_fcn.gui._controllers.teach.state import TeachState
from napari_fcn.gui._controllers.teach.throttle import UpdateThrottle
from napari_fcn.gui._threads import JobRunner, Writer
from napari_fcn.learning.cancellation import cancellation_scope
from napari_fcn.system_errors import explained

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image
    from qtpy.QtCore import QObject

    from napari_fcn.gui._controllers.teach.layers import TeachLayers
    from napari_fcn.gui._layers import Stroke

PERIOD = 8  # milliseconds between two looks at what has been learnt
HEAD_START = 0.5  # seconds in which an answer should be there; what a network learns afterwards may take longer


class TeachLifecycle(DockController):
    """Begins and ends courses; what happens in one is for those who inherit from it.

    Parameters
    ----------
    viewer : ViewerModel
        Where images are and results go.
    tools : Tools, optional
        What makes the engine and projects.
    parent : QObject, optional
        Qt parent.
    """

    state: TeachState

    def __init__(self, viewer: ViewerModel, tools: Factories | None = None, parent: QObject | None = None) -> None:
        super().__init__(viewer, TeachState(), parent)
        self._factories = tools or Factories()
        self._layers: TeachLayers | None = None
        self._folders: dict[object, Path] = {}  # what was chosen -> its project
        self._key: object = None
        self._request: TeachRequest | None = None
        self._recorded = TeachProgress()  # what the project knows of what the dock shows
        self._writer = Writer(self)
        self._writer.written.connect(self._on_written)
        self._writer.failed.connect(self._on_unwritten)
        self._guard = ProjectGuard()
        self.destroyed.connect(self._guard.close)
        self._runner = JobRunner(self, PERIOD, HEAD_START, cancellation_scope)
        self._runner.failed.connect(self._on_failed)
        self._throttle = UpdateThrottle(self, self._factories.timer)
        self._throttle.due.connect(self._on_due)

    @property
    def is_busy(self) -> bool:
        """Whether a thread is alive, also to warm up or to write."""
        return self._runner.is_running or self._writer.is_writing

    @property
    def is_late(self) -> bool:
        """Whether there is something that the dock will show soon."""
        return self._throttle.is_waiting

    @property
    def is_answering(self) -> bool:
        """Whether a stroke waits for its answer, so that whatever else is to be drawn had better wait."""
        return self._throttle.is_held

    @property
    def layers(self) -> TeachLayers | None:
        """The layers of what is taught; None if nothing is."""
        return self._layers

    def connect(self) -> None:
        """Watch the viewer."""
        self.viewer.layers.events.removed.connect(self._on_removed)
        self.viewer.dims.events.ndisplay.connect(self._on_turned)

    def shutdown(self) -> None:
        """End what runs and let go of the viewer; what was painted is written, and the layers stay."""
        self.stop("")
        self.viewer.layers.events.removed.disconnect(self._on_removed)
        self.viewer.dims.events.ndisplay.disconnect(self._on_turned)
        self._runner.shutdown()

    def warm_up(self, model: Path | None) -> None:
        """Load what the first stroke will need, unless something runs already."""
        if self._layers is None and not self._runner.is_running:
            self._runner.start(partial(warm_up_teaching, model, self._loaded))

    def start(self, request: TeachRequest) -> None:
        """Begin to teach, or go on where this dock was before; what goes wrong becomes the error shown."""
        self._start(replace(request, folder=self._folders.get(request.key)), request)

    def open_project(self, request: TeachRequest) -> None:
        """Go on with the project in ``wish.folder`` on its image; what goes wrong becomes the error shown."""
        own = own_request(request)
        self._start(own, replace(own, model=request.model, new=request.new) if is_same_model(request, own) else own)

    @property
    def session_source(self) -> TeachRequest | None:
        """What was chosen to be taught; None if nothing is. A project has a copy of the model that was chosen."""
        return None if self._layers is None else self._request

    def stop(self, message: str = "Teaching has ended; layers and project stay.") -> None:
        """End the course, without waiting for it."""
        course = self._layers
        if course is None:
            return
        if course.corrections.layer in self.viewer.layers:
            course.corrections.flush()
        self._record_progress()
        self._layers = None
        self._runner.cancel()
        self._throttle.release()
        self._unwatch()
        course.close()
        self._writer.watch()
        self._set(TeachState(message=message, is_live=self.state.is_live, error=self.state.error))

    def stop_teaching(self) -> None:
        """End the course because the user wants it."""
        self.stop()

    def _submit(self) -> None:
        raise NotImplementedError

    def _on_painted(self, strokes: tuple[Stroke, ...]) -> None:
        raise NotImplementedError

    def _on_label(self, label: int) -> None:
        raise NotImplementedError

    def _start(self, request: TeachRequest, chosen: TeachRequest) -> None:
        self.stop("")
        try:
            with explained():
                request = own_request(request)
                state = TeachState(
                    phase="opening",
                    image=request.layer.name,
                    model=request.model_name(),
                    is_live=self.state.is_live,
                    settings=request.settings,
                    classes=request.classes(),
                    message=f"Preparing to teach on {request.layer.name} …",
                    is_3d=self.viewer.dims.ndisplay == 3,
                )
                self._watch(request.layer)
                journal = self._guard.writer = ProjectWriter(self._writer)
                self._layers = create_session(self.viewer, request, journal, self._loaded, self._factories)
        except FcnError as error:
            self._set(TeachState(error=in_dock(error), is_live=self.state.is_live))
            return
        self._key, self._request = chosen.key, chosen
        corrections = self._layers.corrections
        corrections.changed.connect(self._on_painted)
        corrections.lost.connect(self.stop)
        corrections.label_chosen.connect(self._on_label)
        corrections.take_up()
        self._set(replace(state, label=corrections.layer.selected_label))
        self._submit()

    def _set(self, state: Any) -> None:
        """Show a state at once, as the user has done something."""
        self._throttle.cancel()
        super()._set(state)

    def _note(self, state: TeachState) -> None:
        """Show a state when there is time: the worker has told something."""
        self.state = state
        self._throttle.request()

    def _on_due(self) -> None:
        self._set(self.state)

    def _record_progress(self) -> None:
        """Write into the project what the dock shows and nothing else there says."""
        course, progress = self._layers, self.state.progress
        facts = progress.changes_since(self._recorded)
        if course is not None and course.worker is not None and self.state.is_open and facts:
            course.worker.writer.record(KIND, **facts)
            self._recorded = progress

    def _remember(self, project: str) -> None:
        """Go on with this project when the same is started again."""
        if project:
            self._folders[self._key] = Path(project)

    def _on_failed(self, error: Exception) -> None:
        """Stop to learn; what was painted stays and is written."""
        text = self._message(error)
        if not self.state.is_open:
            self._folders.pop(self._key, None)
            self.stop("")
            self._set(replace(self.state, error=text))
            return
        if self._layers is not None:
            self._layers.corrections.release()
        self._set(replace(self.state, is_live=False, is_working=False, error=text))

    def _on_removed(self, event: Any) -> None:
        if self._layers is not None and self._layers.depends_on(event.value):
            self.stop(f"The layer {event.value.name} was removed, so teaching has stopped. Press Start to go on.")

    def _on_turned(self, _: object = None) -> None:
        if self._layers is not None:
            self._set(replace(self.state, is_3d=self.viewer.dims.ndisplay == 3))

    def _on_replaced(self, layer: Image) -> None:
        if self._layers is not None and self._layers.source is layer:
            self.stop(
                f"The pixels of {layer.name} have changed, so teaching has stopped; its answer is of the earlier "
                "pixels. Press Start to teach on the new ones."
            )

    def _on_written(self, _: int) -> None:
        warning = "" if self.state.project else self.state.warning
        self._note(replace(self.state, saved_at=time.monotonic(), is_saving=self._writer.is_writing, warning=warning))

    def _on_unwritten(self, error: Exception) -> None:
        self._set(replace(self.state, warning=f"Not saved yet: {self._message(error)}"))


def warm_up_teaching(model: Path | None, loaded: ModelCache) -> Iterator[None]:
    """Load what teaching will need and learn from two pixels, so that the first real stroke is answered at once."""
    load_what_layers_need()
    yield
    from napari_fcn.geometry import Region
    from napari_fcn.learning.annotations import Samples
    from napari_fcn.settings import TeachSettings
    from napari_fcn.teaching import Teaching

    yield
    checkpoint = None if model is None else loaded.load(model)
    ndim, channels = (checkpoint.info.spec.ndim, checkpoint.info.spec.channels) if checkpoint else (2, 1)
    blank = np.zeros((channels, *(64 if ndim < 3 else 16,) * ndim), np.uint8)
    axes = LayerImage("", blank, ("c", *"zyx"[-ndim:]), False).axes(ndim)
    yield
    teaching = Teaching(blank, checkpoint, axes, TeachSettings(network="off", device="cpu"))
    labels = np.zeros(blank.shape[1:], np.uint8)
    labels[..., 0], labels[..., 1] = 1, 2
    for _ in teaching.run_round(Samples.from_labels(labels), Region.whole(labels.shape)):
        yield
