"""Boxes behave as the sets of pixels that they stand for."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_fcn.geometry import Region

NDIMS = st.integers(1, 3)
SHAPE = (7, 6, 5)


def regions(ndim: int) -> st.SearchStrategy[Region]:
    """Boxes that may be empty or reach beyond an array of `SHAPE`."""
    starts = st.tuples(*[st.integers(-3, 8)] * ndim)
    lengths = st.tuples(*[st.integers(0, 6)] * ndim)
    return st.builds(lambda a, n: Region(a, tuple(i + k for i, k in zip(a, n, strict=True))), starts, lengths)


ONE = NDIMS.flatmap(regions)
TWO = NDIMS.flatmap(lambda ndim: st.tuples(regions(ndim), regions(ndim)))


def pixels(region: Region) -> set[tuple[int, ...]]:
    return {tuple(int(i) + a for i, a in zip(index, region.start, strict=True)) for index in np.ndindex(region.shape)}


@given(ONE)
def test_size_counts_the_pixels(region: Region) -> None:
    assert region.size == len(pixels(region))
    assert region.is_empty == (not pixels(region))


@given(TWO)
def test_the_intersection_holds_the_common_pixels(pair: tuple[Region, Region]) -> None:
    one, other = pair
    assert pixels(one.intersection(other)) == pixels(one) & pixels(other)
    assert one.intersects(other) == bool(pixels(one) & pixels(other))


@given(TWO)
def test_the_union_is_the_smallest_box_with_both(pair: tuple[Region, Region]) -> None:
    one, other = pair
    union = one.union(other)
    assert union.contains(one)
    assert union.contains(other)
    corners = zip(one.start, other.start, one.stop, other.stop, strict=True)
    assert union == Region(*zip(*((min(a, b), max(c, d)) for a, b, c, d in corners), strict=True))


@given(TWO)
def test_containing_a_box_that_is_not_empty_is_containing_its_pixels(pair: tuple[Region, Region]) -> None:
    one, other = pair
    if not other.is_empty:
        assert one.contains(other) == (pixels(other) <= pixels(one))


@given(ONE)
def test_clipping_keeps_the_pixels_of_the_array(region: Region) -> None:
    shape = SHAPE[: region.ndim]
    assert pixels(region.clip(shape)) == pixels(region) & set(np.ndindex(shape))


@given(ONE)
def test_slices_index_the_box_in_an_array(region: Region) -> None:
    inside = region.clip(SHAPE[: region.ndim])
    array = np.zeros(SHAPE[: region.ndim], bool)
    array[inside.slices] = True
    assert {tuple(int(i) for i in index) for index in np.argwhere(array)} == pixels(inside)


@given(TWO)
def test_a_shift_and_its_opposite_return_the_box(pair: tuple[Region, Region]) -> None:
    region, other = pair
    moved = region.shift(other.start)
    assert moved.shape == region.shape
    assert moved.relative_to(other) == region


@given(ONE, st.integers(0, 4), st.integers(0, 4))
def test_growing_adds_pixels_on_each_side(region: Region, before: int, after: int) -> None:
    grown = region.grow((before,) * region.ndim, (after,) * region.ndim)
    assert grown.contains(region)
    assert grown.shape == tuple(n + before + after for n in region.shape)
    assert region.grow((before,) * region.ndim) == region.grow((before,) * region.ndim, (before,) * region.ndim)


def test_start_and_stop_need_one_number_of_axes() -> None:
    with pytest.raises(ValueError, match="differ in the number of axes"):
        Region((0, 0), (1,))


def test_a_box_that_stops_before_its_start_is_empty() -> None:
    assert Region((5,), (2,)).shape == (0,)
    assert Region((5,), (2,)).is_empty
