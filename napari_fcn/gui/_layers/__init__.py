"""All access to napari's layers, canvas and camera, and the workarounds that they need."""

from napari_fcn.gui._layers.camera import ViewWatcher, bring_into_view, call_after_draw, fit_view
from napari_fcn.gui._layers.canvas import Canvas
from napari_fcn.gui._layers.class_colours import visible_colour
from napari_fcn.gui._layers.colorize import ColourTile, colorize_tile
from napari_fcn.gui._layers.corrections import MAX_CLASSES, Corrections
from napari_fcn.gui._layers.files import (
    OpenedFiles,
    add_image,
    add_results,
    open_files,
    read_result_layer,
    replace_results,
    result_kind,
)
from napari_fcn.gui._layers.gl_context import use_own_gl_context
from napari_fcn.gui._layers.layer_image import (
    METADATA_KEY,
    LayerImage,
    is_segmentable,
    read_layer,
    slider_index,
    slider_positions,
    unwrap_viewer,
    visible_region,
)
from napari_fcn.gui._layers.lazy_result import StoredCanvas
from napari_fcn.gui._layers.overlay import OVERLAY_KINDS, Overlay, fits_in_memory
from napari_fcn.gui._layers.partial_layers import (
    BoxLayer,
    PartialLayer,
    show_changes,
    show_prediction,
    show_uncertainty,
)
from napari_fcn.gui._layers.pixel_watch import (
    PixelsReplacedError,
    outdated_message,
    pixel_digest,
    pixel_watch_for,
    pixels_replaced_error,
)
from napari_fcn.gui._layers.pointer import Pointer, central_pixel, pixel_at
from napari_fcn.gui._layers.prewarm import preload_layer_modules
from napari_fcn.gui._layers.receptive_field import FieldLayers
from napari_fcn.gui._layers.region_choice import WHOLE_IMAGE, RegionChoice, chosen_region, region_choices
from napari_fcn.gui._layers.sliders import SliderMarks
from napari_fcn.gui._layers.strokes import LabelChange, Stroke
from napari_fcn.gui._layers.transforms import (
    find_layer,
    is_outdated,
    mark_outdated,
    region_on_layer,
    select_layer,
    to_layer_axes,
)
from napari_fcn.gui._layers.viewport import move_window, window_around

__all__ = [
    "MAX_CLASSES",
    "METADATA_KEY",
    "OVERLAY_KINDS",
    "WHOLE_IMAGE",
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
    "RegionChoice",
    "SliderMarks",
    "StoredCanvas",
    "Stroke",
    "ViewWatcher",
    "add_image",
    "add_results",
    "bring_into_view",
    "call_after_draw",
    "central_pixel",
    "chosen_region",
    "colorize_tile",
    "find_layer",
    "fit_view",
    "fits_in_memory",
    "is_outdated",
    "is_segmentable",
    "mark_outdated",
    "move_window",
    "open_files",
    "outdated_message",
    "pixel_at",
    "pixel_digest",
    "pixel_watch_for",
    "pixels_replaced_error",
    "preload_layer_modules",
    "read_layer",
    "read_result_layer",
    "region_choices",
    "region_on_layer",
    "replace_results",
    "result_kind",
    "select_layer",
    "show_changes",
    "show_prediction",
    "show_uncertainty",
    "slider_index",
    "slider_positions",
    "to_layer_axes",
    "unwrap_viewer",
    "use_own_gl_context",
    "visible_colour",
    "visible_region",
    "window_around",
]
