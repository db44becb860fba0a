"""The filter bank: exact derivatives, invariance to rotation, scales and border."""

from itertools import combinations_with_replacement, product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from napari_fcn.nets.filters import BRIGHTNESS_KNOTS, ROOT_EPSILON, FilterBank, _along, _kernel
from napari_fcn.nets.sigmas import MIN_SIGMA, factors, scales
from napari_fcn.nets.spec import NetSpec

SIGMAS = st.floats(MIN_SIGMA, 6)
ORDERS = st.integers(0, 2)


def bank(ndim: int, *sigmas: float, channels: int = 1) -> FilterBank:
    return FilterBank(channels, [(s,) * ndim for s in sigmas])


def named(bank: FilterBank, x: Tensor, scale: int = 0) -> dict[str, Tensor]:
    """Return the features of one channel by name, each ``(*space)``."""
    result = bank(x)[scale].features[0]
    names = ["smooth", *(f"bent {k}" for k in BRIGHTNESS_KNOTS), "steepness"]
    for matrix in ("hessian", "tensor"):
        names += [f"{matrix} {part}" for part in ("mean", "spread", "lean")[: x.ndim - 2]]
    return dict(zip(names, result, strict=True))


@given(SIGMAS, ORDERS, ORDERS)
def test_a_derivative_is_exact_on_polynomials_of_its_order(sigma: float, order: int, power: int) -> None:
    kernel = _kernel(sigma, order, torch.zeros(0, dtype=torch.float64))
    radius = len(kernel) // 2
    at = torch.arange(-radius, radius + 1, dtype=torch.float64)
    got = float((kernel * at**power).sum())
    expected = {(0, 0): 1.0, (1, 1): sigma, (2, 2): 2 * sigma**2}.get((order, power), 0.0)
    if (order, power) == (0, 2):  # what smoothing adds to a parabola is the variance of the bell
        assert 0 < got <= sigma**2 * 1.01
    else:
        assert got == pytest.approx(expected, abs=1e-9)


@given(SIGMAS)
def test_a_kernel_ends_at_three_standard_deviations(sigma: float) -> None:
    lengths = {len(_kernel(sigma, order, torch.zeros(1))) for order in range(3)}
    (length,) = lengths
    assert length % 2 == 1
    assert length // 2 - 1 < 3 * sigma <= length // 2


@settings(max_examples=20)
@given(st.integers(1, 3), st.floats(-4, 4), st.sampled_from([0.7, 1.0, 2.0, 4.0, 8.0]))
def test_a_constant_image_has_no_derivatives(ndim: int, value: float, sigma: float) -> None:
    x = torch.full((1, 1, *(16,) * ndim), value)
    result = named(bank(ndim, sigma), x)
    for name, feature in result.items():
        flat = {"smooth": value, **{f"bent {k}": max(0.0, value - k) for k in BRIGHTNESS_KNOTS}}.get(name, 0.0)
        torch.testing.assert_close(feature, torch.full_like(feature, flat), atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize("ndim", [1, 2, 3])
@pytest.mark.parametrize("sigma", [0.7, 1.5])
def test_a_ramp_has_a_gradient_and_no_curvature(ndim: int, sigma: float) -> None:
    axes = torch.meshgrid(*(torch.arange(24.0, dtype=torch.float64),) * ndim, indexing="ij")
    slopes = [0.1, -0.2, 0.05][:ndim]
    x = sum(s * a for s, a in zip(slopes, axes, strict=True))[None, None].float()
    inner = (slice(8, -8),) * ndim
    result = {name: values[inner] for name, values in named(bank(ndim, sigma), x).items()}
    steep = sigma * sum(s * s for s in slopes) ** 0.5
    expected = (steep**2 + ROOT_EPSILON**2) ** 0.5 - ROOT_EPSILON
    assert result["steepness"].sub(expected).abs().max() < 1e-5
    assert result["smooth"].sub(x[0, 0][inner]).abs().max() < 1e-5
    assert result["hessian mean"].abs().max() < 1e-5


@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_a_paraboloid_has_its_curvature(ndim: int) -> None:
    sigma = 1.2
    axes = torch.meshgrid(*(torch.arange(-10.0, 11.0),) * ndim, indexing="ij")
    curvatures = [0.02, 0.05, -0.03][:ndim]
    x = sum(c * a * a for c, a in zip(curvatures, axes, strict=True))[None, None]
    eigen = torch.tensor([2 * c * sigma**2 for c in curvatures])
    result = {name: float(values[(10,) * ndim]) for name, values in named(bank(ndim, sigma), x).items()}
    assert result["hessian mean"] == pytest.approx(float(eigen.mean()), abs=1e-5)
    if ndim > 1:
        spread = float((eigen - eigen.mean()).square().sum()) / (2 if ndim == 2 else 6)
        assert result["hessian spread"] == pytest.approx((spread + ROOT_EPSILON**2) ** 0.5 - ROOT_EPSILON, abs=1e-5)
    if ndim > 2:
        assert result["hessian lean"] == pytest.approx(
            float((eigen - eigen.mean()).prod()) / (spread + ROOT_EPSILON**2), abs=1e-5
        )


@pytest.mark.parametrize("ndim", [2, 3])
def test_features_of_a_rotated_image_are_rotated(ndim: int) -> None:
    x = torch.randn(1, 1, *(16,) * ndim, generator=torch.Generator().manual_seed(0))
    filters = bank(ndim, 0.7, 2.0, 4.0)
    for first, second in combinations_with_replacement(range(2, 2 + ndim), 2):
        if first == second:
            continue
        for level, turned in zip(filters(x), filters(x.rot90(1, (first, second))), strict=True):
            torch.testing.assert_close(turned.features, level.features.rot90(1, (first, second)), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_features_of_a_mirrored_image_are_mirrored(ndim: int) -> None:
    x = torch.randn(1, 1, *(16,) * ndim, generator=torch.Generator().manual_seed(1))
    filters = bank(ndim, 1.0, 2.0)
    for axis in range(2, 2 + ndim):
        for level, mirrored in zip(filters(x), filters(x.flip(axis)), strict=True):
            torch.testing.assert_close(mirrored.features, level.features.flip(axis), atol=1e-5, rtol=1e-5)


def test_channels_are_filtered_one_by_one() -> None:
    x = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    together = bank(2, 1.0, 2.0, channels=3)(x)
    for channel, sample in product(range(3), range(2)):
        alone = bank(2, 1.0, 2.0)(x[sample : sample + 1, channel : channel + 1])
        for level, one in zip(together, alone, strict=True):
            width = one.features.shape[1]
            part = level.features[sample, channel * width : (channel + 1) * width]
            torch.testing.assert_close(part, one.features[0], atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_a_level_has_the_stated_width_and_factor(ndim: int) -> None:
    filters = bank(ndim, 0.7, 2.5, 8.0, channels=2)
    x = torch.zeros(1, 2, *(8,) * ndim)
    for level, (factor, width) in zip(filters(x), filters.widths, strict=True):
        assert level.factor == factor
        assert level.features.shape == (1, width, *(8 // f for f in factor))


def test_anisotropic_sigmas_downsample_the_fine_axes_only() -> None:
    assert factors((0.5, 4.0, 9.0)) == (1, 4, 8)
    assert factors((1.9, 2.0, 3.9)) == (1, 2, 2)


def test_sigmas_are_in_pixels_of_the_finest_axis() -> None:
    assert scales((1.0, 4.0), (2.0, 0.5, 0.5)) == ((MIN_SIGMA, 1.0, 1.0), (1.0, 4.0, 4.0))
    assert scales((), (1.0,)) == ()


def test_the_border_pixel_is_repeated() -> None:
    x = torch.arange(6.0).reshape(1, 1, 6)
    box = torch.ones(3) / 3
    torch.testing.assert_close(_along(x, box, 0)[0, 0], torch.tensor([1 / 3, 1, 2, 3, 4, 14 / 3]))


def test_the_bank_computes_in_float32_for_any_input() -> None:
    x = torch.randn(1, 1, 16, 16, generator=torch.Generator().manual_seed(0)) + 3
    full, half = (bank(2, 1.0)(part)[0].features for part in (x.bfloat16().float(), x.bfloat16()))
    assert half.dtype is torch.bfloat16
    assert torch.equal(full.bfloat16(), half)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"filters": ((1.0,),), "head": "levels"}, "each scale needs 2 positive numbers"),
        ({"filters": ((1.0, 0.0),), "head": "levels"}, "each scale needs 2 positive numbers"),
        ({"filters": ((1.0, 1.0),)}, "head of kind levels"),
        ({"original": 2}, "head of kind levels"),
        ({"head": "both"}, "head is 'both'"),
        ({"family": "filters", "head": "levels", "depth": 0}, "filters alone"),
        ({"family": "filters", "head": "levels", "filters": ((1.0, 1.0),), "depth": 1}, "filters alone"),
        ({"family": "filters", "head": "levels", "filters": ((1.0, 1.0),), "depth": 0, "original": 1}, "filters alone"),
    ],
)
def test_invalid_banks_and_heads_are_rejected(wrong: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        NetSpec(**wrong)  # type: ignore[arg-type]


def test_features_are_float32_in_mixed_precision() -> None:
    bank = FilterBank(1, [(1.0, 1.0), (2.0, 2.0)])
    x = torch.rand(1, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    plain = bank(x)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = bank(x)
    for one, other in zip(plain, mixed, strict=True):
        assert torch.equal(one.features, other.features)
