"""The canvas and the camera of the window, and the visible world coordinates."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_fcn.gui._layers.napari_private import scene_canvas

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


def visible_world_corners(viewer: ViewerModel) -> npt.NDArray[np.float64] | None:
    """Return the world coordinates ``(4, ndim)`` of the corners of the canvas; None if unknown.

    They are unknown without a window, in 3-D, for a single axis, and for layers side by side in a grid.
    """
    canvas, shown = scene_canvas(viewer), list(viewer.dims.displayed)
    if canvas is None or viewer.dims.ndisplay != 2 or len(shown) != 2 or is_grid(viewer):
        return None
    camera = camera_of(viewer)
    half = np.array(canvas.size[::-1], float) / 2 / camera.zoom
    corners = np.tile(np.asarray(viewer.dims.point, float), (4, 1))
    corners[:, shown] = np.asarray(camera.center)[-2:] + half * list(product((-1, 1), repeat=2))
    return corners
