"""Reads the next tiles while the network computes."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

T = TypeVar("T")
R = TypeVar("R")

BLOCKS_AHEAD = 2  # items that are read in advance


def prefetch(read: Callable[[T], R], items: Iterable[T], ahead: int = BLOCKS_AHEAD) -> Iterator[tuple[T, R]]:
    """Yield each item with the result of ``read`` for it, in order, with at most ``ahead`` items read in advance."""
    waiting: deque[tuple[T, Future[R]]] = deque()
    with ThreadPoolExecutor(1, thread_name_prefix="napari-fcn-read") as pool:
        try:
            for item in items:
                waiting.append((item, pool.submit(read, item)))
                if len(waiting) > ahead:
                    done, future = waiting.popleft()
                    yield done, future.result()
            while waiting:
                done, future = waiting.popleft()
                yield done, future.result()
        finally:
            for _, future in waiting:
                future.cancel()
