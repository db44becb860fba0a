"""Tiles uploaded to the graphics card look as if napari had drawn the whole layer."""

from collections.abc import Callable

import numpy as np
import pytest
from napari.viewer import Viewer
from qtpy.QtWidgets import QApplication

from napari_fcn.events import TileDone
from napari_fcn.geometry import Region
from napari_fcn.gui._layers import Canvas, Overlay, colorize_tile
from napari_fcn.gui._layers.texture import upload_region

CLASSES = [("background", "#000000"), ("cell", "#56b4e9"), ("rim", "#d55e00")]


def picture(viewer: Viewer) -> np.ndarray:
    QApplication.processEvents()
    return viewer.screenshot(flash=False)


@pytest.mark.parametrize(
    ("shape", "order", "kind"),
    [
        ((60, 80), (0, 1), "probabilities"),
        ((60, 80), (1, 0), "probabilities"),
        ((60, 80), (0, 1), "classes"),
        ((5, 60, 80), (0, 1, 2), "probabilities"),
        ((5, 60, 80), (1, 2, 0), "classes"),
        ((60, 33_000), (0, 1), "probabilities"),  # more than one texture holds
    ],
)
def test_an_uploaded_tile_looks_like_a_redraw(
    make_napari_viewer: Callable[..., Viewer],
    monkeypatch: pytest.MonkeyPatch,
    shape: tuple[int, ...],
    order: tuple[int, ...],
    kind: str,
) -> None:
    viewer = make_napari_viewer(show=True)
    layer = viewer.add_image(np.zeros(shape, np.uint8))
    overlay = Overlay(viewer, layer, None, Canvas.empty(shape), CLASSES)
    overlay.refresh()
    for name, result in overlay.layers.items():
        result.visible = name == kind
    viewer.dims.order = order
    blank = picture(viewer)
    sent: list[bool] = []
    monkeypatch.setattr(
        f"{Overlay.__module__}.upload_region", lambda *what: sent.append(upload_region(*what)) or sent[-1]
    )
    start = tuple(n // 3 for n in shape)
    region = Region(
        start, tuple(min(n, a + 20_000) if n > 20_000 else a + n // 3 for a, n in zip(start, shape, strict=True))
    )
    probabilities = np.zeros((3, *region.shape), np.float32)
    probabilities[2] = 1
    viewer.dims.set_point(range(len(shape)), start)
    overlay.write(colorize_tile(TileDone(region, probabilities, 1, 1), [colour for _, colour in CLASSES]))
    overlay.refresh()
    directly = picture(viewer)
    overlay.finish()
    assert sent == [True]
    assert not np.array_equal(directly, blank)
    np.testing.assert_array_equal(directly, picture(viewer))


def test_a_result_layer_with_other_data_is_not_changed_until_the_next_run(
    make_napari_viewer: Callable[..., Viewer],
) -> None:
    viewer = make_napari_viewer(show=True)
    source = viewer.add_image(np.zeros((40, 60), np.uint8))
    overlay = Overlay(viewer, source, None, Canvas.empty((40, 60)), CLASSES)
    overlay.refresh()
    region, probabilities = Region((20, 0), (40, 60)), np.zeros((3, 20, 60), np.float32)
    probabilities[2] = 1
    tile = colorize_tile(TileDone(region, probabilities, 1, 1), [colour for _, colour in CLASSES])
    for kind, layer in overlay.layers.items():
        layer.visible = True
        blank = np.zeros_like(layer.data)
        of_another_type = blank.astype(np.float64 if kind == "probabilities" else np.uint16)
        for other in (blank[::2], blank[:1], of_another_type):
            layer.data = other
            picture(viewer)
            overlay.write(tile)
            overlay.refresh()
            picture(viewer)
            assert layer.data is other, kind
            assert not other.any(), kind
    overlay.finish()
    assert (overlay.canvas.classes[20:] == 2).all()
    again = Overlay(viewer, source, None, Canvas.empty((40, 60)), CLASSES)
    again.refresh()
    assert [layer.data.shape[:2] for layer in again.layers.values()] == [(40, 60)] * 2


@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (4, 5)])
def test_a_tile_of_a_plane_is_shown_in_3d(make_napari_viewer: Callable[..., Viewer], shape: tuple[int, int]) -> None:
    viewer = make_napari_viewer(show=True)
    source = viewer.add_image(np.zeros(shape, np.uint8))
    viewer.dims.ndisplay = 3
    overlay = Overlay(viewer, source, None, Canvas.empty(shape), CLASSES)
    overlay.refresh()
    picture(viewer)
    probabilities = np.zeros((3, *shape), np.float32)
    probabilities[2] = 1
    overlay.write(colorize_tile(TileDone(Region.whole(shape), probabilities, 1, 1), [colour for _, colour in CLASSES]))
    overlay.refresh()
    directly = picture(viewer)
    for result in overlay.layers.values():
        result.refresh()
    np.testing.assert_array_equal(directly, picture(viewer))
