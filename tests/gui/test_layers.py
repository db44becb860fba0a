"""Reading of layers, and alignment of results, in a viewer without a window."""

import copy
from typing import Any

import dask.array as da
import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image, Labels

from napari_fcn.events import TileDone
from napari_fcn.geometry import Axes, Region
from napari_fcn.gui._layers import (
    Canvas,
    Corrections,
    Overlay,
    colorize_tile,
    find_layer,
    is_segmentable,
    read_layer,
    select_layer,
    visible_region,
)
from napari_fcn.gui._layers.colorize import most_probable

CLASSES = [("background", "#000000"), ("cell", "#ff8000"), ("rim", "#0000ff")]


@pytest.fixture
def viewer() -> ViewerModel:
    return ViewerModel()


def overlay_on(viewer: ViewerModel, layer: Image, axes: Axes) -> Overlay:
    channel = None if layer.rgb else axes.channel_position
    overlay = Overlay(viewer, layer, channel, Canvas.empty(axes.image_shape(read_layer(layer).shape)), CLASSES)
    overlay.refresh()
    return overlay


def tile(region: Region, probabilities: list[float]) -> TileDone:
    values = np.asarray(probabilities, np.float32).reshape(-1, *(1,) * region.ndim)
    return TileDone(region, np.broadcast_to(values, (len(probabilities), *region.shape)).copy(), 1, 1)


def painted(region: Region) -> Any:
    return colorize_tile(tile(region, [0.0, 1.0, 0.0]), [colour for _, colour in CLASSES])


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (("t", "c", "y", "x"), ("t", "c", "y", "x")),
        (("Time", "Channel", "Y", "X"), ("t", "c", "y", "x")),
        (None, ()),
        (("t", "t", "y", "x"), ()),
        (("axis 0", "axis 1", "y", "x"), ()),
    ],
)
def test_default_axis_labels_are_not_names(labels: Any, names: tuple[str, ...]) -> None:
    layer = Image(np.zeros((2, 3, 4, 5)), axis_labels=labels, rgb=False)
    assert read_layer(layer).names == names


def test_the_colour_axis_is_a_channel_axis() -> None:
    image = read_layer(Image(np.zeros((4, 5, 3), np.uint8), rgb=True, axis_labels=("y", "x")))
    assert image.names == ("y", "x", "c")
    assert image.axes(2).channel == "c"
    assert image.axes(2, ("y", "x")).image == ("y", "x")


def test_a_multiscale_layer_is_read_at_full_resolution() -> None:
    levels = [np.zeros((64, 64)), np.zeros((32, 32))]
    assert read_layer(Image(levels, multiscale=True)).shape == (64, 64)


def test_a_lazy_image_is_not_computed() -> None:
    lazy = da.zeros((4, 8, 8), chunks=4)
    assert read_layer(Image(lazy, contrast_limits=(0, 1))).data is lazy


def test_results_and_labels_are_not_segmentable(viewer: ViewerModel) -> None:
    layer = viewer.add_image(np.zeros((8, 8)))
    overlay = overlay_on(viewer, layer, read_layer(layer).axes(2))
    assert is_segmentable(layer)
    assert not any(map(is_segmentable, overlay.layers.values()))
    assert not is_segmentable(Labels(np.zeros((8, 8), np.uint8)))
    assert not is_segmentable(None)


def test_the_visible_region_follows_the_camera(viewer: ViewerModel) -> None:
    layer = viewer.add_image(np.zeros((6, 100, 200)))
    viewer.dims.set_point(0, 4)
    layer.corner_pixels = np.array([[0, 10, 20], [0, 39, 79]])
    assert visible_region(viewer, layer, read_layer(layer).axes(2)) == Region((4, 10, 20), (5, 40, 80))


def test_the_visible_region_of_a_pyramid_is_at_full_resolution(viewer: ViewerModel) -> None:
    layer = viewer.add_image([np.zeros((64, 64)), np.zeros((32, 32))], multiscale=True)
    layer._data_level = 1
    layer.corner_pixels = np.array([[4, 8], [11, 15]])
    assert visible_region(viewer, layer, read_layer(layer).axes(2)) == Region((8, 16), (24, 32))


def test_the_visible_region_has_no_channel_axis(viewer: ViewerModel) -> None:
    layer = viewer.add_image(np.zeros((2, 30, 40)), axis_labels=("c", "y", "x"))
    layer.corner_pixels = np.array([[0, 1, 2], [0, 3, 4]])
    assert visible_region(viewer, layer, read_layer(layer).axes(2)) == Region((1, 2), (4, 5))


@pytest.mark.parametrize("ndisplay", [2, 3])
def test_without_a_known_view_all_of_the_displayed_axes_is_visible(viewer: ViewerModel, ndisplay: int) -> None:
    layer = viewer.add_image(np.zeros((3, 4, 30, 40)))
    viewer.dims.ndisplay = ndisplay
    viewer.dims.set_point(0, 2)
    viewer.dims.set_point(1, 1)
    planes = (0, 4) if ndisplay == 3 else (1, 2)
    expected = Region((2, planes[0], 0, 0), (3, planes[1], 30, 40))
    assert visible_region(viewer, layer, read_layer(layer).axes(2)) == expected


def test_slider_positions_of_a_scaled_layer_are_in_its_pixels(viewer: ViewerModel) -> None:
    layer = viewer.add_image(np.zeros((9, 8, 8)), scale=(2.5, 1, 1), translate=(10, 0, 0))
    viewer.dims.set_point(0, 10 + 2.5 * 6)
    region = visible_region(viewer, layer, read_layer(layer).axes(2))
    assert (region.start[0], region.stop[0]) == (6, 7)


TRANSFORMS = {
    "scale": (2.0, 0.5, 0.25),
    "translate": (5, -7, 3),
    "rotate": (0.0, 0.0, 30.0),
    "shear": (0.0, 0.0, 0.2),
    "units": ("um", "um", "um"),
}


def corners(layer: Any, shape: tuple[int, ...]) -> np.ndarray:
    return np.stack([layer.data_to_world(np.multiply(shape, at)) for at in np.ndindex(*(2,) * len(shape))])


def test_results_are_aligned_with_their_source_for_any_transform(viewer: ViewerModel) -> None:
    affine = np.eye(4) + np.diag([0.1, 0.2, 0], 1)
    labels = ("z", "y", "x")
    layer = viewer.add_image(np.zeros((4, 5, 6)), affine=affine, axis_labels=labels, **TRANSFORMS)
    overlay = overlay_on(viewer, layer, read_layer(layer).axes(2))
    for result in overlay.layers.values():
        np.testing.assert_allclose(corners(result, (4, 5, 6)), corners(layer, (4, 5, 6)))
        assert (result.units, result.axis_labels) == (layer.units, layer.axis_labels)


def test_a_leading_channel_axis_is_left_out(viewer: ViewerModel) -> None:
    layer = viewer.add_image(np.zeros((2, 5, 6)), axis_labels=("c", "y", "x"), **TRANSFORMS)
    overlay = overlay_on(viewer, layer, read_layer(layer).axes(2))
    for result in overlay.layers.values():
        assert result.ndim == 2
        np.testing.assert_allclose(corners(result, (5, 6)), corners(layer, (2, 5, 6))[:4, 1:])


def test_a_later_channel_axis_is_one_stretched_pixel(viewer: ViewerModel) -> None:
    layer = viewer.add_image(np.zeros((3, 4, 5, 6)), axis_labels=("t", "c", "y", "x"), scale=(1, 2, 1, 1))
    overlay = overlay_on(viewer, layer, read_layer(layer).axes(2))
    overlay.write(painted(Region((1, 0, 0), (2, 5, 6))))
    labels = overlay.layers["classes"]
    assert labels.data.shape == (3, 1, 5, 6)
    for channel in range(4):
        index = np.round(labels.world_to_data(layer.data_to_world((1, channel, 2, 2)))).astype(int)
        assert labels.data[tuple(index)] == 1


def test_results_follow_changes_of_the_source_transform(viewer: ViewerModel) -> None:
    layer = viewer.add_image(np.zeros((5, 6)))
    result = overlay_on(viewer, layer, read_layer(layer).axes(2)).layers["classes"]
    layer.scale, layer.translate, layer.rotate, layer.shear = (3, 2), (1, 4), 20, [0.3]
    layer.affine = [[1, 0.5, 0], [0, 1, 2], [0, 0, 1]]
    layer.units = ("nm", "nm")
    np.testing.assert_allclose(corners(result, (5, 6)), corners(layer, (5, 6)))
    assert result.units == layer.units


def test_a_second_run_reuses_the_layers_of_the_first(viewer: ViewerModel) -> None:
    layer = viewer.add_image(np.zeros((5, 6)), name="a")
    first = overlay_on(viewer, layer, read_layer(layer).axes(2))
    first.write(painted(Region((0, 0), (5, 6))))
    second = overlay_on(viewer, layer, read_layer(layer).axes(2))
    assert second.layers == first.layers
    assert len(viewer.layers) == 3
    assert not second.layers["classes"].data.any()


def test_results_of_another_shape_and_dimension_replace_the_first(viewer: ViewerModel) -> None:
    layer = viewer.add_image(np.zeros((3, 5, 6)), scale=(4, 2, 2), name="a")
    overlay_on(viewer, layer, read_layer(layer).axes(2))
    for names, shape in ((("c", "y", "x"), (5, 6)), ((), (3, 5, 6))):
        result = overlay_on(viewer, layer, read_layer(layer).axes(2, names)).layers["classes"]
        assert result.data.shape == shape
        np.testing.assert_allclose(result.scale, layer.scale[-len(shape) :])
    assert len(viewer.layers) == 3


def test_two_images_with_one_name_have_separate_results(viewer: ViewerModel) -> None:
    one, two = (viewer.add_image(np.zeros((5, 6)), name="same") for _ in range(2))
    overlay_on(viewer, one, read_layer(one).axes(2))
    overlay_on(viewer, two, read_layer(two).axes(2))
    assert len(viewer.layers) == 6
    assert find_layer(viewer, one, "classes") is not find_layer(viewer, two, "classes")


def test_a_copy_of_a_result_is_not_changed(viewer: ViewerModel) -> None:
    layer = viewer.add_image(np.zeros((5, 6)))
    result = overlay_on(viewer, layer, read_layer(layer).axes(2)).layers["classes"]
    twin = viewer.add_labels(result.data.copy(), metadata=copy.deepcopy(result.metadata))
    viewer.layers.move(viewer.layers.index(twin), 0)
    assert find_layer(viewer, layer, "classes") is result


def test_results_are_views_of_the_canvas_in_class_colours(viewer: ViewerModel) -> None:
    layer = viewer.add_image(np.zeros((5, 6)))
    overlay = overlay_on(viewer, layer, read_layer(layer).axes(2))
    overlay.write(painted(Region((1, 2), (3, 4))))
    labels, colours = overlay.layers["classes"], overlay.layers["probabilities"]
    assert np.shares_memory(labels.data, overlay.canvas.classes)
    assert labels.data.dtype == np.uint8
    np.testing.assert_array_equal(np.argwhere(labels.data), np.argwhere(colours.data[..., 3]))
    np.testing.assert_allclose(labels.get_color(1), [1, 128 / 255, 0, 1], atol=0.01)
    assert labels.get_color(0) is None  # transparent
    assert list(labels.features["class"]) == ["background", "cell", "rim"]


def test_the_selected_layer_stays_selected(viewer: ViewerModel) -> None:
    layer = viewer.add_image(np.zeros((5, 6)))
    selected: list[Any] = []
    viewer.layers.selection.events.active.connect(lambda event: selected.append(event.value))
    overlay_on(viewer, layer, read_layer(layer).axes(2))
    assert viewer.layers.selection.active is layer
    assert selected == []  # not even for a moment: napari would show the controls of each layer
    viewer.add_image(np.zeros((5, 6)))
    assert viewer.layers.selection.active is viewer.layers[-1]


@pytest.mark.parametrize("ndim", [2, 3, 4])
def test_layers_are_added_in_3d_before_the_mouse_has_moved(viewer: ViewerModel, ndim: int) -> None:
    layer = viewer.add_image(np.zeros((6,) * ndim))
    viewer.mouse_over_canvas = True
    viewer.dims.ndisplay = 3
    axes = read_layer(layer).axes(2)
    corrections = Corrections(viewer, layer, None, layer.data.shape, Region.whole(layer.data.shape), CLASSES)
    overlay = overlay_on(viewer, layer, axes)
    assert viewer.layers.selection.active is corrections.layer
    for other in (overlay.layers["classes"], layer, corrections.layer):
        select_layer(viewer, other)
        assert viewer.layers.selection.active is other


def test_certainty_is_opacity_and_colours_mix_by_probability() -> None:
    region = Region((0, 0), (2, 3))
    colours = [colour for _, colour in CLASSES]
    sure, torn, empty = (
        colorize_tile(tile(region, p), colours).colours[0, 0].tolist()
        for p in ([0, 1, 0], [0.5, 0.25, 0.25], [1, 0, 0])
    )
    assert sure == [255, 128, 0, 255]
    assert torn == [128, 64, 128, 128]
    assert empty[3] == 0


@pytest.mark.parametrize("classes", [1, 2, 3, 7])
def test_the_most_probable_class_is_the_first_of_the_highest(classes: int, rng: np.random.Generator) -> None:
    probabilities = rng.integers(0, 4, (classes, 9, 50)).astype(np.float32)  # with many ties
    found = most_probable(probabilities)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, probabilities.argmax(0))


def test_pixels_of_each_class_are_counted() -> None:
    region = Region((0,), (7,))
    assert colorize_tile(tile(region, [0.2, 0.5, 0.3]), ["#000000"] * 3).counts.tolist() == [0, 7, 0]


def test_a_canvas_of_any_size_is_created_at_once_and_empty() -> None:
    canvas = Canvas.empty((10**5, 10**4))
    canvas.prefault(Region((0, 0), (9, 9)))
    assert canvas.probabilities.shape == (10**5, 10**4, 4)
    assert not canvas.probabilities[-1].any()
    assert Canvas.empty((0, 4)).classes.size == 0
