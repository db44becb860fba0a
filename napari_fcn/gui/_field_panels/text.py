"""What one pixel sees, in words and numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_fcn.gui._widgets.run_result import duration
from napari_fcn.gui._widgets.text import escaped

if TYPE_CHECKING:
    from napari_fcn.gui._controllers import AxisExtent, CheckResult, LayerGrowth, PixelField

TIME = "t"
USED = "{:.1%} of the box counts: its pixels have at least 4.6% of the largest influence."
FEW = 0.001  # of the field: what is less is not worth a sentence
CELL = "<td align='right' style='padding-left: 12px'>"


def growth_line(growth: LayerGrowth) -> str:
    """Return the size of the whole field of a model, or why it has none."""
    if growth.unbounded:
        names = ", ".join(map(escaped, growth.unbounded))
        return (
            f"<b>{escaped(growth.model)}</b> sees the whole image, through {names}. So there is no box to show, and "
            "tiles are not exact."
        )
    size = " × ".join(map(str, growth.size))
    return f"Growth of the field by layer, up to {size} px ({' '.join(map(escaped, growth.axes))})"


def field_text(sight: PixelField) -> str:
    """Return all numbers of a sight as rich text."""
    place = ", ".join(f"{escaped(name)} {i}" for name, i in sight.at)
    rows = [f"<b>What decides about the pixel {place}</b>", _table(sight)]
    rows += [_frames(one) for one in sight.lengths if one.axis == TIME]
    if sight.label:
        rows += [
            _radii(sight),
            USED.format(sight.used),
        ]
    if sight.outside > FEW:
        rows.append(f"{sight.outside:.0%} of the box lies outside of the image: there the model reads padding.")
    if sight.label:
        facts = (f"<b>{escaped(sight.model)}</b>", f"class {escaped(sight.label)}", duration(sight.seconds))
        rows.append(" · ".join(facts))
    return "".join(f"<div style='margin-bottom: 4px'>{row}</div>" for row in rows)


def check_text(finding: CheckResult) -> str:
    """Return what a check has found, on what, and how long it took."""
    of = " (its earlier pixels)" if finding.is_outdated else ""
    facts = f"{finding.model} on {finding.image}{of} · {duration(finding.seconds)}"
    return f"{escaped(finding.sentence)}<br><i>{escaped(facts)}</i>"


def _table(sight: PixelField) -> str:
    head = f"<tr><td></td>{CELL}could see</td>{CELL}really uses</td></tr>"
    rows = [f"<tr><td>{escaped(one.axis)}</td>{_size(one, one.theoretical)}{_used(one)}</tr>" for one in sight.lengths]
    return f"<table cellspacing='0'>{head}{''.join(rows)}</table>"


def _used(one: AxisExtent) -> str:
    return _size(one, one.effective) if one.effective else f"{CELL}…</td>"


def _size(one: AxisExtent, pixels: int) -> str:
    unit = "frames" if one.axis == TIME else "px"
    length = f"<br>{pixels * one.step:.3g} {escaped(one.unit)}" if one.unit else ""
    return f"{CELL}{pixels} {unit}{length}</td>"


def _frames(one: AxisExtent) -> str:
    return f"In time it sees the frames {one.first} to {one.last}."


def _radii(sight: PixelField) -> str:
    parts = []
    for radius in sight.radii:
        length = "" if radius.length is None else f" ({radius.length:.2g} {escaped(sight.unit)})"
        parts.append(f"{radius.share:.0%} within {radius.pixels:.2g} px{length}")
    return "Influence: " + ", ".join(part.replace(" ", "&nbsp;") for part in parts) + "."
