"""The worker thread's side of a teaching session: it runs the engine and translates its events into messages."""

from __future__ import annotations

from collections import deque
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_fcn.errors import FcnError
from napari_fcn.events import CandidateEvaluated, HeadFitted, Heartbeat, StepDone, StrokesScored, TileDone
from napari_fcn.geometry import Region
from napari_fcn.gui._controllers.teach.commands import pins
from napari_fcn.gui._controllers.teach.label_store import LabelStore
from napari_fcn.gui._controllers.teach.messages import (
    CommandFailed,
    PaintedClass,
    SessionMessage,
    SessionOpened,
    StateRestored,
    UncertaintyReady,
)
from napari_fcn.gui._layers import Stroke

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence

    from napari_fcn.gui._controllers.teach.commands import Command
    from napari_fcn.gui._controllers.teach.messages import Payload
    from napari_fcn.gui._controllers.teach.open_session import SessionFactory
    from napari_fcn.models.card import ClassLabel
    from napari_fcn.settings import TeachSettings
    from napari_fcn.storage import Inputs

    Messages = Iterator[SessionMessage | None]  # None is a point at which the run can be replaced


@dataclass(frozen=True, slots=True)
class LearnRequest:
    """The current request of the dock; the next one replaces it.

    Attributes
    ----------
    view : Region
        The visible region, on the image axes.
    settings : TeachSettings
        Settings of learning.
    is_learning : bool
        Whether to learn from new strokes, or only to predict.
    is_uncertainty_shown : bool
        Whether to compute the uncertainty too.
    """

    view: Region
    settings: TeachSettings
    is_learning: bool = True
    is_uncertainty_shown: bool = False


class TeachWorker:
    """One model on one image with one project. Only the worker thread runs it.

    Parameters
    ----------
    factory : SessionFactory
        Makes the engine and the project.

    Attributes
    ----------
    inbox : deque of (Stroke or Command)
        Strokes and commands since the last run, in order; the GUI thread appends to it.
    """

    def __init__(self, factory: SessionFactory) -> None:
        self.inbox: deque[Stroke | Command] = deque()
        self.writer = factory.writer
        self._factory = factory
        self._labels = LabelStore(factory.shape)
        self._teaching: Any = None
        self._strokes = 0  # number of the last stroke that was received
        self._long_commands: deque[Command] = deque()
        self._uncertainty_key: object = None
        self._project = ""

    @property
    def teaching(self) -> Any:
        """The engine."""
        assert self._teaching is not None, "the first run creates it"
        return self._teaching

    def run(self, request: LearnRequest) -> Messages:
        """Work through the inbox, then learn and predict; may be closed at any yield and called again."""
        if self._teaching is None:
            yield self._open()  # the settings are those of the project, if one is resumed
        else:
            self.teaching.configure(request.settings)
        while self.inbox:
            yield from self._take(self.inbox.popleft())
        while True:
            with closing(self._events(request)) as events:  # type: ignore[type-var]  # generators can be closed
                is_interrupted = yield from self._translate(events, request)
            if not is_interrupted and not self._has_long_work(request):
                return
            yield from self._do_long_work(request)
            if not is_interrupted:
                return

    def prefetch(self, view: Region) -> Iterator[None]:
        """Compute the features around the view, while there is nothing else to do."""
        for _ in self.teaching.prefetch(view):
            yield None

    def restore(self, move: Callable[[], Iterator[Any]]) -> Iterator[Payload]:
        """Go to another commit; yield the new history and the changes of the corrections."""
        self._learn_pending()
        events = list(move())
        yield from events
        parts = self._labels.replace_with(self.teaching.samples) if events else ()
        yield StateRestored(self._classes(), parts)

    def reclassify(self, classes: tuple[ClassLabel, ...], old_indices: tuple[int | None, ...]) -> Iterator[Payload]:
        """Edit the classes; yield the new history and the changes of the corrections."""
        yield from list(self.teaching.set_classes(classes, old_indices))
        parts = self._labels.remap_classes(old_indices)
        yield StateRestored(self._classes(), parts)

    def classes_of(self, number: int) -> Sequence[ClassLabel]:
        """Return the classes of a commit."""
        classes: Sequence[ClassLabel] = self.teaching.history.checkpoint(number).info.classes
        return classes

    @property
    def inputs(self) -> Inputs:
        """The files that saving a model must not overwrite."""
        return self._factory.inputs(self._project)

    def _open(self) -> SessionMessage:
        opened = self._factory.open()
        self._project = opened.project
        self._teaching, self._strokes = opened.teaching, opened.strokes
        for stroke in opened.corrections:
            self._labels.write(stroke)
        payload = SessionOpened(
            classes=self._classes(),
            settings=self.teaching.settings,
            strokes=self._labels.strokes(),
            project=opened.project,
            device=str(self.teaching.device),
            notes=opened.notes,
            turn=int(self.teaching.turn),
            progress=opened.progress,
        )
        return self._message(payload, pins(self), self.teaching.history.event())

    def _take(self, item: Stroke | Command) -> Messages:
        """Store a stroke, or complete a command and yield its message; closing this generator undoes nothing."""
        if isinstance(item, Stroke):
            self._labels.write(item)
            self._strokes += 1
        elif item.is_long:
            others = [command for command in self._long_commands if type(command) is not type(item)]
            self._long_commands = deque([*others, item])  # only the latest of a kind counts
        else:
            try:
                payloads = tuple(item.run(self))
            except (FcnError, OSError) as error:
                payloads = (CommandFailed(error, item.is_restoring),)
            yield self._message(*payloads) if payloads else None

    def _events(self, request: LearnRequest) -> Iterator[Any]:
        if request.is_learning:
            events: Iterator[Any] = self.teaching.run_round(self._samples(), request.view, self._strokes)
        else:
            events = self.teaching.predict(request.view)
        return events

    def _samples(self) -> Any:
        return self._labels.samples(len(self.teaching.classes))

    def _translate(self, events: Iterator[Any], request: LearnRequest) -> Generator[SessionMessage | None, None, bool]:
        """Yield the messages of a round; return whether it was interrupted for a long command or the uncertainty.

        A score is sent together with the next event: the engine yields it before the step that it belongs to is
        complete, and a run that was replaced is closed at the next message.
        """
        colours = [label.colour for label in self.teaching.classes]
        unsent: list[Payload] = []
        for event in events:
            match event:
                case TileDone():
                    unsent.append(self._factory.canvas.process_tile(event, colours))
                case StrokesScored() | CandidateEvaluated():
                    unsent.append(event)
                    continue
                case Heartbeat():
                    pass
                case _:
                    unsent.append(event)
            yield self._message(*unsent, can_wait=True) if unsent else None
            unsent.clear()
            if isinstance(event, StepDone | Heartbeat) and self._has_long_work(request):
                return True
        if unsent:
            yield self._message(*unsent, can_wait=True)
        return False

    def _has_long_work(self, request: LearnRequest) -> bool:
        return bool(self._long_commands) or self._is_uncertainty_due(request)

    def _do_long_work(self, request: LearnRequest) -> Messages:
        """Do the long commands and compute the uncertainty; a command that a stroke replaces starts again later."""
        while self._long_commands:
            command = self._long_commands[0]
            try:
                for payload in command.run(self):
                    yield None if payload is None else self._message(payload)
            except FcnError as error:
                yield self._message(CommandFailed(error))
            self._long_commands.popleft()
        if self._is_uncertainty_due(request):
            yield from self._compute_uncertainty(request.view)

    def _is_uncertainty_due(self, request: LearnRequest) -> bool:
        return request.is_uncertainty_shown and self._uncertainty_key != self._key(request.view)

    def _key(self, view: Region) -> object:
        return view, self.teaching.turn, self.teaching.history.present.number

    def _compute_uncertainty(self, view: Region) -> Messages:
        values = np.zeros(view.shape, np.uint8)
        for part in self.teaching.uncertainty(view):
            visible = part.region.intersection(view)
            block = part.values[visible.relative_to(part.region).slices]
            values[visible.relative_to(view).slices] = np.clip(block * 255 + 0.5, 0, 255)
            yield None
        self._uncertainty_key = self._key(view)
        yield self._message(UncertaintyReady(view, values), can_wait=True)

    def _learn_pending(self) -> None:
        """Learn from strokes that were painted while live was off, so that a commit with them can be undone."""
        samples = self._samples()
        if samples.equals(self.teaching.samples):
            return
        for event in self.teaching.run_round(samples, Region.whole(samples.shape), self._strokes):
            if isinstance(event, HeadFitted):
                return

    def _message(self, *payloads: Payload, can_wait: bool = False) -> SessionMessage:
        return SessionMessage(self, self._strokes, payloads, can_wait)

    def _classes(self) -> tuple[PaintedClass, ...]:
        painted = self._samples().counts(len(self.teaching.classes))
        return tuple(
            PaintedClass(label.name, label.colour, n) for label, n in zip(self.teaching.classes, painted, strict=True)
        )
