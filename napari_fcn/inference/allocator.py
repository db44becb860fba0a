"""Whether memory that a layer frees is kept for the next one or returned to the system."""

from __future__ import annotations

import ctypes
import sys
import threading
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_MMAP_MAX = -1, -3, -4  # malloc.h of glibc
NEVER_TRIM, DEFAULT_TRIM, DEFAULT_MMAPS = -1, 128 * 1024, 65536
FRAGMENTATION = 3  # memory that a heap takes until it is trimmed, as a multiple of the live bytes; measured: 1.7 to 2.4
MAPPED_SLOWDOWN = 1.5  # time of a run whose arrays are mapped at each layer, relative to a heap that is not trimmed
MMAP_THRESHOLD = 2 * 2**20  # bytes from which arrays are mapped; glibc's own threshold depends on the past


def keeps_memory(needed: int, allowed: int) -> bool:
    """Whether a run of this thread that needs some bytes at once, and may take others, keeps freed memory."""
    is_main = threading.current_thread() is threading.main_thread()
    return FRAGMENTATION * needed <= allowed and is_main and _glibc() is not None


@contextmanager
def tuned_allocator(needed: int, allowed: int) -> Iterator[Callable[[], None]]:
    """Run fast if memory is plentiful, else within the memory of the live tensors.

    The value is a function to call after each tile: if the heap has fragmented so far that the process has grown by
    more than what is allowed, freed memory is returned.

    Parameters
    ----------
    needed, allowed : int
        Bytes that are live at once, and bytes that the run may take.
    """
    process = psutil.Process()
    before = process.memory_info().rss

    def trim() -> None:
        if process.memory_info().rss - before > allowed - needed:
            trim_heap()

    if keeps_memory(needed, allowed):
        with keep_freed_memory():
            yield trim
    else:
        with mmap_large_arrays():
            yield lambda: None


@contextmanager
def keep_freed_memory() -> Iterator[None]:
    """Keep freed memory in the process while the block runs, then return all of it.

    The activations then cause no page faults at every layer: measured runs take two thirds of the time. The heap
    fragments, which costs memory. Threads other than the main one have heaps of at most 64 MiB and gain nothing.
    """
    libc = _glibc()
    assert libc is not None
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


def trim_heap() -> None:
    """Return the freed memory of the heap to the system."""
    libc = _glibc()
    if libc is not None:
        libc.malloc_trim(0)


@cache
def _glibc() -> ctypes.CDLL | None:
    if not sys.platform.startswith("linux"):
        return None
    try:
        libc = ctypes.CDLL("libc.so.6")
    except OSError:
        return None
    return libc if hasattr(libc, "mallopt") and hasattr(libc, "malloc_trim") else None
