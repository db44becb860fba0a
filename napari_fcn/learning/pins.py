"""Parts of the image whose answer must stay, and how they follow when classes are numbered otherwise."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy.typing as npt

    from napari_fcn.geometry import Region

    Classes = npt.NDArray[np.uint8]

OldIndices = tuple[int | None, ...]  # for each class, which one it was before
Lineage = tuple[
    tuple[int, OldIndices], ...
]  # changes of the classes one after the other, each with a number of its own

REMOVED = 255  # class index of what is in no class any more; there are at most 255 classes, 0 to 254


@dataclass(frozen=True, slots=True, eq=False)
class Pin:
    """A part of the image whose answer must stay as it is.

    Attributes
    ----------
    name : str
        Given by the user.
    region : Region
        Where, on the image axes.
    classes : ndarray
        ``region.shape`` uint8, the answer when it was pinned; `GONE` in classes that are not there any more.
    commit : int or None
        The commit whose classes number it; None: those of now.
    """

    name: str
    region: Region
    classes: Classes
    commit: int | None = None


def remap_pins(pins: Iterable[Pin], table: Classes) -> tuple[Pin, ...]:
    """Return the same pins in other class numbers: ``table[old]`` is the new one."""
    return tuple(replace(pin, classes=table[pin.classes]) for pin in pins)


def remove_pin(pins: Iterable[Pin], name: str) -> tuple[Pin, ...]:
    """Return all pins but the one of this name."""
    return tuple(pin for pin in pins if pin.name != name)


def agreement(predicted: Classes, pinned: Classes) -> float:
    """Return the share of a pin that is as it was, mean over the classes in it that are there still."""
    shares = [(predicted[pinned == k] == k).mean() for k in np.unique(pinned) if k != REMOVED]
    return float(np.mean(shares)) if shares else 1.0


def to_new_indices(old_indices: Sequence[int | None]) -> Classes:
    """Return the new class index of each old one, `GONE` for those that are not kept; ``kept`` names the old ones."""
    table = np.full(256, REMOVED, np.uint8)
    for new, old in enumerate(old_indices):
        if old is not None:
            table[old] = new
    return table


def to_old_indices(old_indices: Sequence[int | None]) -> Classes:
    """Return the old class index of each new one, `GONE` for those that were not there."""
    table = np.full(256, REMOVED, np.uint8)
    table[: len(old_indices)] = [REMOVED if old is None else old for old in old_indices]
    return table


def mapping_between(old: Lineage, new: Lineage) -> Classes:
    """Return how classes that were numbered after some changes are numbered after others, on any branch."""
    shared = 0
    while shared < min(len(old), len(new)) and old[shared][0] == new[shared][0]:
        shared += 1
    table = np.arange(256, dtype=np.uint8)
    for _, kept in reversed(old[shared:]):
        table = to_old_indices(kept)[table]
    for _, kept in new[shared:]:
        table = to_new_indices(kept)[table]
    return table
