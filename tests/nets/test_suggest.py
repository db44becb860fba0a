"""The network that is suggested fits the image and its pixels."""

from math import prod

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_fcn.models.plan import ALIKE, SHORTEST, suggested
from napari_fcn.nets import NetSpec

SIZES = st.floats(0.05, 5)


@given(st.integers(1, 3), st.data())
def test_any_image_gets_a_network_that_can_be_built(ndim: int, data: st.DataObject) -> None:
    shape = [data.draw(st.integers(1, 3000)) for _ in range(ndim)]
    spacing = data.draw(st.one_of(st.just([]), st.lists(SIZES, min_size=ndim, max_size=ndim)))
    spec = suggested(shape, spacing, channels=2, classes=3)
    assert (spec.ndim, spec.channels, spec.classes) == (ndim, 2, 3)
    assert spec.depth == len(spec.pool) <= 3
    for axis, n in enumerate(shape):
        factor = prod(step[axis] for step in spec.pool)
        assert factor == 1 or n // factor >= SHORTEST


@given(st.lists(SIZES, min_size=3, max_size=3))
def test_a_coarse_axis_waits_until_the_others_are_as_coarse(spacing: list[float]) -> None:
    spec = suggested((512,) * 3, spacing)
    size = list(spacing)
    for kernel, step in zip(spec.kernel, spec.pool, strict=False):
        for axis in range(3):
            is_alike = size[axis] < ALIKE * min(size)
            assert kernel[axis] == (3 if is_alike else 1)
            assert step[axis] == (2 if is_alike else 1)
        size = [s * p for s, p in zip(size, step, strict=True)]


@given(st.integers(1, 3), st.integers(64, 500))
def test_alike_pixels_give_the_plain_network(ndim: int, length: int) -> None:
    plain = NetSpec(ndim=ndim, width=16 if ndim < 3 else 8, depth=3)
    assert suggested((length,) * ndim) == suggested((length,) * ndim, (0.3,) * ndim) == plain


@pytest.mark.parametrize(
    ("shape", "spacing", "pool"),
    [
        ((20, 512, 512), (2.0, 0.5, 0.5), ((1, 2, 2), (1, 2, 2), (2, 2, 2))),
        ((5, 512, 512), (0.5, 0.5, 0.5), ((1, 2, 2),) * 1),
        ((10, 10), (1.0, 1.0), ()),
        ((16, 40), (), ((2, 2), (1, 2))),
    ],
)
def test_pools_follow_pixel_size_and_length(
    shape: tuple[int, ...], spacing: tuple[float, ...], pool: tuple[tuple[int, ...], ...]
) -> None:
    found = suggested(shape, spacing).pool
    assert found[: len(pool)] == pool
    if not pool:
        assert found == ()
