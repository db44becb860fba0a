"""Normalisation of intensities to the range on which a network was trained."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_fcn.models.contrast import contrast, standard

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt

    from napari_fcn.geometry import Region

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

    @property
    def identity(self) -> list[Any]:
        """The numbers as JSON, which identify a run."""
        return [list(self.offset), list(self.scale)]

    def apply(self, block: npt.NDArray[np.generic], region: Region | None = None) -> npt.NDArray[np.float32]:
        """Return a scaled block ``(C, *image)`` of any real type; NaN becomes 0 (mid-grey), infinity the limit.

        The region of the block does not matter: all pixels are scaled alike.
        """
        shape = (-1, *(1,) * (block.ndim - 1))
        return _scaled(block, np.array(self.offset).reshape(shape), np.array(self.scale).reshape(shape), self.limit)


@dataclass(frozen=True, slots=True, eq=False)
class FrameScaling:
    """A linear scaling ``(x - offset) / scale`` per channel, with clipping, of its own for each frame or plane.

    Attributes
    ----------
    offset, scale : ndarray
        ``(C, *image)`` float64, with length 1 along the axes of the network, in units of the image.
    limit : float
        Largest magnitude after scaling.
    notes : tuple of str
        Sentences for the user on doubtful contrast.
    """

    offset: npt.NDArray[np.float64]
    scale: npt.NDArray[np.float64]
    limit: float
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, frames: Sequence[Scaling], shape: Sequence[int]) -> FrameScaling:
        """Return the scaling of frames in C order of their ``shape``, which has length 1 along network axes."""
        offset, scale = (np.array(part, float).T for part in ([f.offset for f in frames], [f.scale for f in frames]))
        noted = [frame.notes[0] for frame in frames if frame.notes]
        notes = (f"{len(noted)} of {len(frames)} frames, the first of them: {noted[0]}",) if noted else ()
        return cls(offset.reshape(-1, *shape), scale.reshape(-1, *shape), frames[0].limit, notes)

    @property
    def identity(self) -> list[Any]:
        """A digest of the numbers as JSON, which identifies a run."""
        return [hashlib.blake2b(self.offset.tobytes() + self.scale.tobytes(), digest_size=16).hexdigest()]

    def apply(self, block: npt.NDArray[np.generic], region: Region) -> npt.NDArray[np.float32]:
        """Return a scaled block ``(C, *region.shape)`` of any real type; NaN becomes 0, infinity the limit."""
        sizes = zip(region.slices, self.offset.shape[1:], strict=True)
        part = (slice(None), *(slice(None) if n == 1 else span for span, n in sizes))
        return _scaled(block, self.offset[part], self.scale[part], self.limit)


AnyScaling = Scaling | FrameScaling


def _scaled(
    block: npt.NDArray[np.generic], offset: npt.NDArray[np.float64], scale: npt.NDArray[np.float64], limit: float
) -> npt.NDArray[np.float32]:
    wide = np.promote_types(block.dtype, np.float32)  # float64 for 32-bit integers: they do not fit a float32
    out: npt.NDArray[Any] = block.astype(wide)
    with np.errstate(over="ignore", invalid="ignore"):  # clipped below
        out -= offset.astype(wide)
        out /= scale.astype(wide)
    np.clip(out, -limit, limit, out=out)
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
