"""Protected areas (pins), and mappings between the class indices of commits."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy.typing as npt

    from napari_fcn.geometry import Region

    Classes = npt.NDArray[np.uint8]

OldIndices = tuple[int | None, ...]  # for each class, its index before the change
Lineage = tuple[tuple[int, OldIndices], ...]  # successive changes of the classes, each with a unique number

REMOVED = 255  # class index of removed classes; valid indices are 0 to 254


@dataclass(frozen=True, slots=True, eq=False)
class Pin:
    """A protected area: a region whose prediction must not change.

    Attributes
    ----------
    name : str
        Name given by the user.
    region : Region
        The region on the image axes.
    classes : ndarray
        ``region.shape`` uint8, class indices predicted when it was pinned; `REMOVED` for removed classes.
    commit : int or None
        The commit whose classes the indices refer to; None for the present one.
    """

    name: str
    region: Region
    classes: Classes
    commit: int | None = None


def remap_pins(pins: Iterable[Pin], table: Classes) -> tuple[Pin, ...]:
    """Return the pins with new class indices: ``table[old]`` is the new one."""
    return tuple(replace(pin, classes=table[pin.classes]) for pin in pins)


def remove_pin(pins: Iterable[Pin], name: str) -> tuple[Pin, ...]:
    """Return the pins without the pin of this name."""
    return tuple(pin for pin in pins if pin.name != name)


def agreement(predicted: Classes, pinned: Classes) -> float:
    """Return the fraction of a pin that is predicted as pinned, 0..1, mean over its classes that were not removed."""
    fractions = [(predicted[pinned == k] == k).mean() for k in np.unique(pinned) if k != REMOVED]
    return float(np.mean(fractions)) if fractions else 1.0


def to_new_indices(old_indices: Sequence[int | None]) -> Classes:
    """Return ``(256,)`` uint8: the new index of each old class, `REMOVED` for removed ones."""
    table = np.full(256, REMOVED, np.uint8)
    for new, old in enumerate(old_indices):
        if old is not None:
            table[old] = new
    return table


def to_old_indices(old_indices: Sequence[int | None]) -> Classes:
    """Return ``(256,)`` uint8: the old index of each new class, `REMOVED` for new ones."""
    table = np.full(256, REMOVED, np.uint8)
    table[: len(old_indices)] = [REMOVED if old is None else old for old in old_indices]
    return table


def mapping_between(old: Lineage, new: Lineage) -> Classes:
    """Return ``(256,)`` uint8: the index in the classes of one lineage, ``new``, of each class of another, ``old``."""
    shared = 0
    while shared < min(len(old), len(new)) and old[shared][0] == new[shared][0]:
        shared += 1
    table = np.arange(256, dtype=np.uint8)
    for _, old_indices in reversed(old[shared:]):
        table = to_old_indices(old_indices)[table]
    for _, old_indices in new[shared:]:
        table = to_new_indices(old_indices)[table]
    return table
