"""DeepLab: an encoder with dilated deep stages and a pyramid of dilated kernels (Chen et al. 2018)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from napari_fcn.nets import layers
from napari_fcn.nets.resunet import Residual
from napari_fcn.nets.size import pyramid_width

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_fcn.nets.spec import NetSpec


class DeepLab(nn.Module):
    """Residual stages, the deepest dilated instead of pooled, an atrous pyramid, linear upsampling.

    ::

        x ── stage ── pool ── stage ── dilated stage ─┬─ 1x1 ────────┬─ cat ── 1x1 ── score ── upsample ── logits
                                                      ├─ conv rate 2 ┤
                                                      ├─ conv rate 4 ┤
                                                      └─ conv rate 6 ┘

    The pyramid is that of Chen et al. (2017, DeepLab v3) without global pooling, because predictions that depend on the
    whole image would have no finite receptive field and no exact tiles.

    Parameters
    ----------
    spec : NetSpec
        The network; rates of the pyramid are in pixels of the grid that would result if all stages pooled.
    """

    def __init__(self, spec: NetSpec) -> None:
        super().__init__()
        self.spec = spec
        widths = [spec.width * 2**level for level in range(spec.depth + 1)]
        inputs, narrow = [spec.channels, *widths], pyramid_width(spec)
        self.encoder = nn.ModuleList(Residual(spec, inputs[i], widths[i], i) for i in range(spec.depth + 1))
        self.pools = nn.ModuleList(layers.pool(spec, i) for i in range(spec.depth))
        plan = [((1,) * spec.ndim, None)]
        plan += [(spec.kernel[-1], tuple(r * d for d in spec.dilations[-1])) for r in spec.rates]  # type: ignore[misc]
        self.pyramid = nn.ModuleList(
            nn.Sequential(*layers.step(spec, widths[-1], narrow, *options)) for options in plan
        )
        self.project = nn.Sequential(*layers.step(spec, narrow * len(plan), narrow, (1,) * spec.ndim))
        self.score = layers.score(spec, narrow)

    def forward(self, x: Tensor) -> Tensor:
        """Return class logits (N, classes, *space) for an image (N, channels, *space)."""
        whole: list[Any] = [slice(0, n) for n in x.shape[2:]]
        for level in self._walk(layers.fill(x, self.spec.multiple, self.spec.minimum)):  # noqa: B007 - the last counts
            pass
        return self.logits([level])[(..., *whole)]

    def levels(self, x: Tensor) -> list[layers.Level]:
        """Return the features of each stage and of the pyramid; ``x`` has lengths on the pooling grid."""
        return list(self._walk(x))

    def _walk(self, x: Tensor) -> Iterator[layers.Level]:
        """Yield the levels in order."""
        for i, encode in enumerate(self.encoder):
            x = encode(self.pools[i - 1](x) if i else x)
            yield layers.Level(self.spec.grids[i], x)
        x = torch.cat([branch(x) for branch in self.pyramid], dim=1)
        yield layers.Level(self.spec.grids[-1], self.project(x))

    def logits(self, levels: list[layers.Level]) -> Tensor:
        """Return class logits from the features of `levels`."""
        return layers.enlarge(self.score(levels[-1].features), levels[-1].factor)

    @property
    def readout(self) -> tuple[Tensor, Tensor]:
        """Weight and bias that turn the last of the `levels` into logits, before upsampling."""
        return self.score.weight, self.score.bias  # type: ignore[return-value]

    @property
    def widths(self) -> list[tuple[tuple[int, ...], int]]:
        """Factor and number of features of each of the `levels`."""
        spec = self.spec
        stages = [(grid, spec.width * 2**i) for i, grid in enumerate(spec.grids)]
        return [*stages, (spec.grids[-1], pyramid_width(spec))]
