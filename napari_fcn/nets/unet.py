"""The U-Net (Ronneberger et al. 2015; in 3-D: Cicek et al. 2016)."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from napari_fcn.nets import layers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_fcn.nets.spec import NetSpec


class UNet(nn.Module):
    """Encoder and decoder joined by skips, padded convolutions, any input size.

    ::

        x ── block ─────────────────────── cat ── block ── score ── logits
               └ pool ── block ─── cat ── block ── up ┘
                           └ pool ── block ── up ┘

    Parameters
    ----------
    spec : NetSpec
        What to build.
    """

    def __init__(self, spec: NetSpec) -> None:
        super().__init__()
        self.spec = spec
        widths = [spec.width * 2**level for level in range(spec.depth + 1)]
        inputs = [spec.channels, *widths]
        steps = range(spec.depth)
        self.encoder = nn.ModuleList(layers.block(spec, inputs[i], widths[i], i) for i in range(spec.depth + 1))
        self.pools = nn.ModuleList(layers.pool(spec, i) for i in steps)
        self.ups = nn.ModuleList(layers.up(spec, widths[i + 1], widths[i], i) for i in steps)
        self.decoder = nn.ModuleList(layers.block(spec, 2 * widths[i], widths[i], i) for i in steps)
        self.score = layers.score(spec, widths[0])

    def forward(self, x: Tensor) -> Tensor:
        """Return class logits (N, classes, *space) for an image (N, channels, *space)."""
        whole: list[Any] = [slice(0, n) for n in x.shape[2:]]
        for level in self._walk(layers.fill(x, self.spec.multiple, self.spec.minimum)):
            x = level.features  # one level at a time: what nobody needs any more gives its memory back
        logits: Tensor = self.score(x)
        return logits[(..., *whole)]

    def levels(self, x: Tensor) -> list[layers.Level]:
        """Return the features that tell most (a hypercolumn, Hariharan et al. 2015), the finest of the decoder last.

        The first level of the encoder, the bottleneck, and each level of the decoder; ``x`` has lengths on the
        pooling grid.
        """
        return list(self._walk(x))

    def _walk(self, x: Tensor) -> Iterator[layers.Level]:
        """Yield the levels one after the other."""
        skips, factor = [], (1,) * self.spec.ndim
        factors = [factor]
        for encode, pool, step in zip(self.encoder, self.pools, self.spec.pool, strict=False):
            skips.append(encode(x))
            if len(skips) == 1:
                yield layers.Level(factor, skips[0])
            x = pool(skips[-1])
            factor = tuple(f * p for f, p in zip(factor, step, strict=True))
            factors.append(factor)
        x = self.encoder[-1](x)
        yield layers.Level(factors.pop(), x)
        for up, decode in zip(reversed(self.ups), reversed(self.decoder), strict=True):
            x = decode(torch.cat([skips.pop(), up(x)], dim=1))
            yield layers.Level(factors.pop(), x)

    @property
    def widths(self) -> list[tuple[tuple[int, ...], int]]:
        """Factor and number of features of each of the `levels`."""
        spec = self.spec
        factors = [
            tuple(prod(step[axis] for step in spec.pool[:i]) for axis in range(spec.ndim))
            for i in range(spec.depth + 1)
        ]
        column = [(factors[i], spec.width * 2**i) for i in reversed(range(spec.depth + 1))]
        return ([(factors[0], spec.width)] if spec.depth else []) + column
