"""Binds an image to a model: the axes, channels and colours that the model reads, for command line, docks and Python.

There are three steps. Axes get names: those of the user, else those of the file or layer, else a guess from the shape.
Names get roles: the network convolves some axes and loops over others, and one is the channel axis. Finally, channels
are selected, or the luminance or a stain is computed from colours.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from napari_fcn.errors import Advice, ImageError, Note
from napari_fcn.geometry import Axes
from napari_fcn.geometry.axes import SPACE, axis_names
from napari_fcn.geometry.calibration import Calibration
from napari_fcn.settings import COLOURS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_fcn.settings import PredictSettings

COLOUR_SAMPLES = (3, 4)  # red, green, blue, with or without alpha
AXIS_MEANINGS = {"z": "a stack of planes", "t": "a movie", "c": "channels"}
ANOTHER_CHANNEL = Advice("choose another with --channel.", "choose another under Advanced.")
NOT_COLOURS = Advice("choose one with --channel.", "choose one under Advanced.")
NO_CALIBRATION = Calibration()


class NetworkShape(Protocol):
    """The properties of a network that determine how it reads an image; `NetSpec` has them."""

    @property
    def ndim(self) -> int:
        """Number of axes that it convolves."""

    @property
    def channels(self) -> int:
        """Number of channels that it reads."""

    @property
    def time(self) -> int | None:
        """Index of the time axis among its axes; None if it has none."""

    @property
    def colours(self) -> bool:
        """Whether its channels are red, green and blue, and a grey image is read three times."""


class ChannelsMissing(ImageError):
    """The image has other channels than the network reads. The caller completes the message."""


@dataclass(frozen=True, slots=True)
class Network:
    """The `NetworkShape` of a network that does not exist yet, or of a filter bank."""

    ndim: int
    channels: int = 1
    time: int | None = None
    colours: bool = False


@dataclass(frozen=True, slots=True)
class ImageForm:
    """Shape, axis names, colours and pixel sizes of an image, as stated by its file, layer or caller.

    Attributes
    ----------
    shape : tuple of int
        Shape of the array, colours included.
    names : tuple of str
        Name of each axis, as stated by the file or layer; empty if not stated.
    rgb : bool or None
        Whether the last axis contains colours. If it is None and the user names the last axis as channels, three or
        four channels are colours.
    calibration : Calibration
        Calibration of the axes of the array, with or without the colours; empty if unknown.
    """

    shape: tuple[int, ...]
    names: tuple[str, ...] = ()
    rgb: bool | None = None
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
        Whether the axes were guessed.
    notes : tuple of str
        Sentences for the user on axes and colours that were guessed or are unusual.
    """

    axes: Axes
    rgb: bool
    calibration: Calibration
    is_guessed: bool = False
    notes: tuple[str, ...] = ()

    @property
    def remarks(self) -> tuple[str, ...]:
        """The notes except that on guessed axes, which docks display separately."""
        return self.notes[self.is_guessed :]

    @property
    def spacing(self) -> tuple[float, ...]:
        """Pixel size per axis of the network in micrometres, 0 if unknown; empty if unknown for all axes."""
        sizes = self.calibration.take(self.axes.space_positions).micrometres
        return sizes if any(sizes) else ()

    @property
    def ratios(self) -> tuple[float, ...]:
        """Pixel sizes along the axes of the network relative to each other."""
        return self.calibration.take(self.axes.space_positions).ratios

    @property
    def axis_text(self) -> str:
        """The axes as text: letters such as TZYX, or words if an axis has no letter."""
        return _format_names(self.axes.names)


def bind(form: ImageForm, network: NetworkShape, names: Sequence[str] = ()) -> Binding:
    """Return how a network reads an image.

    Parameters
    ----------
    form : ImageForm
        The image.
    network : NetworkShape
        The network.
    names : sequence of str
        Axis names given by the user, a letter or word each; that of colours may be omitted. If empty, the names of the
        image are used.

    Raises
    ------
    ImageError
        If names, shape and network do not fit each other, or the image has both channels and colours.
    """
    given, stated = _complete_names(axis_names(names), form), axis_names(form.names)
    if len(set(given)) < len(given):
        raise ImageError(f"Each axis needs a name of its own; the names given are {' '.join(given)}.")
    used, is_rgb = given or stated, bool(form.rgb)
    try:
        if not used and not is_rgb:
            channels = 1 if network.colours else network.channels
            used = Axes.suspected(form.shape, network.ndim, channels, network.time)
        axes = Axes.guess(form.shape, network.ndim, _split_names(used, form.shape), is_rgb, network.time)
    except ValueError as error:
        raise ImageError(str(error)) from error
    is_assumed = form.rgb is None and not stated and bool(given)
    rgb = is_colour(axes, form.shape, is_rgb or is_assumed)
    is_guessed = not (given or stated) and len(form.shape) - rgb > min(2, network.ndim)
    notes: list[str] = [_guess(axes, form.shape)] if is_guessed else []
    notes += _remarks(axes, network.time, (given, stated))
    if is_assumed and rgb and axes.channel == "c" and axes.channels(form.shape) != network.channels:
        notes.append(_assumed_colours(axes.channels(form.shape)))
    return Binding(axes, rgb, _image_calibration(form, axes), is_guessed, tuple(notes))


def bind_array(
    shape: Sequence[int],
    network: NetworkShape,
    axes: Binding | Axes | Sequence[str] | None = None,
    rgb: bool | None = None,
) -> Binding:
    """Return how a network reads an array, for callers in Python.

    Parameters
    ----------
    shape : sequence of int
        Shape of the array.
    network : NetworkShape
        The network.
    axes : Binding, Axes or sequence of str, optional
        An existing binding, or the role or name of each axis; guessed from the shape if not given.
    rgb : bool, optional
        Whether the channels are colours. If not given, three or four channels along a last axis named c are colours.

    Raises
    ------
    ImageError
        If axes, shape and network do not fit each other.
    """
    if isinstance(axes, Binding):
        binding = axes
    elif isinstance(axes, Axes):
        binding = Binding(axes, is_colour(axes, shape, rgb is not False), Calibration.unknown(len(axes.image)))
    else:
        binding = bind(ImageForm(tuple(shape), rgb=rgb), network, tuple(axes or ()))
    if len(binding.axes.space) != network.ndim:
        raise ImageError(f"The model is {network.ndim}-D; the axes in space are {' '.join(binding.axes.space)}.")
    is_stated = rgb is True and binding.axes.channels(shape) in COLOUR_SAMPLES
    return replace(binding, rgb=True) if is_stated and not isinstance(axes, Binding) else binding


def new_network(
    family: str, shape: Sequence[int], names: Sequence[str] = (), ndim: int | None = None, time: int | None = None
) -> Network:
    """Return how a new network or a filter bank for an image reads it.

    Parameters
    ----------
    family : str
        Family of the network, or ``filters``; the family ``video`` convolves time.
    shape : sequence of int
        Shape of the image without colours.
    names : sequence of str
        Names of the axes: the network convolves those in space. Without names it convolves planes, and time if it is a
        network for movies.
    ndim, time : int, optional
        Number of axes that it convolves, and index of time among them, if given by the user.
    """
    time = 0 if time is None and family == "video" else time
    convolved = (*SPACE, "t") if time is not None else SPACE
    given = axis_names(names)
    count = max(1, sum(name in convolved for name in given)) if given else min(2, len(shape)) + (time is not None)
    return Network(ndim or min(3, count), 1, time)


def read_channels(
    count: int, wanted: int, settings: PredictSettings, rgb: bool, colours: bool = False
) -> tuple[tuple[int, ...] | str, tuple[str, ...]]:
    """Return the channels that a network reads, or the name of a colour conversion, and notes for the user.

    Parameters
    ----------
    count, wanted : int
        Number of channels of the image, and of the network.
    settings : PredictSettings
        The channel, or the colour conversion, for a network with one channel.
    rgb : bool
        Whether the channels are colours.
    colours : bool
        Whether the network reads red, green and blue; if the image has other channels, it reads one of them three
        times.

    Raises
    ------
    ImageError
        If the channels do not fit the network; `ChannelsMissing` if the image has too few, or it is unclear which to
        read.
    """
    channel = settings.channel
    if colours and not (rgb and channel is None):
        one, notes = read_channels(count, 1, settings, False)
        return (int(one[0]),) * wanted, notes
    if channel is not None:
        if wanted != 1:
            raise ImageError(f"The model reads {wanted} channels; one was chosen: {channel}. Leave it empty.")
        if not 0 <= channel < count:
            raise ImageError(f"Channel {channel} was requested; the image has channels 0 to {count - 1}.")
        return (channel,), ()
    is_unused = rgb and settings.colour != COLOURS[0]
    unused = (f"The model reads all colours: {settings.colour} is not used.",) if is_unused else ()
    if count == wanted:
        return tuple(range(count)), unused
    if rgb and wanted == len("RGB"):
        return (0, 1, 2), unused
    if wanted == 1 and rgb:
        return settings.colour, (f"RGB image: using {settings.colour}.",)
    if wanted == 1:
        return (0,), (Note(f"Image with {count} channels: using channel 0;", ANOTHER_CHANNEL),)
    raise ChannelsMissing(f"The model reads {wanted} channels; the image has {count}. Choose another model or image")


def is_colour(axes: Axes, shape: Sequence[int], rgb: bool) -> bool:
    """Return whether the channels of an array are colours: red, green, blue, and possibly alpha.

    With ``rgb``, channels along the last axis are colours; samples (axis s) always are.
    """
    return axes.channels(shape) in COLOUR_SAMPLES and (axes.channel == "s" or (rgb and axes.channel == axes.names[-1]))


def _complete_names(names: tuple[str, ...], form: ImageForm) -> tuple[str, ...]:
    """Return names, with one added for the colours if the user omitted it."""
    if names and form.rgb and len(names) == len(form.shape) - 1:
        return (*names, "s" if "c" in names else "c")
    return names


def _split_names(names: tuple[str, ...], shape: Sequence[int]) -> tuple[str, ...]:
    """Return names with at most one channel axis.

    Raises
    ------
    ImageError
        If the image has several channels and colours.
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


def _image_calibration(form: ImageForm, axes: Axes) -> Calibration:
    """Return the calibration of the image axes, without channels."""
    positions = [position for position, name in enumerate(axes.names) if name != axes.channel]
    calibration = form.calibration if len(form.calibration) > max(positions) else Calibration.unknown(len(form.shape))
    return calibration.take(positions).named(axes.image)


def _guess(axes: Axes, shape: Sequence[int]) -> Note:
    """Return a note on guessed axes, with alternatives."""
    first, *others = axes.names
    alternatives = [
        f"{_format_names((name, *others))} for {text}" for name, text in AXIS_MEANINGS.items() if name not in axes.names
    ]
    if shape[-1] in COLOUR_SAMPLES:
        alternatives.append(f"{_format_names((*axes.names[1:], 's'))} for colours")
    if first not in AXIS_MEANINGS or not alternatives:
        alternatives = ["a letter for each"]
    advice = f"If that is wrong, {{}}: {' or '.join(alternatives)}."
    return Note(
        f"The axes have no names; {_format_names(axes.names)} is a guess.",
        Advice(advice.format("use --axes"), advice.format("name them under Axes")),
    )


def _assumed_colours(count: int) -> Note:
    return Note(f"The last axis holds {count} channels: read as colours. If they are not,", NOT_COLOURS)


def _remarks(axes: Axes, time: int | None, names: tuple[tuple[str, ...], tuple[str, ...]]) -> tuple[str, ...]:
    """Return notes on axes that are read in an unusual way."""
    given, stated = names
    notes = []
    if given and stated and given != stated:
        notes.append(f"The image names its axes {_format_names(stated)}; read as {_format_names(given)}, as given.")
    if time is not None and axes.space[time] != "t":
        name = axes.space[time]
        notes.append(
            f"The model convolves time and the image has no axis t: {name} is read as time. If {name} is not time, "
            "choose a model for planes or volumes."
        )
    elif time is None and len(axes.image) > 1:
        others = [name for name in axes.space if name not in SPACE]
        if others:
            notes.append(f"The model convolves {' '.join(axes.space)}: {', '.join(others)} is read as space.")
    return tuple(notes)


def _format_names(names: Sequence[str]) -> str:
    return ("" if all(len(name) == 1 for name in names) else " ").join(names).upper()
