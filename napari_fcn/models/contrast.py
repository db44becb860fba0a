"""The range of intensities that holds what can be seen in an image, where percentiles alone would miss it.

Two percentiles serve ordinary images. They fail where fewer pixels than they leave out hold all signal, where they span
the noise of the camera, and where broken pixels or a scale bar are more than they leave out. Each of these cases is
recognised by something that no image of our data sets shows: ordinary images are scaled by the percentiles alone.
Neighbours are pixels that follow one another in the sample, that is along the last axis.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    Values = npt.NDArray[np.float64]
    Mask = npt.NDArray[np.bool_]

ENOUGH = 8192  # pixels below which nothing is said of noise
ALIKE = 0.08  # correlation of neighbours below which an image is noise; that of real images was 0.12 and more
INNER = 2.0  # percent further in, where a jump of the outer percentile shows
JUMP = 3.0  # ranges between both percentiles that make the outer ones suspect
LONE = 0.9  # share of bright pixels without a bright neighbour above which they are broken pixels
FAR = 5.0  # standard deviations of the noise beyond which a pixel is no noise
FLOOR = 20.0  # standard deviations of the noise that the range is wide at least
BRIGHT = 90.0  # percentile of the signal that is the upper end of the range
RUN = 3  # pixels in a row that are a signal, not broken pixels
CHANCE = 4  # times as many rows as noise makes by chance
GRAPHICS = 0.05  # largest share of an image that is taken for a scale bar or a broken line of pixels
OUTLIER = 50.0  # standard deviations from the mean of a pixel that distorts both
PADDING = 0.05  # share of the darkest pixels above which they may be a frame
BEYOND = 8.0  # ranges above the range at which bright objects deserve a note


@dataclass(frozen=True, slots=True)
class Contrast:
    """The intensities that become -1 and 1, and what a user should know of them."""

    low: float
    high: float
    notes: tuple[str, ...] = ()


def contrast(values: Values, percentiles: tuple[float, float]) -> Contrast:
    """Return the range of finite intensities that are not all the same, in the order of the image.

    Parameters
    ----------
    values : ndarray
        ``(n,)`` float64.
    percentiles : (float, float)
        What the range is in ordinary images.
    """
    low, near_low, near_high, high = _ends(values, percentiles)
    if values.size < ENOUGH:
        return Contrast(low, high) if low < high else Contrast(float(values.min()), float(values.max()))
    broken = _broken(values, (low, near_low, near_high, high))
    notes: tuple[str, ...] = ()
    if broken is not None and (signal := _has_contrast(kept := values[~broken], percentiles)):
        values, (low, high) = kept, signal
        notes = (
            f"{int(broken.sum())} of {broken.size} pixels looked at are broken pixels, a scale bar or the like: the "
            "contrast is set without them. Each may be taken for an object; a median filter removes single pixels.",
        )
    if low == high or is_noise(values, low, high):
        found = _sparse(values, low, high)
        return Contrast(found.low, found.high, (*notes, *found.notes))
    return Contrast(low, high, notes or (*_beyond(values, low, high), *_padding(values, low, high)))


def standard(values: Values) -> tuple[float, float, tuple[str, ...]]:
    """Return mean and standard deviation of finite intensities, without single pixels far out of all others."""
    with np.errstate(over="ignore"):
        mean, deviation = float(values.mean()), float(values.std())
        if values.size < ENOUGH or np.abs(values - mean).max() <= OUTLIER * deviation:
            return mean, deviation, ()
        far = np.abs(values - np.median(values)) > OUTLIER * float(np.median(np.abs(values - np.median(values))))
    lone = _lone(far)
    kept = values[~lone]
    if not lone.any() or kept.min() == kept.max():
        return mean, deviation, ()
    note = f"{int(lone.sum())} of {lone.size} pixels looked at lie far out of all others"
    return float(kept.mean()), float(kept.std()), (f"{note}: the contrast is set without them.",)


def is_noise(values: Values, low: float, high: float) -> bool:
    """Whether neighbours have nothing in common between two intensities: what varies there is the noise of a camera."""
    if values.size < ENOUGH or bool(((values == low) | (values == high)).all()):  # a mask is no noise
        return False
    part = values[: 2**20].clip(low, high)
    part -= part.mean()
    power = float(np.dot(part, part))
    return power > 0 and float(np.dot(part[1:], part[:-1])) < ALIKE * power


def _ends(values: Values, percentiles: tuple[float, float]) -> tuple[float, float, float, float]:
    """Return the lower percentile, one a little further in, and the same for the upper one."""
    low, high = percentiles
    inner = min(INNER, (high - low) / 4)
    ends = np.percentile(values, [low, low + inner, high - inner, high])
    return float(ends[0]), float(ends[1]), float(ends[2]), float(ends[3])


def _has_contrast(values: Values, percentiles: tuple[float, float]) -> tuple[float, float] | None:
    """Return the percentiles of what is left of an image, None if nothing is to be seen in it."""
    if values.size < ENOUGH or values.min() == values.max():
        return None
    low, _, _, high = _ends(values, percentiles)
    if low < high and not is_noise(values, low, high):
        return low, high
    middle, sigma = _ground(values, low, high)
    signal = np.abs(values - middle) > FAR * sigma
    return (low, high) if _runs(signal).any() else None


def _broken(values: Values, ends: tuple[float, float, float, float]) -> Mask | None:
    """Return which pixels are broken or painted onto the image, if they are more than the percentiles leave out."""
    low, near_low, near_high, high = ends
    found = None
    for sign, end, near, start in ((1, high, near_high, low), (-1, -low, -near_low, -high)):
        if end - near <= JUMP * (near - start):
            continue
        side = sign * values
        beyond = side > near + JUMP * (near - start)
        lone = _lone(beyond)
        mask = lone if lone.sum() > LONE * beyond.sum() else _graphics(side, beyond, near)
        if mask is not None:
            found = mask if found is None else found | mask
    return found


def _lone(mask: Mask) -> Mask:
    """Return which pixels of a mask have no neighbour in it."""
    lone = mask.copy()
    lone[1:] &= ~mask[:-1]
    lone[:-1] &= ~mask[1:]
    return lone


def _graphics(values: Values, beyond: Mask, start: float) -> Mask | None:
    """Return the pixels of the largest value if these are few and all others far darker: edges without transition."""
    highest = float(values.max())
    top = values == highest
    others = beyond & ~top
    if not RUN <= top.sum() < GRAPHICS * values.size:
        return None
    are_far = others.any() and JUMP * (float(values[others].max()) - start) < highest - start
    return top if are_far or others.sum() <= GRAPHICS * top.sum() else None


def _runs(mask: Mask) -> Mask:
    """Return which pixels of a mask lie in a row of at least `RUN`; none if there are hardly more than by chance."""
    inside = np.zeros_like(mask)
    core = mask[:-2] & mask[1:-1] & mask[2:]
    if core.sum() <= CHANCE * mask.size * float(mask.mean()) ** RUN:
        return inside
    for shift in range(RUN):
        inside[shift : shift + core.size] |= core
    return inside


def _ground(values: Values, low: float, high: float) -> tuple[float, float]:
    """Return the middle and the standard deviation of what most pixels are."""
    return float(np.median(values)), float(values.clip(low, high).std())


def _sparse(values: Values, low: float, high: float) -> Contrast:
    """Return the range of an image of which the percentiles span nothing, or nothing but noise."""
    middle, sigma = _ground(values, low, high)
    above, below = (_signal(side, sign * middle, sigma) for side, sign in ((values, 1), (-values, -1)))
    if above is None and below is None:
        return _nothing(values, middle, sigma)
    top = high if above is None else max(above, high)
    bottom = low if below is None else min(-below, low)
    words = f"noise (standard deviation {sigma:.3g})" if sigma else "the same"
    note = (
        f"The contrast is doubtful: all but few pixels are {words}. It was set from the brightest and darkest objects."
    )
    return Contrast(bottom, top, (note,))


def _signal(side: Values, middle: float, sigma: float) -> float | None:
    """Return the upper end of the intensities of objects above the ground, None if there are none."""
    beyond = side > middle + FAR * sigma
    runs = _runs(beyond)
    if not runs.any():
        return None
    found = side[runs]
    painted = _graphics(side, runs, middle)
    if painted is not None and (rest := side[runs & ~painted]).size >= RUN:
        found = rest
    return float(np.percentile(found, BRIGHT))


def _nothing(values: Values, middle: float, sigma: float) -> Contrast:
    """Return the range of an image in which there is nothing to find: noise is far smaller than it."""
    if sigma == 0:
        reach = float(np.abs(values - middle).max())
        count = int((values != middle).sum())
        note = (
            f"The image is constant (value {middle:g}) but for {count} single pixels: there is nothing to find in it."
        )
        return Contrast(middle - reach, middle + reach, (note,))
    note = (
        f"The contrast is doubtful: the image looks like noise (around {middle:.4g}, standard deviation {sigma:.3g}). "
        "It was scaled so that noise is not taken for objects."
    )
    return Contrast(middle - RUN * sigma, middle + FLOOR * sigma, (note,))


def _beyond(values: Values, low: float, high: float) -> tuple[str, ...]:
    """Return what to know of objects that are far brighter than the range."""
    if values.max() <= low + BEYOND * (high - low):
        return ()
    count = int(_runs(values > low + BEYOND * (high - low)).sum())
    if count < RUN:
        return ()
    return (
        f"The contrast is doubtful: {count} of {values.size} pixels looked at are far brighter than all others, from "
        f"{low:.4g} to {high:.4g}. If these are your objects, crop the image around them.",
    )


def _padding(values: Values, low: float, high: float) -> tuple[str, ...]:
    """Return what to know of an image around which there is a frame of one value, far darker than the image."""
    part = values[::4]
    frame = part == low
    share = float(frame.mean())
    if low != values.min() or not PADDING <= share < 1:
        return ()
    darkest = float(np.percentile(part[~frame], 1))
    if not 0 < high - darkest < darkest - low:
        return ()
    return (
        f"The contrast is doubtful: {share:.0%} of the pixels looked at are exactly {low:.4g}, all others more than "
        f"{darkest:.4g}. If they lie around the image, crop it: they take up most of the contrast.",
    )
