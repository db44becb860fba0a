"""Sample data for napari's menu: an image, and its ground truth as a hidden layer if it is known."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import napari

from napari_fcn import sample_data
from napari_fcn.gui._layers import use_own_gl_context

if TYPE_CHECKING:
    from napari_fcn.sample_data import Sample

LayerData = tuple[Any, dict[str, Any], str]


def cells_2d() -> list[LayerData]:
    """Return synthetic cells in 2-D with their ground truth."""
    return sample_layers(sample_data.cells_2d())


def cells_3d() -> list[LayerData]:
    """Return synthetic cells in 3-D with their ground truth."""
    return sample_layers(sample_data.cells_3d())


def cells_movie() -> list[LayerData]:
    """Return a movie of synthetic cells with their tracks."""
    return sample_layers(sample_data.cells_2d_movie())


def immunohistochemistry() -> list[LayerData]:
    """Return stained tissue in colour."""
    return sample_layers(sample_data.skimage_image("immunohistochemistry"))


def cell() -> list[LayerData]:
    """Return a single cell in quantitative phase."""
    return sample_layers(sample_data.skimage_image("cell"))


def sample_layers(sample: Sample) -> list[LayerData]:
    """Return a sample as layer data of napari."""
    viewer = napari.current_viewer()
    if viewer is not None:
        use_own_gl_context(viewer)
    axes = [axis for axis, name in enumerate(sample.axes) if name != "s"]
    transform = {
        "scale": tuple(sample.scale[axis] for axis in axes),
        "units": tuple(sample.units[axis] for axis in axes),
        "axis_labels": tuple(sample.axes[axis] for axis in axes),
    }
    layers: list[LayerData] = [(sample.image, {"name": sample.name, "rgb": "s" in sample.axes, **transform}, "image")]
    if sample.labels is not None:
        layers.append((sample.labels, {"name": f"{sample.name} ground truth", "visible": False, **transform}, "labels"))
    return layers
