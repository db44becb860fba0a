"""A network with a head on the features of all levels, which can be trained with a few brush strokes."""

from __future__ import annotations

from copy import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from napari_fcn.nets import layers
from napari_fcn.nets.filters import FilterBank

if TYPE_CHECKING:
    from napari_fcn.nets.build import Trunk
    from napari_fcn.nets.spec import NetSpec


class HypercolumnNet(nn.Module):
    """A trunk and a fixed filter bank with a head on the features of all their levels.

    ::

        x ─┬─ trunk ── its levels ────────────────────────────┐                ┌──────────────────────┐
           ├─ filter bank ── one level per scale ─────────────┼─ 1x1, upsample ┤                      sum ── logits
           └─ the image itself ───────────────────────────────┘     and sum    └─ hidden units, 1x1 ──┘
                trunk ── score ── original logits

    A linear head commutes with linear upsampling, so it is applied to each level at its own resolution and its logits
    are upsampled (hypercolumns: Hariharan et al. 2015; skip scores: Long et al. 2015). Hidden units, rectified and
    weighted at full resolution, make it nonlinear.

    Parameters
    ----------
    spec : NetSpec
        The network; its head is of kind ``"levels"``.
    trunk : Trunk, optional
        The network that computes features; None for a filter bank without a network.
    """

    def __init__(self, spec: NetSpec, trunk: Trunk | None) -> None:
        super().__init__()
        self.spec = spec
        self.trunk = trunk
        if trunk is not None and not spec.original:
            trunk.score = None  # a new network has no original head
        self.bank = FilterBank(spec.channels, spec.filters) if spec.filters else None
        self.heads = nn.ModuleList(
            layers.CONV[spec.ndim](width, spec.classes + spec.hidden, 1, bias=i == 0)
            for i, (_, width) in enumerate(self.widths)
        )
        self.mix: Any = layers.CONV[spec.ndim](spec.hidden, spec.classes, 1, bias=False) if spec.hidden else None

    @property
    def widths(self) -> list[tuple[tuple[int, ...], int]]:
        """Factor and number of features of each of the `levels`."""
        image = [((1,) * self.spec.ndim, self.spec.channels)]
        return image + (self.bank.widths if self.bank else []) + (self.trunk.widths if self.trunk else [])

    @property
    def handcrafted_features(self) -> int:
        """Number of features of image and filter bank, which come first; 0 without a bank."""
        return self.spec.channels + sum(width for _, width in self.bank.widths) if self.bank else 0

    @property
    def heads_of_levels(self) -> list[nn.modules.conv._ConvNd]:
        """The 1x1 convolutions of the head, one for each of the `levels`; the first has the bias."""
        return list(self.heads)  # type: ignore[arg-type]

    def levels(self, x: Tensor) -> list[layers.Level]:
        """Return all features of an image (N, channels, *space) whose lengths are on the grid: image, bank, trunk."""
        image = [layers.Level((1,) * self.spec.ndim, x)]
        return image + (self.bank(x) if self.bank else []) + (self.trunk.levels(x) if self.trunk else [])

    def forward(self, x: Tensor) -> Tensor:
        """Return the class logits (N, classes, *space) of the taught head for an image (N, channels, *space)."""
        whole: list[Any] = [slice(0, n) for n in x.shape[2:]]
        return self.score(self.levels(self.fill(x)))[(..., *whole)]

    def score(self, levels: list[layers.Level]) -> Tensor:
        """Return the class logits of the taught head from features; levels on one grid are upsampled together."""
        by_factor: dict[tuple[int, ...], Tensor] = {}
        for head, (factor, features) in zip(self.heads, levels, strict=True):
            logits = head(features)
            by_factor[factor] = by_factor[factor] + logits if factor in by_factor else logits
        logits = by_factor.pop((1,) * self.spec.ndim)
        for factor, coarse in by_factor.items():
            logits = logits + layers.enlarge(coarse, factor)
        if self.mix is None:
            return logits
        linear, hidden = logits.split([self.spec.classes, self.spec.hidden], dim=1)
        nonlinear: Tensor = linear + self.mix(hidden.relu())
        return nonlinear

    def linear(self) -> HypercolumnNet:
        """Return the network with only the linear part of its head; it shares the tensors."""
        spec = replace(self.spec, hidden=0)
        net = copy(self)
        net._modules, net.spec = dict(self._modules), spec
        heads = [copy(head) for head in self.heads_of_levels]
        for head in heads:
            parameters = {
                name: p if p is None else nn.Parameter(p.detach()[: spec.classes])
                for name, p in head._parameters.items()
            }
            head._parameters, head.out_channels = parameters, spec.classes
        net._modules["heads"], net.mix = nn.ModuleList(heads), None
        return net

    def fill(self, x: Tensor) -> Tensor:
        """Return an image padded to lengths on the grid."""
        return layers.fill(x, self.spec.multiple, self.spec.minimum)
