"""How much of the computer's memory may be taken; known without torch, as images are read before it is loaded."""

from __future__ import annotations

import psutil

FREE_MEMORY_SHARE = 0.5  # of the free memory, that a run may take when the user names no limit


def host_budget(limit: float | None = None) -> int:
    """Return the bytes of main memory that a run may take: the limit of the user in GiB, or half of what is free."""
    return int(psutil.virtual_memory().available * FREE_MEMORY_SHARE if limit is None else limit * 2**30)
