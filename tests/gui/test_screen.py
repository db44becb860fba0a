"""The visible region in a real window."""

from collections.abc import Callable

import dask.array as da
import numpy as np
import pytest
from napari.viewer import Viewer
from pytestqt.qtbot import QtBot

from napari_fcn.geometry import Axes
from napari_fcn.gui._layers import visible_region
from napari_fcn.gui._layers.screen import camera_of


@pytest.mark.parametrize("placed", [{}, {"scale": (0.5, 2), "translate": (30, -40)}, {"rotate": 30}])
def test_the_visible_region_of_a_pyramid_is_not_rounded_to_chunks(
    make_napari_viewer: Callable[..., Viewer], qtbot: QtBot, placed: dict
) -> None:
    viewer = make_napari_viewer(show=True)
    finest = da.zeros((6000, 8000), chunks=(1500, 2000), dtype=np.uint8)
    pyramid = viewer.add_image([finest, finest[::2, ::2], finest[::4, ::4]], multiscale=True, **placed)
    flat = viewer.add_image(np.zeros((6000, 8000), np.uint8), **placed)
    axes, camera = Axes(("y", "x"), ("y", "x")), camera_of(viewer)
    for zoom in (4, 0.5, 0.02):
        camera.center, camera.zoom = (0, *pyramid.data_to_world((3100, 4200))), zoom
        viewer.window._qt_viewer.canvas._scene_canvas.update()

        def is_drawn(zoom: float = zoom) -> None:  # the canvas draws when Qt wants it to
            seen, expected = visible_region(viewer, pyramid, axes), visible_region(viewer, flat, axes)
            np.testing.assert_allclose(seen.start, expected.start, atol=2)
            np.testing.assert_allclose(seen.stop, expected.stop, atol=2)
            assert seen.size < 2 * np.prod(viewer.window._qt_viewer.canvas.size) * 4 / zoom**2

        qtbot.waitUntil(is_drawn)
