"""The teach journey: from a brush stroke to the answer on screen."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from napari_fcn.events import (
    CandidateEvaluated,
    HeadFitted,
    HeadRefined,
    Heartbeat,
    HistoryChanged,
    RegionSuggested,
    StepDone,
    StrokesScored,
)
from napari_fcn.gui._controllers.teach.commands import Compare, Reject
from napari_fcn.gui._controllers.teach.layers import TeachLayers, pairs
from napari_fcn.gui._controllers.teach.lifecycle import TeachLifecycle
from napari_fcn.gui._controllers.teach.messages import ComparisonReady, SessionMessage, SessionOpened
from napari_fcn.gui._controllers.teach.state import CompareState, apply
from napari_fcn.gui._controllers.teach.throttle import LatencyMeter
from napari_fcn.gui._controllers.teach.worker import LearnRequest
from napari_fcn.gui._layers import ColourTile, ViewWatcher

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.components import ViewerModel
    from napari.layers import Layer
    from qtpy.QtCore import QObject

    from napari_fcn.events import Change
    from napari_fcn.gui._controllers.teach.commands import Command
    from napari_fcn.gui._controllers.teach.open_session import Factories
    from napari_fcn.gui._layers import Stroke
    from napari_fcn.settings import TeachSettings


CALM = 1500  # milliseconds without anything to do after which the surroundings of the view are prepared

PATIENT = (
    ColourTile,
    StrokesScored,
    HeadFitted,
    Heartbeat,
    HeadRefined,
    HistoryChanged,
    StepDone,
)  # come with every answer: are shown together


class TeachController(TeachLifecycle):
    """Lets models learn from strokes, and shows what they answer.

    Parameters
    ----------
    viewer : ViewerModel
        Where images are and results go.
    tools : Tools, optional
        What makes the engine and projects.
    parent : QObject, optional
        Qt parent.
    """

    def __init__(self, viewer: ViewerModel, tools: Factories | None = None, parent: QObject | None = None) -> None:
        super().__init__(viewer, tools, parent)
        self._is_learning_once = self._is_looking_ahead = False
        self._calm = self._factories.timer(self, self._prefetch, CALM)
        self._latency_meter = LatencyMeter(self.viewer, self._on_timed)
        self._view_watcher = ViewWatcher(self.viewer, self, self._factories.timer)
        self._view_watcher.settled.connect(self._on_gaze)
        self._runner.yielded.connect(self._on_yielded)
        self._runner.finished.connect(self._on_finished)

    @property
    def latencies(self) -> list[float]:
        """Seconds from the end of each stroke to the frame that showed its answer."""
        return self._latency_meter.seconds

    def connect(self) -> None:
        """Watch the viewer."""
        super().connect()
        self._view_watcher.connect()

    def shutdown(self) -> None:
        """End what runs and let go of the viewer; what was painted is written, and the layers stay."""
        self._view_watcher.disconnect_viewer()
        super().shutdown()

    def keyed_layers(self) -> list[Layer]:
        """Return the layers that must not take our keys for theirs while one of them is active."""
        return [] if self._layers is None else self._layers.layers

    def axis_names(self) -> tuple[str, ...]:
        """Return what the image axes are called."""
        return () if self._layers is None else self._layers.axes.image

    def toggle_answer(self) -> None:
        """Hide the answer to see the image, or show it again."""
        if self._layers is not None:
            self._layers.toggle_answer()

    # What the user does

    def configure(self, settings: TeachSettings) -> None:
        """Learn in another way from now on."""
        if self._layers is not None and self.state.is_open and settings != self.state.settings:
            self._set(replace(self.state, settings=settings))
            self._submit()

    def set_live(self, is_live: bool) -> None:
        """Learn from each stroke at once, or only when asked to."""
        self._set(replace(self.state, is_live=is_live))
        if self._layers is not None:
            self._submit()

    def learn_now(self) -> None:
        """Learn from all strokes once."""
        if self._layers is not None:
            self._is_learning_once = True
            self._submit()

    def do(self, command: Command) -> None:
        """Have a command done by the worker, whatever else happens."""
        course = self._layers
        if course is None or course.worker is None or not self.state.is_open:
            return
        if command.is_restoring:
            course.corrections.hold()
        course.worker.inbox.append(command)
        if isinstance(command, Reject):
            self._drop_update()
        self._submit()

    def choose(self, label: int) -> None:
        """Paint this from now on; 0 erases."""
        if self._layers is not None and label <= len(self.state.classes):
            self._layers.corrections.choose(label)

    def look_at(self, change: Change) -> None:
        """Go to a place where a candidate answers otherwise."""
        if self._layers is not None:
            self._layers.auxiliary.go_to(change.region)

    def show_changes(self, is_shown: bool) -> None:
        """Show where the candidate answers otherwise, or not."""
        self._set(replace(self.state, are_changes_shown=is_shown))
        self._show_changes()

    def show_uncertainty(self, is_shown: bool) -> None:
        """Show how unsure the model is, or not."""
        if self._layers is None:
            return
        self._set(replace(self.state, is_uncertainty_shown=is_shown))
        if is_shown:
            self._submit()
        else:
            self._layers.auxiliary.hide_uncertainty()

    def show_compared(self, shown: str) -> None:
        """Show the first of two compared answers, the second, or one in each half."""
        if self._layers is not None and self.state.comparison is not None:
            self._layers.auxiliary.show_compared(shown)
            self._set(replace(self.state, comparison=replace(self.state.comparison, shown=shown)))

    def end_comparison(self) -> None:
        """Show the present answer again."""
        if self._layers is not None:
            self._layers.auxiliary.end_comparison()
        self._set(replace(self.state, comparison=None))

    # What happens

    def _submit(self) -> None:
        """Let the worker do what is wanted now, instead of what was wanted before."""
        course = self._layers
        if course is None or course.worker is None:
            return
        is_learning = self.state.is_live or self._is_learning_once
        self._is_looking_ahead = False
        self._calm.stop()
        ask = LearnRequest(course.view(), self.state.settings, is_learning, self.state.is_uncertainty_shown)
        self._runner.start(partial(course.worker.run, ask))
        if not self.state.is_working:
            self._set(replace(self.state, is_working=True))

    def _on_painted(self, strokes: tuple[Stroke, ...]) -> None:
        """Write and learn what the user has painted, erased or undone."""
        course = self._layers
        if course is None or course.worker is None:
            return
        for stroke in strokes:
            course.worker.writer.stroke(stroke)
            course.send(stroke)
        if self.state.project:
            self._writer.watch()
        waiting = 0 if self.state.is_live else self.state.waiting + len(strokes)
        is_working = self.state.is_live or self.state.is_working
        state = replace(self.state, waiting=waiting, is_saving=self._writer.is_writing, is_working=is_working)
        if self.state.is_live:
            self._latency_meter.start(course.corrections.touched_at)
            self._throttle.hold()
            self._note(state)
            self._submit()
        else:
            self._set(state)

    def _on_label(self, label: int) -> None:
        self._set(replace(self.state, label=label))

    def _on_gaze(self) -> None:
        """Show the answer where the user looks now."""
        course = self._layers
        if course is None or not self.state.is_open:
            return
        course.move_window()
        if course.is_windowed:
            self._set(replace(self.state, message=course.out_of_window_message()))
        compared = self.state.comparison
        if compared is not None and course.worker is not None:
            course.worker.inbox.append(Compare(compared.first, compared.second, course.view()))
        self._submit()

    def _on_yielded(self, events: Sequence[Any]) -> None:
        course = self._layers
        if course is None:
            return
        painted: list[ColourTile] = []
        is_complete = False  # whether the last tile of the latest answer is among them
        for event in events:
            if not isinstance(event, SessionMessage) or event.worker is not course.worker:
                continue
            if isinstance(event.event, ColourTile):
                painted.append(event.event)
                is_complete = event.event.done == event.event.total
            else:
                self._on_message(course, event)
                is_complete = is_complete and not isinstance(event.event, HeadFitted)
        course.show(painted)
        if is_complete:
            self._latency_meter.shown()
        if self.state.losses == self._recorded.losses or any(_is_judged(event) for event in events):
            self._record_progress()  # of steps only the last ones, when there is time
        show = self._note if all(_is_patient(event) for event in events) else self._set
        show(self.state)

    def _on_message(self, course: TeachLayers, event: SessionMessage) -> None:
        told = event.event
        self.state = apply(told, self.state)
        match told:
            case SessionOpened():
                self._remember(told.project)
                self._recorded = replace(told.progress, saved_at=0.0)
            case HeadFitted() if event.strokes >= course.strokes:
                self._latency_meter.answered()
            case ComparisonReady():
                shown = self.state.comparison.shown if self.state.comparison else "first"
                self.state = replace(self.state, comparison=CompareState(*told.numbers, shown))
            case RegionSuggested() if told.region.is_empty:
                message = "A stroke is within reach of every place that you see: move on to another."
                self.state = replace(self.state, message=message)
            case RegionSuggested():
                self.state = replace(
                    self.state, message=f"Uncertain here: {told.uncertainty:.0%}. Paint what is right."
                )
        course.apply(told, self.state)
        if isinstance(told, SessionOpened) and course.is_windowed:
            self.state = replace(self.state, message=course.out_of_window_message())

    def _prefetch(self) -> None:
        """Use the time in which the user does nothing: what lies around the view is likely to be seen next."""
        course = self._layers
        if course is not None and course.worker is not None and self.state.is_open and not self._runner.is_running:
            self._is_looking_ahead = True
            self._runner.start(partial(course.worker.prefetch, course.view()))

    def _on_finished(self) -> None:
        if self._is_looking_ahead:
            return
        self._calm.start()
        self._is_learning_once = False
        self._record_progress()
        self._note(replace(self.state, is_working=False, step=0))

    def _on_timed(self) -> None:
        self._throttle.release()
        self._note(replace(self.state, latency=self._latency_meter.seconds[-1]))

    def _show_changes(self) -> None:
        if self._layers is None:
            return
        if self.state.are_changes_shown and self.state.update is not None:
            self._layers.auxiliary.show_changes(self.state.update.ready, pairs(self.state.classes))
        else:
            self._layers.auxiliary.hide_changes()

    def _drop_update(self) -> None:
        update = self.state.update
        if update is not None:
            self.state = replace(self.state, update=replace(update, standing="dropped"))


def _is_judged(event: Any) -> bool:
    return isinstance(getattr(event, "event", None), CandidateEvaluated)


def _is_patient(event: Any) -> bool:
    return isinstance(getattr(event, "event", None), PATIENT)
