"""The window of a large image, and its indexing."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_fcn.geometry import Region
from napari_fcn.gui._layers import Canvas, ColourTile, move_window, window_around
from napari_fcn.gui._layers.viewport import MAX_WINDOW_PIXELS, MAX_WINDOW_SIDE, WindowedArray


@st.composite
def seen(draw: st.DrawFn) -> tuple[tuple[int, ...], Region]:
    """An image shape and its visible region: a plane or a volume."""
    shape = tuple(draw(st.lists(st.integers(1, 100_000), min_size=2, max_size=4)))
    shown = draw(st.integers(2, min(3, len(shape))))
    spans = []
    for axis, n in enumerate(shape):
        a = draw(st.integers(0, n - 1))
        spans.append((a, draw(st.integers(a + 1, n)) if axis >= len(shape) - shown else a + 1))
    return shape, Region(tuple(a for a, _ in spans), tuple(b for _, b in spans))


@given(seen())
def test_a_window_is_inside_the_image_around_the_view_and_limited(case: tuple) -> None:
    shape, view = case
    window = window_around(shape, view)
    assert Region.whole(shape).contains(window)
    assert window.size <= MAX_WINDOW_PIXELS
    assert window.contains(Region(view.middle, tuple(i + 1 for i in view.middle)))
    is_fitting = all(n <= MAX_WINDOW_SIDE for n in view.shape) and view.ndim - view.shape.count(1) <= 2
    assert window.contains(view) or not is_fitting
    assert move_window(window, shape, view) == window
    assert move_window(Region.whole(shape), shape, view) == Region.whole(shape)


@pytest.mark.parametrize(
    ("shape", "view", "expected"),
    [
        ((50_000, 50_000), ((20_000, 100), (20_500, 600)), ((18_202, 0), (22_298, 4096))),
        ((1000, 2048, 2048), ((500, 0, 0), (501, 2048, 2048)), ((492, 0, 0), (508, 2048, 2048))),
        ((8, 64, 1024, 1024), ((3, 10, 0, 0), (4, 11, 900, 900)), ((3, 0, 0, 0), (4, 64, 1024, 1024))),
        ((4000, 4000, 4000), ((0, 0, 0), (4000, 4000, 4000)), ((1797, 1797, 1797), (2203, 2203, 2204))),
    ],
    ids=["plane", "stack", "movie of volumes", "volume in 3-D"],
)
def test_displayed_axes_have_priority_then_the_last_axes(shape: tuple, view: tuple, expected: tuple) -> None:
    assert window_around(shape, Region(*view)) == Region(*expected)


def test_a_window_moves_only_if_the_view_leaves_it() -> None:
    shape, window = (50_000, 50_000), Region((10_000, 10_000), (14_096, 14_096))
    assert move_window(window, shape, Region((10_000, 13_000), (10_600, 14_096))) == window
    assert move_window(window, shape, Region((10_500, 9_999), (11_000, 10_500))) != window
    assert move_window(window, shape, Region((9_000, 9_000), (15_000, 16_000))) == window  # larger, but around it
    assert move_window(window, shape, Region((12_000, 12_000), (20_000, 20_000))) != window


def test_a_window_has_the_shape_of_the_displayed_axes() -> None:
    shape, window = (200, 2048, 2048), Region((10, 0, 0), (26, 2048, 2048))
    cube = move_window(window, shape, Region.whole(shape))
    assert cube == Region((0, 735, 735), (200, 1314, 1314))
    assert move_window(cube, shape, Region((50, 800, 800), (51, 1000, 1000))) == cube
    across = move_window(cube, shape, Region((0, 900, 0), (200, 901, 2048)))
    assert across == Region((0, 819, 0), (200, 982, 2048))


def test_a_windowed_array_is_indexed_like_the_whole() -> None:
    whole = np.arange(48, dtype=np.uint8).reshape(6, 8)
    window = Region((1, 2), (4, 7))
    pane = WindowedArray(whole.shape, window, whole[window.slices].copy())
    assert pane.shape == whole.shape
    inside = Region((2, 3), (4, 5)).slices
    np.testing.assert_array_equal(pane[inside], whole[inside])
    pane[inside] = 99
    assert (pane.array[1:3, 1:3] == 99).all()
    across = Region((3, 6), (6, 8)).slices
    assert pane[across].tolist() == [[whole[3, 6], 0], [0, 0], [0, 0]]
    pane[across] = np.full((3, 2), 77)
    assert np.argwhere(pane.array == 77).tolist() == [[2, 4]]


def test_a_moved_canvas_keeps_the_common_pixels() -> None:
    canvas = Canvas(Region((0, 10), (5, 20)))
    region = Region((1, 8), (3, 16))
    classes = np.arange(16, dtype=np.uint8).reshape(2, 8) + 1
    colours = np.repeat(classes[..., None], 4, axis=-1)
    canvas.put(ColourTile(region, colours, classes, np.zeros(2, np.int64), 1, 1))
    np.testing.assert_array_equal(canvas.classes[1:3, :6], classes[:, 2:])
    canvas.move_window(Region((2, 12), (7, 22)))
    assert canvas.window == Region((2, 12), (7, 22))
    np.testing.assert_array_equal(canvas.classes[0, :4], classes[1, 4:])
    np.testing.assert_array_equal(canvas.probabilities[0, :4, 3], classes[1, 4:])
    assert np.count_nonzero(canvas.classes) == 4
    canvas.prefault(Region((0, 0), (100, 100)))
    assert np.count_nonzero(canvas.classes) == 4
