"""Roles of axes: convolved, looped over, or channels."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_fcn.geometry import Axes


@st.composite
def axes(draw: st.DrawFn) -> Axes:
    """Draw any order of the usual axes, some of them in space."""
    names = draw(st.permutations(["t", "c", "z", "y", "x"]))
    names = names[: draw(st.integers(1, 5))]
    others = [name for name in names if name != "c"]
    if not others:
        names, others = ["y", "c"], ["y"]
    space = draw(st.permutations(others))[: draw(st.integers(1, min(3, len(others))))]
    return Axes(tuple(names), tuple(space), "c" if "c" in names else None)


@given(axes(), st.integers(1, 3))
def test_from_net_undoes_to_net(roles: Axes, channels: int) -> None:
    shape = tuple(range(2, 2 + len(roles.image)))
    block = np.arange(channels * np.prod(shape)).reshape(channels, *shape)
    net = roles.to_net(block)
    assert net.shape[1] == channels
    assert net.shape[2:] == tuple(shape[roles.image.index(name)] for name in roles.space)
    np.testing.assert_array_equal(roles.from_net(net, shape), block)


@given(axes())
def test_each_item_of_the_batch_is_one_index_of_the_loop_axes(roles: Axes) -> None:
    shape = tuple(range(2, 2 + len(roles.image)))
    loop = [roles.image.index(name) for name in roles.loop]
    block = np.zeros((1, *shape), int)
    for position in loop:  # each pixel holds the number of its place on the loop axes
        block = block * shape[position] + np.arange(shape[position]).reshape(
            [-1 if k == position + 1 else 1 for k in range(block.ndim)]
        )
    net = roles.to_net(block)
    assert len(net) == np.prod([shape[position] for position in loop], dtype=int)
    assert [set(np.unique(item)) for item in net] == [{i} for i in range(len(net))]


@given(axes())
def test_spread_gives_values_to_space_and_the_rest_to_loops(roles: Axes) -> None:
    by_name = dict(zip(roles.image, roles.spread(roles.space, "loop"), strict=True))
    assert by_name == {name: name if name in roles.space else "loop" for name in roles.image}


@given(axes())
def test_the_image_shape_leaves_the_channels_out(roles: Axes) -> None:
    shape = tuple(range(3, 3 + len(roles.names)))
    by_name = dict(zip(roles.names, shape, strict=True))
    assert roles.image_shape(shape) == tuple(by_name[name] for name in roles.image)
    assert roles.channels(shape) == by_name.get("c", 1)


GUESSES = [
    # shape, ndim, names, rgb: names, space, channel
    ((9,), 1, None, False, "x", "x", None),
    ((9, 9), 2, None, False, "yx", "yx", None),
    ((9, 9), 1, None, False, "yx", "x", None),
    ((5, 9, 9), 2, None, False, "zyx", "yx", None),
    ((5, 9, 9), 3, None, False, "zyx", "zyx", None),
    ((3, 5, 9, 9), 3, None, False, "tzyx", "zyx", None),
    ((3, 5, 9, 9), 2, None, False, "tzyx", "yx", None),
    ((3, 2, 5, 9, 9), 3, None, False, "tczyx", "zyx", "c"),
    ((3, 2, 5, 9, 9), 2, None, False, "tczyx", "yx", "c"),
    ((9, 9, 3), 2, None, True, "yxc", "yx", "c"),
    ((5, 9, 9, 3), 2, None, True, "zyxc", "yx", "c"),
    ((5, 9, 9, 4), 3, None, True, "zyxc", "zyx", "c"),
    ((9, 9, 3), 2, "YXS", False, "yxs", "yx", "s"),
    ((2, 9, 9), 2, "CYX", False, "cyx", "yx", "c"),
    ((4, 9, 9), 2, "TYX", False, "tyx", "yx", None),
    ((9, 9, 5), 3, "xyz", False, "xyz", "zyx", None),
    ((5, 9, 9), 2, "qyx", False, "qyx", "yx", None),
    ((5, 9), 1, "qp", False, "qp", "p", None),
    ((5, 9, 9), 3, ("plane", "y", "x"), False, ("plane", "y", "x"), ("plane", "y", "x"), None),
]


@pytest.mark.parametrize(("shape", "ndim", "names", "rgb", "result", "space", "channel"), GUESSES)
def test_common_images_get_the_expected_axes(
    shape: tuple[int, ...], ndim: int, names: str | None, rgb: bool, result: str, space: str, channel: str | None
) -> None:
    roles = Axes.guess(shape, ndim, names, rgb)
    assert (roles.names, roles.space, roles.channel) == (tuple(result), tuple(space), channel)


@pytest.mark.parametrize(
    ("shape", "ndim", "names", "rgb", "message"),
    [
        ((9, 9), 3, None, False, r"3-D model needs 3 axes in space; the image has 2 \(y x\)"),
        ((2, 9), 2, "cx", False, r"2-D model needs 2 axes in space; the image has 1 \(x\)"),
        ((2,), 1, "c", False, "the image has 0"),
        ((4, 9, 9), 3, "tyx", False, "has y x and time"),
        ((9, 9), 2, "zyx", False, "name 3 axes; the image has 2"),
        ((9, 9), 2, "yy", False, "a name of its own"),
        ((), 1, None, False, "name them"),
        ((1, 2, 3, 4, 5, 6), 2, None, False, "name them"),
        ((3,), 1, None, True, "name them"),
    ],
)
def test_axes_that_do_not_fit_are_rejected(
    shape: tuple[int, ...], ndim: int, names: str | None, rgb: bool, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Axes.guess(shape, ndim, names, rgb)


def test_a_role_for_a_missing_axis_is_rejected() -> None:
    with pytest.raises(ValueError, match="have no z or c"):
        Axes(("y", "x"), ("z", "y"), "c")


def test_a_time_series_is_read_by_a_1d_network() -> None:
    assert Axes.guess((500,), 1, ("t",)).space == ("t",)
    with pytest.raises(ValueError, match="and time"):
        Axes.guess((5, 20, 20), 3, ("t", "y", "x"))


@pytest.mark.parametrize(
    ("shape", "ndim", "names", "time", "result", "space"),
    [
        ((4, 9, 9), 3, "tyx", 0, "tyx", "tyx"),
        ((9, 9, 4), 3, "yxt", 0, "yxt", "tyx"),  # in the network's order, wherever time lies in the file
        ((4, 9, 9), 3, "tyx", 2, "tyx", "yxt"),
        ((4, 5, 9, 9), 3, "tzyx", 0, "tzyx", "tyx"),
        ((4, 2, 9, 9), 3, "tcyx", 0, "tcyx", "tyx"),
        ((4, 9), 2, "tx", 0, "tx", "tx"),
        ((4, 9, 9), 3, None, 0, "tyx", "tyx"),
        ((4, 5, 9, 9), 3, None, 0, "tzyx", "tyx"),
        ((5, 9), 2, None, 0, "tx", "tx"),
        ((5, 9, 9), 3, "zyx", 0, "zyx", "zyx"),  # a stack is a movie through depth
    ],
)
def test_a_network_for_movies_convolves_time(
    shape: tuple[int, ...], ndim: int, names: str | None, time: int, result: str, space: str
) -> None:
    roles = Axes.guess(shape, ndim, names, time=time)
    assert (roles.names, roles.space) == (tuple(result), tuple(space))


def test_a_network_for_movies_needs_enough_axes() -> None:
    with pytest.raises(ValueError, match="needs time and 2 axes in space"):
        Axes.guess((9, 9), 3, None, time=0)


@pytest.mark.parametrize(
    ("shape", "ndim", "channels", "time", "result"),
    [
        ((2, 9, 9), 2, 2, None, "cyx"),
        ((9, 9, 2), 2, 2, None, "yxc"),
        ((5, 2, 9, 9), 2, 2, None, "zcyx"),
        ((2, 5, 9, 9), 2, 2, None, "czyx"),
        ((2, 2, 9, 9), 2, 2, None, "zcyx"),
        ((5, 2, 9, 9), 3, 2, 0, "tcyx"),
        ((4, 100), 1, 4, None, "cx"),
        ((5, 9, 9), 2, 2, None, ""),  # no axis is so long
        ((2, 9, 9), 2, 1, None, ""),  # one channel is no axis
        ((2, 9, 9), 3, 2, None, ""),  # too few would be left
        ((3, 2, 5, 9, 9), 3, 2, None, ""),  # five axes have their channels where they usually are
    ],
)
def test_an_axis_as_long_as_the_channels_is_taken_for_channels(
    shape: tuple[int, ...], ndim: int, channels: int, time: int | None, result: str
) -> None:
    assert Axes.suspected(shape, ndim, channels, time) == tuple(result)
