"""What a dock says of an image before the run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_fcn.errors import ImageError
from napari_fcn.gui._controller.state import ImageFacts
from napari_fcn.gui._layers import LayerImage, read
from napari_fcn.inference.source import ImageSource
from napari_fcn.settings import PredictSettings

if TYPE_CHECKING:
    from napari.layers import Image

    from napari_fcn.geometry import Axes
    from napari_fcn.gui._controller.catalogue import ModelEntry
    from napari_fcn.gui._controller.state import Request

COLOURS = ("red", "green", "blue", "alpha")
PIXEL = "pixel"


def of(layer: Image, request: Request | None, model: ModelEntry | None) -> ImageFacts:
    """Return what to say of a layer and, if a model is chosen, whether it can run on it."""
    image = read(layer)
    names = request.axes if request else ()
    ndim, time = looks(image, request.new if request else "") if model is None else _looks_of(model)
    try:
        axes = image.axes(ndim, names, time)
    except ValueError as error:
        return ImageFacts(_size(image), "".join(image.names), problem=str(error))
    summary = " · ".join(filter(None, [_size(image), _spacing(layer, axes), _loop(axes)]))
    settings = request.settings if request else PredictSettings()
    problem = _problem(image, axes, settings, model) if model else ""
    return ImageFacts(summary, _spelled(axes, image), _channels(axes, image), image.rgb, problem)


def looks(image: LayerImage, family: str = "") -> tuple[int, int | None]:
    """Return how many axes are looked at together where no model says it, and which of them is time.

    Filters and new networks look at planes, a new network for movies at several planes in a row.
    """
    ndim = min(2, len(image.shape) - image.rgb)
    return (ndim + 1, 0) if family == "video" else (ndim, None)


def _looks_of(model: ModelEntry) -> tuple[int, int | None]:
    return model.info.spec.ndim, model.info.spec.time


def spacing(layer: Image, axes: Axes) -> tuple[tuple[float, str], ...]:
    """Return pixel size and unit along each of the image axes."""
    kept = [axis for axis, name in enumerate(axes.names) if name != axes.channel]
    return tuple((abs(float(layer.scale[axis])), str(layer.units[axis])) for axis in kept)


def _problem(image: LayerImage, axes: Axes, settings: PredictSettings, model: ModelEntry) -> str:
    try:
        ImageSource.open(image.data, axes, model.info.spec.channels, settings, image.rgb)
    except ImageError as error:
        return str(error)
    return ""


def _size(image: LayerImage) -> str:
    shape = image.shape[:-1] if image.rgb else image.shape
    kind = f"{image.data.dtype}{' RGB' if image.rgb else ''}"
    return f"{' × '.join(map(str, shape))} px · {kind}"


def _spacing(layer: Image, axes: Axes) -> str:
    sizes = dict(zip(axes.image, spacing(layer, axes), strict=True))
    known = [sizes[name] for name in axes.space if sizes[name][1] != PIXEL]
    shown = known[:1] if len(set(known)) == 1 else known
    return " × ".join(f"{size:.3g} {symbol(unit)}" for size, unit in shown) + ("/px" if shown else "")


def symbol(unit: str) -> str:
    """Return how a unit is written behind a number."""
    return {"micrometer": "µm", "nanometer": "nm", "millimeter": "mm", "second": "s"}.get(unit, unit)


def _loop(axes: Axes) -> str:
    return f"one {'-'.join(axes.space)} plane at a time along {', '.join(axes.loop)}" if axes.loop else ""


def _spelled(axes: Axes, image: LayerImage) -> str:
    names = axes.names[:-1] if image.rgb else axes.names
    return ("" if all(len(name) == 1 for name in names) else " ").join(names)


def _channels(axes: Axes, image: LayerImage) -> tuple[str, ...]:
    count = axes.channels(image.shape) if axes.channel else 0
    return COLOURS[:count] if image.rgb else tuple(f"channel {i}" for i in range(count))
