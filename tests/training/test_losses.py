"""Losses and class weights of training."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from napari_fcn.learning.labels import IGNORE
from napari_fcn.training.losses import class_weights, cross_entropy_and_dice


def confident_logits(target: torch.Tensor, classes: int, scale: float = 20.0) -> torch.Tensor:
    """Return logits that predict the target with confidence."""
    return scale * torch.nn.functional.one_hot(target, classes).movedim(-1, 1).float()


@pytest.mark.parametrize("shape", [(2, 9), (2, 5, 6), (1, 3, 4, 5)])
def test_the_loss_of_a_perfect_prediction_is_zero(shape: tuple[int, ...]) -> None:
    target = torch.randint(0, 3, shape, generator=torch.Generator().manual_seed(0))
    assert cross_entropy_and_dice(confident_logits(target, 3), target) == pytest.approx(0, abs=1e-4)
    assert cross_entropy_and_dice(confident_logits((target + 1) % 3, 3), target) > 10


def test_the_loss_of_equal_probabilities_is_entropy_plus_half_of_dice() -> None:
    target = torch.arange(2).repeat(1, 500)
    loss = cross_entropy_and_dice(torch.zeros(1, 2, 1000), target)
    assert loss == pytest.approx(0.6931 + 1 - (2 * 250 + 1) / (500 + 500 + 1), abs=1e-3)


@given(st.integers(0, 2**16))
def test_unlabelled_pixels_are_ignored(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    target = torch.randint(0, 3, (2, 8, 8), generator=generator)
    target[0, :3] = target[1, 5] = IGNORE
    logits = torch.randn(2, 3, 8, 8, generator=generator)
    loss = cross_entropy_and_dice(logits, target, torch.tensor([1.0, 2.0, 0.5]))
    logits.movedim(1, -1)[target == IGNORE] = 50 * torch.randn(3, generator=generator)
    assert cross_entropy_and_dice(logits, target, torch.tensor([1.0, 2.0, 0.5])) == pytest.approx(float(loss), rel=1e-5)


@pytest.mark.parametrize("weights", [None, torch.tensor([1.0, 1.0])])
def test_a_batch_without_labels_has_no_gradient(weights: torch.Tensor | None) -> None:
    logits = torch.randn(1, 2, 6, generator=torch.Generator().manual_seed(0)).requires_grad_()
    loss = cross_entropy_and_dice(logits, torch.full((1, 6), IGNORE), weights)
    loss.backward()
    assert torch.isfinite(loss)
    assert logits.grad is not None
    assert not logits.grad.any()


def test_a_batch_of_a_class_without_weight_stays_finite() -> None:
    loss = cross_entropy_and_dice(torch.zeros(1, 2, 6), torch.ones(1, 6, dtype=torch.int64), torch.tensor([1.0, 0.0]))
    assert torch.isfinite(loss)


def test_half_precision_logits_are_computed_in_float32() -> None:
    target = torch.arange(2).repeat(1, 50)
    assert cross_entropy_and_dice(torch.zeros(1, 2, 100, dtype=torch.bfloat16), target).dtype == torch.float32


def test_rare_classes_have_larger_weights() -> None:
    weights = class_weights(torch.tensor([1000.0, 100.0, 1.0]))
    assert weights[0] < weights[1] < weights[2]
    assert weights.mean() == pytest.approx(1)


def test_equally_frequent_classes_have_equal_weights() -> None:
    assert torch.allclose(class_weights(torch.tensor([70.0, 70.0])), torch.ones(2))


def test_a_class_that_never_occurs_has_no_weight_and_changes_no_other() -> None:
    weights = class_weights(torch.tensor([10.0, 0.0, 20.0]))
    assert weights[1] == 0
    assert torch.allclose(weights[[0, 2]], class_weights(torch.tensor([10.0, 20.0])))


def test_without_pixels_weights_are_equal() -> None:
    assert torch.equal(class_weights(torch.zeros(3)), torch.ones(3))


def test_a_power_of_zero_gives_equal_weights() -> None:
    weights = class_weights(torch.tensor([1000.0, 0.0, 1.0]), power=0)
    assert weights.tolist() == [1, 0, 1]
