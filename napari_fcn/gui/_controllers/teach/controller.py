"""The controller of the Teach dock: from a brush stroke to the prediction on screen."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from napari_fcn.cancellation import cancellation_scope
from napari_fcn.errors import FcnError, in_dock
from napari_fcn.gui._controllers.base import DockController
from napari_fcn.gui._controllers.teach.commands import Compare, Reject
from napari_fcn.gui._controllers.teach.lifecycle import TeachLifecycle
from napari_fcn.gui._controllers.teach.open_session import Factories
from napari_fcn.gui._controllers.teach.setup import TeachRequest, choice_for, opening_state, own_request
from napari_fcn.gui._controllers.teach.state import TeachState, apply
from napari_fcn.gui._controllers.teach.throttle import LatencyMeter, UpdateThrottle
from napari_fcn.gui._controllers.teach.warm_up import warm_up_teaching
from napari_fcn.gui._controllers.teach.worker import LearnRequest
from napari_fcn.gui._layers import ViewWatcher
from napari_fcn.gui._threads import JobRunner, Writer
from napari_fcn.system_errors import explained

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from napari.components import ViewerModel
    from napari.layers import Image, Layer
    from qtpy.QtCore import QObject

    from napari_fcn.events import Change
    from napari_fcn.gui._controllers.teach.commands import Command
    from napari_fcn.gui._controllers.teach.layers import TeachLayers
    from napari_fcn.gui._controllers.teach.messages import SessionMessage
    from napari_fcn.gui._layers import Stroke
    from napari_fcn.settings import TeachSettings

PERIOD = 8  # milliseconds between two deliveries of messages, at least
HEAD_START = 0.5  # seconds at full priority, for the prediction; fine-tuning afterwards has a lower one
OUTDATED = "The overlay shows the earlier pixels. Press Start to teach on the new ones."
IDLE = 1500  # milliseconds without a request after which the features around the view are prefetched


class TeachController(DockController):
    """Lets models learn from strokes, and shows their predictions.

    Parameters
    ----------
    viewer : ViewerModel
        The viewer with the images; results become layers of it.
    factories : Factories, optional
        Constructors of the engine and of projects.
    parent : QObject, optional
        Qt parent.
    """

    state: TeachState

    def __init__(self, viewer: ViewerModel, factories: Factories | None = None, parent: QObject | None = None) -> None:
        super().__init__(viewer, TeachState(), parent)
        self._factories = factories or Factories()
        self._is_learning_once = self._is_prefetching = False
        self._writer = Writer(self)
        self._writer.written.connect(self._on_written)
        self._writer.failed.connect(self._on_unwritten)
        self._lifecycle = TeachLifecycle(self.viewer, self._loaded, self._writer)
        self.destroyed.connect(self._lifecycle.guard.close)
        self._runner = JobRunner(self, PERIOD, HEAD_START, cancellation_scope)
        self._runner.yielded.connect(self._on_messages)
        self._runner.finished.connect(self._on_finished)
        self._runner.failed.connect(self._on_failed)
        self._throttle = UpdateThrottle(self, self._factories.timer)
        self._throttle.due.connect(self._on_due)
        self._idle_timer = self._factories.timer(self, self._prefetch, IDLE)
        self._latency_meter = LatencyMeter(self.viewer, self._on_measured)
        self._view_watcher = ViewWatcher(self.viewer, self, self._factories.timer)
        self._view_watcher.settled.connect(self._on_view)

    @property
    def is_busy(self) -> bool:
        """Whether a thread runs, also to warm up or to write."""
        return self._runner.is_running or self._writer.is_writing

    @property
    def is_late(self) -> bool:
        """Whether the dock does not show the state yet, but will soon."""
        return self._throttle.is_waiting

    @property
    def is_predicting(self) -> bool:
        """Whether a stroke waits for its prediction, so that anything else should be drawn later."""
        return self._throttle.is_held

    @property
    def latencies(self) -> list[float]:
        """Seconds from the end of each stroke to the frame that showed its prediction."""
        return self._latency_meter.seconds

    @property
    def layers(self) -> TeachLayers | None:
        """The layers of the open session, if there is one."""
        return self._lifecycle.layers

    @property
    def session_source(self) -> TeachRequest | None:
        """The choice from which the open session was started. A project has its own copy of the chosen model."""
        return None if self.layers is None else self._lifecycle.request

    def keyed_layers(self) -> list[Layer]:
        """Return the layers on which the shortcuts of the dock must work while they are active."""
        return [] if self.layers is None else self.layers.layers

    def axis_names(self) -> tuple[str, ...]:
        """Return the names of the image axes."""
        return () if self.layers is None else self.layers.axes.image

    # Sessions

    def connect(self) -> None:
        """Watch the viewer."""
        self.viewer.layers.events.removed.connect(self._on_removed)
        self.viewer.dims.events.ndisplay.connect(self._on_ndisplay)
        self._view_watcher.connect()

    def shutdown(self) -> None:
        """Stop, and disconnect from the viewer; strokes are written, and the layers stay."""
        self._view_watcher.disconnect_viewer()
        self.stop("")
        self.viewer.layers.events.removed.disconnect(self._on_removed)
        self.viewer.dims.events.ndisplay.disconnect(self._on_ndisplay)
        self._runner.shutdown()

    def warm_up(self, model: Path | None) -> None:
        """Load what the first stroke needs, unless a job runs already."""
        if self.layers is None and not self._runner.is_running:
            self._runner.start(partial(warm_up_teaching, model, self._loaded))

    def start(self, request: TeachRequest) -> None:
        """Start a session, or resume the last one of the same choice; errors become the error shown."""
        self._open(self._lifecycle.resume(request), request)

    def open_project(self, request: TeachRequest) -> None:
        """Resume the project in ``request.folder`` on its image; errors become the error shown."""
        self._open(request, choice_for(request))

    def stop(self, message: str = "Teaching has stopped; layers and project are kept.") -> None:
        """Close the session without waiting for its end."""
        layers = self.layers
        if layers is None:
            return
        if layers.corrections.layer in self.viewer.layers:
            layers.corrections.flush()
        self._record_progress()
        self._runner.cancel()
        self._throttle.release()
        self._unwatch()
        self._lifecycle.close()
        self._writer.watch()
        self._set(TeachState(message=message, is_live=self.state.is_live, error=self.state.error))

    def _open(self, request: TeachRequest, choice: TeachRequest) -> None:
        self.stop("")
        try:
            with explained():
                request = own_request(request)
                state = opening_state(request, self.state.is_live, self.viewer.dims.ndisplay == 3)
                self._watch(request.layer)
                corrections = self._lifecycle.open(request, choice, self._factories).corrections
        except FcnError as error:
            self._set(TeachState(error=in_dock(error), is_live=self.state.is_live))
            return
        corrections.changed.connect(self._on_painted)
        corrections.lost.connect(self.stop)
        corrections.label_chosen.connect(self._on_label)
        corrections.activate_brush()
        self._set(replace(state, label=corrections.layer.selected_label))
        self._submit()

    # Actions of the user

    def configure(self, settings: TeachSettings) -> None:
        """Learn with other settings from now on."""
        if self.layers is not None and self.state.is_open and settings != self.state.settings:
            self._set(replace(self.state, settings=settings))
            self._submit()

    def set_live(self, is_live: bool) -> None:
        """Learn from each stroke at once, or only on request."""
        self._set(replace(self.state, is_live=is_live))
        self._submit()

    def learn_now(self) -> None:
        """Learn from all strokes once."""
        if self.layers is not None:
            self._is_learning_once = True
            self._submit()

    def do(self, command: Command) -> None:
        """Give the worker a command; strokes do not replace it."""
        layers = self.layers
        if layers is None or not self.state.is_open:
            return
        if command.is_restoring:
            layers.corrections.hold()
        layers.worker.inbox.append(command)
        if isinstance(command, Reject) and self.state.update is not None:
            self.state = replace(self.state, update=replace(self.state.update, status="rejected"))
        self._submit()

    def choose(self, label: int) -> None:
        """Set the value of the brush; 0 erases."""
        if self.layers is not None and label <= len(self.state.classes):
            self.layers.corrections.select_label(label)

    def toggle_overlay(self) -> None:
        """Hide the overlay, or show it again."""
        if self.layers is not None:
            self.layers.toggle_overlay()

    def go_to_change(self, change: Change) -> None:
        """Move the camera to a region where a candidate predicts another class."""
        if self.layers is not None:
            self.layers.auxiliary.go_to(change.region)

    def show_changes(self, is_shown: bool) -> None:
        """Show or hide where the candidate predicts another class."""
        self._set(replace(self.state, are_changes_shown=is_shown))
        if self.layers is not None:
            self.layers.show_changes(self.state)

    def show_uncertainty(self, is_shown: bool) -> None:
        """Show or hide the uncertainty of the model."""
        if self.layers is None:
            return
        self._set(replace(self.state, is_uncertainty_shown=is_shown))
        if is_shown:
            self._submit()
        else:
            self.layers.auxiliary.hide_uncertainty()

    def show_compared(self, shown: str) -> None:
        """Show the first of two compared predictions, the second, or one in each half."""
        if self.layers is not None and self.state.comparison is not None:
            self.layers.auxiliary.show_compared(shown)
            self._set(replace(self.state, comparison=replace(self.state.comparison, shown=shown)))

    def end_comparison(self) -> None:
        """Show the overlay again."""
        if self.layers is not None:
            self.layers.auxiliary.end_comparison()
        self._set(replace(self.state, comparison=None))

    def _submit(self) -> None:
        """Give the worker a request that replaces the previous one."""
        layers, state = self.layers, self.state
        if layers is None:
            return
        self._is_prefetching = False
        self._idle_timer.stop()
        is_learning = state.is_live or self._is_learning_once
        request = LearnRequest(layers.view(), state.settings, is_learning, state.is_uncertainty_shown)
        self._runner.start(partial(layers.worker.run, request))
        if not state.is_working:
            self._set(replace(state, is_working=True))

    # The layer and the viewer

    def _on_painted(self, strokes: tuple[Stroke, ...]) -> None:
        """Write strokes, and learn from them if live is on."""
        layers, is_live = self.layers, self.state.is_live
        if layers is None:
            return
        for stroke in strokes:
            layers.worker.writer.stroke(stroke)
            layers.worker.inbox.append(stroke)
        if self.state.project:
            self._writer.watch()
        count, is_working = self.state.strokes + len(strokes), is_live or self.state.is_working
        state = replace(self.state, strokes=count, is_saving=self._writer.is_writing, is_working=is_working)
        if is_live:
            self._latency_meter.start(layers.corrections.edited_at)
            self._throttle.hold()
            self._set_later(state)
            self._submit()
        else:
            self._set(state)

    def _on_label(self, label: int) -> None:
        self._set(replace(self.state, label=label))

    def _on_view(self) -> None:
        """Predict the region that has come into view."""
        layers = self.layers
        if layers is None or not self.state.is_open:
            return
        layers.move_window()
        if layers.is_windowed:
            self._set(replace(self.state, message=layers.out_of_window_message()))
        compared = self.state.comparison
        if compared is not None:
            layers.worker.inbox.append(Compare(compared.first, compared.second, layers.view()))
        self._submit()

    def _on_removed(self, event: Any) -> None:
        if self.layers is not None and self.layers.depends_on(event.value):
            self.stop(f"The layer {event.value.name} was removed, so teaching has stopped. Press Start to resume.")

    def _on_ndisplay(self, _: object = None) -> None:
        if self.layers is not None:
            self._set(replace(self.state, is_3d=self.viewer.dims.ndisplay == 3))

    def _on_replaced(self, layer: Image) -> None:
        if self.layers is not None and self.layers.source is layer:
            self.stop(f"The pixels of {layer.name} have changed, so teaching has stopped. {OUTDATED}")

    # The worker

    def _on_messages(self, messages: Sequence[SessionMessage]) -> None:
        """Apply messages to the state and the layers."""
        layers, previous = self.layers, self.state
        if layers is None:
            return
        messages = [message for message in messages if message.worker is layers.worker]
        if not messages:
            return
        for message in messages:
            self.state = apply(self.state, message)
            layers.apply(message, self.state)
        layers.refresh()
        if previous.predicted < self.state.predicted and self.state.is_predicted:
            self._latency_meter.shown()
        if self.state.is_open and not previous.is_open:
            self._lifecycle.remember_project(self.state.project)
            if layers.is_windowed:
                self.state = replace(self.state, message=layers.out_of_window_message())
        if self.state.progress.is_worth_writing(layers.worker.writer.recorded):
            self._record_progress()
        (self._set_later if all(message.can_wait for message in messages) else self._set)(self.state)

    def _on_finished(self) -> None:
        if self._is_prefetching:
            return
        self._idle_timer.start()
        self._is_learning_once = False
        self._record_progress()
        self._set_later(replace(self.state, is_working=False, step=0))

    def _on_failed(self, error: Exception) -> None:
        """Turn live off; strokes are kept and saved."""
        text = self._message(error)
        if not self.state.is_open:
            self._lifecycle.forget_project()
            self.stop("")
            self._set(replace(self.state, error=text))
            return
        if self.layers is not None:
            self.layers.corrections.release()
        self._set(replace(self.state, is_live=False, is_working=False, error=text))

    def _prefetch(self) -> None:
        """Compute the features around the view while the user is idle."""
        layers = self.layers
        if layers is not None and self.state.is_open and not self._runner.is_running:
            self._is_prefetching = True
            self._runner.start(partial(layers.worker.prefetch, layers.view()))

    # The dock and the project

    def _set(self, state: Any) -> None:
        """Show a state at once: after an action of the user."""
        self._throttle.cancel()
        super()._set(state)

    def _set_later(self, state: TeachState) -> None:
        """Show a state with the next update of the dock: after a message of the worker."""
        self.state = state
        self._throttle.request()

    def _on_due(self) -> None:
        self._set(self.state)

    def _on_measured(self) -> None:
        self._throttle.release()
        self._set_later(replace(self.state, latency=self._latency_meter.seconds[-1]))

    def _record_progress(self) -> None:
        """Write the scores, losses and notes that the project does not have yet."""
        if self.layers is not None and self.state.is_open:
            self.layers.worker.writer.progress(self.state.progress)

    def _on_written(self, _: int) -> None:
        warning = "" if self.state.project else self.state.warning
        self._set_later(
            replace(self.state, saved_at=time.monotonic(), is_saving=self._writer.is_writing, warning=warning)
        )

    def _on_unwritten(self, error: Exception) -> None:
        self._set(replace(self.state, warning=f"Not saved yet: {self._message(error)}"))
