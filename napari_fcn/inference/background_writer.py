"""Write the last tile while the network works on the next one."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


class BackgroundWriter:
    """Calls a function on a thread of its own, one call at a time, in order.

    Parameters
    ----------
    write : callable
        What is called.
    """

    def __init__(self, write: Callable[..., object]) -> None:
        self._write = write
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="napari-fcn-write")
        self._last: Future[Any] | None = None

    def put(self, *arguments: Any) -> None:
        """Have the function called with these; waits for the call before, and raises what that raised."""
        self.wait()
        self._last = self._pool.submit(self._write, *arguments)

    def wait(self) -> None:
        """Return when everything was called; raises what the last call raised."""
        last, self._last = self._last, None
        if last is not None:
            last.result()

    def close(self) -> None:
        """Let the last call come to its end, and be done; whatever it raised is forgotten."""
        self._pool.shutdown()
