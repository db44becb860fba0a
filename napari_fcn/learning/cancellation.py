"""Cooperative cancellation: generators that pause, and networks that stop between layers."""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, TypeVar

from napari_fcn.events import Heartbeat

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from torch import nn

Found = TypeVar("Found")

_is_cancelled: ContextVar[Callable[[], bool] | None] = ContextVar("is_left", default=None)


class Cancelled(Exception):
    """The computation was cancelled between two layers; no state has changed."""


@contextmanager
def cancellation_scope(is_cancelled: Callable[[], bool]) -> Iterator[None]:
    """Let `cancel_between_layers` in this thread call ``is_cancelled`` within a step that is long."""
    before = _is_cancelled.set(is_cancelled)
    try:
        yield
    finally:
        _is_cancelled.reset(before)


@contextmanager
def cancel_between_layers(net: nn.Module) -> Iterator[None]:
    """Let a network raise `Cancelled` after a layer, forward or backward, once the scope is cancelled."""
    is_left = _is_cancelled.get()
    if is_left is None:
        yield
        return

    def look(*_: object) -> None:
        if is_left():
            raise Cancelled

    def on_layer(module: nn.Module, given: object, found: object) -> None:
        look()
        if getattr(found, "requires_grad", False):
            found.register_hook(look)  # type: ignore[attr-defined]  # a tensor

    layers = [module for module in net.modules() if not list(module.children())]
    handles = [layer.register_forward_hook(on_layer) for layer in layers]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def run_to_end(work: Generator[object, None, Found]) -> Found:
    """Return the result of a generator, without pausing."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            found: Found = end.value
            return found


def with_heartbeat(task: str, work: Generator[object, None, Found]) -> Generator[Heartbeat, None, Found]:
    """Return the result of a generator, and yield a `Heartbeat` at each of its pauses."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            found: Found = end.value
            return found
        yield Heartbeat(task)
