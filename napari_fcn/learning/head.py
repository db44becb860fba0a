"""The trainable head on the features of all levels: a linear layer and an optional hidden layer."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from napari_fcn.nets.hypercolumn import HypercolumnNet
    from napari_fcn.nets.layers import Level


@dataclass(frozen=True, slots=True, eq=False)
class FeatureScaler:
    """Standardises features, so that one ridge suits all features and all levels have the same weight.

    Attributes
    ----------
    mean, scale : Tensor
        ``(F,)``, all levels concatenated. The scale is the standard deviation times the square root of the number of
        features of the level, so that levels with many features do not dominate.
    """

    mean: Tensor
    scale: Tensor

    @classmethod
    def fit(cls, levels: Sequence[Level]) -> FeatureScaler:
        """Return the scaler of the features of an image or a part of it."""
        flat = [level.features.float().transpose(0, 1).flatten(1) for level in levels]
        mean = torch.cat([f.mean(1) for f in flat])
        deviations = [f.std(1, correction=0) for f in flat]
        scale = torch.cat([torch.where(d > 1e-6, d, torch.ones_like(d)) * len(d) ** 0.5 for d in deviations])
        return cls(mean, scale)


@dataclass(frozen=True, slots=True, eq=False)
class LinearHead:
    """Class logits as a linear function of features.

    Attributes
    ----------
    weight : Tensor
        ``(classes, F)``.
    bias : Tensor
        ``(classes,)``.
    """

    weight: Tensor
    bias: Tensor

    def logits(self, features: Tensor) -> Tensor:
        """Return ``(n, classes)`` for standardised features ``(n, F)``."""
        return torch.addmm(self.bias, features, self.weight.T)

    def scaled(self, factor: float) -> LinearHead:
        """Return the head whose logits are multiplied by ``factor``."""
        return LinearHead(self.weight * factor, self.bias * factor)

    def relative_to_first(self) -> LinearHead:
        """Return the head for the logits of all classes but the first, relative to the first: enough for softmax."""
        return LinearHead(self.weight[1:] - self.weight[0], self.bias[1:] - self.bias[0])

    def to_scaled_features(self, scaler: FeatureScaler) -> LinearHead:
        """Return the head for standardised features that equals this one for raw features."""
        return LinearHead(self.weight * scaler.scale, self.bias + self.weight @ scaler.mean)

    def to_raw_features(self, scaler: FeatureScaler) -> LinearHead:
        """Return the head for raw features that equals this one for standardised features."""
        weight = self.weight / scaler.scale
        return LinearHead(weight, self.bias - weight @ scaler.mean)


@dataclass(frozen=True, slots=True, eq=False)
class HiddenLayer:
    """A hidden layer of rectified units whose output is added to the logits of the linear part.

    Attributes
    ----------
    units : LinearHead
        Weights ``(units, F)`` and biases ``(units,)``.
    output_weights : Tensor
        ``(classes, units)``, from the rectified units to the class logits.
    """

    units: LinearHead
    output_weights: Tensor

    def logits(self, features: Tensor) -> Tensor:
        """Return the contribution ``(n, classes)`` to the logits, for features ``(n, F)``."""
        return self.units.logits(features).relu() @ self.output_weights.T

    def logits_of_units(self, units: Tensor) -> Tensor:
        """Return the contribution ``(N, classes, *space)`` to the logits, from the units before rectification."""
        return torch.einsum("nu...,ku->nk...", units.relu(), self.output_weights)


@dataclass(frozen=True, slots=True, eq=False)
class Head:
    """Class logits as a function of features: a linear part plus an optional hidden layer."""

    linear: LinearHead
    hidden: HiddenLayer | None = None

    def logits(self, features: Tensor) -> Tensor:
        """Return ``(n, classes)`` for features ``(n, F)``."""
        linear_logits = self.linear.logits(features)
        return linear_logits if self.hidden is None else linear_logits + self.hidden.logits(features)

    def relative_to_first(self) -> Head:
        """Return the head for the logits of all classes but the first, relative to the first."""
        hidden = self.hidden and HiddenLayer(
            self.hidden.units, self.hidden.output_weights[1:] - self.hidden.output_weights[0]
        )
        return Head(self.linear.relative_to_first(), hidden)

    def scaled(self, factor: float) -> Head:
        """Return the head whose logits are multiplied by ``factor``, with the hidden units unchanged."""
        hidden = self.hidden and HiddenLayer(self.hidden.units, self.hidden.output_weights * factor)
        return Head(self.linear.scaled(factor), hidden)

    def to_scaled_features(self, scaler: FeatureScaler) -> Head:
        """Return the head for standardised features that equals this one for raw features."""
        hidden = self.hidden and HiddenLayer(self.hidden.units.to_scaled_features(scaler), self.hidden.output_weights)
        return Head(self.linear.to_scaled_features(scaler), hidden)

    def to_raw_features(self, scaler: FeatureScaler) -> Head:
        """Return the head for raw features that equals this one for standardised features."""
        hidden = self.hidden and HiddenLayer(self.hidden.units.to_raw_features(scaler), self.hidden.output_weights)
        return Head(self.linear.to_raw_features(scaler), hidden)


def gather(levels: Sequence[Level], positions: Tensor) -> Tensor:
    """Return the features ``(n, F)`` at some pixels of the linearly upsampled levels.

    Parameters
    ----------
    levels : sequence of Level
        Features ``(N, C, *space)``.
    positions : Tensor
        ``(n, 1 + ndim)`` int64: index along N, then pixel along each axis in space.
    """
    return torch.cat([_gather(level, positions) for level in levels], dim=1)


def _gather(level: Level, positions: Tensor) -> Tensor:
    planes, *pixels = positions.unbind(1)
    features = level.features
    low, high, fraction = [], [], []
    for pixel, factor, length in zip(pixels, level.factor, features.shape[2:], strict=True):
        coordinate = ((pixel + 0.5) / factor - 0.5).clamp(min=0)
        below = coordinate.long()
        low.append(below)
        high.append((below + 1).clamp(max=length - 1))
        fraction.append((coordinate - below).to(torch.float32))
    flat_features = features.movedim(1, -1).flatten(0, -2)  # a view, if the features of a pixel are contiguous
    out = torch.zeros(len(positions), features.shape[1], device=features.device)
    corners = product(*([0] if f == 1 else [0, 1] for f in level.factor))
    for corner in corners:
        weight = torch.ones(len(positions), device=features.device)
        index = planes
        for axis, upper in enumerate(corner):
            index = index * features.shape[2 + axis] + (high if upper else low)[axis]
            if level.factor[axis] != 1:
                weight = weight * (fraction[axis] if upper else 1 - fraction[axis])
        out += weight[:, None] * flat_features[index].float()
    return out


def write_head(net: HypercolumnNet, head: Head) -> None:
    """Store a head for raw features in a network; units that the head lacks get zero weights."""
    classes, features = head.linear.weight.shape
    weight = head.linear.weight.new_zeros(classes + net.spec.hidden, features)
    bias = head.linear.bias.new_zeros(len(weight))
    weight[:classes], bias[:classes] = head.linear.weight, head.linear.bias
    output_weights = weight.new_zeros(classes, net.spec.hidden)
    if head.hidden is not None:
        units = len(head.hidden.units.bias)
        weight[classes : classes + units], bias[classes : classes + units] = (
            head.hidden.units.weight,
            head.hidden.units.bias,
        )
        output_weights[:, :units] = head.hidden.output_weights
    with torch.no_grad():
        parts = weight.split([width for _, width in net.widths], dim=1)
        for conv, part in zip(net.heads_of_levels, parts, strict=True):
            conv.weight.copy_(part.reshape(conv.weight.shape))
        assert net.heads_of_levels[0].bias is not None
        net.heads_of_levels[0].bias.copy_(bias)
        if net.mix is not None:
            net.mix.weight.copy_(output_weights.reshape(net.mix.weight.shape))


def read_head(net: HypercolumnNet) -> Head:
    """Return the head of a network, for raw features."""
    weight = torch.cat([conv.weight.detach().flatten(1) for conv in net.heads_of_levels], dim=1)
    assert net.heads_of_levels[0].bias is not None
    bias, classes = net.heads_of_levels[0].bias.detach().clone(), net.spec.classes
    linear = LinearHead(weight[:classes], bias[:classes])
    if net.mix is None or not net.mix.weight.any():
        return Head(linear)
    return Head(
        linear, HiddenLayer(LinearHead(weight[classes:], bias[classes:]), net.mix.weight.detach().flatten(1).clone())
    )
