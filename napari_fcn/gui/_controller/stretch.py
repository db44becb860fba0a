"""Which frames or planes a network looks at together, at the place where the sliders stand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_fcn.geometry import Region

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from napari_fcn.geometry import Axes
    from napari_fcn.geometry.resampling import Resampling
    from napari_fcn.nets.spec import NetSpec

Phases = tuple[tuple[tuple[int, int], ...], ...]
WORDS = {"t": ("frame", "frames"), "z": ("plane", "planes"), "y": ("row", "rows"), "x": ("column", "columns")}


@dataclass(frozen=True, slots=True)
class Stretch:
    """What a network sees along an axis that has a slider, for the answer at the place of the slider.

    Attributes
    ----------
    axis : str
        The axis.
    at : int
        Where the slider stands, counted from 0.
    first, last : int
        What is seen, both included.
    count : int
        Length of the axis.
    """

    axis: str
    at: int
    first: int
    last: int
    count: int

    @property
    def line(self) -> str:
        """The stretch in words."""
        one, many = WORDS.get(self.axis, (f"place along {self.axis}", f"places along {self.axis}"))
        whole = ", which is all of them" if self.last - self.first + 1 == self.count else ""
        return f"At {one} {self.at} the network sees {many} {self.first} to {self.last} of {self.count}{whole}."


@dataclass(frozen=True, slots=True)
class Probed:
    """How far a network sees along each of its axes, for each phase of its pooling grid; empty if without an end."""

    spec: NetSpec
    phases: Phases


def probe(spec: NetSpec) -> Iterator[Probed]:
    """Yield how far a network sees; for the worker thread, as it takes a second."""
    from napari_fcn.receptive_field.theoretical import anatomy

    found = anatomy(spec)
    yield Probed(spec, () if found.unbounded else found.phases)


def stretches(
    phases: Phases, axes: Axes, shape: Sequence[int], slid: dict[str, int], grid: Resampling | None = None
) -> tuple[Stretch, ...]:
    """Return what is seen along each axis of the network that has a slider, exact at its phase and at the border.

    Parameters
    ----------
    phases : tuple of tuple of (int, int)
        Per axis of the network and phase of its pooling grid, pixels that are seen before and after.
    axes : Axes
        Role of each axis of the image.
    shape : sequence of int
        Length of each of the image axes.
    slid : dict of str to int
        Where the slider of each axis stands.
    grid : Resampling, optional
        From the pixels of the image to those of the network, if they are others.

    Returns
    -------
    tuple of Stretch
        Without those along which the network sees nothing but the place itself.
    """
    found = []
    for along, position, name in zip(phases, axes.space_positions, axes.space, strict=False):
        if name in slid and any(before or after for before, after in along):
            first, last = _seen(along, position, slid[name], shape[position], grid)
            found.append(Stretch(name, slid[name], first, last, shape[position]))
    return tuple(found)


def _seen(
    phases: tuple[tuple[int, int], ...], position: int, at: int, length: int, grid: Resampling | None
) -> tuple[int, int]:
    """Return the first and the last place that is seen from a place of an axis of the image."""
    start, stop = at, at + 1
    if grid is not None:
        start, stop = _needed(grid.back, position, start, stop)
        length = grid.target[position]
    spans = [(i - phases[i % len(phases)][0], i + phases[i % len(phases)][1] + 1) for i in range(start, stop)]
    start, stop = max(0, min(a for a, _ in spans)), min(length, max(b for _, b in spans))
    if grid is not None:
        start, stop = _needed(grid, position, start, stop)
    return start, stop - 1


def _needed(grid: Resampling, position: int, start: int, stop: int) -> tuple[int, int]:
    """Return the part of an axis of the one grid on which a part of that of the other depends."""
    lows, highs = [0] * len(grid.target), [1] * len(grid.target)
    lows[position], highs[position] = start, stop
    found = grid.needs(Region(tuple(lows), tuple(highs)))
    return found.start[position], found.stop[position]
