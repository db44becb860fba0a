"""A curve of one line, for the terminal."""

from __future__ import annotations

import sys
from math import isfinite
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

BARS = "▁▂▃▄▅▆▇█"
WIDTH = 24  # characters


def sparkline(values: Sequence[float], width: int = WIDTH) -> str:
    """Return one bar for each value, from the smallest to the largest; of many values, the means of equal parts.

    Parameters
    ----------
    values : sequence of float
        The values in order; those that are not finite are shown as spaces.
    width : int
        Largest number of bars.
    """
    count = min(width, len(values))
    parts = [values[k * len(values) // count : (k + 1) * len(values) // count] for k in range(count)]
    means = [sum(finite) / len(finite) if (finite := [v for v in part if isfinite(v)]) else None for part in parts]
    known = [mean for mean in means if mean is not None]
    low, span = min(known, default=0.0), max(known, default=0.0) - min(known, default=0.0)
    return "".join(
        " " if mean is None else BARS[min(int((mean - low) / (span or 1) * len(BARS)), len(BARS) - 1)] for mean in means
    )


def can_show_bars() -> bool:
    """Whether standard error is a terminal whose encoding has the bars."""
    encoding = getattr(sys.stderr, "encoding", None)
    try:
        BARS.encode(encoding or "ascii")
        return bool(sys.stderr.isatty())
    except (AttributeError, LookupError, UnicodeEncodeError, ValueError):  # None as the stream, or a closed one
        return False
