"""How much counts what a head learns from: what the model knew before, and each stroke."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from torch.nn.functional import cross_entropy

if TYPE_CHECKING:
    import numpy.typing as npt
    from torch import Tensor

    from napari_fcn.learning.annotations import Samples

RIDGE = 2e-2  # pull of the head towards what the model knew, at the slider's middle
RIDGE_RANGE = 30.0  # at its ends the pull is so many times stronger or weaker
FULL_PRIOR_STROKES = 6  # strokes up to which the pull is full; the more there are, the less it weighs beside them
PRIOR_SCALES = (0.0, 0.25, 0.5, 1.0)  # shares of what the model knew that are compared
NEWEST_WEIGHT = 2.0  # weight of a sample of the latest turn


def ridge_strength(samples: Samples, prior_strength: float) -> float:
    """Return how strongly the head is pulled to what the model knew, for a slider from 0 to 1."""
    strength: float = (
        RIDGE
        * RIDGE_RANGE ** (2 * prior_strength - 1)
        * min(1.0, FULL_PRIOR_STROKES / len(np.unique(_stroke_groups(samples))))
    )
    return strength


def prior_scale(logits: Tensor, y: Tensor, sample_weight: Tensor) -> float:
    """Return how much of what the model knew helps to explain the strokes: what the head is pulled to is scaled by it.

    A model that was trained on something else may know the opposite of what is taught here.
    """
    losses = [float((cross_entropy(t * logits, y, reduction="none") * sample_weight).sum()) for t in PRIOR_SCALES]
    return PRIOR_SCALES[int(np.argmin(losses))]


def sample_weights(samples: Samples) -> npt.NDArray[np.float32]:
    """Return the weight of each sample in its class: the square root of a stroke's length counts, and the newest more.

    Pixels of one stroke say much the same: ten strokes tell more than one that is ten times as long.
    """
    _, group, counts = np.unique(_stroke_groups(samples), return_inverse=True, return_counts=True)
    weight = 1 / np.sqrt(counts[group])
    return np.where(samples.turn == samples.turn.max(), NEWEST_WEIGHT * weight, weight).astype(np.float32)


def _stroke_groups(samples: Samples) -> npt.NDArray[np.int64]:
    """Return a number for each sample that it shares with those of its class and turn: of one stroke, more or less."""
    return samples.turn.astype(np.int64) * 256 + samples.class_index
