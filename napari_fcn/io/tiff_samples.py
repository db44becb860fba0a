"""What the numbers of a TIFF mean: intensities, channels, colours, indices of a palette."""

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
COLOURS = len("RGB")
ALPHA = "The transparency (alpha channel) of the image was left out."
FURTHER = "Of the samples of a pixel, red, green and blue were read; the others were left out."
PALETTE = "The file has a palette: its colours were read, not the indices."
DISPLAYED = "The palette of the file only colours intensities, as ImageJ writes it: the intensities were read."
INVERTED = "White is 0 in this file: intensities were inverted."
WHITE_IS_ZERO = "White is 0 in this file; the numbers were read as they are."
MOSAIC = "The file holds the mosaic of a colour camera: it was read as intensities."
# Ways to store YCbCr from which tifffile gives the samples as they are; others (JPEG) it turns into red, green, blue.
AS_THEY_ARE = {1, 5, 8, 32773, 32946, 34925, 50000}
COLOUR_SPACES = (PHOTOMETRIC.RGB, PHOTOMETRIC.YCBCR, PHOTOMETRIC.SEPARATED)
OTHERS = {PHOTOMETRIC.SEPARATED: "inks (CMYK), not red, green and blue"}
UNREADABLE = {
    PHOTOMETRIC.CIELAB: "CIE L*a*b*",
    PHOTOMETRIC.ICCLAB: "ICC L*a*b*",
    PHOTOMETRIC.ITULAB: "ITU L*a*b*",
    PHOTOMETRIC.LOGL: "log luminance",
    PHOTOMETRIC.LOGLUV: "log luminance and chromaticity",
}


@dataclass(frozen=True, slots=True, eq=False)
class Meaning:
    """From the numbers of a TIFF to what is read.

    Attributes
    ----------
    letters : str
        tifffile's letter of each axis that is read; S for colours, C for channels.
    dtype : dtype
        Of what is read.
    samples : int or None
        Length of the axis of samples of what is read; None if there is none.
    change : callable or None
        From a block with its samples last, all of them, to what is read of it; None if that is the same.
    adds_samples : bool
        Whether what is read has an axis of samples, the last one, that the file has not.
    notes : tuple of str
        Sentences for the user.
    """

    letters: str
    dtype: np.dtype[Any]
    samples: int | None = None
    change: Callable[[Pixels], Pixels] | None = None
    adds_samples: bool = False
    notes: tuple[str, ...] = ()

    @property
    def rgb(self) -> bool:
        """Whether the last axis holds colours."""
        return self.letters.endswith("S")

    @property
    def axis(self) -> int | None:
        """Which axis holds the samples; None if none does."""
        return next((self.letters.index(letter) for letter in "SC" if self.samples and letter in self.letters), None)

    def shape(self, stored: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape of what is read from an array of this shape."""
        whole = (*stored, 0) if self.adds_samples else stored
        axis = self.axis
        return tuple(int(self.samples or n) if position == axis else int(n) for position, n in enumerate(whole))

    def view(self, source: Any) -> Any:
        """Return what a `LazyArray` slices to read an array by its meaning."""
        return source if self.change is None else _View(self, source)


class _View:
    """An array, read by its meaning where it is looked at."""

    def __init__(self, meaning: Meaning, source: Any) -> None:
        self._meaning, self._source = meaning, source
        self.shape, self.dtype = meaning.shape(tuple(source.shape)), meaning.dtype
        if hasattr(source, "files"):
            self.files = source.files

    def __getitem__(self, parts: tuple[Any, ...]) -> Pixels:
        meaning, axis = self._meaning, self._meaning.axis
        assert meaning.change is not None
        if axis is None:
            return meaning.change(np.asarray(self._source[parts]))
        others = (*parts[:axis], *parts[axis + 1 :])
        inner = others if meaning.adds_samples else (*parts[:axis], slice(None), *parts[axis + 1 :])
        position = sum(isinstance(part, slice) for part in parts[:axis])
        block = np.asarray(self._source[inner])
        read = meaning.change(block if meaning.adds_samples else np.moveaxis(block, position, -1))
        chosen = read[..., parts[axis]]
        return np.moveaxis(chosen, -1, position) if isinstance(parts[axis], slice) else chosen


def stored(page: Any, letters: str) -> Meaning:
    """Return that numbers are read as they are, as labels are."""
    return Meaning(letters, np.dtype(page.dtype).newbyteorder("="), page.samplesperpixel if "S" in letters else None)


def spoken(page: Any, is_imagej: bool) -> str:
    """Return what the numbers of a page are, where a layer that shows them as intensities is wrong; else ""."""
    if page.photometric == PHOTOMETRIC.PALETTE and page.colormap is not None:
        return "" if is_imagej and _is_ramp(np.asarray(page.colormap)) else "indices of a palette, not intensities"
    if page.photometric == PHOTOMETRIC.MINISWHITE and np.dtype(page.dtype).kind == "u":
        return "intensities of which 0 is white"
    return UNREADABLE.get(page.photometric) or OTHERS.get(page.photometric, "")


def meaning_of(page: Any, letters: str, is_imagej: bool) -> Meaning:
    """Return what the numbers of a page, and of those like it, mean.

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
        If they are colours of a kind that cannot be read.
    """
    photometric, plain = page.photometric, stored(page, letters)
    if photometric in UNREADABLE:
        raise ImageError(
            f"{page.parent.filehandle.path} holds colours as {UNREADABLE[photometric]}, which cannot be read.",
            "Save it with red, green and blue.",
        )
    if photometric == PHOTOMETRIC.PALETTE and page.colormap is not None:
        return _palette(page, plain, is_imagej)
    if "S" not in letters:
        return _grey(page, plain)
    if photometric == PHOTOMETRIC.RGB:
        return _colours(page, plain)
    if photometric == PHOTOMETRIC.SEPARATED:
        return _converted(page, plain, _from_cmyk, 4)
    if photometric == PHOTOMETRIC.YCBCR:
        is_done = int(page.compression) not in AS_THEY_ARE
        return plain if is_done else _converted(page, plain, _from_ycbcr, COLOURS)
    return _channels(page, plain)


def _is_ramp(table: Pixels) -> bool:
    """Whether higher indices are brighter, so that a palette only colours intensities."""
    return bool((np.diff(table.astype(np.int64).sum(0)) >= 0).all())


def _palette(page: Any, plain: Meaning, is_imagej: bool) -> Meaning:
    table = np.asarray(page.colormap)
    if is_imagej and _is_ramp(table):
        return Meaning(plain.letters, plain.dtype, notes=(DISPLAYED,))
    for step in (257, 256):  # bytes, as most programs write them
        if not (table % step).any():
            table = (table // step).astype(np.uint8)
            break
    colours = np.ascontiguousarray(table.T)

    def read(indices: Pixels) -> Pixels:
        return colours[indices]

    return Meaning(f"{plain.letters}S", colours.dtype, COLOURS, read, adds_samples=True, notes=(PALETTE,))


def _grey(page: Any, plain: Meaning) -> Meaning:
    if page.photometric == PHOTOMETRIC.CFA:
        return Meaning(plain.letters, plain.dtype, notes=(MOSAIC,))
    if page.photometric != PHOTOMETRIC.MINISWHITE:
        return plain
    if plain.dtype.kind != "u":  # no largest number, or bits: numpy's True is written so without being black
        return Meaning(plain.letters, plain.dtype, notes=(WHITE_IS_ZERO,))
    top = 2 ** int(page.bitspersample) - 1

    def read(values: Pixels) -> Pixels:
        return np.asarray(values.dtype.type(top) - values)

    return Meaning(plain.letters, plain.dtype, change=read, notes=(INVERTED,))


def _colours(page: Any, plain: Meaning) -> Meaning:
    count = page.samplesperpixel
    if count < COLOURS:
        return _channels(page, plain)
    if count == COLOURS:
        return plain
    note = ALPHA if count == COLOURS + 1 else FURTHER
    return Meaning(plain.letters, plain.dtype, COLOURS, _first(COLOURS), notes=(note,))


def _channels(page: Any, plain: Meaning) -> Meaning:
    """Return samples that are no colours, as channels; one that is a transparency is left out."""
    letters = plain.letters.replace("S", "C") if "C" not in plain.letters else plain.letters
    count = page.samplesperpixel
    kept = count - sum(int(kind) in (1, 2) for kind in page.extrasamples)
    if kept == count or kept < 1:
        return Meaning(letters, plain.dtype, count)
    if kept == 1:
        axis = plain.letters.index("S")
        return _single(plain, axis)
    return Meaning(letters, plain.dtype, kept, _first(kept), notes=(ALPHA,))


def _single(plain: Meaning, axis: int) -> Meaning:
    """Return one channel beside a transparency: an axis of channels of length 1."""
    letters = plain.letters[:axis] + ("C" if "C" not in plain.letters else "S") + plain.letters[axis + 1 :]
    return Meaning(letters, plain.dtype, 1, _first(1), notes=(ALPHA,))


def _converted(page: Any, plain: Meaning, change: Callable[[Pixels], Pixels], count: int) -> Meaning:
    if plain.dtype not in (np.uint8, np.uint16) or page.samplesperpixel < count:
        raise ImageError(
            f"{page.parent.filehandle.path} holds colours ({page.photometric.name}) as {page.samplesperpixel} samples "
            f"of {plain.dtype}, which cannot be read.",
            "Save it with red, green and blue of 8 bits.",
        )
    note = f"The colours of the file ({page.photometric.name}) were read as red, green and blue."
    return Meaning(plain.letters, plain.dtype, COLOURS, change, notes=(note,))


def _first(count: int) -> Callable[[Pixels], Pixels]:
    def read(samples: Pixels) -> Pixels:
        return samples[..., :count]

    return read


def _from_cmyk(samples: Pixels) -> Pixels:
    """Return red, green and blue of inks without a profile."""
    top = float(np.iinfo(samples.dtype).max)
    ink = samples[..., :4].astype(np.float64)
    light = (top - ink[..., 3:]) * (top - ink[..., :3]) / top
    return np.rint(light).astype(samples.dtype)


def _from_ycbcr(samples: Pixels) -> Pixels:
    """Return red, green and blue of luma and chroma of the full range (ITU-R BT.601)."""
    top = np.iinfo(samples.dtype).max
    luma, blue, red = (samples[..., i].astype(np.float64) - ((top + 1) // 2 if i else 0) for i in range(3))
    light = [luma + 1.402 * red, luma - 0.344136 * blue - 0.714136 * red, luma + 1.772 * blue]
    return np.clip(np.rint(np.stack(light, -1)), 0, top).astype(samples.dtype)
