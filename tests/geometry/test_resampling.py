"""An image at another pixel size, by region."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from napari_fcn.geometry import Region
from napari_fcn.geometry.resampling import KERNELS, Resampling, resampled_length

every_kernel = pytest.mark.parametrize("kernel", sorted(KERNELS))


def whole(grid: Resampling, image: np.ndarray) -> np.ndarray:
    return grid.apply(image, Region.whole(grid.target))


@st.composite
def grids_and_regions(draw: st.DrawFn) -> tuple[Resampling, Region]:
    ndim = draw(st.integers(1, 3))
    source, target = (draw(st.tuples(*[st.integers(1, 25)] * ndim)) for _ in range(2))
    start = tuple(draw(st.integers(0, n - 1)) for n in target)
    stop = tuple(draw(st.integers(a + 1, n)) for a, n in zip(start, target, strict=True))
    return Resampling(source, target, draw(st.sampled_from(sorted(KERNELS)))), Region(start, stop)


@given(grids_and_regions(), st.integers(0, 99))
@example(
    (Resampling((4,), (12,), "cubic"), Region((0,), (2,))), 0
)  # the second target pixel uses one source pixel only
def test_a_region_equals_that_of_the_whole_bit_for_bit(case: tuple[Resampling, Region], seed: int) -> None:
    grid, region = case
    image = np.random.default_rng(seed).normal(size=(2, *grid.source))
    needed = grid.needs(region)
    assert Region.whole(grid.source).contains(needed)
    piece = grid.apply(image[(slice(None), *needed.slices)], region)
    np.testing.assert_array_equal(piece, whole(grid, image)[(slice(None), *region.slices)])


@given(grids_and_regions())
@settings(max_examples=40)
def test_a_region_reads_only_pixels_it_depends_on(case: tuple[Resampling, Region]) -> None:
    """Each outermost row that is read has influence."""
    grid, region = case
    needed = grid.needs(region)
    for axis in range(needed.ndim):
        for side in (needed.start[axis], needed.stop[axis] - 1):
            image = np.zeros((1, *grid.source))
            image[(0, *(slice(None),) * axis, side)] = 1e6
            assert whole(grid, image)[(0, *region.slices)].any()


@every_kernel
@pytest.mark.parametrize("target", [(7,), (20,), (31,)])
def test_a_constant_image_stays_constant(kernel: str, target: tuple[int, ...]) -> None:
    result = whole(Resampling((20,), target, kernel), np.full((1, 20), 3.0))
    np.testing.assert_allclose(result, 3, rtol=1e-6)


@every_kernel
@pytest.mark.parametrize("target", [30, 80])
def test_positions_are_kept(kernel: str, target: int) -> None:
    """A resampled ramp has the values at the pixel centres."""
    result = whole(Resampling((60,), (target,), kernel), np.arange(60.0)[None])[0]
    centres = (np.arange(target) + 0.5) * 60 / target - 0.5
    inside = slice(target // 6, -(target // 6))
    np.testing.assert_allclose(result[inside], centres[inside], atol=0.15 if kernel == "gaussian" else 1e-4)


@every_kernel
def test_detail_finer_than_the_target_is_removed(kernel: str) -> None:
    stripes = np.tile([-1.0, 1.0], 60)[None]
    result = whole(Resampling((120,), (40,), kernel), stripes)[0, 2:-2]  # the border goes on as half a stripe
    assert np.abs(result).max() < 0.15


def test_enlarging_by_two_is_linear_interpolation() -> None:
    result = whole(Resampling((3,), (6,)), np.array([[0.0, 4.0, 8.0]]))
    np.testing.assert_allclose(result, [[0, 1, 3, 5, 7, 8]])


def test_resampling_back_keeps_probabilities() -> None:
    values = np.random.default_rng(0).random((3, 12, 9)).astype(np.float32)
    result = whole(Resampling((29, 5), (12, 9), "cubic").back, values / values.sum(0))
    assert result.shape == (3, 29, 5)
    assert result.min() >= 0
    np.testing.assert_allclose(result.sum(0), 1, atol=1e-6)


def test_invalid_grids_are_rejected() -> None:
    with pytest.raises(ValueError, match="cannot be resampled"):
        Resampling((3, 4), (3,))
    with pytest.raises(ValueError, match="cannot be resampled"):
        Resampling((3,), (0,))
    with pytest.raises(ValueError, match="no kernel 'sinc'"):
        Resampling((3,), (4,), "sinc")
    with pytest.raises(ValueError, match="depends on"):
        Resampling((8,), (4,)).apply(np.zeros((1, 5)), Region((0,), (4,)))


@pytest.mark.parametrize(
    ("length", "size", "target_size", "expected"), [(100, 0.5, 0.25, 200), (9, 1, 2, 5), (1, 1, 9, 1)]
)
def test_lengths_keep_the_field_of_view(length: int, size: float, target_size: float, expected: int) -> None:
    assert resampled_length(length, size, target_size) == expected
