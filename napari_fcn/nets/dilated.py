"""A network without pooling, with kernels of increasing dilation (Yu & Koltun 2016)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from napari_fcn.nets import layers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_fcn.nets.spec import NetSpec


class Dilated(nn.Module):
    """A block and the context module of Yu & Koltun, on the grid of the image and with ``width`` channels.

    ::

        x ── block ── conv 1 ── conv 1 ── conv 2 ── conv 4 ── ... ── conv 1 ── score ── logits
                               '------ level 0, 1, 2 ... depth ----'

    The numbers are dilations. From level to level they grow by the pooling factor of other networks; the last
    convolution is dense to fill the gaps of the dilated ones (Yu et al. 2017). At a depth of 4 the receptive field of
    the context module is 67 pixels, as published.

    Parameters
    ----------
    spec : NetSpec
        The network.
    """

    def __init__(self, spec: NetSpec) -> None:
        super().__init__()
        self.spec = spec
        dense = (spec.kernel[0], spec.dilations[0])
        plan = [dense, *zip(spec.kernel, spec.dilations, strict=True), dense]
        self.front = layers.block(spec, spec.channels, spec.width, 0)
        self.context = nn.ModuleList(
            nn.Sequential(*layers.step(spec, spec.width, spec.width, *options)) for options in plan
        )
        self.score = layers.score(spec, spec.width)

    def forward(self, x: Tensor) -> Tensor:
        """Return class logits (N, classes, *space) for an image (N, channels, *space)."""
        whole: list[Any] = [slice(0, n) for n in x.shape[2:]]
        for level in self._walk(layers.fill(x, self.spec.multiple, self.spec.minimum)):
            x = level.features
        logits: Tensor = self.score(x)
        return logits[(..., *whole)]

    def levels(self, x: Tensor) -> list[layers.Level]:
        """Return the features before the context module, at its largest dilation, and at its end."""
        return list(self._walk(x))

    def _walk(self, x: Tensor) -> Iterator[layers.Level]:
        """Yield the levels in order."""
        grid = self.spec.grids[0]
        x = self.front(x)
        yield layers.Level(grid, x)
        for convolve in self.context[:-1]:
            x = convolve(x)
        yield layers.Level(grid, x)
        yield layers.Level(grid, self.context[-1](x))

    def logits(self, levels: list[layers.Level]) -> Tensor:
        """Return class logits from the features of `levels`."""
        logits: Tensor = self.score(levels[-1].features)
        return logits

    @property
    def readout(self) -> tuple[Tensor, Tensor]:
        """Weight and bias that turn the last of the `levels` into logits."""
        return self.score.weight, self.score.bias  # type: ignore[return-value]

    @property
    def widths(self) -> list[tuple[tuple[int, ...], int]]:
        """Factor and number of features of each of the `levels`."""
        return [(self.spec.grids[0], self.spec.width)] * 3
