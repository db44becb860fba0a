"""A fixed multi-scale filter bank: the features of pixel classifiers, with a finite support."""

from __future__ import annotations

from itertools import combinations_with_replacement
from math import ceil, exp
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from napari_fcn.nets.layers import AVERAGE_POOL, CONVOLVE, Level
from napari_fcn.nets.sigmas import factors

if TYPE_CHECKING:
    from collections.abc import Sequence

KERNEL_SIGMAS = 3.0  # standard deviations at which a Gaussian is cut off
# Intensities at which the response may change slope: a linear head alone cannot separate grey from black and white.
BRIGHTNESS_KNOTS = (-0.5, 0.0, 0.5)
ROOT_EPSILON = 0.1  # prevents square roots near zero from amplifying rounding errors


class FilterBank(nn.Module):
    """Computes fixed features of an image at several scales.

    Per scale: Gaussian, Gaussian rectified at three intensities, gradient magnitude, and rotation invariants of the
    Hessian and of the structure tensor (Lindeberg 1998; Bigun & Granlund 1987), scale-normalised. Scales of two pixels
    or more are computed on an image downsampled by average pooling. Kernels are truncated at three standard deviations,
    so that the support is finite; the border is padded with the nearest pixel.

    Parameters
    ----------
    channels : int
        Number of channels of the image; each is filtered separately.
    sigmas : sequence of sequence of float
        Sigma per scale and axis, in pixels.
    """

    def __init__(self, channels: int, sigmas: Sequence[Sequence[float]]) -> None:
        super().__init__()
        self.channels, self.sigmas = channels, tuple(tuple(s) for s in sigmas)
        self.ndim = len(self.sigmas[0])

    @property
    def widths(self) -> list[tuple[tuple[int, ...], int]]:
        """Factor and number of features of each scale."""
        return [(factors(sigma), self.channels * (2 + len(BRIGHTNESS_KNOTS) + 2 * self.ndim)) for sigma in self.sigmas]

    def forward(self, x: Tensor) -> list[Level]:
        """Return the features of each scale of an image (N, channels, *space) whose lengths are on the grid."""
        with torch.autocast(x.device.type, enabled=False):  # half precision is too coarse for derivatives
            flat = x.float().reshape(-1, 1, *x.shape[2:])
            return [self._scale(flat, sigma, x) for sigma in self.sigmas]

    def _scale(self, flat: Tensor, sigma: Sequence[float], x: Tensor) -> Level:
        factor = factors(sigma)
        small = flat if set(factor) == {1} else AVERAGE_POOL[self.ndim](flat, factor)
        on_grid = [s / f for s, f in zip(sigma, factor, strict=True)]
        features = self._features(small, on_grid)
        return Level(factor, features.reshape(x.shape[0], -1, *small.shape[2:]).to(x.dtype))

    def _features(self, x: Tensor, sigma: Sequence[float]) -> Tensor:
        """Return (N, features, *space) of one scale; sigma is in pixels of ``x``."""
        kernels = [[_kernel(s, order, x) for order in range(3)] for s in sigma]

        def derive(orders: Sequence[int], image: Tensor) -> Tensor:
            for axis, order in enumerate(orders):
                image = _along(image, kernels[axis][order], axis)
            return image

        unit = torch.eye(self.ndim, dtype=torch.long).tolist()
        gradient = [derive(row, x) for row in unit]
        pairs = list(combinations_with_replacement(range(self.ndim), 2))
        hessian = [derive([a + b for a, b in zip(unit[i], unit[j], strict=True)], x) for i, j in pairs]
        zero = [0] * self.ndim
        tensor = [derive(zero, gradient[i] * gradient[j]) for i, j in pairs]
        steepness = torch.stack([g.square() for g in gradient]).sum(0)
        smooth = derive(zero, x)
        parts = [smooth, *((smooth - knot).relu() for knot in BRIGHTNESS_KNOTS)]
        parts += [_root(steepness), *_invariants(hessian, self.ndim)]
        energy, *shape = _invariants(tensor, self.ndim)
        parts += [_root(energy), *shape]
        return torch.cat(parts, dim=1)


class Support(nn.Module):
    """A replacement for a filter bank with the same support and kernels of ones, so that nothing cancels."""

    def __init__(self, bank: FilterBank) -> None:
        super().__init__()
        self.bank = bank

    def forward(self, x: Tensor) -> list[Level]:
        """Return as many features as the filter bank, each the sum over its support."""
        levels = []
        for sigma, (factor, width) in zip(self.bank.sigmas, self.bank.widths, strict=True):
            level = x if set(factor) == {1} else AVERAGE_POOL[self.bank.ndim](x, factor)
            for _ in range(2):  # a derivative, then the smoothing of the structure tensor
                for axis, (s, f) in enumerate(zip(sigma, factor, strict=True)):
                    level = _along(level, torch.ones_like(_kernel(s / f, 0, x)), axis)
            levels.append(Level(factor, level.expand(-1, width, *level.shape[2:])))
        return levels


def _kernel(sigma: float, order: int, like: Tensor) -> Tensor:
    """Return a sampled Gaussian or its scale-normalised derivative, for correlation with an image.

    Sampled derivatives are normalised to be exact on polynomials of their order.
    """
    radius = max(1, ceil(KERNEL_SIGMAS * sigma))
    offsets = range(-radius, radius + 1)
    gaussian = [exp(-(i * i) / (2 * sigma * sigma)) for i in offsets]
    total = sum(gaussian)
    if order == 0:
        values = [g / total for g in gaussian]
    elif order == 1:
        moment = sum(g * i * i for g, i in zip(gaussian, offsets, strict=True))
        values = [sigma * g * i / moment for g, i in zip(gaussian, offsets, strict=True)]
    else:
        variance = sum(g * i * i for g, i in zip(gaussian, offsets, strict=True)) / total
        raw = [g * (i * i - variance) for g, i in zip(gaussian, offsets, strict=True)]
        scale = 2 * sigma * sigma / sum(r * i * i for r, i in zip(raw, offsets, strict=True))
        values = [scale * r for r in raw]
    return torch.tensor(values, dtype=like.dtype, device=like.device)


def _along(x: Tensor, kernel: Tensor, axis: int) -> Tensor:
    """Return ``x`` (N, 1, *space) correlated with a kernel along one axis; the border pixel is repeated."""
    ndim, radius = x.ndim - 2, len(kernel) // 2
    padding = [0] * (2 * ndim)
    padding[2 * (ndim - 1 - axis)] = padding[2 * (ndim - 1 - axis) + 1] = radius
    shape = [1, 1, *(len(kernel) if a == axis else 1 for a in range(ndim))]
    out: Tensor = CONVOLVE[ndim](F.pad(x, padding, mode="replicate"), kernel.reshape(shape))
    return out


def _root(x: Tensor) -> Tensor:
    return (x.clamp(min=0) + ROOT_EPSILON**2).sqrt() - ROOT_EPSILON


def _invariants(upper: Sequence[Tensor], ndim: int) -> list[Tensor]:
    """Return rotation invariants of symmetric matrices given by their upper triangle, row by row.

    These are the mean of the eigenvalues, their spread and, in 3-D, their skewness. In 2-D they are equivalent to the
    eigenvalues, but smooth where these coincide, so that rounding errors stay small.
    """
    if ndim == 1:
        return list(upper)
    if ndim == 2:
        a, b, d = upper
        return [(a + d) / 2, _root((a - d).square() / 4 + b.square())]
    a, b, c, d, e, f = upper
    mean = (a + d + f) / 3
    a, d, f = a - mean, d - mean, f - mean
    spread = (a * a + d * d + f * f + 2 * (b * b + c * c + e * e)) / 6
    determinant = a * (d * f - e * e) - b * (b * f - c * e) + c * (b * e - c * d)
    return [mean, _root(spread), determinant / (spread + ROOT_EPSILON**2)]
