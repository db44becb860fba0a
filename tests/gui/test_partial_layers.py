"""Layers that show a part of an image are aligned with that part, for any transform of the image."""

from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_fcn.events import RegionSuggested
from napari_fcn.geometry import Region
from napari_fcn.gui._layers import (
    BoxLayer,
    FieldLayers,
    PartialLayer,
    bring_into_view,
    show_changes,
    show_prediction,
    show_uncertainty,
    visible_colour,
)
from napari_fcn.gui._layers.screen import camera_of
from napari_fcn.gui._layers.transforms import region_on_image, region_on_layer

CLASSES = (("background", "#000000"), ("cell", "#56b4e9"))
HOW: dict[str, dict[str, Any]] = {
    "plain": {},
    "scaled": {"scale": (0.5, 0.25), "translate": (3, 4), "units": "um"},
    "turned": {"rotate": 30, "shear": (0.2,), "scale": (2, 3), "translate": (5, -1)},
    "affine": {"affine": np.array([[0.9, 0.1, 3], [-0.2, 1.1, 2], [0, 0, 1]])},
}


@pytest.fixture
def viewer() -> ViewerModel:
    return ViewerModel()


@pytest.mark.parametrize("how", list(HOW))
def test_a_partial_layer_is_aligned_with_its_region(viewer: ViewerModel, how: str) -> None:
    image = viewer.add_image(np.zeros((20, 30)), name="cells", **HOW[how])
    crop = PartialLayer(viewer, image, None, "changes")
    for region in (Region((3, 4), (9, 20)), Region((0, 1), (5, 6))):
        show_changes(crop, region, np.ones(region.shape, np.uint8), CLASSES)
        layer = viewer.layers["cells changes"]
        assert layer.data.shape == region.shape
        np.testing.assert_allclose(layer.data_to_world((1, 2)), image.data_to_world(np.add(region.start, (1, 2))))
        assert layer.units == image.units
    image.translate = (7, 8)
    np.testing.assert_allclose(layer.data_to_world((0, 0)), image.data_to_world((0, 1)))
    assert len(viewer.layers) == 2


def test_a_partial_layer_of_an_image_with_a_later_channel_axis_is_aligned(viewer: ViewerModel) -> None:
    image = viewer.add_image(np.zeros((5, 3, 20, 30)), name="cells", scale=(2, 1, 0.5, 0.5))
    region = Region((2, 3, 4), (3, 9, 20))
    show_uncertainty(PartialLayer(viewer, image, 1, "uncertainty"), region, np.zeros(region.shape, np.uint8))
    layer = viewer.layers["cells uncertainty"]
    assert layer.data.shape == (1, 1, 6, 16)
    found, wanted = layer.data_to_world((0, 0, 1, 2)), image.data_to_world((2, 1, 4, 6))
    np.testing.assert_allclose(np.delete(found, 1), np.delete(wanted, 1))


def test_a_hidden_partial_layer_is_reused(viewer: ViewerModel) -> None:
    image = viewer.add_image(np.zeros((20, 30)), name="cells")
    crop = PartialLayer(viewer, image, None, "compared")
    region = Region((0, 0), (4, 4))
    show_prediction(crop, region, np.zeros((4, 4, 4), np.uint8))
    first = crop.layer
    crop.hide()
    assert not crop.is_shown
    show_prediction(crop, region, np.ones((4, 4, 4), np.uint8))
    assert crop.layer is first
    assert crop.is_shown


def test_a_box_is_drawn_in_the_displayed_plane(viewer: ViewerModel) -> None:
    image = viewer.add_image(np.zeros((5, 20, 30)), name="stack", scale=(3, 1, 1))
    place = RegionSuggested(Region((2, 3, 4), (3, 9, 20)), (2, 5, 10), 0.5)
    layer = BoxLayer(viewer, image, None, "next place")
    layer.show_box(place.region, image)
    corners = viewer.layers["stack next place"].data[0]
    assert set(corners[:, 0]) == {2}
    assert corners[:, 1:].min(0).tolist() == [2.5, 3.5]
    assert corners[:, 1:].max(0).tolist() == [8.5, 19.5]


def test_going_to_a_region_moves_the_sliders(viewer: ViewerModel) -> None:
    image = viewer.add_image(np.zeros((5, 20, 30)), name="stack", scale=(3, 1, 1))
    bring_into_view(viewer, image, Region((4, 3, 4), (5, 9, 20)))
    assert viewer.dims.point[0] == 12
    assert camera_of(viewer).zoom > 0


@pytest.mark.parametrize("channel", [None, 0, 1, 2])
def test_regions_convert_to_layer_axes_and_back(channel: int | None) -> None:
    region = Region((1, 2), (3, 4))
    assert region_on_image(region_on_layer(region, channel), channel) == region


def test_dark_colours_are_made_visible() -> None:
    assert visible_colour("#000000") != "#000000"
    assert visible_colour("#56b4e9") == "#56b4e9"


def test_boxes_are_redrawn_in_3d_and_for_other_displayed_axes(viewer: ViewerModel) -> None:
    image = viewer.add_image(np.zeros((20, 30)), name="cells")
    place, sights = BoxLayer(viewer, image, None, "next place"), FieldLayers(viewer, image, None)

    def draw(_: object = None) -> None:
        place.show_box(Region((3, 4), (9, 20)), image)
        sights.show_box(Region((3, 4), (9, 20)), (5, 6))

    draw()
    viewer.dims.events.ndisplay.connect(draw)
    for ndisplay in (3, 2):
        viewer.dims.ndisplay = ndisplay
        draw()
        for layer, count in ((place.layer, 1), (sights.layers[0], 2)):
            assert layer is not None
            assert layer.nshapes == count
            assert layer._slice_input.ndisplay == ndisplay
            np.testing.assert_array_equal(layer.data[0].min(0), (2.5, 3.5))
