"""The colours of classes, the same in every layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari.utils.colormaps import DirectLabelColormap

if TYPE_CHECKING:
    from collections.abc import Sequence

DARK = 60  # of 255: a stroke darker than this cannot be seen on most images
GREY = "#b4b4b4"


def visible(colour: str) -> str:
    """Return a colour in which strokes of a class can be seen: itself, or grey where it is (nearly) black."""
    return GREY if max(bytes.fromhex(colour.lstrip("#")[:6])) < DARK else colour


def index_colours(classes: Sequence[tuple[str, str]]) -> DirectLabelColormap:
    """Return the colours of class indices; the first class, the background, is transparent."""
    return _direct({index: colour for index, (_, colour) in enumerate(classes) if index})


def stroke_colours(classes: Sequence[tuple[str, str]]) -> DirectLabelColormap:
    """Return the colours of what is painted: 0 is nothing, ``k + 1`` is class ``k``."""
    return _direct({index + 1: visible(colour) for index, (_, colour) in enumerate(classes)})


def index_names(classes: Sequence[tuple[str, str]]) -> dict[str, list[Any]]:
    """Return the table from which napari's status bar takes the name of a class index."""
    return {"index": list(range(len(classes))), "class": [name for name, _ in classes]}


def stroke_names(classes: Sequence[tuple[str, str]]) -> dict[str, list[Any]]:
    """Return the table from which napari's status bar takes the name of what is painted."""
    return {"index": list(range(len(classes) + 1)), "class": ["", *(name for name, _ in classes)]}


def _direct(colours: dict[int, str]) -> DirectLabelColormap:
    known: dict[int | None, Any] = {0: "transparent", None: "transparent"}
    for index, colour in colours.items():
        known[index] = colour
    return DirectLabelColormap(color_dict=known)
