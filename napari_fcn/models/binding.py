"""Which axes, channels and colours of an image a model reads: the one rule for command line, docks and Python.

An image is bound to a model in three steps: its axes get names (the user's, else those of the file or layer, else a
guess from the shape), the names get roles (which the network convolves, which it repeats over, which holds channels),
and of the channels some are read, or a brightness or stain of colours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from napari_fcn.errors import Advice, ImageError, Note
from napari_fcn.geometry import Axes
from napari_fcn.geometry.axes import SPACE, axis_names
from napari_fcn.geometry.calibration import Calibration

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_fcn.settings import PredictSettings

COLOUR_SAMPLES = (3, 4)  # red, green, blue, and perhaps transparency
MEANINGS = {"z": "a stack of planes", "t": "a movie", "c": "channels"}
ANOTHER_CHANNEL = Advice("choose another with --channel.", "choose another under Advanced.")
NO_CALIBRATION = Calibration()


class NetworkShape(Protocol):
    """What of a network decides how it reads an image; a `NetSpec` says so."""

    @property
    def ndim(self) -> int:
        """Axes that it convolves."""

    @property
    def channels(self) -> int:
        """Channels that it reads."""

    @property
    def time(self) -> int | None:
        """Which of its axes is time; None if none is."""


class ChannelsMissing(ImageError):
    """An image with other channels than a network reads; the sentence has no end yet."""


@dataclass(frozen=True, slots=True)
class Network:
    """How a network reads images that is not made yet, or is none; attributes as of `Reads`."""

    ndim: int
    channels: int = 1
    time: int | None = None


@dataclass(frozen=True, slots=True)
class ImageForm:
    """What is known of an image before a model reads it.

    Attributes
    ----------
    shape : tuple of int
        Of the array, colours included.
    names : tuple of str
        Name of each axis, as its file or layer says; empty if that does not say.
    rgb : bool
        Whether the last axis holds colours.
    calibration : Calibration
        Of the axes of the array, colours perhaps left out; of no axes if nothing is known.
    """

    shape: tuple[int, ...]
    names: tuple[str, ...] = ()
    rgb: bool = False
    calibration: Calibration = NO_CALIBRATION


@dataclass(frozen=True, slots=True)
class Binding:
    """How a model reads an image.

    Attributes
    ----------
    axes : Axes
        Role of each axis of the array.
    rgb : bool
        Whether the channels are colours.
    calibration : Calibration
        Size, unit and origin of the pixels along each image axis.
    is_guessed : bool
        Whether the axes were guessed, and might well be others.
    notes : tuple of str
        Sentences for the user: what of the axes was guessed or is unusual.
    """

    axes: Axes
    rgb: bool
    calibration: Calibration
    is_guessed: bool = False
    notes: tuple[str, ...] = ()

    @property
    def remarks(self) -> tuple[str, ...]:
        """The notes without that on a guess, which docks show in their own way."""
        return self.notes[self.is_guessed :]

    @property
    def spacing(self) -> tuple[float, ...]:
        """Pixel size per axis of the network in micrometres, 0 where it is not known; empty if it is for none."""
        sizes = self.calibration.take(self.axes.space_positions).micrometres
        return sizes if any(sizes) else ()

    @property
    def ratios(self) -> tuple[float, ...]:
        """Pixel sizes along the axes of the network relative to each other."""
        return self.calibration.take(self.axes.space_positions).ratios

    @property
    def spelled(self) -> str:
        """The axes as people write them: TZYX, or words where one has no letter."""
        return _format_names(self.axes.names)


def bind(form: ImageForm, network: NetworkShape, names: Sequence[str] = ()) -> Binding:
    """Return how a network reads an image.

    Parameters
    ----------
    form : ImageForm
        What is known of the image.
    network : Reads
        What the network reads.
    names : sequence of str
        What the user calls the axes, a letter or word for each; the colours of a picture may be left out. Empty: as
        the image says.

    Raises
    ------
    ImageError
        If names and shape do not fit each other or the network, or the image has channels and colours.
    """
    asked, told = _complete_names(axis_names(names), form), axis_names(form.names)
    given = asked or told
    if len(set(asked)) < len(asked):
        raise ImageError(f"Each axis needs a name of its own; the names given are {' '.join(asked)}.")
    try:
        if not given and not form.rgb:
            given = Axes.suspected(form.shape, network.ndim, network.channels, network.time)
        axes = Axes.guess(form.shape, network.ndim, _split_names(given, form.shape), form.rgb, network.time)
    except ValueError as error:
        raise ImageError(str(error)) from error
    rgb = _is_colour(axes, form)
    is_guessed = not (asked or told) and len(form.shape) - rgb > min(2, network.ndim)
    guess = (_guess(axes, form.shape),) if is_guessed else ()
    kept = [position for position, name in enumerate(axes.names) if name != axes.channel]
    known = form.calibration if len(form.calibration) > max(kept) else Calibration.unknown(len(form.shape))
    return Binding(
        axes,
        rgb,
        known.take(kept).named(axes.image),
        is_guessed=is_guessed,
        notes=(*guess, *_remarks(axes, network.time, (asked, told))),
    )


def read_channels(
    count: int, wanted: int, settings: PredictSettings, rgb: bool
) -> tuple[tuple[int, ...] | str, tuple[str, ...]]:
    """Return the channels that a network reads, or what of colours, and what the user should know.

    Parameters
    ----------
    count, wanted : int
        Channels of the image, and those that the network reads.
    settings : PredictSettings
        Which channel, or what of the colours, a network of one channel reads.
    rgb : bool
        Whether the channels are colours.

    Raises
    ------
    ImageError
        If the channels do not fit the network; `ChannelsMissing` if it reads more, or others, than there are.
    """
    channel = settings.channel
    if channel is not None:
        if wanted != 1:
            raise ImageError(f"The model reads {wanted} channels; one was chosen: {channel}. Leave it empty.")
        if not 0 <= channel < count:
            raise ImageError(f"Channel {channel} was asked for; the image has channels 0 to {count - 1}.")
        return (channel,), ()
    if count == wanted:
        return tuple(range(count)), ()
    if rgb and wanted == len("RGB"):
        return (0, 1, 2), ()
    if wanted == 1 and rgb:
        return settings.colour, (f"Of the colours, {settings.colour} was read.",)
    if wanted == 1:
        return (0,), (Note(f"Channel 0 of {count} was read;", ANOTHER_CHANNEL),)
    raise ChannelsMissing(f"The model reads {wanted} channels; the image has {count}. Choose another model or image")


def is_colour(axes: Axes, shape: Sequence[int], rgb: bool) -> bool:
    """Return whether the channels of an array are colours: samples of a picture, red, green and blue first."""
    return axes.channels(shape) in COLOUR_SAMPLES and (axes.channel == "s" or (rgb and axes.channel == axes.names[-1]))


def _complete_names(names: tuple[str, ...], form: ImageForm) -> tuple[str, ...]:
    """Return names with one for the colours, if the user left that out."""
    if names and form.rgb and len(names) == len(form.shape) - 1:
        return (*names, "s" if "c" in names else "c")
    return names


def _split_names(names: tuple[str, ...], shape: Sequence[int]) -> tuple[str, ...]:
    """Return names of which one only stands for channels.

    Raises
    ------
    ImageError
        If the image has several channels and colours: which of both a model should read is not for us to say.
    """
    if not {"c", "s"} <= set(names) or len(names) != len(shape):
        return names
    counts = {name: shape[names.index(name)] for name in ("c", "s")}
    if min(counts.values()) > 1:
        raise ImageError(
            f"The image has {counts['c']} channels (c) of {counts['s']} colours (s) each; a model reads one or the "
            "other. Save one of the channels as an image of its own, or the colours as grey values."
        )
    single = min(counts, key=lambda name: counts[name])
    return tuple({"c": "channel", "s": "sample"}[name] if name == single else name for name in names)


def _is_colour(axes: Axes, form: ImageForm) -> bool:
    return is_colour(axes, form.shape, form.rgb)


def _guess(axes: Axes, shape: Sequence[int]) -> Note:
    """Return that axes were guessed, and what else they may be."""
    first, *others = axes.names
    known = [
        f"{_format_names((name, *others))} for {text}" for name, text in MEANINGS.items() if name not in axes.names
    ]
    if shape[-1] in COLOUR_SAMPLES:
        known.append(f"{_format_names((*axes.names[1:], 's'))} for colours")
    if first not in MEANINGS or not known:
        known = ["a letter for each"]
    advice = f"If that is wrong, {{}}: {' or '.join(known)}."
    return Note(
        f"The axes have no names: read as {_format_names(axes.names)}, a guess.",
        Advice(advice.format("use --axes"), advice.format("name them under Axes")),
    )


def _remarks(axes: Axes, time: int | None, names: tuple[tuple[str, ...], tuple[str, ...]]) -> tuple[str, ...]:
    """Return what of the axes a user should know."""
    asked, told = names
    notes = []
    if asked and told and asked != told:
        notes.append(
            f"The image names its axes {_format_names(told)}; they were read as {_format_names(asked)}, as asked."
        )
    if time is not None and axes.space[time] != "t":
        name = axes.space[time]
        notes.append(
            f"The model looks along time, and the image has no axis t: {name} was read as time. If {name} is none, "
            "choose a model for planes or volumes."
        )
    elif time is None and len(axes.image) > 1:
        others = [name for name in axes.space if name not in SPACE]
        if others:
            notes.append(f"The model looks along {' '.join(axes.space)}: {', '.join(others)} was read as space.")
    return tuple(notes)


def _format_names(names: Sequence[str]) -> str:
    return ("" if all(len(name) == 1 for name in names) else " ").join(names).upper()
