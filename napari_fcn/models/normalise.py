"""Normalisation of intensities to the range on which a network was trained."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_fcn.models.contrast import contrast, standard

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

METHODS = ("percentile", "standard", "none")


@dataclass(frozen=True, slots=True)
class Scaling:
    """A linear scaling ``(x - offset) / scale`` per channel, with clipping, for all pixels of an image.

    Attributes
    ----------
    offset, scale : tuple of float
        One value per channel, in units of the image.
    limit : float
        Largest magnitude after scaling; limits hot pixels.
    notes : tuple of str
        Sentences for the user on doubtful contrast.
    """

    offset: tuple[float, ...]
    scale: tuple[float, ...]
    limit: float
    notes: tuple[str, ...] = field(default=(), compare=False)

    def apply(self, block: npt.NDArray[np.generic]) -> npt.NDArray[np.float32]:
        """Return a scaled block ``(C, *image)`` of any real type; NaN becomes 0 (mid-grey), infinity the limit."""
        shape = (-1, *(1,) * (block.ndim - 1))
        wide = np.promote_types(block.dtype, np.float32)  # float64 for 32-bit integers: they do not fit a float32
        out: npt.NDArray[Any] = block.astype(wide)
        with np.errstate(over="ignore", invalid="ignore"):  # clipped below
            out -= np.asarray(self.offset, wide).reshape(shape)
            out /= np.asarray(self.scale, wide).reshape(shape)
        np.clip(out, -self.limit, self.limit, out=out)
        np.nan_to_num(out, copy=False, nan=0.0)
        return out.astype(np.float32, copy=False)


@dataclass(frozen=True, slots=True)
class Normaliser:
    """Scales the intensities of an image by statistics of the whole image, never of a tile.

    Attributes
    ----------
    method : str
        ``"percentile"`` maps the two percentiles to -1 and 1, ``"standard"`` the mean to 0 and the standard deviation
        to 1; ``"none"`` does not scale.
    low, high : float
        The percentiles.
    limit : float
        Largest magnitude after scaling.
    """

    method: str = "percentile"
    low: float = 1.0
    high: float = 99.8
    limit: float = 4.0

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise ValueError(f"Normalisation is {self.method!r}; it can be {', '.join(METHODS)}.")
        if not 0 <= self.low < self.high <= 100:
            raise ValueError(f"The percentiles are {self.low} and {self.high}; they must rise within 0..100.")
        if not self.limit > 0:
            raise ValueError(f"The limit of normalisation is {self.limit}; it must be above 0.")

    def fit(self, sample: npt.NDArray[np.generic], together: int = 0) -> Scaling:
        """Return the scaling of an image, from a sample ``(C, pixels)``.

        Pixels that are not finite are ignored. A constant channel becomes zero. If percentiles miss the objects,
        `contrast` corrects them. If ``together`` is a number of channels, so many get one scaling, which keeps colours.
        """
        if together:
            common = self.fit(sample.reshape(1, -1))
            return replace(common, offset=common.offset * together, scale=common.scale * together)
        pairs = [self._pair(channel) for channel in sample]
        notes = [
            f"Channel {number}: {note}" if len(pairs) > 1 else note
            for number, (_, _, more) in enumerate(pairs)
            for note in more
        ]
        return Scaling(tuple(o for o, _, _ in pairs), tuple(s for _, s, _ in pairs), self.limit, tuple(notes))

    def _pair(self, values: npt.NDArray[np.generic]) -> tuple[float, float, tuple[str, ...]]:
        if self.method == "none":
            return 0.0, 1.0, ()
        finite = values.astype(np.float64)
        finite = finite[np.isfinite(finite)]
        if finite.size == 0:
            return 0.0, 1.0, ()
        if finite.min() == finite.max():  # a standard deviation computed from it would be rounding error
            return float(finite[0]), 1.0, ()
        if self.method == "standard":
            offset, scale, notes = standard(finite)
        else:
            fitted = contrast(finite, (self.low, self.high))
            offset, scale, notes = (fitted.low + fitted.high) / 2, (fitted.high - fitted.low) / 2, fitted.notes
        return offset, scale if scale > 0 else 1.0, notes


def intensity_notes(sample: npt.NDArray[Any]) -> Iterator[str]:
    """Yield notes on unusual intensities of an image."""
    finite = sample
    if sample.dtype.kind == "f":
        finite = sample[np.isfinite(sample)]
        if bad := sample.size - finite.size:
            yield f"{bad} of {sample.size} sampled pixels are NaN or infinite; NaN is read as mid-grey."
    if finite.size and (low := finite.min()) == finite.max():
        yield f"The image is constant (value {low:g}): there is nothing to find in it."
    if not finite.size:
        yield "The image holds no finite number: there is nothing to find in it."
