"""The instant answer: a linear head over the features of all levels, refitted to all strokes in milliseconds."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from napari_fcn.nets.layers import Level
    from napari_fcn.nets.taught import Taught

MOST = 500  # samples of a class that one fit looks at
NEWTON = 12  # Newton steps at most
INNER = 12  # steps of conjugate gradients in each
GOOD = 1e-3  # relative gradient at which a fit ends
ROUNDING = 1e-5  # share of its diagonal by which a preconditioner in float32 is kept from being singular


@dataclass(frozen=True, slots=True, eq=False)
class Standard:
    """Mean and spread of each feature, so that one ridge fits all, and all levels together count alike.

    Attributes
    ----------
    mean, spread : Tensor
        ``(F,)``, all levels one after the other; the spread is the standard deviation times the square root of the
        number of features of the level, so that a level of many features pulls no more than one of few.
    """

    mean: Tensor
    spread: Tensor

    @classmethod
    def of(cls, levels: Sequence[Level]) -> Standard:
        """Return the statistics of the features of an image or a part of it."""
        flat = [level.features.float().transpose(0, 1).flatten(1) for level in levels]
        mean = torch.cat([f.mean(1) for f in flat])
        parts = [f.std(1, correction=0) for f in flat]
        spread = torch.cat([torch.where(p > 1e-6, p, torch.ones_like(p)) * len(p) ** 0.5 for p in parts])
        return cls(mean, spread)


@dataclass(frozen=True, slots=True, eq=False)
class Linear:
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

    def logits(self, rows: Tensor) -> Tensor:
        """Return ``(n, classes)`` for standardised features ``(n, F)``."""
        return torch.addmm(self.bias, rows, self.weight.T)

    def scaled(self, factor: float) -> Linear:
        """Return a head that is so many times as sure."""
        return Linear(self.weight * factor, self.bias * factor)

    def standardised(self, standard: Standard) -> Linear:
        """Return the same head for standardised features."""
        return Linear(self.weight * standard.spread, self.bias + self.weight @ standard.mean)

    def raw(self, standard: Standard) -> Linear:
        """Return this head for standardised features as one for features as they are."""
        weight = self.weight / standard.spread
        return Linear(weight, self.bias - weight @ standard.mean)


def gather(levels: Sequence[Level], positions: Tensor) -> Tensor:
    """Return the features ``(n, F)`` that linear upsampling of each level would give at some pixels.

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
    low, high, share = [], [], []
    for pixel, factor, length in zip(pixels, level.factor, features.shape[2:], strict=True):
        at = ((pixel + 0.5) / factor - 0.5).clamp(min=0)
        below = at.long()
        low.append(below)
        high.append((below + 1).clamp(max=length - 1))
        share.append((at - below).to(torch.float32))
    steps: Sequence[Any] = features.stride()
    strides = [steps[0], *steps[2:]]
    channels = torch.arange(features.shape[1], device=features.device) * steps[1]
    storage = features.as_strided((features.untyped_storage().nbytes() // features.element_size(),), (1,), 0)
    start: Any = features.storage_offset()
    out = torch.zeros(len(positions), features.shape[1], device=features.device)
    corners = product(*([0] if f == 1 else [0, 1] for f in level.factor))
    for corner in corners:
        weight = torch.ones(len(positions), device=features.device)
        offset = start + planes * strides[0]
        for axis, upper in enumerate(corner):
            offset = offset + (high if upper else low)[axis] * strides[1 + axis]
            if level.factor[axis] != 1:
                weight = weight * (share[axis] if upper else 1 - share[axis])
        out += weight[:, None] * storage[offset[:, None] + channels].float()
    return out


def fit(rows: Tensor, label: Tensor, share: Tensor, prior: Linear, ridge: float) -> Linear:
    """Return the head that explains the samples best, pulled towards ``prior``.

    Minimises weighted multinomial cross entropy plus ``ridge / 2`` times the squared distance of the weights from the
    prior's, by Newton's method; each step is solved by conjugate gradients with Bohning's (1992) bound on the Hessian
    as preconditioner, which is the same for all classes and factorised once.

    Parameters
    ----------
    rows : Tensor
        ``(n, F)`` standardised features.
    label : Tensor
        ``(n,)`` int64 class indices.
    share : Tensor
        ``(n,)`` weight of each sample; scaled to a sum of one.
    prior : Linear
        What the head is pulled towards; its bias is free.
    ridge : float
        Strength of the pull.
    """
    share = share / share.sum()
    ones = torch.ones(len(rows), 1, device=rows.device)
    x = torch.cat([rows, ones], dim=1)
    centre = torch.cat([prior.weight, prior.bias[:, None]], dim=1)
    w = centre  # not what was learnt last: the same strokes give the same head, whatever was painted in between
    pull = torch.full((x.shape[1],), ridge, device=rows.device)
    pull[-1] = ridge * 1e-3
    bound = 0.5 * (x.T * share) @ x
    bound.diagonal().add_(pull + ROUNDING * bound.diagonal().max())
    factor = torch.linalg.cholesky(bound)
    truth = torch.nn.functional.one_hot(label, w.shape[0]).to(x.dtype)

    def loss(w: Tensor) -> Tensor:
        entropy = torch.nn.functional.cross_entropy(x @ w.T, label, reduction="none")
        return (entropy * share).sum() + 0.5 * (pull * (w - centre).square()).sum()

    value, first = loss(w), None
    for _ in range(NEWTON):
        p = (x @ w.T).softmax(1)
        gradient = ((p - truth) * share[:, None]).T @ x + pull * (w - centre)
        size = gradient.norm()
        first = size if first is None else first
        if size <= GOOD * first.clamp(min=1e-3):
            break
        step = _solve(x, p, share, pull, gradient, factor)
        slope = (gradient * step).sum()
        length = 1.0
        for _ in range(12):
            trial = loss(w - length * step)
            if trial <= value - 1e-4 * length * slope:
                break
            length /= 2
        else:
            break
        w, value = w - length * step, trial
    return Linear(w[:, :-1].contiguous(), w[:, -1].contiguous())


def _solve(x: Tensor, p: Tensor, share: Tensor, pull: Tensor, gradient: Tensor, factor: Tensor) -> Tensor:
    """Return the Newton step for this gradient by conjugate gradients (Nocedal & Wright 2006, algorithm 7.1)."""

    def curvature(d: Tensor) -> Tensor:
        z = x @ d.T
        z = p * (z - (p * z).sum(1, keepdim=True)) * share[:, None]
        return z.T @ x + pull * d

    def condition(r: Tensor) -> Tensor:
        return torch.cholesky_solve(r.T, factor).T

    step, residual = torch.zeros_like(gradient), gradient
    better = condition(residual)
    direction, product_ = better, (residual * better).sum()
    enough = 0.1 * gradient.norm()
    for _ in range(INNER):
        curved = curvature(direction)
        along = product_ / (direction * curved).sum()
        step = step + along * direction
        residual = residual - along * curved
        if residual.norm() <= enough:
            break
        better = condition(residual)
        last, product_ = product_, (residual * better).sum()
        direction = better + (product_ / last) * direction
    return step


def balanced(label: Tensor, weight: Tensor, classes: int) -> Tensor:
    """Return weights with which every class that was painted counts the same."""
    sums = torch.zeros(classes, device=label.device).index_add_(0, label, weight)
    return weight / sums[label]


def chosen(label: Tensor, generator: torch.Generator, most: int = MOST) -> Tensor:
    """Return the indices, ascending, of at most so many samples of each class, drawn at random."""
    kept = []
    for value in label.unique().tolist():
        (at,) = (label == value).nonzero(as_tuple=True)
        if len(at) > most:
            at = at[torch.randperm(len(at), generator=generator)[:most]]
        kept.append(at)
    return torch.cat(kept).sort().values if kept else torch.zeros(0, dtype=torch.int64)


def write(net: Taught, head: Linear) -> None:
    """Put a head for features as they are into a network."""
    with torch.no_grad():
        parts = head.weight.split([width for _, width in net.widths], dim=1)
        for conv, part in zip(net.scorers, parts, strict=True):
            conv.weight.copy_(part.reshape(conv.weight.shape))
        assert net.scorers[0].bias is not None
        net.scorers[0].bias.copy_(head.bias)


def read(net: Taught) -> Linear:
    """Return the head of a network, for features as they are."""
    weight = torch.cat([conv.weight.detach().flatten(1) for conv in net.scorers], dim=1)
    bias = net.scorers[0].bias
    assert bias is not None
    return Linear(weight, bias.detach().clone())
