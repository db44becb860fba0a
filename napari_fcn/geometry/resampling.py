"""Resamples an image by region; each region equals that of the resampled whole image, bit for bit."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, floor
from typing import TYPE_CHECKING

import numpy as np

from napari_fcn.geometry.region import Region

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy.typing as npt


def _linear(x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    values: npt.NDArray[np.float64] = np.maximum(1 - np.abs(x), 0.0)
    return values


def _cubic(x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the kernel of Keys (1981), a = -1/2."""
    x = np.abs(x)
    near, far = (1.5 * x - 2.5) * x * x + 1, ((-0.5 * x + 2.5) * x - 4) * x + 2
    return np.where(x < 1, near, np.where(x < 2, far, 0.0))


def _gaussian(x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.where(np.abs(x) < 2, np.exp(-2 * x * x), 0.0)  # sigma of half a pixel, truncated at four sigmas


# Each kernel and its radius, in pixels of the coarser grid.
KERNELS: Mapping[str, tuple[Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]], float]] = {
    "linear": (_linear, 1.0),
    "cubic": (_cubic, 2.0),
    "gaussian": (_gaussian, 2.0),
}


@dataclass(frozen=True, slots=True)
class Resampling:
    """A map from one grid of pixels to another over the same field of view.

    ::

        source   |  0  |  1  |  2  |  3  |  4  |  5  |     outer edges coincide;
        target   |    0    |    1    |    2    |    3|     positions are pixel centres

    A target pixel is a weighted mean of the source pixels around its centre. For a coarser target, the kernel is wider
    by the same factor, to prevent aliasing. The image is extended by its border pixels. The weights depend only on the
    position in the whole grid, so regions fit together.

    Parameters
    ----------
    source, target : tuple of int
        Length of each axis, in pixels.
    kernel : str
        ``"linear"``, ``"cubic"`` (Keys 1981: sharper, overshoots at edges) or ``"gaussian"`` (smoother).

    Raises
    ------
    ValueError
        If the number of axes differs, a length is not positive, or there is no such kernel.
    """

    source: tuple[int, ...]
    target: tuple[int, ...]
    kernel: str = "linear"

    def __post_init__(self) -> None:
        if len(self.source) != len(self.target) or min(*self.source, *self.target, 1) < 1:
            raise ValueError(f"An image of {self.source} pixels cannot be resampled to {self.target}.")
        if self.kernel not in KERNELS:
            raise ValueError(f"There is no kernel {self.kernel!r}. Choose {', '.join(KERNELS)}.")

    @property
    def back(self) -> Resampling:
        """The linear resampling from the target to the source; probabilities remain probabilities."""
        return Resampling(self.target, self.source)

    def needs(self, region: Region) -> Region:
        """Return the source pixels on which a region of the target depends."""
        spans = [self._span(axis, a, b) for axis, (a, b) in enumerate(zip(region.start, region.stop, strict=True))]
        return Region(tuple(a for a, _ in spans), tuple(b for _, b in spans))

    def apply(self, block: npt.NDArray[np.generic], region: Region) -> npt.NDArray[np.float32]:
        """Return a region of the target, ``(C, *region.shape)``, from the block ``(C, *needs(region).shape)``."""
        needed = self.needs(region)
        if block.shape[1:] != needed.shape:
            raise ValueError(f"A block {block.shape} was given; {region} depends on {needed}.")
        out: npt.NDArray[np.float32] = block.astype(np.float32)
        for axis, (n, m) in enumerate(zip(self.source, self.target, strict=True)):
            if n != m:
                out = self._along(out, axis, region, needed.start[axis])
        return out

    def _along(self, block: npt.NDArray[np.float32], axis: int, region: Region, start: int) -> npt.NDArray[np.float32]:
        taps, weights = self._taps(axis, region.start[axis], region.stop[axis])
        shape = [-1 if k == axis + 1 else 1 for k in range(block.ndim)]
        out = np.zeros([len(taps) if k == axis + 1 else n for k, n in enumerate(block.shape)], np.float32)
        inside = np.clip(taps - start, 0, block.shape[axis + 1] - 1)  # taps without weight may lie outside
        for tap, weight in zip(inside.T, weights.T.astype(np.float32), strict=True):
            out += np.take(block, tap, axis=axis + 1) * weight.reshape(shape)
        return out

    def _taps(self, axis: int, start: int, stop: int) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.float64]]:
        """Return the source pixels ``(targets, taps)`` of each target pixel of a span, and their weights."""
        n, step = self.source[axis], self.source[axis] / self.target[axis]
        kernel, radius = KERNELS[self.kernel]
        width = max(1.0, step)
        centres = (np.arange(start, stop) + 0.5) * step - 0.5
        count = 2 * ceil(radius * width) + 1
        taps = np.floor(centres - radius * width).astype(np.intp)[:, None] + np.arange(count + 1)
        weights = kernel((taps - centres[:, None]) / width)
        return np.clip(taps, 0, n - 1), weights / weights.sum(1, keepdims=True)

    def _span(self, axis: int, start: int, stop: int) -> tuple[int, int]:
        if self.source[axis] == self.target[axis] or start >= stop:
            return start, stop
        taps, weights = self._taps(axis, start, stop)
        # of all targets, because a target at the centre of a source pixel may use fewer taps than its neighbours
        used = taps[weights != 0]
        return int(used.min()), int(used.max()) + 1


def resampled_length(length: int, size: float, wanted: float) -> int:
    """Return the number of pixels of size ``wanted`` in an axis of ``length`` pixels of ``size``; at least one."""
    return max(1, floor(length * size / wanted + 0.5))
