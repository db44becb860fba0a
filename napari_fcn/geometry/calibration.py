"""Pixel size, unit and origin along each axis of an image, where known."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import isfinite
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

PIXEL = "pixel"  # the unit of axes whose pixel size is unknown, or known only as a ratio
SECONDS = {
    "nanosecond": 1e-9,
    "microsecond": 1e-6,
    "millisecond": 1e-3,
    "second": 1.0,
    "minute": 60.0,
    "hour": 3600.0,
    "day": 86400.0,
}
MICROMETRES = {
    "picometer": 1e-6,
    "angstrom": 1e-4,
    "nanometer": 1e-3,
    "micrometer": 1.0,
    "millimeter": 1e3,
    "centimeter": 1e4,
    "meter": 1e6,
    "inch": 25400.0,
}
LENGTH_AXES = ("z", "y", "x")
TIME_AXIS = "t"


def positive(value: object) -> float | None:
    """Return a finite number above zero, None for anything else."""
    number = finite(value)
    return number if number is not None and number > 0 else None


def finite(value: object) -> float | None:
    """Return a finite number, None for anything else."""
    if isinstance(value, bool):
        return None
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return None
    return number if isfinite(number) else None


def micrometres(size: float, unit: str) -> float:
    """Return a length in micrometres; 0 if the unit is not a length."""
    return float(size) * MICROMETRES.get(unit, 0.0)


@dataclass(frozen=True, slots=True)
class AxisCalibration:
    """Pixel size and origin of one axis: the centre of pixel ``i`` is at ``origin + i * size``.

    Attributes
    ----------
    size : float or None
        Distance between neighbouring pixels in ``unit``; None if unknown.
    unit : str
        A unit known to pint, napari and OME-Zarr, such as micrometer or second; pixel if the size is unknown, or if it
        is a ratio without a unit.
    origin : float
        Centre of the first pixel in ``unit``.
    """

    size: float | None = None
    unit: str = PIXEL
    origin: float = 0.0

    def __post_init__(self) -> None:
        size = None if self.size is None else positive(self.size)
        if size is None and self.size is not None:
            raise ValueError(f"A pixel size of {self.size} is not a positive number. Give None for an unknown size.")
        if size is None and self.unit != PIXEL:
            raise ValueError(f"An unknown pixel size has no unit; {self.unit} was given.")
        if finite(self.origin) is None:
            raise ValueError(f"An origin of {self.origin} is not a finite number.")
        # A size of 1 without a unit means an unknown size in file formats and napari.
        object.__setattr__(self, "size", None if size == 1 and self.unit == PIXEL else size)
        object.__setattr__(self, "origin", float(self.origin) + 0.0)

    @property
    def is_known(self) -> bool:
        """Whether the size has a unit of length or time."""
        return self.size is not None and self.unit != PIXEL

    @property
    def step(self) -> float:
        """Distance between neighbouring pixels in ``unit``; one pixel if the size is unknown."""
        return 1.0 if self.size is None else self.size

    @property
    def micrometres(self) -> float:
        """Pixel size in micrometres; 0 if it is unknown."""
        return micrometres(self.size or 0.0, self.unit)

    def moved(self, pixels: float) -> AxisCalibration:
        """Return the calibration with the origin shifted by this many pixels."""
        return replace(self, origin=self.origin + pixels * self.step)

    def resized(self, size: float, unit: str) -> AxisCalibration:
        """Return the calibration with another pixel size and the same origin.

        An origin in pixels, or in a unit of another kind, is converted with the new pixel size.
        """
        for units in (MICROMETRES, SECONDS):
            if self.unit in units and unit in units:
                factor = units[self.unit] / units[unit] if unit != self.unit else 1.0
                return AxisCalibration(size, unit, self.origin * factor)
        return AxisCalibration(size, unit, self.origin / self.step * size)

    def coarser(self, factor: float, shift: float = 0.0) -> AxisCalibration:
        """Return the calibration of pixels ``factor`` times larger, with the origin shifted by ``shift`` old pixels."""
        if factor == 1 and shift == 0:
            return self
        return replace(self.moved(shift), size=self.step * factor)

    def named(self, name: str) -> AxisCalibration:
        """Return the calibration if its unit fits the axis (length for z, y and x, time for t), else an unknown one."""
        units = MICROMETRES if name in LENGTH_AXES else SECONDS if name == TIME_AXIS else {**MICROMETRES, **SECONDS}
        return self if self.unit == PIXEL or self.unit in units else UNKNOWN


UNKNOWN = AxisCalibration()


@dataclass(frozen=True, slots=True)
class Calibration:
    """Size, unit and origin of the pixels along each axis of an array.

    Attributes
    ----------
    axes : tuple of AxisCalibration
        Calibration of each axis.
    """

    axes: tuple[AxisCalibration, ...] = ()

    @classmethod
    def unknown(cls, ndim: int) -> Calibration:
        """Return an unknown calibration of ``ndim`` axes."""
        return cls((UNKNOWN,) * ndim)

    @classmethod
    def of(cls, scale: Sequence[object], units: Sequence[str], origin: Sequence[object] = ()) -> Calibration:
        """Return a calibration; it is unknown for axes whose size is not a positive number.

        An origin is 0 if it is not a finite number, or if it has a unit but the size is unknown.
        """
        axes = []
        for size, unit, start in zip(scale, units, tuple(origin) or (0.0,) * len(scale), strict=True):
            length, position = positive(size), finite(start) or 0.0
            if length is None:
                axes.append(AxisCalibration(origin=position if unit == PIXEL else 0.0))
            else:
                axes.append(AxisCalibration(length, unit, position))
        return cls(tuple(axes))

    def __len__(self) -> int:
        return len(self.axes)

    @property
    def scale(self) -> tuple[float, ...]:
        """Pixel size along each axis in ``units``; 1 pixel if unknown."""
        return tuple(axis.step for axis in self.axes)

    @property
    def units(self) -> tuple[str, ...]:
        """Unit of each axis; pixel if the size is unknown."""
        return tuple(axis.unit for axis in self.axes)

    @property
    def origin(self) -> tuple[float, ...]:
        """Centre of the first pixel along each axis in ``units``."""
        return tuple(axis.origin for axis in self.axes)

    def take(self, positions: Iterable[int]) -> Calibration:
        """Return the calibration of the axes at these positions, in this order."""
        return Calibration(tuple(self.axes[position] for position in positions))

    def named(self, names: Sequence[str]) -> Calibration:
        """Return the calibration, unknown for channels and where a unit does not fit the axis."""
        pairs = zip(names, self.axes, strict=True)
        return Calibration(tuple(UNKNOWN if name in ("c", "s") else axis.named(name) for name, axis in pairs))

    def cropped(self, start: Sequence[int]) -> Calibration:
        """Return the calibration of a crop that starts at this pixel."""
        return Calibration(tuple(axis.moved(n) for axis, n in zip(self.axes, start, strict=True)))

    def coarser(self, factors: Sequence[float], shifts: Sequence[float] = ()) -> Calibration:
        """Return the calibration of a coarser level; see `AxisCalibration.coarser`."""
        moves = tuple(shifts) or (0.0,) * len(self.axes)
        return Calibration(tuple(a.coarser(f, s) for a, f, s in zip(self.axes, factors, moves, strict=True)))

    @property
    def micrometres(self) -> tuple[float, ...]:
        """Pixel size along each axis in micrometres; 0 if it is unknown."""
        return tuple(axis.micrometres for axis in self.axes)

    @property
    def ratios(self) -> tuple[float, ...]:
        """Pixel sizes relative to each other; all 1 if they cannot be compared.

        Sizes in one unit are unchanged; in different units of length they are in micrometres. In addition to lengths, a
        time axis has the finest of them.
        """
        if len(set(self.units)) <= 1:
            return self.scale
        lengths = [axis.micrometres for axis in self.axes if axis.unit not in SECONDS]
        if not lengths or not all(lengths):
            return (1.0,) * len(self.axes)
        return tuple(min(lengths) if axis.unit in SECONDS else axis.micrometres for axis in self.axes)
