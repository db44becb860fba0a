"""One plane or volume of an image, as the input of a network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from napari_fcn.errors import ImageError
from napari_fcn.geometry import Region

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from napari_fcn.session import Session

T = TypeVar("T", bound=np.generic)


@dataclass(frozen=True, slots=True, eq=False)
class Plane:
    """The input of a network at one index of the loop axes (time, or the planes of a 2-D network).

    Attributes
    ----------
    session : Session
        The network and the image.
    at : tuple of int
        A pixel of the plane, on the image axes.
    """

    session: Session
    at: tuple[int, ...]

    @classmethod
    def through(cls, session: Session, index: Sequence[int]) -> Plane:
        """Return the plane through a pixel.

        Parameters
        ----------
        session : Session
            The network and the image.
        index : sequence of int
            One index per image axis, or per axis of the network; then other axes are at their middle.

        Raises
        ------
        ImageError
            If the pixel is outside the image, or the number of axes differs.
        """
        axes, shape = session.axes, session.source.shape
        given, names = tuple(int(i) for i in index), " ".join(axes.image)
        if len(given) == len(axes.space) < len(shape):
            middle = [n // 2 for n in shape]
            for position, i in zip(axes.space_positions, given, strict=True):
                middle[position] = i
            given = tuple(middle)
        if len(given) != len(shape):
            raise ImageError(f"Pixel {given} has {len(given)} numbers; the image has {len(shape)} axes ({names}).")
        if not all(0 <= i < n for i, n in zip(given, shape, strict=True)):
            size = " x ".join(map(str, shape))
            raise ImageError(f"Pixel {given} is outside the image, which is {size} px ({names}, from 0).")
        return cls(session, given)

    @classmethod
    def within(cls, session: Session, region: Region | None) -> Plane:
        """Return the plane through the middle of a region, or of the image."""
        shape = session.source.shape
        inside = Region.whole(shape) if region is None else region.clip(shape)
        spans = zip(inside.start, inside.stop, shape, strict=True)
        return cls(session, tuple(min(n - 1, (a + b) // 2) for a, b, n in spans))

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each axis of the network."""
        return self.space(self.session.source.shape)

    @property
    def index(self) -> tuple[int, ...]:
        """The pixel on the axes of the network."""
        return self.space(self.at)

    @property
    def name(self) -> str:
        """Index of the plane, such as ``t 3, z 5``; empty if the image has only one plane."""
        loop = self.session.axes.loop
        return ", ".join(f"{n} {i}" for n, i in zip(self.session.axes.image, self.at, strict=True) if n in loop)

    def space(self, values: Sequence[int]) -> tuple[int, ...]:
        """Return the values for the axes of the network, given one value per image axis."""
        return tuple(values[position] for position in self.session.axes.space_positions)

    def on_image(self, part: Region) -> Region:
        """Return a box on the axes of the network as a box on the image axes, with length 1 along the others."""
        start, stop = list(self.at), [i + 1 for i in self.at]
        for position, a, b in zip(self.session.axes.space_positions, part.start, part.stop, strict=True):
            start[position], stop[position] = a, b
        return Region(tuple(start), tuple(stop))

    def back(self, values: npt.NDArray[T], part: Region) -> tuple[Region, npt.NDArray[T]]:
        """Return the box and the values of a part of the plane on the image axes."""
        image_region = self.on_image(part)
        image_values: Any = self.session.axes.from_net(values[None, None], image_region.shape)[0]
        return image_region, np.ascontiguousarray(image_values)

    def block(self, part: Region) -> npt.NDArray[np.float32]:
        """Return a normalised part of the plane as the input of the network, ``(C, *part.shape)``."""
        region = self.on_image(part)
        raw = self.session.scaling.apply(self.session.source.read(region), region)
        block: npt.NDArray[np.float32] = np.ascontiguousarray(self.session.axes.to_net(raw)[0])
        return block
