"""What people type: numbers, lists of numbers and axes, read alike on the command line and in docks."""

from __future__ import annotations

import re
from math import isfinite
from typing import TYPE_CHECKING, Any, get_args

if TYPE_CHECKING:
    from napari_fcn.settings import Option

WORDS = {int: "a whole number", float: "a number", str: "a text"}
AXIS_WORDS = ("time", "channel", "channels", "depth")  # one of them alone is the only axis, not a letter for each


def read_number(text: str, kind: type = float) -> Any:
    """Return a number; a comma in it is a decimal one, as in ``2,5``.

    Raises
    ------
    ValueError
        If it is none, in words for the user.
    """
    try:
        value = kind(text.strip().replace(",", ".")) if kind is float else kind(text.strip())
    except ValueError:
        value = None
    if value is None or (kind is float and not isfinite(value)):
        raise ValueError(f"“{text}” is not {WORDS[kind]}.")
    return value


def read_numbers(text: str, kind: type = float) -> tuple[Any, ...]:
    """Return numbers with commas between, or with semicolons, ``×`` or spaces, and then decimal commas in them.

    ``0.5,0.2`` and ``0,5; 0,2`` are 0.5 and 0.2; ``0,5`` is 0 and 5.

    Raises
    ------
    ValueError
        If one of them is no number, in words for the user.
    """
    parts = [part for part in re.split(r"[;×\s]+", re.sub(r"\s*,\s+", ";", text.strip())) if part]
    if len(parts) == 1 and ";" not in text:
        parts = [part for part in parts[0].split(",") if part]
    try:
        return tuple(read_number(part, kind) for part in parts)
    except ValueError:
        raise ValueError(f"“{text}” is not {WORDS[kind]}, or several with commas between.") from None


def is_ambiguous(text: str) -> bool:
    """Whether the commas in a list of numbers could have been meant as decimal ones."""
    return "," in text and not re.search(r"[.;×\s]", text.strip())


def read_axes(text: str) -> tuple[str, ...]:
    """Return axes: letters, as ``tyx``, or letters and words with commas, semicolons or spaces between."""
    words = re.sub(r"[,;×]", " ", text).split()
    return tuple(words) if len(words) > 1 or "".join(words).lower() in AXIS_WORDS else tuple("".join(words))


def read_option(option: Option, text: str) -> Any:
    """Return what a text means for an option; empty, or auto, is its default.

    Raises
    ------
    ValueError
        If it means nothing, or is out of range; in words for the user.
    """
    text = text.strip()
    if not text or (text == "auto" and option.kind is not str):
        return option.default
    kinds = [kind for kind in get_args(option.kind) if kind not in (type(None), Ellipsis)]
    kind = kinds[0] if kinds else option.kind
    if kind is str:
        return text
    is_list = Ellipsis in get_args(option.kind)
    values = read_numbers(text, kind) if is_list else (read_number(text, kind),)
    for value in values:
        if option.minimum is not None and value < option.minimum:
            raise ValueError(f"{value} is too small; {option.minimum} is the least.")
        if option.maximum is not None and value > option.maximum:
            raise ValueError(f"{value} is too large; {option.maximum} is the most.")
    return values if is_list else values[0]
