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
from napari_fcn.gui._controllers.teach.label_store import Sheet
from napari_fcn.gui._controllers.teach.messages import Opened, Recalled, Refused, TaughtClass, Told, Unsure
from napari_fcn.gui._layers import Stroke
from napari_fcn.gui._threads import Kept

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence

    from napari_fcn.gui._controllers.teach.commands import Command
    from napari_fcn.gui._controllers.teach.open_session import Opening
    from napari_fcn.models.card import ClassLabel
    from napari_fcn.settings import TeachSettings
    from napari_fcn.storage import Inputs

# What the engine says before it does something: told when that is done, as whoever is superseded is closed where it is.
ANNOUNCEMENTS = (StrokesScored, CandidateEvaluated)


@dataclass(frozen=True, slots=True)
class Ask:
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
    is_unsure_shown: bool = False


class Lesson:
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

    def __init__(self, opening: Opening) -> None:
        self.inbox: deque[Stroke | Command] = deque()
        self.journal = opening.journal
        self._opening = opening
        self._sheet = Sheet(opening.shape)
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

    def run(self, ask: Ask) -> Iterator[Kept | None]:
        """Do what waits, then learn and show; may be closed at any event and called again."""
        if self._teaching is None:
            yield self._open()  # with its own settings, if it is a project that is gone on with
        else:
            self.teaching.configure(ask.settings)
        while self.inbox:
            yield from self._take(self.inbox.popleft())
        while True:
            with closing(self._events(ask)) as events:  # type: ignore[type-var]  # generators can be closed
                is_interrupted = yield from self._show(events, ask)
            if not is_interrupted and not self._long and not self._is_unsure_due(ask):
                return
            yield from self._look(ask)
            if not is_interrupted:
                return

    def look_ahead(self, view: Region) -> Iterator[None]:
        """Prepare what lies around the view, while nothing else is to be done."""
        for _ in self.teaching.look_ahead(view):
            yield None

    def recall(self, move: Callable[[], Iterator[Any]]) -> Iterator[Any]:
        """Yield what moving to another commit tells, and how the corrections change."""
        self._learn_unseen()
        told = list(move())
        yield from told
        parts = self._sheet.become(self.teaching.samples) if told else ()
        yield Recalled(self._classes(), parts)

    def reclassify(self, classes: tuple[ClassLabel, ...], kept: tuple[int | None, ...]) -> Iterator[Any]:
        """Yield what other classes tell, and how the corrections change."""
        yield from list(self.teaching.set_classes(classes, kept))
        parts = self._sheet.renumber(kept)
        yield Recalled(self._classes(), parts)

    def classes_of(self, number: int) -> Sequence[ClassLabel]:
        """Return the classes of a commit."""
        classes: Sequence[ClassLabel] = self.teaching.history.checkpoint(number).info.classes
        return classes

    @property
    def inputs(self) -> Inputs:
        """What must survive when a model is saved."""
        return self._opening.inputs(self._project)

    def _open(self) -> Kept:
        start = self._opening.open()
        self._project = start.project
        self._teaching, self._strokes = start.teaching, start.strokes
        for stroke in start.corrections:
            self._sheet.write(stroke)
        teaching = start.teaching
        told = Opened(
            classes=self._classes(),
            settings=teaching.settings,
            strokes=self._sheet.strokes(),
            project=start.project,
            device=str(teaching.device),
            notes=start.notes,
            turn=int(teaching.turn),
            progress=start.progress,
        )
        return self._kept(told, pins(self), teaching.history.event())

    def _take(self, what: Stroke | Command) -> Iterator[Kept]:
        """Yield what a stroke or a command tells, after it is done: whoever closes this generator undoes nothing."""
        if isinstance(what, Stroke):
            self._sheet.write(what)
            self._strokes += 1
            self._taken += 1
        elif what.is_long:
            others = [known for known in self._long if type(known) is not type(what)]
            self._long = deque([*others, what])  # who wants to look, wants to look at the latest
        else:
            try:
                told = tuple(what.run(self))
            except (FcnError, OSError) as error:
                told = (Refused(error, what.is_restoring),)
            yield self._kept(*told)

    def _events(self, ask: Ask) -> Iterator[Any]:
        if not ask.is_learning:
            shown: Iterator[Any] = self.teaching.show(ask.view)
            return shown
        events: Iterator[Any] = self.teaching.refine(self._samples(), ask.view, self._strokes)
        return events

    def _samples(self) -> Any:
        return self._sheet.samples(len(self.teaching.classes))

    def _show(self, events: Iterator[Any], ask: Ask) -> Generator[Kept | None, None, bool]:
        """Yield events as they are shown; return whether the rest has to wait for somebody who wants to look."""
        colours = [label.colour for label in self.teaching.classes]
        untold: list[Any] = []
        for event in events:
            if isinstance(event, TileDone):
                yield self._kept(self._opening.canvas.receive(event, colours))  # the engine does not yield it again
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

    def _look(self, ask: Ask) -> Iterator[Kept | None]:
        """Yield what long commands tell; one that is given up for a stroke is begun again."""
        while self._long:
            command = self._long[0]
            try:
                for told in command.run(self):
                    yield None if told is None else self._kept(told)
            except FcnError as error:
                yield self._kept(Refused(error))
            self._long.popleft()
        if self._is_unsure_due(ask):
            yield from self._tell_unsure(ask.view)

    def _is_unsure_due(self, ask: Ask) -> bool:
        return ask.is_unsure_shown and self._unsure_of != self._key(ask.view)

    def _key(self, view: Region) -> object:
        return view, self._turn, self.teaching.history.present.number

    def _tell_unsure(self, view: Region) -> Iterator[Kept | None]:
        values = np.zeros(view.shape, np.uint8)
        for part in self.teaching.uncertainty(view):
            shown = part.region.intersection(view)
            inside = part.values[shown.relative_to(part.region).slices]
            values[shown.relative_to(view).slices] = np.clip(inside * 255 + 0.5, 0, 255)
            yield None
        self._unsure_of = self._key(view)
        yield self._kept(Unsure(view, values))

    def _learn_unseen(self) -> None:
        """Learn from strokes that came while nothing was to be learnt: what is undone is a commit with them."""
        samples = self._samples()
        if samples.same_as(self.teaching.samples):
            return
        for event in self.teaching.refine(samples, Region.whole(samples.shape), self._strokes):
            if isinstance(event, HeadFitted):
                return

    def _kept(self, *events: Any) -> Kept:
        return Kept(tuple(Told(self, self._taken, event) for event in events))

    def _classes(self) -> tuple[TaughtClass, ...]:
        painted = self._samples().counts(len(self.teaching.classes))
        return tuple(
            TaughtClass(label.name, label.colour, n) for label, n in zip(self.teaching.classes, painted, strict=True)
        )
