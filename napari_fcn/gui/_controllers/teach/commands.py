"""Commands of the user to the teaching worker; each waits in its inbox until it is done."""

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


# Okabe & Ito (2008), distinct with every kind of colour vision; in the order of the shipped models.
PALETTE = ("#56b4e9", "#d55e00", "#e69f00", "#009e73", "#cc79a7", "#f0e442", "#0072b2", "#999999")
MIN_CLASSES, MAX_CLASSES = 2, 9  # each class has a digit key


def add_class(classes: Sequence[PaintedClass]) -> SetClasses:
    """Return the command that adds a class at the end, named after its key, in an unused colour."""
    labels = _labels(classes)
    used, names = {label.colour.lower() for label in labels}, {label.name for label in labels}
    colour = next((colour for colour in PALETTE if colour not in used), PALETTE[len(labels) % len(PALETTE)])
    name = next(
        f"class {n}" for n in range(len(labels) + 1, len(labels) + MAX_CLASSES + 2) if f"class {n}" not in names
    )
    return SetClasses((*labels, ClassLabel(name, colour)), (*range(len(labels)), None), labels)


def remove_class(classes: Sequence[PaintedClass], index: int) -> SetClasses:
    """Return the command that removes a class and its strokes."""
    old_indices = tuple(old for old in range(len(classes)) if old != index)
    labels = _labels(classes)
    return SetClasses(tuple(labels[old] for old in old_indices), old_indices, labels)


def rename_class(classes: Sequence[PaintedClass], index: int, name: str) -> SetClasses:
    """Return the command that renames a class."""
    labels = list(_labels(classes))
    labels[index] = replace(labels[index], name=name)
    return SetClasses(tuple(labels), tuple(range(len(labels))), _labels(classes))


def recolour_class(classes: Sequence[PaintedClass], index: int, colour: str) -> SetClasses:
    """Return the command that gives a class another colour ``#rrggbb``."""
    labels = list(_labels(classes))
    labels[index] = replace(labels[index], colour=colour)
    return SetClasses(tuple(labels), tuple(range(len(labels))), _labels(classes))


def _labels(classes: Sequence[PaintedClass]) -> tuple[ClassLabel, ...]:
    return tuple(ClassLabel(entry.name, entry.colour) for entry in classes)


class Command(Protocol):
    """One command.

    Attributes
    ----------
    is_restoring : bool
        Whether it changes the corrections, so that strokes are held back until it is done.
    is_long : bool
        Whether it takes long and changes nothing: strokes interrupt it, and it starts again after them.
    """

    is_restoring: ClassVar[bool]
    is_long: ClassVar[bool]

    def run(self, worker: TeachWorker) -> Iterator[Any]:
        """Run the command; yield the payloads of messages, or None during a long command."""


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
    """Go to the parent of the current commit."""

    def run(self, worker: TeachWorker) -> Iterator[Any]:
        """Yield the history and the changes of the corrections."""
        yield from worker.restore(worker.teaching.undo)


@dataclass(frozen=True)
class Redo(_Restoring):
    """Go to the commit that the last undo left."""

    def run(self, worker: TeachWorker) -> Iterator[Any]:
        """Yield the history and the changes of the corrections."""
        yield from worker.restore(worker.teaching.redo)


@dataclass(frozen=True)
class GoTo(_Restoring):
    """Go to a commit."""

    number: int

    def run(self, worker: TeachWorker) -> Iterator[Any]:
        """Yield the history and the changes of the corrections."""
        yield from worker.restore(partial(worker.teaching.go_to, self.number))


@dataclass(frozen=True)
class SetClasses(_Restoring):
    """Add, remove, rename or recolour classes.

    Attributes
    ----------
    classes : tuple of ClassLabel
        The classes from now on.
    old_indices : tuple of (int or None)
        ``old_indices[new]`` is the index that a class had, None for a new one.
    present : tuple of ClassLabel
        The classes in the dock when the user gave the command; ``old_indices`` refers to them.
    """

    classes: tuple[ClassLabel, ...]
    old_indices: tuple[int | None, ...]
    present: tuple[ClassLabel, ...]

    def run(self, worker: TeachWorker) -> Iterator[Any]:
        """Yield the history and the changes of the corrections; FcnError if the classes have changed since."""
        if tuple(worker.teaching.classes) != self.present:
            raise FcnError("The classes have changed in the meantime, so nothing was done. Please try again.")
        yield from worker.reclassify(self.classes, self.old_indices)


@dataclass(frozen=True)
class RenameCommit(_Quick):
    """Give a commit a name."""

    number: int
    name: str

    def run(self, worker: TeachWorker) -> Iterator[Any]:
        """Yield the history."""
        yield from worker.teaching.rename(self.number, self.name)


@dataclass(frozen=True)
class Accept(_Quick):
    """Replace the current model by the pending candidate."""

    def run(self, worker: TeachWorker) -> Iterator[Any]:
        """Yield the history."""
        yield from worker.teaching.accept()


@dataclass(frozen=True)
class Reject(_Quick):
    """Discard the pending candidate."""

    def run(self, worker: TeachWorker) -> Iterator[Any]:
        """Yield nothing."""
        worker.teaching.reject()
        yield from ()


@dataclass(frozen=True)
class AddPin(_Quick):
    """Protect the prediction in a region."""

    region: Region
    name: str

    def run(self, worker: TeachWorker) -> Iterator[PinsChanged]:
        """Yield the names of all pins."""
        worker.teaching.pin(self.region, self.name)
        yield pins(worker)


@dataclass(frozen=True)
class RemovePin(_Quick):
    """Remove the protection of a region."""

    name: str

    def run(self, worker: TeachWorker) -> Iterator[PinsChanged]:
        """Yield the names of all pins."""
        worker.teaching.unpin(self.name)
        yield pins(worker)


@dataclass(frozen=True)
class Save(_Quick):
    """Write the model of a commit to a file."""

    path: Path
    number: int

    def run(self, worker: TeachWorker) -> Iterator[ModelSaved]:
        """Yield the path of the file."""
        worker.inputs.check_file(self.path)
        worker.teaching.checkpoint(self.number).save(self.path)
        worker.writer.record("save", path=str(self.path))
        yield ModelSaved(str(self.path))


@dataclass(frozen=True)
class Compare(_Long):
    """Compare the predictions of two commits."""

    first: int
    second: int
    view: Region

    def run(self, worker: TeachWorker) -> Iterator[ComparisonReady | None]:
        """Yield None during the computation, then both predictions."""
        canvas = {n: np.zeros((*self.view.shape, 4), np.uint8) for n in (self.first, self.second)}
        for compared in worker.teaching.compare(self.first, self.second, self.view):
            if not isinstance(compared, ComparisonTile):
                yield None
                continue
            coloured = colorize_tile(compared.tile, [label.colour for label in worker.classes_of(compared.commit)])
            visible = coloured.region.intersection(self.view)
            colours = coloured.colours[visible.relative_to(coloured.region).slices]
            canvas[compared.commit][visible.relative_to(self.view).slices] = colours
            yield None
        yield ComparisonReady((self.first, self.second), self.view, (canvas[self.first], canvas[self.second]))


@dataclass(frozen=True)
class Suggest(_Long):
    """Suggest the next place to paint."""

    view: Region

    def run(self, worker: TeachWorker) -> Iterator[Any]:
        """Yield the place."""
        yield from worker.teaching.suggest(self.view)


def pins(worker: TeachWorker) -> PinsChanged:
    """Return the names of all pins."""
    return PinsChanged(tuple(pin.name for pin in worker.teaching.pins))
