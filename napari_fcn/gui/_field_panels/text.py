"""The receptive field of a pixel, the growth by layer, and check results as rich text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_fcn.gui._controllers import duration
from napari_fcn.gui._widgets.text import escaped

if TYPE_CHECKING:
    from napari_fcn.gui._controllers import AxisExtent, CheckResult, LayerGrowth, PixelField

TIME = "t"
USED = "{:.1%} of the box matters: its pixels have at least 4.6% of the largest influence."
MIN_OUTSIDE = 0.001  # of the field: smaller shares are not shown
CELL = "<td align='right' style='padding-left: 12px'>"


def growth_line(growth: LayerGrowth) -> str:
    """Return the size of the receptive field of a model, or why it is unbounded."""
    if growth.unbounded:
        names = ", ".join(map(escaped, growth.unbounded))
        return (
            f"<b>{escaped(growth.model)}</b> uses the whole image, because of {names}: there is no box to show, and "
            "tiles are not exact."
        )
    size = " × ".join(map(str, growth.size))
    return f"Receptive field by layer, up to {size} px ({' '.join(map(escaped, growth.axes))})"


def field_text(field: PixelField) -> str:
    """Return the sizes of a receptive field as rich text."""
    pixel = ", ".join(f"{escaped(name)}&nbsp;{i}" for name, i in field.pixel)
    rows = [f"<b>Receptive field of the pixel {pixel}</b>", _table(field)]
    rows += [_frames(extent) for extent in field.extents if extent.axis == TIME]
    if field.label:
        rows += [
            _radii(field),
            USED.format(field.used),
        ]
    if field.outside > MIN_OUTSIDE:
        rows.append(f"{field.outside:.0%} of the box lies outside the image, where the model reads padding.")
    if field.label:
        facts = (f"<b>{escaped(field.model)}</b>", f"class {escaped(field.label)}", duration(field.seconds))
        rows.append(" · ".join(facts))
    return "".join(f"<div style='margin-bottom: 4px'>{row}</div>" for row in rows)


def check_text(result: CheckResult) -> str:
    """Return the result of a check, its model and image, and its duration."""
    of = " (earlier pixels)" if result.is_outdated else ""
    facts = f"{result.model} on {result.image}{of} · {duration(result.seconds)}"
    return f"{escaped(result.sentence)}<br><i>{escaped(facts)}</i>"


def _table(field: PixelField) -> str:
    head = f"<tr><td></td>{CELL}theoretical</td>{CELL}effective</td></tr>"
    rows = [
        f"<tr><td>{escaped(extent.axis)}</td>{_size(extent, extent.theoretical)}{_used(extent)}</tr>"
        for extent in field.extents
    ]
    return f"<table cellspacing='0'>{head}{''.join(rows)}</table>"


def _used(extent: AxisExtent) -> str:
    return _size(extent, extent.effective) if extent.effective else f"{CELL}…</td>"


def _size(extent: AxisExtent, pixels: int) -> str:
    unit = "frames" if extent.axis == TIME else "px"
    length = f"<br>{pixels * extent.step:.3g} {escaped(extent.unit)}" if extent.unit else ""
    return f"{CELL}{pixels} {unit}{length}</td>"


def _frames(extent: AxisExtent) -> str:
    return f"The model uses frames {extent.first} to {extent.last}."


def _radii(field: PixelField) -> str:
    parts = []
    for radius in field.radii:
        length = "" if radius.length is None else f" ({radius.length:.2g} {escaped(field.unit)})"
        parts.append(f"{radius.share:.0%} within {radius.pixels:.2g} px{length}")
    return "Influence: " + ", ".join(part.replace(" ", "&nbsp;") for part in parts) + "."
