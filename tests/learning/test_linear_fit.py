"""A fit of the linear head is the best one for its samples."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from torch import Tensor

from napari_fcn.learning import linear_fit
from napari_fcn.learning.head import LinearHead


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def blank(classes: int, features: int) -> LinearHead:
    return LinearHead(torch.zeros(classes, features), torch.zeros(classes))


def even(label: Tensor, classes: int) -> Tensor:
    return linear_fit.balance_classes(label, torch.ones(len(label)), classes)


def objective(rows: Tensor, label: Tensor, share: Tensor, prior: LinearHead, ridge: float) -> Any:
    """Return loss and gradient as a function of all weights, in float64, straight from the definition."""
    x, share = rows.double(), (share / share.sum()).double()
    shape = prior.weight.shape
    pull = torch.full((shape[1] + 1,), ridge, dtype=torch.float64)
    pull[-1] *= 1e-3
    centre = torch.cat([prior.weight, prior.bias[:, None]], 1).double()

    def value(flat: Any) -> Any:
        w = torch.tensor(flat, dtype=torch.float64).reshape(shape[0], -1).requires_grad_()
        entropy = torch.nn.functional.cross_entropy(x @ w[:, :-1].T + w[:, -1], label, reduction="none")
        loss = (entropy * share).sum() + 0.5 * (pull * (w - centre).square()).sum()
        (slope,) = torch.autograd.grad(loss, w)
        return float(loss.detach()), slope.ravel().numpy()

    return value


@settings(max_examples=12)
@given(
    st.integers(2, 4), st.integers(1, 12), st.integers(2, 60), st.sampled_from([1e-3, 2e-2, 0.5]), st.integers(0, 99)
)
def test_a_fit_arrives_at_the_optimum(classes: int, width: int, count: int, ridge: float, seed: int) -> None:
    draw = seeded(seed)
    rows = torch.randn(count, width, generator=draw)
    label = torch.randint(classes, (count,), generator=draw)
    share = linear_fit.balance_classes(label, torch.rand(count, generator=draw) + 0.1, classes)
    prior = LinearHead(torch.randn(classes, width, generator=draw), torch.randn(classes, generator=draw))
    found = linear_fit.fit_linear(rows, label, share, prior, ridge)
    value = objective(rows, label, share, prior, ridge)
    flat = torch.cat([found.weight, found.bias[:, None]], 1).double().ravel().numpy()
    begin = torch.cat([prior.weight, prior.bias[:, None]], 1).double().ravel().numpy()
    best = minimize(value, begin, jac=True, method="L-BFGS-B", options={"maxiter": 3000, "gtol": 1e-9, "ftol": 1e-14})
    (loss, slope), (_, steepest) = value(flat), value(begin)
    assert loss <= best.fun + 1e-3 * max(1.0, best.fun)
    assert (slope**2).sum() ** 0.5 <= 3 * linear_fit.TOL * max(1e-3, (steepest**2).sum() ** 0.5)


def test_what_something_else_adds_is_left_out_of_what_is_learnt() -> None:
    rows, label = torch.randn(200, 4, generator=seeded(0)), torch.randint(3, (200,), generator=seeded(1))
    other = LinearHead(torch.randn(3, 4, generator=seeded(2)), torch.randn(3, generator=seeded(3)))
    prior = LinearHead(torch.randn(3, 4, generator=seeded(4)), torch.randn(3, generator=seeded(5)))
    joint = LinearHead(prior.weight + other.weight, prior.bias + other.bias)
    alone = linear_fit.fit_linear(rows, label, even(label, 3), joint, 2e-2)
    beside = linear_fit.fit_linear(rows, label, even(label, 3), prior, 2e-2, other.logits(rows))
    torch.testing.assert_close(beside.weight + other.weight, alone.weight, atol=1e-3, rtol=1e-3)


def test_a_strong_pull_leaves_the_prior() -> None:
    rows, label = torch.randn(50, 4, generator=seeded(0)), torch.randint(2, (50,), generator=seeded(1))
    prior = LinearHead(torch.randn(2, 4, generator=seeded(2)), torch.zeros(2))
    strong = linear_fit.fit_linear(rows, label, even(label, 2), prior, 1e6)
    torch.testing.assert_close(strong.weight, prior.weight, atol=1e-4, rtol=0)
    weak = linear_fit.fit_linear(rows, label, even(label, 2), prior, 1e-3)
    assert (weak.weight - prior.weight).abs().max() > 0.1


def test_without_information_in_the_features_classes_are_as_likely_as_they_count() -> None:
    label = torch.tensor([0] * 90 + [1] * 10)
    rows = torch.zeros(100, 3)
    for share, likely in ((even(label, 2), 0.5), (torch.ones(100), 0.1)):
        found = linear_fit.fit_linear(rows, label, share, blank(2, 3), 1e-2)
        assert float(found.logits(rows[:1]).softmax(1)[0, 1]) == pytest.approx(likely, abs=0.01)


def test_a_class_with_few_samples_counts_as_much_as_one_with_many() -> None:
    rows = torch.cat([torch.randn(900, 2, generator=seeded(0)), torch.randn(9, 2, generator=seeded(1)) + 1.5])
    label = torch.tensor([0] * 900 + [1] * 9)
    found = linear_fit.fit_linear(rows, label, even(label, 2), blank(2, 2), 1e-3)
    right = found.logits(rows).argmax(1) == label
    assert right[label == 1].float().mean() > 0.6


@pytest.mark.parametrize("gap", [1.0, 1e3])
def test_separable_classes_give_finite_weights(gap: float) -> None:
    rows = torch.cat([torch.full((20, 3), -gap), torch.full((20, 3), gap)])
    label = torch.tensor([0] * 20 + [1] * 20)
    found = linear_fit.fit_linear(rows, label, even(label, 2), blank(2, 3), 7e-4)
    assert torch.isfinite(found.weight).all()
    assert torch.equal(found.logits(rows).argmax(1), label)
    assert found.weight.abs().max() < 20


def test_one_sample_is_learnt() -> None:
    rows = torch.tensor([[1.0, -2.0]])
    found = linear_fit.fit_linear(rows, torch.tensor([1]), torch.ones(1), blank(3, 2), 2e-2)
    assert found.logits(rows).argmax() == 1
    assert torch.isfinite(found.weight).all()


def test_samples_of_one_class_make_it_more_likely_and_no_other() -> None:
    rows = torch.randn(30, 4, generator=seeded(0))
    found = linear_fit.fit_linear(rows, torch.full((30,), 2), torch.ones(30), blank(3, 4), 2e-2)
    p = found.logits(rows).softmax(1)
    assert (p[:, 2] > 0.5).all()
    torch.testing.assert_close(p[:, 0], p[:, 1], atol=1e-5, rtol=0)


def test_the_same_samples_give_the_same_head_bit_by_bit() -> None:
    rows, label = torch.randn(200, 9, generator=seeded(0)), torch.randint(3, (200,), generator=seeded(1))
    one, again = (linear_fit.fit_linear(rows, label, even(label, 3), blank(3, 9), 2e-2) for _ in range(2))
    assert torch.equal(one.weight, again.weight)
    assert torch.equal(one.bias, again.bias)


@given(st.lists(st.integers(0, 3), min_size=1, max_size=60))
def test_every_class_that_was_painted_counts_the_same(values: list[int]) -> None:
    label = torch.tensor(values)
    share = linear_fit.balance_classes(label, torch.rand(len(label), generator=seeded(0)) + 0.1, 4)
    for value in set(values):
        assert float(share[label == value].sum()) == pytest.approx(1, abs=1e-4)


@given(st.lists(st.integers(0, 2), max_size=60), st.integers(1, 20))
def test_of_many_samples_so_many_of_each_class_are_drawn(values: list[int], most: int) -> None:
    label = torch.tensor(values, dtype=torch.int64)
    kept = linear_fit.subsample(label, seeded(0), most)
    assert torch.equal(kept, kept.unique())
    for value in set(values):
        assert int((label[kept] == value).sum()) == min(most, values.count(value))
    assert torch.equal(kept, linear_fit.subsample(label, seeded(0), most))
