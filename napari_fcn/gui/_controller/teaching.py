"""The teach journey: from a brush stroke to the answer on screen."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_fcn.errors import FcnError
from napari_fcn.events import Answered, Suggested
from napari_fcn.gui._controller.beginning import START, Wish, begin
from napari_fcn.gui._controller.commands import Compare, Reject
from napari_fcn.gui._controller.course import Course, pairs
from napari_fcn.gui._controller.desk import Desk
from napari_fcn.gui._controller.journal import Journal
from napari_fcn.gui._controller.lesson import Ask
from napari_fcn.gui._controller.news import Opened, SideBySide, Told
from napari_fcn.gui._controller.opening import Tools
from napari_fcn.gui._controller.stopwatch import Stopwatch
from napari_fcn.gui._controller.teach_state import Comparison, TeachState, follow
from napari_fcn.gui._controller.work import warm_up_teaching
from napari_fcn.gui._jobs import JobRunner, Writer
from napari_fcn.gui._layers import Gaze, Painted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.components import ViewerModel
    from napari.layers import Layer
    from qtpy.QtCore import QObject

    from napari_fcn.events import Change
    from napari_fcn.gui._controller.commands import Command
    from napari_fcn.gui._layers import Stroke
    from napari_fcn.settings import TeachSettings

PERIOD = 8  # milliseconds until an answer that is there is shown


class TeachController(Desk):
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

    state: TeachState

    def __init__(self, viewer: ViewerModel, tools: Tools | None = None, parent: QObject | None = None) -> None:
        super().__init__(viewer, TeachState(), parent)
        self._tools = tools or Tools()
        self._course: Course | None = None
        self._settings: TeachSettings | None = None
        self._folders: dict[tuple[str, Path | None], Path] = {}
        self._wish: Wish | None = None
        self._is_learning_once = False
        self._stopwatch = Stopwatch(self.viewer, self._on_timed)
        self._gaze = Gaze(self.viewer, self)
        self._gaze.settled.connect(self._on_gaze)
        self._writer = Writer(self)
        self._writer.written.connect(self._on_written)
        self._writer.failed.connect(self._on_unwritten)
        self._journal = Journal(self._writer)
        self._runner = JobRunner(self, PERIOD)
        self._runner.yielded.connect(self._on_yielded)
        self._runner.failed.connect(self._on_failed)
        self._runner.finished.connect(self._on_finished)

    # The dock and its course

    @property
    def is_busy(self) -> bool:
        """Whether a thread is alive, also to warm up or to write."""
        return self._runner.is_running or self._writer.is_writing

    @property
    def latencies(self) -> list[float]:
        """Seconds from the end of each stroke to the frame that showed its answer."""
        return self._stopwatch.seconds

    @property
    def course(self) -> Course | None:
        """The layers of what is taught; None if nothing is."""
        return self._course

    def connect(self) -> None:
        """Watch the viewer."""
        self.viewer.layers.events.removed.connect(self._on_removed)
        self._gaze.connect()

    def shutdown(self) -> None:
        """End what runs and let go of the viewer; what was painted is written, and the layers stay."""
        self.stop("")
        self._gaze.disconnect_viewer()
        self.viewer.layers.events.removed.disconnect(self._on_removed)
        self._runner.shutdown()

    def warm_up(self, model: Path | None) -> None:
        """Load what the first stroke will need, unless something runs already."""
        if self._course is None and not self._runner.is_running:
            self._runner.start(partial(warm_up_teaching, model, self._loaded))

    def start(self, wish: Wish) -> None:
        """Begin to teach, or go on where this dock was before; what goes wrong becomes the error shown."""
        self.stop("")
        wish = replace(wish, folder=wish.folder or self._folders.get(wish.key))
        try:
            state = TeachState(
                phase="opening",
                image=wish.layer.name,
                model=wish.model_name(),
                is_live=self.state.is_live,
                is_asking=wish.settings.network == "ask",
                classes=wish.classes(),
                message=f"Preparing to teach on {wish.layer.name} …",
            )
            self._course = begin(self.viewer, wish, self._journal, self._loaded, self._tools)
        except FcnError as error:
            self._set(TeachState(error=str(error), is_live=self.state.is_live))
            return
        self._wish, self._settings = wish, wish.settings
        corrections = self._course.corrections
        corrections.changed.connect(self._on_painted)
        corrections.lost.connect(self.stop)
        corrections.label_chosen.connect(self._on_label)
        wish.layer.events.data.connect(self._on_data)
        corrections.take_up()
        self._set(replace(state, label=corrections.layer.selected_label))
        self._ask()

    def open_project(self, wish: Wish) -> None:
        """Go on with the project in ``wish.folder`` on its image; what goes wrong becomes the error shown."""
        assert wish.folder is not None
        model = wish.folder / START
        self.start(replace(wish, model=model if model.exists() else None))

    def stop(self, message: str = "Teaching has ended; layers and project stay.") -> None:
        """End the course, without waiting for it."""
        course = self._course
        if course is None:
            return
        if course.corrections.layer in self.viewer.layers:
            course.corrections.flush()
        self._course = None
        self._runner.cancel()
        course.source.events.data.disconnect(self._on_data)
        course.close()
        self._journal.close()
        self._writer.watch()
        self._set(TeachState(message=message, is_live=self.state.is_live, error=self.state.error))

    def stop_teaching(self) -> None:
        """End the course because the user wants it."""
        self.stop()

    def keyed_layers(self) -> list[Layer]:
        """Return the layers that must not take our keys for theirs while one of them is active."""
        return [] if self._course is None else self._course.layers

    def axis_names(self) -> tuple[str, ...]:
        """Return what the image axes are called."""
        return () if self._course is None else self._course.axes.image

    def toggle_answer(self) -> None:
        """Hide the answer to see the image, or show it again."""
        if self._course is not None:
            self._course.toggle_answer()

    # What the user does

    def configure(self, settings: TeachSettings) -> None:
        """Learn in another way from now on."""
        if self._course is None or settings == self._settings:
            return
        self._settings = settings
        self._set(replace(self.state, is_asking=settings.network == "ask"))
        self._ask()

    def set_live(self, is_live: bool) -> None:
        """Learn from each stroke at once, or only when asked to."""
        self._set(replace(self.state, is_live=is_live))
        if self._course is not None:
            self._ask()

    def learn_now(self) -> None:
        """Learn from all strokes once."""
        if self._course is not None:
            self._is_learning_once = True
            self._ask()

    def do(self, command: Command) -> None:
        """Have a command done by the worker, whatever else happens."""
        course = self._course
        if course is None or course.lesson is None or not self.state.is_open:
            return
        if command.is_restoring:
            course.corrections.hold()
        course.lesson.inbox.append(command)
        if isinstance(command, Reject):
            self._drop_update()
        self._ask()

    def choose(self, label: int) -> None:
        """Paint this from now on; 0 erases."""
        if self._course is not None and label <= len(self.state.classes):
            self._course.corrections.choose(label)

    def look_at(self, change: Change) -> None:
        """Go to a place where a candidate answers otherwise."""
        if self._course is not None:
            self._course.looks.go_to(change.region)

    def show_changes(self, is_shown: bool) -> None:
        """Show where the candidate answers otherwise, or not."""
        self._set(replace(self.state, are_changes_shown=is_shown))
        self._show_changes()

    def show_unsure(self, is_shown: bool) -> None:
        """Show how unsure the model is, or not."""
        if self._course is None:
            return
        self._set(replace(self.state, is_unsure_shown=is_shown))
        if is_shown:
            self._ask()
        else:
            self._course.looks.hide_unsure()

    def show_compared(self, shown: str) -> None:
        """Show the first of two compared answers, the second, or one in each half."""
        if self._course is not None and self.state.comparison is not None:
            self._course.looks.show_compared(shown)
            self._set(replace(self.state, comparison=replace(self.state.comparison, shown=shown)))

    def end_comparison(self) -> None:
        """Show the present answer again."""
        if self._course is not None:
            self._course.looks.end_comparison()
        self._set(replace(self.state, comparison=None))

    # What happens

    def _ask(self) -> None:
        """Let the worker do what is wanted now, instead of what was wanted before."""
        course = self._course
        if course is None or course.lesson is None or self._settings is None:
            return
        is_learning = self.state.is_live or self._is_learning_once
        ask = Ask(course.view(), self._settings, is_learning, self.state.is_unsure_shown)
        self._runner.start(partial(course.lesson.run, ask))
        if not self.state.is_working:
            self._set(replace(self.state, is_working=True))

    def _on_painted(self, strokes: tuple[Stroke, ...]) -> None:
        """Write and learn what the user has painted, erased or undone."""
        course = self._course
        if course is None or course.lesson is None:
            return
        for stroke in strokes:
            self._journal.stroke(stroke)
            course.send(stroke)
        if self.state.project:
            self._writer.watch()
        waiting = 0 if self.state.is_live else self.state.waiting + len(strokes)
        is_working = self.state.is_live or self.state.is_working
        state = replace(self.state, waiting=waiting, is_saving=self._writer.is_writing, is_working=is_working)
        if self.state.is_live:
            self._stopwatch.start(course.corrections.touched_at)
            self.state = state  # shown below, once the worker is on its way
            self._ask()
        self._set(state)

    def _on_label(self, label: int) -> None:
        self._set(replace(self.state, label=label))

    def _on_gaze(self) -> None:
        """Show the answer where the user looks now."""
        course = self._course
        if course is None or not self.state.is_open:
            return
        compared = self.state.comparison
        if compared is not None and course.lesson is not None:
            course.lesson.inbox.append(Compare(compared.first, compared.second, course.view()))
        self._ask()

    def _on_yielded(self, events: Sequence[Any]) -> None:
        course = self._course
        if course is None:
            return
        told = [event for event in events if isinstance(event, Told) and event.lesson is course.lesson]
        painted = [event.what for event in told if isinstance(event.what, Painted)]
        for event in told:
            if not isinstance(event.what, Painted):
                self._on_told(course, event)
        course.show(painted)
        if any(tile.done == tile.total for tile in painted):
            self._stopwatch.shown()
        self._set(self.state)

    def _on_told(self, course: Course, event: Told) -> None:
        told = event.what
        self.state = follow(told, self.state)
        match told:
            case Opened():
                if told.project and self._wish is not None:
                    self._folders[self._wish.key] = Path(told.project)
            case Answered() if event.strokes >= course.strokes:
                self._stopwatch.answered()
            case SideBySide():
                shown = self.state.comparison.shown if self.state.comparison else "first"
                self.state = replace(self.state, comparison=Comparison(*told.numbers, shown))
            case Suggested() if told.region.is_empty:
                message = "A stroke is within reach of every place that you see: move on to another."
                self.state = replace(self.state, message=message)
            case Suggested():
                self.state = replace(
                    self.state, message=f"Uncertain here: {told.uncertainty:.0%}. Paint what is right."
                )
        course.hear(told, self.state)

    def _on_finished(self) -> None:
        self._is_learning_once = False
        self._set(replace(self.state, is_working=False, step=0))

    def _on_failed(self, error: Exception) -> None:
        """Stop to learn; what was painted stays and is written."""
        self._is_learning_once = False
        text = self._sentence(error)
        if not self.state.is_open:
            if self._wish is not None:
                self._folders.pop(self._wish.key, None)
            self.stop("")
            self._set(replace(self.state, error=text))
            return
        if self._course is not None:
            self._course.corrections.release()
        self._set(replace(self.state, is_live=False, is_working=False, error=text))

    def _on_removed(self, event: Any) -> None:
        if self._course is not None and self._course.has_lost(event.value):
            self.stop(f"The layer {event.value.name} was removed, so teaching has stopped. Press Start to go on.")

    def _on_data(self, _: object = None) -> None:
        if self._course is not None and self._course.is_replaced:
            name = self._course.source.name
            self.stop(f"The pixels of {name} have changed, so teaching has stopped. Press Start to go on.")

    def _on_timed(self) -> None:
        self._set(replace(self.state, latency=self._stopwatch.seconds[-1]))

    def _on_written(self, _: int) -> None:
        warning = "" if self.state.project else self.state.warning
        self._set(replace(self.state, saved_at=time.monotonic(), is_saving=self._writer.is_writing, warning=warning))

    def _on_unwritten(self, error: Exception) -> None:
        self._set(replace(self.state, warning=f"Not saved yet: {self._sentence(error)}"))

    def _show_changes(self) -> None:
        if self._course is None:
            return
        if self.state.are_changes_shown and self.state.update is not None:
            self._course.looks.show_changes(self.state.update.ready, pairs(self.state.classes))
        else:
            self._course.looks.hide_changes()

    def _drop_update(self) -> None:
        update = self.state.update
        if update is not None:
            self.state = replace(self.state, update=replace(update, standing="dropped"))
