"""Layers from image files and result files."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Labels

from napari_fcn.errors import ImageError
from napari_fcn.gui._layers.class_colours import class_colormap, class_name_table
from napari_fcn.gui._layers.colorize import colorize
from napari_fcn.gui._layers.layer_image import METADATA_KEY
from napari_fcn.gui._layers.lazy_result import LazyResult
from napari_fcn.gui._layers.napari_private import file_source
from napari_fcn.gui._layers.transforms import (
    add_on_top,
    add_result,
    align,
    find_layer,
    keep_aligned,
    result_transform,
    tag_layer,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt
    from napari.components import ViewerModel
    from napari.layers import Layer

    from napari_fcn.geometry import Axes
    from napari_fcn.io import ImageFile

MAX_IN_MEMORY_BYTES = 2**28  # bytes: larger files are read as they are displayed
DISPLAY_ORDER = ("objects", "probabilities", "probabilities8", "classes")  # of several results, the first is visible
PROBABILITY_SCALE = {"probabilities": 1.0, "probabilities8": 255.0}  # kinds with probabilities -> value of 1


@dataclass(frozen=True, slots=True, eq=False)
class OpenedFiles:
    """An image and its results, opened from files for layers; on any thread.

    Attributes
    ----------
    image : ImageFile or None
        The image; None if it is a layer already.
    data : array-like or list
        Pixels of the image, or its levels.
    results : mapping of str to (array-like or list)
        Data of the layer of each kind of result.
    axes : Axes
        Role of each axis of the image.
    classes : tuple of (str, str)
        Name and colour of each class.
    """

    image: ImageFile | None
    data: Any
    results: Mapping[str, Any]
    axes: Axes
    classes: tuple[tuple[str, str], ...]

    @property
    def channel(self) -> int | None:
        """Axis of the layer that holds the channels; None if it has none or they are colours."""
        return self.axes.channel_position


def open_files(
    image: Path | None, results: Mapping[str, Path], axes: Axes, classes: tuple[tuple[str, str], ...], rgb: bool
) -> OpenedFiles:
    """Return an image and its results from files; ``image`` is None if a layer shows it, which may be ``rgb``.

    Raises
    ------
    ImageError
        If a file is missing or damaged.
    """
    file, data = (None, None) if image is None else _read_pixels(image)
    rgb = rgb if file is None else file.rgb
    names: list[str | None] = [name for name in axes.names if name != axes.channel]
    if axes.channel_position and not rgb:
        names.insert(axes.channel_position, None)
    palette = [colour for _, colour in classes]
    layers = {kind: _result_data(kind, path, names, palette) for kind, path in results.items()}
    return OpenedFiles(file, data, layers, axes, classes)


def add_image(viewer: ViewerModel, opened: OpenedFiles, name: str) -> Image:
    """Add an opened image to the viewer and return its layer."""
    image = opened.image
    assert image is not None
    ndim = image.data.ndim - image.rgb
    with file_source(image.path):
        layer = Image(
            opened.data,
            name=name,
            rgb=image.rgb,
            multiscale=isinstance(opened.data, list),
            scale=image.scale[:ndim],
            units=image.units[:ndim],
            translate=image.calibration.origin[:ndim],
            axis_labels=opened.axes.names[:ndim],
        )
    add_on_top(viewer, layer)
    return layer


def add_results(viewer: ViewerModel, opened: OpenedFiles, source: Image) -> None:
    """Add the results of an image that are not in the viewer yet; one of them is visible."""
    channel = None if source.rgb else opened.channel
    visible_kind = next((kind for kind in DISPLAY_ORDER if kind in opened.results), "")
    for kind, data in opened.results.items():
        more = {
            "visible": kind == visible_kind,
            "multiscale": isinstance(data, list),
            **result_transform(source, channel),
        }
        kind = "probabilities" if kind in PROBABILITY_SCALE else kind
        if find_layer(viewer, source, kind) is not None:
            continue
        more["name"] = f"{source.name} {kind}"
        layer: Layer
        if kind == "probabilities":
            layer = Image(data, rgb=True, opacity=0.7, **more)
        elif kind == "classes":
            style = {"colormap": class_colormap(opened.classes), "features": class_name_table(opened.classes)}
            layer = Labels(data, **style, **more)
        else:
            layer = Labels(data, **more)
        tag_layer(layer, source, kind, channel)
        add_result(viewer, layer, source)
        keep_aligned(layer, source)


def replace_results(viewer: ViewerModel, opened: OpenedFiles, source: Image) -> None:
    """Add the results of an image to the viewer, or show them in the layers of an earlier run."""
    channel = None if source.rgb else opened.channel
    for kind, data in opened.results.items():
        layer = find_layer(viewer, source, kind)
        if layer is not None and layer.multiscale == isinstance(data, list):
            tag_layer(layer, source, kind, channel)
            layer.data = data
            align(layer, source)
        elif layer is not None:
            viewer.layers.remove(layer)
    add_results(viewer, opened, source)


def result_kind(path: str | Path) -> str:
    """Return the kind of result in a file of napari-fcn; empty for any other file."""
    from napari_fcn.io import RESULT_KINDS, read_result_meta

    try:
        kind = str(read_result_meta(path).get("kind", ""))
    except (ImageError, OSError, ValueError):
        return ""
    return kind if kind in RESULT_KINDS else ""


def read_result_layer(path: str | Path) -> tuple[Any, dict[str, Any], str]:
    """Return the layer of a result file as data, arguments and type: classes in their colours, objects as labels.

    Raises
    ------
    ImageError
        If it cannot be read.
    """
    from napari_fcn.io import read_image, read_result_meta

    path, record = Path(path), read_result_meta(path)
    kind, image = str(record["kind"]), read_image(path)
    classes = [(str(name), str(colour)) for name, colour in record.get("classes", ())]
    shown = [axis for axis, name in enumerate(image.axes) if name != "c" or kind not in PROBABILITY_SCALE]
    data = _result_data(kind, path, [image.axes[axis] for axis in shown], [colour for _, colour in classes])
    more: dict[str, Any] = {
        "name": path.name.removesuffix(path.suffix).removesuffix(".ome"),
        "multiscale": isinstance(data, list),
        "scale": tuple(image.scale[axis] for axis in shown),
        "units": tuple(image.units[axis] for axis in shown),
        "translate": tuple(image.calibration.origin[axis] for axis in shown),
        "axis_labels": tuple(image.axes[axis] for axis in shown),
        "metadata": {METADATA_KEY: {"kind": kind, "channel": None}},
    }
    if kind in PROBABILITY_SCALE:
        return data, {**more, "rgb": True, "opacity": 0.7}, "image"
    if kind == "classes":
        more |= {"colormap": class_colormap(classes), "features": class_name_table(classes)}
    return data, more, "labels"


def _read_pixels(path: Path) -> tuple[ImageFile, Any]:
    """Return an image file, and its pixels, or its levels if it is large."""
    from napari_fcn.io import read_image

    image = read_image(path)
    if _nbytes(image.data) <= MAX_IN_MEMORY_BYTES:
        return image, np.asarray(image.data[...])
    return image, _as_levels([image.data, *(read_image(path, level).data for level in range(1, image.levels))])


def _result_data(kind: str, path: Path, axes: Sequence[str | None], palette: Sequence[str]) -> Any:
    """Return the data of a result for a layer with these axes; None is an axis of length 1."""
    from napari_fcn.io import read_image

    image = read_image(path)
    names = image.axes
    sources = [names.index(name) if name in names else None for name in axes]
    convert = (
        partial(_colorize_block, palette=palette, scale=PROBABILITY_SCALE[kind]) if kind in PROBABILITY_SCALE else None
    )
    channel = names.index("c") if kind in PROBABILITY_SCALE else None
    if _nbytes(image.data) <= MAX_IN_MEMORY_BYTES:
        return np.asarray(LazyResult(image.data, sources, convert, channel))
    arrays = [image.data, *(read_image(path, level).data for level in range(1, image.levels))]
    return _as_levels([LazyResult(array, sources, convert, channel) for array in arrays])


def _as_levels(arrays: list[Any]) -> Any:
    """Return levels as data of a layer; a single one as an array, because napari fails on a list of one."""
    return arrays if len(arrays) > 1 else arrays[0]


def _colorize_block(block: npt.NDArray[Any], palette: Sequence[str], scale: float) -> npt.NDArray[np.uint8]:
    return colorize(block.astype(np.float32) * np.float32(1 / scale), palette)


def _nbytes(array: Any) -> int:
    return int(np.prod(array.shape)) * np.dtype(array.dtype).itemsize
