"""The effective receptive field compared with finite differences, and its measures."""

import net_contract
import numpy as np
import pytest
import torch
from net_contract import SPECS
from random_networks import random_net

from napari_fcn.geometry import ReceptiveField, Region
from napari_fcn.nets import NetSpec
from napari_fcn.receptive_fields.effective import EffectiveField, block_around, effective_field, mean_field
from napari_fcn.receptive_fields.theoretical import analyze


def measured(spec: NetSpec, shape: tuple[int, ...], index: tuple[int, ...], label: int | None = 1) -> EffectiveField:
    net, x, result = random_net(spec), net_contract.noise(spec, shape), analyze(spec)
    read = block_around(result, index, shape)
    return effective_field(net, x[(..., *read.slices)], read, result.box(index, shape), index, label)


@pytest.mark.parametrize("index", [(10, 12), (0, 0), (23, 5)])
def test_the_gradient_is_that_of_finite_differences(index: tuple[int, int]) -> None:
    spec, shape, step = NetSpec(width=2, depth=1, norm="none"), (24, 26), 1e-6
    field = measured(spec, shape, index)
    net, x = random_net(spec).double(), net_contract.noise(spec, shape).double()
    expected = np.zeros(shape)
    with torch.no_grad():
        for place in np.ndindex(shape):
            moved = x.clone()
            moved[(0, 0, *place)] += step
            back = x.clone()
            back[(0, 0, *place)] -= step
            expected[place] = abs(float((net(moved) - net(back))[(0, 1, *index)])) / (2 * step)
    outside = expected.copy()
    outside[field.region.slices] = 0
    assert outside.max() == 0
    np.testing.assert_allclose(field.heat, (expected / expected.sum())[field.region.slices], atol=1e-5)


@pytest.mark.parametrize("name", ["unet-1d", "unet-2d", "unet-3d", "anisotropic-pool", "channels-and-classes"])
def test_a_crop_to_the_field_gives_the_gradient_of_the_whole_image(name: str) -> None:
    spec = SPECS[name]
    shape, index = (75, 61, 50)[: spec.ndim], (37, 30, 21)[: spec.ndim]
    field = measured(spec, shape, index)
    x = net_contract.noise(spec, shape).requires_grad_()
    (gradient,) = torch.autograd.grad(random_net(spec)(x)[(0, 1, *index)], x)
    whole = gradient[0].abs().sum(0).numpy()
    np.testing.assert_allclose(field.heat, whole[field.region.slices] / whole.sum(), atol=1e-6)
    assert field.heat.sum() == pytest.approx(1, abs=1e-4)


def test_the_default_class_is_the_most_probable_one() -> None:
    spec = SPECS["channels-and-classes"]
    x = net_contract.noise(spec, (20, 20))
    expected = int(random_net(spec)(x)[0, :, 9, 9].argmax())
    assert measured(spec, (20, 20), (9, 9), None).label == expected


def bell(sigma: float, reach: int = 30) -> EffectiveField:
    at = np.arange(-reach, reach + 1)
    line = np.exp(-(at**2) / (2 * sigma**2))
    heat = np.outer(line, line)
    region = Region((-reach, -reach), (reach + 1, reach + 1))
    return EffectiveField(region, (heat / heat.sum()).astype(np.float32), (0, 0), 0)


def test_radii_of_a_gaussian_are_those_of_the_rayleigh_distribution() -> None:
    for share in (0.5, 0.9, 0.99):
        assert bell(5).radius(share) == pytest.approx(5 * np.sqrt(-2 * np.log(1 - share)), abs=0.3)
    assert bell(5).radius(0.5, (2.0, 2.0)) == 2 * bell(5).radius(0.5)


def test_widths_and_used_fraction_of_a_gaussian() -> None:
    assert bell(5).widths == (17, 17)  # 1.645 standard deviations to each side
    radius = 5 * np.sqrt(-2 * np.log(1 - 0.9545))
    assert bell(5).used == pytest.approx(np.pi * radius**2 / 61**2, rel=0.03)


def test_a_network_that_ignores_its_input_has_no_radius() -> None:
    nothing = EffectiveField(Region((0,), (5,)), np.zeros(5, np.float32), (2,), 0)
    assert (nothing.radius(0.9), nothing.used, nothing.widths) == (0.0, 0.0, (1,))


def test_the_mean_is_aligned_at_the_pixel() -> None:
    reach = ReceptiveField((2,), (1,))
    here = EffectiveField(Region((3,), (7,)), np.array([0, 0, 1, 0], np.float32), (5,), 1)
    border = EffectiveField(Region((0,), (2,)), np.array([0.5, 0.5], np.float32), (0,), 1)  # cut off at the left
    result = mean_field([here, border], reach)
    assert result.region == Region((-2,), (2,))
    np.testing.assert_allclose(result.heat, [0, 0, 0.75, 0.25])
    assert (result.index, result.label) == ((0,), 1)
