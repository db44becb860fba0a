"""What becomes of memory that a network no longer needs: kept for the next layer, or given back at once."""

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
    """Run fast where memory is plentiful, and in no more memory than lives at once where it is not.

    Parameters
    ----------
    needed, allowed : int
        Bytes that live at once, and that may be taken.
    """
    with keep_freed_memory() if FRAGMENTATION * needed <= allowed else mmap_large_arrays():
        yield


@contextmanager
def keep_freed_memory() -> Iterator[None]:
    """Keep freed memory within the process while the block runs, then give all of it back.

    A network's activations then do not pay for page faults at every layer: measured runs take two thirds of the time.
    The price is memory: the heap fragments. Threads other than the main one have heaps of at most 64 MiB and would
    gain nothing; for them arrays are mapped.
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
    """Map each large array on its own while the block runs; keep the memory of small ones, and give it back at the end.

    glibc moves its bound for mapping upwards with each large array that is freed, so that activations end up in a heap.
    Between them lie the small things that stay, such as what oneDNN keeps for each shape of tile: the heap fragments,
    and a run in tiles of 9 shapes took five times what lived at once. Mapped arrays cost page faults at every layer: a
    run takes up to 1.6 times as long as in a heap that is never trimmed, and half of the memory or less. The bound is
    that of the whole process, and stays. Other systems map large arrays by themselves; nothing is done there.
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
