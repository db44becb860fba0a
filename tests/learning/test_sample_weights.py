"""Weights of strokes, and strength and scale of the prior."""

import numpy as np
import pytest
import torch

from napari_fcn.learning.annotations import Samples
from napari_fcn.learning.sample_weights import (
    FULL_PRIOR_STROKES,
    NEWEST_WEIGHT,
    RIDGE,
    RIDGE_RANGE,
    prior_scale,
    ridge_strength,
    sample_weights,
)


def test_a_stroke_weighs_the_root_of_its_length_and_the_newest_more() -> None:
    shape = (10, 100)
    labels = np.zeros(shape, np.uint8)
    labels[0, :64] = 1
    first = Samples.from_labels(labels).with_turns(Samples.empty(shape), 1)
    labels[5, :4] = 1
    both = Samples.from_labels(labels).with_turns(first, 2)
    weight = sample_weights(both)
    assert weight[both.turn == 1].sum() == pytest.approx(8)
    assert weight[both.turn == 2].sum() == pytest.approx(NEWEST_WEIGHT * 2)


def test_the_ridge_falls_with_more_strokes_and_rises_with_the_prior_strength() -> None:
    shape = (40, 4)
    labels, samples, ridges = np.zeros(shape, np.uint8), Samples.empty(shape), []
    for turn in range(1, 2 * FULL_PRIOR_STROKES + 1):
        labels[turn] = 1
        samples = Samples.from_labels(labels).with_turns(samples, turn)
        ridges.append(ridge_strength(samples, 0.5))
    assert ridges[:FULL_PRIOR_STROKES] == [RIDGE] * FULL_PRIOR_STROKES
    assert ridges[-1] == pytest.approx(RIDGE / 2)
    assert ridge_strength(samples, 1.0) / ridge_strength(samples, 0.0) == pytest.approx(RIDGE_RANGE**2)


@pytest.mark.parametrize(("sign", "expected"), [(1.0, 1.0), (-1.0, 0.0)])
def test_the_prior_is_scaled_to_fit_the_samples(sign: float, expected: float) -> None:
    y = torch.tensor([0, 1, 0, 1])
    logits = sign * 2 * torch.nn.functional.one_hot(y, 2).float()
    assert prior_scale(logits, y, torch.full((4,), 0.25)) == expected
