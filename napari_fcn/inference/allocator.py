"""Let the memory of one layer serve the next instead of going back to the system in between."""

from __future__ import annotations

import ctypes
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_MMAP_MAX = -1, -3, -4  # malloc.h of glibc
NEVER, DEFAULT_TRIM, DEFAULT_MMAPS = -1, 128 * 1024, 65536
LARGE = 4 * 2**20  # bytes from which an array is mapped; where glibc had moved the bound to would depend on the past


@contextmanager
def kept_pages() -> Iterator[None]:
    """Keep freed memory within the process while the block runs, then give all of it back.

    glibc maps each large array anew and unmaps it when it is freed; a network's activations then pay for their page
    faults at every layer, which costs half of the time on a CPU. The price is memory: the heap fragments, to about one
    and a half times what lives at once. Threads other than the main one have heaps of at most 64 MiB and would gain
    nothing, so that for them, as on other systems, nothing is done. Large pages for the first use were tried: faster
    on tidy memory, slower once other programs have used it, because the system then has to tidy up first.
    """
    libc = _glibc() if threading.current_thread() is threading.main_thread() else None
    if libc is None:
        yield
        return
    libc.mallopt(M_MMAP_MAX, 0)
    libc.mallopt(M_TRIM_THRESHOLD, NEVER)
    try:
        yield
    finally:
        libc.mallopt(M_MMAP_MAX, DEFAULT_MMAPS)
        libc.mallopt(M_MMAP_THRESHOLD, LARGE)
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
