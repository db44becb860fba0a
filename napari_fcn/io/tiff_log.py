"""Capture of the warnings of tifffile."""

from __future__ import annotations

import logging
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def captured_warnings() -> Iterator[list[str]]:
    """Collect the warnings that tifffile logs: it reports damage in its log only and returns the remaining data."""
    texts: list[str] = []
    thread = threading.get_ident()

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.thread == thread:
                texts.append(record.getMessage())

    listener = Listener(logging.WARNING)
    logger = logging.getLogger("tifffile")
    logger.addHandler(listener)
    try:
        yield texts
    finally:
        logger.removeHandler(listener)
