"""Equivariance of predictions to shifts."""

import net_contract
import numpy as np
import pytest
from net_contract import SPECS
from random_networks import probability_function, random_net

from napari_fcn.events import EquivarianceDone
from napari_fcn.geometry import Region
from napari_fcn.nets import NetSpec
from napari_fcn.receptive_fields.equivariance import equivariance
from napari_fcn.receptive_fields.theoretical import analyze


def shifted(spec: NetSpec, shape: tuple[int, ...], region: Region | None = None) -> EquivarianceDone:
    image = net_contract.noise(spec, shape)[0].numpy()
    answer = probability_function(random_net(spec))
    *_, last = equivariance(answer, image, region or Region.whole(shape), analyze(spec))
    assert isinstance(last, EquivarianceDone)
    return last


@pytest.mark.parametrize("padding", ["zeros", "reflect"])
def test_a_network_without_pooling_is_equivariant(padding: str) -> None:
    result = shifted(NetSpec(width=4, depth=0, padding=padding), (30, 28))
    assert result.values.max() < 1e-5
    assert result.flips == 0
    assert "does not pool" in result.sentence


@pytest.mark.parametrize("name", ["unet-1d", "unet-2d", "anisotropic-pool", "unet-3d"])
def test_a_network_with_pooling_is_equivariant_to_its_grid_only(name: str) -> None:
    spec = SPECS[name]
    shape = (60, 50, 9)[: spec.ndim] if spec.ndim < 3 else (24, 26, 9)
    result = shifted(spec, shape)
    assert result.values.shape == shape
    for changes, period in zip(result.by_shift, spec.multiple, strict=True):
        assert len(changes) == period
        assert changes[-1] < 1e-6
        assert all(change > 1e-4 for change in changes[:-1])
    assert result.values.max() > 1e-2
    assert result.flips > 0
    worst = tuple(int(i) for i in np.unravel_index(result.values.argmax(), shape))
    assert f"({', '.join(map(str, worst))})" in result.sentence


def test_a_region_is_compared_as_in_the_whole_image() -> None:
    spec, region = SPECS["unet-2d"], Region((41, 30), (60, 47))
    whole, part = (shifted(spec, (100, 90), r) for r in (None, region))
    np.testing.assert_allclose(part.values, whole.values[region.slices], atol=1e-5)
    assert part.region == region
