"""A half-open n-dimensional box."""

from __future__ import annotations

from dataclasses import dataclass
from math import dist, prod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class Region:
    """A half-open box ``start <= index < stop``, one entry per axis, in pixels.

    Raises
    ------
    ValueError
        If ``start`` and ``stop`` have different lengths.
    """

    start: tuple[int, ...]
    stop: tuple[int, ...]

    def __post_init__(self) -> None:
        if len(self.start) != len(self.stop):
            raise ValueError(f"Region start {self.start} and stop {self.stop} differ in the number of axes.")

    @classmethod
    def whole(cls, shape: Sequence[int]) -> Region:
        """Return the box that covers an array of this shape."""
        return cls((0,) * len(shape), tuple(int(n) for n in shape))

    @classmethod
    def of(cls, slices: Sequence[slice]) -> Region:
        """Return the box of an index into an array: the inverse of `slices`."""
        return cls(tuple(s.start for s in slices), tuple(s.stop for s in slices))

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.start)

    @property
    def shape(self) -> tuple[int, ...]:
        """Length per axis, never negative."""
        return tuple(max(0, b - a) for a, b in zip(self.start, self.stop, strict=True))

    @property
    def size(self) -> int:
        """Number of pixels."""
        return prod(self.shape)

    @property
    def is_empty(self) -> bool:
        """Whether the box contains no pixel."""
        return self.size == 0

    @property
    def middle(self) -> tuple[int, ...]:
        """The middle pixel; of two, the latter."""
        return tuple((a + b) // 2 for a, b in zip(self.start, self.stop, strict=True))

    @property
    def slices(self) -> tuple[slice, ...]:
        """The index of the box into an array."""
        return tuple(slice(a, b) for a, b in zip(self.start, self.stop, strict=True))

    def take(self, axes: Sequence[int]) -> Region:
        """Return the box along these axes, in this order."""
        return Region(tuple(self.start[axis] for axis in axes), tuple(self.stop[axis] for axis in axes))

    def distance(self, index: Sequence[int]) -> float:
        """Return the distance of the middle of the box from a pixel."""
        middle = ((a + b - 1) / 2 for a, b in zip(self.start, self.stop, strict=True))
        return dist(tuple(middle), tuple(index))

    def grow(self, before: Sequence[int], after: Sequence[int] | None = None) -> Region:
        """Return the box widened by ``before`` at its start and ``after`` (default: the same) at its stop."""
        after = before if after is None else after
        return Region(
            tuple(a - n for a, n in zip(self.start, before, strict=True)),
            tuple(b + n for b, n in zip(self.stop, after, strict=True)),
        )

    def clip(self, shape: Sequence[int]) -> Region:
        """Return the part inside an array of this shape."""
        return self.intersection(Region.whole(shape))

    def shift(self, offset: Sequence[int]) -> Region:
        """Return the box moved by ``offset`` pixels."""
        return Region(
            tuple(a + o for a, o in zip(self.start, offset, strict=True)),
            tuple(b + o for b, o in zip(self.stop, offset, strict=True)),
        )

    def relative_to(self, outer: Region) -> Region:
        """Return this box in the coordinates of ``outer``."""
        return self.shift(tuple(-a for a in outer.start))

    def intersection(self, other: Region) -> Region:
        """Return the intersection; empty (stop = start) if there is none."""
        start = tuple(max(a, b) for a, b in zip(self.start, other.start, strict=True))
        stop = tuple(min(a, b) for a, b in zip(self.stop, other.stop, strict=True))
        return Region(start, tuple(max(a, b) for a, b in zip(start, stop, strict=True)))

    def intersects(self, other: Region) -> bool:
        """Whether the two boxes share a pixel."""
        return not self.intersection(other).is_empty

    def contains(self, other: Region) -> bool:
        """Whether the box contains all pixels of ``other``."""
        return self.intersection(other) == other

    def union(self, other: Region) -> Region:
        """Return the smallest box that contains both."""
        return Region(
            tuple(min(a, b) for a, b in zip(self.start, other.start, strict=True)),
            tuple(max(a, b) for a, b in zip(self.stop, other.stop, strict=True)),
        )
