"""Let the memory of one layer serve the next instead of going back to the system in between."""

from __future__ import annotations

import ctypes
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # malloc.h of glibc
NEVER, DEFAULT_TRIM, DEFAULT_MMAPS = -1, 128 * 1024, 65536
MADV_HUGEPAGE, HUGE_PAGE = 14, 2**21  # sys/mman.h of Linux; bytes
MOST_IN_LARGE_PAGES = 2**30  # bytes; for more the system has to tidy up first, which took longer than it saved


@contextmanager
def kept_pages(expected: int) -> Iterator[None]:
    """Keep freed memory within the process while the block runs, then give all of it back.

    glibc maps each large array anew and unmaps it when it is freed; a network's activations then pay for their page
    faults at every layer, which costs half of the time on a CPU. The first use of a page is made cheaper too, by large
    pages. The price is memory: the heap fragments, to about one and a half times what lives at once. Threads other
    than the main one have heaps of at most 64 MiB and would gain nothing, so that for them, as on other systems,
    nothing is done.

    Parameters
    ----------
    expected : int
        Bytes that the block will need.
    """
    libc = _glibc() if threading.current_thread() is threading.main_thread() else None
    if libc is None:
        yield
        return
    libc.mallopt(M_MMAP_MAX, 0)
    libc.mallopt(M_TRIM_THRESHOLD, NEVER)
    if expected <= MOST_IN_LARGE_PAGES:
        _ask_for_large_pages(libc, expected)
    try:
        yield
    finally:
        libc.mallopt(M_MMAP_MAX, DEFAULT_MMAPS)
        libc.mallopt(M_TRIM_THRESHOLD, DEFAULT_TRIM)
        libc.malloc_trim(0)


def _ask_for_large_pages(libc: ctypes.CDLL, size: int) -> None:
    """Let the top of the heap, which is still untouched, be made of large pages when it is first used."""
    place = libc.malloc(size)
    if place:
        start = -(-place // HUGE_PAGE) * HUGE_PAGE
        libc.madvise(start, max(0, place + size - start), MADV_HUGEPAGE)  # a wish; a kernel without them says no
        libc.free(place)


def _glibc() -> ctypes.CDLL | None:
    if not sys.platform.startswith("linux"):
        return None
    try:
        libc = ctypes.CDLL("libc.so.6")
    except OSError:
        return None
    if not (hasattr(libc, "mallopt") and hasattr(libc, "malloc_trim")):
        return None
    libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
    libc.free.argtypes = [ctypes.c_void_p]
    libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    return libc
