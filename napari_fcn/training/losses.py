"""Loss functions for training."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F

from napari_fcn.learning.labels import IGNORE

if TYPE_CHECKING:
    from torch import Tensor


def cross_entropy_and_dice(logits: Tensor, target: Tensor, weights: Tensor | None = None) -> Tensor:
    """Return class-weighted cross entropy plus soft Dice loss (Milletari et al. 2016) over the labelled pixels.

    Parameters
    ----------
    logits : Tensor
        ``(N, classes, *space)``.
    target : Tensor
        ``(N, *space)`` class indices; `IGNORE` for unlabelled pixels.
    weights : Tensor, optional
        ``(classes,)``, weight of each class.
    """
    logits = logits.float()
    is_labelled = target != IGNORE
    pixel_weights = is_labelled if weights is None else weights[target.where(is_labelled, 0)] * is_labelled
    entropy = F.cross_entropy(logits, target, weight=weights, ignore_index=IGNORE, reduction="sum")
    entropy = entropy / pixel_weights.sum().clamp(min=1e-6)  # a crop may have no labelled pixel
    probabilities = logits.softmax(1) * is_labelled.unsqueeze(1)
    one_hot = F.one_hot(target.where(is_labelled, 0), logits.shape[1]).movedim(-1, 1) * is_labelled.unsqueeze(1)
    summed_axes = [0, *range(2, logits.ndim)]
    overlap = (probabilities * one_hot).sum(summed_axes)
    dice = (2 * overlap + 1) / (probabilities.sum(summed_axes) + one_hot.sum(summed_axes) + 1)
    return entropy + 1 - dice.mean()


def class_weights(counts: Tensor, power: float = 0.25) -> Tensor:
    """Return class weights with mean one: a negative power of the frequency of each class.

    The fourth root suffices for thin classes; full balancing makes objects too wide.
    """
    weights = (counts.sum() / counts.clamp(min=1)) ** power
    weights[counts == 0] = 0
    return weights / weights[counts > 0].mean() if torch.any(counts > 0) else torch.ones_like(weights)
