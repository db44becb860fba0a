"""Memory that a run may take. It needs no torch, because images are read before torch is loaded."""

from __future__ import annotations

import psutil

FREE_MEMORY_SHARE = 0.5  # that a run may take, unless the user sets a limit


def host_budget(limit: float | None = None) -> int:
    """Return the bytes of main memory that a run may take: the limit in GiB, or half of the free memory."""
    return int(psutil.virtual_memory().available * FREE_MEMORY_SHARE if limit is None else limit * 2**30)
