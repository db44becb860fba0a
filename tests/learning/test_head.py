"""A head is the same as the network computes."""

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


def drawn(classes: int, features: int, units: int) -> Head:
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
def test_the_head_on_rows_is_the_answer_of_the_network(ndim: int, units: int) -> None:
    spec = NetSpec(ndim=ndim, width=2, depth=1, classes=3)
    net: Any = make_teachable(net_contract.checkpoint(spec), sigmas=(0.7, 2.0)).net()
    other = drawn(3, sum(n for _, n in net.widths), units)
    head.write_head(net, other)
    x = net_contract.noise(spec, (16,) * ndim)
    places = torch.cat([torch.zeros(20, 1, dtype=torch.int64), torch.randint(16, (20, ndim), generator=seeded(3))], 1)
    with torch.inference_mode():
        rows = head.gather(net.levels(x), places)
        logits = net(x).movedim(1, -1)[tuple(places.unbind(1))]
        straight = net.linear()(x).movedim(1, -1)[tuple(places.unbind(1))]
    torch.testing.assert_close(other.logits(rows), logits, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(other.linear.logits(rows), straight, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("units", [0, 5])
def test_a_head_that_is_written_is_read(units: int) -> None:
    net: Any = filters_only(2, 3).net()
    wanted = drawn(2, sum(n for _, n in net.widths), units)
    head.write_head(net, drawn(2, sum(n for _, n in net.widths), 9))
    head.write_head(net, wanted)
    found = head.read_head(net)
    assert torch.equal(found.linear.weight, wanted.linear.weight)
    assert torch.equal(found.linear.bias, wanted.linear.bias)
    assert (found.hidden is None) == (units == 0)
    rows = torch.randn(7, wanted.linear.weight.shape[1], generator=seeded(6))
    torch.testing.assert_close(found.logits(rows), wanted.logits(rows))
    head.write_head(net, drawn(2, sum(n for _, n in net.widths), 0).scaled(0))
    assert found.linear.bias.any()  # a copy


def test_a_bend_on_planes_of_units_adds_what_it_adds_on_rows() -> None:
    bend = drawn(3, 4, 5).hidden
    assert bend is not None
    features = torch.randn(2, 4, 3, 6, generator=seeded(0))
    rows = features.movedim(1, -1).reshape(-1, 4)
    units = bend.units.logits(rows).reshape(2, 3, 6, 5).movedim(-1, 1)
    expected = bend.logits(rows).reshape(2, 3, 6, 3).movedim(-1, 1)
    torch.testing.assert_close(bend.logits_of_units(units), expected)


@given(st.integers(1, 4), st.integers(1, 9), st.integers(0, 99))
def test_a_head_for_standardised_features_answers_the_same(classes: int, width: int, seed: int) -> None:
    draw = seeded(seed)
    standard = FeatureScaler(torch.randn(width, generator=draw), torch.rand(width, generator=draw) + 0.1)
    raw = drawn(classes, width, seed % 4)
    rows = torch.randn(7, width, generator=draw)
    scaled = raw.to_scaled_features(standard)
    seen = scaled.logits((rows - standard.mean) / standard.scale)
    torch.testing.assert_close(seen, raw.logits(rows), atol=1e-4, rtol=1e-4)
    again = scaled.to_raw_features(standard)
    torch.testing.assert_close(again.linear.weight, raw.linear.weight, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(again.logits(rows), raw.logits(rows), atol=1e-4, rtol=1e-4)


def test_all_levels_count_alike_and_a_constant_feature_does_no_harm() -> None:
    wide, narrow = torch.randn(1, 16, 20, 20, generator=seeded(0)) * 7 + 3, torch.ones(1, 1, 10, 10)
    standard = FeatureScaler.fit([Level((1, 1), wide), Level((2, 2), narrow)])
    rows = head.gather(
        [Level((1, 1), wide)], torch.cartesian_prod(torch.tensor([0]), torch.arange(20), torch.arange(20))
    )
    seen = (rows - standard.mean[:16]) / standard.scale[:16]
    assert float(seen.square().sum(1).mean()) == pytest.approx(1, abs=1e-4)
    assert standard.scale[16] == 1
    assert torch.isfinite(standard.scale).all()
