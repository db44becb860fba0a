"""Luminance and stains of colour images, for networks of one channel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_fcn.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy.typing as npt

    Colours = npt.NDArray[Any]
    Reader = Callable[[Colours, float], npt.NDArray[np.float32]]

LUMINANCE = np.array([0.2126, 0.7152, 0.0722], np.float32)  # ITU-R BT.709
BYTE = 255.0
OVERSHOOT = 0.25  # share of white by which interpolated floats may leave the range
WHITES = (BYTE, 1023.0, 4095.0, 16383.0, 65535.0)  # of cameras with 8, 10, 12, 14 and 16 bits


def luminance(channels: Colours, white: float = BYTE) -> npt.NDArray[np.float32]:
    """Return the luminance of colours ``(C, *image)``, of which the first three are red, green and blue."""
    del white  # a network scales what it reads by the image
    brightness: npt.NDArray[np.float32] = np.tensordot(LUMINANCE, channels[:3].astype(np.float32), 1)
    return brightness


def _stain(number: int) -> Reader:
    def read(channels: Colours, white: float) -> npt.NDArray[np.float32]:
        from skimage.color import rgb2hed

        light = np.clip(channels[:3].astype(np.float64) / white, 0, 1)
        stains: npt.NDArray[Any] = rgb2hed(light, channel_axis=0)
        stain: npt.NDArray[np.float32] = stains[number].astype(np.float32)
        return stain

    return read


# Stains: Ruifrok & Johnston 2001, as in scikit-image. Absorption is computed from the share of white, so these need
# the intensity of white.
COLOURS: Mapping[str, Reader] = {
    "luminance": luminance,
    "haematoxylin": _stain(0),
    "eosin": _stain(1),
    "dab": _stain(2),
}


def white_of(dtype: np.dtype[Any], sample: Callable[[], Colours]) -> float:
    """Return the intensity of white.

    It is 255 for bytes. For wider numbers it depends on the camera: the smallest usual range that holds the whole image
    counts; floats up to 1 are shares of white.

    Parameters
    ----------
    dtype : dtype
        Of the image.
    sample : callable
        Returns pixels spread over the image.

    Raises
    ------
    ImageError
        If the numbers are below 0 or above all usual ranges.
    """
    if dtype == np.uint8:
        return BYTE
    if dtype == np.bool_:
        return 1.0
    pixels = sample()
    pixels = pixels[np.isfinite(pixels)] if dtype.kind == "f" else pixels
    low, high = (float(pixels.min()), float(pixels.max())) if pixels.size else (0.0, 1.0)
    ranges = (1.0, *WHITES) if dtype.kind == "f" else WHITES
    beyond = OVERSHOOT if dtype.kind == "f" else 0.0
    white = next((white for white in ranges if high <= white * (1 + beyond)), None)
    if white is None or low < -beyond * white:
        raise ImageError(
            f"Stains need colours from 0 to 1, or from 0 to at most 65535; these are {dtype} from {low:g} to {high:g}. "
            "Convert the image to 8 or 16 bits, or use its luminance."
        )
    return white
