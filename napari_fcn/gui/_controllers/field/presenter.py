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

MIN_MAP_TOP = 0.05  # of a probability: the least value that is drawn brightest


def check_inside(view: ImageView, index: Sequence[int]) -> None:
    """Raise ImageError if the image has no such pixel."""
    names, size = " ".join(view.axes.image), " × ".join(map(str, view.shape))
    if len(index) != len(view.shape):
        raise ImageError(f"A pixel of {view.image.name} needs {len(view.shape)} numbers ({names}); {len(index)} given.")
    if not all(0 <= i < n for i, n in zip(index, view.shape, strict=True)):
        pixel = ", ".join(f"{name} {i}" for name, i in zip(view.axes.image, index, strict=True))
        raise ImageError(
            f"The pixel {pixel} lies outside {view.image.name}, which has {size} px ({names}). Click on the image."
        )


def receptive_box(analysis: Any, view: ImageView, index: Sequence[int]) -> Region:
    """Return the receptive field of a pixel on the image axes, exact for its phase of the pooling grid.

    Raises
    ------
    ModelError
        If the receptive field is unbounded.
    """
    _ = analysis.field
    positions = view.axes.space_positions
    box = analysis.box([index[p] for p in positions], [view.shape[p] for p in positions])
    spans = dict(zip(positions, zip(box.start, box.stop, strict=True), strict=True))
    pairs = [spans.get(position, (i, i + 1)) for position, i in enumerate(index)]
    return Region(tuple(a for a, _ in pairs), tuple(b for _, b in pairs))


def pixel_field(analysis: Any, view: ImageView, index: Sequence[int], model: str) -> PixelField:
    """Return the receptive field of a pixel without running the network."""
    box = receptive_box(analysis, view, index)
    extents = []
    for axis, position in enumerate(view.axes.space_positions):
        before, after = analysis.phases[axis][index[position] % len(analysis.phases[axis])]
        calibration = view.calibration.axes[position]
        start, stop = box.start[position], box.stop[position]
        unit = unit_symbol(calibration.unit) if calibration.is_known else ""
        size = before + after + 1
        extents.append(AxisExtent(view.axes.image[position], size, start, stop - 1, step=calibration.step, unit=unit))
    inside = prod((extent.last - extent.first + 1) / extent.theoretical for extent in extents)
    pixel = tuple(zip(view.axes.image, map(int, index), strict=True))
    return PixelField(view.image.name, model, pixel, tuple(extents), 1 - inside)


def with_influence(field: PixelField, view: ImageView, influence: InfluenceReady, label: str) -> PixelField:
    """Return the field with its effective size and the measured influence."""
    done = influence.done
    widths = [done.widths[position] for position in view.axes.space_positions]
    extents = tuple(replace(extent, effective=width) for extent, width in zip(field.extents, widths, strict=True))
    return replace(
        field,
        extents=extents,
        label=label,
        radii=influence.radii,
        unit=unit_symbol(influence.unit),
        used=done.used,
        seconds=done.seconds,
    )


def layer_growth(analysis: Any, model: ModelEntry) -> LayerGrowth:
    """Return the receptive field of each layer of a model."""
    spec = model.info.spec
    names = tuple("zyx"[-spec.ndim :])
    axes = names if spec.time is None else ("t", *"zyx"[-(spec.ndim - 1) :])
    rows = tuple(LayerRow(layer.name, layer.kind, layer.size, layer.jump, layer.start) for layer in analysis.layers)
    size = () if analysis.unbounded else analysis.field.size
    return LayerGrowth(model.name, axes, tuple(size), rows, tuple(analysis.unbounded))


def object_size_advice(objects: float, growth: LayerGrowth | None, field: PixelField | None) -> str:
    """Return advice on objects of this diameter, in pixels of the finest axis; empty if it is unknown."""
    if objects <= 0 or growth is None or not growth.size:
        return ""
    from napari_fcn.receptive_fields.advice import advise

    if field is None or field.model != growth.model:
        return advise(objects, 0, max(growth.size), len(growth.axes))
    space = [extent for extent in field.extents if extent.axis != "t"]
    finest = min(extent.step for extent in space)
    effective = max(extent.effective * extent.step / finest for extent in space)
    theoretical = max(extent.theoretical * extent.step / finest for extent in space)
    return advise(objects, effective, theoretical, len(growth.axes))


def certificate_text(result: Certified) -> str:
    """Return the result of a certificate as text, with its numbers."""
    needed, used = (" × ".join(str(max(side)) for side in halo) for halo in (result.halo_needed, result.halo_used))
    flips = f"{result.label_flips} pixels change class" if result.label_flips else "no pixel changes class"
    error = f"by at most {result.max_error:.1e}, {result.mean_error:.1e} on average" if result.max_error else "nowhere"
    verdict = "Exact" if result.is_exact else "Not exact"
    return (
        f"{verdict}. {result.reason} {result.tiles} tiles, halo {used} px where {needed} px are needed; probabilities "
        f"differ {error}; {flips}."
    )


def check_map(event: Certified | EquivarianceDone | BorderTrustDone) -> tuple[Any, float, str]:
    """Return the map of a check, the value that is drawn brightest, and the result as a sentence."""
    if isinstance(event, Certified):
        return event.difference, max(event.max_error, event.tolerance), certificate_text(event)
    values = event.values if isinstance(event, EquivarianceDone) else event.outside
    return values, max(MIN_MAP_TOP, float(values.max(initial=0))), event.sentence
