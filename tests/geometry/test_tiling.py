"""Tiles partition the image; their reads, order and lengths."""

from math import ceil

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from napari_fcn.geometry import Region, Tile, TilePlan
from napari_fcn.geometry.tiling import balanced_tile

Axis = tuple[int, int, tuple[int, int], int]


@st.composite
def axes(draw: st.DrawFn, longest: int) -> Axis:
    """Draw one axis of a plan: length, tile, halo, multiple; tiles may be longer than the image."""
    multiple = draw(st.sampled_from([1, 2, 4, 8]))
    tile = multiple * draw(st.integers(1, 4))
    return draw(st.integers(1, longest)), tile, (draw(st.integers(0, 11)), draw(st.integers(0, 11))), multiple


@st.composite
def plans(draw: st.DrawFn, most: int = 4) -> TilePlan:
    ndim = draw(st.integers(1, most))
    drawn = [draw(axes({1: 60, 2: 40, 3: 16, 4: 10}[ndim])) for _ in range(ndim)]
    shape, tile, halo, multiple = (tuple(column) for column in zip(*drawn, strict=True))
    region = draw(st.none() | regions_in(shape))
    return TilePlan(shape, tile, halo, multiple, region)


def regions_in(shape: tuple[int, ...]) -> st.SearchStrategy[Region]:
    """Draw a region of an image that is not empty."""
    pair = [st.tuples(st.integers(0, n - 1), st.integers(0, n - 1)).map(sorted) for n in shape]
    return st.tuples(*pair).map(lambda p: Region(tuple(a for a, _ in p), tuple(b + 1 for _, b in p)))


def boxes_in(shape: tuple[int, ...]) -> st.SearchStrategy[Region]:
    pair = [st.tuples(st.integers(-2, n + 2), st.integers(-2, n + 2)).map(sorted) for n in shape]
    return st.tuples(*pair).map(lambda p: Region(tuple(a for a, _ in p), tuple(b for _, b in p)))


PLAN_AND_BOX = plans(3).flatmap(lambda plan: st.tuples(st.just(plan), boxes_in(plan.shape)))


@given(plans())
def test_cores_partition_the_image_or_its_region(plan: TilePlan) -> None:
    covered = np.zeros(plan.shape, np.int16)
    for tile in plan:
        covered[tile.core.slices] += 1
    assert covered.sum() == plan.area.size
    assert (covered[plan.area.slices] == 1).all()
    assert len(plan) == len(list(plan))


@given(plans())
def test_reads_start_on_the_pooling_grid(plan: TilePlan) -> None:
    for tile in plan:
        assert all(start % m == 0 for start, m in zip(tile.read.start, plan.multiple, strict=True))


@given(plans())
def test_reads_contain_the_halo_or_end_at_the_border(plan: TilePlan) -> None:
    before, after = zip(*plan.halo, strict=True)
    for tile in plan:
        assert tile.read.contains(tile.core.grow(before, after).clip(plan.shape))
        assert Region.whole(plan.shape).contains(tile.read)


@given(plans())
def test_all_interior_tiles_have_one_read_shape(plan: TilePlan) -> None:
    def is_interior(tile: Tile) -> bool:
        sides = zip(tile.core.start, tile.core.stop, plan.margin, plan.shape, strict=True)
        return all(a >= before and b + after <= n for a, b, (before, after), n in sides)

    interior = [t for t in plan if is_interior(t) and t.core.shape == plan.tile]
    assert len({tile.read.shape for tile in interior}) <= 1


@given(plans())
def test_the_crop_is_the_core_in_the_read_block(plan: TilePlan) -> None:
    image = np.arange(np.prod(plan.shape)).reshape(plan.shape)
    for tile in plan:
        np.testing.assert_array_equal(image[tile.read.slices][tile.crop.slices], image[tile.core.slices])


@given(PLAN_AND_BOX)
def test_touching_yields_the_tiles_whose_cores_share_a_pixel(drawn: tuple[TilePlan, Region]) -> None:
    plan, box = drawn
    assert list(plan.touching(box)) == [tile for tile in plan if tile.core.intersects(box)]


@given(PLAN_AND_BOX)
def test_nearest_first_yields_each_tile_once(drawn: tuple[TilePlan, Region]) -> None:
    plan, box = drawn
    ordered = list(plan.nearest_first(box))
    assert len(ordered) == len(plan)
    assert set(ordered) == set(plan)


@given(PLAN_AND_BOX)
def test_nearest_first_starts_with_the_tiles_at_the_region(drawn: tuple[TilePlan, Region]) -> None:
    plan, box = drawn
    touched = set(plan.touching(box))
    assert set(list(plan.nearest_first(box))[: len(touched)]) == touched


@given(PLAN_AND_BOX, st.data())
def test_tiles_follow_the_visible_region_and_are_yielded_once(
    drawn: tuple[TilePlan, Region], data: st.DataObject
) -> None:
    plan, box = drawn
    corner = Region(tuple(n - 1 for n in plan.area.stop), plan.area.stop)
    turn = data.draw(st.integers(0, len(plan) - 1))
    seen: list[Tile] = []
    for tile in plan.following(lambda: box if len(seen) < turn else corner):
        seen.append(tile)
    assert len(seen) == len(set(seen)) == len(plan)
    assert seen[:turn] == list(plan.nearest_first(box))[:turn]
    assert seen[turn:] == [tile for tile in plan.nearest_first(corner) if tile not in seen[:turn]]


@given(st.integers(1, 4), st.integers(1, 3), st.data())
def test_the_visible_plane_precedes_all_others(times: int, planes: int, data: st.DataObject) -> None:
    plan = TilePlan((times, planes, 20, 24), (1, 1, 8, 8), ((0, 0), (0, 0), (3, 3), (3, 3)), (1, 1, 4, 4))
    t, z = data.draw(st.integers(0, times - 1)), data.draw(st.integers(0, planes - 1))
    shown = Region((t, z, 4, 4), (t + 1, z + 1, 9, 9))
    order = [tile.core.start[:2] for tile in plan.nearest_first(shown)]
    assert set(order[: 3 * 3]) == {(t, z)}
    distance = [(abs(a - t), abs(b - z)) for a, b in order]
    assert [a * a + b * b for a, b in distance] == sorted(a * a + b * b for a, b in distance)


@given(plans())
def test_the_largest_read_is_the_longest_along_each_axis(plan: TilePlan) -> None:
    reads = [tile.read.shape for tile in plan]
    assert plan.largest_read == tuple(max(lengths) for lengths in zip(*reads, strict=True))


@given(plans())
def test_read_pixels_is_the_sum_over_the_tiles(plan: TilePlan) -> None:
    assert plan.read_pixels == sum(tile.read.size for tile in plan)
    assert plan.shapes == len({tile.read.shape for tile in plan})


def test_a_plan_with_many_tiles_has_a_summary() -> None:
    plan = TilePlan((10**15, 64), (8, 64), ((3, 5), (0, 0)), (1, 1))
    assert plan.read_pixels == 64 * (10**15 + 8 * (10**15 // 8) - 3 - 5)
    assert plan.shapes == 3


@given(st.lists(axes(400), min_size=1, max_size=3), st.integers(0, 90))
def test_a_balanced_tile_never_reads_more_than_its_window(drawn: list[Axis], extra: int) -> None:
    shape, _, halo, multiple = (tuple(column) for column in zip(*drawn, strict=True))
    least = [ceil(a / m) * m + ceil(b / m) * m + m for (a, b), m in zip(halo, multiple, strict=True)]
    window = [n + extra for n in least]
    tile = balanced_tile(shape, window, halo, multiple)
    plan = TilePlan(shape, tile, halo, multiple)
    assert all(read <= w for read, w in zip(plan.largest_read, window, strict=True))


@given(st.lists(axes(400), min_size=1, max_size=3), st.integers(0, 90), st.data())
def test_a_balanced_tile_of_a_region_never_reads_more_than_its_window(
    drawn: list[Axis], extra: int, data: st.DataObject
) -> None:
    shape, _, halo, multiple = (tuple(column) for column in zip(*drawn, strict=True))
    window = [ceil(a / m) * m + ceil(b / m) * m + m + extra for (a, b), m in zip(halo, multiple, strict=True)]
    region = data.draw(regions_in(shape))
    plan = TilePlan(shape, balanced_tile(shape, window, halo, multiple, region), halo, multiple, region)
    assert all(read <= w for read, w in zip(plan.largest_read, window, strict=True))


@given(plans(2), st.data())
def test_tiles_within_a_box_cover_it_and_read_on_the_grid(plan: TilePlan, data: st.DataObject) -> None:
    box = data.draw(regions_in(plan.shape))
    covered = np.zeros(plan.shape, np.int16)
    for tile in plan.within(box):
        covered[tile.core.slices] += 1
        assert all(start % m == 0 for start, m in zip(tile.read.start, plan.multiple, strict=True))
    assert covered.sum() == box.intersection(plan.area).size


@given(axes(400), st.integers(0, 90))
def test_no_other_tile_covers_an_axis_with_fewer_windows(axis: Axis, extra: int) -> None:
    n, _, (before, after), m = axis
    window = ceil(before / m) * m + ceil(after / m) * m + m + extra
    chosen = TilePlan((n,), balanced_tile((n,), (window,), ((before, after),), (m,)), ((before, after),), (m,))
    for tile in range(m, n + m, m):
        other = TilePlan((n,), (tile,), ((before, after),), (m,))
        assert len(chosen) <= len(other) or other.largest_read[0] > window


def test_2048_pixels_in_windows_of_1080_need_two_windows_along_each_axis() -> None:
    halo = ((56, 56), (56, 56))
    tile = balanced_tile((2048, 2048), (1080, 1080), halo, (8, 8))
    plan = TilePlan((2048, 2048), tile, halo, (8, 8))
    assert plan.counts == (2, 2)
    assert plan.largest_read == (1080, 1080)


def test_tiles_of_an_axis_that_a_header_claims_are_found_without_a_loop_over_their_number() -> None:
    n, halo = 10**15, (58, 58)
    tile = balanced_tile((n,), (200,), (halo,), (8,))  # a loop over 10^13 counts of tiles would never end
    assert tile == (72,)
    assert TilePlan((n,), tile, (halo,), (8,)).largest_read == (200,)


@given(axes(300))
def test_an_image_within_the_window_is_one_tile(axis: Axis) -> None:
    n, _, halo, m = axis
    assert len(TilePlan((n,), balanced_tile((n,), (n,), (halo,), (m,)), (halo,), (m,))) == 1


def test_a_window_smaller_than_its_halo_names_the_minimum() -> None:
    with pytest.raises(ValueError, match=r"cannot hold the halo \(9, 9\); use at least 28"):
        balanced_tile((100,), (20,), ((9, 9),), (4,))
    assert balanced_tile((100,), (24 + 4,), ((9, 9),), (4,)) == (4,)


@given(axes(60))
def test_a_tile_off_the_pooling_grid_is_rejected_unless_it_covers_the_image(axis: Axis) -> None:
    n, tile, halo, m = axis
    assume(m > 1)
    with pytest.raises(ValueError, match="not a positive multiple"):
        TilePlan((tile + 5,), (tile + 1,), (halo,), (m,))
    assert len(TilePlan((n,), (n,), (halo,), (m,))) == 1


@pytest.mark.parametrize("tile", [0, -4])
def test_a_tile_needs_a_positive_length(tile: int) -> None:
    with pytest.raises(ValueError, match=f"Tile length {tile}"):
        TilePlan((10,), (tile,), ((0, 0),), (1,))


def test_a_plan_needs_one_entry_for_each_axis() -> None:
    with pytest.raises(ValueError, match="for each axis"):
        TilePlan((10, 10), (5,), ((0, 0), (0, 0)), (1, 1))
