"""The region of interest of a run: a part of an image, as text."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from napari_fcn.errors import ImageError
from napari_fcn.geometry import Region
from napari_fcn.geometry.axes import axis_names

if TYPE_CHECKING:
    from collections.abc import Sequence

RANGE = re.compile(r"(?P<start>\d*)\s*(?P<colon>:?)\s*(?P<stop>\d*)")
EXAMPLE = "Write START:STOP in pixels for each axis, such as 0:512,100:612, or name axes, such as z=3:5,y=0:512."


def read_roi(text: str, names: Sequence[str], shape: Sequence[int]) -> Region:
    """Return the region in a text.

    ``0:512,100:612`` gives a half-open range for each axis, in the order of the image without channels;
    ``z=3:5,y=0:512`` gives some by name, and the others are whole. A missing start or stop is that of the image, and
    ``z=3`` is one plane.

    Parameters
    ----------
    text : str
        The region; empty: the whole image.
    names : sequence of str
        Names of the axes of the image, without channels.
    shape : sequence of int
        Length of each of them.

    Raises
    ------
    ImageError
        If the text has another form, names an axis that the image does not have or one twice, has another number of
        ranges than the image has axes, or if the region is empty or reaches beyond the image.
    """
    region = Region.whole(shape)
    start, stop = list(region.start), list(region.stop)
    parts = [part.strip() for part in text.split(",")] if text.strip() else []
    for axis, part in _axes_of(parts, text, tuple(names)):
        start[axis], stop[axis] = _read_range(part, text, names[axis], shape[axis])
    return Region(tuple(start), tuple(stop))


def format_roi(region: Region, names: Sequence[str]) -> str:
    """Return a region as a text that `read_roi` reads."""
    return ",".join(f"{name}={a}:{b}" for name, a, b in zip(names, region.start, region.stop, strict=True))


def _axes_of(parts: Sequence[str], text: str, names: tuple[str, ...]) -> list[tuple[int, str]]:
    """Return the axis of each range."""
    image = f"the image has the axes {' '.join(names)}"
    if not any("=" in part for part in parts):
        if parts and len(parts) != len(names):
            raise ImageError(
                f"The region {text} has {len(parts)} range{'s' * (len(parts) != 1)}; {image}, without channels.",
                "Give a range for each, : for a whole axis, or name axes, such as y=0:512.",
            )
        return list(enumerate(parts))
    found = []
    for part in parts:
        word, sign, value = part.partition("=")
        (name,) = axis_names([word])
        if not sign or name not in names:
            what = f"no axis {word.strip()}" if sign else f"no name for the range {part}"
            raise ImageError(f"There is {what} for the region {text}; {image}, without channels.", EXAMPLE)
        found.append((names.index(name), value.strip()))
    if len({axis for axis, _ in found}) < len(found):
        raise ImageError(f"The region {text} names an axis twice.", EXAMPLE)
    return found


def _read_range(part: str, text: str, name: str, length: int) -> tuple[int, int]:
    """Return start and stop of a range."""
    match = RANGE.fullmatch(part)
    if match is None or not part:
        raise ImageError(f"“{part}” in the region {text} is not a range of pixels.", EXAMPLE)
    start = int(match["start"] or 0)
    stop = int(match["stop"] or length) if match["colon"] else start + 1
    if start >= length or stop > length:
        raise ImageError(
            f"The region {text} reaches beyond the image, which has {length} px along {name}.",
            f"Choose a range within {name}=0:{length}.",
        )
    if stop <= start:
        raise ImageError(f"The region {text} is empty: along {name} it stops before it starts.", EXAMPLE)
    return start, stop
