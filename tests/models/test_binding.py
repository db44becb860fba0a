"""Which axes, channels and colours of an image a model reads, and what is said of it."""

from typing import Any

import pytest

from napari_fcn.errors import ImageError, in_dock
from napari_fcn.geometry.calibration import UNKNOWN, Calibration
from napari_fcn.models.binding import Binding, ImageForm, Network, bind, is_colour, read_channels
from napari_fcn.settings import PredictSettings

PLANES, VOLUMES, MOVIES = Network(2), Network(3), Network(3, 1, 0)


def bound(shape: tuple[int, ...], names: Any = (), network: Network = PLANES, **more: Any) -> Binding:
    asked = more.pop("asked", ())
    return bind(ImageForm(shape, tuple(names), **more), network, tuple(asked))


@pytest.mark.parametrize(
    ("shape", "names", "space", "channel", "rgb"),
    [
        ((9, 9, 3), "yxs", "yx", "s", True),
        ((3, 9, 9), "syx", "yx", "s", True),
        ((5, 9, 9, 3), "zyxs", "yx", "s", True),
        ((2, 5, 9, 9, 3), "tzyxs", "yx", "s", True),
        ((9, 9, 2), "yxs", "yx", "s", False),
        ((3, 9, 9), "cyx", "yx", "c", False),
        ((9, 9, 3), "yxc", "yx", "c", False),
        ((2, 2, 9, 9), ("Time", "Channel", "Height", "WIDTH"), "yx", "c", False),
        ((2, 9, 9), ("frame", "row", "column"), "yx", None, False),
    ],
)
def test_samples_channels_and_planes_are_told_apart_by_their_names(
    shape: tuple[int, ...], names: str, space: str, channel: str | None, rgb: bool
) -> None:
    found = bound(shape, names)
    assert (found.axes.space, found.axes.channel, found.rgb) == (tuple(space), channel, rgb)
    assert not found.is_guessed


@pytest.mark.parametrize("names", ["cyxs", "csyx"])
def test_an_image_with_channels_and_colours_is_refused(names: str) -> None:
    shape = tuple({"c": 2, "s": 3}.get(name, 9) for name in names)
    with pytest.raises(ImageError, match=r"2 channels \(c\) of 3 colours \(s\) each.*Save one"):
        bound(shape, names)
    assert bound((2, 9, 9, 3), ("c", "y", "x"), rgb=False, asked=("z", "y", "x", "s")).rgb


def test_one_channel_beside_colours_is_no_choice() -> None:
    found = bound((1, 9, 9, 3), "cyxs")
    assert (found.axes.channel, found.rgb, found.axes.loop) == ("s", True, ("channel",))


@pytest.mark.parametrize(
    ("shape", "network", "names", "others"),
    [
        ((5, 9, 9), PLANES, "ZYX", ("TYX for a movie", "CYX for channels")),
        ((5, 9, 9), VOLUMES, "ZYX", ("TYX for a movie",)),
        ((5, 9, 9), MOVIES, "TYX", ("ZYX for a stack",)),
        ((2, 9, 9), Network(2, 2), "CYX", ("ZYX for a stack", "TYX for a movie")),
        ((4, 5, 9, 9), PLANES, "TZYX", ("CZYX for channels",)),
        ((5, 9), Network(1), "YX", ()),
        ((90, 90, 3), PLANES, "ZYX", ("TYX for a movie", "YXS for colours")),
    ],
)
def test_a_guess_is_said_with_what_else_the_axes_may_be(
    shape: tuple[int, ...], network: Network, names: str, others: tuple[str, ...]
) -> None:
    found = bound(shape, network=network)
    assert found.is_guessed
    said = found.notes[0]
    assert f"read as {names}, a guess. If that is wrong, use --axes" in said
    assert all(other in said for other in others)
    assert "--axes" not in in_dock(said)
    assert found.remarks == ()


@pytest.mark.parametrize("given", [{"names": "zyx"}, {"asked": "tyx"}], ids=["named by the file", "named by the user"])
def test_of_axes_with_names_nothing_is_guessed(given: dict) -> None:
    found = bound((5, 9, 9), **given)
    assert not found.is_guessed
    assert found.notes == ()


@pytest.mark.parametrize(("shape", "rgb"), [((9, 9), False), ((9, 9, 3), True)])
def test_a_plane_can_be_read_in_one_way_only(shape: tuple[int, ...], rgb: bool) -> None:
    assert not bound(shape, rgb=rgb).is_guessed


def test_a_stack_under_a_model_for_movies_is_said() -> None:
    assert "z was read as time" in bound((5, 9, 9), "zyx", MOVIES).notes[0]
    assert bound((5, 9, 9), "tyx", MOVIES).notes == ()


def test_a_movie_under_a_model_for_volumes_is_refused() -> None:
    with pytest.raises(ImageError, match="y x and time"):
        bound((5, 9, 9), "tyx", VOLUMES)
    with pytest.raises(ImageError, match="y x and time"):
        bound((5, 9, 9), ("Frames", "y", "x"), VOLUMES)


def test_an_axis_of_another_name_that_is_read_as_space_is_said() -> None:
    assert "angle was read as space" in bound((5, 9, 9), ("angle", "y", "x"), VOLUMES).notes[0]


def test_axes_that_contradict_the_image_count_and_are_said() -> None:
    lying = Calibration.of((30, 0.5, 0.5), ("second", "micrometer", "micrometer"))
    found = bound((5, 9, 9), "tyx", asked="zyx", calibration=lying)
    assert found.axes.names == ("z", "y", "x")
    assert "names its axes TYX; they were read as ZYX" in found.notes[0]
    assert found.calibration.axes == (UNKNOWN, *lying.axes[1:])  # seconds are no depth
    assert found.spacing == (0.5, 0.5)


@pytest.mark.parametrize(
    ("asked", "message"),
    [("yx", "name 2 axes; the image has 3"), ("tzyx", "name 4 axes"), ("yyx", "a name of its own"), ("tyy", "own")],
)
def test_axes_that_do_not_fit_are_refused(asked: str, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        bound((5, 9, 9), asked=asked)


def test_of_a_picture_the_colours_need_no_name() -> None:
    assert bound((9, 9, 3), rgb=True, asked="yx").rgb
    assert bound((9, 9, 3), "yxs", rgb=True, asked="yxc").rgb
    assert not bound((9, 9, 3), "yxs", rgb=True, asked="zyx").rgb


def test_colours_are_three_or_four_samples_behind_the_plane_or_named_so() -> None:
    axes = bound((9, 9, 3), "yxc").axes
    assert is_colour(axes, (9, 9, 3), rgb=True)
    assert not is_colour(axes, (9, 9, 3), rgb=False)
    assert not is_colour(bound((3, 9, 9), "cyx").axes, (3, 9, 9), rgb=True)


def test_of_channels_the_first_is_read_and_of_colours_what_the_settings_say() -> None:
    settings = PredictSettings()
    assert read_channels(3, 1, settings, rgb=False)[0] == (0,)
    assert read_channels(3, 1, settings, rgb=True)[0] == "luminance"
    assert read_channels(3, 1, PredictSettings(channel=2), rgb=True)[0] == (2,)
    assert read_channels(4, 3, settings, rgb=True)[0] == (0, 1, 2)
