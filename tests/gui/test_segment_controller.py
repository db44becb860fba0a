"""The journeys without a window and without a network: a viewer model and a session that only pretends."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from gui.docks import MakeModel
from napari.components import ViewerModel
from napari.layers import Image
from pytestqt.qtbot import QtBot

from napari_fcn.errors import DeviceError
from napari_fcn.events import RunDone, RunPlanned, TileDone
from napari_fcn.geometry import Region
from napari_fcn.gui._controllers import Request, SegmentController, ViewState
from napari_fcn.gui._controllers import base as desks
from napari_fcn.gui._controllers.segment import controller
from napari_fcn.gui._controllers.segment.worker import LayerJob
from napari_fcn.gui._layers import ColourTile, colorize_tile
from napari_fcn.settings import OutputSettings, PredictSettings

HALF = 4  # rows of a pretended tile
COLOURS = ("#000000", "#56b4e9", "#e69f00")


class Pretender:
    """Stands in for the engine: two tiles, and what goes wrong if asked to."""

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
def engine(monkeypatch: pytest.MonkeyPatch) -> Pretender:
    pretender = Pretender()
    monkeypatch.setattr(controller, "run_segmentation", pretender)
    return pretender


@pytest.fixture
def viewer() -> ViewerModel:
    return ViewerModel()


@pytest.fixture
def layer(viewer: ViewerModel) -> Image:
    return viewer.add_image(np.zeros((8, 8), np.uint8), name="cells")


@pytest.fixture
def desk(viewer: ViewerModel, qtbot: QtBot) -> Iterator[SegmentController]:
    desk = SegmentController(viewer)
    desk.connect()
    yield desk
    desk.shutdown()
    qtbot.waitUntil(lambda: not desk.is_busy)


@pytest.fixture
def states(desk: SegmentController) -> list[ViewState]:
    states: list[ViewState] = []
    desk.changed.connect(states.append)
    return states


@pytest.fixture
def request_(model: MakeModel) -> Request:
    return Request(model())


def wait_for_end(desk: SegmentController, qtbot: QtBot) -> None:
    qtbot.waitUntil(lambda: not desk.state.is_running)


def test_a_run_tells_its_progress_and_its_result(
    desk: SegmentController, engine: Pretender, layer: Image, request_: Request, states: list[ViewState], qtbot: QtBot
) -> None:
    desk.predict(layer, request_)
    wait_for_end(desk, qtbot)
    assert states[0].is_running
    assert "cells" in states[0].message
    result = states[-1].result
    assert result is not None
    assert (result.image, result.line) == ("cells", "0.5 s on cpu in float32, 0.00013 Mpx/s")
    assert result.notes == ("A note.",)
    assert [entry.share for entry in result.classes] == [0.5, 0.5, 0.0]
    classes = desk.result_layer(layer, "classes")
    assert classes is not None
    np.testing.assert_array_equal(classes.data, np.repeat([0, 1], HALF)[:, None] * np.ones(8, int))
    assert classes.metadata["napari_fcn"]["device"] == "cpu"


def test_what_is_on_screen_is_asked_for_first(
    desk: SegmentController, engine: Pretender, viewer: ViewerModel, request_: Request, qtbot: QtBot
) -> None:
    movie = viewer.add_image(np.zeros((5, 8, 8), np.uint8))
    viewer.dims.set_point(0, 3)
    desk.predict(movie, request_)
    qtbot.waitUntil(lambda: bool(engine.jobs))
    assert engine.jobs[0].visible() == Region((3, 0, 0), (4, 8, 8))
    assert engine.jobs[0].axes.loop == ("z",)


def test_an_error_for_the_user_is_shown_as_it_is_and_what_is_finished_stays(
    desk: SegmentController, engine: Pretender, layer: Image, request_: Request, qtbot: QtBot
) -> None:
    engine.error = DeviceError("The GPU is full. Choose the CPU.")
    desk.predict(layer, request_)
    wait_for_end(desk, qtbot)
    assert desk.state.error == "The GPU is full. Choose the CPU."
    assert desk.state.result is None
    assert desk.result_layer(layer, "probabilities") is not None


def test_an_unforeseen_error_is_shown_and_goes_to_napari_too(
    desk: SegmentController,
    engine: Pretender,
    layer: Image,
    request_: Request,
    qtbot: QtBot,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: list[Any] = []
    monkeypatch.setattr(desks.notification_manager, "receive_error", lambda *error: told.append(error))
    engine.error = RuntimeError("CUDA error: unspecified launch failure")
    desk.predict(layer, request_)
    wait_for_end(desk, qtbot)
    assert "CUDA error: unspecified launch failure" in desk.state.error
    assert told[0][:2] == (RuntimeError, engine.error)


def test_cancel_stops_the_run_and_says_how_far_it_came(
    desk: SegmentController, engine: Pretender, layer: Image, request_: Request, qtbot: QtBot
) -> None:
    engine.is_endless = True
    desk.predict(layer, request_)
    qtbot.waitUntil(lambda: desk.state.done > 0)
    desk.cancel()
    assert desk.state.message == "Cancelled after 1 of 2 tiles; finished tiles stay."
    assert not desk.state.is_running
    qtbot.waitUntil(lambda: not desk.is_busy)


@pytest.mark.parametrize("name", ["cells", "cells probabilities", "cells classes"])
def test_a_run_ends_when_one_of_its_layers_is_removed(
    desk: SegmentController,
    engine: Pretender,
    viewer: ViewerModel,
    layer: Image,
    request_: Request,
    qtbot: QtBot,
    name: str,
) -> None:
    engine.is_endless = True
    desk.predict(layer, request_)
    qtbot.waitUntil(lambda: len(viewer.layers) == 3)
    del viewer.layers[name]
    assert desk.state.message == f"Stopped: the layer {name} was removed."
    qtbot.waitUntil(lambda: not desk.is_busy)


def test_a_run_goes_on_when_another_layer_is_removed(
    desk: SegmentController, engine: Pretender, viewer: ViewerModel, layer: Image, request_: Request, qtbot: QtBot
) -> None:
    other = viewer.add_image(np.zeros((4, 4)))
    desk.predict(layer, request_)
    viewer.layers.remove(other)
    wait_for_end(desk, qtbot)
    assert desk.state.result is not None


def test_a_new_run_replaces_one_that_goes_on(
    desk: SegmentController, engine: Pretender, viewer: ViewerModel, layer: Image, request_: Request, qtbot: QtBot
) -> None:
    engine.is_endless = True
    desk.predict(layer, request_)
    qtbot.waitUntil(lambda: desk.state.done > 0)
    engine.is_endless = False
    desk.predict(layer, request_)
    wait_for_end(desk, qtbot)
    assert desk.state.result is not None
    assert len(viewer.layers) == 3


def test_shutdown_mid_run_leaves_no_thread(
    desk: SegmentController, engine: Pretender, layer: Image, request_: Request, qtbot: QtBot
) -> None:
    engine.is_endless = True
    desk.predict(layer, request_)
    qtbot.waitUntil(lambda: desk.state.done > 0)
    desk.shutdown()
    assert not desk.state.is_running
    qtbot.waitUntil(lambda: not desk.is_busy)
    desk.connect()


def test_a_damaged_model_does_not_hide_the_others(
    desk: SegmentController, model: MakeModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(b"half a file")
    monkeypatch.setattr(controller.model_catalog, "shipped_paths", lambda: (broken, model()))
    assert [entry.path for entry in desk.models()] == [model()]
    assert "broken.safetensors" in desk.state.error


def test_a_model_that_is_gone_is_named(desk: SegmentController, layer: Image, tmp_path: Path) -> None:
    desk.predict(layer, Request(tmp_path / "gone.safetensors"))
    assert "gone.safetensors" in desk.state.error
    assert not desk.state.is_running


def test_axes_that_do_not_fit_are_explained(desk: SegmentController, layer: Image, model: MakeModel) -> None:
    desk.predict(layer, Request(model(), axes=("z", "y", "x")))
    assert "name 3 axes; the image has 2" in desk.state.error


def test_a_mistake_in_the_new_request_ends_the_old_run(
    desk: SegmentController, engine: Pretender, layer: Image, request_: Request, qtbot: QtBot, tmp_path: Path
) -> None:
    engine.is_endless = True
    desk.predict(layer, request_)
    qtbot.waitUntil(lambda: desk.state.done > 0)
    desk.predict(layer, Request(tmp_path / "gone.safetensors"))
    qtbot.waitUntil(lambda: not desk.is_busy)


def test_a_device_that_is_not_there_is_named_and_no_layer_appears(
    desk: SegmentController, viewer: ViewerModel, layer: Image, model: MakeModel, qtbot: QtBot
) -> None:
    desk.predict(layer, Request(model(), PredictSettings(device="cuda:99")))
    qtbot.waitUntil(lambda: not desk.state.is_running, timeout=30_000)
    assert "cuda" in desk.state.error
    assert len(viewer.layers) == 1


def test_facts_of_an_image_say_size_type_and_pixel_size(desk: SegmentController, viewer: ViewerModel) -> None:
    layer = viewer.add_image(
        np.zeros((7, 30, 40), np.uint16), scale=(2, 0.5, 0.5), units="um", axis_labels=("t", "y", "x")
    )
    facts = desk.describe_image(layer, None, None)
    assert facts.summary == "7 × 30 × 40 px · uint16 · 0.5 µm/px · axes tyx · one y-x plane at a time along t"
    assert (facts.axes, facts.channels, facts.problem) == ("tyx", (), "")


def test_facts_name_the_channels(desk: SegmentController, viewer: ViewerModel) -> None:
    colour = viewer.add_image(np.zeros((5, 6, 3), np.uint8), rgb=True)
    many = viewer.add_image(np.zeros((2, 5, 6), np.uint8), axis_labels=("c", "y", "x"))
    assert desk.describe_image(colour, None, None).channels == ("red", "green", "blue")
    assert desk.describe_image(many, None, None).channels == ("channel 0", "channel 1")


@pytest.mark.parametrize(
    ("shape", "ndim", "channels", "problem"),
    [
        ((8, 8), 3, 1, "3-D model needs 3 axes"),
        ((8, 8), 2, 2, "reads 2 channels; the image has 1"),
    ],
)
def test_facts_say_why_a_model_cannot_run(
    desk: SegmentController, model: MakeModel, shape: tuple[int, ...], ndim: int, channels: int, problem: str
) -> None:
    entry = desk.open_model(model(ndim, channels))
    assert entry is not None
    layer = Image(np.zeros(shape), contrast_limits=(0, 1))
    assert problem in desk.describe_image(layer, Request(entry.path), entry).problem


def test_results_are_saved_while_the_network_runs_and_never_replace_a_file(
    desk: SegmentController, layer: Image, model: MakeModel, qtbot: QtBot, tmp_path: Path
) -> None:
    request = Request(model(), output=OutputSettings(("classes", "probabilities"), str(tmp_path)))
    for _ in range(2):
        desk.predict(layer, request)
        qtbot.waitUntil(lambda: not desk.state.is_running, timeout=30_000)
        assert not desk.state.error
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "cells_classes-2.ome.tif",
        "cells_classes.ome.tif",
        "cells_probabilities-2.ome.tif",
        "cells_probabilities.ome.tif",
    ]
    assert desk.state.result is not None
    assert desk.state.result.files[0] == str(tmp_path / "cells_classes-2.ome.tif")
    saved = tifffile.imread(tmp_path / "cells_classes.ome.tif")
    np.testing.assert_array_equal(saved, desk.result_layer(layer, "classes").data)


def test_there_must_be_a_folder_to_save_to(desk: SegmentController, layer: Image, model: MakeModel) -> None:
    desk.predict(layer, Request(model(), output=OutputSettings(("classes",))))
    assert "Choose a folder" in desk.state.error


def test_one_result_is_shown_and_the_other_hidden(
    desk: SegmentController, engine: Pretender, layer: Image, request_: Request, qtbot: QtBot
) -> None:
    desk.predict(layer, request_)
    wait_for_end(desk, qtbot)
    desk.show_only(layer, "classes")
    assert [desk.result_layer(layer, kind).visible for kind in ("classes", "probabilities")] == [True, False]
    desk.show_only(layer, "probabilities")
    assert [desk.result_layer(layer, kind).visible for kind in ("classes", "probabilities")] == [False, True]
