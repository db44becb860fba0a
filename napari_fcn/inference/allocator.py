"""Whether memory that a layer frees is kept for the next one or returned to the system."""

from __future__ import annotations

import ctypes
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_MMAP_MAX = -1, -3, -4  # malloc.h of glibc
NEVER_TRIM, DEFAULT_TRIM, DEFAULT_MMAPS = -1, 128 * 1024, 65536
FRAGMENTATION = 5  # memory that a heap took at worst, as a multiple of the live bytes
MMAP_THRESHOLD = 2 * 2**20  # bytes from which arrays are mapped; glibc's own threshold depends on the past


@contextmanager
def tuned_allocator(needed: int, allowed: int) -> Iterator[None]:
    """Run fast if memory is plentiful, else within the memory of the live tensors.

    Parameters
    ----------
    needed, allowed : int
        Bytes that are live at once, and bytes that the run may take.
    """
    with keep_freed_memory() if FRAGMENTATION * needed <= allowed else mmap_large_arrays():
        yield


@contextmanager
def keep_freed_memory() -> Iterator[None]:
    """Keep freed memory in the process while the block runs, then return all of it.

    The activations then cause no page faults at every layer: measured runs take two thirds of the time. The heap
    fragments, which costs memory. Threads other than the main one have heaps of at most 64 MiB and gain nothing, so
    arrays are mapped there.
    """
    libc = _glibc()
    if libc is None or threading.current_thread() is not threading.main_thread():
        with mmap_large_arrays():
            yield
        return
    libc.mallopt(M_MMAP_MAX, 0)
    libc.mallopt(M_TRIM_THRESHOLD, NEVER_TRIM)
    try:
        yield
    finally:
        libc.mallopt(M_MMAP_MAX, DEFAULT_MMAPS)
        libc.mallopt(M_MMAP_THRESHOLD, MMAP_THRESHOLD)
        libc.mallopt(M_TRIM_THRESHOLD, DEFAULT_TRIM)
        libc.malloc_trim(0)


@contextmanager
def mmap_large_arrays() -> Iterator[None]:
    """Map each large array separately while the block runs; return the memory of small ones at the end.

    glibc raises its threshold for mapping with each large array that is freed, so that activations end up in the heap.
    Small allocations between them stay, such as the kernels that oneDNN compiles for each shape of tile: the heap
    fragments, and a run in tiles of 9 shapes took five times the live bytes. Mapped arrays cost page faults at every
    layer: a run takes up to 1.6 times as long as with a heap that is never trimmed, in half of the memory or less. The
    threshold holds for the whole process and stays. Other systems map large arrays anyway; nothing is changed there.
    """
    libc = _glibc()
    if libc is None:
        yield
        return
    libc.mallopt(M_MMAP_THRESHOLD, MMAP_THRESHOLD)
    libc.mallopt(M_TRIM_THRESHOLD, NEVER_TRIM)
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
