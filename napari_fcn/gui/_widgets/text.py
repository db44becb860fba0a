"""Foreign text on its way to the screen: names of layers, files, models and classes, and what errors say of them.

Qt draws as HTML whatever looks like it, in labels and in tooltips. So text is plain wherever it can be, and where we
write markup ourselves every foreign value passes `escaped`.
"""

from __future__ import annotations

import re
from html import escape

COLOUR = re.compile(r"#[0-9a-fA-F]{6}")
GREY = "#b4b4b4"  # for a colour that is none
# Marks that turn the direction of all that follows, also of our own words behind a name.
TURNING = dict.fromkeys([0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)])


def one_line(text: str) -> str:
    """Return a text without line breaks, control characters, and marks that turn the direction of writing."""
    return _flat(text).strip()


def escaped(text: str) -> str:
    """Return a text as it stands between tags (not in them): in one line, and nothing in it is a tag or an entity."""
    return escape(_flat(text), quote=False)


def hint(*lines: str) -> str:
    """Return plain lines as a tooltip: wrapped, and nothing in them is a tag."""
    return f"<qt>{'<br>'.join(map(escaped, lines))}</qt>" if any(lines) else ""


def _flat(text: str) -> str:
    known = str(text).translate(TURNING)
    return re.sub(" +", " ", "".join(one if one.isprintable() else " " for one in known))


def css(colour: str) -> str:
    """Return a colour ``#rrggbb`` for markup and style sheets; grey for anything else."""
    return colour if COLOUR.fullmatch(colour) else GREY
