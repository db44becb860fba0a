"""The messages from the teaching worker to the GUI thread."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from napari_fcn.gui._controllers.teach.progress import TeachProgress
from napari_fcn.gui._layers import visible_colour

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from napari_fcn.events import (
        CandidateEvaluated,
        HeadFitted,
        HeadRefined,
        HistoryChanged,
        RegionSuggested,
        StepDone,
        StrokesScored,
    )
    from napari_fcn.geometry import Region
    from napari_fcn.gui._controllers.teach.worker import TeachWorker
    from napari_fcn.gui._layers import ColourTile, LabelChange, Stroke
    from napari_fcn.settings import TeachSettings

    Picture = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True, eq=False)
class SessionMessage:
    """The changes by one step of the worker, delivered together.

    Attributes
    ----------
    worker : TeachWorker
        The sender. A message may arrive after another session has started.
    strokes : int
        Number of the last stroke that the worker has received.
    payloads : tuple
        Events of the engine, coloured tiles, and the classes below, in order.
    can_wait : bool
        Whether the dock may show it later, together with others: events of a round of learning can wait for the
        prediction; the result of a command cannot.
    must_deliver : bool
        Always True: it arrives even if a newer request has replaced the run, because the engine yields nothing twice.
    """

    worker: TeachWorker
    strokes: int
    payloads: tuple[Payload, ...]
    can_wait: bool = False
    must_deliver: ClassVar[bool] = True


@dataclass(frozen=True, slots=True)
class PaintedClass:
    """A class while it is taught: its name, its colour ``#rrggbb``, and the number of its painted pixels."""

    name: str
    colour: str
    painted: int = 0

    @property
    def stroke_colour(self) -> str:
        """The colour of its strokes: its own, or a brighter one if that is too dark."""
        return visible_colour(self.colour)


@dataclass(frozen=True, slots=True, eq=False)
class SessionOpened:
    """The session is ready for strokes.

    Attributes
    ----------
    classes : tuple of PaintedClass
        Classes of the model.
    settings : TeachSettings
        How to learn: as requested, or as stored in the project that was opened.
    strokes : tuple of Stroke
        Corrections of the project.
    project : str
        The project folder; empty if there is none.
    device : str
        Device of the network.
    notes : tuple of str
        Sentences for the user.
    turn : int
        Rounds of learning so far.
    progress : TeachProgress
        Scores, losses and notes stored in the project.
    """

    classes: tuple[PaintedClass, ...]
    settings: TeachSettings
    strokes: tuple[Stroke, ...] = ()
    project: str = ""
    device: str = ""
    notes: tuple[str, ...] = ()
    turn: int = 0
    progress: TeachProgress = field(default_factory=TeachProgress)


@dataclass(frozen=True, slots=True, eq=False)
class StateRestored:
    """Classes and corrections have changed together: another commit is in use, or the classes were edited.

    Attributes
    ----------
    classes : tuple of PaintedClass
        The classes from now on.
    parts : tuple of LabelChange
        How the corrections change.
    """

    classes: tuple[PaintedClass, ...]
    parts: tuple[LabelChange, ...]


@dataclass(frozen=True, slots=True)
class PinsChanged:
    """The names of all pins."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class ComparisonReady:
    """The predictions of two commits for one region of the image, RGBA, in the order of the request."""

    numbers: tuple[int, int]
    region: Region
    pictures: tuple[Picture, Picture]


@dataclass(frozen=True, slots=True, eq=False)
class UncertaintyReady:
    """The uncertainty of the model in a region of the image: 0 (certain) to 255."""

    region: Region
    values: Picture


@dataclass(frozen=True, slots=True)
class ModelSaved:
    """A model was written to a file."""

    path: str


@dataclass(frozen=True, slots=True, eq=False)
class CommandFailed:
    """A command could not be done, and why; ``is_restoring`` if strokes are held back until it is done."""

    error: Exception
    is_restoring: bool = False


if TYPE_CHECKING:
    EngineEvent = (
        StrokesScored | HeadFitted | HeadRefined | StepDone | CandidateEvaluated | HistoryChanged | RegionSuggested
    )
    Payload = (
        EngineEvent
        | ColourTile
        | SessionOpened
        | StateRestored
        | PinsChanged
        | ComparisonReady
        | UncertaintyReady
        | ModelSaved
        | CommandFailed
    )
