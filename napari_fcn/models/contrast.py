"""Finds the intensity range of the signal, also if percentiles would miss it.

Two percentiles suffice for ordinary images. They fail if the signal has fewer pixels than they exclude, if they only
span the noise of the camera, or if there are more broken pixels or pixels of a scale bar than they exclude. Each case
has a criterion that no image of the training sets meets, so ordinary images are scaled by the percentiles alone.
Neighbours are consecutive pixels of the sample, which follows the last axis.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    Values = npt.NDArray[np.float64]
    Mask = npt.NDArray[np.bool_]

MIN_PIXELS = 8192  # fewer pixels are not tested for noise
NOISE_CORRELATION = 0.08  # correlation of neighbours below which an image is noise; real images had 0.12 or more
MAD_SIGMA = 1.4826  # standard deviation of normal noise, relative to its median absolute deviation
TAIL_SIGMAS = 4.0  # distance of the upper percentile from the median up to which it is that of noise
OBJECT_SIGMAS = 6.0  # distance beyond which pixels are not noise
NOISE_LAGS = (8, 32)  # pixels between which correlated noise has no structure
FLAT_RATIO = 1.04  # of the shares of small differences at these lags, below which there is none
INNER_PERCENT = 2.0  # distance of an inner percentile, to detect a jump of the outer one
JUMP_RATIO = 3.0  # jump of a percentile, relative to the range, above which pixels are suspect
BROKEN_SHARE = 0.9  # fraction of bright pixels without a bright neighbour above which they are broken pixels
SIGNAL_SIGMAS = 5.0  # standard deviations of the noise above which a pixel is signal
RANGE_SIGMAS = 20.0  # smallest range in standard deviations of the noise
SIGNAL_PERCENTILE = 90.0  # of the signal, the upper end of the range
RUN_LENGTH = 3  # consecutive bright pixels that count as signal
CHANCE_RATIO = 4  # minimum number of runs, relative to that expected by chance
GRAPHICS_SHARE = 0.05  # maximum fraction of pixels in a scale bar or broken line
OUTLIER_SIGMAS = 50.0  # standard deviations from the mean above which a pixel is an outlier
PADDING_SHARE = 0.05  # fraction of darkest pixels above which they may be a frame
NOTE_RANGES = 8.0  # distance above the range, in ranges, at which bright objects get a note


@dataclass(frozen=True, slots=True)
class Contrast:
    """The intensities that become -1 and 1, and notes for the user."""

    low: float
    high: float
    notes: tuple[str, ...] = ()


def contrast(values: Values, percentiles: tuple[float, float]) -> Contrast:
    """Return the range of finite, not constant intensities in the order of the image.

    Parameters
    ----------
    values : ndarray
        ``(n,)`` float64.
    percentiles : (float, float)
        The percentiles for ordinary images.
    """
    low, near_low, near_high, high = _ends(values, percentiles)
    if values.size < MIN_PIXELS:
        return Contrast(low, high) if low < high else Contrast(float(values.min()), float(values.max()))
    artefacts = _find_artefacts(values, (low, near_low, near_high, high))
    notes: tuple[str, ...] = ()
    if artefacts is not None and (signal := _has_contrast(intact := values[~artefacts], percentiles)):
        values, (low, high) = intact, signal
        notes = (
            f"{int(artefacts.sum())} of {artefacts.size} sampled pixels are broken pixels, a scale bar or similar: the "
            "contrast is set without them. Each may be taken for an object; a median filter removes single pixels.",
        )
    if low == high or is_noise(values, low, high) or hides_signal(values, low, high):
        sparse = _sparse_contrast(values, low, high)
        return Contrast(sparse.low, sparse.high, (*notes, *sparse.notes))
    return Contrast(low, high, notes or (*_bright_objects_note(values, low, high), *_padding_note(values, low, high)))


def standard(values: Values) -> tuple[float, float, tuple[str, ...]]:
    """Return mean and standard deviation of finite intensities without isolated outliers, and notes."""
    with np.errstate(over="ignore"):
        mean, deviation = float(values.mean()), float(values.std())
        if values.size < MIN_PIXELS or np.abs(values - mean).max() <= OUTLIER_SIGMAS * deviation:
            return mean, deviation, ()
        far = np.abs(values - np.median(values)) > OUTLIER_SIGMAS * float(np.median(np.abs(values - np.median(values))))
    isolated = _isolated(far)
    intact = values[~isolated]
    if not isolated.any() or intact.min() == intact.max():
        return mean, deviation, ()
    note = f"{int(isolated.sum())} of {isolated.size} sampled pixels are far from all others"
    return float(intact.mean()), float(intact.std()), (f"{note}: the contrast is set without them.",)


def is_noise(values: Values, low: float, high: float) -> bool:
    """Whether neighbours are uncorrelated after clipping to a range: its variation is camera noise."""
    if values.size < MIN_PIXELS or bool(((values == low) | (values == high)).all()):  # a mask is not noise
        return False
    part = values[: 2**20].clip(low, high)
    part -= part.mean()
    power = float(np.dot(part, part))
    return power > 0 and float(np.dot(part[1:], part[:-1])) < NOISE_CORRELATION * power


def hides_signal(values: Values, low: float, high: float) -> bool:
    """Whether a range spans only noise whose neighbours are correlated, as of a blurred image, and objects exceed it.

    Noise has no structure of 8 to 32 pixels: its variogram (Matheron 1963) is flat there, which is measured by ranks of
    differences, on which few objects and shading have no influence. The upper percentile of noise is near the median.
    """
    middle = float(np.median(values))
    sigma = MAD_SIGMA * float(np.median(np.abs(values - middle)))
    if not 0 < high - middle < TAIL_SIGMAS * sigma or values.max() <= middle + OBJECT_SIGMAS * sigma:
        return False
    part = values[: 2**20]
    near, far = (np.abs(part[lag:] - part[:-lag]) for lag in NOISE_LAGS)
    limit = np.median(far)
    if (near <= limit).mean() > FLAT_RATIO * (far <= limit).mean():
        return False
    return bool(_runs(values > middle + OBJECT_SIGMAS * sigma).any())


def _ends(values: Values, percentiles: tuple[float, float]) -> tuple[float, float, float, float]:
    """Return the lower percentile, inner lower, inner upper, and upper percentile."""
    low, high = percentiles
    inner = min(INNER_PERCENT, (high - low) / 4)
    ends = np.percentile(values, [low, low + inner, high - inner, high])
    return float(ends[0]), float(ends[1]), float(ends[2]), float(ends[3])


def _has_contrast(values: Values, percentiles: tuple[float, float]) -> tuple[float, float] | None:
    """Return the percentiles of the intact pixels; None without contrast."""
    if values.size < MIN_PIXELS or values.min() == values.max():
        return None
    low, _, _, high = _ends(values, percentiles)
    if low < high and not is_noise(values, low, high):
        return low, high
    middle, sigma = _background(values, low, high)
    signal = np.abs(values - middle) > SIGNAL_SIGMAS * sigma
    return (low, high) if _runs(signal).any() else None


def _find_artefacts(values: Values, ends: tuple[float, float, float, float]) -> Mask | None:
    """Return a mask of broken pixels and graphics; None if there are few enough for the percentiles."""
    low, near_low, near_high, high = ends
    artefacts = None
    for sign, end, near, start in ((1, high, near_high, low), (-1, -low, -near_low, -high)):
        if end - near <= JUMP_RATIO * (near - start):
            continue
        side = sign * values
        beyond = side > near + JUMP_RATIO * (near - start)
        isolated = _isolated(beyond)
        mask = isolated if isolated.sum() > BROKEN_SHARE * beyond.sum() else _graphics(side, beyond, near)
        if mask is not None:
            artefacts = mask if artefacts is None else artefacts | mask
    return artefacts


def _isolated(mask: Mask) -> Mask:
    """Return the pixels of a mask without a neighbour in it."""
    isolated = mask.copy()
    isolated[1:] &= ~mask[:-1]
    isolated[:-1] &= ~mask[1:]
    return isolated


def _graphics(values: Values, beyond: Mask, start: float) -> Mask | None:
    """Return the pixels of the largest value if they look like graphics: few, and all others far darker."""
    highest = float(values.max())
    top = values == highest
    others = beyond & ~top
    if not RUN_LENGTH <= top.sum() < GRAPHICS_SHARE * values.size:
        return None
    are_far = others.any() and JUMP_RATIO * (float(values[others].max()) - start) < highest - start
    return top if are_far or others.sum() <= GRAPHICS_SHARE * top.sum() else None


def _runs(mask: Mask) -> Mask:
    """Return the pixels of a mask in runs of `RUN_LENGTH` or more; none if there are about as many by chance."""
    inside = np.zeros_like(mask)
    core = mask[:-2] & mask[1:-1] & mask[2:]
    if core.sum() <= CHANCE_RATIO * mask.size * float(mask.mean()) ** RUN_LENGTH:
        return inside
    for shift in range(RUN_LENGTH):
        inside[shift : shift + core.size] |= core
    return inside


def _background(values: Values, low: float, high: float) -> tuple[float, float]:
    """Return the median and the standard deviation of the background."""
    return float(np.median(values)), float(values.clip(low, high).std())


def _sparse_contrast(values: Values, low: float, high: float) -> Contrast:
    """Return the range of an image whose percentiles only span noise or a single value."""
    middle, sigma = _background(values, low, high)
    above, below = (_signal(side, sign * middle, sigma) for side, sign in ((values, 1), (-values, -1)))
    if above is None and below is None:
        return _empty_contrast(values, middle, sigma)
    top = high if above is None else max(above, high)
    bottom = low if below is None else min(-below, low)
    words = f"noise (standard deviation {sigma:.3g})" if sigma else "the same"
    note = (
        f"The contrast is doubtful: almost all pixels are {words}. "
        "The range is that of the brightest and darkest objects."
    )
    return Contrast(bottom, top, (note,))


def _signal(side: Values, middle: float, sigma: float) -> float | None:
    """Return the upper end of the intensities of objects above the background; None without objects."""
    beyond = side > middle + SIGNAL_SIGMAS * sigma
    runs = _runs(beyond)
    if not runs.any():
        return None
    intensities = side[runs]
    graphics = _graphics(side, runs, middle)
    if graphics is not None and (rest := side[runs & ~graphics]).size >= RUN_LENGTH:
        intensities = rest
    return float(np.percentile(intensities, SIGNAL_PERCENTILE))


def _empty_contrast(values: Values, middle: float, sigma: float) -> Contrast:
    """Return a range far larger than the noise, for an image without objects."""
    if sigma == 0:
        deviation = float(np.abs(values - middle).max())
        count = int((values != middle).sum())
        note = (
            f"The image is constant (value {middle:g}) except for {count} single pixels: "
            "there is nothing to find in it."
        )
        return Contrast(middle - deviation, middle + deviation, (note,))
    note = (
        f"The contrast is doubtful: the image looks like noise (around {middle:.4g}, standard deviation {sigma:.3g}). "
        "It is scaled so that noise is not taken for objects."
    )
    return Contrast(middle - RUN_LENGTH * sigma, middle + RANGE_SIGMAS * sigma, (note,))


def _bright_objects_note(values: Values, low: float, high: float) -> tuple[str, ...]:
    """Return a note on objects that are far brighter than the range."""
    if values.max() <= low + NOTE_RANGES * (high - low):
        return ()
    count = int(_runs(values > low + NOTE_RANGES * (high - low)).sum())
    if count < RUN_LENGTH:
        return ()
    return (
        f"The contrast is doubtful: {count} of {values.size} sampled pixels are far brighter than all others, from "
        f"{low:.4g} to {high:.4g}. If these are your objects, crop the image around them.",
    )


def _padding_note(values: Values, low: float, high: float) -> tuple[str, ...]:
    """Return a note on a frame of one value around the image, far darker than the image."""
    part = values[::4]
    frame = part == low
    share = float(frame.mean())
    if low != values.min() or not PADDING_SHARE <= share < 1:
        return ()
    darkest = float(np.percentile(part[~frame], 1))
    if not 0 < high - darkest < darkest - low:
        return ()
    return (
        f"The contrast is doubtful: {share:.0%} of the sampled pixels are exactly {low:.4g}, all others more than "
        f"{darkest:.4g}. If they are a frame around the image, crop it: it takes up most of the contrast.",
    )
