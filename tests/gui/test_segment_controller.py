"""The Segment controller without a window and a network, with a fake session."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from gui.clocks import LONG, ManualTime
from gui.docks import MakeModel
from napari.components import ViewerModel
from napari.layers import Image
from pytestqt.qtbot import QtBot

from napari_fcn.errors import DeviceError
from napari_fcn.events import RunDone, RunPlanned, TileDone
from napari_fcn.geometry import Region
from napari_fcn.gui._controllers import Request, SegmentController, ViewState, base
from napari_fcn.gui._controllers.segment import controller as segment
from napari_fcn.gui._controllers.segment.worker import LayerJob
from napari_fcn.gui._layers import ColourTile, Overlay, colorize_tile
from napari_fcn.settings import OutputSettings, PredictSettings

HALF = 4  # rows of a pretended tile
COLOURS = ("#000000", "#56b4e9", "#e69f00")


class FakeEngine:
    """A fake engine that yields two tiles, or raises an error."""

    def __init__(self) -> None:
        self.jobs: list[LayerJob] = []
        self.error: Exception | None = None
        self.is_endless = False

    def __call__(self, job: LayerJob, _: object) -> Iterator[RunPlanned | ColourTile | RunDone]:
        self.jobs.append(job)
        yield RunPlanned(2, (HALF, 8), ((0, 0), (0, 0)), "cpu", "float32", 0, ("A note.",))
        planes = job.canvas.classes.ndim - 2
        yield self.tile(0, planes)
        while self.is_endless:
            yield self.tile(0, planes)
        if self.error:
            raise self.error
        yield self.tile(1, planes)
        yield RunDone(64, 0.5, "cpu", "float32")

    @staticmethod
    def tile(number: int, planes: int = 0) -> ColourTile:
        """Return one half of the image, of its first plane if it is a stack."""
        region = Region((*[0] * planes, number * HALF, 0), (*[1] * planes, (number + 1) * HALF, 8))
        probabilities = np.zeros((3, *region.shape), np.float32)
        probabilities[number] = 1
        return colorize_tile(TileDone(region, probabilities, number + 1, 2), COLOURS)


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> FakeEngine:
    fake = FakeEngine()
    monkeypatch.setattr(segment, "run_segmentation", fake)
    return fake


@pytest.fixture
def viewer() -> ViewerModel:
    return ViewerModel()


@pytest.fixture
def layer(viewer: ViewerModel) -> Image:
    return viewer.add_image(np.zeros((8, 8), np.uint8), name="cells")


@pytest.fixture
def controller(viewer: ViewerModel, qtbot: QtBot) -> Iterator[SegmentController]:
    controller = SegmentController(viewer)
    controller.connect()
    yield controller
    controller.shutdown()
    qtbot.waitUntil(lambda: not controller.is_busy)


@pytest.fixture
def states(controller: SegmentController) -> list[ViewState]:
    states: list[ViewState] = []
    controller.changed.connect(states.append)
    return states


@pytest.fixture
def request_(model: MakeModel) -> Request:
    return Request(model())


def wait_for_end(controller: SegmentController, qtbot: QtBot) -> None:
    qtbot.waitUntil(lambda: not controller.state.is_running)


def test_a_run_reports_progress_and_result(
    controller: SegmentController,
    engine: FakeEngine,
    layer: Image,
    request_: Request,
    states: list[ViewState],
    qtbot: QtBot,
) -> None:
    controller.predict(layer, request_)
    wait_for_end(controller, qtbot)
    assert states[0].is_running
    assert "cells" in states[0].message
    result = states[-1].result
    assert result is not None
    assert (result.image, result.line) == ("cells", "0.5 s on cpu in float32, 0.00013 Mpx/s")
    assert result.notes == ("A note.",)
    assert [entry.share for entry in result.classes] == [0.5, 0.5, 0.0]
    classes = controller.result_layer(layer, "classes")
    assert classes is not None
    np.testing.assert_array_equal(classes.data, np.repeat([0, 1], HALF)[:, None] * np.ones(8, int))
    assert classes.metadata["napari_fcn"]["device"] == "cpu"


def test_while_a_tile_takes_long_progress_continues_and_the_last_tile_is_shown(
    viewer: ViewerModel, layer: Image, request_: Request, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    manual, may_predict, may_end = ManualTime(), threading.Event(), threading.Event()

    def run(job: LayerJob, _: object) -> Iterator[RunPlanned | ColourTile | RunDone]:
        yield RunPlanned(2, (HALF, 8), ((0, 0), (0, 0)), "cpu", "float32", 0)
        assert may_predict.wait(LONG / 1000)
        yield replace(FakeEngine.tile(0), work=0.5)
        assert may_end.wait(LONG / 1000)
        yield RunDone(64, 0.5, "cpu", "float32")

    monkeypatch.setattr(segment, "run_segmentation", run)
    controller = SegmentController(viewer, clock=manual.clock)
    controller.predict(layer, request_)
    qtbot.waitUntil(lambda: controller.state.total == 2)
    manual.seconds += 6
    may_predict.set()
    qtbot.waitUntil(lambda: controller.state.done == 1)
    assert (controller.state.fraction, controller.state.seconds_left) == (0.5, 6)
    shown = []
    monkeypatch.setattr(Overlay, "refresh", lambda overlay: shown.append(overlay))
    manual.seconds += 2
    controller._refresh_timer.fire()  # type: ignore[attr-defined]
    assert controller.state.fraction == pytest.approx(0.5 + 0.5 * 2 / 6)
    assert (controller.state.done, controller.state.seconds_left) == (1, 4)
    assert shown
    assert controller._refresh_timer.isActive()
    may_end.set()
    wait_for_end(controller, qtbot)
    controller._refresh_timer.fire()  # type: ignore[attr-defined]
    assert not controller._refresh_timer.isActive()
    controller.shutdown()
    qtbot.waitUntil(lambda: not controller.is_busy)


def test_the_visible_region_is_requested_first(
    controller: SegmentController, engine: FakeEngine, viewer: ViewerModel, request_: Request, qtbot: QtBot
) -> None:
    movie = viewer.add_image(np.zeros((5, 8, 8), np.uint8))
    viewer.dims.set_point(0, 3)
    controller.predict(movie, request_)
    qtbot.waitUntil(lambda: bool(engine.jobs))
    assert engine.jobs[0].visible() == Region((3, 0, 0), (4, 8, 8))
    assert engine.jobs[0].axes.loop == ("z",)


def test_a_user_error_is_shown_and_finished_tiles_stay(
    controller: SegmentController, engine: FakeEngine, layer: Image, request_: Request, qtbot: QtBot
) -> None:
    engine.error = DeviceError("The GPU is full. Choose the CPU.")
    controller.predict(layer, request_)
    wait_for_end(controller, qtbot)
    assert controller.state.error == "The GPU is full. Choose the CPU."
    assert controller.state.result is None
    assert controller.result_layer(layer, "probabilities") is not None


def test_an_unexpected_error_is_shown_and_reported_to_napari(
    controller: SegmentController,
    engine: FakeEngine,
    layer: Image,
    request_: Request,
    qtbot: QtBot,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    errors: list[Any] = []
    monkeypatch.setattr(base.notification_manager, "receive_error", lambda *error: errors.append(error))
    engine.error = RuntimeError("CUDA error: unspecified launch failure")
    controller.predict(layer, request_)
    wait_for_end(controller, qtbot)
    assert "CUDA error: unspecified launch failure" in controller.state.error
    assert errors[0][:2] == (RuntimeError, engine.error)


def test_cancel_stops_the_run_and_reports_the_progress(
    controller: SegmentController, engine: FakeEngine, layer: Image, request_: Request, qtbot: QtBot
) -> None:
    engine.is_endless = True
    controller.predict(layer, request_)
    qtbot.waitUntil(lambda: controller.state.done > 0)
    controller.cancel()
    assert controller.state.message == "Cancelled after 1 of 2 tiles; finished tiles stay."
    assert not controller.state.is_running
    qtbot.waitUntil(lambda: not controller.is_busy)


@pytest.mark.parametrize("name", ["cells", "cells probabilities", "cells classes"])
def test_a_run_ends_when_one_of_its_layers_is_removed(
    controller: SegmentController,
    engine: FakeEngine,
    viewer: ViewerModel,
    layer: Image,
    request_: Request,
    qtbot: QtBot,
    name: str,
) -> None:
    engine.is_endless = True
    controller.predict(layer, request_)
    qtbot.waitUntil(lambda: len(viewer.layers) == 3)
    del viewer.layers[name]
    assert controller.state.message == f"Stopped: the layer {name} was removed."
    qtbot.waitUntil(lambda: not controller.is_busy)


def test_a_run_continues_when_another_layer_is_removed(
    controller: SegmentController,
    engine: FakeEngine,
    viewer: ViewerModel,
    layer: Image,
    request_: Request,
    qtbot: QtBot,
) -> None:
    other = viewer.add_image(np.zeros((4, 4)))
    controller.predict(layer, request_)
    viewer.layers.remove(other)
    wait_for_end(controller, qtbot)
    assert controller.state.result is not None


def test_a_new_run_replaces_the_current_one(
    controller: SegmentController,
    engine: FakeEngine,
    viewer: ViewerModel,
    layer: Image,
    request_: Request,
    qtbot: QtBot,
) -> None:
    engine.is_endless = True
    controller.predict(layer, request_)
    qtbot.waitUntil(lambda: controller.state.done > 0)
    engine.is_endless = False
    controller.predict(layer, request_)
    wait_for_end(controller, qtbot)
    assert controller.state.result is not None
    assert len(viewer.layers) == 3


def test_shutdown_mid_run_leaves_no_thread(
    controller: SegmentController, engine: FakeEngine, layer: Image, request_: Request, qtbot: QtBot
) -> None:
    engine.is_endless = True
    controller.predict(layer, request_)
    qtbot.waitUntil(lambda: controller.state.done > 0)
    controller.shutdown()
    assert not controller.state.is_running
    qtbot.waitUntil(lambda: not controller.is_busy)
    controller.connect()


def test_a_damaged_model_does_not_hide_the_others(
    controller: SegmentController, model: MakeModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(b"half a file")
    monkeypatch.setattr(segment.model_catalog, "shipped_paths", lambda: (broken, model()))
    assert [entry.path for entry in controller.models()] == [model()]
    assert "broken.safetensors" in controller.state.error


def test_a_missing_model_file_is_named(controller: SegmentController, layer: Image, tmp_path: Path) -> None:
    controller.predict(layer, Request(tmp_path / "gone.safetensors"))
    assert "gone.safetensors" in controller.state.error
    assert not controller.state.is_running


def test_unsuitable_axes_are_explained(controller: SegmentController, layer: Image, model: MakeModel) -> None:
    controller.predict(layer, Request(model(), axes=("z", "y", "x")))
    assert "name 3 axes; the image has 2" in controller.state.error


def test_an_invalid_request_ends_the_current_run(
    controller: SegmentController, engine: FakeEngine, layer: Image, request_: Request, qtbot: QtBot, tmp_path: Path
) -> None:
    engine.is_endless = True
    controller.predict(layer, request_)
    qtbot.waitUntil(lambda: controller.state.done > 0)
    controller.predict(layer, Request(tmp_path / "gone.safetensors"))
    qtbot.waitUntil(lambda: not controller.is_busy)


def test_a_missing_device_is_named_and_no_layer_appears(
    controller: SegmentController, viewer: ViewerModel, layer: Image, model: MakeModel, qtbot: QtBot
) -> None:
    controller.predict(layer, Request(model(), PredictSettings(device="cuda:99")))
    qtbot.waitUntil(lambda: not controller.state.is_running, timeout=30_000)
    assert "cuda" in controller.state.error
    assert len(viewer.layers) == 1


def test_the_image_summary_has_size_type_and_pixel_size(controller: SegmentController, viewer: ViewerModel) -> None:
    layer = viewer.add_image(
        np.zeros((7, 30, 40), np.uint16), scale=(2, 0.5, 0.5), units="um", axis_labels=("t", "y", "x")
    )
    facts = controller.describe_image(layer, None, None)
    assert facts.summary == "7 × 30 × 40 px · uint16 · 0.5 µm/px · axes tyx · one y-x plane at a time along t"
    assert (facts.axes, facts.channels, facts.problem) == ("tyx", (), "")


def test_the_image_summary_names_the_channels(controller: SegmentController, viewer: ViewerModel) -> None:
    colour = viewer.add_image(np.zeros((5, 6, 3), np.uint8), rgb=True)
    many = viewer.add_image(np.zeros((2, 5, 6), np.uint8), axis_labels=("c", "y", "x"))
    assert controller.describe_image(colour, None, None).channels == ("red", "green", "blue")
    assert controller.describe_image(many, None, None).channels == ("channel 0", "channel 1")


@pytest.mark.parametrize(
    ("shape", "ndim", "channels", "problem"),
    [
        ((8, 8), 3, 1, "3-D model needs 3 axes"),
        ((8, 8), 2, 2, "reads 2 channels; the image has 1"),
    ],
)
def test_the_image_summary_says_why_a_model_cannot_run(
    controller: SegmentController, model: MakeModel, shape: tuple[int, ...], ndim: int, channels: int, problem: str
) -> None:
    entry = controller.open_model(model(ndim, channels))
    assert entry is not None
    layer = Image(np.zeros(shape), contrast_limits=(0, 1))
    assert problem in controller.describe_image(layer, Request(entry.path), entry).problem


def test_results_are_saved_while_the_network_runs_and_never_replace_a_file(
    controller: SegmentController, layer: Image, model: MakeModel, qtbot: QtBot, tmp_path: Path
) -> None:
    request = Request(model(), output=OutputSettings(("classes", "probabilities"), str(tmp_path)))
    for _ in range(2):
        controller.predict(layer, request)
        qtbot.waitUntil(lambda: not controller.state.is_running, timeout=30_000)
        assert not controller.state.error
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "cells_classes-2.ome.tif",
        "cells_classes.ome.tif",
        "cells_probabilities-2.ome.tif",
        "cells_probabilities.ome.tif",
    ]
    assert controller.state.result is not None
    assert controller.state.result.files[0] == str(tmp_path / "cells_classes-2.ome.tif")
    saved = tifffile.imread(tmp_path / "cells_classes.ome.tif")
    np.testing.assert_array_equal(saved, controller.result_layer(layer, "classes").data)


def test_saving_needs_a_folder(controller: SegmentController, layer: Image, model: MakeModel) -> None:
    controller.predict(layer, Request(model(), output=OutputSettings(("classes",))))
    assert "Choose a folder" in controller.state.error


def test_showing_one_result_hides_the_other(
    controller: SegmentController, engine: FakeEngine, layer: Image, request_: Request, qtbot: QtBot
) -> None:
    controller.predict(layer, request_)
    wait_for_end(controller, qtbot)
    controller.show_only(layer, "classes")
    assert [controller.result_layer(layer, kind).visible for kind in ("classes", "probabilities")] == [True, False]
    controller.show_only(layer, "probabilities")
    assert [controller.result_layer(layer, kind).visible for kind in ("classes", "probabilities")] == [False, True]


def test_a_run_in_the_box_of_the_selected_shapes_lies_at_its_place(
    controller: SegmentController, viewer: ViewerModel, engine: FakeEngine, model: MakeModel, qtbot: QtBot
) -> None:
    layer = viewer.add_image(np.zeros((40, 50), np.uint8), name="cells", scale=(2, 2), translate=(10, 20))
    inside, other = [[30, 40], [30, 60], [50, 60], [50, 40]], [[10, 20], [10, 30], [20, 30], [20, 20]]
    shapes = viewer.add_shapes([inside, other], shape_type="rectangle", name="region")
    shapes.selected_data = {0}
    choice = dict(controller.region_choices())["Shapes: region"]
    controller.predict(layer, Request(model()), choice)
    wait_for_end(controller, qtbot)
    (job,) = engine.jobs
    assert job.settings.roi == "y=10:21,x=10:21"
    assert job.canvas.window == Region((10, 10), (21, 21))
    result = controller.result_layer(layer, "classes")
    assert result is not None
    assert result.data.shape == (11, 11)
    np.testing.assert_allclose(result.translate, (10 + 2 * 10, 20 + 2 * 10))


def test_without_a_selection_the_box_contains_all_shapes_on_all_planes(
    controller: SegmentController, viewer: ViewerModel, engine: FakeEngine, model: MakeModel, qtbot: QtBot
) -> None:
    layer = viewer.add_image(np.zeros((3, 40, 50), np.uint8), name="stack")
    shapes = viewer.add_shapes([[[5, 6], [9, 12]], [[20, 30], [24, 90]]], shape_type="rectangle", name="region")
    shapes.selected_data = set()
    controller.predict(layer, Request(model()), dict(controller.region_choices())["Shapes: region"])
    qtbot.waitUntil(lambda: not controller.is_busy)
    assert engine.jobs[0].settings.roi == "z=0:3,y=5:25,x=6:50"


@pytest.mark.parametrize(
    ("shapes", "words"), [([], "region has no shapes"), ([[[100, 100], [120, 130]]], "are outside of cells")]
)
def test_shapes_that_give_no_region_are_an_error(
    controller: SegmentController, viewer: ViewerModel, layer: Image, model: MakeModel, shapes: list[Any], words: str
) -> None:
    viewer.add_shapes(shapes or None, shape_type="rectangle", name="region", ndim=2)
    controller.predict(layer, Request(model()), dict(controller.region_choices())["Shapes: region"])
    assert words in controller.state.error


def test_the_visible_region_is_that_of_the_view(
    controller: SegmentController, viewer: ViewerModel, engine: FakeEngine, model: MakeModel, qtbot: QtBot
) -> None:
    layer = viewer.add_image(np.zeros((3, 8, 8), np.uint8), name="stack")
    viewer.dims.set_point(0, 1)
    controller.predict(layer, Request(model()), dict(controller.region_choices())["Visible region"])
    qtbot.waitUntil(lambda: not controller.is_busy)
    assert engine.jobs[0].settings.roi.startswith("z=1:2,")
