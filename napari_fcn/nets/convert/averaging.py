"""Dilated average pooling, which torch lacks."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

if TYPE_CHECKING:
    from napari_fcn.nets.convert.sliding import Sliding


class DilatedAverage(nn.Module):
    """The mean of positions ``dilation`` apart: a depthwise convolution with equal weights, summed axis by axis.

    Parameters
    ----------
    geometry : Sliding
        Kernel, stride, dilation and padding with zeros.
    counts_padding : bool
        Whether padded zeros count as positions.
    divisor : int, optional
        Divisor of the sum, if not the number of positions.
    """

    def __init__(self, geometry: Sliding, counts_padding: bool = True, divisor: int | None = None) -> None:
        super().__init__()
        self.geometry = geometry
        self.counts_padding = counts_padding
        self.divisor = divisor

    def forward(self, x: Tensor) -> Tensor:
        """Return the means of ``x`` (N, C, *space)."""
        if self.divisor or self.counts_padding:
            return self._sum(x) / (self.divisor or prod(self.geometry.kernel))
        return self._sum(x) / self._sum(torch.ones_like(x[:1, :1]))

    def _sum(self, x: Tensor) -> Tensor:
        geometry = self.geometry
        x = F.pad(x, geometry.flat_padding)
        for axis, (kernel, stride, dilation) in enumerate(
            zip(geometry.kernel, geometry.stride, geometry.dilation, strict=True), start=2
        ):
            last = x.shape[axis] - (kernel - 1) * dilation
            if last < 1:
                raise ValueError(f"A map of {x.shape[axis]} positions is shorter than the average over {kernel}.")
            before = (slice(None),) * axis
            parts = (x[(*before, slice(i * dilation, i * dilation + last, stride))] for i in range(kernel))
            total = next(parts).clone()
            for part in parts:
                total = total + part
            x = total
        return x
