"""Heads on gathered features equal the network; scaling, writing and reading of heads."""

from typing import Any

import net_contract
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_fcn.learning import head
from napari_fcn.learning.head import FeatureScaler, Head, HiddenLayer, LinearHead
from napari_fcn.models.adapt import filters_only, make_teachable
from napari_fcn.nets import NetSpec
from napari_fcn.nets.layers import Level, enlarge


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@settings(max_examples=30)
@given(st.integers(1, 3), st.booleans(), st.integers(0, 99), st.data())
def test_gathered_features_equal_upsampling_at_the_pixel(
    ndim: int, is_last: bool, seed: int, data: st.DataObject
) -> None:
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
    X = head.gather(levels, torch.cat([planes, pixels], dim=1))
    expected = dense.movedim(1, -1)[tuple(torch.cat([planes, pixels], dim=1).unbind(1))]
    torch.testing.assert_close(X, expected, atol=1e-5, rtol=1e-5)


def test_features_are_gathered_from_views_of_a_block() -> None:
    whole = torch.randn(2, 5, 12, 10, generator=seeded(0))
    part = whole[:, 1:4, 2:8, 3:9]
    positions = torch.tensor([[1, 5, 2], [0, 0, 0]])
    X = head.gather([Level((1, 1), part)], positions)
    assert torch.equal(X, torch.stack([part[1, :, 5, 2], part[0, :, 0, 0]]))


def test_no_pixels_give_an_empty_matrix() -> None:
    levels = [Level((2, 2), torch.zeros(1, 3, 4, 4))]
    assert head.gather(levels, torch.zeros(0, 3, dtype=torch.int64)).shape == (0, 3)


def random_head(classes: int, features: int, units: int) -> Head:
    """Return a random head; without units a linear one."""
    linear = LinearHead(torch.randn(classes, features, generator=seeded(1)), torch.randn(classes, generator=seeded(2)))
    if not units:
        return Head(linear)
    hidden = LinearHead(
        torch.randn(units, features, generator=seeded(3)) * 0.3, torch.randn(units, generator=seeded(4))
    )
    return Head(linear, HiddenLayer(hidden, torch.randn(classes, units, generator=seeded(5)) * 0.3))


@pytest.mark.parametrize("units", [0, 5])
@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_the_head_on_gathered_features_equals_the_network(ndim: int, units: int) -> None:
    spec = NetSpec(ndim=ndim, width=2, depth=1, classes=3)
    net: Any = make_teachable(net_contract.checkpoint(spec), sigmas=(0.7, 2.0)).net()
    new_head = random_head(3, sum(n for _, n in net.widths), units)
    head.write_head(net, new_head)
    x = net_contract.noise(spec, (16,) * ndim)
    positions = torch.cat(
        [torch.zeros(20, 1, dtype=torch.int64), torch.randint(16, (20, ndim), generator=seeded(3))], 1
    )
    with torch.inference_mode():
        X = head.gather(net.levels(x), positions)
        logits = net(x).movedim(1, -1)[tuple(positions.unbind(1))]
        linear_logits = net.linear()(x).movedim(1, -1)[tuple(positions.unbind(1))]
    torch.testing.assert_close(new_head.logits(X), logits, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(new_head.linear.logits(X), linear_logits, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("units", [0, 5])
def test_a_written_head_can_be_read(units: int) -> None:
    net: Any = filters_only(2, 3).net()
    written = random_head(2, sum(n for _, n in net.widths), units)
    head.write_head(net, random_head(2, sum(n for _, n in net.widths), 9))
    head.write_head(net, written)
    read = head.read_head(net)
    assert torch.equal(read.linear.weight, written.linear.weight)
    assert torch.equal(read.linear.bias, written.linear.bias)
    assert (read.hidden is None) == (units == 0)
    X = torch.randn(7, written.linear.weight.shape[1], generator=seeded(6))
    torch.testing.assert_close(read.logits(X), written.logits(X))
    head.write_head(net, random_head(2, sum(n for _, n in net.widths), 0).scaled(0))
    assert read.linear.bias.any()  # a copy


def test_the_hidden_layer_on_images_equals_that_on_gathered_features() -> None:
    hidden_layer = random_head(3, 4, 5).hidden
    assert hidden_layer is not None
    features = torch.randn(2, 4, 3, 6, generator=seeded(0))
    X = features.movedim(1, -1).reshape(-1, 4)
    units = hidden_layer.units.logits(X).reshape(2, 3, 6, 5).movedim(-1, 1)
    expected = hidden_layer.logits(X).reshape(2, 3, 6, 3).movedim(-1, 1)
    torch.testing.assert_close(hidden_layer.logits_of_units(units), expected)


@given(st.integers(1, 4), st.integers(1, 9), st.integers(0, 99))
def test_a_head_for_standardised_features_is_equivalent(classes: int, width: int, seed: int) -> None:
    rng = seeded(seed)
    scaler = FeatureScaler(torch.randn(width, generator=rng), torch.rand(width, generator=rng) + 0.1)
    raw = random_head(classes, width, seed % 4)
    X = torch.randn(7, width, generator=rng)
    scaled = raw.to_scaled_features(scaler)
    scaled_X = scaled.logits((X - scaler.mean) / scaler.scale)
    torch.testing.assert_close(scaled_X, raw.logits(X), atol=1e-4, rtol=1e-4)
    raw_again = scaled.to_raw_features(scaler)
    torch.testing.assert_close(raw_again.linear.weight, raw.linear.weight, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(raw_again.logits(X), raw.logits(X), atol=1e-4, rtol=1e-4)


def test_levels_are_scaled_to_equal_weight_and_constant_features_are_finite() -> None:
    wide, narrow = torch.randn(1, 16, 20, 20, generator=seeded(0)) * 7 + 3, torch.ones(1, 1, 10, 10)
    scaler = FeatureScaler.fit([Level((1, 1), wide), Level((2, 2), narrow)])
    X = head.gather([Level((1, 1), wide)], torch.cartesian_prod(torch.tensor([0]), torch.arange(20), torch.arange(20)))
    scaled_X = (X - scaler.mean[:16]) / scaler.scale[:16]
    assert float(scaled_X.square().sum(1).mean()) == pytest.approx(1, abs=1e-4)
    assert scaler.scale[16] == 1
    assert torch.isfinite(scaler.scale).all()
