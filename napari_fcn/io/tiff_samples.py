"""The meaning of the numbers of a TIFF: intensities, channels, colours or palette indices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile

from napari_fcn.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    Pixels = npt.NDArray[Any]

PHOTOMETRIC = tifffile.PHOTOMETRIC
RGB_SAMPLES = len("RGB")
ALPHA_NOTE = "The transparency (alpha channel) of the image was left out."
EXTRA_SAMPLES_NOTE = "Only the red, green and blue samples were read."
PALETTE_NOTE = "The file has a palette: its colours were read, not the indices."
DISPLAY_PALETTE_NOTE = (
    "The palette of the file only colours intensities, as ImageJ writes it: the intensities were read."
)
INVERTED_NOTE = "White is 0 in this file: intensities were inverted."
WHITE_IS_ZERO_NOTE = "White is 0 in this file; the numbers were read as they are."
MOSAIC_NOTE = "The file holds the mosaic of a colour camera: it was read as intensities."
# Compressions whose YCbCr samples tifffile returns unconverted; those of others (JPEG) become red, green, blue.
RAW_YCBCR_COMPRESSIONS = {1, 5, 8, 32773, 32946, 34925, 50000}
COLOUR_SPACES = (PHOTOMETRIC.RGB, PHOTOMETRIC.YCBCR, PHOTOMETRIC.SEPARATED)
CONVERTED_COLOURS = {PHOTOMETRIC.SEPARATED: "inks (CMYK), not red, green and blue"}
UNREADABLE_COLOURS = {
    PHOTOMETRIC.CIELAB: "CIE L*a*b*",
    PHOTOMETRIC.ICCLAB: "ICC L*a*b*",
    PHOTOMETRIC.ITULAB: "ITU L*a*b*",
    PHOTOMETRIC.LOGL: "log luminance",
    PHOTOMETRIC.LOGLUV: "log luminance and chromaticity",
}


@dataclass(frozen=True, slots=True, eq=False)
class SampleMeaning:
    """Conversion of the numbers of a TIFF.

    Attributes
    ----------
    letters : str
        tifffile's letter of each axis after conversion; S for colours, C for channels.
    dtype : dtype
        Type of the pixels after conversion.
    samples : int or None
        Length of the axis of samples after conversion; None if there is none.
    convert : callable or None
        Converts a block with all its samples last; None if nothing changes.
    adds_samples : bool
        Whether the conversion adds a last axis of samples.
    notes : tuple of str
        Sentences for the user.
    """

    letters: str
    dtype: np.dtype[Any]
    samples: int | None = None
    convert: Callable[[Pixels], Pixels] | None = None
    adds_samples: bool = False
    notes: tuple[str, ...] = ()

    @property
    def rgb(self) -> bool:
        """Whether the last axis holds colours."""
        return self.letters.endswith("S")

    @property
    def sample_axis(self) -> int | None:
        """Index of the axis of samples; None if there is none."""
        return next((self.letters.index(letter) for letter in "SC" if self.samples and letter in self.letters), None)

    def shape(self, stored: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape of an array of this stored shape after conversion."""
        whole = (*stored, 0) if self.adds_samples else stored
        axis = self.sample_axis
        return tuple(int(self.samples or n) if position == axis else int(n) for position, n in enumerate(whole))

    def apply(self, source: Any) -> Any:
        """Return the array, converted when it is sliced."""
        return source if self.convert is None else _ConvertedArray(self, source)


class _ConvertedArray:
    """An array that is converted when it is sliced."""

    def __init__(self, meaning: SampleMeaning, source: Any) -> None:
        self._meaning, self._source = meaning, source
        self.shape, self.dtype = meaning.shape(tuple(source.shape)), meaning.dtype
        if hasattr(source, "files"):
            self.files = source.files

    def __getitem__(self, parts: tuple[Any, ...]) -> Pixels:
        meaning, axis = self._meaning, self._meaning.sample_axis
        assert meaning.convert is not None
        if axis is None:
            return meaning.convert(np.asarray(self._source[parts]))
        others = (*parts[:axis], *parts[axis + 1 :])
        inner = others if meaning.adds_samples else (*parts[:axis], slice(None), *parts[axis + 1 :])
        position = sum(isinstance(part, slice) for part in parts[:axis])
        block = np.asarray(self._source[inner])
        read = meaning.convert(block if meaning.adds_samples else np.moveaxis(block, position, -1))
        chosen = read[..., parts[axis]]
        return np.moveaxis(chosen, -1, position) if isinstance(parts[axis], slice) else chosen


def raw_samples(page: Any, letters: str) -> SampleMeaning:
    """Return the meaning that keeps the stored numbers, as for labels."""
    return SampleMeaning(
        letters, np.dtype(page.dtype).newbyteorder("="), page.samplesperpixel if "S" in letters else None
    )


def describe_samples(page: Any, is_imagej: bool) -> str:
    """Return a phrase for the numbers of a page if they are not plain intensities; else ""."""
    if page.photometric == PHOTOMETRIC.PALETTE and page.colormap is not None:
        return "" if is_imagej and _is_ramp(np.asarray(page.colormap)) else "indices of a palette, not intensities"
    if page.photometric == PHOTOMETRIC.MINISWHITE and np.dtype(page.dtype).kind == "u":
        return "intensities of which 0 is white"
    return UNREADABLE_COLOURS.get(page.photometric) or CONVERTED_COLOURS.get(page.photometric, "")


def interpret_samples(page: Any, letters: str, is_imagej: bool) -> SampleMeaning:
    """Return the meaning of the numbers of a page and of those like it.

    Parameters
    ----------
    page : TiffPage
        The page.
    letters : str
        tifffile's letter of each axis of the array.
    is_imagej : bool
        Whether ImageJ wrote the file.

    Raises
    ------
    ImageError
        If the colour space is not supported.
    """
    photometric, plain = page.photometric, raw_samples(page, letters)
    if photometric in UNREADABLE_COLOURS:
        raise ImageError(
            f"{page.parent.filehandle.path} holds colours as {UNREADABLE_COLOURS[photometric]}, which cannot be read.",
            "Save it with red, green and blue.",
        )
    if photometric == PHOTOMETRIC.PALETTE and page.colormap is not None:
        return _interpret_palette(page, plain, is_imagej)
    if "S" not in letters:
        return _interpret_grey(page, plain)
    if photometric == PHOTOMETRIC.RGB:
        return _interpret_colours(page, plain)
    if photometric == PHOTOMETRIC.SEPARATED:
        return _convert_colours(page, plain, _cmyk_to_rgb, 4)
    if photometric == PHOTOMETRIC.YCBCR:
        is_done = int(page.compression) not in RAW_YCBCR_COMPRESSIONS
        return plain if is_done else _convert_colours(page, plain, _ycbcr_to_rgb, RGB_SAMPLES)
    return _interpret_channels(page, plain)


def _is_ramp(table: Pixels) -> bool:
    """Whether higher indices are brighter, so that a palette only colours intensities."""
    return bool((np.diff(table.astype(np.int64).sum(0)) >= 0).all())


def _interpret_palette(page: Any, plain: SampleMeaning, is_imagej: bool) -> SampleMeaning:
    table = np.asarray(page.colormap)
    if is_imagej and _is_ramp(table):
        return SampleMeaning(plain.letters, plain.dtype, notes=(DISPLAY_PALETTE_NOTE,))
    for step in (257, 256):  # bytes, as most programs write them
        if not (table % step).any():
            table = (table // step).astype(np.uint8)
            break
    colours = np.ascontiguousarray(table.T)

    def read(indices: Pixels) -> Pixels:
        return colours[indices]

    return SampleMeaning(
        f"{plain.letters}S", colours.dtype, RGB_SAMPLES, read, adds_samples=True, notes=(PALETTE_NOTE,)
    )


def _interpret_grey(page: Any, plain: SampleMeaning) -> SampleMeaning:
    if page.photometric == PHOTOMETRIC.CFA:
        return SampleMeaning(plain.letters, plain.dtype, notes=(MOSAIC_NOTE,))
    if page.photometric != PHOTOMETRIC.MINISWHITE:
        return plain
    if plain.dtype.kind != "u":  # no largest number; or booleans, which writers store so although True is not black
        return SampleMeaning(plain.letters, plain.dtype, notes=(WHITE_IS_ZERO_NOTE,))
    top = 2 ** int(page.bitspersample) - 1

    def read(values: Pixels) -> Pixels:
        return np.asarray(values.dtype.type(top) - values)

    return SampleMeaning(plain.letters, plain.dtype, convert=read, notes=(INVERTED_NOTE,))


def _interpret_colours(page: Any, plain: SampleMeaning) -> SampleMeaning:
    count = page.samplesperpixel
    if count < RGB_SAMPLES:
        return _interpret_channels(page, plain)
    if count == RGB_SAMPLES:
        return plain
    note = ALPHA_NOTE if count == RGB_SAMPLES + 1 else EXTRA_SAMPLES_NOTE
    return SampleMeaning(plain.letters, plain.dtype, RGB_SAMPLES, _keep_first(RGB_SAMPLES), notes=(note,))


def _interpret_channels(page: Any, plain: SampleMeaning) -> SampleMeaning:
    """Return the meaning of samples that are not colours: channels, without transparency."""
    letters = plain.letters.replace("S", "C") if "C" not in plain.letters else plain.letters
    count = page.samplesperpixel
    kept = count - sum(int(kind) in (1, 2) for kind in page.extrasamples)
    if kept == count or kept < 1:
        return SampleMeaning(letters, plain.dtype, count)
    if kept == 1:
        axis = plain.letters.index("S")
        return _single_channel(plain, axis)
    return SampleMeaning(letters, plain.dtype, kept, _keep_first(kept), notes=(ALPHA_NOTE,))


def _single_channel(plain: SampleMeaning, axis: int) -> SampleMeaning:
    """Return the meaning of one channel with transparency: an axis of channels of length 1."""
    letters = plain.letters[:axis] + ("C" if "C" not in plain.letters else "S") + plain.letters[axis + 1 :]
    return SampleMeaning(letters, plain.dtype, 1, _keep_first(1), notes=(ALPHA_NOTE,))


def _convert_colours(page: Any, plain: SampleMeaning, convert: Callable[[Pixels], Pixels], count: int) -> SampleMeaning:
    if plain.dtype not in (np.uint8, np.uint16) or page.samplesperpixel < count:
        raise ImageError(
            f"{page.parent.filehandle.path} holds colours ({page.photometric.name}) as {page.samplesperpixel} samples "
            f"of {plain.dtype}, which cannot be read.",
            "Save it with red, green and blue of 8 bits.",
        )
    note = f"The colours of the file ({page.photometric.name}) were read as red, green and blue."
    return SampleMeaning(plain.letters, plain.dtype, RGB_SAMPLES, convert, notes=(note,))


def _keep_first(count: int) -> Callable[[Pixels], Pixels]:
    def read(samples: Pixels) -> Pixels:
        return samples[..., :count]

    return read


def _cmyk_to_rgb(samples: Pixels) -> Pixels:
    """Return red, green and blue of inks without a profile."""
    top = float(np.iinfo(samples.dtype).max)
    ink = samples[..., :4].astype(np.float64)
    light = (top - ink[..., 3:]) * (top - ink[..., :3]) / top
    return np.rint(light).astype(samples.dtype)


def _ycbcr_to_rgb(samples: Pixels) -> Pixels:
    """Return red, green and blue of luma and chroma of the full range (ITU-R BT.601)."""
    top = np.iinfo(samples.dtype).max
    luma, blue, red = (samples[..., i].astype(np.float64) - ((top + 1) // 2 if i else 0) for i in range(3))
    light = [luma + 1.402 * red, luma - 0.344136 * blue - 0.714136 * red, luma + 1.772 * blue]
    return np.clip(np.rint(np.stack(light, -1)), 0, top).astype(samples.dtype)
