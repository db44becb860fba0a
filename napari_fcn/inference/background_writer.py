"""Writes a tile while the network computes the next one."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


class BackgroundWriter:
    """Calls a function on its own thread, one call at a time, in order.

    Parameters
    ----------
    write : callable
        The function.
    """

    def __init__(self, write: Callable[..., object]) -> None:
        self._write = write
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="napari-fcn-write")
        self._last: Future[Any] | None = None

    def put(self, *arguments: Any) -> None:
        """Submit a call; waits for the previous one and raises its exception, if any."""
        self.wait()
        self._last = self._pool.submit(self._write, *arguments)

    def wait(self) -> None:
        """Wait for the last call and raise its exception, if any."""
        last, self._last = self._last, None
        if last is not None:
            last.result()

    def close(self) -> None:
        """Wait for the last call and end the thread; an exception of the call is dropped."""
        self._pool.shutdown()
