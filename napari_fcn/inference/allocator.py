"""Memory that a network no longer needs goes back at once: what a run takes is what lives."""

from __future__ import annotations

import ctypes
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # malloc.h of glibc
NEVER, DEFAULT_TRIM = -1, 128 * 1024
LARGE = 2 * 2**20  # bytes from which an array is mapped; where glibc had moved the bound to would depend on the past


@contextmanager
def mapped_arrays() -> Iterator[None]:
    """Map each large array on its own while the block runs; keep the memory of small ones, and give it back at the end.

    glibc moves its bound for mapping upwards with each large array that is freed, so that activations end up in a heap.
    Between them lie the small things that stay, such as what oneDNN keeps for each shape of tile: the heap fragments,
    and a run in tiles of 9 shapes took five times what lived at once. Mapped arrays cost page faults at every layer: a
    run is 5 to 16 % slower than in a heap that is never trimmed, and takes half of the memory or less. The bound is
    that of the whole process, and stays. Other systems map large arrays by themselves; nothing is done there.
    """
    libc = _glibc()
    if libc is None:
        yield
        return
    libc.mallopt(M_MMAP_THRESHOLD, LARGE)
    libc.mallopt(M_TRIM_THRESHOLD, NEVER)
    try:
        yield
    finally:
        libc.mallopt(M_TRIM_THRESHOLD, DEFAULT_TRIM)
        libc.malloc_trim(0)


def _glibc() -> ctypes.CDLL | None:
    if not sys.platform.startswith("linux"):
        return None
    try:
        libc = ctypes.CDLL("libc.so.6")
    except OSError:
        return None
    return libc if hasattr(libc, "mallopt") and hasattr(libc, "malloc_trim") else None
