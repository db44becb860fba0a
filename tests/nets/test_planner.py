"""The planned network fits the pixels, the objects and the size of the image."""

from math import prod

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_fcn.nets import NetSpec
from napari_fcn.nets.planner import CONTEXT_FACTOR, MIN_LENGTH, POOLING_RATIO
from napari_fcn.nets.size import min_receptive_field
from napari_fcn.nets.validation import NETWORKS
from napari_fcn.receptive_fields.theoretical import theoretical

SIZES = st.floats(0.05, 5)


@given(st.sampled_from(NETWORKS), st.integers(1, 3), st.data())
def test_a_network_can_be_planned_for_any_image(family: str, ndim: int, data: st.DataObject) -> None:
    shape = [data.draw(st.integers(1, 3000)) for _ in range(ndim)]
    spacing = data.draw(st.one_of(st.just(1.0), st.lists(SIZES, min_size=ndim, max_size=ndim)))
    size = data.draw(st.one_of(st.none(), st.floats(0.1, 500)))
    spec = NetSpec.suggest(spacing, size, ndim, 2, 3, shape, family=family)
    assert (spec.family, spec.ndim, spec.channels, spec.classes) == (family, ndim, 2, 3)
    assert spec.depth == len(spec.pool) <= 8
    for axis, n in enumerate(shape):
        factor = prod(step[axis] for step in spec.pool)
        assert factor == 1 or n // factor >= MIN_LENGTH


@given(st.lists(SIZES, min_size=3, max_size=3))
def test_a_coarse_axis_is_pooled_once_the_others_are_as_coarse(spacing: list[float]) -> None:
    spec = NetSpec.suggest(spacing, ndim=3)
    size = list(spacing)
    for kernel, step in zip(spec.kernel, spec.pool, strict=False):
        for axis in range(3):
            is_fine = size[axis] < POOLING_RATIO * min(size)
            assert kernel[axis] == (3 if is_fine else 1)
            assert step[axis] == (2 if is_fine else 1)
        size = [s * p for s, p in zip(size, step, strict=True)]


@given(st.integers(1, 3), st.floats(0.1, 3))
def test_isotropic_pixels_give_the_default_network(ndim: int, size: float) -> None:
    default = NetSpec(ndim=ndim, width=16 if ndim < 3 else 8, depth=3)
    assert NetSpec.suggest(size, ndim=ndim) == NetSpec.suggest((size,) * ndim, ndim=ndim) == default


@pytest.mark.parametrize(
    ("shape", "spacing", "pool"),
    [
        ((20, 512, 512), (2.0, 0.5, 0.5), ((1, 2, 2), (1, 2, 2), (2, 2, 2))),
        ((5, 512, 512), (0.5, 0.5, 0.5), ((1, 2, 2),) * 3),
        ((10, 10), (1.0, 1.0), ()),
        ((16, 40), 1.0, ((2, 2), (1, 2))),
    ],
)
def test_pools_follow_pixel_size_and_length(
    shape: tuple[int, ...], spacing: tuple[float, ...], pool: tuple[tuple[int, ...], ...]
) -> None:
    assert NetSpec.suggest(spacing, ndim=len(shape), shape=shape).pool == pool


@pytest.mark.parametrize("family", NETWORKS)
@pytest.mark.parametrize(("spacing", "size"), [((0.5, 0.5), 4.0), ((0.5, 0.5), 15.0), ((1.0, 0.25), 10.0), (0.3, 0.5)])
def test_the_receptive_field_is_twice_as_large_as_an_object(
    family: str, spacing: tuple[float, float] | float, size: float
) -> None:
    spec = NetSpec.suggest(spacing, size, family=family)
    pixel_sizes = spacing if isinstance(spacing, tuple) else (spacing, spacing)
    field_sizes = [n * s for n, s in zip(theoretical(spec).size, pixel_sizes, strict=True)]
    assert all(s >= CONTEXT_FACTOR * size for axis, s in enumerate(field_sizes) if axis != spec.time)
    if spec.depth > 1:  # no deeper than needed
        shallower = NetSpec.suggest(spacing, size, family=family, depth=spec.depth - 1)
        field_sizes = [(2 * n + 1) * s for n, s in zip(min_receptive_field(shallower), pixel_sizes, strict=True)]
        assert any(s < CONTEXT_FACTOR * size for axis, s in enumerate(field_sizes) if axis != spec.time)


def test_larger_objects_need_deeper_networks() -> None:
    depths = [NetSpec.suggest(0.5, size).depth for size in (2, 10, 20, 60, 10_000)]
    assert depths == sorted(depths)
    assert depths[0] == 1
    assert depths[-1] == 6


def test_a_small_image_needs_a_receptive_field_no_larger_than_itself() -> None:
    assert NetSpec.suggest(1.0, 1000, shape=(64, 64)).depth < NetSpec.suggest(1.0, 1000, shape=(4096, 4096)).depth


def test_time_is_convolved_and_never_pooled() -> None:
    spec = NetSpec.suggest((30.0, 0.3, 0.3), 10.0, 3, family="video")
    assert {level[0] for level in spec.kernel} == {3}
    assert set(spec.pool) == {(1, 2, 2)}
    unet = NetSpec.suggest((0.001, 0.3, 0.3), 10.0, 3, time=0)
    assert (unet.kernel, unet.pool) == (spec.kernel, spec.pool)


def test_given_fields_are_kept() -> None:
    assert NetSpec.suggest(1.0, depth=1, width=4, norm="none") == NetSpec(depth=1, width=4, norm="none")
    given_pools = NetSpec.suggest((4.0, 1.0), 10.0, pool=2, depth=2)
    assert given_pools == NetSpec(depth=2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"voxel_size": (1.0,)}, "voxel_size has 1 numbers; a 2-D network needs 2"),
        ({"voxel_size": 0.0}, "sizes must be positive"),
        ({"voxel_size": 1.0, "object_size": -2.0}, "object_size -2.0; sizes must be positive"),
        ({"voxel_size": 1.0, "shape": (5,)}, "The image has 1 lengths"),
        ({"voxel_size": 1.0, "family": "transformer"}, "family is 'transformer'"),
        ({"voxel_size": 1.0, "attention": 2}, "not known here: attention"),
    ],
)
def test_invalid_sizes_are_rejected(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        NetSpec.suggest(**arguments)  # type: ignore[arg-type]
