"""The instant answer: a linear head fitted to all strokes in milliseconds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from napari_fcn.learning.cancellation import ended
from napari_fcn.learning.head import Linear

if TYPE_CHECKING:
    from collections.abc import Generator

    from torch import Tensor

MOST = 500  # samples of a class that one fit looks at
NEWTON = 12  # Newton steps at most
INNER = 12  # steps of conjugate gradients in each
GOOD = 1e-3  # relative gradient at which a fit ends
SOON = 1e-2  # the same for an answer that is to be looked at a second time: probabilities are right to some hundredths
ROUNDING = 1e-5  # share of its diagonal by which a preconditioner in float32 is kept from being singular


def fit(
    rows: Tensor, label: Tensor, share: Tensor, prior: Linear, ridge: float, besides: Tensor | None = None
) -> Linear:
    """Return the head that explains the samples best, as `fitting` does, without a pause."""
    return ended(fitting(rows, label, share, prior, ridge, besides))


def fitting(
    rows: Tensor,
    label: Tensor,
    share: Tensor,
    prior: Linear,
    ridge: float,
    besides: Tensor | None = None,
    good: float = GOOD,
) -> Generator[None, None, Linear]:
    """Return the head that explains the samples best, pulled towards ``prior``; pauses before each Newton step.

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
    besides : Tensor, optional
        ``(n, classes)`` logits that something else adds.
    good : float
        Relative gradient at which to end.
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
    added = torch.zeros_like(truth) if besides is None else besides

    def loss(w: Tensor) -> Tensor:
        entropy = torch.nn.functional.cross_entropy(torch.addmm(added, x, w.T), label, reduction="none")
        return (entropy * share).sum() + 0.5 * (pull * (w - centre).square()).sum()

    value, first = loss(w), None
    for _ in range(NEWTON):
        p = torch.addmm(added, x, w.T).softmax(1)
        gradient = ((p - truth) * share[:, None]).T @ x + pull * (w - centre)
        size = gradient.norm()
        first = size if first is None else first
        if size <= good * first.clamp(min=1e-3):
            break
        yield
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
