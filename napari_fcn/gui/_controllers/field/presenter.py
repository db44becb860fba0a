"""Pure functions from the engine's analysis of receptive fields to the state of the dock."""

from __future__ import annotations

from dataclasses import replace
from math import prod
from typing import TYPE_CHECKING, Any

from napari_fcn.errors import ImageError
from napari_fcn.events import BorderTrustDone, Certified, EquivarianceDone
from napari_fcn.geometry import Region
from napari_fcn.gui._controllers.field.state import AxisExtent, LayerGrowth, LayerRow, PixelField
from napari_fcn.io.units import unit_symbol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_fcn.gui._controllers.field.state import ImageView, InfluenceReady
    from napari_fcn.gui._controllers.model_catalog import ModelEntry

MIN_MAP_TOP = 0.05  # of a probability: maps of smaller changes stay dark


def check_inside(view: ImageView, index: Sequence[int]) -> None:
    """Raise ImageError if there is no such pixel."""
    names, size = " ".join(view.axes.image), " × ".join(map(str, view.shape))
    if len(index) != len(view.shape):
        raise ImageError(f"A pixel of {view.image.name} has {len(view.shape)} numbers ({names}); {len(index)} given.")
    if not all(0 <= i < n for i, n in zip(index, view.shape, strict=True)):
        place = ", ".join(f"{name} {i}" for name, i in zip(view.axes.image, index, strict=True))
        raise ImageError(
            f"The pixel {place} lies outside of {view.image.name}, which has {size} px ({names}). Click on the image."
        )


def receptive_box(analysis: Any, view: ImageView, index: Sequence[int]) -> Region:
    """Return the pixels that decide about one, on the image axes, exact at its place on the pooling grid.

    Raises
    ------
    ModelError
        If the network looks at everything.
    """
    _ = analysis.field
    positions = view.axes.space_positions
    box = analysis.box([index[p] for p in positions], [view.shape[p] for p in positions])
    spans = dict(zip(positions, zip(box.start, box.stop, strict=True), strict=True))
    pairs = [spans.get(position, (i, i + 1)) for position, i in enumerate(index)]
    return Region(tuple(a for a, _ in pairs), tuple(b for _, b in pairs))


def pixel_field(analysis: Any, view: ImageView, index: Sequence[int], model: str) -> PixelField:
    """Return all that is known of a pixel's field without asking the network."""
    box = receptive_box(analysis, view, index)
    lengths = []
    for axis, position in enumerate(view.axes.space_positions):
        before, after = analysis.phases[axis][index[position] % len(analysis.phases[axis])]
        lying = view.calibration.axes[position]
        start, stop = box.start[position], box.stop[position]
        known = unit_symbol(lying.unit) if lying.is_known else ""
        size = before + after + 1
        lengths.append(AxisExtent(view.axes.image[position], size, start, stop - 1, step=lying.step, unit=known))
    inside = prod((one.last - one.first + 1) / one.theoretical for one in lengths)
    at = tuple(zip(view.axes.image, map(int, index), strict=True))
    return PixelField(view.image.name, model, at, tuple(lengths), 1 - inside)


def with_influence(field: PixelField, view: ImageView, influence: InfluenceReady, label: str) -> PixelField:
    """Return the same with what the network really uses."""
    done = influence.done
    widths = [done.widths[position] for position in view.axes.space_positions]
    lengths = tuple(replace(one, effective=width) for one, width in zip(field.lengths, widths, strict=True))
    return replace(
        field,
        lengths=lengths,
        label=label,
        radii=influence.radii,
        unit=unit_symbol(influence.unit),
        used=done.used,
        seconds=done.seconds,
    )


def layer_growth(analysis: Any, model: ModelEntry) -> LayerGrowth:
    """Return how the field of a model grows layer by layer."""
    spec = model.info.spec
    names = tuple("zyx"[-spec.ndim :])
    axes = names if spec.time is None else ("t", *"zyx"[-(spec.ndim - 1) :])
    rows = tuple(LayerRow(one.name, one.kind, one.size, one.jump, one.start) for one in analysis.layers)
    size = () if analysis.unbounded else analysis.field.size
    return LayerGrowth(model.name, axes, tuple(size), rows, tuple(analysis.unbounded))


def object_size_advice(objects: float, growth: LayerGrowth | None, field: PixelField | None) -> str:
    """Return what to do about objects of this diameter, in pixels of the finest axis; empty if it is not known."""
    if objects <= 0 or growth is None or not growth.size:
        return ""
    from napari_fcn.receptive_fields.advice import advise

    if field is None or field.model != growth.model:
        return advise(objects, 0, max(growth.size), len(growth.axes))
    space = [one for one in field.lengths if one.axis != "t"]
    finest = min(one.step for one in space)
    widest = [max(getattr(one, what) * one.step / finest for one in space) for what in ("effective", "theoretical")]
    return advise(objects, widest[0], widest[1], len(growth.axes))


def certificate_text(found: Certified) -> str:
    """Return what a certificate says, with its figures."""
    needed, used = (" × ".join(str(max(side)) for side in halo) for halo in (found.halo_needed, found.halo_used))
    flips = f"{found.label_flips} pixels change class" if found.label_flips else "no pixel changes class"
    error = f"by at most {found.max_error:.1e}, {found.mean_error:.1e} on average" if found.max_error else "nowhere"
    verdict = "Exact" if found.is_exact else "Not exact"
    return (
        f"{verdict}. {found.reason} {found.tiles} tiles, halo {used} px where {needed} px are needed; probabilities "
        f"differ {error}; {flips}."
    )


def check_map(event: Certified | EquivarianceDone | BorderTrustDone) -> tuple[Any, float, str]:
    """Return the map of a check, the value that is drawn brightest, and the sentence about it."""
    if isinstance(event, Certified):
        return event.difference, max(event.max_error, event.tolerance), certificate_text(event)
    values = event.values if isinstance(event, EquivarianceDone) else event.outside
    return values, max(MIN_MAP_TOP, float(values.max(initial=0))), event.sentence
