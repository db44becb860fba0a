"""Reads regions of an image and selects its channels, from any array that can be sliced."""

from __future__ import annotations

import mmap
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import product
from math import ceil, prod
from operator import add
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_fcn.errors import ImageError
from napari_fcn.geometry import Axes, Region
from napari_fcn.inference.colours import COLOURS, luminance, white_of
from napari_fcn.models.binding import ChannelsMissing, read_channels
from napari_fcn.system_errors import refused

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from napari_fcn.inference.resampling import ResampledSource
    from napari_fcn.settings import PredictSettings

__all__ = ["COLOURS", "ImageSource", "check_array", "luminance", "sample_intensities"]

SAMPLE_PIXELS = 2**22  # per channel, for the statistics of an image
SAMPLE_BLOCK = 256  # length of the blocks from which a large image is sampled


@dataclass(frozen=True, slots=True, eq=False)
class ImageSource:
    """An array with the roles of its axes and the channels that the network reads.

    Attributes
    ----------
    array : array-like
        numpy, dask, zarr, memory map: anything with ``shape``, ``dtype`` and slices.
    axes : Axes
        Role of each axis of the array.
    channels : tuple of int or str
        Channels to read, in order; or the part of colours to read: a key of `COLOURS`.
    notes : tuple of str
        Sentences for the user on channels that were chosen automatically.
    """

    array: Any
    axes: Axes
    channels: tuple[int, ...] | str
    notes: tuple[str, ...] = ()
    _white: list[float] = field(default_factory=list, init=False, repr=False)  # once it is known

    @classmethod
    def open(
        cls,
        array: Any,
        axes: Axes,
        wanted: int,
        settings: PredictSettings,
        rgb: bool = False,
        colours: bool = False,
    ) -> ImageSource:
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
            The channel, or the part of colours, for a network of one channel.
        rgb : bool
            Whether the channels are colours.
        colours : bool
            Whether the network reads red, green and blue.

        Raises
        ------
        ImageError
            If the image is empty, not made of real numbers, or its channels do not fit the network.
        """
        check_array(array)
        count = axes.channels(array.shape)
        try:
            channels, notes = read_channels(count, wanted, settings, rgb, colours)
        except ChannelsMissing as error:
            named = axes.channel or not axes.loop
            advice = "." if named else ", or name the axes (as cyx) if one of them holds the channels."
            raise ImageError(f"{error}{advice}") from error
        return cls(array, axes, channels, notes)

    @property
    def white(self) -> float:
        """The intensity of white; see `white_of`."""
        if not self._white:
            self._white.append(white_of(np.dtype(self.array.dtype), partial(_colours, self)))
        return self._white[0]

    @property
    def range_notes(self) -> tuple[str, ...]:
        """A note on the range of colours that are not bytes, which is measured from the pixels."""
        if isinstance(self.channels, tuple) or self.channels == "luminance" or self.array.dtype in (np.uint8, np.bool_):
            return ()
        return (f"The colours are {self.array.dtype}; read as 0 to {self.white:g}, which is white.",)

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each image axis (no channels)."""
        return self.axes.image_shape(self.array.shape)

    def read(self, region: Region) -> npt.NDArray[np.generic]:
        """Return the block ``(C, *region.shape)``: float32 if made of colours, else in the type of the image.

        Raises
        ------
        ImageError
            If the array cannot be read, for example because its file is damaged or missing.
        """
        index: list[Any] = list(region.slices)
        position = self.axes.channel_position
        if position is None:
            return self._repeated(_read(self.array, index, region)[None])
        is_one = not isinstance(self.channels, str) and len(set(self.channels)) == 1
        one = int(self.channels[0]) if is_one else None
        index.insert(position, slice(None) if one is None else slice(one, one + 1))  # a slice: what every array can do
        block = np.moveaxis(_read(self.array, index, region, position), position, 0)
        if isinstance(self.channels, str):
            return COLOURS[self.channels](block, self.white)[None]
        return block[list(self.channels)] if one is None else self._repeated(block)

    def _repeated(self, block: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
        """Return the one channel ``(1, *shape)`` as often as it is read."""
        return np.repeat(block, len(self.channels), 0) if len(self.channels) > 1 else block

    def sample(self, region: Region | None = None, most: int | None = None) -> npt.NDArray[np.generic]:
        """Return ``(C, pixels)`` for the statistics of the image or a region: all, or blocks spread over it."""
        is_one = not isinstance(self.channels, str) and len(set(self.channels)) == 1
        return sample_intensities(replace(self, channels=self.channels[:1]) if is_one else self, region, most)


def _read(array: Any, index: Sequence[Any], region: Region, channel: int | None = None) -> npt.NDArray[np.generic]:
    """Return a part of an array.

    A lazy array is computed only now; pages of a file that was mapped are released afterwards. Errors of the operating
    system become an `ImageError`; all others are those of the code behind the array, and reach the caller as they are
    (the readers in io/ raise an `ImageError` themselves).
    """
    try:
        block = np.asarray(array[tuple(index)])
        if is_mapped_file(array):
            block = block.copy()
            array.base.madvise(mmap.MADV_DONTNEED)  # else they count as memory of the process
    except OSError as error:
        part = f"The part {_format_region(region)} of the image cannot be read"
        if error.errno is not None:
            where = f" from {error.filename}" if error.filename else ""
            raise refused(f"{part}{where}", error, ImageError) from error
        raise ImageError(f"{part} ({error}). Check its files and open the image again.") from error
    block_shape = tuple(n for axis, n in enumerate(block.shape) if axis != channel)
    if block_shape != region.shape:
        raise ImageError(
            f"The part {_format_region(region)} of the image has {_format_shape(block_shape)} pixels, expected "
            f"{_format_shape(region.shape)}: frames or planes differ in size. Crop or pad them to one size and open "
            "them again."
        )
    return block


def is_mapped_file(array: Any) -> bool:
    """Whether an array maps a file to read it, and the system can release its pages, which stay in its cache."""
    is_file = isinstance(array, np.memmap) and array.mode == "r" and isinstance(array.base, mmap.mmap)
    return is_file and hasattr(mmap, "MADV_DONTNEED")


def _format_region(region: Region) -> str:
    return "[" + ", ".join(f"{a}:{b}" for a, b in zip(region.start, region.stop, strict=True)) + "]"


def _format_shape(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))


def sample_intensities(
    source: ImageSource | ResampledSource, region: Region | None = None, most: int | None = None
) -> npt.NDArray[np.generic]:
    """Return ``(C, pixels)`` of a source, or a region of it: all, or the ``most`` pixels in blocks spread over it."""
    region = region or Region.whole(source.shape)
    regions = [region]
    if region.size > (most or SAMPLE_PIXELS):
        parts = spread_blocks(region.shape, most)
        regions = [Region(*(tuple(map(add, end, region.start)) for end in (part.start, part.stop))) for part in parts]
    blocks = [block.reshape(block.shape[0], -1) for block in map(source.read, regions)]
    return blocks[0] if len(blocks) == 1 else np.concatenate(blocks, axis=1)


def _colours(source: ImageSource) -> npt.NDArray[np.generic]:
    """Return ``(colours, pixels)``, all of them or blocks spread over a large image."""
    every = tuple(range(min(3, source.axes.channels(source.array.shape))))
    return sample_intensities(ImageSource(source.array, source.axes, every))


def spread_blocks(shape: tuple[int, ...], most: int | None = None) -> list[Region]:
    """Return at most ``most`` pixels in blocks that are spread evenly over an image of this shape."""
    block = [min(n, SAMPLE_BLOCK if axis >= len(shape) - 2 else 1) for axis, n in enumerate(shape)]
    counts = [ceil(n / b) for n, b in zip(shape, block, strict=True)]
    while prod(counts) * prod(block) > (most or SAMPLE_PIXELS) and max(counts) > 1:
        axis = counts.index(max(counts))
        counts[axis] = max(1, counts[axis] * 3 // 4)
    starts = [
        np.linspace(0, n - b, count).round().astype(int) if count > 1 else [(n - b) // 2]
        for n, b, count in zip(shape, block, counts, strict=True)
    ]
    corners = (tuple(int(i) for i in corner) for corner in product(*starts))
    return [Region(c, tuple(i + b for i, b in zip(c, block, strict=True))) for c in corners]


def check_finite(values: npt.NDArray[np.generic]) -> None:
    """Raise ImageError if an image to learn from holds no finite number."""
    if values.dtype.kind == "f" and not np.isfinite(values).any():
        raise ImageError(
            "The image holds no finite number, only NaN or infinity: there is nothing to learn from it.",
            "Check how it was saved.",
        )


def check_array(array: Any) -> None:
    """Raise ImageError if the array is not an image of real numbers."""
    if not hasattr(array, "shape") or not hasattr(array, "dtype"):
        raise ImageError(f"Expected an array with shape and dtype, got {type(array).__name__}.")
    if prod(array.shape) == 0:
        raise ImageError(f"The image is empty: its shape is {tuple(array.shape)}. Open another one.")
    try:
        kind = np.dtype(array.dtype).kind
    except TypeError as error:
        raise ImageError(f"Expected an array of a numpy dtype, got {type(array).__name__}.") from error
    if kind == "c":
        raise ImageError(
            "The image holds complex numbers. Take their magnitude or phase first (numpy.abs, numpy.angle)."
        )
    if kind not in "buif":
        raise ImageError(f"The image holds {array.dtype}; real numbers are needed (integers, floats or booleans).")
