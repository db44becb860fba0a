"""Every quirk of napari's layers, in one place."""

from napari_fcn.gui._layers.camera import ViewWatcher, after_draw, fit, look_at
from napari_fcn.gui._layers.canvas import Canvas
from napari_fcn.gui._layers.class_colours import visible
from napari_fcn.gui._layers.colorize import ColourTile, colorize_tile
from napari_fcn.gui._layers.corrections import MOST_CLASSES, Corrections
from napari_fcn.gui._layers.files import (
    OpenedFiles,
    add_image,
    add_results,
    layer_of_result,
    open_files,
    renew_results,
    result_kind,
)
from napari_fcn.gui._layers.gl_context import keep_own_context
from napari_fcn.gui._layers.layer_image import (
    KEY,
    LayerImage,
    is_segmentable,
    read_layer,
    shown_index,
    slider_axes,
    unwrapped,
    visible_region,
)
from napari_fcn.gui._layers.lazy_result import StoredCanvas
from napari_fcn.gui._layers.overlay import KINDS, Overlay, fits_in_memory
from napari_fcn.gui._layers.partial_layers import BoxLayer, PartialLayer, show_answer, show_changes, show_uncertainty
from napari_fcn.gui._layers.pixel_watch import (
    PixelsReplacedError,
    content_of,
    replaced_during,
    replaced_since,
    watch_of,
)
from napari_fcn.gui._layers.pointer import Pointer, pixel_at, plane_of
from napari_fcn.gui._layers.prewarm import load_what_layers_need
from napari_fcn.gui._layers.receptive_field import FieldLayers
from napari_fcn.gui._layers.sliders import SliderMarks
from napari_fcn.gui._layers.strokes import LabelChange, Stroke
from napari_fcn.gui._layers.transforms import as_layer, find_layer, is_outdated, mark_outdated, on_layer, select
from napari_fcn.gui._layers.viewport import move_window, window_on

__all__ = [
    "KEY",
    "KINDS",
    "MOST_CLASSES",
    "BoxLayer",
    "Canvas",
    "ColourTile",
    "Corrections",
    "FieldLayers",
    "LabelChange",
    "LayerImage",
    "OpenedFiles",
    "Overlay",
    "PartialLayer",
    "PixelsReplacedError",
    "Pointer",
    "SliderMarks",
    "StoredCanvas",
    "Stroke",
    "ViewWatcher",
    "add_image",
    "add_results",
    "after_draw",
    "as_layer",
    "colorize_tile",
    "content_of",
    "find_layer",
    "fit",
    "fits_in_memory",
    "is_outdated",
    "is_segmentable",
    "keep_own_context",
    "layer_of_result",
    "load_what_layers_need",
    "look_at",
    "mark_outdated",
    "move_window",
    "on_layer",
    "open_files",
    "pixel_at",
    "plane_of",
    "read_layer",
    "renew_results",
    "replaced_during",
    "replaced_since",
    "result_kind",
    "select",
    "show_answer",
    "show_changes",
    "show_uncertainty",
    "shown_index",
    "slider_axes",
    "unwrapped",
    "visible",
    "visible_region",
    "watch_of",
    "window_on",
]
