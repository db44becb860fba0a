"""A network with a head on all levels passes the contract of `net_contract`."""

from dataclasses import replace
from pathlib import Path

import net_contract
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from net_contract import EXACT, LONG, SHORT, VISIBLE
from torch import nn

from napari_fcn.geometry import TilePlan
from napari_fcn.nets import NetSpec
from napari_fcn.nets.filters import FilterBank, Support
from napari_fcn.nets.layers import enlarge
from napari_fcn.nets.sigmas import factors
from napari_fcn.receptive_fields.theoretical import theoretical

PLAIN = {1: ((0.7,), (2.0,)), 2: ((0.7, 0.7), (2.0, 2.0)), 3: ((1.0, 1.0, 1.0), (2.0, 2.0, 2.0))}


def taught(ndim: int, **values: object) -> NetSpec:
    known = {"ndim": ndim, "width": 2, "depth": 1, "filters": PLAIN[ndim], "head": "levels"}
    return NetSpec(**{**known, **values})  # type: ignore[arg-type]


def alone(ndim: int, *sigmas: tuple[float, ...], channels: int = 1) -> NetSpec:
    return NetSpec(
        family="filters", ndim=ndim, channels=channels, width=1, depth=0, kernel=1, filters=sigmas, head="levels"
    )  # type: ignore[arg-type]  # one number is meant too


TAUGHT = {
    "1d": taught(1, depth=2),
    "2d": taught(2, depth=2),
    "3d": taught(3),
    "with-original": taught(2, classes=3, original=2),
    "without-filters": taught(2, depth=2, filters=()),
    "without-filters-original": taught(1, depth=2, filters=(), original=3),
    "anisotropic-pool": taught(2, depth=2, pool=((1, 2), (2, 2)), filters=((0.7, 0.7), (1.0, 2.0))),
    "anisotropic-sigma": taught(2, filters=((0.5, 1.0), (1.0, 4.0))),
    "anisotropic-stack": taught(
        3, kernel=((1, 3, 3), (3, 3, 3)), pool=((1, 2, 2),), filters=((0.5, 1.0, 1.0), (0.5, 2.0, 2.0))
    ),
    "scale-coarser-than-pools": taught(1, filters=((8.0,), (3.0,))),
    "reflect": taught(2, padding="reflect", original=2),
    "replicate": taught(2, padding="replicate", up="transposed"),
    "replicate-3d": taught(3, padding="replicate", up="transposed", original=1),
    "transposed": taught(1, depth=2, up="transposed"),
    "no-norm": taught(2, norm="none"),
    "depth-0": taught(2, depth=0, kernel=3),
    "channels-and-classes": taught(2, channels=3, classes=4),
    "bent": taught(2, depth=2, classes=3, hidden=4, original=2),
    "bent-3d": taught(3, hidden=3),
    "resunet": taught(2, family="resunet", depth=2, original=2),
    "fcn": taught(2, family="fcn", depth=3),
    "fcn-original": taught(2, family="fcn", depth=3, original=3),
    "fcn-3d": taught(3, family="fcn", pool=((1, 2, 2),)),
    "dilated": taught(2, family="dilated", depth=2),
    "dilated-1d": taught(1, family="dilated", depth=3, filters=(), original=2),
    "deeplab": taught(2, family="deeplab", depth=2, rates=(1, 2), original=3),
    "deeplab-1d": taught(1, family="deeplab", depth=2),
    "video": taught(3, family="video", pool=((1, 2, 2),), filters=((0.5, 1.0, 1.0),)),
    "filters-1d": alone(1, (0.7,), (4.0,)),
    "filters-2d": alone(2, (0.7, 0.7), (2.0, 1.0), channels=2),
    "filters-3d": alone(3, (0.7, 1.0, 1.0), (1.0, 2.0, 2.0)),
}

every_net = pytest.mark.parametrize("spec", TAUGHT.values(), ids=TAUGHT)


@every_net
def test_gradients_reach_all_weights(spec: NetSpec) -> None:
    if spec.original:  # the score layer of before gets no gradient from the taught head: that is its point
        net = net_contract.trained(spec)
        net(net_contract.noise(spec, spec.minimum)).square().mean().backward()
        missing = {name for name, p in net.named_parameters() if p.grad is None}
        assert missing == (set() if spec.family == "fcn" else {"trunk.score.weight", "trunk.score.bias"})
    else:
        net_contract.check_gradients(spec)


@every_net
@pytest.mark.parametrize("lengths", [(1, 1, 1), (7, 1, 9), (17, 11, 5)])
def test_a_taught_network_keeps_the_size_of_its_input(spec: NetSpec, lengths: tuple[int, ...]) -> None:
    net_contract.check_output_shape(spec, lengths[: spec.ndim])


@every_net
def test_a_taught_network_is_saved_and_loaded_bit_for_bit(spec: NetSpec, tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    if not spec.original:
        net_contract.check_save_and_load(spec, path)


@every_net
def test_the_same_seed_draws_the_same_weights(spec: NetSpec) -> None:
    net_contract.check_seed(spec)


@every_net
def test_folding_the_norms_keeps_the_output(spec: NetSpec) -> None:
    net_contract.check_folding(spec)


@every_net
def test_tiles_equal_the_whole_image(spec: NetSpec) -> None:
    far = max(max(side) for side in theoretical(spec).halo)
    for long in range(spec.ndim):
        shape = [SHORT[spec.ndim] + k for k in range(spec.ndim)]
        shape[long] = max(LONG[spec.ndim], 2 * far + 40)
        net_contract.check_tiles(spec, shape, (13,) * spec.ndim)


@settings(max_examples=25)
@given(st.sampled_from(sorted(TAUGHT)), st.data())
def test_tiles_of_any_length_equal_an_image_of_any_shape(name: str, data: st.DataObject) -> None:
    spec = TAUGHT[name]
    shape = [data.draw(st.integers(1, SHORT[spec.ndim] * 2 + 9)) for _ in range(spec.ndim)]
    shape[data.draw(st.integers(0, spec.ndim - 1))] = data.draw(st.integers(40, LONG[spec.ndim]))
    tile = [data.draw(st.integers(3, 40)) for _ in range(spec.ndim)]
    net_contract.check_tiles(spec, shape, tile)


class OneChannel(nn.Sequential):
    """Sums the channels, with small values, so that the contribution of the trunk exceeds rounding errors."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x.sum(1, keepdim=True) * 1e-3)


@every_net
def test_a_taught_network_has_its_theoretical_receptive_field(spec: NetSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kernels of ones replace the filters so that nothing cancels; the next test covers the filters themselves."""
    plain = net_contract._positive

    def positive(spec: NetSpec) -> nn.Module:
        net = plain(spec)
        if spec.filters:
            net.bank = OneChannel(Support(net.bank))  # type: ignore[arg-type]
        return net

    monkeypatch.setattr(net_contract, "_positive", positive)
    net_contract.check_receptive_field(spec)


@every_net
def test_pixels_outside_of_the_receptive_field_have_no_influence(spec: NetSpec) -> None:
    net_contract.check_no_influence_outside(spec)


@pytest.mark.parametrize("name", ["filters-1d", "filters-2d", "filters-3d"])
def test_pixels_at_the_edge_of_the_support_of_the_filters_have_influence(name: str) -> None:
    spec = TAUGHT[name]
    field = theoretical(spec)
    for axis in range(spec.ndim):
        for side in (-field.before[axis], field.after[axis]):
            assert max(change for _, change in net_contract.influence(spec, axis, (side,))) > 0


@pytest.mark.parametrize("name", ["1d", "2d", "without-filters", "filters-1d", "filters-2d", "anisotropic-sigma"])
def test_tiles_with_a_smaller_halo_are_not_exact(name: str) -> None:
    spec = TAUGHT[name]
    tiles = net_contract.predictor(spec, net_contract.random_image(spec, (97,) * spec.ndim))
    whole, field = net_contract.whole(tiles), theoretical(spec)
    errors = []
    for halo in (field.halo, tuple((a // 3, b // 3) for a, b in field.halo)):
        plan = TilePlan(tiles.source.shape, (16,) * spec.ndim, halo, spec.multiple)
        errors.append(float(np.abs(net_contract.join(tiles, plan) - whole).max()))
    assert errors[0] <= EXACT
    assert errors[1] > VISIBLE


@pytest.mark.parametrize("name", ["1d", "2d", "3d", "anisotropic-sigma", "scale-coarser-than-pools", "filters-3d"])
def test_scoring_and_upsampling_commute(name: str) -> None:
    spec = TAUGHT[name]
    net = net_contract.trained(spec)
    x = net_contract.noise(spec, [2 * m for m in spec.minimum])
    with torch.inference_mode():
        levels = net.levels(x)  # type: ignore[operator]
        dense = torch.cat([enlarge(features, factor) for factor, features in levels], dim=1)
        weight = torch.cat([conv.weight for conv in net.heads_of_levels], dim=1)  # type: ignore[union-attr]
        logits = torch.einsum("kf...,nf...->nk...", weight.flatten(2)[..., 0], dense)
        bias = net.heads_of_levels[0].bias  # type: ignore[union-attr, index]
        logits = logits + bias.reshape(1, -1, *(1,) * spec.ndim)  # type: ignore[union-attr, operator]
        torch.testing.assert_close(net(x), logits, atol=2e-4, rtol=1e-4)


@every_net
def test_levels_have_the_stated_width_and_factor(spec: NetSpec) -> None:
    net = net_contract.trained(spec)
    shape = [2 * m for m in spec.minimum]
    with torch.inference_mode():
        levels = net.levels(net_contract.noise(spec, shape))  # type: ignore[operator]
    told = net.widths
    assert [(f, t.shape[1]) for f, t in levels] == told  # type: ignore[comparison-overlap]
    for factor, features in levels:
        assert list(features.shape[2:]) == [n // f for n, f in zip(shape, factor, strict=True)]


def test_a_taught_net_without_an_original_head_has_no_score_layer() -> None:
    assert "trunk.score.weight" not in net_contract.trained(TAUGHT["2d"]).state_dict()
    assert "trunk.score.weight" in net_contract.trained(TAUGHT["with-original"]).state_dict()


def test_the_bank_has_no_weights() -> None:
    assert not FilterBank(1, [(1.0, 1.0)]).state_dict()


@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_the_grid_is_the_common_one_of_pools_and_scales(ndim: int) -> None:
    spec = taught(ndim, filters=((4.0,) * ndim,))
    assert spec.multiple == (4,) * ndim
    assert taught(ndim, depth=2, filters=((1.0,) * ndim,)).multiple == (4,) * ndim
    assert all(spec.multiple[0] % f == 0 for scale in spec.filters for f in factors(scale))


def test_the_trunk_is_the_original_network() -> None:
    spec = NetSpec(width=2, depth=2, classes=3)
    assert replace(spec, classes=5, filters=PLAIN[2], head="levels", original=3).trunk_spec == spec
    assert replace(spec, filters=PLAIN[2], head="levels").trunk_spec == spec
