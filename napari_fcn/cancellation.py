"""Cooperative cancellation: generators that pause, and networks that stop between layers."""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, TypeVar

from napari_fcn.events import Heartbeat

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from torch import nn

Result = TypeVar("Result")

_is_cancelled: ContextVar[Callable[[], bool] | None] = ContextVar("is_cancelled", default=None)


class Cancelled(Exception):
    """The computation was cancelled between two layers; no state has changed."""


@contextmanager
def cancellation_scope(is_cancelled: Callable[[], bool]) -> Iterator[None]:
    """Set the function that `cancel_between_layers` calls in this thread to find out whether to cancel."""
    before = _is_cancelled.set(is_cancelled)
    try:
        yield
    finally:
        _is_cancelled.reset(before)


@contextmanager
def cancel_between_layers(net: nn.Module) -> Iterator[None]:
    """Make a network raise `Cancelled` after a layer, forward or backward, once the scope is cancelled."""
    is_cancelled = _is_cancelled.get()
    if is_cancelled is None:
        yield
        return

    def check(*_: object) -> None:
        if is_cancelled():
            raise Cancelled

    def on_layer(module: nn.Module, inputs: object, output: object) -> None:
        check()
        if getattr(output, "requires_grad", False):
            output.register_hook(check)  # type: ignore[attr-defined]  # a tensor

    layers = [module for module in net.modules() if not list(module.children())]
    handles = [layer.register_forward_hook(on_layer) for layer in layers]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def run_to_end(work: Generator[object, None, Result]) -> Result:
    """Return the result of a generator, without pausing."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            result: Result = end.value
            return result


def with_heartbeat(task: str, work: Generator[object, None, Result]) -> Generator[Heartbeat, None, Result]:
    """Return the result of a generator, and yield a `Heartbeat` at each of its pauses."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            result: Result = end.value
            return result
        yield Heartbeat(task)
