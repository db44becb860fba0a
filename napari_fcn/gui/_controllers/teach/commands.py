"""What the user asks of a model that is being taught; each waits in a queue until the worker has done it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np

from napari_fcn.errors import FcnError
from napari_fcn.events import ComparisonTile
from napari_fcn.gui._controllers.teach.messages import ComparisonReady, ModelSaved, PinsChanged
from napari_fcn.gui._layers import colorize_tile
from napari_fcn.models.card import ClassLabel

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from napari_fcn.geometry import Region
    from napari_fcn.gui._controllers.teach.messages import PaintedClass
    from napari_fcn.gui._controllers.teach.worker import TeachWorker


# Okabe & Ito (2008), told apart with every kind of colour vision; the order is that of the shipped models.
PALETTE = ("#56b4e9", "#d55e00", "#e69f00", "#009e73", "#cc79a7", "#f0e442", "#0072b2", "#999999")
MIN_CLASSES, MAX_CLASSES = 2, 9  # classes; each has a key


def add_class(classes: Sequence[PaintedClass]) -> SetClasses:
    """Return the classes with a new one at the end, called as its key, in a colour that none has."""
    labels = _labels(classes)
    taken, names = {label.colour.lower() for label in labels}, {label.name for label in labels}
    colour = next((colour for colour in PALETTE if colour not in taken), PALETTE[len(labels) % len(PALETTE)])
    name = next(
        f"class {n}" for n in range(len(labels) + 1, len(labels) + MAX_CLASSES + 2) if f"class {n}" not in names
    )
    return SetClasses((*labels, ClassLabel(name, colour)), (*range(len(labels)), None), labels)


def remove_class(classes: Sequence[PaintedClass], index: int) -> SetClasses:
    """Return the classes without one; what is painted as it is forgotten."""
    kept = tuple(old for old in range(len(classes)) if old != index)
    labels = _labels(classes)
    return SetClasses(tuple(labels[old] for old in kept), kept, labels)


def rename_class(classes: Sequence[PaintedClass], index: int, name: str) -> SetClasses:
    """Return the classes with another name for one."""
    labels = list(_labels(classes))
    labels[index] = replace(labels[index], name=name)
    return SetClasses(tuple(labels), tuple(range(len(labels))), _labels(classes))


def recolour_class(classes: Sequence[PaintedClass], index: int, colour: str) -> SetClasses:
    """Return the classes with another colour ``#rrggbb`` for one."""
    labels = list(_labels(classes))
    labels[index] = replace(labels[index], colour=colour)
    return SetClasses(tuple(labels), tuple(range(len(labels))), _labels(classes))


def _labels(classes: Sequence[PaintedClass]) -> tuple[ClassLabel, ...]:
    return tuple(ClassLabel(entry.name, entry.colour) for entry in classes)


class Command(Protocol):
    """One thing to do.

    Attributes
    ----------
    is_restoring : bool
        Whether corrections change by it, so that strokes wait until it is done.
    is_long : bool
        Whether it only looks, and strokes go first: it is begun again if a stroke comes.
    """

    is_restoring: ClassVar[bool]
    is_long: ClassVar[bool]

    def run(self, lesson: TeachWorker) -> Iterator[Any]:
        """Yield what there is to tell."""


class _Quick:
    is_restoring: ClassVar[bool] = False
    is_long: ClassVar[bool] = False


class _Restoring:
    is_restoring: ClassVar[bool] = True
    is_long: ClassVar[bool] = False


class _Long:
    is_restoring: ClassVar[bool] = False
    is_long: ClassVar[bool] = True


@dataclass(frozen=True)
class Undo(_Restoring):
    """Go back to the commit before the present one."""

    def run(self, lesson: TeachWorker) -> Iterator[Any]:
        """Yield the history, and how the corrections change."""
        yield from lesson.restore(lesson.teaching.undo)


@dataclass(frozen=True)
class Redo(_Restoring):
    """Go forward again."""

    def run(self, lesson: TeachWorker) -> Iterator[Any]:
        """Yield the history, and how the corrections change."""
        yield from lesson.restore(lesson.teaching.redo)


@dataclass(frozen=True)
class GoTo(_Restoring):
    """Go to a commit."""

    number: int

    def run(self, lesson: TeachWorker) -> Iterator[Any]:
        """Yield the history, and how the corrections change."""
        yield from lesson.restore(partial(lesson.teaching.go_to, self.number))


@dataclass(frozen=True)
class SetClasses(_Restoring):
    """Tell other classes apart.

    Attributes
    ----------
    classes : tuple of ClassLabel
        What to tell apart from now on.
    kept : tuple of (int or None)
        ``kept[new]`` is the index that a class had, None for a new one.
    present : tuple of ClassLabel
        Those that the user saw when asking for it: ``kept`` counts these.
    """

    classes: tuple[ClassLabel, ...]
    old_indices: tuple[int | None, ...]
    present: tuple[ClassLabel, ...]

    def run(self, lesson: TeachWorker) -> Iterator[Any]:
        """Yield the history, and how the corrections change; FcnError if the classes have become others since."""
        if tuple(lesson.teaching.classes) != self.present:
            raise FcnError("The classes have changed before this was done, so nothing was done. Please try again.")
        yield from lesson.reclassify(self.classes, self.old_indices)


@dataclass(frozen=True)
class RenameCommit(_Quick):
    """Give a commit a name."""

    number: int
    name: str

    def run(self, lesson: TeachWorker) -> Iterator[Any]:
        """Yield the history."""
        yield from lesson.teaching.rename(self.number, self.name)


@dataclass(frozen=True)
class Accept(_Quick):
    """Let the candidate that waits replace the accepted weights."""

    def run(self, lesson: TeachWorker) -> Iterator[Any]:
        """Yield the history."""
        yield from lesson.teaching.accept()


@dataclass(frozen=True)
class Reject(_Quick):
    """Drop the candidate that waits."""

    def run(self, lesson: TeachWorker) -> Iterator[Any]:
        """Yield nothing."""
        lesson.teaching.reject()
        yield from ()


@dataclass(frozen=True)
class AddPin(_Quick):
    """Keep a region as it is answered now."""

    region: Region
    name: str

    def run(self, lesson: TeachWorker) -> Iterator[PinsChanged]:
        """Yield the names of all pins."""
        lesson.teaching.pin(self.region, self.name)
        yield pins(lesson)


@dataclass(frozen=True)
class RemovePin(_Quick):
    """Let a region change again."""

    name: str

    def run(self, lesson: TeachWorker) -> Iterator[PinsChanged]:
        """Yield the names of all pins."""
        lesson.teaching.unpin(self.name)
        yield pins(lesson)


@dataclass(frozen=True)
class Save(_Quick):
    """Write the model of a commit to a file."""

    path: Path
    number: int

    def run(self, lesson: TeachWorker) -> Iterator[ModelSaved]:
        """Yield where it was written."""
        lesson.inputs.check_file(self.path)
        lesson.teaching.checkpoint(self.number).save(self.path)
        lesson.writer.record("save", path=str(self.path))
        yield ModelSaved(str(self.path))


@dataclass(frozen=True)
class Compare(_Long):
    """Look at the answers of two commits."""

    first: int
    second: int
    view: Region

    def run(self, lesson: TeachWorker) -> Iterator[ComparisonReady | None]:
        """Yield None while it takes, then both answers."""
        canvas = {n: np.zeros((*self.view.shape, 4), np.uint8) for n in (self.first, self.second)}
        for compared in lesson.teaching.compare(self.first, self.second, self.view):
            if not isinstance(compared, ComparisonTile):
                yield None
                continue
            painted = colorize_tile(compared.tile, [label.colour for label in lesson.classes_of(compared.commit)])
            shown = painted.region.intersection(self.view)
            inside = painted.colours[shown.relative_to(painted.region).slices]
            canvas[compared.commit][shown.relative_to(self.view).slices] = inside
            yield None
        yield ComparisonReady((self.first, self.second), self.view, (canvas[self.first], canvas[self.second]))


@dataclass(frozen=True)
class Suggest(_Long):
    """Find the next place to paint."""

    view: Region

    def run(self, lesson: TeachWorker) -> Iterator[Any]:
        """Yield the place."""
        yield from lesson.teaching.suggest(self.view)


def pins(lesson: TeachWorker) -> PinsChanged:
    """Return the names of all pins."""
    return PinsChanged(tuple(pin.name for pin in lesson.teaching.pins))
