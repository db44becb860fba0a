"""Distillation of forests into the hidden layer of a head."""

from collections.abc import Generator
from typing import Any

import pytest
import torch
from torch import Tensor

from napari_fcn.learning import distillation
from napari_fcn.learning.distillation import TrainingBatch, distill
from napari_fcn.learning.head import Head, HiddenLayer, LinearHead


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def zero_head(classes: int, features: int) -> Head:
    return Head(LinearHead(torch.zeros(classes, features), torch.zeros(classes)))


def run_counting_pauses(steps: Generator[None, None, HiddenLayer | None]) -> tuple[int, HiddenLayer | None]:
    """Return the number of pauses, and the result."""
    for number in range(1000):
        try:
            next(steps)
        except StopIteration as end:
            return number, end.value
    raise AssertionError("it does not end")


def xor_samples(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Return samples with three features, and classes that are not linearly separable (XOR)."""
    X = torch.rand(count, 3, generator=seeded(seed)) * 2 - 1
    return X, ((X[:, 0] > 0) ^ (X[:, 1] > 0)).long()


def batch_of(X: Tensor, y: Tensor) -> TrainingBatch:
    return TrainingBatch(X, y, torch.ones(len(y)), 0)


def test_the_hidden_layer_separates_classes_that_are_not_linearly_separable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(distillation, "N_STEPS", 240)
    X, y = xor_samples(300, 0)
    unlabeled, y_unlabeled = xor_samples(2000, 1)
    linear_head = zero_head(2, 3)
    _, hidden = run_counting_pauses(distill(batch_of(X, y), unlabeled[:1000], linear_head, 32, 1.0, 0))
    assert hidden is not None
    X_test = unlabeled[1000:]
    accuracy = (Head(linear_head.linear, hidden).logits(X_test).argmax(1) == y_unlabeled[1000:]).float().mean()
    assert accuracy > 0.9


def test_a_confident_linear_head_outweighs_the_forests() -> None:
    X, y = xor_samples(100, 0)
    confident = Head(LinearHead(torch.zeros(2, 3), torch.tensor([-20.0, 20.0])))
    _, hidden = run_counting_pauses(distill(batch_of(X, y), X, confident, 8, 1.0, 0))
    assert (Head(confident.linear, hidden).logits(X).argmax(1) == 1).all()


@pytest.mark.parametrize(
    ("classes", "units", "weight"), [(1, 8, 1.0), (2, 0, 1.0), (2, 8, 0.0)], ids=["one class", "no units", "no weight"]
)
def test_without_classes_units_or_weight_the_hidden_layer_is_unchanged(classes: int, units: int, weight: float) -> None:
    X, y = xor_samples(50, 0)
    hidden_before = HiddenLayer(LinearHead(torch.ones(2, 3), torch.ones(2)), torch.ones(2, 2))
    linear_head = Head(zero_head(2, 3).linear, hidden_before)
    pauses, hidden = run_counting_pauses(distill(batch_of(X, y % classes), X, linear_head, units, weight, 0))
    assert pauses == 0
    assert hidden is hidden_before


def test_a_class_without_samples_is_not_predicted() -> None:
    X, y = xor_samples(200, 0)
    linear_head = zero_head(3, 3)
    _, hidden = run_counting_pauses(distill(batch_of(X, y), X, linear_head, 16, 1.0, 0))
    assert (Head(linear_head.linear, hidden).logits(X).argmax(1) < 2).all()


def test_the_same_samples_and_seed_give_the_same_layer_bit_for_bit() -> None:
    X, y = xor_samples(100, 0)

    def layer(seed: int) -> Any:
        return run_counting_pauses(distill(batch_of(X, y), X, zero_head(2, 3), 8, 1.0, seed))[1]

    first, second, other = layer(0), layer(0), layer(1)
    assert torch.equal(first.output_weights, second.output_weights)
    assert torch.equal(first.units.weight, second.units.weight)
    assert not torch.equal(first.output_weights, other.output_weights)


def test_the_generator_pauses_for_each_tree_and_every_few_steps() -> None:
    X, y = xor_samples(60, 0)
    pauses, _ = run_counting_pauses(distill(batch_of(X, y), X, zero_head(2, 3), 8, 1.0, 0))
    forest_pauses = 2 * distillation.N_TREES + 1  # and one for the prediction
    assert pauses == forest_pauses + 3 + distillation.N_STEPS // distillation.STEPS_PER_PAUSE


def test_half_of_the_trees_use_the_handcrafted_features_only() -> None:
    X, y = xor_samples(200, 0)
    X_wide = torch.cat([X[:, :2], torch.randn(200, 300, generator=seeded(2))], dim=1)
    unlabeled, y_unlabeled = xor_samples(500, 1)
    X_test = torch.cat([unlabeled[:, :2], torch.randn(500, 300, generator=seeded(3))], dim=1)

    def accuracy(n_handcrafted: int) -> float:
        batch = TrainingBatch(X_wide, y, torch.ones(200), n_handcrafted)
        probabilities = 0
        for columns in distillation.column_sets(batch):
            steps = distillation._forest_probabilities(batch, X_test, columns, 2, 10, 0)
            while True:
                try:
                    next(steps)
                except StopIteration as end:
                    probabilities = probabilities + end.value
                    break
        return float((probabilities.argmax(1) == y_unlabeled).float().mean())  # type: ignore[attr-defined]

    assert accuracy(2) > accuracy(0) + 0.1
