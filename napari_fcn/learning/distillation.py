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

TREES = 15  # in a forest
MAX_TEACHER_SAMPLES = 2000  # pixels that are looked at between two pauses
TRIED = 1 / 8  # share of the features that a split of a tree chooses from
STRENGTH = 4.0  # of the forests beside the linear head, where the slider lets it go farthest
DOUBT = 0.01  # least probability of a class: leaves of few samples are surer than they may be
STEPS, TAKEN = 120, 8  # in all, and between two pauses
BATCH = 512
RATE, DECAY = 1e-2, 1e-3
DIRECTIONS = 64  # in which features vary most, and which hidden units look along


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
    linear: int


def distill(
    batch: TrainingBatch, unlabeled: Tensor, straight: Head, units: int, weight: float, seed: int
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
    if len(batch.class_index.unique()) < 2 or not weight or not units:
        return straight.hidden
    rows = torch.cat([unlabeled, batch.features])
    seen, classes = feature_views(batch), len(straight.linear.bias)
    votes = torch.zeros(len(rows), classes, device=rows.device)
    for view in seen:
        votes += (yield from _forest_probabilities(batch, rows, view, classes, 2 * TREES // len(seen), seed)) / len(
            seen
        )
    both = straight.logits(rows).log_softmax(1) + weight * votes.clamp(min=DOUBT).log()
    return (yield from _fit_hidden(both.softmax(1), rows, straight.linear, units, seed))


def feature_views(batch: TrainingBatch) -> list[slice]:
    """Return which features each forest sees: all, and the plain ones if there are others."""
    width = batch.features.shape[1]
    return [slice(width)] if batch.linear in (0, width) else [slice(width), slice(batch.linear)]


def _forest_probabilities(
    batch: TrainingBatch, features: Tensor, view: slice, classes: int, trees: int, seed: int
) -> Generator[None, None, Tensor]:
    """Return the class probabilities ``(n, classes)`` of a forest on some features; none of a class it has not seen."""
    from sklearn.ensemble import ExtraTreesClassifier  # a second that only those wait who teach

    known, label, weight = (
        part.cpu().numpy() for part in (batch.features[:, view], batch.class_index, batch.sample_weight)
    )
    forest: Any = ExtraTreesClassifier(max_features=TRIED, n_jobs=1, warm_start=True, random_state=seed)
    for grown in range(1, trees + 1):
        forest.set_params(n_estimators=grown).fit(known, label, weight * (len(weight) / weight.sum()))
        yield
    votes = np.zeros((len(features), classes), np.float32)
    for first in range(0, len(features), MAX_TEACHER_SAMPLES):
        part = slice(first, first + MAX_TEACHER_SAMPLES)
        votes[part, forest.classes_] = forest.predict_proba(features[part, view].cpu().numpy())
        yield
    return torch.from_numpy(votes).to(features.device)


def _fit_hidden(
    target: Tensor, features: Tensor, linear: LinearHead, units: int, seed: int
) -> Generator[None, None, HiddenLayer]:
    """Return the bend with which a linear head gives the wanted probabilities ``(n, classes)`` at rows ``(n, F)``."""
    given, along = linear.logits(features), (yield from _directions(features))
    seen, draw = features @ along, torch.Generator().manual_seed(seed)
    yield
    weight, bias = (nn.Parameter(part.to(features.device)) for part in _random_layer(units, seen.shape[1], draw))
    mix = nn.Parameter(torch.zeros(target.shape[1], units, device=features.device))
    optimiser = torch.optim.AdamW([weight, bias, mix], lr=RATE, weight_decay=DECAY)
    slower = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 1 / STEPS, STEPS)
    for step in range(1, STEPS + 1):
        at = torch.randint(len(features), (BATCH,), generator=draw).to(features.device)
        bent = HiddenLayer(LinearHead(weight, bias), mix).logits(seen[at])
        optimiser.zero_grad()
        F.cross_entropy(given[at] + bent, target[at]).backward()
        optimiser.step()
        slower.step()
        if step % TAKEN == 0:
            yield
    return HiddenLayer(LinearHead(weight.detach() @ along.T, bias.detach()), mix.detach())


def _directions(features: Tensor) -> Generator[None, None, Tensor]:
    """Return the directions ``(F, DIRECTIONS)`` in which features vary most, of length one."""
    scatter = torch.zeros(features.shape[1], features.shape[1], device=features.device)
    for part in features.split(MAX_TEACHER_SAMPLES):
        scatter.addmm_(part.T, part)
        yield
    _, vectors = torch.linalg.eigh(scatter)
    yield
    along: Tensor = vectors[:, -DIRECTIONS:]
    return along


def _random_layer(units: int, inputs: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return the weights and biases of random units, as wide as their inputs allow (LeCun et al. 1998)."""
    reach = inputs**-0.5
    weight, bias = torch.empty(units, inputs), torch.empty(units)
    return weight.uniform_(-reach, reach, generator=rng), bias.uniform_(-reach, reach, generator=rng)
