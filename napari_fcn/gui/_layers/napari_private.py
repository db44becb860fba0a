"""Private names of napari and vispy, and names that may move; each docstring says what is lost without it.

napari has no public way to do these things. Without one of the names, every dock still opens and runs. Other modules
use no such names.
"""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from napari.components import Dims, LayerList, ViewerModel
    from napari.layers import Layer

NAMES = (
    "_activate_on_insert",
    "_data",
    "_need_texture_upload",
    "_qt_viewer",
    "_reset_history",
    "_scene_canvas",
    "_slice_dims",
    "_texture",
    "_view_direction",
    "flush_commands",
    "layer_source",
    "layer_to_visual",
    "slider_widgets",
    "DashAtlas",
)


def look_up(owner: Any, name: str, default: Any = None) -> Any:
    """Return an attribute of an object of napari or vispy; the default if it has none."""
    return getattr(owner, name, default)


def import_name(module: str, name: str) -> Any:
    """Return a name of a module of napari or vispy; None if either is missing."""
    try:
        return look_up(import_module(module), name)
    except ImportError:
        return None


def file_source(path: Path) -> AbstractContextManager[Any]:
    """Return a context in which a new layer stores the path of its file.

    Without `layer_source`, the layer has no path, so its results have no default folder.
    """
    layer_source = import_name("napari.layers._source", "layer_source")
    return nullcontext() if layer_source is None else layer_source(path=str(path))


def scene_canvas(viewer: ViewerModel) -> Any:
    """Return vispy's canvas; None if there is no window.

    Without it, the camera does not move, and nothing waits for the next frame.
    """
    return look_up(look_up(_qt_viewer(viewer), "canvas"), "_scene_canvas")


def layer_node(viewer: ViewerModel, layer: Layer) -> Any:
    """Return the vispy node of a layer; None if there is no window, or it is unknown.

    Without it, napari draws the whole layer for each tile.
    """
    visuals = look_up(look_up(_qt_viewer(viewer), "canvas"), "layer_to_visual", {})
    return look_up(visuals.get(layer), "node")


def is_upload_pending(node: Any) -> bool:
    """Whether the whole texture of a node will be uploaded with the next frame anyway."""
    return bool(look_up(node, "_need_texture_upload", False))


def texture_of(node: Any) -> Any:
    """Return the texture of a node, or the array that is uploaded with the next frame; None if unknown."""
    return look_up(node, "_data" if is_upload_pending(node) else "_texture")


def slider_bars(viewer: ViewerModel) -> list[Any]:
    """Return the slider of each axis; empty if there is no window, or the sliders are of another kind.

    Without them, no marks are drawn on the sliders.
    """
    widgets = look_up(look_up(_qt_viewer(viewer), "dims"), "slider_widgets", [])
    bars = [getattr(widget, "slider", None) for widget in widgets]
    return bars if all(hasattr(bar, "initStyleOption") for bar in bars) else []


def ensure_view_direction(viewer: ViewerModel, camera: Any) -> None:
    """Set the view direction of the cursor in 3-D, before a layer is selected.

    napari then reads the value of the layer under the mouse, and fails in 3-D if the mouse has not moved yet.
    """
    cursor, dims = viewer.cursor, viewer.dims
    if dims.ndisplay == 3 and look_up(cursor, "_view_direction", ()) is None:
        cursor._view_direction = camera.calculate_nd_view_direction(dims.ndim, dims.displayed)


@contextmanager
def without_activation(layers: LayerList) -> Iterator[None]:
    """Let layers that are inserted stay unselected.

    Without `_activate_on_insert`, napari selects each new layer and shows its controls; adding it takes longer.
    """
    before = look_up(layers, "_activate_on_insert")
    if before is None:
        yield
        return
    layers._activate_on_insert = False
    try:
        yield
    finally:
        layers._activate_on_insert = before


def slice_layer(layer: Layer, dims: Dims) -> bool:
    """Slice a layer for these dimensions, also if it is hidden; return whether that is possible."""
    slice_dims = look_up(layer, "_slice_dims")
    if slice_dims is None:
        return False
    slice_dims(dims)
    return True


def clear_undo_history(layer: Layer) -> None:
    """Clear the undo history of a Labels layer whose data were replaced."""
    reset_history = look_up(layer, "_reset_history")
    if reset_history is not None:
        reset_history()


def queue_runner(context: Any) -> Callable[[Any, Any], None] | None:
    """Return the method of an OpenGL context class that runs queued commands; None if it has none.

    Without it, commands run in the current context, as in napari without this package.
    """
    method: Callable[[Any, Any], None] | None = look_up(type(context), "flush_commands")
    return method


def fill_dash_patterns() -> None:
    """Compute vispy's patterns of dashed lines, which napari needs for the polygon tool of each Labels layer.

    Without `DashAtlas`, napari computes them itself, with the first layer.
    """
    dash_atlas = import_name("vispy.visuals.line.dash_atlas", "DashAtlas")
    if dash_atlas is not None:
        dash_atlas()


def _qt_viewer(viewer: ViewerModel) -> Any:
    return look_up(look_up(viewer, "window"), "_qt_viewer")
