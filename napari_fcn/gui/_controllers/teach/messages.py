"""What the worker tells while a model is taught, besides what the engine yields."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from napari_fcn.gui._controllers.teach.progress import TeachProgress
from napari_fcn.gui._layers import visible

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from napari_fcn.geometry import Region
    from napari_fcn.gui._controllers.teach.worker import TeachWorker
    from napari_fcn.gui._layers import LabelChange, Stroke
    from napari_fcn.settings import TeachSettings

    Picture = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True, eq=False)
class SessionMessage:
    """Something that one lesson tells; it may arrive when another has begun.

    Attributes
    ----------
    lesson : Lesson
        Which one.
    strokes : int
        How many strokes it had taken from its inbox.
    what : object
        The event.
    """

    worker: TeachWorker
    strokes: int
    event: Any


@dataclass(frozen=True, slots=True)
class PaintedClass:
    """A class while it is taught: its name, its colour ``#rrggbb``, and how many pixels are painted as it."""

    name: str
    colour: str
    painted: int = 0

    @property
    def stroke_colour(self) -> str:
        """In which its strokes are shown: its own, unless that is too dark to be seen."""
        return visible(self.colour)


@dataclass(frozen=True, slots=True, eq=False)
class SessionOpened:
    """Everything is ready to learn.

    Attributes
    ----------
    classes : tuple of TaughtClass
        What the model tells apart.
    strokes : tuple of Stroke
        What was painted in an earlier session.
    project : str
        The project folder; empty if there is none.
    device : str
        Where the network learns.
    notes : tuple of str
        Sentences for the user.
    settings : TeachSettings
        How it learns: as asked, or as in the project that is gone on with.
    turn : int
        How often the strokes had changed.
    progress : Progress
        What an earlier session has shown.
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
    """The user went to another state of the model: classes and corrections are what they were there.

    Attributes
    ----------
    classes : tuple of TaughtClass
        What the model tells apart.
    parts : tuple of Restored
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
    """The answers of two commits for one region of the image, RGBA, in the order in which they were asked for."""

    numbers: tuple[int, int]
    region: Region
    pictures: tuple[Picture, Picture]


@dataclass(frozen=True, slots=True, eq=False)
class UncertaintyReady:
    """How unsure the model is in a region of the image: 0 (sure) to 255."""

    region: Region
    values: Picture


@dataclass(frozen=True, slots=True)
class ModelSaved:
    """A model was written to a file."""

    path: str


@dataclass(frozen=True, slots=True, eq=False)
class CommandFailed:
    """Something that the user asked for could not be done, and why; ``is_restoring`` if the strokes wait for it."""

    error: Exception
    is_restoring: bool = False
