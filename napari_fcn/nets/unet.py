"""The U-Net (Ronneberger et al. 2015; in 3-D: Cicek et al. 2016)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from napari_fcn.nets import layers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

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
        The network.
    block : callable
        Returns the block of a level from spec, input channels, output channels and level.
    """

    def __init__(self, spec: NetSpec, block: Callable[[NetSpec, int, int, int], nn.Module] = layers.block) -> None:
        super().__init__()
        self.spec = spec
        widths = [spec.width * 2**level for level in range(spec.depth + 1)]
        inputs = [spec.channels, *widths]
        steps = range(spec.depth)
        self.encoder = nn.ModuleList(block(spec, inputs[i], widths[i], i) for i in range(spec.depth + 1))
        self.pools = nn.ModuleList(layers.pool(spec, i) for i in steps)
        self.ups = nn.ModuleList(layers.up(spec, widths[i + 1], widths[i], i) for i in steps)
        self.decoder = nn.ModuleList(block(spec, 2 * widths[i], widths[i], i) for i in steps)
        self.score = layers.score(spec, widths[0])
        self.distance = layers.distance(spec, widths[0])

    def forward(self, x: Tensor) -> Tensor:
        """Return class logits (N, classes, *space) for an image (N, channels, *space)."""
        whole: list[Any] = [slice(0, n) for n in x.shape[2:]]
        for level in self._walk(layers.fill(x, self.spec.multiple, self.spec.minimum)):
            x = level.features  # one level at a time, to free the memory of unused features
        logits: Tensor = self.score(x)
        return logits[(..., *whole)]  # of trimmed planes there are fewer

    def logits(self, levels: list[layers.Level]) -> Tensor:
        """Return class logits from the features of `levels`."""
        logits: Tensor = self.score(levels[-1].features)
        return logits

    @property
    def readout(self) -> tuple[Tensor, Tensor]:
        """Weight and bias that turn the last of the `levels` into logits."""
        return self.score.weight, self.score.bias  # type: ignore[return-value]

    def levels(self, x: Tensor) -> list[layers.Level]:
        """Return the features of a hypercolumn (Hariharan et al. 2015), the finest level of the decoder last.

        These are the first level of the encoder, the bottleneck, and each level of the decoder. The lengths of ``x``
        are on the pooling grid.
        """
        return list(self._walk(x))

    def _walk(self, x: Tensor) -> Iterator[layers.Level]:
        """Yield the levels in order."""
        skips, factors = [], list(self.spec.grids)
        for encode, pool in zip(self.encoder, self.pools, strict=False):
            skips.append(encode(x))
            if len(skips) == 1:
                yield layers.Level(factors[0], skips[0])
            x = pool(skips[-1])
        x = self.encoder[-1](x)
        yield layers.Level(factors.pop(), x)
        for up, decode in zip(reversed(self.ups), reversed(self.decoder), strict=True):
            x = decode(layers.join(skips.pop(), up(x)))
            yield layers.Level(factors.pop(), x)

    @property
    def widths(self) -> list[tuple[tuple[int, ...], int]]:
        """Factor and number of features of each of the `levels`."""
        spec = self.spec
        column = [(spec.grids[i], spec.width * 2**i) for i in reversed(range(spec.depth + 1))]
        return ([(spec.grids[0], spec.width)] if spec.depth else []) + column
