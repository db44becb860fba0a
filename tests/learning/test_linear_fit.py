"""Logistic regression: optimum, regularisation, class balance."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from torch import Tensor

from napari_fcn.cancellation import run_to_end
from napari_fcn.learning import linear_fit
from napari_fcn.learning.head import LinearHead


def fit(
    X: Tensor, y: Tensor, sample_weight: Tensor, prior: LinearHead, ridge: float, offset: Tensor | None = None
) -> LinearHead:
    return run_to_end(linear_fit.fit_steps(X, y, sample_weight, prior, ridge, offset))


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def zero_head(classes: int, features: int) -> LinearHead:
    return LinearHead(torch.zeros(classes, features), torch.zeros(classes))


def balanced(y: Tensor, classes: int) -> Tensor:
    return linear_fit.balance_classes(y, torch.ones(len(y)), classes)


def objective(X: Tensor, y: Tensor, sample_weight: Tensor, prior: LinearHead, ridge: float) -> Any:
    """Return loss and gradient as a function of all weights, in float64, from the definition."""
    x, sample_weight = X.double(), (sample_weight / sample_weight.sum()).double()
    shape = prior.weight.shape
    ridges = torch.full((shape[1] + 1,), ridge, dtype=torch.float64)
    ridges[-1] *= 1e-3
    centre = torch.cat([prior.weight, prior.bias[:, None]], 1).double()

    def value(flat: Any) -> Any:
        w = torch.tensor(flat, dtype=torch.float64).reshape(shape[0], -1).requires_grad_()
        entropy = torch.nn.functional.cross_entropy(x @ w[:, :-1].T + w[:, -1], y, reduction="none")
        loss = (entropy * sample_weight).sum() + 0.5 * (ridges * (w - centre).square()).sum()
        (slope,) = torch.autograd.grad(loss, w)
        return float(loss.detach()), slope.ravel().numpy()

    return value


@settings(max_examples=12)
@given(
    st.integers(2, 4), st.integers(1, 12), st.integers(2, 60), st.sampled_from([1e-3, 2e-2, 0.5]), st.integers(0, 99)
)
def test_a_fit_reaches_the_optimum(classes: int, width: int, count: int, ridge: float, seed: int) -> None:
    rng = seeded(seed)
    X = torch.randn(count, width, generator=rng)
    y = torch.randint(classes, (count,), generator=rng)
    sample_weight = linear_fit.balance_classes(y, torch.rand(count, generator=rng) + 0.1, classes)
    prior = LinearHead(torch.randn(classes, width, generator=rng), torch.randn(classes, generator=rng))
    head = fit(X, y, sample_weight, prior, ridge)
    value = objective(X, y, sample_weight, prior, ridge)
    flat = torch.cat([head.weight, head.bias[:, None]], 1).double().ravel().numpy()
    start = torch.cat([prior.weight, prior.bias[:, None]], 1).double().ravel().numpy()
    best = minimize(value, start, jac=True, method="L-BFGS-B", options={"maxiter": 3000, "gtol": 1e-9, "ftol": 1e-14})
    (loss, slope), (_, steepest) = value(flat), value(start)
    assert loss <= best.fun + 1e-3 * max(1.0, best.fun)
    assert (slope**2).sum() ** 0.5 <= 3 * linear_fit.TOL * max(1e-3, (steepest**2).sum() ** 0.5)


def test_an_offset_is_added_to_the_fitted_logits() -> None:
    X, y = torch.randn(200, 4, generator=seeded(0)), torch.randint(3, (200,), generator=seeded(1))
    offset = LinearHead(torch.randn(3, 4, generator=seeded(2)), torch.randn(3, generator=seeded(3)))
    prior = LinearHead(torch.randn(3, 4, generator=seeded(4)), torch.randn(3, generator=seeded(5)))
    joint = LinearHead(prior.weight + offset.weight, prior.bias + offset.bias)
    expected = fit(X, y, balanced(y, 3), joint, 2e-2)
    with_offset = fit(X, y, balanced(y, 3), prior, 2e-2, offset.logits(X))
    torch.testing.assert_close(with_offset.weight + offset.weight, expected.weight, atol=1e-3, rtol=1e-3)


def test_a_strong_ridge_gives_the_prior() -> None:
    X, y = torch.randn(50, 4, generator=seeded(0)), torch.randint(2, (50,), generator=seeded(1))
    prior = LinearHead(torch.randn(2, 4, generator=seeded(2)), torch.zeros(2))
    strong = fit(X, y, balanced(y, 2), prior, 1e6)
    torch.testing.assert_close(strong.weight, prior.weight, atol=1e-4, rtol=0)
    weak = fit(X, y, balanced(y, 2), prior, 1e-3)
    assert (weak.weight - prior.weight).abs().max() > 0.1


def test_constant_features_give_the_weighted_class_frequencies() -> None:
    y = torch.tensor([0] * 90 + [1] * 10)
    X = torch.zeros(100, 3)
    for sample_weight, probability in ((balanced(y, 2), 0.5), (torch.ones(100), 0.1)):
        head = fit(X, y, sample_weight, zero_head(2, 3), 1e-2)
        assert float(head.logits(X[:1]).softmax(1)[0, 1]) == pytest.approx(probability, abs=0.01)


def test_a_rare_class_is_fitted_if_classes_are_balanced() -> None:
    X = torch.cat([torch.randn(900, 2, generator=seeded(0)), torch.randn(9, 2, generator=seeded(1)) + 1.5])
    y = torch.tensor([0] * 900 + [1] * 9)
    head = fit(X, y, balanced(y, 2), zero_head(2, 2), 1e-3)
    is_correct = head.logits(X).argmax(1) == y
    assert is_correct[y == 1].float().mean() > 0.6


@pytest.mark.parametrize("gap", [1.0, 1e3])
def test_separable_classes_give_finite_weights(gap: float) -> None:
    X = torch.cat([torch.full((20, 3), -gap), torch.full((20, 3), gap)])
    y = torch.tensor([0] * 20 + [1] * 20)
    head = fit(X, y, balanced(y, 2), zero_head(2, 3), 7e-4)
    assert torch.isfinite(head.weight).all()
    assert torch.equal(head.logits(X).argmax(1), y)
    assert head.weight.abs().max() < 20


def test_one_sample_can_be_fitted() -> None:
    X = torch.tensor([[1.0, -2.0]])
    head = fit(X, torch.tensor([1]), torch.ones(1), zero_head(3, 2), 2e-2)
    assert head.logits(X).argmax() == 1
    assert torch.isfinite(head.weight).all()


def test_samples_of_one_class_raise_only_its_probability() -> None:
    X = torch.randn(30, 4, generator=seeded(0))
    head = fit(X, torch.full((30,), 2), torch.ones(30), zero_head(3, 4), 2e-2)
    p = head.logits(X).softmax(1)
    assert (p[:, 2] > 0.5).all()
    torch.testing.assert_close(p[:, 0], p[:, 1], atol=1e-5, rtol=0)


def test_the_same_samples_give_the_same_head_bit_for_bit() -> None:
    X, y = torch.randn(200, 9, generator=seeded(0)), torch.randint(3, (200,), generator=seeded(1))
    first, second = (fit(X, y, balanced(y, 3), zero_head(3, 9), 2e-2) for _ in range(2))
    assert torch.equal(first.weight, second.weight)
    assert torch.equal(first.bias, second.bias)


@given(st.lists(st.integers(0, 3), min_size=1, max_size=60))
def test_balanced_weights_sum_to_one_for_each_class(values: list[int]) -> None:
    y = torch.tensor(values)
    sample_weight = linear_fit.balance_classes(y, torch.rand(len(y), generator=seeded(0)) + 0.1, 4)
    for value in set(values):
        assert float(sample_weight[y == value].sum()) == pytest.approx(1, abs=1e-4)


@given(st.lists(st.integers(0, 2), max_size=60), st.integers(1, 20))
def test_a_subsample_has_at_most_max_samples_of_each_class(values: list[int], max_samples: int) -> None:
    y = torch.tensor(values, dtype=torch.int64)
    index = linear_fit.subsample(y, seeded(0), max_samples)
    assert torch.equal(index, index.unique())
    for value in set(values):
        assert int((y[index] == value).sum()) == min(max_samples, values.count(value))
    assert torch.equal(index, linear_fit.subsample(y, seeded(0), max_samples))
