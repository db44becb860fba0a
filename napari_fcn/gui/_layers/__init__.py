"""Every quirk of napari's layers, in one place."""

from napari_fcn.gui._layers.canvas import Canvas
from napari_fcn.gui._layers.painting import Painted, paint
from napari_fcn.gui._layers.reading import KEY, LayerImage, is_segmentable, read, unwrapped, visible_region
from napari_fcn.gui._layers.results import KINDS, Overlay, check_memory, find_result
from napari_fcn.gui._layers.warming import load_what_layers_need

__all__ = [
    "KEY",
    "KINDS",
    "Canvas",
    "LayerImage",
    "Overlay",
    "Painted",
    "check_memory",
    "find_result",
    "is_segmentable",
    "load_what_layers_need",
    "paint",
    "read",
    "unwrapped",
    "visible_region",
]
