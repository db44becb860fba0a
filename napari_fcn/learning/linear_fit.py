"""Logistic regression by Newton's method: fits a linear head to all strokes in milliseconds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from napari_fcn.learning.head import LinearHead

if TYPE_CHECKING:
    from collections.abc import Generator

    from torch import Tensor

MAX_SAMPLES = 500  # of each class in one fit
MAX_NEWTON = 12  # Newton steps
MAX_CG = 12  # conjugate gradient steps in each of them
TOL = 1e-3  # relative gradient at which a fit ends
QUICK_TOL = 1e-2  # the same for a preliminary fit: probabilities are accurate to a few hundredths
ROUNDING = 1e-5  # relative to the largest diagonal entry; keeps a preconditioner in float32 regular


def fit_steps(
    X: Tensor,
    y: Tensor,
    sample_weight: Tensor,
    prior: LinearHead,
    ridge: float,
    offset: Tensor | None = None,
    tol: float = TOL,
) -> Generator[None, None, LinearHead]:
    """Return the head fitted to samples and regularised towards ``prior``; pauses before each Newton step.

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
        The fit ends when the norm of the gradient relative to the first one falls below this.
    """
    sample_weight = sample_weight / sample_weight.sum()
    ones = torch.ones(len(X), 1, device=X.device)
    x = torch.cat([X, ones], dim=1)
    centre = torch.cat([prior.weight, prior.bias[:, None]], dim=1)
    w = centre  # not the last fit: the same strokes must always give the same head
    ridges = torch.full((x.shape[1],), ridge, device=X.device)
    ridges[-1] = ridge * 1e-3
    bound = 0.5 * (x.T * sample_weight) @ x
    bound.diagonal().add_(ridges + ROUNDING * bound.diagonal().max())
    factor = torch.linalg.cholesky(bound)
    one_hot = torch.nn.functional.one_hot(y, w.shape[0]).to(x.dtype)
    offset_logits = torch.zeros_like(one_hot) if offset is None else offset

    def loss(w: Tensor) -> tuple[Tensor, Tensor]:
        logits = torch.addmm(offset_logits, x, w.T)
        entropy = torch.nn.functional.cross_entropy(logits, y, reduction="none")
        return (entropy * sample_weight).sum() + 0.5 * (ridges * (w - centre).square()).sum(), logits

    (value, logits), initial_norm = loss(w), None
    for _ in range(MAX_NEWTON):
        p = logits.softmax(1)
        gradient = ((p - one_hot) * sample_weight[:, None]).T @ x + ridges * (w - centre)
        norm = gradient.norm()
        initial_norm = norm if initial_norm is None else initial_norm
        if norm <= tol * initial_norm.clamp(min=1e-3):
            break
        yield
        step = _solve(x, p, sample_weight, ridges, gradient, factor)
        slope = (gradient * step).sum()
        step_size = 1.0
        for _ in range(12):
            trial, trial_logits = loss(w - step_size * step)
            if trial <= value - 1e-4 * step_size * slope:
                break
            step_size /= 2
        else:
            break
        w, value, logits = w - step_size * step, trial, trial_logits
    return LinearHead(w[:, :-1].contiguous(), w[:, -1].contiguous())


def _solve(x: Tensor, p: Tensor, sample_weight: Tensor, ridges: Tensor, gradient: Tensor, factor: Tensor) -> Tensor:
    """Return the Newton step for this gradient by conjugate gradients (Nocedal & Wright 2006, algorithm 7.1)."""

    def curvature(d: Tensor) -> Tensor:
        z = x @ d.T
        z = p * (z - (p * z).sum(1, keepdim=True)) * sample_weight[:, None]
        return z.T @ x + ridges * d

    def condition(r: Tensor) -> Tensor:
        return torch.cholesky_solve(r.T, factor).T

    step, residual = torch.zeros_like(gradient), gradient
    preconditioned = condition(residual)
    direction, squared_norm = preconditioned, (residual * preconditioned).sum()
    tolerance = 0.1 * gradient.norm()
    for _ in range(MAX_CG):
        curved = curvature(direction)
        alpha = squared_norm / (direction * curved).sum()
        step = step + alpha * direction
        residual = residual - alpha * curved
        if residual.norm() <= tolerance:
            break
        preconditioned = condition(residual)
        last_squared_norm, squared_norm = squared_norm, (residual * preconditioned).sum()
        direction = preconditioned + (squared_norm / last_squared_norm) * direction
    return step


def balance_classes(y: Tensor, sample_weight: Tensor, n_classes: int) -> Tensor:
    """Return sample weights that sum to one for each class in ``y``."""
    sums = torch.zeros(n_classes, device=y.device).index_add_(0, y, sample_weight)
    return sample_weight / sums[y]


def subsample(y: Tensor, rng: torch.Generator, max_samples: int = MAX_SAMPLES) -> Tensor:
    """Return the indices, ascending, of at most ``max_samples`` random samples of each class."""
    indices = []
    for value in y.unique().tolist():
        (index,) = (y == value).nonzero(as_tuple=True)
        if len(index) > max_samples:
            index = index[torch.randperm(len(index), generator=rng)[:max_samples]]
        indices.append(index)
    return torch.cat(indices).sort().values if indices else torch.zeros(0, dtype=torch.int64)
