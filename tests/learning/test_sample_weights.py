"""Strokes count by their number rather than by their length, and what the model knew as far as it helps."""

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


def test_a_long_stroke_weighs_as_its_root_and_the_newest_more() -> None:
    shape = (10, 100)
    labels = np.zeros(shape, np.uint8)
    labels[0, :64] = 1
    first = Samples.from_labels(labels).with_turns(Samples.empty(shape), 1)
    labels[5, :4] = 1
    both = Samples.from_labels(labels).with_turns(first, 2)
    weight = sample_weights(both)
    assert weight[both.turn == 1].sum() == pytest.approx(8)
    assert weight[both.turn == 2].sum() == pytest.approx(NEWEST_WEIGHT * 2)


def test_the_pull_weakens_as_strokes_come_and_follows_the_slider() -> None:
    shape = (40, 4)
    labels, samples, found = np.zeros(shape, np.uint8), Samples.empty(shape), []
    for turn in range(1, 2 * FULL_PRIOR_STROKES + 1):
        labels[turn] = 1
        samples = Samples.from_labels(labels).with_turns(samples, turn)
        found.append(ridge_strength(samples, 0.5))
    assert found[:FULL_PRIOR_STROKES] == [RIDGE] * FULL_PRIOR_STROKES
    assert found[-1] == pytest.approx(RIDGE / 2)
    assert ridge_strength(samples, 1.0) / ridge_strength(samples, 0.0) == pytest.approx(RIDGE_RANGE**2)


@pytest.mark.parametrize(("sign", "expected"), [(1.0, 1.0), (-1.0, 0.0)])
def test_what_the_model_knew_is_trusted_as_far_as_it_helps(sign: float, expected: float) -> None:
    label = torch.tensor([0, 1, 0, 1])
    logits = sign * 2 * torch.nn.functional.one_hot(label, 2).float()
    assert prior_scale(logits, label, torch.full((4,), 0.25)) == expected
