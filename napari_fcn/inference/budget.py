"""Memory that a run may take. It needs no torch, because images are read before torch is loaded."""

from __future__ import annotations

import psutil

FREE_MEMORY_SHARE = 0.5  # that one read of an image may take, unless the user sets a limit
RUN_SHARE = 1 / 3  # of the free memory that a run may take
MAX_RUN_BYTES = 3 * 2**29  # that a run takes by default, unless more is much faster


def host_budget(limit: float | None = None) -> int:
    """Return the bytes of main memory that one read may take: the limit in GiB, or half of the free memory."""
    return int(psutil.virtual_memory().available * FREE_MEMORY_SHARE if limit is None else limit * 2**30)


def run_budget(limit: float | None = None, processes: int = 1) -> int:
    """Return the bytes of main memory that a run may take in each of a number of processes on this computer.

    That is the limit in GiB, else a third of the free memory, both for all processes together; without a limit at most
    `MAX_RUN_BYTES` in each.
    """
    if limit is not None:
        return int(limit * 2**30 / processes)
    return min(largest_run_budget(processes), MAX_RUN_BYTES)


def largest_run_budget(processes: int = 1) -> int:
    """Return the bytes of main memory that a run takes at most where the user sets no limit, in each process."""
    return int(psutil.virtual_memory().available * RUN_SHARE / processes)
