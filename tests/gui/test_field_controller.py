"""The controller of the Receptive field dock, without a window, with tiny networks and the real engine."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gui.docks import LONG, MakeModel
from napari.components import ViewerModel
from napari.layers import Image, Layer
from pytestqt.qtbot import QtBot

from napari_fcn.api import receptive_field
from napari_fcn.gui._controllers import FieldController, FieldState, Request, model_catalog
from napari_fcn.gui._controllers.field.state import CHECKS
from napari_fcn.gui._layers import METADATA_KEY, central_pixel, pixel_at
from napari_fcn.gui._layers.receptive_field import saturation_value

Measure = Callable[..., FieldState]


@pytest.fixture
def viewer() -> ViewerModel:
    return ViewerModel()


@pytest.fixture
def controller(viewer: ViewerModel, qtbot: QtBot) -> Iterator[FieldController]:
    controller = FieldController(viewer)
    controller.connect()
    yield controller
    controller.shutdown()
    qtbot.waitUntil(lambda: not controller.is_busy, timeout=LONG)


@pytest.fixture
def rest(controller: FieldController, qtbot: QtBot) -> Callable[[], FieldState]:
    """Return a function that waits until no task runs, and returns the state."""

    def wait() -> FieldState:
        qtbot.waitUntil(lambda: not controller.is_busy and not controller.state.task, timeout=LONG)
        return controller.state

    return wait


@pytest.fixture
def measure(controller: FieldController, rest: Callable[[], FieldState]) -> Measure:
    """Return a function that measures a pixel and waits for its influence."""

    def measure(layer: Image, request: Request, *index: int, label: int | None = None) -> FieldState:
        controller.measure_at_index(layer, request, index, label)
        return rest()

    return measure


def cells(viewer: ViewerModel, shape: tuple[int, ...] = (80, 96), **placed: Any) -> Image:
    return viewer.add_image(np.random.default_rng(0).integers(0, 255, shape, np.uint8), name="cells", **placed)


def ours(viewer: ViewerModel, kind: str) -> Layer:
    return next(layer for layer in viewer.layers if layer.metadata.get(METADATA_KEY, {}).get("kind") == kind)


# A pixel


def test_a_pixel_has_a_box_and_an_influence(viewer: ViewerModel, measure: Measure, model: MakeModel) -> None:
    layer = cells(viewer, scale=(0.5, 0.5), units="um")
    state = measure(layer, Request(model()), 40, 50)
    assert state.error == ""
    field = state.field
    assert field is not None
    assert (field.image, field.pixel, field.label) == ("cells", (("y", 40), ("x", 50)), field.label)
    assert field.label.startswith("class")
    for one, exact in zip(field.extents, receptive_field(model()).size, strict=True):
        assert 0 < one.effective <= one.theoretical + 1
        assert one.theoretical <= exact
        assert (one.step, one.unit) == (0.5, "µm")
    assert [radius.share for radius in field.radii] == [0.5, 0.9, 0.99]
    assert all(radius.length == pytest.approx(0.5 * radius.pixels) for radius in field.radii)
    heat = ours(viewer, "influence")
    (y, x) = np.unravel_index(heat.data.argmax(), heat.data.shape)
    at = heat.data_to_world((y, x))
    assert np.linalg.norm(np.subtract(at, layer.data_to_world((40, 50)))) < 4
    assert ours(viewer, "receptive field").visible


def test_the_explained_class_is_named(viewer: ViewerModel, measure: Measure, model: MakeModel) -> None:
    layer = cells(viewer)
    labels = [measure(layer, Request(model()), 40, 50, label=label).field.label for label in range(3)]  # type: ignore[union-attr]
    assert len(set(labels)) == 3


def test_at_a_corner_part_of_the_field_is_padding(viewer: ViewerModel, measure: Measure, model: MakeModel) -> None:
    layer = cells(viewer)
    corner, middle = measure(layer, Request(model()), 0, 0).field, measure(layer, Request(model()), 40, 48).field
    assert corner is not None
    assert middle is not None
    assert corner.outside > 0.5
    assert middle.outside == 0


@pytest.mark.parametrize(
    "placed",
    [
        {"scale": (2.0, 0.5)},
        {"translate": (30.0, -7.0)},
        {"rotate": 30.0},
        {"shear": [0.3]},
        {"affine": [[1.0, 0.2, 5.0], [-0.1, 1.0, 2.0], [0, 0, 1]]},
    ],
)
def test_box_and_influence_are_centred_on_the_pixel(
    viewer: ViewerModel, measure: Measure, model: MakeModel, placed: dict[str, Any]
) -> None:
    layer = cells(viewer, **placed)
    measure(layer, Request(model()), 30, 50)
    box, heat = ours(viewer, "receptive field"), ours(viewer, "influence")
    corners = np.array([box.data_to_world(corner) for corner in box.data[0]])
    middle = layer.world_to_data(corners.mean(0))
    np.testing.assert_allclose(middle, (30, 50), atol=2)
    whole = np.array([layer.world_to_data(heat.data_to_world(c)) for c in ((0, 0), np.subtract(heat.data.shape, 1))])
    inside = np.array([layer.world_to_data(corner) for corner in corners])
    np.testing.assert_allclose(whole[0], inside.min(0) + 0.5, atol=1e-6)
    np.testing.assert_allclose(whole[1], inside.max(0) - 0.5, atol=1e-6)


def test_a_pixel_of_a_stack_is_in_the_displayed_plane(viewer: ViewerModel, measure: Measure, model: MakeModel) -> None:
    layer = cells(viewer, (5, 64, 60))
    viewer.dims.set_point(0, 3)
    field = measure(layer, Request(model()), 20, 30).field
    assert field is not None
    assert [index for _, index in field.pixel] == [3, 20, 30]
    box = ours(viewer, "receptive field")
    assert {float(corner[0]) for outline in box.data for corner in outline} == {3.0}


def test_a_volume_has_a_box_on_each_plane(viewer: ViewerModel, measure: Measure, model: MakeModel) -> None:
    layer = cells(viewer, (20, 24, 22))
    field = measure(layer, Request(model(3)), 10, 12, 11).field
    assert field is not None
    assert [one.axis for one in field.extents] == ["z", "y", "x"]
    planes = {float(outline[0][0]) for outline in ours(viewer, "receptive field").data}
    assert planes == set(range(field.extents[0].first, field.extents[0].last + 1))
    assert ours(viewer, "influence").data.ndim == 3


def test_a_pixel_has_no_index_for_channels(viewer: ViewerModel, measure: Measure, model: MakeModel) -> None:
    layer = cells(viewer, (2, 64, 60), axis_labels=("c", "y", "x"))
    field = measure(layer, Request(model(channels=2)), 20, 30).field
    assert field is not None
    assert field.pixel == (("y", 20), ("x", 30))


# What cannot be looked at


def test_a_pixel_outside_the_image_is_an_error(viewer: ViewerModel, measure: Measure, model: MakeModel) -> None:
    state = measure(cells(viewer), Request(model()), 200, 5)
    assert state.error == "The pixel y 200, x 5 lies outside cells, which has 80 × 96 px (y x). Click on the image."
    assert state.field is None


def test_a_pixel_with_too_few_numbers_is_an_error(viewer: ViewerModel, measure: Measure, model: MakeModel) -> None:
    assert "needs 2 numbers (y x); 1 given" in measure(cells(viewer), Request(model()), 5).error


def test_a_3d_model_on_a_plane_is_an_error(viewer: ViewerModel, measure: Measure, model: MakeModel) -> None:
    error = measure(cells(viewer), Request(model(3)), 5, 5).error
    assert "cells" in error
    assert "3" in error


def test_a_click_in_the_3d_view_is_an_error(viewer: ViewerModel, controller: FieldController, model: MakeModel) -> None:
    layer = cells(viewer, (5, 64, 60))
    viewer.dims.ndisplay = 3
    controller.measure_at_position(layer, Request(model()), (0, 0, 0))
    assert "switch to the 2-D view" in controller.state.error


def test_an_unbounded_receptive_field_names_the_responsible_layers(
    viewer: ViewerModel, measure: Measure, model: MakeModel, controller: FieldController
) -> None:
    request, layer = Request(model()), cells(viewer)
    measure(layer, request, 5, 5)
    known = controller._analyses[request.model]
    controller._analyses[request.model] = replace(known, unbounded=("pool.global",))
    controller.set_model(model_catalog.read_entry(request.model))
    assert controller.state.growth is not None
    assert controller.state.growth.unbounded == ("pool.global",)
    controller.measure_at_index(layer, request, (5, 5))
    assert "pool.global" in controller.state.error


# Models, objects, checks


def test_the_receptive_field_of_each_layer_is_listed(
    controller: FieldController, rest: Callable[[], FieldState], model: MakeModel
) -> None:
    controller.set_model(model_catalog.read_entry(model()))
    rest()
    growth = controller.state.growth
    assert growth is not None
    assert growth.axes == ("y", "x")
    assert growth.size == receptive_field(model()).size
    sizes = [row.size[0] for row in growth.layers]
    assert sizes == sorted(sizes)
    controller.set_model(None)
    assert controller.state.growth is None


def test_objects_are_measured_and_advice_follows(
    viewer: ViewerModel, controller: FieldController, rest: Callable[[], FieldState], model: MakeModel
) -> None:
    labels = np.zeros((80, 96), np.int32)
    labels[10:60, 10:60], labels[62:70, 70:90] = 1, 0
    layer = viewer.add_labels(labels)
    controller.set_model(model_catalog.read_entry(model()))
    rest()
    controller.measure_objects(layer, model_catalog.read_entry(model()))
    state = rest()
    assert state.objects == pytest.approx(50 * 2 / np.sqrt(np.pi), rel=0.01)
    assert "Objects are 56 px" in state.advice
    assert "Use the dilated network or a deeper one" in state.advice
    layer.data = np.zeros_like(labels)
    controller.measure_objects(layer, model_catalog.read_entry(model()))
    assert "no objects" in rest().error


@pytest.mark.parametrize("kind", CHECKS)
def test_a_check_gives_a_map_and_a_sentence(
    viewer: ViewerModel, controller: FieldController, rest: Callable[[], FieldState], model: MakeModel, kind: str
) -> None:
    layer = cells(viewer)
    controller.run_check(kind, layer, Request(model()))
    assert controller.state.is_checking
    state = rest()
    assert state.error == ""
    finding = state.check_result(kind)
    assert finding is not None
    assert (finding.image, finding.model) == ("cells", model_catalog.read_entry(model()).name)
    assert len(finding.sentence) > 40
    if kind == "certificate":
        assert finding.sentence.startswith("Exact.")
        assert "no pixel changes class" in finding.sentence
    found = [known for known in viewer.layers if known.metadata.get(METADATA_KEY, {}).get("source") == layer.unique_id]
    assert [known.visible for known in found] == [True]
    assert found[0].data.shape == (80, 96)


def test_a_cancelled_check_has_no_result(
    viewer: ViewerModel, controller: FieldController, rest: Callable[[], FieldState], model: MakeModel
) -> None:
    layer = cells(viewer, (1500, 1500))
    controller.run_check("equivariance", layer, Request(model()))
    controller.cancel()
    state = rest()
    assert (state.message, state.check_results) == ("Cancelled.", ())
    assert list(viewer.layers) == [layer]


def test_removing_the_image_cancels_its_tasks(
    viewer: ViewerModel, controller: FieldController, rest: Callable[[], FieldState], model: MakeModel
) -> None:
    layer = cells(viewer, (1500, 1500))
    controller.run_check("border", layer, Request(model()))
    viewer.layers.remove(layer)
    state = rest()
    assert state.message == "Stopped: the layer cells was removed."
    assert state.error == ""


def test_a_new_pixel_replaces_the_pending_one(
    viewer: ViewerModel, controller: FieldController, rest: Callable[[], FieldState], model: MakeModel
) -> None:
    layer, request = cells(viewer), Request(model())
    for x in range(20, 60):
        controller.measure_at_index(layer, request, (40, x))
    field = rest().field
    assert field is not None
    assert field.pixel == (("y", 40), ("x", 59))
    assert field.label


def test_an_invalid_model_file_is_an_error(viewer: ViewerModel, measure: Measure, tmp_path: Path) -> None:
    (tmp_path / "broken.safetensors").write_bytes(b"nothing")
    state = measure(cells(viewer), Request(tmp_path / "broken.safetensors"), 5, 5)
    assert "broken.safetensors" in state.error
    assert state.field is None


# Places


def test_world_coordinates_select_the_pixel_of_a_layer(viewer: ViewerModel) -> None:
    layer = cells(viewer, (3, 80, 96), scale=(5, 0.5, 0.5), translate=(0, 10, 0))
    assert pixel_at(layer, (5, 15.2, 4.9), None) == (1, 10, 10)
    assert pixel_at(layer, (5, 15.2, 4.9), 0) == (10, 10)
    viewer.dims.set_point(0, 10)
    assert central_pixel(viewer, layer, None) == (2, 40, 48)


def test_one_outlier_does_not_darken_the_other_pixels() -> None:
    heat = np.full((20, 20), 0.1, np.float32)
    heat[3, 3] = 1.0
    assert saturation_value(heat) == pytest.approx(0.1)
    assert saturation_value(np.zeros((4, 4), np.float32)) == 1.0
    even = np.ones((5, 5), np.float32)
    assert saturation_value(even) == 1.0
