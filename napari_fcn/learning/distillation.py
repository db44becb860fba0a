"""A second look at the strokes: two forests of random trees, and a few hidden units that answer as it does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from napari_fcn.learning.head import Bend, Linear

if TYPE_CHECKING:
    from collections.abc import Generator

    from torch import Tensor

    from napari_fcn.learning.head import Head

TREES = 15  # in a forest
ASKED = 2000  # pixels that are looked at between two pauses
TRIED = 1 / 8  # share of the features that a split of a tree chooses from
STRENGTH = 4.0  # of the forests beside the linear head, where the slider lets it go farthest
DOUBT = 0.01  # least probability of a class: leaves of few samples are surer than they may be
STEPS, TAKEN = 120, 8  # in all, and between two pauses
BATCH = 512
RATE, DECAY = 1e-2, 1e-3
DIRECTIONS = 64  # in which features vary most, and which hidden units look along


@dataclass(frozen=True, slots=True, eq=False)
class Lesson:
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

    rows: Tensor
    label: Tensor
    share: Tensor
    plain: int


def bend(
    lesson: Lesson, free: Tensor, straight: Head, units: int, weight: float, seed: int
) -> Generator[None, None, Bend | None]:
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
    if len(lesson.label.unique()) < 2 or not weight or not units:
        return straight.bend
    rows = torch.cat([free, lesson.rows])
    seen, classes = views(lesson), len(straight.linear.bias)
    votes = torch.zeros(len(rows), classes, device=rows.device)
    for view in seen:
        votes += (yield from _votes(lesson, rows, view, classes, 2 * TREES // len(seen), seed)) / len(seen)
    both = straight.logits(rows).log_softmax(1) + weight * votes.clamp(min=DOUBT).log()
    return (yield from _distilled(both.softmax(1), rows, straight.linear, units, seed))


def views(lesson: Lesson) -> list[slice]:
    """Return which features each forest sees: all, and the plain ones if there are others."""
    width = lesson.rows.shape[1]
    return [slice(width)] if lesson.plain in (0, width) else [slice(width), slice(lesson.plain)]


def _votes(
    lesson: Lesson, rows: Tensor, view: slice, classes: int, trees: int, seed: int
) -> Generator[None, None, Tensor]:
    """Return the class probabilities ``(n, classes)`` of a forest on some features; none of a class it has not seen."""
    from sklearn.ensemble import ExtraTreesClassifier  # a second that only those wait who teach

    known, label, weight = (part.cpu().numpy() for part in (lesson.rows[:, view], lesson.label, lesson.share))
    forest: Any = ExtraTreesClassifier(max_features=TRIED, n_jobs=1, warm_start=True, random_state=seed)
    for grown in range(1, trees + 1):
        forest.set_params(n_estimators=grown).fit(known, label, weight * (len(weight) / weight.sum()))
        yield
    votes = np.zeros((len(rows), classes), np.float32)
    for first in range(0, len(rows), ASKED):
        part = slice(first, first + ASKED)
        votes[part, forest.classes_] = forest.predict_proba(rows[part, view].cpu().numpy())
        yield
    return torch.from_numpy(votes).to(rows.device)


def _distilled(wanted: Tensor, rows: Tensor, linear: Linear, units: int, seed: int) -> Generator[None, None, Bend]:
    """Return the bend with which a linear head gives the wanted probabilities ``(n, classes)`` at rows ``(n, F)``."""
    given, along = linear.logits(rows), (yield from _directions(rows))
    seen, draw = rows @ along, torch.Generator().manual_seed(seed)
    yield
    weight, bias = (nn.Parameter(part.to(rows.device)) for part in _drawn(units, seen.shape[1], draw))
    mix = nn.Parameter(torch.zeros(wanted.shape[1], units, device=rows.device))
    optimiser = torch.optim.AdamW([weight, bias, mix], lr=RATE, weight_decay=DECAY)
    slower = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 1 / STEPS, STEPS)
    for step in range(1, STEPS + 1):
        at = torch.randint(len(rows), (BATCH,), generator=draw).to(rows.device)
        bent = Bend(Linear(weight, bias), mix).logits(seen[at])
        optimiser.zero_grad()
        F.cross_entropy(given[at] + bent, wanted[at]).backward()
        optimiser.step()
        slower.step()
        if step % TAKEN == 0:
            yield
    return Bend(Linear(weight.detach() @ along.T, bias.detach()), mix.detach())


def _directions(rows: Tensor) -> Generator[None, None, Tensor]:
    """Return the directions ``(F, DIRECTIONS)`` in which features vary most, of length one."""
    scatter = torch.zeros(rows.shape[1], rows.shape[1], device=rows.device)
    for part in rows.split(ASKED):
        scatter.addmm_(part.T, part)
        yield
    _, vectors = torch.linalg.eigh(scatter)
    yield
    along: Tensor = vectors[:, -DIRECTIONS:]
    return along


def _drawn(units: int, inputs: int, draw: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return the weights and biases of random units, as wide as their inputs allow (LeCun et al. 1998)."""
    reach = inputs**-0.5
    weight, bias = torch.empty(units, inputs), torch.empty(units)
    return weight.uniform_(-reach, reach, generator=draw), bias.uniform_(-reach, reach, generator=draw)
