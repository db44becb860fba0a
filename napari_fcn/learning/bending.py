"""A second look at the strokes: a random forest, and a few hidden units that answer as it does."""

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

TREES, GROWN = 50, 10  # in all, and between two pauses
DOUBT = 0.01  # least probability of a class: leaves of few samples are surer than they may be
STEPS, TAKEN = 240, 40  # in all, and between two pauses
BATCH = 512
RATE, DECAY = 5e-3, 1e-3


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
    """

    rows: Tensor
    label: Tensor
    share: Tensor


def bend(
    lesson: Lesson, free: Tensor, straight: Head, units: int, weight: float, seed: int
) -> Generator[None, None, Bend | None]:
    """Return what bends a linear head so that it answers as it does together with a random forest.

    A forest (Breiman 2001) on many features learns from strokes what a linear head cannot, and errs elsewhere: the
    product of both is better than either. It does not fit into a network, and its answer jumps; so a hidden layer
    learns to answer as the product does, also at pixels that nobody has painted (Bucila et al. 2006; Hinton et al.
    2015). Pauses now and then, so that who waits for something else can stop it.

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
        Of the forest beside the linear head.
    seed : int
        Of all draws.
    """
    if len(lesson.label.unique()) < 2 or not weight or not units:
        return straight.bend
    rows = torch.cat([free, lesson.rows])
    votes = yield from _votes(lesson, rows, len(straight.linear.bias), seed)
    both = straight.logits(rows).log_softmax(1) + weight * votes.clamp(min=DOUBT).log()
    return (yield from _distilled(both.softmax(1), rows, straight.linear, _drawn(units, rows.shape[1], seed)))


def _votes(lesson: Lesson, rows: Tensor, classes: int, seed: int) -> Generator[None, None, Tensor]:
    """Return the class probabilities ``(n, classes)`` that a forest gives; none to a class that it has not seen."""
    from sklearn.ensemble import RandomForestClassifier  # a second that only those wait who teach

    known, label, weight = (part.cpu().numpy() for part in (lesson.rows, lesson.label, lesson.share))
    trees: Any = RandomForestClassifier(n_jobs=1, warm_start=True, random_state=seed)
    for count in range(GROWN, TREES + 1, GROWN):
        trees.set_params(n_estimators=count).fit(known, label, weight * (len(weight) / weight.sum()))
        yield
    votes = np.zeros((len(rows), classes), np.float32)
    votes[:, trees.classes_] = trees.predict_proba(rows.cpu().numpy())
    return torch.from_numpy(votes).to(rows.device)


def _distilled(wanted: Tensor, rows: Tensor, linear: Linear, hidden: Linear) -> Generator[None, None, Bend]:
    """Return the bend with which a linear head gives the wanted probabilities ``(n, classes)`` at rows ``(n, F)``."""
    draw = torch.Generator().manual_seed(len(rows))
    weight, bias = (nn.Parameter(part.to(rows.device)) for part in (hidden.weight, hidden.bias))
    mix = nn.Parameter(torch.zeros(wanted.shape[1], len(bias), device=rows.device))
    given = linear.logits(rows)
    optimiser = torch.optim.AdamW([weight, bias, mix], lr=RATE, weight_decay=DECAY)
    slower = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 1 / STEPS, STEPS)
    for step in range(1, STEPS + 1):
        at = torch.randint(len(rows), (BATCH,), generator=draw).to(rows.device)
        bent = Bend(Linear(weight, bias), mix).logits(rows[at])
        optimiser.zero_grad()
        F.cross_entropy(given[at] + bent, wanted[at]).backward()
        optimiser.step()
        slower.step()
        if step % TAKEN == 0:
            yield
    return Bend(Linear(weight.detach(), bias.detach()), mix.detach())


def _drawn(units: int, features: int, seed: int) -> Linear:
    """Return random hidden units, as wide as their inputs allow (LeCun et al. 1998)."""
    draw, reach = torch.Generator().manual_seed(seed), features**-0.5
    weight, bias = torch.empty(units, features), torch.empty(units)
    return Linear(weight.uniform_(-reach, reach, generator=draw), bias.uniform_(-reach, reach, generator=draw))
