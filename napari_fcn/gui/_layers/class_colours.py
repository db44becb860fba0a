"""The colours of classes, the same in every layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari.utils.colormaps import DirectLabelColormap

if TYPE_CHECKING:
    from collections.abc import Sequence

MIN_BRIGHTNESS = 60  # of 255: darker strokes are invisible on most images
FALLBACK_COLOUR = "#b4b4b4"


def visible_colour(colour: str) -> str:
    """Return a colour in which strokes of a class are visible: the same, or grey if it is nearly black."""
    return FALLBACK_COLOUR if max(bytes.fromhex(colour.lstrip("#")[:6])) < MIN_BRIGHTNESS else colour


def class_colormap(classes: Sequence[tuple[str, str]]) -> DirectLabelColormap:
    """Return the colours of class indices; the first class, the background, is transparent."""
    return _label_colormap({index: colour for index, (_, colour) in enumerate(classes) if index})


def stroke_colormap(classes: Sequence[tuple[str, str]]) -> DirectLabelColormap:
    """Return the colours of strokes: 0 is unpainted, ``k + 1`` is class ``k``."""
    return _label_colormap({index + 1: visible_colour(colour) for index, (_, colour) in enumerate(classes)})


def class_name_table(classes: Sequence[tuple[str, str]]) -> dict[str, list[Any]]:
    """Return the table from which napari's status bar takes the name of a class index."""
    return {"index": list(range(len(classes))), "class": [name for name, _ in classes]}


def stroke_name_table(classes: Sequence[tuple[str, str]]) -> dict[str, list[Any]]:
    """Return the table from which napari's status bar takes the class of a stroke."""
    return {"index": list(range(len(classes) + 1)), "class": ["", *(name for name, _ in classes)]}


def _label_colormap(colours: dict[int, str]) -> DirectLabelColormap:
    color_dict: dict[int | None, Any] = {0: "transparent", None: "transparent"}
    return DirectLabelColormap(color_dict=color_dict | colours)
