"""The axes, channels and colours of an image that a model reads, and the notes on them."""

from typing import Any

import pytest

from napari_fcn.errors import ImageError, in_dock
from napari_fcn.geometry import Axes
from napari_fcn.geometry.calibration import UNKNOWN, Calibration
from napari_fcn.models.binding import (
    Binding,
    ImageForm,
    Network,
    bind,
    bind_array,
    is_colour,
    new_network,
    read_channels,
)
from napari_fcn.settings import PredictSettings

PLANES, VOLUMES, MOVIES = Network(2), Network(3), Network(3, 1, 0)


def bound(shape: tuple[int, ...], names: Any = (), network: Network = PLANES, **more: Any) -> Binding:
    given = more.pop("given", ())
    return bind(ImageForm(shape, tuple(names), **more), network, tuple(given))


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
def test_axis_names_distinguish_samples_channels_and_planes(
    shape: tuple[int, ...], names: str, space: str, channel: str | None, rgb: bool
) -> None:
    binding = bound(shape, names)
    assert (binding.axes.space, binding.axes.channel, binding.rgb) == (tuple(space), channel, rgb)
    assert not binding.is_guessed


@pytest.mark.parametrize("names", ["cyxs", "csyx"])
def test_an_image_with_channels_and_colours_is_rejected(names: str) -> None:
    shape = tuple({"c": 2, "s": 3}.get(name, 9) for name in names)
    with pytest.raises(ImageError, match=r"2 channels \(c\) of 3 colours \(s\) each.*Save one"):
        bound(shape, names)
    assert bound((2, 9, 9, 3), ("c", "y", "x"), rgb=False, given=("z", "y", "x", "s")).rgb


def test_a_single_channel_with_colours_is_a_loop_axis() -> None:
    binding = bound((1, 9, 9, 3), "cyxs")
    assert (binding.axes.channel, binding.rgb, binding.axes.loop) == ("s", True, ("channel",))


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
def test_the_note_on_guessed_axes_names_the_alternatives(
    shape: tuple[int, ...], network: Network, names: str, others: tuple[str, ...]
) -> None:
    binding = bound(shape, network=network)
    assert binding.is_guessed
    note = binding.notes[0]
    assert f"The axes have no names; {names} is a guess. If that is wrong, use --axes" in note
    assert all(other in note for other in others)
    assert "--axes" not in in_dock(note)
    assert binding.remarks == ()


@pytest.mark.parametrize("given", [{"names": "zyx"}, {"given": "tyx"}], ids=["named by the file", "named by the user"])
def test_named_axes_are_not_guessed(given: dict) -> None:
    binding = bound((5, 9, 9), **given)
    assert not binding.is_guessed
    assert binding.notes == ()


@pytest.mark.parametrize(("shape", "rgb"), [((9, 9), False), ((9, 9, 3), True)])
def test_a_single_plane_is_not_a_guess(shape: tuple[int, ...], rgb: bool) -> None:
    assert not bound(shape, rgb=rgb).is_guessed


def test_a_note_says_that_a_movie_model_reads_a_stack() -> None:
    assert "z is read as time" in bound((5, 9, 9), "zyx", MOVIES).notes[0]
    assert bound((5, 9, 9), "tyx", MOVIES).notes == ()


def test_a_movie_is_rejected_by_a_3d_model() -> None:
    with pytest.raises(ImageError, match="y x and time"):
        bound((5, 9, 9), "tyx", VOLUMES)
    with pytest.raises(ImageError, match="y x and time"):
        bound((5, 9, 9), ("Frames", "y", "x"), VOLUMES)


def test_a_note_names_an_unusual_axis_that_is_read_as_space() -> None:
    assert "angle is read as space" in bound((5, 9, 9), ("angle", "y", "x"), VOLUMES).notes[0]


def test_given_axes_override_those_of_the_image_with_a_note() -> None:
    calibration = Calibration.of((30, 0.5, 0.5), ("second", "micrometer", "micrometer"))
    binding = bound((5, 9, 9), "tyx", given="zyx", calibration=calibration)
    assert binding.axes.names == ("z", "y", "x")
    assert "names its axes TYX; read as ZYX, as given" in binding.notes[0]
    assert binding.calibration.axes == (UNKNOWN, *calibration.axes[1:])  # seconds are no depth
    assert binding.spacing == (0.5, 0.5)


@pytest.mark.parametrize(
    ("given", "message"),
    [("yx", "name 2 axes; the image has 3"), ("tzyx", "name 4 axes"), ("yyx", "a name of its own"), ("tyy", "own")],
)
def test_axes_that_do_not_fit_are_rejected(given: str, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        bound((5, 9, 9), given=given)


def test_the_colour_axis_may_be_omitted() -> None:
    assert bound((9, 9, 3), rgb=True, given="yx").rgb
    assert bound((9, 9, 3), "yxs", rgb=True, given="yxc").rgb
    assert not bound((9, 9, 3), "yxs", rgb=True, given="zyx").rgb


def test_colours_are_three_or_four_channels_along_the_last_axis_or_samples() -> None:
    axes = bound((9, 9, 3), "yxc").axes
    assert is_colour(axes, (9, 9, 3), rgb=True)
    assert not is_colour(axes, (9, 9, 3), rgb=False)
    assert not is_colour(bound((3, 9, 9), "cyx").axes, (3, 9, 9), rgb=True)


def test_one_channel_models_read_channel_0_or_a_conversion_of_colours() -> None:
    settings = PredictSettings()
    assert read_channels(3, 1, settings, rgb=False)[0] == (0,)
    assert read_channels(3, 1, settings, rgb=True)[0] == "luminance"
    assert read_channels(3, 1, PredictSettings(channel=2), rgb=True)[0] == (2,)
    assert read_channels(4, 3, settings, rgb=True)[0] == (0, 1, 2)


@pytest.mark.parametrize(("rgb", "is_colour"), [(None, True), (True, True), (False, False)])
def test_three_channels_named_last_are_colours_unless_rgb_is_false(rgb: bool | None, is_colour: bool) -> None:
    binding = bound((9, 9, 3), given="yxc", rgb=rgb)
    assert binding.rgb is is_colour
    assert [note for note in binding.notes if "--channel" in note] == list(binding.notes)
    assert len(binding.notes) == (rgb is None)


@pytest.mark.parametrize(
    ("shape", "names", "given"),
    [
        ((9, 9, 3), "yxc", ""),
        ((9, 9, 3), "yxc", "yxc"),
        ((3, 9, 9), "", "cyx"),
        ((9, 9, 2), "", "yxc"),
        ((9, 9, 3), "", ""),
    ],
    ids=["named by the file", "named by both", "channels first", "two channels", "without names"],
)
def test_other_channels_are_not_assumed_to_be_colours(shape: tuple[int, ...], names: str, given: str) -> None:
    binding = bound(shape, names, given=given)
    assert not binding.rgb
    assert not any("colours. If they are not" in note for note in binding.notes)


def test_a_model_that_reads_all_channels_needs_no_note_on_colours() -> None:
    assert bound((9, 9, 3), given="yxc", network=Network(2, 3)).notes == ()


def test_an_array_is_bound_by_names_roles_or_a_binding() -> None:
    by_names = bind_array((3, 9, 9), PLANES, "cyx", rgb=False)
    assert bind_array((3, 9, 9), PLANES, by_names.axes, rgb=False).axes == by_names.axes
    assert bind_array((3, 9, 9), PLANES, by_names) is by_names
    assert bind_array((3, 9, 9), Network(2, 3)).axes.names == ("c", "y", "x")


def test_channels_on_a_first_axis_are_colours_if_rgb_is_true() -> None:
    assert bind_array((3, 9, 9), PLANES, "cyx", rgb=True).rgb
    assert bind_array((3, 9, 9), PLANES, Axes(("c", "y", "x"), ("y", "x"), "c"), rgb=True).rgb
    assert not bind_array((3, 9, 9), PLANES, "cyx").rgb


def test_axes_for_another_number_of_dimensions_are_rejected() -> None:
    with pytest.raises(ImageError, match="The model is 3-D; the axes in space are y x"):
        bind_array((5, 9, 9), VOLUMES, Axes(("t", "y", "x"), ("y", "x")))


@pytest.mark.parametrize(
    ("family", "names", "expected"),
    [
        ("unet", "", (2, None)),
        ("unet", "zyx", (3, None)),
        ("unet", "tyx", (2, None)),
        ("filters", "zyx", (3, None)),
        ("video", "", (3, 0)),
        ("video", "tyx", (3, 0)),
    ],
)
def test_a_new_network_convolves_the_axes_of_its_image(
    family: str, names: str, expected: tuple[int, int | None]
) -> None:
    network = new_network(family, (5, 9, 9), tuple(names))
    assert (network.ndim, network.time) == expected


def test_a_stain_that_a_model_of_colours_does_not_use_is_named() -> None:
    settings = PredictSettings(colour="haematoxylin")
    assert read_channels(3, 3, settings, rgb=True, colours=True) == (
        (0, 1, 2),
        ("The model reads all colours: haematoxylin is not used.",),
    )
    assert read_channels(3, 3, PredictSettings(), rgb=True, colours=True) == ((0, 1, 2), ())
    assert read_channels(3, 3, settings, rgb=False) == ((0, 1, 2), ())
