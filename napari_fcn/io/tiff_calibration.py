"""Pixel size and origin from OME-XML, ImageJ's description or the tags of a TIFF."""

from __future__ import annotations

from math import isclose
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import tifffile

from napari_fcn.geometry.calibration import UNKNOWN, AxisCalibration, Calibration
from napari_fcn.io.result_meta import record_calibration
from napari_fcn.io.units import LENGTHS, MICROMETRES, PIXEL, TIMES, finite, is_microscopic, positive, unit_word

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

AxisCalibrations = dict[str, AxisCalibration]  # by the name of the axis
SPACE_AXES = "xyz"
PRINT_UNITS = ("inch", "centimeter")  # of print resolutions


def tiff_calibration(tiff: tifffile.TiffFile, names: Sequence[str], record: Mapping[str, Any]) -> Calibration:
    """Return size, unit and origin along the axes of the first image of a TIFF.

    Parameters
    ----------
    tiff : TiffFile
        The file.
    names : sequence of str
        Its axes.
    record : mapping
        The record of a result in the file, or empty; it stores values for which OME-XML has no field.
    """
    if tiff.is_ome:
        by_name = _ome_axes(tiff.ome_metadata or "")
    elif tiff.is_imagej:
        by_name = _imagej_axes(tiff, names)
    else:
        by_name = tag_calibration(tiff.pages.first)
    stated = Calibration(tuple(by_name.get(name, UNKNOWN) for name in names)).named(names)
    recorded = record_calibration(record)
    if tuple(record.get("axes", ())) != tuple(names) or len(recorded) != len(names):
        return stated
    return Calibration(tuple(map(_prefer_record, stated.axes, recorded.axes)))


def ome_calibration(xml: str, names: Sequence[str]) -> Calibration:
    """Return size, unit and origin along the axes of the first image in OME-XML."""
    by_name = _ome_axes(xml)
    return Calibration(tuple(by_name.get(name, UNKNOWN) for name in names)).named(names)


def _prefer_record(stated: AxisCalibration, recorded: AxisCalibration) -> AxisCalibration:
    """Return the recorded calibration of an axis, unless another program has changed the size since."""
    is_same = stated.unit == recorded.unit and isclose(stated.step, recorded.step, rel_tol=1e-6)
    return recorded if stated.size is None or is_same else stated


def ome_pixels(xml: str) -> Mapping[str, Any]:
    """Return the ``Pixels`` element of the first image in OME-XML."""
    try:
        images: Any = tifffile.xml2dict(xml).get("OME", {}).get("Image", {})
    except ElementTree.ParseError:
        return {}
    pixels: Mapping[str, Any] = (images[0] if isinstance(images, list) else images).get("Pixels", {})
    return pixels


def _ome_axes(xml: str) -> AxisCalibrations:
    pixels = ome_pixels(xml)
    plane = _first_plane(pixels)
    axes = {}
    for name in SPACE_AXES:
        key = f"PhysicalSize{name.upper()}"
        size = _parse_axis(pixels.get(key), pixels.get(f"{key}Unit", "µm"), LENGTHS)
        axes[name] = _with_origin(size, plane, f"Position{name.upper()}")
    axes["t"] = _parse_axis(pixels.get("TimeIncrement"), pixels.get("TimeIncrementUnit", "s"), TIMES)
    return axes


def _first_plane(pixels: Mapping[str, Any]) -> Mapping[str, Any]:
    planes: Any = pixels.get("Plane", [])
    planes = planes if isinstance(planes, list) else [planes]
    at_zero = [plane for plane in planes if not any(plane.get(f"The{letter}") for letter in "CZT")]
    first: Mapping[str, Any] = (at_zero or planes or [{}])[0]
    return first


def _with_origin(size: AxisCalibration, plane: Mapping[str, Any], key: str) -> AxisCalibration:
    """Return an axis with the origin of a plane; OME's "reference frame" is not a unit."""
    place, unit = finite(plane.get(key)), unit_word(plane.get(f"{key}Unit", "reference frame"))
    if place is None:
        return size
    if size.is_known and unit in MICROMETRES:
        place *= MICROMETRES[unit] / MICROMETRES[size.unit] if unit != size.unit else 1
        return AxisCalibration(size.size, size.unit, place)
    if not size.is_known and str(plane.get(f"{key}Unit")) == PIXEL:
        return AxisCalibration(size.size, PIXEL, place)
    return size


def _parse_axis(value: object, spelling: object, units: Mapping[str, object], origin: float = 0.0) -> AxisCalibration:
    """Return the calibration from a number and a unit; without a unit of this kind the size is a ratio.

    The origin is a number of pixels.
    """
    size, unit = positive(value), unit_word(spelling)
    if size is None:
        return AxisCalibration(origin=origin)
    return AxisCalibration(size, unit if unit in units else PIXEL).moved(origin)


def _imagej_axes(tiff: tifffile.TiffFile, names: Sequence[str]) -> AxisCalibrations:
    """Return ImageJ's calibration: pixels per unit from the tags, the rest from its description.

    ``yunit`` and ``zunit`` are written if they differ from ``unit``; ``spacing`` is omitted if it is 1. An origin is
    the pixel at which coordinates are 0. ``fps`` is the speed of playback, not of recording.
    """
    metadata = tiff.imagej_metadata or {}
    axes: AxisCalibrations = {}
    for name, size in _pixel_sizes(tiff.pages.first).items():
        axes[name] = _imagej_axis(metadata, name, size)
    is_calibrated = any(axis.is_known for axis in axes.values())
    spacing = metadata.get("spacing", 1.0 if is_calibrated and "z" in names else None)
    is_printed = bool(axes) and not is_calibrated and unit_word(metadata.get("unit", "")) in PRINT_UNITS
    axes["z"] = UNKNOWN if is_printed else _imagej_axis(metadata, "z", spacing)
    axes["t"] = _parse_axis(metadata.get("finterval"), metadata.get("tunit", "s"), TIMES)
    return axes


def _imagej_axis(metadata: Mapping[str, Any], name: str, size: object) -> AxisCalibration:
    spelling = metadata.get(f"{name}unit", metadata.get("unit", ""))
    origin = finite(metadata.get(f"{name}origin")) or 0.0
    number, unit = positive(size), unit_word(spelling)
    if number and name != "z" and unit in PRINT_UNITS and not is_microscopic(number, unit):
        return AxisCalibration(origin=-origin)
    return _parse_axis(number, spelling, LENGTHS, -origin)


def tag_calibration(page: Any) -> AxisCalibrations:
    """Return the pixel size in the resolution tags, if it has a unit and is a microscope's, not a printer's."""
    unit = {2: "inch", 3: "centimeter"}.get(int(page.tags.valueof("ResolutionUnit", 1)))
    return {
        name: AxisCalibration(size * MICROMETRES[unit], "micrometer")
        for name, size in _pixel_sizes(page).items()
        if unit is not None and is_microscopic(size, unit)
    }


def _pixel_sizes(page: Any) -> dict[str, float]:
    """Return the length of a pixel along x and y in the unit of the resolution tags."""
    sizes = {}
    for name in "xy":
        per_unit, divisor = page.tags.valueof(f"{name.upper()}Resolution", (0, 0))
        if per_unit and divisor:
            sizes[name] = divisor / per_unit
    return sizes
