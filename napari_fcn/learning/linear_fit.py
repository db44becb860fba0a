"""Logistic regression by Newton's method: fits a linear head to all strokes in milliseconds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from napari_fcn.learning.cancellation import run_to_end
from napari_fcn.learning.head import LinearHead

if TYPE_CHECKING:
    from collections.abc import Generator

    from torch import Tensor

MAX_SAMPLES = 500  # of each class in one fit
MAX_NEWTON = 12  # Newton steps
MAX_CG = 12  # conjugate gradient steps in each of them
TOL = 1e-3  # relative gradient at which a fit ends
QUICK_TOL = (
    1e-2  # the same for an answer that is to be looked at a second time: probabilities are right to some hundredths
)
ROUNDING = 1e-5  # relative to the largest diagonal entry; keeps a preconditioner in float32 regular


def fit_linear(
    X: Tensor, y: Tensor, sample_weight: Tensor, prior: LinearHead, ridge: float, offset: Tensor | None = None
) -> LinearHead:
    """Return the head that fits the samples best; as `fit_steps`, without pausing."""
    return run_to_end(fit_steps(X, y, sample_weight, prior, ridge, offset))


def fit_steps(
    X: Tensor,
    y: Tensor,
    sample_weight: Tensor,
    prior: LinearHead,
    ridge: float,
    offset: Tensor | None = None,
    tol: float = TOL,
) -> Generator[None, None, LinearHead]:
    """Return the head that fits the samples best, regularised towards ``prior``; pauses before each Newton step.

    Minimises weighted multinomial cross entropy plus ``ridge / 2`` times the squared distance of the weights from the
    prior's, by Newton's method; each step is solved by conjugate gradients with Bohning's (1992) bound on the Hessian
    as preconditioner, which is the same for all classes and factorised once.

    Parameters
    ----------
    X : Tensor
        ``(n, F)`` standardised features.
    y : Tensor
        ``(n,)`` int64 class indices.
    sample_weight : Tensor
        ``(n,)`` weight of each sample; normalised to a sum of one.
    prior : LinearHead
        The head to regularise towards; its bias has a thousandth of the ridge.
    ridge : float
        Strength of the regularisation.
    offset : Tensor, optional
        ``(n, classes)`` logits that are added to those of the head.
    tol : float
        The fit ends when the norm of the gradient, relative to the first one, is below.
    """
    sample_weight = sample_weight / sample_weight.sum()
    ones = torch.ones(len(X), 1, device=X.device)
    x = torch.cat([X, ones], dim=1)
    centre = torch.cat([prior.weight, prior.bias[:, None]], dim=1)
    w = centre  # not the last fit: the same strokes must give the same head, whatever was painted in between
    pull = torch.full((x.shape[1],), ridge, device=X.device)
    pull[-1] = ridge * 1e-3
    bound = 0.5 * (x.T * sample_weight) @ x
    bound.diagonal().add_(pull + ROUNDING * bound.diagonal().max())
    factor = torch.linalg.cholesky(bound)
    truth = torch.nn.functional.one_hot(y, w.shape[0]).to(x.dtype)
    added = torch.zeros_like(truth) if offset is None else offset

    def loss(w: Tensor) -> Tensor:
        entropy = torch.nn.functional.cross_entropy(torch.addmm(added, x, w.T), y, reduction="none")
        return (entropy * sample_weight).sum() + 0.5 * (pull * (w - centre).square()).sum()

    value, initial_size = loss(w), None
    for _ in range(MAX_NEWTON):
        p = torch.addmm(added, x, w.T).softmax(1)
        gradient = ((p - truth) * sample_weight[:, None]).T @ x + pull * (w - centre)
        size = gradient.norm()
        initial_size = size if initial_size is None else initial_size
        if size <= tol * initial_size.clamp(min=1e-3):
            break
        yield
        step = _solve(x, p, sample_weight, pull, gradient, factor)
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
    return LinearHead(w[:, :-1].contiguous(), w[:, -1].contiguous())


def _solve(
    x: Tensor, p: Tensor, sample_weight: Tensor, ridge_weights: Tensor, gradient: Tensor, factor: Tensor
) -> Tensor:
    """Return the Newton step for this gradient by conjugate gradients (Nocedal & Wright 2006, algorithm 7.1)."""

    def curvature(d: Tensor) -> Tensor:
        z = x @ d.T
        z = p * (z - (p * z).sum(1, keepdim=True)) * sample_weight[:, None]
        return z.T @ x + ridge_weights * d

    def condition(r: Tensor) -> Tensor:
        return torch.cholesky_solve(r.T, factor).T

    step, residual = torch.zeros_like(gradient), gradient
    preconditioned = condition(residual)
    direction, product_ = preconditioned, (residual * preconditioned).sum()
    tolerance = 0.1 * gradient.norm()
    for _ in range(MAX_CG):
        curved = curvature(direction)
        along = product_ / (direction * curved).sum()
        step = step + along * direction
        residual = residual - along * curved
        if residual.norm() <= tolerance:
            break
        preconditioned = condition(residual)
        last, product_ = product_, (residual * preconditioned).sum()
        direction = preconditioned + (product_ / last) * direction
    return step


def balance_classes(y: Tensor, sample_weight: Tensor, n_classes: int) -> Tensor:
    """Return sample weights with which each class in ``y`` has a total weight of one."""
    sums = torch.zeros(n_classes, device=y.device).index_add_(0, y, sample_weight)
    return sample_weight / sums[y]


def subsample(y: Tensor, rng: torch.Generator, max_samples: int = MAX_SAMPLES) -> Tensor:
    """Return the indices, ascending, of at most ``max_samples`` random samples of each class."""
    kept = []
    for value in y.unique().tolist():
        (at,) = (y == value).nonzero(as_tuple=True)
        if len(at) > max_samples:
            at = at[torch.randperm(len(at), generator=rng)[:max_samples]]
        kept.append(at)
    return torch.cat(kept).sort().values if kept else torch.zeros(0, dtype=torch.int64)
