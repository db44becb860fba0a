"""The course of a training as a picture, drawn with pillow after each epoch."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from napari_fcn.errors import OutputError
from napari_fcn.storage import replace_file
from napari_fcn.system_errors import reason

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from PIL.ImageDraw import ImageDraw

    from napari_fcn.storage import Inputs

    Box = tuple[int, int, int, int]
    Colour = str

SOFTWARE = "napari-fcn train"  # in a text chunk of the file
SIZE = (960, 420)
MARGIN = (62, 20, 44)  # left, right and bottom of each panel
ROW = 18  # height of a row of the legend
INK, GREY, LINE = "#222222", "#888888", "#dddddd"
COLOURS = ("#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9")  # Okabe & Ito 2008
TICKS = 4
FONT_SIZE = 13


def save_curve(path: Path, history: Sequence[dict[str, float]], epochs: int, inputs: Inputs) -> None:
    """Write a PNG with the loss on the left and the scores on the right, against epochs.

    Parameters
    ----------
    path : Path
        The file; an existing one is replaced.
    history : sequence of dict
        For each epoch so far, ``loss`` and the scores, which are in 0..1; numbers that are not finite may be missing.
    epochs : int
        Number of epochs that are planned.
    inputs : Inputs
        Files that must not be replaced.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    from PIL import Image, ImageDraw, PngImagePlugin

    picture = Image.new("RGB", SIZE, "white")
    draw = ImageDraw.Draw(picture)
    half = SIZE[0] // 2
    names = [name for name in history[-1] if name != "loss"][: len(COLOURS)]
    losses, *scores = ([entry.get(name, math.nan) for entry in history] for name in ("loss", *names))
    lines = dict(zip(names, scores, strict=True))
    top = max((loss for loss in losses if math.isfinite(loss)), default=1.0) or 1.0
    _draw_panel(draw, (0, 0, half, SIZE[1]), {"training loss": losses}, (epochs, top))
    _draw_panel(draw, (half, 0, SIZE[0], SIZE[1]), lines, (epochs, 1.0))
    text = PngImagePlugin.PngInfo()
    text.add_text("Software", SOFTWARE)
    try:
        with replace_file(path, inputs) as part:
            picture.save(part, "PNG", pnginfo=text)
    except OSError as error:
        raise OutputError(f"The curve cannot be written to {path}: {reason(error)}. Free some space.") from error


def is_curve(path: Path) -> bool:
    """Whether a file is a picture that `save_curve` wrote."""
    from PIL import PngImagePlugin

    try:
        with PngImagePlugin.PngImageFile(path) as picture:
            return picture.info.get("Software") == SOFTWARE
    except (OSError, SyntaxError, ValueError):
        return False


def _draw_panel(draw: ImageDraw, box: Box, lines: dict[str, list[float]], limits: tuple[int, float]) -> None:
    """Draw lines against epochs, with axes, ticks and a legend; ``limits`` are the last epoch and the largest value."""
    from PIL import ImageFont

    font = ImageFont.load_default(FONT_SIZE)
    left, right, bottom = box[0] + MARGIN[0], box[2] - MARGIN[1], box[3] - MARGIN[2]
    top = _draw_legend(draw, (left, box[1], right), list(lines), font)
    epochs, largest = limits

    def place(epoch: float, value: float) -> tuple[float, float]:
        share = (epoch - 1) / (epochs - 1) if epochs > 1 else 0.5
        return left + share * (right - left), bottom - min(value / largest, 1.0) * (bottom - top)

    for tick in range(TICKS + 1):
        value = largest * tick / TICKS
        y = place(1, value)[1]
        draw.line((left, y, right, y), LINE)
        draw.text((left - 8, y), f"{value:.3g}", GREY, font, anchor="rm")
    for epoch in sorted({1, *(round(1 + (epochs - 1) * tick / TICKS) for tick in range(1, TICKS + 1))}):
        draw.text((place(epoch, 0)[0], bottom + 8), str(epoch), GREY, font, anchor="mt")
    draw.text(((left + right) / 2, bottom + 26), "epoch", GREY, font, anchor="mt")
    for values, colour in zip(lines.values(), COLOURS, strict=False):
        points = [place(epoch, value) for epoch, value in enumerate(values, 1) if math.isfinite(value)]
        if len(points) > 1:
            draw.line(points, colour, 2, joint="curve")
        for x, y in points[-1:]:
            draw.ellipse((x - 3, y - 3, x + 3, y + 3), colour)


def _draw_legend(draw: ImageDraw, place: tuple[int, int, int], names: Sequence[str], font: Any) -> int:
    """Draw the names of lines in rows between left and right, below the top, and return the y of the next row."""
    left, top, right = place
    x, y = float(left), top + ROW
    for name, colour in zip(names, COLOURS, strict=False):
        width = 18 + draw.textlength(name, font) + 14
        if x > left and x + width > right:
            x, y = float(left), y + ROW
        draw.line((x, y, x + 14, y), colour, 3)
        draw.text((x + 18, y), name, INK, font, anchor="lm")
        x += width
    return y + ROW
