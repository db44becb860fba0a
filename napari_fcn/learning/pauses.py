"""Work that pauses now and then, so that whoever waits for something else can stop it."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from napari_fcn.events import Working

if TYPE_CHECKING:
    from collections.abc import Generator

Found = TypeVar("Found")


def ended(work: Generator[object, None, Found]) -> Found:
    """Return what work finds, without a pause."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            found: Found = end.value
            return found


def told(task: str, work: Generator[object, None, Found]) -> Generator[Working, None, Found]:
    """Return what work finds, and yield an event at each pause."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            found: Found = end.value
            return found
        yield Working(task)
