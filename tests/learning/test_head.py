"""The head is the best one for its samples, and the same as the network computes."""

from typing import Any

import net_contract
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from torch import Tensor

from napari_fcn.learning import head
from napari_fcn.learning.head import Linear, Standard
from napari_fcn.models.teachable import filters_only, teachable
from napari_fcn.nets import NetSpec
from napari_fcn.nets.layers import Level, enlarge


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def blank(classes: int, features: int) -> Linear:
    return Linear(torch.zeros(classes, features), torch.zeros(classes))


def even(label: Tensor, classes: int) -> Tensor:
    return head.balanced(label, torch.ones(len(label)), classes)


# Rows


@settings(max_examples=30)
@given(st.integers(1, 3), st.booleans(), st.integers(0, 99), st.data())
def test_a_row_is_what_upsampling_gives_at_its_pixel(ndim: int, is_last: bool, seed: int, data: st.DataObject) -> None:
    factors = [tuple(data.draw(st.sampled_from([1, 2, 4, 8])) for _ in range(ndim)) for _ in range(3)]
    cells = [data.draw(st.integers(1, 2)) for _ in range(ndim)]
    shape = [8 * n for n in cells]
    levels = []
    for width, factor in zip((1, 3, 2), factors, strict=True):
        size = [n // f for n, f in zip(shape, factor, strict=True)]
        features = torch.randn(2, width, *size, generator=seeded(seed))
        if is_last and ndim > 1:
            features = features.to(memory_format=torch.channels_last if ndim == 2 else torch.channels_last_3d)
        levels.append(Level(factor, features))
    dense = torch.cat([enlarge(level.features, level.factor) for level in levels], dim=1)
    planes = torch.randint(2, (40, 1), generator=seeded(seed))
    pixels = torch.cat([torch.randint(n, (40, 1), generator=seeded(seed + k)) for k, n in enumerate(shape)], dim=1)
    rows = head.gather(levels, torch.cat([planes, pixels], dim=1))
    expected = dense.movedim(1, -1)[tuple(torch.cat([planes, pixels], dim=1).unbind(1))]
    torch.testing.assert_close(rows, expected, atol=1e-5, rtol=1e-5)


def test_rows_of_a_part_of_a_larger_block_are_right() -> None:
    whole = torch.randn(2, 5, 12, 10, generator=seeded(0))
    part = whole[:, 1:4, 2:8, 3:9]
    places = torch.tensor([[1, 5, 2], [0, 0, 0]])
    rows = head.gather([Level((1, 1), part)], places)
    assert torch.equal(rows, torch.stack([part[1, :, 5, 2], part[0, :, 0, 0]]))


def test_no_pixels_give_no_rows() -> None:
    levels = [Level((2, 2), torch.zeros(1, 3, 4, 4))]
    assert head.gather(levels, torch.zeros(0, 3, dtype=torch.int64)).shape == (0, 3)


@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_the_head_on_rows_is_the_answer_of_the_network(ndim: int) -> None:
    spec = NetSpec(ndim=ndim, width=2, depth=1, classes=3)
    net: Any = teachable(net_contract.checkpoint(spec), sigmas=(0.7, 2.0)).net()
    known = head.read(net)
    other = Linear(torch.randn(known.weight.shape, generator=seeded(1)), torch.randn(3, generator=seeded(2)))
    head.write(net, other)
    x = net_contract.noise(spec, (16,) * ndim)
    places = torch.cat([torch.zeros(20, 1, dtype=torch.int64), torch.randint(16, (20, ndim), generator=seeded(3))], 1)
    with torch.inference_mode():
        rows = head.gather(net.levels(x), places)
        logits = net(x).movedim(1, -1)[tuple(places.unbind(1))]
    torch.testing.assert_close(other.logits(rows), logits, atol=1e-4, rtol=1e-4)


def test_a_head_that_is_written_is_read() -> None:
    net: Any = filters_only(2, 3).net()
    width = sum(n for _, n in net.widths)
    wanted = Linear(torch.randn(2, width, generator=seeded(0)), torch.randn(2, generator=seeded(1)))
    head.write(net, wanted)
    found = head.read(net)
    assert torch.equal(found.weight, wanted.weight)
    assert torch.equal(found.bias, wanted.bias)
    head.write(net, Linear(wanted.weight * 0, wanted.bias * 0))
    assert found.bias.any()  # a copy


@given(st.integers(1, 4), st.integers(1, 9), st.integers(0, 99))
def test_a_head_for_standardised_features_answers_the_same(classes: int, width: int, seed: int) -> None:
    draw = seeded(seed)
    standard = Standard(torch.randn(width, generator=draw), torch.rand(width, generator=draw) + 0.1)
    raw = Linear(torch.randn(classes, width, generator=draw), torch.randn(classes, generator=draw))
    rows = torch.randn(7, width, generator=draw)
    scaled = raw.standardised(standard)
    seen = scaled.logits((rows - standard.mean) / standard.spread)
    torch.testing.assert_close(seen, raw.logits(rows), atol=1e-4, rtol=1e-4)
    again = scaled.raw(standard)
    torch.testing.assert_close(again.weight, raw.weight, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(again.bias, raw.bias, atol=1e-4, rtol=1e-4)


def test_all_levels_count_alike_and_a_constant_feature_does_no_harm() -> None:
    wide, narrow = torch.randn(1, 16, 20, 20, generator=seeded(0)) * 7 + 3, torch.ones(1, 1, 10, 10)
    standard = Standard.of([Level((1, 1), wide), Level((2, 2), narrow)])
    rows = head.gather(
        [Level((1, 1), wide)], torch.cartesian_prod(torch.tensor([0]), torch.arange(20), torch.arange(20))
    )
    seen = (rows - standard.mean[:16]) / standard.spread[:16]
    assert float(seen.square().sum(1).mean()) == pytest.approx(1, abs=1e-4)
    assert standard.spread[16] == 1
    assert torch.isfinite(standard.spread).all()


# The fit


def objective(rows: Tensor, label: Tensor, share: Tensor, prior: Linear, ridge: float) -> Any:
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
    share = head.balanced(label, torch.rand(count, generator=draw) + 0.1, classes)
    prior = Linear(torch.randn(classes, width, generator=draw), torch.randn(classes, generator=draw))
    found = head.fit(rows, label, share, prior, ridge)
    value = objective(rows, label, share, prior, ridge)
    flat = torch.cat([found.weight, found.bias[:, None]], 1).double().ravel().numpy()
    begin = torch.cat([prior.weight, prior.bias[:, None]], 1).double().ravel().numpy()
    best = minimize(value, begin, jac=True, method="L-BFGS-B", options={"maxiter": 3000, "gtol": 1e-9, "ftol": 1e-14})
    (loss, slope), (_, steepest) = value(flat), value(begin)
    assert loss <= best.fun + 1e-3 * max(1.0, best.fun)
    assert (slope**2).sum() ** 0.5 <= 3 * head.GOOD * max(1e-3, (steepest**2).sum() ** 0.5)


def test_a_strong_pull_leaves_the_prior() -> None:
    rows, label = torch.randn(50, 4, generator=seeded(0)), torch.randint(2, (50,), generator=seeded(1))
    prior = Linear(torch.randn(2, 4, generator=seeded(2)), torch.zeros(2))
    strong = head.fit(rows, label, even(label, 2), prior, 1e6)
    torch.testing.assert_close(strong.weight, prior.weight, atol=1e-4, rtol=0)
    weak = head.fit(rows, label, even(label, 2), prior, 1e-3)
    assert (weak.weight - prior.weight).abs().max() > 0.1


def test_without_information_in_the_features_classes_are_as_likely_as_they_count() -> None:
    label = torch.tensor([0] * 90 + [1] * 10)
    rows = torch.zeros(100, 3)
    for share, likely in ((even(label, 2), 0.5), (torch.ones(100), 0.1)):
        found = head.fit(rows, label, share, blank(2, 3), 1e-2)
        assert float(found.logits(rows[:1]).softmax(1)[0, 1]) == pytest.approx(likely, abs=0.01)


def test_a_class_with_few_samples_counts_as_much_as_one_with_many() -> None:
    rows = torch.cat([torch.randn(900, 2, generator=seeded(0)), torch.randn(9, 2, generator=seeded(1)) + 1.5])
    label = torch.tensor([0] * 900 + [1] * 9)
    found = head.fit(rows, label, even(label, 2), blank(2, 2), 1e-3)
    right = found.logits(rows).argmax(1) == label
    assert right[label == 1].float().mean() > 0.6


@pytest.mark.parametrize("gap", [1.0, 1e3])
def test_separable_classes_give_finite_weights(gap: float) -> None:
    rows = torch.cat([torch.full((20, 3), -gap), torch.full((20, 3), gap)])
    label = torch.tensor([0] * 20 + [1] * 20)
    found = head.fit(rows, label, even(label, 2), blank(2, 3), 7e-4)
    assert torch.isfinite(found.weight).all()
    assert torch.equal(found.logits(rows).argmax(1), label)
    assert found.weight.abs().max() < 20


def test_one_sample_is_learnt() -> None:
    rows = torch.tensor([[1.0, -2.0]])
    found = head.fit(rows, torch.tensor([1]), torch.ones(1), blank(3, 2), 2e-2)
    assert found.logits(rows).argmax() == 1
    assert torch.isfinite(found.weight).all()


def test_samples_of_one_class_make_it_more_likely_and_no_other() -> None:
    rows = torch.randn(30, 4, generator=seeded(0))
    found = head.fit(rows, torch.full((30,), 2), torch.ones(30), blank(3, 4), 2e-2)
    p = found.logits(rows).softmax(1)
    assert (p[:, 2] > 0.5).all()
    torch.testing.assert_close(p[:, 0], p[:, 1], atol=1e-5, rtol=0)


def test_the_same_samples_give_the_same_head_bit_by_bit() -> None:
    rows, label = torch.randn(200, 9, generator=seeded(0)), torch.randint(3, (200,), generator=seeded(1))
    one, again = (head.fit(rows, label, even(label, 3), blank(3, 9), 2e-2) for _ in range(2))
    assert torch.equal(one.weight, again.weight)
    assert torch.equal(one.bias, again.bias)


@given(st.lists(st.integers(0, 3), min_size=1, max_size=60))
def test_every_class_that_was_painted_counts_the_same(values: list[int]) -> None:
    label = torch.tensor(values)
    share = head.balanced(label, torch.rand(len(label), generator=seeded(0)) + 0.1, 4)
    for value in set(values):
        assert float(share[label == value].sum()) == pytest.approx(1, abs=1e-4)


@given(st.lists(st.integers(0, 2), max_size=60), st.integers(1, 20))
def test_of_many_samples_so_many_of_each_class_are_drawn(values: list[int], most: int) -> None:
    label = torch.tensor(values, dtype=torch.int64)
    kept = head.chosen(label, seeded(0), most)
    assert torch.equal(kept, kept.unique())
    for value in set(values):
        assert int((label[kept] == value).sum()) == min(most, values.count(value))
    assert torch.equal(kept, head.chosen(label, seeded(0), most))
