"""Weights of samples, and strength of the prior, in a fit of the head."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from torch.nn.functional import cross_entropy

if TYPE_CHECKING:
    import numpy.typing as npt
    from torch import Tensor

    from napari_fcn.learning.annotations import Samples

RIDGE = 2e-2  # ridge towards the prior, at a prior strength of 0.5
RIDGE_RANGE = 30.0  # factor by which the ridge is stronger at 1 and weaker at 0
FULL_PRIOR_STROKES = 6  # number of strokes up to which the ridge is constant; above, it falls
PRIOR_SCALES = (0.0, 0.25, 0.5, 1.0)  # compared factors of the prior
NEWEST_WEIGHT = 2.0  # relative weight of samples of the latest turn


def ridge_strength(samples: Samples, prior_strength: float) -> float:
    """Return the ridge of a fit to samples, for a prior strength of 0 to 1."""
    strength: float = (
        RIDGE
        * RIDGE_RANGE ** (2 * prior_strength - 1)
        * min(1.0, FULL_PRIOR_STROKES / len(np.unique(_stroke_groups(samples))))
    )
    return strength


def prior_scale(logits: Tensor, y: Tensor, sample_weight: Tensor) -> float:
    """Return the factor by which to scale the prior: that with the lowest loss on the samples.

    A model that was trained on other images may predict the opposite of the strokes.
    """
    losses = [float((cross_entropy(s * logits, y, reduction="none") * sample_weight).sum()) for s in PRIOR_SCALES]
    return PRIOR_SCALES[int(np.argmin(losses))]


def sample_weights(samples: Samples) -> npt.NDArray[np.float32]:
    """Return ``(n,)`` float32: the weight of each sample within its class.

    A stroke counts as the square root of its length, because its pixels are similar; the latest strokes count more.
    """
    _, group, counts = np.unique(_stroke_groups(samples), return_inverse=True, return_counts=True)
    weight = 1 / np.sqrt(counts[group])
    return np.where(samples.turn == samples.turn.max(), NEWEST_WEIGHT * weight, weight).astype(np.float32)


def _stroke_groups(samples: Samples) -> npt.NDArray[np.int64]:
    """Return ``(n,)`` int64: a unique number for each pair of class and turn, which approximates a stroke."""
    return samples.turn.astype(np.int64) * 256 + samples.class_index
