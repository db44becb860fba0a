"""Pixel size and origin in the coordinate transformations of an OME-Zarr."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_fcn.errors import Advice, Note
from napari_fcn.geometry.calibration import (
    MICROMETRES,
    SECONDS,
    UNKNOWN,
    AxisCalibration,
    Calibration,
    finite,
    positive,
)
from napari_fcn.io.units import PIXEL, unit_word

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

IGNORED_TRANSFORMS = ("identity",)


def zarr_calibration(
    multiscale: Mapping[str, Any], dataset: Mapping[str, Any], axes: Sequence[str]
) -> tuple[Calibration, tuple[str, ...]]:
    """Return the calibration of a level, and sentences about transformations that cannot be used.

    The transformations of the level are applied first, then those of the whole image. Sizes that are not positive, or
    that depend on other types of transformations, are unknown.

    Parameters
    ----------
    multiscale, dataset : mapping
        The ``multiscales`` entry, and that of the level.
    axes : sequence of str
        Name of each axis.
    """
    steps = [step for entry in (dataset, multiscale) for step in _transforms(entry)]
    others = [kind for step in steps if (kind := _describe_unusable(step, len(axes)))]
    if others:
        unsupported = Note(
            f"The OME-Zarr has unsupported coordinate transformations ({', '.join(dict.fromkeys(others))}): pixel size "
            "and origin are taken as unknown.",
            Advice("Give the size with --voxel-size.", "Set the size on a layer of the image."),
        )
        return Calibration.unknown(len(axes)), (unsupported,)
    units = _axis_units(multiscale, axes)
    found, bad = [], []
    for position, (name, unit) in enumerate(zip(axes, units, strict=True)):
        axis, is_bad = _combine_axis(steps, position, unit)
        found.append(UNKNOWN if name in ("c", "s") else axis)
        if is_bad and name not in ("c", "s"):
            bad.append(name)
    if not bad:
        return Calibration(tuple(found)), ()
    note = f"The OME-Zarr states no usable pixel size along {', '.join(bad)}: it is taken as unknown."
    return Calibration(tuple(found)), (note,)


def _transforms(entry: Mapping[str, Any]) -> Iterable[Mapping[str, Any]]:
    steps = entry.get("coordinateTransformations")
    return [step for step in steps if isinstance(step, dict)] if isinstance(steps, list) else []


def _describe_unusable(transform: Mapping[str, Any], ndim: int) -> str:
    """Return the reason why a transformation cannot be used; "" if it can."""
    kind = str(transform.get("type"))
    if kind in IGNORED_TRANSFORMS:
        return ""
    if kind not in ("scale", "translation"):
        return f"a transformation of type {kind}"
    if kind not in transform and "path" in transform:
        return f"a {kind} in an array of its own"
    values = transform.get(kind)
    if not isinstance(values, list) or len(values) != ndim:
        return f"a {kind} of {len(values) if isinstance(values, list) else 'no'} numbers for {ndim} axes"
    return ""


def _axis_units(multiscale: Mapping[str, Any], axes: Sequence[str]) -> list[str]:
    """Return the unit of each axis; pixel if it is not a unit of length or time."""
    stated = multiscale.get("axes") or [None] * len(axes)
    words = [unit_word(axis.get("unit")) if isinstance(axis, dict) else PIXEL for axis in stated]
    kinds = {"t": SECONDS, "z": MICROMETRES, "y": MICROMETRES, "x": MICROMETRES}
    return [word if word in kinds.get(name, {word}) else PIXEL for name, word in zip(axes, words, strict=True)]


def _combine_axis(transforms: Sequence[Mapping[str, Any]], position: int, unit: str) -> tuple[AxisCalibration, bool]:
    """Return the calibration of one axis, and whether its numbers are invalid."""
    size, origin = 1.0, 0.0
    is_stated = False
    for step in transforms:
        kind = str(step["type"])
        if kind in IGNORED_TRANSFORMS:
            continue
        number = positive(step[kind][position]) if kind == "scale" else finite(step[kind][position])
        if number is None:
            return UNKNOWN, True
        if kind == "scale":
            size, origin, is_stated = size * number, origin * number, True
        else:
            origin += number
    if positive(size) is None or finite(origin) is None:  # beyond the range of numbers
        return UNKNOWN, True
    if not is_stated and unit != PIXEL:  # a position without a pixel size
        return UNKNOWN, bool(origin)
    return AxisCalibration(size, unit, origin), False
