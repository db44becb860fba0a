"""The description of an image that a dock shows before a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_fcn.errors import ImageError, in_dock
from napari_fcn.gui._controllers.request import ImageInfo
from napari_fcn.gui._layers import LayerImage, read_layer
from napari_fcn.inference.resampling import sizes_differ
from napari_fcn.inference.source import ImageSource
from napari_fcn.io.units import unit_symbol
from napari_fcn.models.binding import bind, new_network
from napari_fcn.settings import PredictSettings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.layers import Image

    from napari_fcn.geometry import Axes
    from napari_fcn.gui._controllers.model_catalog import ModelEntry
    from napari_fcn.gui._controllers.request import Request
    from napari_fcn.models.binding import Binding, NetworkShape

COLOUR_NAMES = ("red", "green", "blue", "alpha")


def describe_image(layer: Image, request: Request | None, model: ModelEntry | None) -> ImageInfo:
    """Return the description of a layer and, if a model is chosen, why it cannot run on it."""
    image = read_layer(layer)
    network = default_ndim(image, request.new if request else "") if model is None else model.info.spec
    try:
        bound = bind(image.form, network, request.axes if request else ())
    except ImageError as error:
        return ImageInfo(_size_text(image), "".join(image.names), problem=in_dock(error))
    axes = bound.axes
    settings = request.settings if request else PredictSettings()
    channels = _channel_names(bound, image)
    parts = [_size_text(image), _pixel_size_text(bound), _axes_text(bound, image), _loop_text(axes)]
    if model and (network.channels == 1 or network.colours) and channels and not bound.rgb:
        parts.append(_channel_text(channels, settings.channel, image))
    return ImageInfo(
        " · ".join(filter(None, [*parts, *bound.remarks, _meaning_text(image)])),
        _format_axes(axes, image),
        channels,
        bound.rgb,
        _problem(image, bound, settings, model) if model else "",
        _pixel_size_warning(bound.spacing, model) if model else "",
    )


def _meaning_text(image: LayerImage) -> str:
    """Return a note if the values of a layer are not intensities; empty if they are."""
    if not image.meaning:
        return ""
    return f"The layer holds {image.meaning}. Open the file in the Batch dock, which converts it."


def _channel_text(channels: Sequence[str], chosen: int | None, image: LayerImage) -> str:
    name, count = channels[min(chosen or 0, len(channels) - 1)], len(channels)
    return f"uses {name}, one of {count} channels" if name in image.channels else f"uses {name} of {count}"


def default_ndim(image: LayerImage, family: str = "") -> NetworkShape:
    """Return the axes that filters or a new network of a family use: a plane, and time for movie networks."""
    return new_network(family, image.shape[:-1] if image.rgb else image.shape)


def _pixel_size_warning(spacing: Sequence[float], model: ModelEntry) -> str:
    """Return a warning if the pixel sizes of the image and of the training images differ; empty if they do not."""
    trained = model.info.voxel_size
    if not sizes_differ(spacing, trained):
        return ""
    pairs = [(a, b) for a, b in zip(spacing, trained, strict=True) if a and b]
    pairs = pairs[:1] if len(set(pairs)) == 1 else pairs
    texts = [" × ".join(f"{size:.3g}" for size in sizes) for sizes in zip(*pairs, strict=True)]
    return f"The pixel size of the image is {texts[0]} µm, that of the training images {texts[1]} µm."


def _problem(image: LayerImage, bound: Binding, settings: PredictSettings, model: ModelEntry) -> str:
    try:
        spec = model.info.spec
        ImageSource.open(image.data, bound.axes, spec.channels, settings, bound.rgb, spec.colours)
    except ImageError as error:
        return in_dock(error)
    return ""


def _size_text(image: LayerImage) -> str:
    shape = image.shape[:-1] if image.rgb else image.shape
    kind = f"{image.data.dtype}{' RGB' if image.rgb else ''}"
    return f"{' × '.join(map(str, shape))} px · {kind}"


def _pixel_size_text(bound: Binding) -> str:
    axes = bound.calibration.take(bound.axes.space_positions).axes
    sizes = [(axis.step, axis.unit) for axis in axes if axis.is_known]
    sizes = sizes[:1] if len(set(sizes)) == 1 else sizes
    return " × ".join(f"{size:.3g} {unit_symbol(unit)}" for size, unit in sizes) + ("/px" if sizes else "")


def _axes_text(bound: Binding, image: LayerImage) -> str:
    """Return the names of the axes, if they are ambiguous."""
    axes = bound.axes
    if len(axes.image) < 3 and not (axes.channel and not image.rgb):
        return ""
    return f"axes {_format_axes(axes, image)}{', guessed' if bound.is_guessed else ''}"


def _loop_text(axes: Axes) -> str:
    kind = {1: "line", 2: "plane"}.get(len(axes.space), "movie" if "t" in axes.space else "volume")
    return f"one {'-'.join(axes.space)} {kind} at a time along {', '.join(axes.loop)}" if axes.loop else ""


def _format_axes(axes: Axes, image: LayerImage) -> str:
    names = axes.names[:-1] if image.rgb else axes.names
    return ("" if all(len(name) == 1 for name in names) else " ").join(names)


def _channel_names(bound: Binding, image: LayerImage) -> tuple[str, ...]:
    count = bound.axes.channels(image.shape) if bound.axes.channel else 0
    if bound.rgb:
        return COLOUR_NAMES[:count]
    named = image.channels if len(image.channels) == count else ()
    return named or tuple(f"channel {i}" for i in range(count))
