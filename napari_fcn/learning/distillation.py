"""Fits two forests of randomised trees to strokes and distils them into a hidden layer of the head."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from napari_fcn.learning.head import HiddenLayer, LinearHead

if TYPE_CHECKING:
    from collections.abc import Generator

    from torch import Tensor

    from napari_fcn.learning.head import Head

N_TREES = 15  # in each forest
SAMPLES_PER_PAUSE = 2000  # predicted between two pauses
MAX_FEATURES = 1 / 8  # fraction of the features that are tried at each split
FOREST_WEIGHT = 4.0  # relative to the linear head, at a prior strength of 0
MIN_PROBABILITY = 0.01  # of a class in a forest: leaves with few samples are overconfident
N_STEPS, STEPS_PER_PAUSE = 120, 8  # of the optimiser: in all, and between two pauses
BATCH_SIZE = 512
LEARNING_RATE, WEIGHT_DECAY = 1e-2, 1e-3
N_COMPONENTS = 64  # principal components that the hidden layer is trained on


@dataclass(frozen=True, slots=True, eq=False)
class TrainingBatch:
    """Samples to fit a head to.

    Attributes
    ----------
    features : Tensor
        ``(n, F)`` features.
    class_index : Tensor
        ``(n,)`` int64 class indices.
    sample_weight : Tensor
        ``(n,)`` weight of each sample.
    n_handcrafted : int
        Number of handcrafted features; they come first.
    """

    features: Tensor
    class_index: Tensor
    sample_weight: Tensor
    n_handcrafted: int


def distill(
    batch: TrainingBatch, unlabeled: Tensor, head: Head, n_units: int, forest_weight: float, seed: int
) -> Generator[None, None, HiddenLayer | None]:
    """Return a hidden layer with which a linear head predicts the product of its own and two forests' probabilities.

    Extremely randomised trees (Geurts et al. 2006) learn nonlinear boundaries and make other errors than a linear
    head; the product of both is better than either. Half of the trees use the handcrafted features only: these are few,
    and would rarely be sampled at a split among the features of a network. Trees cannot be stored in a network, and
    their prediction is not smooth; so a hidden layer is trained to predict the product, also on unlabelled pixels
    (knowledge distillation: Bucila et al. 2006; Hinton et al. 2015). The generator pauses often.

    Parameters
    ----------
    batch : TrainingBatch
        Samples with standardised features. With fewer than two classes the hidden layer of ``head`` is returned.
    unlabeled : Tensor
        ``(m, F)`` standardised features of unlabelled pixels.
    head : Head
        The linear head that was fitted to the samples, with its hidden layer if it had one.
    n_units : int
        Size of the hidden layer.
    forest_weight : float
        Weight of the forests relative to the linear head.
    seed : int
        Seed of all random numbers.
    """
    if len(batch.class_index.unique()) < 2 or not forest_weight or not n_units:
        return head.hidden
    features = torch.cat([unlabeled, batch.features])
    subsets, n_classes = column_sets(batch), len(head.linear.bias)
    probabilities = torch.zeros(len(features), n_classes, device=features.device)
    for columns in subsets:
        probabilities += (
            yield from _forest_probabilities(batch, features, columns, n_classes, 2 * N_TREES // len(subsets), seed)
        ) / len(subsets)
    product = head.logits(features).log_softmax(1) + forest_weight * probabilities.clamp(min=MIN_PROBABILITY).log()
    return (yield from _fit_hidden(product.softmax(1), features, head.linear, n_units, seed))


def column_sets(batch: TrainingBatch) -> list[slice]:
    """Return the features of each forest: all, and the handcrafted ones if there are others."""
    width = batch.features.shape[1]
    return [slice(width)] if batch.n_handcrafted in (0, width) else [slice(width), slice(batch.n_handcrafted)]


def _forest_probabilities(
    batch: TrainingBatch, features: Tensor, columns: slice, n_classes: int, n_trees: int, seed: int
) -> Generator[None, None, Tensor]:
    """Return the class probabilities ``(n, classes)`` of a forest on some columns; 0 for classes without samples."""
    from sklearn.ensemble import ExtraTreesClassifier  # takes a second to import

    X, y, sample_weight = (
        part.cpu().numpy() for part in (batch.features[:, columns], batch.class_index, batch.sample_weight)
    )
    forest: Any = ExtraTreesClassifier(max_features=MAX_FEATURES, n_jobs=1, warm_start=True, random_state=seed)
    for n_grown in range(1, n_trees + 1):
        forest.set_params(n_estimators=n_grown).fit(X, y, sample_weight * (len(sample_weight) / sample_weight.sum()))
        yield
    probabilities = np.zeros((len(features), n_classes), np.float32)
    for first in range(0, len(features), SAMPLES_PER_PAUSE):
        part = slice(first, first + SAMPLES_PER_PAUSE)
        probabilities[part, forest.classes_] = forest.predict_proba(features[part, columns].cpu().numpy())
        yield
    return torch.from_numpy(probabilities).to(features.device)


def _fit_hidden(
    target: Tensor, features: Tensor, linear: LinearHead, n_units: int, seed: int
) -> Generator[None, None, HiddenLayer]:
    """Return the hidden layer with which a linear head predicts ``target``, ``(n, classes)``, from features."""
    linear_logits, directions = linear.logits(features), (yield from _principal_directions(features))
    projected, rng = features @ directions, torch.Generator().manual_seed(seed)
    yield
    weight, bias = (nn.Parameter(part.to(features.device)) for part in _random_layer(n_units, projected.shape[1], rng))
    output_weights = nn.Parameter(torch.zeros(target.shape[1], n_units, device=features.device))
    optimiser = torch.optim.AdamW([weight, bias, output_weights], lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 1 / N_STEPS, N_STEPS)
    for step in range(1, N_STEPS + 1):
        index = torch.randint(len(features), (BATCH_SIZE,), generator=rng).to(features.device)
        hidden_logits = HiddenLayer(LinearHead(weight, bias), output_weights).logits(projected[index])
        optimiser.zero_grad()
        F.cross_entropy(linear_logits[index] + hidden_logits, target[index]).backward()
        optimiser.step()
        schedule.step()
        if step % STEPS_PER_PAUSE == 0:
            yield
    return HiddenLayer(LinearHead(weight.detach() @ directions.T, bias.detach()), output_weights.detach())


def _principal_directions(features: Tensor) -> Generator[None, None, Tensor]:
    """Return the unit vectors ``(F, N_COMPONENTS)`` along which features vary most."""
    scatter = torch.zeros(features.shape[1], features.shape[1], device=features.device)
    for part in features.split(SAMPLES_PER_PAUSE):
        scatter.addmm_(part.T, part)
        yield
    _, vectors = torch.linalg.eigh(scatter)
    yield
    directions: Tensor = vectors[:, -N_COMPONENTS:]
    return directions


def _random_layer(n_units: int, n_inputs: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return random weights and biases, uniform with a bound of ``n_inputs**-0.5`` (LeCun et al. 1998)."""
    bound = n_inputs**-0.5
    weight, bias = torch.empty(n_units, n_inputs), torch.empty(n_units)
    return weight.uniform_(-bound, bound, generator=rng), bias.uniform_(-bound, bound, generator=rng)
