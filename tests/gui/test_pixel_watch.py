"""Replaced pixels of a layer, by other data or in place: earlier results are marked as outdated."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
import zarr
from gui.docks import LONG, MakeModel
from napari.components import ViewerModel
from napari.layers import Image
from pytestqt.qtbot import QtBot
from zarr.storage import MemoryStore

from napari_fcn.events import TileDone
from napari_fcn.gui._batch_panels.table import state_text
from napari_fcn.gui._controllers import (
    BatchController,
    BatchRequest,
    FieldController,
    Request,
    SegmentController,
)
from napari_fcn.gui._field_panels.text import check_text
from napari_fcn.gui._layers import METADATA_KEY, PixelsReplacedError, is_outdated, pixel_digest, pixel_watch_for
from napari_fcn.gui._layers.pixel_watch import BLOCK_BYTES
from napari_fcn.session import Session
from napari_fcn.settings import OutputSettings, PredictSettings

TILES = PredictSettings(device="cpu", tile=(32,))
Change = Callable[[Image], None]


def other_data(layer: Image) -> None:
    layer.data = np.full_like(layer.data, 200)


def other_shape(layer: Image) -> None:
    layer.data = np.full((20, 30), 200, np.uint8)


def other_type(layer: Image) -> None:
    layer.data = layer.data.astype(np.float32)


def in_place(layer: Image) -> None:
    layer.data[...] = 200
    layer.refresh()


def in_place_and_given_again(layer: Image) -> None:
    layer.data[:5] = 200
    layer.data = layer.data  # how people have a layer drawn again


CHANGES = [other_data, other_shape, other_type, in_place, in_place_and_given_again]


@pytest.fixture
def viewer() -> ViewerModel:
    return ViewerModel()


@pytest.fixture
def layer(viewer: ViewerModel, rng: np.random.Generator) -> Image:
    return viewer.add_image(rng.integers(0, 255, (96, 96), np.uint8), name="live")


@pytest.fixture
def controller(viewer: ViewerModel, qtbot: QtBot) -> Iterator[SegmentController]:
    controller = SegmentController(viewer)
    controller.connect()
    yield controller
    controller.shutdown()
    qtbot.waitUntil(lambda: not controller.is_busy, timeout=LONG)


@pytest.fixture
def after_a_tile(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """An event for which every run waits after its first tile."""
    go_on, predict = threading.Event(), Session.predict

    def held(*arguments: Any, **options: Any) -> Iterator[Any]:
        for event in predict(*arguments, **options):
            yield event
            if isinstance(event, TileDone):
                assert go_on.wait(LONG / 1000)

    monkeypatch.setattr(Session, "predict", held)
    yield go_on
    go_on.set()


def ours(viewer: ViewerModel) -> list[Any]:
    return [layer for layer in viewer.layers if METADATA_KEY in layer.metadata]


def noted(layer: Image, qtbot: QtBot, change: Change) -> bool:
    """Return whether the watch of a layer detects a change."""
    watch = pixel_watch_for(layer)
    before = watch.generation
    change(layer)
    qtbot.waitUntil(lambda: not watch._is_scheduled, timeout=LONG)
    return watch.generation > before


@pytest.mark.parametrize("change", CHANGES)
def test_replaced_pixels_are_detected(layer: Image, qtbot: QtBot, change: Change) -> None:
    assert noted(layer, qtbot, change)


@pytest.mark.parametrize(
    "change",
    [
        Image.refresh,
        lambda layer: setattr(layer, "data", layer.data.copy()),
        lambda layer: setattr(layer, "contrast_limits", (3, 5)),
        lambda layer: setattr(layer, "visible", False),
    ],
    ids=["drawn again", "the same pixels", "contrast", "hidden"],
)
def test_changes_without_new_pixels_are_ignored(layer: Image, qtbot: QtBot, change: Change) -> None:
    assert not noted(layer, qtbot, change)


def test_a_rewritten_zarr_is_detected(viewer: ViewerModel, tmp_path: Path, qtbot: QtBot) -> None:
    array = zarr.open_array(tmp_path / "live.zarr", mode="w", shape=(64, 64), chunks=(32, 32), dtype="u2")
    array[...] = 7
    layer = viewer.add_image(array, contrast_limits=(0, 9))

    def write(layer: Image) -> None:
        array[:32, :32] = 70_000 % 2**16
        layer.refresh()

    assert noted(layer, qtbot, write)


def test_replaced_levels_of_a_pyramid_are_detected(viewer: ViewerModel, qtbot: QtBot) -> None:
    layer = viewer.add_image([np.zeros((64, 64), np.uint8), np.zeros((32, 32), np.uint8)], multiscale=True)
    levels = [np.ones((64, 64), np.uint8), np.ones((32, 32), np.uint8)]
    assert noted(layer, qtbot, lambda layer: setattr(layer, "data", levels))


@pytest.mark.parametrize(
    "make",
    [
        lambda pixels: pixels,
        lambda pixels: pixels.T,
        lambda pixels: pixels[::2, ::3],
        lambda pixels: pixels > 100,
        lambda pixels: pixels[:0],
        lambda pixels: pixels[0],
    ],
    ids=["whole", "turned", "with gaps", "bool", "empty", "line"],
)
def test_the_digest_of_a_copy_is_equal(make: Callable[[Any], Any], rng: np.random.Generator) -> None:
    array = make(rng.integers(0, 255, (60, 90), np.uint8))
    assert pixel_digest(array) == pixel_digest(array)
    assert pixel_digest(array)[2:] != pixel_digest(~array)[2:] or not array.size


def test_the_digest_of_a_large_array_samples_blocks_everywhere() -> None:
    array = np.zeros(64 * BLOCK_BYTES, np.uint8)
    before = pixel_digest(array, 16 * BLOCK_BYTES)
    array[40 * BLOCK_BYTES : 48 * BLOCK_BYTES] = 1
    assert pixel_digest(array, 16 * BLOCK_BYTES) != before


def test_changed_lazy_arrays_are_detected_on_the_worker() -> None:
    pixels = zarr.create_array(MemoryStore(), shape=(64, 64), chunks=(32, 32), dtype="u1")
    lazy = da.from_zarr(pixels)
    before = pixel_digest(lazy)
    pixels[...] = 9
    assert pixel_digest(lazy) != before


@pytest.mark.parametrize("change", CHANGES)
def test_a_run_ends_when_the_pixels_change(
    controller: SegmentController,
    viewer: ViewerModel,
    layer: Image,
    model: MakeModel,
    qtbot: QtBot,
    after_a_tile: threading.Event,
    change: Change,
) -> None:
    controller.predict(layer, Request(model(), TILES))
    qtbot.waitUntil(lambda: controller.state.done > 0, timeout=LONG)
    change(layer)
    after_a_tile.set()
    qtbot.waitUntil(lambda: not controller.state.is_running, timeout=LONG)
    assert controller.state.result is None
    message = controller.state.message + controller.state.error
    assert "The pixels of live were replaced" in message
    assert "Run again" in message
    qtbot.waitUntil(lambda: not controller.is_busy, timeout=LONG)
    assert ours(viewer)
    assert all(is_outdated(result) for result in ours(viewer))


def test_silent_changes_in_place_are_detected_before_files_are_complete(
    controller: SegmentController,
    layer: Image,
    model: MakeModel,
    qtbot: QtBot,
    tmp_path: Path,
    after_a_tile: threading.Event,
) -> None:

    controller.predict(
        layer, Request(model(), TILES, output=OutputSettings(("classes", "probabilities"), str(tmp_path)))
    )
    qtbot.waitUntil(lambda: controller.state.done > 0, timeout=LONG)
    layer.data[...] = 200
    after_a_tile.set()
    qtbot.waitUntil(lambda: not controller.state.is_running, timeout=LONG)
    assert "were replaced" in controller.state.error, controller.state
    assert not [path for path in tmp_path.iterdir() if path.name.endswith((".ome.tif", ".ome.zarr"))]


def test_a_result_is_marked_as_outdated_until_the_next_run(
    controller: SegmentController, viewer: ViewerModel, layer: Image, model: MakeModel, qtbot: QtBot
) -> None:
    def run() -> None:
        controller.predict(layer, Request(model(), TILES))
        qtbot.waitUntil(lambda: not controller.state.is_running, timeout=LONG)
        assert controller.state.result is not None, controller.state.error

    run()
    names = [found.name for found in ours(viewer)]
    other_data(layer)
    assert controller.state.result is not None
    assert "earlier pixels" in controller.state.result.warning
    assert [found.name for found in ours(viewer)] == [f"{name} (of earlier pixels)" for name in names]
    run()
    assert controller.state.result.warning == ""
    assert [found.name for found in ours(viewer)] == names
    assert not any(is_outdated(found) for found in ours(viewer))


def test_results_are_marked_as_outdated_after_the_dock_is_closed(
    viewer: ViewerModel, layer: Image, model: MakeModel, qtbot: QtBot
) -> None:
    controller = SegmentController(viewer)
    controller.connect()
    controller.predict(layer, Request(model(), TILES))
    qtbot.waitUntil(lambda: controller.state.result is not None, timeout=LONG)
    controller.shutdown()
    other_data(layer)
    assert all(is_outdated(found) for found in ours(viewer))


@pytest.fixture
def batch(viewer: ViewerModel, qtbot: QtBot) -> Iterator[BatchController]:
    controller = BatchController(viewer)
    controller.connect()
    yield controller
    controller.shutdown()
    qtbot.waitUntil(lambda: not controller.is_busy, timeout=LONG)


@pytest.mark.parametrize("change", [other_data, in_place])
def test_a_row_fails_if_its_pixels_change_and_the_others_continue(
    batch: BatchController,
    viewer: ViewerModel,
    layer: Image,
    model: MakeModel,
    qtbot: QtBot,
    after_a_tile: threading.Event,
    change: Change,
) -> None:
    viewer.add_image(np.zeros((40, 40), np.uint8), name="calm")
    batch.add_layers([layer, viewer.layers["calm"]])
    batch.run(BatchRequest(model(), TILES, OutputSettings()))
    qtbot.waitUntil(lambda: batch.state.rows[0].fraction > 0, timeout=LONG)
    change(layer)
    after_a_tile.set()
    qtbot.waitUntil(lambda: not batch.state.is_running, timeout=LONG)
    first, second = batch.state.rows
    assert first.state == "failed"
    assert "were replaced" in " ".join(first.lines)
    assert second.state == "done"


def test_a_finished_row_is_marked_as_outdated_and_run_again(
    batch: BatchController, viewer: ViewerModel, layer: Image, model: MakeModel, qtbot: QtBot
) -> None:
    request = BatchRequest(model(), TILES, OutputSettings())
    batch.add_layers([layer])
    batch.run(request)
    qtbot.waitUntil(lambda: not batch.state.is_running, timeout=LONG)
    before = batch.state
    other_data(layer)
    assert not batch.state.is_step_after(before)  # the dock shows all of it anew
    (row,) = batch.state.rows
    assert "outdated" in state_text(row)
    assert batch.state.to_run == (row.number,)
    batch.show(row.number)
    qtbot.waitUntil(lambda: "earlier pixels" in batch.state.message, timeout=LONG)
    assert all(is_outdated(found) for found in ours(viewer))
    batch.run(request)
    qtbot.waitUntil(lambda: not batch.state.is_running, timeout=LONG)
    assert not batch.state.rows[0].is_outdated
    assert not any(is_outdated(found) for found in ours(viewer))


@pytest.mark.parametrize("change", [other_data, in_place])
def test_box_heat_and_checks_of_earlier_pixels_are_hidden_or_marked(
    viewer: ViewerModel, layer: Image, model: MakeModel, qtbot: QtBot, change: Change
) -> None:
    controller = FieldController(viewer)
    controller.connect()
    request = Request(model(), PredictSettings(device="cpu"))
    controller.run_check("border", layer, request)
    qtbot.waitUntil(
        lambda: controller.state.check_result("border") is not None and not controller.is_busy, timeout=LONG
    )
    controller.measure_at_index(layer, request, (40, 50))
    qtbot.waitUntil(lambda: controller.state.field is not None and not controller.is_busy, timeout=LONG)
    change(layer)
    qtbot.waitUntil(lambda: "were replaced" in controller.state.message, timeout=LONG)
    assert controller.state.field is None
    finding = controller.state.check_result("border")
    assert finding is not None
    assert "earlier pixels" in check_text(finding)
    assert not any(found.visible for found in ours(viewer))
    assert all(is_outdated(found) for found in ours(viewer))
    controller.measure_at_index(layer, request, (10, 10))
    qtbot.waitUntil(lambda: controller.state.field is not None and not controller.is_busy, timeout=LONG)
    shown = [found for found in ours(viewer) if found.visible]
    assert shown
    assert not any(is_outdated(found) for found in shown)
    controller.shutdown()
    qtbot.waitUntil(lambda: not controller.is_busy, timeout=LONG)


def test_the_error_contains_advice() -> None:
    from napari_fcn.gui._layers import pixels_replaced_error

    error = pixels_replaced_error("live")
    assert isinstance(error, PixelsReplacedError)
    assert "Run again" in str(error)
