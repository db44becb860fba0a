"""A receptive field as distances from a pixel."""

from hypothesis import given
from hypothesis import strategies as st

from napari_fcn.geometry import ReceptiveField, Region

SIDES = st.tuples(*[st.integers(0, 9)] * 2)


@given(SIDES, SIDES)
def test_the_size_counts_the_pixel_itself(before: tuple[int, int], after: tuple[int, int]) -> None:
    field = ReceptiveField(before, after)
    assert field.size == tuple(a + b + 1 for a, b in zip(before, after, strict=True))
    assert field.halo == ((before[0], after[0]), (before[1], after[1]))


@given(SIDES, SIDES, st.tuples(st.integers(0, 11), st.integers(0, 19)))
def test_the_box_around_a_pixel_is_the_field_clipped_at_the_image(
    before: tuple[int, int], after: tuple[int, int], index: tuple[int, int]
) -> None:
    shape = (12, 20)
    box = ReceptiveField(before, after).around(index, shape)
    assert box.start == tuple(max(0, i - a) for i, a in zip(index, before, strict=True))
    assert box.stop == tuple(min(n, i + b + 1) for i, b, n in zip(index, after, shape, strict=True))


def test_the_field_of_a_single_pixel_is_the_pixel() -> None:
    assert ReceptiveField((0,), (0,)).around((3,), (9,)) == Region((3,), (4,))
