"""Draw what the page on exact tiling shows, from the geometry and the shipped model themselves.

python src-docs/make_drawings.py
"""

from __future__ import annotations

from pathlib import Path

import exactness
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from napari_fcn.geometry import TilePlan

IMAGES = Path(__file__).parent / "images"
INK, GREY, BLUE, ORANGE, RED = "#222222", "#bbbbbb", "#56b4e9", "#e69f00", "#d55e00"
FONT = 'font-family="sans-serif" font-size="14"'


def svg(width, height, parts):
    """Return a drawing on a white ground."""
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}">'
    return "\n".join([head, box(0, 0, width, height, "white"), *parts, "</svg>\n"])


def box(x, y, w, h, fill="none", line="none", more=""):
    """Return a rectangle."""
    return f'<rect x="{x}" y="{y}" width="{w}" height="{h}" fill="{fill}" stroke="{line}" {more}/>'


def text(x, y, words, fill=INK, anchor="start"):
    """Return a line of text."""
    return f'<text x="{x}" y="{y}" fill="{fill}" text-anchor="{anchor}" {FONT}>{words}</text>'


def line(x1, y1, x2, y2, colour=GREY, width=1):
    """Return a straight line."""
    return f'<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" stroke="{colour}" stroke-width="{width}"/>'


def tiles():
    """Return an image cut into cores, and the read of one of them."""
    plan, zoom, left, top = TilePlan((192, 256), (64, 64), ((22, 22), (22, 22)), (8, 8)), 2, 20, 40
    height, width = (n * zoom for n in plan.shape)
    tile = plan.at((1, 1))
    (y, x), (ry, rx) = tile.core.start, tile.read.start
    (h, w), (rh, rw) = tile.core.shape, tile.read.shape
    steps = range(0, plan.shape[1] + 1, 8)
    parts = [line(left + n * zoom, top, left + n * zoom, top + height, "#eeeeee") for n in steps]
    parts += [line(left, top + n * zoom, left + width, top + n * zoom, "#eeeeee") for n in steps if n <= plan.shape[0]]
    read = (left + rx * zoom, top + ry * zoom, rw * zoom, rh * zoom)
    parts += [box(*read, ORANGE, ORANGE, 'fill-opacity="0.35" stroke-width="2"')]
    for other in plan:
        (a, b), (c, d) = other.core.start, other.core.shape
        parts.append(box(left + b * zoom, top + a * zoom, d * zoom, c * zoom, "none", "#777777"))
    core = (left + x * zoom, top + y * zoom, w * zoom, h * zoom)
    parts += [box(*core, BLUE, INK, 'fill-opacity="0.85" stroke-width="2"')]
    parts += [text(core[0] + w * zoom / 2, core[1] + h * zoom / 2 + 5, "core: kept", anchor="middle")]
    parts += [text(core[0] + w * zoom / 2, read[1] + 26, "read: core + halo", anchor="middle")]
    parts += [text(left, 26, "An image of 256 × 192 px in tiles of 64 px; the fine lines are the pooling grid (8 px)")]
    return svg(left * 2 + width + 80, top + height + 20, parts)


def grid():
    """Return a row of pixels as two reads pool it: one that starts on the grid of the image, one beside it."""
    size, left, count, pool = 26, 190, 20, 4
    rows = [
        ("the whole image", 0, BLUE, "the grid starts at its first pixel"),
        ("a read on the grid", 4, BLUE, "same groups of pixels: same prediction"),
        ("a shifted read", 6, RED, "other groups of pixels: another prediction"),
    ]
    parts = [text(20, 30, "Two steps of pooling by 2 put pixels into groups of 4.")]
    for number, (name, start, colour, remark) in enumerate(rows):
        y = 56 + number * 74
        parts += [text(20, y + 18, name), text(left, y + 46, remark, "#555555")]
        for pixel in range(start, count):
            parts.append(box(left + pixel * size, y, size, size, "white", GREY))
        for group in range(start, count, pool):
            wide = min(pool, count - group) * size
            parts.append(box(left + group * size, y, wide, size, colour, INK, 'fill-opacity="0.35" stroke-width="2"'))
    return svg(left + count * size + 20, 56 + len(rows) * 74, parts)


def seams():
    """Return the image and where each way of cutting it changes the answer, side by side."""
    image, found = exactness.maps()
    grey = np.clip((image - image.min()) / (np.percentile(image, 99.8) - image.min()), 0, 1)
    panels = [("the image", np.repeat((grey * 255).astype(np.uint8)[..., None], 3, axis=-1))]
    panels += [(name, heat(difference)) for name, (difference, _) in found.items()]
    height, width = image.shape
    gap, top = 12, 30
    sheet = Image.new("RGB", (len(panels) * (width + gap) + gap, height + top + gap), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(20)
    for number, (name, panel) in enumerate(panels):
        x = gap + number * (width + gap)
        sheet.paste(Image.fromarray(panel), (x, top))
        pen.text((x, 4), name, INK, font)
    return sheet.resize((sheet.width * 2 // 3, sheet.height * 2 // 3), Image.Resampling.LANCZOS)


def heat(difference):
    """Return differences as colours on a log scale: black below 1e-6, white at 1."""
    share = np.clip(np.log10(np.maximum(difference, 1e-6)) / 6 + 1, 0, 1)
    stops = np.array([[0, 0, 0], [86, 20, 10], [213, 94, 0], [240, 228, 66], [255, 255, 255]])
    at = np.linspace(0, 1, len(stops))
    return np.stack([np.interp(share, at, stops[:, i]) for i in range(3)], axis=-1).astype(np.uint8)


if __name__ == "__main__":
    IMAGES.mkdir(exist_ok=True)
    (IMAGES / "tiles.svg").write_text(tiles(), encoding="utf-8")
    (IMAGES / "grid.svg").write_text(grid(), encoding="utf-8")
    seams().quantize(128, dither=Image.Dither.NONE).save(IMAGES / "seams.png", optimize=True)
