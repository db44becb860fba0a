"""The role of each axis of an image: convolved, looped over, or channels."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import numpy.typing as npt

T = TypeVar("T")

SPACE = ("z", "y", "x")
CHANNELS = ("c", "s")  # channels; s is tifffile's letter for the samples of a colour image
WORDS = {  # spellings in files, in napari and by users
    "time": "t",
    "times": "t",
    "timepoint": "t",
    "frame": "t",
    "frames": "t",
    "channel": "c",
    "channels": "c",
    "ch": "c",
    "wavelength": "c",
    "sample": "s",
    "samples": "s",
    "depth": "z",
    "plane": "z",
    "planes": "z",
    "slice": "z",
    "slices": "z",
    "row": "y",
    "rows": "y",
    "height": "y",
    "column": "x",
    "columns": "x",
    "col": "x",
    "width": "x",
}
UNNAMED = {
    1: ("x",),
    2: ("y", "x"),
    3: ("z", "y", "x"),
    4: ("t", "z", "y", "x"),
    5: ("t", "c", "z", "y", "x"),
}


def axis_names(spellings: Sequence[str]) -> tuple[str, ...]:
    """Return the names of axes: one lower-case letter for each known word, else the word.

    If two words mean the same axis, such as ``channel`` and ``c``, both are only converted to lower case.
    """
    lower = [str(spelling).strip().lower() for spelling in spellings]
    names = tuple(WORDS.get(name, name) for name in lower)
    return tuple(name if names.count(name) == 1 else word for name, word in zip(names, lower, strict=True))


@dataclass(frozen=True, slots=True)
class Axes:
    """The role of each axis of an image.

    Loop axes (time, planes of a 2-D network) are neither in space nor channels: the network runs once for each index. A
    *block* below is ``(C, *image axes)``: channels first, the other axes in the order of the image.

    Attributes
    ----------
    names : tuple of str
        All axes of the array in order, for example ``("t", "y", "x", "c")``.
    space : tuple of str
        The axes that the network convolves, in the order of the network.
    channel : str or None
        The channel axis.
    """

    names: tuple[str, ...]
    space: tuple[str, ...]
    channel: str | None = None

    def __post_init__(self) -> None:
        if len(set(self.names)) != len(self.names):
            raise ValueError(f"Each axis needs a name of its own; the names given are {' '.join(self.names)}.")
        missing = [name for name in (*self.space, *filter(None, [self.channel])) if name not in self.names]
        if missing:
            raise ValueError(f"The axes {' '.join(self.names)} have no {' or '.join(missing)}.")

    @classmethod
    def guess(
        cls,
        shape: Sequence[int],
        ndim: int,
        names: Sequence[str] | None = None,
        rgb: bool = False,
        time: int | None = None,
    ) -> Axes:
        """Return the roles of the axes of an image for an ``ndim``-dimensional network.

        Parameters
        ----------
        shape : sequence of int
            Shape of the array, channels included.
        ndim : int
            Number of axes that the network convolves.
        names : sequence of str, optional
            One letter or word per axis, as TIFF and OME-Zarr name them (t, c, z, y, x; s for colour samples).
            Without names the last axes are z, y, x, with t and then c before them.
        rgb : bool
            Whether the last axis of an unnamed image contains colours.
        time : int, optional
            Index of the time axis among the convolved axes; none if not given.

        Raises
        ------
        ValueError
            If the names do not fit the shape, or the image has too few axes for the network.
        """
        names = cls._names(shape, names, rgb) if names or time is None else cls._movie(shape, rgb, (ndim, time))
        channel = next((name for name in CHANNELS if name in names), None)
        others = [name for name in names if name != channel]
        if len(others) < ndim:
            needed = f"{ndim} axes in space" if time is None else f"time and {ndim - 1} axes in space"
            raise ValueError(
                f"A {ndim}-D model needs {needed}; the image has {len(others)} "
                f"({' '.join(others) or 'none'}) in its shape {tuple(shape)}. "
                "Choose a model with fewer dimensions or name the axes."
            )
        spatial = [name for name in SPACE if name in others]
        if time is not None and "t" in others and len(spatial) >= ndim - 1:
            spatial = spatial[len(spatial) - (ndim - 1) :]
            return cls(tuple(names), (*spatial[:time], "t", *spatial[time:]), channel)
        is_trace = others == ["t"]  # a time series for a 1-D network
        if len(spatial) < ndim and "t" in others and set(others) <= {"t", *SPACE} and not is_trace:
            raise ValueError(
                f"A {ndim}-D model needs {ndim} axes in space; the image has {' '.join(spatial)} and time. "
                "Choose a model with fewer dimensions, or correct the names of the axes if t is not time."
            )
        return cls(tuple(names), tuple((spatial if len(spatial) >= ndim else others)[-ndim:]), channel)

    @classmethod
    def suspected(cls, shape: Sequence[int], ndim: int, channels: int, time: int | None = None) -> tuple[str, ...]:
        """Return names for an unnamed image with an axis as long as the network has channels.

        Parameters
        ----------
        shape : sequence of int
            Shape of the array.
        ndim, channels : int
            Number of axes that the network convolves, and of its input channels.
        time : int, optional
            Index of the time axis among the convolved axes.

        Returns
        -------
        tuple of str
            Empty if there is no such axis, or the network reads one channel, because axes of length 1 are ambiguous. Of
            several axes, that just before the axes of a plane is preferred, and the last axis is the last choice.
        """
        inner = range(len(shape) - 1 - min(2, ndim), -1, -1)
        position = next((i for i in (*inner, len(shape) - 1) if channels > 1 and shape[i] == channels), None)
        if (
            position is None
            or len(shape) - 1 < ndim
            or len(shape) - 1 not in UNNAMED
            or "c" in UNNAMED.get(len(shape), ())
        ):
            return ()
        rest = (*shape[:position], *shape[position + 1 :])
        names = cls._names(rest, None, False) if time is None else cls._movie(rest, False, (ndim, time))
        return (*names[:position], "c", *names[position:])

    @staticmethod
    def _names(shape: Sequence[int], names: Sequence[str] | None, rgb: bool) -> tuple[str, ...]:
        if names:
            lower = tuple(name.lower() for name in names)
            if len(lower) != len(shape):
                raise ValueError(
                    f"The axes {' '.join(lower)} name {len(lower)} axes; the image has {len(shape)}: {tuple(shape)}. "
                    "Give a letter for each, channels too."
                )
            return lower
        count = len(shape) - rgb
        if count not in UNNAMED:
            raise ValueError(f"Cannot tell the axes of an image of shape {tuple(shape)}: name them, such as TCZYX.")
        return (*(n for n in UNNAMED[count]), *(["c"] if rgb else []))

    @classmethod
    def _movie(cls, shape: Sequence[int], rgb: bool, network: tuple[int, int]) -> tuple[str, ...]:
        """Return names for an unnamed movie; ``network`` is the number of convolved axes, and the index of time."""
        names, (ndim, time) = list(cls._names(shape, None, rgb)), network
        first = len(names) - rgb - ndim
        if "t" not in names and first >= 0:
            names[first + time] = "t"
        return tuple(names)

    @property
    def image(self) -> tuple[str, ...]:
        """Names of all axes except channels: the axes of results, regions and tiles."""
        return tuple(name for name in self.names if name != self.channel)

    @property
    def loop(self) -> tuple[str, ...]:
        """Names of the axes that are neither convolved nor channels."""
        return tuple(name for name in self.image if name not in self.space)

    @property
    def channel_position(self) -> int | None:
        """Position of the channel axis in the array."""
        return None if self.channel is None else self.names.index(self.channel)

    @property
    def space_positions(self) -> tuple[int, ...]:
        """Positions of the spatial axes among the image axes, in the order of the network."""
        return tuple(self.image.index(name) for name in self.space)

    def image_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        """Return the shape of an array without its channel axis."""
        return tuple(int(n) for name, n in zip(self.names, shape, strict=True) if name != self.channel)

    def channels(self, shape: Sequence[int]) -> int:
        """Return the number of channels of an array of this shape."""
        return 1 if self.channel_position is None else int(shape[self.channel_position])

    def spread(self, values: Sequence[T], loop: T) -> tuple[T, ...]:
        """Return one value per image axis: ``values`` for the axes in space, ``loop`` for the others."""
        by_name = dict(zip(self.space, values, strict=True))
        return tuple(by_name.get(name, loop) for name in self.image)

    def to_net(self, block: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
        """Return a block ``(C, *image)`` as ``(N, C, *space)``; N is the product of the loop axes."""
        loop = [1 + self.image.index(name) for name in self.loop]
        space = [1 + position for position in self.space_positions]
        moved = block.transpose(*loop, 0, *space)
        return moved.reshape(prod(moved.shape[: len(loop)]), *moved.shape[len(loop) :])

    def from_net(self, out: npt.NDArray[np.generic], shape: Sequence[int]) -> npt.NDArray[np.generic]:
        """Return ``(N, K, *space)`` as ``(K, *shape)``, with ``shape`` in the order of the image axes."""
        loop = [self.image.index(name) for name in self.loop]
        split = out.reshape(*(shape[i] for i in loop), *out.shape[1:])
        order = [*loop, None, *self.space_positions]
        return split.transpose(order.index(None), *(order.index(i) for i in range(len(shape))))
