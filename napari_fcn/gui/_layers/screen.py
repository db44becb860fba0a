"""The window's canvas and camera, and which part of the world they show."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt
    from napari.components import ViewerModel


def camera_of(viewer: ViewerModel) -> Any:
    """Return the camera; napari 0.9 has moved it."""
    scene = getattr(viewer, "scene", None)
    return viewer.camera if scene is None else scene.camera


def is_grid(viewer: ViewerModel) -> bool:
    """Whether layers are shown side by side; napari 0.9 has moved the grid."""
    grid = getattr(getattr(viewer, "canvas", None), "grid", None)
    return bool((viewer.grid if grid is None else grid).enabled)


def scene_canvas(viewer: ViewerModel) -> Any:
    """Return vispy's canvas, None where there is no window."""
    qt_viewer = getattr(getattr(viewer, "window", None), "_qt_viewer", None)
    return None if qt_viewer is None else qt_viewer.canvas._scene_canvas


def ensure_view_direction(viewer: ViewerModel) -> None:
    """Let the viewer know in which direction one looks, before a layer is selected.

    napari then asks the layer for its value under the mouse, and in 3-D fails if the mouse has not moved there yet.
    """
    cursor, dims = viewer.cursor, viewer.dims
    if dims.ndisplay == 3 and cursor._view_direction is None:
        cursor._view_direction = camera_of(viewer).calculate_nd_view_direction(dims.ndim, dims.displayed)


def visible_world_corners(viewer: ViewerModel) -> npt.NDArray[np.float64] | None:
    """Return the world coordinates ``(4, ndim)`` of the corners of the canvas; None where that cannot be known.

    It is not known without a window, in 3-D, for a single axis, and for layers side by side in a grid.
    """
    canvas, shown = scene_canvas(viewer), list(viewer.dims.displayed)
    if canvas is None or viewer.dims.ndisplay != 2 or len(shown) != 2 or is_grid(viewer):
        return None
    camera = camera_of(viewer)
    half = np.array(canvas.size[::-1], float) / 2 / camera.zoom
    corners = np.tile(np.asarray(viewer.dims.point, float), (4, 1))
    corners[:, shown] = np.asarray(camera.center)[-2:] + half * list(product((-1, 1), repeat=2))
    return corners
