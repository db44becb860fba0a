"""The metadata of results: kind, axes, calibration, classes and provenance."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_fcn.geometry.calibration import UNKNOWN, Calibration
from napari_fcn.storage import JsonError, parse_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_fcn.io.layout import Layout


@dataclass(frozen=True, slots=True)
class ResultMeta:
    """The metadata of a result file.

    Attributes
    ----------
    axes : tuple of str
        Axes of the image without its channels.
    scale : tuple of float
        Spacing of the pixels along each of them, in ``units``.
    units : tuple of str
        micrometer, second; pixel for a size of 1 where it is unknown.
    classes : tuple of (str, str)
        Name and colour (``"#rrggbb"``) of each class, in the order of their indices.
    provenance : mapping
        Model and its hash, settings, version, source image, as JSON-like values.
    origin : tuple of float
        Centre of the first pixel along each axis in ``units``; empty: 0 along each.
    """

    axes: tuple[str, ...]
    scale: tuple[float, ...]
    units: tuple[str, ...]
    classes: tuple[tuple[str, str], ...] = ()
    provenance: Mapping[str, Any] = field(default_factory=dict)
    origin: tuple[float, ...] = ()

    @classmethod
    def from_calibration(
        cls,
        axes: tuple[str, ...],
        calibration: Calibration,
        classes: tuple[tuple[str, str], ...] = (),
        provenance: Mapping[str, Any] | None = None,
    ) -> ResultMeta:
        """Return the metadata of a result with this calibration."""
        return cls(axes, calibration.scale, calibration.units, classes, provenance or {}, calibration.origin)

    @property
    def calibration(self) -> Calibration:
        """Size, unit and origin of the pixels along each axis."""
        return Calibration.of(self.scale, self.units, self.origin)


@dataclass(frozen=True, slots=True, eq=False)
class Result:
    """A result to write: the information that the writers of all formats need."""

    kind: str
    layout: Layout
    dtype: np.dtype[Any]
    meta: ResultMeta

    @property
    def nbytes(self) -> int:
        """Bytes of the array, not compressed."""
        return prod(self.layout.shape) * self.dtype.itemsize

    @property
    def calibration(self) -> Calibration:
        """Size, unit and origin of the pixels along each axis of the file."""
        by_name = dict(zip(self.meta.axes, self.meta.calibration.axes, strict=True))
        return Calibration(tuple(by_name.get(name, UNKNOWN) for name in self.layout.names))

    @property
    def record(self) -> dict[str, Any]:
        """The record that :func:`read_result_meta` returns, as JSON-like values."""
        return {
            "kind": self.kind,
            "axes": list(self.layout.names),
            "scale": list(self.calibration.scale),
            "units": list(self.calibration.units),
            "origin": list(self.calibration.origin),
            "classes": [list(pair) for pair in self.meta.classes],
            "provenance": _to_json(self.meta.provenance),
        }


def parse_record(value: object) -> dict[str, Any]:
    """Return the record of a result from JSON or plain data; empty if it is not one.

    Entries of the wrong type are dropped.
    """
    if isinstance(value, str):
        try:
            value = parse_json(value)
        except JsonError:
            return {}
    if not isinstance(value, dict):
        return {}
    kinds: dict[str, type] = {"kind": str, "provenance": dict}
    kinds |= dict.fromkeys(("axes", "scale", "units", "classes"), list)
    return {key: part for key, part in value.items() if isinstance(part, kinds.get(key, object))}


def record_calibration(record: Mapping[str, Any]) -> Calibration:
    """Return the calibration in the record of a result; without axes if it has no valid one."""
    try:
        return Calibration.of(record["scale"], [str(unit) for unit in record["units"]], record.get("origin") or ())
    except (KeyError, TypeError, ValueError):
        return Calibration()


def _to_json(value: Any) -> Any:
    """Return a value with JSON types: tuples as lists, numpy numbers as numbers, paths as text."""
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    if hasattr(value, "items"):
        return {str(key): _to_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_to_json(item) for item in value]
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)
