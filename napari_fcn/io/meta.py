"""What a result says about itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_fcn.io.layout import Layout


@dataclass(frozen=True, slots=True)
class ResultMeta:
    """What a result file says about itself.

    Attributes
    ----------
    axes : tuple of str
        Axes of the image without its channels.
    scale : tuple of float
        Spacing of the pixels along each of them, in ``units``.
    units : tuple of str
        micrometer, second, pixel ...
    classes : tuple of (str, str)
        Name and colour (``"#rrggbb"``) of each class, in the order of their indices.
    provenance : mapping
        Where the result comes from: model and its hash, settings, version, source image. JSON-like values.
    """

    axes: tuple[str, ...]
    scale: tuple[float, ...]
    units: tuple[str, ...]
    classes: tuple[tuple[str, str], ...] = ()
    provenance: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Result:
    """One result on its way to a file: what the writers of all formats need to know."""

    kind: str
    layout: Layout
    dtype: np.dtype[Any]
    meta: ResultMeta

    @property
    def nbytes(self) -> int:
        """Bytes of the array, not compressed."""
        return prod(self.layout.shape) * self.dtype.itemsize

    @property
    def scale(self) -> tuple[float, ...]:
        """Spacing along each axis of the file."""
        by_name = dict(zip(self.meta.axes, self.meta.scale, strict=True))
        return tuple(float(by_name.get(name, 1.0)) for name in self.layout.names)

    @property
    def units(self) -> tuple[str, ...]:
        """Unit of each axis of the file."""
        by_name = dict(zip(self.meta.axes, self.meta.units, strict=True))
        return tuple(by_name.get(name, "pixel") for name in self.layout.names)

    @property
    def record(self) -> dict[str, Any]:
        """What :func:`read_result_meta` gives back, as JSON-like values."""
        return {
            "kind": self.kind,
            "axes": list(self.layout.names),
            "scale": list(self.scale),
            "units": list(self.units),
            "classes": [list(pair) for pair in self.meta.classes],
            "provenance": _json_like(self.meta.provenance),
        }


def _json_like(value: Any) -> Any:
    """Return a value as JSON can hold it: tuples as lists, numpy's numbers as numbers, paths as text."""
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    if hasattr(value, "items"):
        return {str(key): _json_like(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_json_like(item) for item in value]
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)
