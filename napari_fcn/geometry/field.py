"""The receptive field of a network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_fcn.geometry.region import Region

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class ReceptiveField:
    """The extent of the receptive field of a pixel, at the worst phase of the pooling grid.

    ::

                before      pixel      after
          |<------------------[]-------------->|
          |<-------------- size -------------->|

    Attributes
    ----------
    before, after : tuple of int
        Number of pixels before and after the pixel itself, per spatial axis.
    """

    before: tuple[int, ...]
    after: tuple[int, ...]

    @property
    def size(self) -> tuple[int, ...]:
        """Size of the receptive field per axis, including the pixel itself."""
        return tuple(a + 1 + b for a, b in zip(self.before, self.after, strict=True))

    @property
    def halo(self) -> tuple[tuple[int, int], ...]:
        """Pixels to read beyond a tile, as (before, after) per axis."""
        return tuple(zip(self.before, self.after, strict=True))

    def around(self, index: Sequence[int], shape: Sequence[int]) -> Region:
        """Return the receptive field of the output at ``index``, clipped to an image of this shape."""
        pixel = Region(tuple(index), tuple(i + 1 for i in index))
        return pixel.grow(self.before, self.after).clip(shape)
