"""What the worker thread does while a model is taught: the engine's events, with tiles already painted."""

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
from napari_fcn.gui._threads import MustDeliver

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence

    from napari_fcn.gui._controllers.teach.commands import Command
    from napari_fcn.gui._controllers.teach.open_session import SessionFactory
    from napari_fcn.models.card import ClassLabel
    from napari_fcn.settings import TeachSettings
    from napari_fcn.storage import Inputs

# What the engine says before it does something: told when that is done, as whoever is superseded is closed where it is.
ANNOUNCEMENTS = (StrokesScored, CandidateEvaluated)


@dataclass(frozen=True, slots=True)
class LearnRequest:
    """What is wanted at one moment; the next one replaces it.

    Attributes
    ----------
    view : Region
        What is on screen, on the image axes.
    settings : TeachSettings
        How to learn.
    is_learning : bool
        Whether to learn from the strokes, or only to show what is known.
    is_unsure_shown : bool
        Whether to tell how unsure the model is.
    """

    view: Region
    settings: TeachSettings
    is_learning: bool = True
    is_uncertainty_shown: bool = False


class TeachWorker:
    """One model, one image, one project, as long as they belong together. Only the worker thread runs it.

    Parameters
    ----------
    opening : Opening
        Makes the engine and the project.

    Attributes
    ----------
    inbox : deque of (Stroke or Command)
        What happened since the last run, in order; the GUI thread fills it.
    """

    def __init__(self, opening: SessionFactory) -> None:
        self.inbox: deque[Stroke | Command] = deque()
        self.writer = opening.journal
        self._factory = opening
        self._labels = LabelStore(opening.shape)
        self._teaching: Any = None
        self._strokes = self._taken = 0
        self._long: deque[Command] = deque()
        self._unsure_of: object = None
        self._turn = 0
        self._project = ""

    @property
    def teaching(self) -> Any:
        """The engine."""
        assert self._teaching is not None, "it is made by the first run"
        return self._teaching

    def run(self, ask: LearnRequest) -> Iterator[MustDeliver | None]:
        """Do what waits, then learn and show; may be closed at any event and called again."""
        if self._teaching is None:
            yield self._open()  # with its own settings, if it is a project that is gone on with
        else:
            self.teaching.configure(ask.settings)
        while self.inbox:
            yield from self._run_command(self.inbox.popleft())
        while True:
            with closing(self._events(ask)) as events:  # type: ignore[type-var]  # generators can be closed
                is_interrupted = yield from self._show(events, ask)
            if not is_interrupted and not self._long and not self._is_unsure_due(ask):
                return
            yield from self._predict_view(ask)
            if not is_interrupted:
                return

    def prefetch(self, view: Region) -> Iterator[None]:
        """Prepare what lies around the view, while nothing else is to be done."""
        for _ in self.teaching.prefetch(view):
            yield None

    def restore(self, move: Callable[[], Iterator[Any]]) -> Iterator[Any]:
        """Yield what moving to another commit tells, and how the corrections change."""
        self._learn_hidden()
        told = list(move())
        yield from told
        parts = self._labels.replace_with(self.teaching.samples) if told else ()
        yield StateRestored(self._classes(), parts)

    def reclassify(self, classes: tuple[ClassLabel, ...], old_indices: tuple[int | None, ...]) -> Iterator[Any]:
        """Yield what other classes tell, and how the corrections change."""
        yield from list(self.teaching.set_classes(classes, old_indices))
        parts = self._labels.remap_classes(old_indices)
        yield StateRestored(self._classes(), parts)

    def classes_of(self, number: int) -> Sequence[ClassLabel]:
        """Return the classes of a commit."""
        classes: Sequence[ClassLabel] = self.teaching.history.checkpoint(number).info.classes
        return classes

    @property
    def inputs(self) -> Inputs:
        """What must survive when a model is saved."""
        return self._factory.inputs(self._project)

    def _open(self) -> MustDeliver:
        start = self._factory.open()
        self._project = start.project
        self._teaching, self._strokes = start.teaching, start.strokes
        for stroke in start.corrections:
            self._labels.write(stroke)
        teaching = start.teaching
        told = SessionOpened(
            classes=self._classes(),
            settings=teaching.settings,
            strokes=self._labels.strokes(),
            project=start.project,
            device=str(teaching.device),
            notes=start.notes,
            turn=int(teaching.turn),
            progress=start.progress,
        )
        return self._kept(told, pins(self), teaching.history.event())

    def _run_command(self, what: Stroke | Command) -> Iterator[MustDeliver]:
        """Yield what a stroke or a command tells, after it is done: whoever closes this generator undoes nothing."""
        if isinstance(what, Stroke):
            self._labels.write(what)
            self._strokes += 1
            self._taken += 1
        elif what.is_long:
            others = [known for known in self._long if type(known) is not type(what)]
            self._long = deque([*others, what])  # who wants to look, wants to look at the latest
        else:
            try:
                told = tuple(what.run(self))
            except (FcnError, OSError) as error:
                told = (CommandFailed(error, what.is_restoring),)
            yield self._kept(*told)

    def _events(self, ask: LearnRequest) -> Iterator[Any]:
        if not ask.is_learning:
            shown: Iterator[Any] = self.teaching.predict(ask.view)
            return shown
        events: Iterator[Any] = self.teaching.run_round(self._samples(), ask.view, self._strokes)
        return events

    def _samples(self) -> Any:
        return self._labels.samples(len(self.teaching.classes))

    def _show(self, events: Iterator[Any], ask: LearnRequest) -> Generator[MustDeliver | None, None, bool]:
        """Yield events as they are shown; return whether the rest has to wait for somebody who wants to look."""
        colours = [label.colour for label in self.teaching.classes]
        untold: list[Any] = []
        for event in events:
            if isinstance(event, TileDone):
                yield self._kept(self._factory.canvas.receive(event, colours))  # the engine does not yield it again
                continue
            if not isinstance(event, Heartbeat):
                untold.append(event)
            if isinstance(event, ANNOUNCEMENTS):
                continue
            if isinstance(event, HeadFitted):
                self._turn = event.turn
            yield self._kept(*untold) if untold else None
            untold.clear()
            if isinstance(event, StepDone | Heartbeat) and (self._long or self._is_unsure_due(ask)):
                return True
        if untold:
            yield self._kept(*untold)
        return False

    def _predict_view(self, ask: LearnRequest) -> Iterator[MustDeliver | None]:
        """Yield what long commands tell; one that is given up for a stroke is begun again."""
        while self._long:
            command = self._long[0]
            try:
                for told in command.run(self):
                    yield None if told is None else self._kept(told)
            except FcnError as error:
                yield self._kept(CommandFailed(error))
            self._long.popleft()
        if self._is_unsure_due(ask):
            yield from self._report_uncertainty(ask.view)

    def _is_unsure_due(self, ask: LearnRequest) -> bool:
        return ask.is_uncertainty_shown and self._unsure_of != self._key(ask.view)

    def _key(self, view: Region) -> object:
        return view, self._turn, self.teaching.history.present.number

    def _report_uncertainty(self, view: Region) -> Iterator[MustDeliver | None]:
        values = np.zeros(view.shape, np.uint8)
        for part in self.teaching.uncertainty(view):
            shown = part.region.intersection(view)
            inside = part.values[shown.relative_to(part.region).slices]
            values[shown.relative_to(view).slices] = np.clip(inside * 255 + 0.5, 0, 255)
            yield None
        self._unsure_of = self._key(view)
        yield self._kept(UncertaintyReady(view, values))

    def _learn_hidden(self) -> None:
        """Learn from strokes that came while nothing was to be learnt: what is undone is a commit with them."""
        samples = self._samples()
        if samples.equals(self.teaching.samples):
            return
        for event in self.teaching.run_round(samples, Region.whole(samples.shape), self._strokes):
            if isinstance(event, HeadFitted):
                return

    def _kept(self, *events: Any) -> MustDeliver:
        return MustDeliver(tuple(SessionMessage(self, self._taken, event) for event in events))

    def _classes(self) -> tuple[PaintedClass, ...]:
        painted = self._samples().counts(len(self.teaching.classes))
        return tuple(
            PaintedClass(label.name, label.colour, n) for label, n in zip(self.teaching.classes, painted, strict=True)
        )
