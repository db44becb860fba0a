"""Parsing of numbers, lists of numbers and axes, the same for the command line and the docks."""

from __future__ import annotations

import re
from math import isfinite
from typing import Any

WORDS: dict[type, str] = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}
SEVERAL = ", or several with commas between"
AXIS_WORDS = ("time", "channel", "channels", "depth")  # one of them alone is one axis, not one axis for each letter


def read_number(text: str, kind: type = float) -> Any:
    """Return the number in a text; a comma is a decimal comma, as in ``2,5``.

    Raises
    ------
    ValueError
        If the text is not a number; the message is a sentence for the user.
    """
    try:
        value = kind(text.strip().replace(",", ".")) if kind is float else kind(text.strip())
    except ValueError:
        value = None
    if value is None or (kind is float and not isfinite(value)):
        raise ValueError(f"“{text}” is not {WORDS[kind]}.")
    return value


def read_numbers(text: str, kind: type = float) -> tuple[Any, ...]:
    """Return the numbers in a text, separated by commas; or by semicolons, ``×`` or spaces, with decimal commas.

    ``0.5,0.2`` and ``0,5; 0,2`` are 0.5 and 0.2; ``0,5`` is 0 and 5.

    Raises
    ------
    ValueError
        If a part of the text is not a number; the message is a sentence for the user.
    """
    parts = [part for part in re.split(r"[;×\s]+", re.sub(r"\s*,\s+", ";", text.strip())) if part]
    if len(parts) == 1 and ";" not in text:
        parts = [part for part in parts[0].split(",") if part]
    try:
        return tuple(read_number(part, kind) for part in parts)
    except ValueError:
        raise ValueError(f"“{text}” is not {WORDS[kind]}{SEVERAL}.") from None


def is_ambiguous(text: str) -> bool:
    """Whether the commas in a list of numbers could be decimal commas."""
    return "," in text and not re.search(r"[.;×\s]", text.strip())


def read_axes(text: str) -> tuple[str, ...]:
    """Return the axes in a text: letters, as ``tyx``, or words separated by commas, semicolons or spaces."""
    words = re.sub(r"[,;×]", " ", text).split()
    return tuple(words) if len(words) > 1 or "".join(words).lower() in AXIS_WORDS else tuple("".join(words))
