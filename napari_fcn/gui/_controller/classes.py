"""What becomes of the classes when the user adds, removes, renames or recolours one."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from napari_fcn.gui._controller.commands import SetClasses
from napari_fcn.models.card import ClassLabel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_fcn.gui._controller.news import TaughtClass

# Okabe & Ito (2008), told apart with every kind of colour vision; the order is that of the shipped models.
PALETTE = ("#56b4e9", "#d55e00", "#e69f00", "#009e73", "#cc79a7", "#f0e442", "#0072b2", "#999999")
LEAST, MOST = 2, 9  # classes; each has a key


def added(classes: Sequence[TaughtClass]) -> SetClasses:
    """Return the classes with a new one at the end, called as its key, in a colour that none has."""
    labels = _labels(classes)
    taken, names = {label.colour.lower() for label in labels}, {label.name for label in labels}
    colour = next((colour for colour in PALETTE if colour not in taken), PALETTE[len(labels) % len(PALETTE)])
    name = next(f"class {n}" for n in range(len(labels) + 1, len(labels) + MOST + 2) if f"class {n}" not in names)
    return SetClasses((*labels, ClassLabel(name, colour)), (*range(len(labels)), None), labels)


def removed(classes: Sequence[TaughtClass], index: int) -> SetClasses:
    """Return the classes without one; what is painted as it is forgotten."""
    kept = tuple(old for old in range(len(classes)) if old != index)
    labels = _labels(classes)
    return SetClasses(tuple(labels[old] for old in kept), kept, labels)


def renamed(classes: Sequence[TaughtClass], index: int, name: str) -> SetClasses:
    """Return the classes with another name for one."""
    labels = list(_labels(classes))
    labels[index] = replace(labels[index], name=name)
    return SetClasses(tuple(labels), tuple(range(len(labels))), _labels(classes))


def recoloured(classes: Sequence[TaughtClass], index: int, colour: str) -> SetClasses:
    """Return the classes with another colour ``#rrggbb`` for one."""
    labels = list(_labels(classes))
    labels[index] = replace(labels[index], colour=colour)
    return SetClasses(tuple(labels), tuple(range(len(labels))), _labels(classes))


def _labels(classes: Sequence[TaughtClass]) -> tuple[ClassLabel, ...]:
    return tuple(ClassLabel(entry.name, entry.colour) for entry in classes)
