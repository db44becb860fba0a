"""Escaping of foreign text: names of layers, files, models and classes, and error messages.

Qt draws all text that looks like HTML as HTML, in labels and in tooltips. Text is therefore plain wherever possible,
and in our own markup, every foreign value passes `escaped`.
"""

from __future__ import annotations

import re
from html import escape

COLOUR = re.compile(r"#[0-9a-fA-F]{6}")
GREY = "#b4b4b4"  # for an invalid colour
# Marks that change the writing direction of all text after a name.
DIRECTION_MARKS = dict.fromkeys([0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)])


def one_line(text: str) -> str:
    """Return a text without line breaks, control characters and marks of writing direction."""
    return _flat(text).strip()


def escaped(text: str) -> str:
    """Return a text that is safe between tags (not inside them): one line, without tags or entities."""
    return escape(_flat(text), quote=False)


def hint(*lines: str) -> str:
    """Return plain lines as a wrapped tooltip without tags."""
    return f"<qt>{'<br>'.join(map(escaped, lines))}</qt>" if any(lines) else ""


def _flat(text: str) -> str:
    plain = str(text).translate(DIRECTION_MARKS)
    return re.sub(" +", " ", "".join(c if c.isprintable() else " " for c in plain))


def css(colour: str) -> str:
    """Return a colour ``#rrggbb`` for markup and style sheets; grey for anything else."""
    return colour if COLOUR.fullmatch(colour) else GREY
