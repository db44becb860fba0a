"""A second look at the strokes: two forests of random trees, and a few hidden units that answer as it does."""

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

N_TREES = 15  # in a forest
SAMPLES_PER_PAUSE = 2000  # pixels that are looked at between two pauses
MAX_FEATURES = 1 / 8  # share of the features that a split of a tree chooses from
FOREST_WEIGHT = 4.0  # of the forests beside the linear head, where the slider lets it go farthest
MIN_PROBABILITY = 0.01  # least probability of a class: leaves of few samples are surer than they may be
N_STEPS, STEPS_PER_PAUSE = 120, 8  # in all, and between two pauses
BATCH_SIZE = 512
LEARNING_RATE, WEIGHT_DECAY = 1e-2, 1e-3
N_COMPONENTS = 64  # in which features vary most, and which hidden units look along


@dataclass(frozen=True, slots=True, eq=False)
class TrainingBatch:
    """Samples to learn from.

    Attributes
    ----------
    rows : Tensor
        ``(n, F)`` standardised features.
    label : Tensor
        ``(n,)`` int64 class indices.
    share : Tensor
        ``(n,)`` weight of each sample.
    plain : int
        How many of the features, the first ones, do not come from a network.
    """

    features: Tensor
    class_index: Tensor
    sample_weight: Tensor
    n_handcrafted: int


def distill(
    batch: TrainingBatch, unlabeled: Tensor, head: Head, n_units: int, forest_weight: float, seed: int
) -> Generator[None, None, HiddenLayer | None]:
    """Return what bends a linear head so that it answers as it does together with two forests.

    Extremely randomised trees (Geurts et al. 2006) on many features learn from strokes what a linear head cannot, and
    err elsewhere: the product of both is better than either. Half of the trees see the plain features alone, which are
    few beside those of a network and would seldom be tried. They do not fit into a network, and their answer jumps; so
    a hidden layer learns to answer as the product does, also at pixels that nobody has painted (Bucila et al. 2006;
    Hinton et al. 2015). Pauses now and then, so that who waits for something else can stop it.

    Parameters
    ----------
    lesson : Lesson
        Samples of two classes or more; of fewer there is nothing to bend.
    free : Tensor
        ``(m, F)`` features of pixels that are not painted.
    straight : Head
        The linear head that was fitted to the samples, and what bent it before they were painted.
    units : int
        How many hidden units may bend it.
    weight : float
        Of the forests beside the linear head.
    seed : int
        Of all draws.
    """
    if len(batch.class_index.unique()) < 2 or not forest_weight or not n_units:
        return head.hidden
    rows = torch.cat([unlabeled, batch.features])
    seen, classes = column_sets(batch), len(head.linear.bias)
    votes = torch.zeros(len(rows), classes, device=rows.device)
    for view in seen:
        votes += (yield from _forest_probabilities(batch, rows, view, classes, 2 * N_TREES // len(seen), seed)) / len(
            seen
        )
    both = head.logits(rows).log_softmax(1) + forest_weight * votes.clamp(min=MIN_PROBABILITY).log()
    return (yield from _fit_hidden(both.softmax(1), rows, head.linear, n_units, seed))


def column_sets(batch: TrainingBatch) -> list[slice]:
    """Return which features each forest sees: all, and the plain ones if there are others."""
    width = batch.features.shape[1]
    return [slice(width)] if batch.n_handcrafted in (0, width) else [slice(width), slice(batch.n_handcrafted)]


def _forest_probabilities(
    batch: TrainingBatch, features: Tensor, columns: slice, classes: int, n_trees: int, seed: int
) -> Generator[None, None, Tensor]:
    """Return the class probabilities ``(n, classes)`` of a forest on some features; none of a class it has not seen."""
    from sklearn.ensemble import ExtraTreesClassifier  # a second that only those wait who teach

    known, label, weight = (
        part.cpu().numpy() for part in (batch.features[:, columns], batch.class_index, batch.sample_weight)
    )
    forest: Any = ExtraTreesClassifier(max_features=MAX_FEATURES, n_jobs=1, warm_start=True, random_state=seed)
    for grown in range(1, n_trees + 1):
        forest.set_params(n_estimators=grown).fit(known, label, weight * (len(weight) / weight.sum()))
        yield
    votes = np.zeros((len(features), classes), np.float32)
    for first in range(0, len(features), SAMPLES_PER_PAUSE):
        part = slice(first, first + SAMPLES_PER_PAUSE)
        votes[part, forest.classes_] = forest.predict_proba(features[part, columns].cpu().numpy())
        yield
    return torch.from_numpy(votes).to(features.device)


def _fit_hidden(
    target: Tensor, features: Tensor, linear: LinearHead, n_units: int, seed: int
) -> Generator[None, None, HiddenLayer]:
    """Return the bend with which a linear head gives the wanted probabilities ``(n, classes)`` at rows ``(n, F)``."""
    given, along = linear.logits(features), (yield from _principal_directions(features))
    seen, draw = features @ along, torch.Generator().manual_seed(seed)
    yield
    weight, bias = (nn.Parameter(part.to(features.device)) for part in _random_layer(n_units, seen.shape[1], draw))
    mix = nn.Parameter(torch.zeros(target.shape[1], n_units, device=features.device))
    optimiser = torch.optim.AdamW([weight, bias, mix], lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    slower = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 1 / N_STEPS, N_STEPS)
    for step in range(1, N_STEPS + 1):
        at = torch.randint(len(features), (BATCH_SIZE,), generator=draw).to(features.device)
        bent = HiddenLayer(LinearHead(weight, bias), mix).logits(seen[at])
        optimiser.zero_grad()
        F.cross_entropy(given[at] + bent, target[at]).backward()
        optimiser.step()
        slower.step()
        if step % STEPS_PER_PAUSE == 0:
            yield
    return HiddenLayer(LinearHead(weight.detach() @ along.T, bias.detach()), mix.detach())


def _principal_directions(features: Tensor) -> Generator[None, None, Tensor]:
    """Return the directions ``(F, DIRECTIONS)`` in which features vary most, of length one."""
    scatter = torch.zeros(features.shape[1], features.shape[1], device=features.device)
    for part in features.split(SAMPLES_PER_PAUSE):
        scatter.addmm_(part.T, part)
        yield
    _, vectors = torch.linalg.eigh(scatter)
    yield
    along: Tensor = vectors[:, -N_COMPONENTS:]
    return along


def _random_layer(n_units: int, n_inputs: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return the weights and biases of random units, as wide as their inputs allow (LeCun et al. 1998)."""
    reach = n_inputs**-0.5
    weight, bias = torch.empty(n_units, n_inputs), torch.empty(n_units)
    return weight.uniform_(-reach, reach, generator=rng), bias.uniform_(-reach, reach, generator=rng)
