"""An image as the network reads it: by region, channels chosen, any array that can be sliced."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from math import ceil, prod
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_fcn.errors import DAMAGE, Advice, ImageError, Note
from napari_fcn.geometry import Axes, Region

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy.typing as npt

    from napari_fcn.inference.resampled import ResampledSource
    from napari_fcn.settings import PredictSettings

LUMINANCE = np.array([0.2126, 0.7152, 0.0722], np.float32)  # ITU-R BT.709
SAMPLE = 2**22  # pixels per channel from which the statistics of an image are taken
BLOCK = 256  # length of the blocks in which a large image is sampled


ANOTHER_CHANNEL = Advice("choose another with --channel.", "choose another under Advanced.")


@dataclass(frozen=True, slots=True, eq=False)
class ImageSource:
    """An array, the roles of its axes, and which of its channels the network reads.

    Attributes
    ----------
    array : array-like
        numpy, dask, zarr, memory map: anything with ``shape``, ``dtype`` and slices.
    axes : Axes
        Role of each axis of the array.
    channels : tuple of int or str
        Channels to read, in order; or what to read from colours: a key of `COLOURS`.
    notes : tuple of str
        Sentences for the user about what was chosen for them.
    """

    array: Any
    axes: Axes
    channels: tuple[int, ...] | str
    notes: tuple[str, ...] = ()

    @classmethod
    def open(cls, array: Any, axes: Axes, wanted: int, settings: PredictSettings, rgb: bool = False) -> ImageSource:
        """Return the source from which a network of ``wanted`` input channels reads.

        Parameters
        ----------
        array : array-like
            The image.
        axes : Axes
            Role of each axis.
        wanted : int
            Input channels of the network.
        settings : PredictSettings
            Which channel, or what of the colours, a network of one channel reads.
        rgb : bool
            Whether the channels are colours.

        Raises
        ------
        ImageError
            If the image is empty, its type is no real number, or its channels do not fit the network.
        """
        check(array)
        count, channel = axes.channels(array.shape), settings.channel
        rgb = (rgb or axes.channel == "s") and count in (3, 4)
        if channel is not None:
            if wanted != 1:
                raise ImageError(f"The model reads {wanted} channels; one was chosen: {channel}. Leave it empty.")
            if not 0 <= channel < count:
                raise ImageError(f"Channel {channel} was asked for; the image has channels 0 to {count - 1}.")
            return cls(array, axes, (channel,))
        if count == wanted:
            return cls(array, axes, tuple(range(count)))
        if rgb and wanted == 3:
            return cls(array, axes, (0, 1, 2))
        if wanted == 1 and rgb:
            if settings.colour not in COLOURS:
                raise ImageError(f"There is no colour {settings.colour!r} to read. Choose {', '.join(COLOURS)}.")
            return cls(array, axes, settings.colour, (f"Of the colours, {settings.colour} was read.",))
        if wanted == 1:
            return cls(array, axes, (0,), (Note(f"Channel 0 of {count} was read;", ANOTHER_CHANNEL),))
        advice = (
            "." if axes.channel or not axes.loop else ", or name the axes (as cyx) if one of them holds the channels."
        )
        raise ImageError(
            f"The model reads {wanted} channels; the image has {count}. Choose another model or image{advice}"
        )

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each image axis (no channels)."""
        return self.axes.image_shape(self.array.shape)

    def read(self, region: Region) -> npt.NDArray[np.generic]:
        """Return the block ``(C, *region.shape)``: float32 if made of colours, else in the type of the image.

        Raises
        ------
        ImageError
            If the array cannot give it, as one whose file is damaged or gone.
        """
        index: list[Any] = list(region.slices)
        position = self.axes.channel_position
        if position is None:
            return _read(self.array, index, region)[None]
        one = self.channels[0] if len(self.channels) == 1 and not isinstance(self.channels, str) else None
        index.insert(position, slice(None) if one is None else slice(one, one + 1))  # a slice: what every array can do
        block = np.moveaxis(_read(self.array, index, region, position), position, 0)
        if isinstance(self.channels, str):
            return COLOURS[self.channels](block)[None]
        return block if one is not None else block[list(self.channels)]

    def sample(self) -> npt.NDArray[np.generic]:
        """Return ``(C, pixels)`` for the statistics of the image: all of it, or blocks spread over a large one."""
        return sample(self)


def _read(array: Any, index: Sequence[Any], region: Region, channel: int | None = None) -> npt.NDArray[np.generic]:
    """Return a part of an array, or raise in words: what a lazy one is made of is only looked at now."""
    try:
        block = np.asarray(array[tuple(index)])
    except DAMAGE as error:
        raise ImageError(
            f"The part {_spelled(region)} of the image cannot be read ({type(error).__name__}: {error}). A file is "
            "damaged or gone, or of another size than the others: check the files, open the image again and run again."
        ) from error
    found = tuple(n for axis, n in enumerate(block.shape) if axis != channel)
    if found != region.shape:
        raise ImageError(
            f"The part {_spelled(region)} of the image has {_sized(found)} pixels where {_sized(region.shape)} were "
            "promised: frames or planes differ in size. Crop or pad them to one size and open them again."
        )
    return block


def _spelled(region: Region) -> str:
    return "[" + ", ".join(f"{a}:{b}" for a, b in zip(region.start, region.stop, strict=True)) + "]"


def _sized(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))


def sample(source: ImageSource | ResampledSource) -> npt.NDArray[np.generic]:
    """Return ``(C, pixels)`` of a source: all of it, or blocks spread over a large one."""
    whole = Region.whole(source.shape)
    if whole.size <= SAMPLE:
        block = source.read(whole)
        return block.reshape(block.shape[0], -1)
    blocks = [source.read(region) for region in _spread(source.shape)]
    return np.concatenate([block.reshape(block.shape[0], -1) for block in blocks], axis=1)


def luminance(channels: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Return the brightness of colours ``(C, *image)``, of which the first three are red, green and blue."""
    brightness: npt.NDArray[np.float32] = np.tensordot(LUMINANCE, channels[:3].astype(np.float32), 1)
    return brightness


def _stain(number: int) -> Callable[[npt.NDArray[Any]], npt.NDArray[np.float32]]:
    def read(channels: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        from skimage.color import rgb2hed

        stains: npt.NDArray[Any] = rgb2hed(channels[:3], channel_axis=0)
        stain: npt.NDArray[np.float32] = stains[number].astype(np.float32)
        return stain

    return read


# What a network of one channel can read from colours. Stains: Ruifrok & Johnston 2001, as scikit-image separates them.
COLOURS: Mapping[str, Callable[[npt.NDArray[Any]], npt.NDArray[np.float32]]] = {
    "luminance": luminance,
    "haematoxylin": _stain(0),
    "eosin": _stain(1),
    "dab": _stain(2),
}


def _spread(shape: tuple[int, ...]) -> list[Region]:
    """Return at most ``SAMPLE`` pixels in blocks that are spread evenly over an image of this shape."""
    block = [min(n, BLOCK if axis >= len(shape) - 2 else 1) for axis, n in enumerate(shape)]
    counts = [ceil(n / b) for n, b in zip(shape, block, strict=True)]
    while prod(counts) * prod(block) > SAMPLE:
        axis = counts.index(max(counts))
        counts[axis] = max(1, counts[axis] * 3 // 4)
    starts = [
        np.linspace(0, n - b, count).round().astype(int) if count > 1 else [(n - b) // 2]
        for n, b, count in zip(shape, block, counts, strict=True)
    ]
    corners = (tuple(int(i) for i in corner) for corner in product(*starts))
    return [Region(c, tuple(i + b for i, b in zip(c, block, strict=True))) for c in corners]


def check(array: Any) -> None:
    """Raise ImageError if no network can read this array."""
    if not hasattr(array, "shape") or not hasattr(array, "dtype"):
        raise ImageError(f"A {type(array).__name__} was given; needed is an image: an array with a shape and a type.")
    if prod(array.shape) == 0:
        raise ImageError(f"The image is empty: its shape is {tuple(array.shape)}. Open another one.")
    try:
        kind = np.dtype(array.dtype).kind
    except TypeError as error:
        raise ImageError(f"A {type(array).__name__} was given; needed is an array as numpy knows them.") from error
    if kind == "c":
        raise ImageError(
            "The image holds complex numbers. Take their magnitude or phase first (numpy.abs, numpy.angle)."
        )
    if kind not in "buif":
        raise ImageError(f"The image holds {array.dtype}; needed are real numbers (integers, floats or booleans).")
