"""The Batch dock: the controller with a fake engine, then the dock with real networks, files and a mouse."""

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from gui.docks import LONG, MakeModel
from napari.components import ViewerModel
from napari.layers import Image
from napari.viewer import Viewer
from pytestqt.qtbot import QtBot
from qtpy.QtCore import QMimeData, QPoint, QPointF, Qt, QUrl
from qtpy.QtGui import QDragEnterEvent, QDropEvent
from qtpy.QtWidgets import QAbstractButton, QApplication, QComboBox, QLineEdit
from scipy import ndimage

from napari_fcn.errors import Advice, ImageError, OutputExistsError
from napari_fcn.events import RunDone, TileDone
from napari_fcn.geometry import Axes, Region
from napari_fcn.gui import batch as dock_module
from napari_fcn.gui._batch_panels.table import detail, state_text
from napari_fcn.gui._controllers import BatchController, BatchRequest, Row, Summary, base
from napari_fcn.gui._controllers.batch import tasks
from napari_fcn.gui._controllers.batch.jobs import FileJob, JobEnded
from napari_fcn.gui._controllers.model_catalog import ModelCache
from napari_fcn.gui._controllers.segment.worker import LayerJob, VisibleRegion, run_segmentation
from napari_fcn.gui._layers import ColourTile, find_layer, is_outdated
from napari_fcn.gui._widgets.source_panel import NO_MODEL
from napari_fcn.gui.batch import ALL_KEY, NO_IMAGES, BatchWidget, summary_line
from napari_fcn.inference import tile_planner
from napari_fcn.io import read_image
from napari_fcn.runs.progress import RunProgress
from napari_fcn.settings import OutputSettings, PredictSettings

CLASSES = (("background", "#000000"), ("class 1", "#56b4e9"), ("class 2", "#e69f00"))
END = RunDone(64, 0.5, "cpu", "float32")


class FakeEngine:
    """A fake engine that runs each image in two steps, with errors or without end for chosen images."""

    def __init__(self) -> None:
        self.ran: list[str] = []
        self.tasks: list[Any] = []
        self.errors: dict[str, Exception] = {}
        self.endless: set[str] = set()
        self.is_done_before = False

    def file(self, task: FileJob, _: object) -> Iterator[RunProgress | JobEnded]:
        yield from self._run(task.image.name, task)
        end = None if self.is_done_before else END
        yield JobEnded(Axes.guess((8, 8), 2), CLASSES, RunProgress(notes=("A note.",), result=end))

    def layer(self, job: LayerJob, classes: Any, _: object) -> Iterator[RunProgress | JobEnded]:
        yield from self._run(job.image.name, job)
        if job.canvas.classes.size:
            probabilities = np.zeros((3, 8, 8), np.float32)
            probabilities[1] = 1
            job.canvas.process_tile(
                TileDone(Region((0, 0), (8, 8)), probabilities, 1, 1), [colour for _, colour in classes]
            )
        yield JobEnded(job.axes, classes, RunProgress(result=END))

    def _run(self, name: str, task: Any) -> Iterator[RunProgress]:
        self.ran.append(name)
        self.tasks.append(task)
        yield RunProgress(1, 2, seconds_left=12.0)
        while name in self.endless:
            yield RunProgress(1, 2, seconds_left=12.0)
        if name in self.errors:
            raise self.errors[name]


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> FakeEngine:
    fake = FakeEngine()
    monkeypatch.setattr(tasks, "run_file", fake.file)
    monkeypatch.setattr(tasks, "run_layer", fake.layer)
    return fake


@pytest.fixture
def viewer() -> ViewerModel:
    return ViewerModel()


@pytest.fixture
def controller(viewer: ViewerModel, qtbot: QtBot) -> Iterator[BatchController]:
    controller = BatchController(viewer)
    controller.connect()
    yield controller
    controller.shutdown()
    qtbot.waitUntil(lambda: not controller.is_busy, timeout=LONG)


@pytest.fixture
def make_request(model: MakeModel) -> Callable[..., BatchRequest]:
    def make_request(**save: Any) -> BatchRequest:
        return BatchRequest(model(), PredictSettings(device="cpu"), OutputSettings(**{"save": ("classes",), **save}))

    return make_request


MakeRequest = Callable[..., BatchRequest]


def images(folder: Path, *names: str) -> list[Path]:
    """Write small images."""
    for number, name in enumerate(names):
        pixels = np.random.default_rng(number).integers(0, 255, (40, 56), np.uint8)
        tifffile.imwrite(folder / name, pixels)
    return [folder / name for name in names]


def layer(viewer: ViewerModel, name: str) -> Image:
    return viewer.add_image(np.zeros((8, 8), np.uint8), name=name)


def states(controller: BatchController) -> dict[str, str]:
    return {row.name: row.state for row in controller.state.rows}


def row(controller: BatchController, name: str) -> Row:
    return next(row for row in controller.state.rows if row.name == name)


def wait(controller: BatchController, qtbot: QtBot) -> None:
    qtbot.waitUntil(lambda: not controller.state.is_running, timeout=LONG)


def wait_for(controller: BatchController, qtbot: QtBot, name: str) -> None:
    qtbot.waitUntil(lambda: row(controller, name).fraction > 0, timeout=LONG)


def test_images_run_in_order_and_each_row_shows_its_result(
    controller: BatchController, engine: FakeEngine, make_request: MakeRequest, tmp_path: Path, qtbot: QtBot
) -> None:
    controller.add_files(images(tmp_path, "b.tif", "a.ome.tif"))
    controller.run(make_request())
    wait(controller, qtbot)
    assert engine.ran == ["b.tif", "a.ome.tif"]
    assert engine.tasks[1].targets == {"classes": tmp_path / "a_classes.ome.tif"}
    done = row(controller, "a.ome.tif")
    assert (done.state, done.seconds, done.lines) == ("done", 0.5, ("A note.",))
    assert done.result_line == "0.5 s on cpu in float32, 0.00013 Mpx/s"
    assert done.files == (str(tmp_path / "a_classes.ome.tif"),)
    assert done.seconds > 0
    summary = controller.state.summary
    assert summary is not None
    assert (summary.done, summary.failed, summary.cancelled, summary.devices) == (2, 0, 0, ("cpu",))


def test_the_current_row_shows_its_progress(
    controller: BatchController, engine: FakeEngine, make_request: MakeRequest, tmp_path: Path, qtbot: QtBot
) -> None:
    engine.endless = {"a.tif"}
    controller.add_files(images(tmp_path, "a.tif", "b.tif"))
    controller.run(make_request())
    wait_for(controller, qtbot, "a.tif")
    assert [state_text(one) for one in controller.state.rows] == ["50 % · 12 s left", "waiting"]
    assert (controller.state.done, controller.state.total, controller.state.fraction) == (0, 2, 0.25)
    assert controller.state.seconds_left is not None


@pytest.mark.parametrize("error", [ImageError("It is damaged. Copy it again."), RuntimeError("out of registers")])
def test_an_image_that_fails_does_not_stop_the_others(
    controller: BatchController,
    engine: FakeEngine,
    make_request: MakeRequest,
    tmp_path: Path,
    qtbot: QtBot,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
) -> None:
    monkeypatch.setattr(base.notification_manager, "receive_error", lambda *_: None)
    engine.errors = {"a.tif": error}
    controller.add_files(images(tmp_path, "a.tif", "b.tif"))
    controller.run(make_request())
    wait(controller, qtbot)
    assert states(controller) == {"a.tif": "failed", "b.tif": "done"}
    assert str(error) in row(controller, "a.tif").lines[0]


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            OSError(errno.EROFS, "Read-only file system", "/data/a.tif"),
            "/data/a.tif cannot be used: its disk is read-only",
        ),
        (MemoryError("Unable to allocate 9 GiB"), "Memory ran out (Unable to allocate 9 GiB)"),
        (RecursionError("maximum recursion depth"), "nested too deeply"),
        (
            OutputExistsError("a.tif exists.", Advice("Add --overwrite.", "Tick Replace files.")),
            "a.tif exists. Tick Replace files.",
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_error_of_the_system_is_reported_as_an_error_not_a_bug(
    controller: BatchController,
    engine: FakeEngine,
    make_request: MakeRequest,
    tmp_path: Path,
    qtbot: QtBot,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    said: str,
) -> None:
    reported: list[object] = []
    monkeypatch.setattr(base.notification_manager, "receive_error", lambda *given: reported.append(given))
    engine.errors = {"a.tif": error}
    controller.add_files(images(tmp_path, "a.tif", "b.tif"))
    controller.run(make_request())
    wait(controller, qtbot)
    assert states(controller) == {"a.tif": "failed", "b.tif": "done"}
    assert said in row(controller, "a.tif").lines[0]
    assert reported == []


def test_cancel_stops_the_current_image_and_continues_with_the_next(
    controller: BatchController, engine: FakeEngine, make_request: MakeRequest, tmp_path: Path, qtbot: QtBot
) -> None:
    engine.endless = {"a.tif"}
    controller.add_files(images(tmp_path, "a.tif", "b.tif"))
    controller.run(make_request())
    wait_for(controller, qtbot, "a.tif")
    controller.cancel()
    assert row(controller, "a.tif").lines == ("Cancelled at 50 %; Run resumes it.",)
    wait(controller, qtbot)
    assert states(controller) == {"a.tif": "cancelled", "b.tif": "done"}


def test_cancel_all_stops_all_images_and_run_resumes_them(
    controller: BatchController, engine: FakeEngine, make_request: MakeRequest, tmp_path: Path, qtbot: QtBot
) -> None:
    engine.endless = {"b.tif"}
    controller.add_files(images(tmp_path, "a.tif", "b.tif", "c.tif"))
    controller.run(make_request())
    wait_for(controller, qtbot, "b.tif")
    controller.cancel_all()
    assert states(controller) == {"a.tif": "done", "b.tif": "cancelled", "c.tif": "cancelled"}
    assert not controller.state.is_running
    engine.endless = set()
    controller.run(make_request())
    wait(controller, qtbot)
    assert engine.ran == ["a.tif", "b.tif", "b.tif", "c.tif"]


def test_retry_runs_only_failed_and_cancelled_images(
    controller: BatchController, engine: FakeEngine, make_request: MakeRequest, tmp_path: Path, qtbot: QtBot
) -> None:
    engine.errors = {"a.tif": ImageError("It is damaged.")}
    controller.add_files(images(tmp_path, "a.tif", "b.tif"))
    controller.run(make_request())
    wait(controller, qtbot)
    engine.errors = {}
    controller.retry(make_request())
    wait(controller, qtbot)
    assert engine.ran == ["a.tif", "b.tif", "a.tif"]
    assert states(controller) == {"a.tif": "done", "b.tif": "done"}
    assert row(controller, "a.tif").lines == ("A note.",)


def test_run_repeats_all_images_if_none_is_waiting(
    controller: BatchController, engine: FakeEngine, make_request: MakeRequest, tmp_path: Path, qtbot: QtBot
) -> None:
    controller.add_files(images(tmp_path, "a.tif"))
    for _ in range(2):
        controller.run(make_request())
        wait(controller, qtbot)
    assert engine.ran == ["a.tif", "a.tif"]


def test_images_added_during_a_batch_are_run(
    controller: BatchController, engine: FakeEngine, make_request: MakeRequest, tmp_path: Path, qtbot: QtBot
) -> None:
    a, b = images(tmp_path, "a.tif", "b.tif")
    engine.endless = {"a.tif"}
    controller.add_files([a])
    controller.run(make_request())
    wait_for(controller, qtbot, "a.tif")
    controller.add_files([b])
    assert controller.state.total == 2
    controller.cancel()
    wait(controller, qtbot)
    assert engine.ran == ["a.tif", "b.tif"]


def test_removing_the_current_row_starts_the_next(
    controller: BatchController, engine: FakeEngine, make_request: MakeRequest, tmp_path: Path, qtbot: QtBot
) -> None:
    engine.endless = {"a.tif"}
    controller.add_files(images(tmp_path, "a.tif", "b.tif"))
    controller.run(make_request())
    wait_for(controller, qtbot, "a.tif")
    controller.remove([row(controller, "a.tif").number])
    wait(controller, qtbot)
    assert states(controller) == {"b.tif": "done"}
    assert controller.state.summary is not None
    assert controller.state.summary.cancelled == 0


def test_clear_ends_the_batch_and_empties_the_list(
    controller: BatchController, engine: FakeEngine, make_request: MakeRequest, tmp_path: Path, qtbot: QtBot
) -> None:
    engine.endless = {"a.tif"}
    controller.add_files(images(tmp_path, "a.tif", "b.tif"))
    controller.run(make_request())
    wait_for(controller, qtbot, "a.tif")
    controller.clear()
    assert (controller.state.rows, controller.state.is_running, controller.state.summary) == ((), False, None)


def test_result_layers_are_added_when_the_run_is_complete(
    controller: BatchController, engine: FakeEngine, viewer: ViewerModel, make_request: MakeRequest, qtbot: QtBot
) -> None:
    layer(viewer, "cells")
    engine.endless = {"cells"}
    controller.add_layers(controller.images())
    controller.run(make_request())
    wait_for(controller, qtbot, "cells")
    assert len(viewer.layers) == 1
    engine.endless = set()
    wait(controller, qtbot)
    assert [one.name for one in viewer.layers] == ["cells", "cells probabilities", "cells classes"]
    assert (viewer.layers["cells classes"].data == 1).all()
    assert viewer.layers["cells classes"].metadata["napari_fcn"]["device"] == "cpu"


def test_a_layer_without_a_file_is_saved_only_if_a_folder_is_set(
    controller: BatchController,
    engine: FakeEngine,
    viewer: ViewerModel,
    make_request: MakeRequest,
    tmp_path: Path,
    qtbot: QtBot,
) -> None:
    layer(viewer, "my cells")
    controller.add_layers(controller.images())
    for folder in ("", str(tmp_path)):
        controller.run(make_request(folder=folder))
        wait(controller, qtbot)
    first, second = engine.tasks
    assert first.paths == {}
    assert second.paths == {"classes": tmp_path / "my_cells_classes.ome.tif"}


def test_a_removed_layer_fails_and_the_others_continue(
    controller: BatchController, engine: FakeEngine, viewer: ViewerModel, make_request: MakeRequest, qtbot: QtBot
) -> None:
    one, two, three = (layer(viewer, name) for name in ("one", "two", "three"))
    controller.add_layers([one, two, three])
    engine.endless = {"two"}
    viewer.layers.remove(one)
    controller.run(make_request())
    wait_for(controller, qtbot, "two")
    viewer.layers.remove(two)
    wait(controller, qtbot)
    assert states(controller) == {"one": "failed", "two": "failed", "three": "done"}
    assert row(controller, "one").lines == ("The layer one is no longer in the viewer.",)
    assert "was removed while it was segmented" in row(controller, "two").lines[0]


@pytest.mark.parametrize("save", [(), ("classes",)])
def test_a_layer_is_predicted_without_previews(
    controller: BatchController,
    engine: FakeEngine,
    viewer: ViewerModel,
    make_request: MakeRequest,
    tmp_path: Path,
    qtbot: QtBot,
    monkeypatch: pytest.MonkeyPatch,
    save: tuple[str, ...],
) -> None:
    monkeypatch.setitem(tile_planner.LIVE_PIXELS, "cpu", 4000)  # a tile of the image would take long on screen
    viewer.add_image(np.zeros((160, 160), np.uint8), name="large")
    controller.add_layers(controller.images())
    controller.run(make_request(save=save, folder=str(tmp_path)))
    wait(controller, qtbot)
    job, cache = engine.tasks[0], ModelCache()
    assert job.visible is None
    tiles = []
    for visible in (None, VisibleRegion(Region((0, 0), (10, 10)))):
        with closing(run_segmentation(replace(job, visible=visible, overwrite=True), cache)) as events:
            tiles.append([event.region for event in events if isinstance(event, ColourTile)])
    assert len(set(tiles[0])) == len(tiles[0])
    assert tiles[1][1:] == tiles[0]
    assert tiles[1][0].contains(Region((0, 0), (10, 10)))


def test_results_too_large_for_memory_need_a_folder(
    controller: BatchController,
    engine: FakeEngine,
    viewer: ViewerModel,
    make_request: MakeRequest,
    tmp_path: Path,
    qtbot: QtBot,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tasks, "fits_in_memory", lambda *_: False)
    layer(viewer, "large")
    controller.add_layers(controller.images())
    controller.run(make_request())
    wait(controller, qtbot)
    assert "too large for memory" in row(controller, "large").lines[0]
    controller.run(make_request(folder=str(tmp_path)))
    wait(controller, qtbot)
    assert row(controller, "large").state == "done"
    assert len(viewer.layers) == 1


def test_only_selected_layers_are_added(controller: BatchController, viewer: ViewerModel) -> None:
    one, two = layer(viewer, "one"), layer(viewer, "two")
    viewer.layers.selection = {one}
    controller.add_layers(controller.selected_images())
    controller.add_layers([one, two])
    assert list(states(controller)) == ["one", "two"]
    assert controller.state.message == "1 added. 1 already in the list."


def test_two_images_with_one_name_get_two_files_and_a_note(
    controller: BatchController, engine: FakeEngine, make_request: MakeRequest, tmp_path: Path, qtbot: QtBot
) -> None:
    for name in ("A1", "A2"):
        (tmp_path / name).mkdir()
        controller.add_files(images(tmp_path / name, "image.tif"))
    controller.run(make_request(folder=str(tmp_path / "out")))
    wait(controller, qtbot)
    assert [one.state for one in controller.state.rows] == ["done", "done"]
    assert [Path(one.files[0]).name for one in controller.state.rows] == [f"A{n}_image_classes.ome.tif" for n in (1, 2)]
    assert "Another image in the list is also named image" in controller.state.rows[1].lines[0]


@pytest.mark.parametrize("name", ["a_[1].tif", " b%.tif", ".c.tif", "d..TIF"])
def test_results_of_files_keep_the_names_of_their_images(
    controller: BatchController, engine: FakeEngine, make_request: MakeRequest, tmp_path: Path, qtbot: QtBot, name: str
) -> None:
    controller.add_files(images(tmp_path, name))
    controller.run(make_request())
    wait(controller, qtbot)
    assert controller.state.rows[0].files == (str(tmp_path / f"{Path(name).stem}_classes.ome.tif"),)


def test_no_result_overwrites_the_image_of_another_row(
    controller: BatchController, engine: FakeEngine, make_request: MakeRequest, tmp_path: Path, qtbot: QtBot
) -> None:
    (tmp_path / "other").mkdir()
    found = [*images(tmp_path, "a.tif"), *images(tmp_path / "other", "x.tif")]
    os.link(found[1], tmp_path / "a_classes.ome.tif")
    controller.add_files(found)
    controller.run(make_request(overwrite=True))
    wait(controller, qtbot)
    assert [one.state for one in controller.state.rows] == ["failed", "done"]
    assert "an image of this run, which it would replace. Choose another place" in controller.state.rows[0].lines[0]
    assert engine.ran == ["x.tif"]


def test_results_are_not_written_into_an_input_ome_zarr(
    controller: BatchController, engine: FakeEngine, make_request: MakeRequest, tmp_path: Path, qtbot: QtBot
) -> None:
    level = tmp_path / "a.zarr" / "0"
    level.mkdir(parents=True)
    for folder in (level.parent, level):
        (folder / "zarr.json").write_text("{}")
    controller.add_files([level])
    controller.run(make_request())
    wait(controller, qtbot)
    assert controller.state.rows[0].files == (str(tmp_path / "0_classes.ome.zarr"),)
    controller.run(make_request(folder=str(level.parent)))
    wait(controller, qtbot)
    assert "would be written into" in controller.state.rows[0].lines[0]


def test_results_of_image_files_must_be_saved(
    controller: BatchController, engine: FakeEngine, make_request: MakeRequest, tmp_path: Path, qtbot: QtBot
) -> None:
    controller.add_files(images(tmp_path, "a.tif"))
    controller.run(make_request(save=()))
    wait(controller, qtbot)
    assert "Choose what to write under Save" in row(controller, "a.tif").lines[0]


def test_folders_add_their_images_and_unsupported_files_are_named(controller: BatchController, tmp_path: Path) -> None:
    images(tmp_path, "b.tif", "a.tif", "a_classes.ome.tif")
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "empty").mkdir()
    controller.add_files([tmp_path, tmp_path / "notes.txt", tmp_path / "empty", tmp_path / "a.tif"])
    assert list(states(controller)) == ["a.tif", "b.tif"]
    assert "unsupported type): notes.txt" in controller.state.error
    assert "contains no image" in controller.state.error


def test_the_files_of_one_ome_image_are_one_row(tmp_path: Path) -> None:
    xml = (
        '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="urn:uuid:{own}"><Image ID="Image:0">'
        '<Pixels DimensionOrder="XYCZT" Type="uint8" SizeX="9" SizeY="9" SizeC="2" SizeZ="1" SizeT="1">'
        '<TiffData FirstC="0" IFD="0"><UUID FileName="c0.ome.tif">urn:uuid:0</UUID></TiffData>'
        '<TiffData FirstC="1" IFD="0"><UUID FileName="c1.ome.tif">urn:uuid:1</UUID></TiffData></Pixels></Image></OME>'
    )
    files = [tmp_path / f"c{k}.ome.tif" for k in range(2)]
    for k, path in enumerate(files):
        tifffile.imwrite(path, np.zeros((9, 9), np.uint8), description=xml.format(own=k), metadata=None)
    for dropped in ([tmp_path], files, files[::-1], [files[1], tmp_path]):
        assert tasks.expand_paths(dropped) == ([files[0]], [])


def test_the_format_is_that_of_the_image_unless_one_is_chosen(tmp_path: Path) -> None:
    kinds = ("classes", "objects")
    paths = OutputSettings(kinds).paths_in(tmp_path, "a", ".ome.zarr")
    assert paths == {kind: tmp_path / f"a_{kind}.ome.zarr" for kind in kinds}
    assert OutputSettings().folder_for(None) is None
    chosen = OutputSettings(("classes",), str(tmp_path), ".ome.tif")
    assert chosen.folder_for(None) == tmp_path
    assert chosen.paths_in(tmp_path, "a", ".ome.zarr") == {"classes": tmp_path / "a_classes.ome.tif"}


def test_state_texts_of_a_row() -> None:
    failed = Row(0, "a.tif", "/x/a.tif", "failed", lines=("/x/a.tif: A 2-D model needs 2 axes. Choose another.",))
    assert state_text(failed) == "failed: A 2-D model needs 2 axes. Choose another."
    assert failed.lines[0] in detail(failed)
    done = Row(0, "<a>", "/x/a.tif", "done", seconds=3.1, result_line="3.1 s on cpu", files=("/x/b.ome.tif",))
    assert state_text(done) == "done · 3.1 s"
    assert "&lt;a&gt;" in detail(done)
    assert "done · 3.1 s on cpu<br>" in detail(done)
    assert "b.ome.tif</a>" in detail(done)
    assert state_text(Row(0, "a", "a", "done")) == "already done"
    assert state_text(Row(0, "a", "a", "running", 0.34, "objects")) == "objects 34 %"


def test_summary_line_of_a_batch() -> None:
    line = summary_line(Summary(2, 1, 3, 12.0, "nuclei", ("cpu",)))
    assert line == (
        "<b>2 done, 1 failed, 3 cancelled</b> in 12 s on cpu with nuclei. Select a failed image to see why."
    )


# With nets and files


def classes_of(model: Path, image: Path) -> np.ndarray:
    from napari_fcn.api import classes

    return classes(tifffile.imread(image), model, device="cpu")


def test_files_contain_the_prediction_and_damaged_images_show_an_error(
    controller: BatchController, model: MakeModel, make_request: MakeRequest, tmp_path: Path, qtbot: QtBot
) -> None:
    good, damaged, gone = images(tmp_path, "good.tif", "damaged.tif", "gone.tif")
    np.save(tmp_path / "trace.npy", np.arange(50.0))
    text = tmp_path / "text.tif"
    text.write_text("hello")
    damaged.write_bytes(damaged.read_bytes()[:700])
    controller.add_files([text, damaged, gone, tmp_path / "trace.npy", good])
    gone.unlink()
    controller.run(make_request())
    wait(controller, qtbot)
    assert list(states(controller).values()) == ["failed"] * 4 + ["done"]
    errors = [row.lines[0] for row in controller.state.rows[:4]]
    wanted = ("cannot be read as .tif", "damaged.tif", "There is no image", "needs 2 axes in space")
    assert all(part in line for part, line in zip(wanted, errors, strict=True)), errors
    found = np.asarray(read_image(tmp_path / "good_classes.ome.tif").data[...])
    assert np.mean(found == classes_of(model(), good)) > 0.999
    assert len(list(tmp_path.glob("*_classes*"))) == 1
    assert not list(tmp_path.glob("*.unfinished"))


def test_complete_results_are_kept_and_others_replaced_only_on_request(
    controller: BatchController, make_request: MakeRequest, model: MakeModel, tmp_path: Path, qtbot: QtBot
) -> None:
    (image,) = images(tmp_path, "a.tif")
    result = tmp_path / "a_classes.ome.tif"
    controller.add_files([image])
    controller.run(make_request())
    wait(controller, qtbot)
    first = result.read_bytes()
    controller.run(make_request())
    wait(controller, qtbot)
    assert state_text(row(controller, "a.tif")) == "already done"
    other = BatchRequest(model(2, 1, 2), PredictSettings(device="cpu"))
    controller.run(other)
    wait(controller, qtbot)
    assert row(controller, "a.tif").lines[0].startswith(f"{result} exists. Tick Advanced > Replace files")
    assert result.read_bytes() == first
    controller.run(
        BatchRequest(model(2, 1, 2), PredictSettings(device="cpu"), OutputSettings(("classes",), overwrite=True))
    )
    wait(controller, qtbot)
    assert row(controller, "a.tif").state == "done"
    assert result.read_bytes() != first


def test_an_invalid_output_folder_is_an_error_in_each_row(
    controller: BatchController, make_request: MakeRequest, tmp_path: Path, qtbot: QtBot
) -> None:
    (image,) = images(tmp_path, "a.tif")
    controller.add_files([image])
    controller.run(make_request(folder=str(image / "results")))
    wait(controller, qtbot)
    assert "cannot be written" in row(controller, "a.tif").lines[0]


def test_results_of_images_with_channels_are_aligned_when_opened(
    controller: BatchController, viewer: ViewerModel, make_request: MakeRequest, tmp_path: Path, qtbot: QtBot
) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (3, 2, 24, 32), np.uint8)
    path = tmp_path / "stack.ome.tif"
    tifffile.imwrite(path, pixels, metadata={"axes": "ZCYX", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5})
    controller.add_files([path])
    controller.run(make_request(save=("classes", "objects", "probabilities")))
    wait(controller, qtbot)
    controller.show(controller.state.rows[0].number)
    qtbot.waitUntil(lambda: len(viewer.layers) == 4, timeout=LONG)
    image, *results = viewer.layers
    assert (image.name, image.data.shape, image.source.path) == ("stack", (3, 2, 24, 32), str(path))
    assert {one.name: one.data.shape for one in results} == {
        "stack classes": (3, 1, 24, 32),
        "stack objects": (3, 1, 24, 32),
        "stack probabilities": (3, 1, 24, 32, 4),
    }
    assert [one.name for one in results if one.visible] == ["stack objects"]
    for one in results:
        np.testing.assert_allclose(one.data_to_world((2, 0, 9, 7)), image.data_to_world((2, 0.5, 9, 7)))
    stored = np.asarray(read_image(tmp_path / "stack_classes.ome.tif").data[...])
    np.testing.assert_array_equal(viewer.layers["stack classes"].data[:, 0], stored)
    controller.show(controller.state.rows[0].number)
    assert len(viewer.layers) == 4


# With a window


@pytest.fixture
def dock(make_napari_viewer: Callable[..., Viewer], qtbot: QtBot, model: MakeModel) -> Iterator[BatchWidget]:
    viewer = make_napari_viewer(show=True)
    _, widget = viewer.window.add_plugin_dock_widget("napari-fcn", "Batch (FCN)")
    widget.source.model.open_file(model())
    yield widget
    widget.controller.clear()
    qtbot.waitUntil(lambda: not widget.controller.is_busy, timeout=LONG)


def click(qtbot: QtBot, button: QAbstractButton) -> None:
    qtbot.mouseClick(button, Qt.LeftButton)


def drop(dock: BatchWidget, *paths: Path) -> None:
    """Drag files over the table and drop them."""
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(path)) for path in paths])
    target, at = dock.table.viewport(), QPoint(30, 30)
    arguments = (Qt.CopyAction, data, Qt.LeftButton, Qt.NoModifier)
    QApplication.sendEvent(target, QDragEnterEvent(at, *arguments))
    QApplication.sendEvent(target, QDropEvent(QPointF(at), *arguments))


def test_drop_a_folder_run_it_and_open_a_result_by_mouse(
    dock: BatchWidget, model: MakeModel, tmp_path: Path, qtbot: QtBot
) -> None:
    viewer, controller = dock.controller.viewer, dock.controller
    viewer.add_image(np.random.default_rng(5).integers(0, 255, (48, 40), np.uint8), name="cells")
    good, _ = images(tmp_path, "good.tif", "worse.tif")
    (tmp_path / "worse.tif").write_text("no image")
    assert dock.message.text() == NO_IMAGES
    drop(dock, tmp_path)
    dock.all_action.trigger()
    assert [dock.table.item(n, 1).text() for n in range(3)] == ["waiting"] * 3
    click(qtbot, dock.run_button)
    assert controller.state.is_running
    qtbot.waitUntil(lambda: not controller.state.is_running, timeout=LONG)
    shown = [dock.table.item(n, 1).text() for n in range(3)]
    assert shown[0].startswith("✓ done · ")
    assert shown[1].startswith("✗ failed: cannot be read as .tif")
    assert "2 done, 1 failed" in dock.summary.text()
    assert "cells classes" in viewer.layers
    place = dock.table.visualItemRect(dock.table.item(1, 0)).center()
    qtbot.mouseClick(dock.table.viewport(), Qt.LeftButton, pos=place)
    assert "export it again" in dock.detail.text()
    assert "export it again" in dock.table.item(1, 1).toolTip()
    place = dock.table.visualItemRect(dock.table.item(0, 0)).center()
    qtbot.mouseClick(dock.table.viewport(), Qt.LeftButton, pos=place)
    qtbot.mouseDClick(dock.table.viewport(), Qt.LeftButton, pos=place)
    qtbot.waitUntil(lambda: "good classes" in viewer.layers, timeout=LONG)
    assert np.mean(viewer.layers["good classes"].data == classes_of(model(), good)) > 0.999
    qtbot.waitUntil(lambda: "is shown in the viewer" in dock.message.text(), timeout=LONG)
    assert "good_classes.ome.tif" in dock.detail.text()


def test_rows_are_added_run_shown_and_removed_by_keyboard(
    dock: BatchWidget, engine: FakeEngine, tmp_path: Path, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = images(tmp_path, "a.tif", "b.tif")
    monkeypatch.setattr(dock_module.QFileDialog, "getOpenFileNames", lambda *_: ([str(a), str(b)], ""))
    requested: list[int] = []
    dock.table.result_requested.connect(requested.append)
    window = dock.window()
    window.activateWindow()
    qtbot.waitUntil(window.isActiveWindow, timeout=LONG)
    dock.source.model.combo.setFocus()
    qtbot.keyClick(dock.source.model.combo, Qt.Key_F, Qt.ControlModifier | Qt.ShiftModifier)
    assert dock.table.rowCount() == 2
    engine.endless = {"a.tif"}
    dock.table.setFocus()
    qtbot.keyClick(dock.table, Qt.Key_Return, Qt.ControlModifier)
    wait_for(dock.controller, qtbot, "a.tif")
    qtbot.keyClick(dock.table, Qt.Key_Period, Qt.ControlModifier)
    wait(dock.controller, qtbot)
    assert engine.ran == ["a.tif", "b.tif"]
    qtbot.keyClick(dock.table, Qt.Key_Down)
    qtbot.keyClick(dock.table, Qt.Key_Return)
    assert requested == [dock.table.current.number]
    qtbot.keyClick(dock.table, Qt.Key_Delete)
    assert list(states(dock.controller)) == ["a.tif"]
    assert all(key in dock.keys.text() for key in ("Ctrl+Return", "Ctrl+.", ALL_KEY, "Del"))


def test_missing_and_invalid_entries_are_reported_and_disable_run(
    dock: BatchWidget, tmp_path: Path, qtbot: QtBot
) -> None:
    assert not dock.run_button.isEnabled()
    dock.controller.add_files(images(tmp_path, "a.tif"))
    assert dock.run_button.isEnabled()
    dock.settings.fields["tile"].editor.setText("big")
    assert not dock.run_button.isEnabled()
    assert "Tile" in dock.message.text()
    dock.settings.fields["tile"].editor.clear()
    dock.source.model.choose(None)
    assert NO_MODEL in dock.message.text()
    assert not dock.run_button.isEnabled()


def test_closing_the_dock_ends_the_batch(dock: BatchWidget, engine: FakeEngine, tmp_path: Path, qtbot: QtBot) -> None:
    engine.endless = {"a.tif"}
    drop(dock, *images(tmp_path, "a.tif", "b.tif"))
    click(qtbot, dock.run_button)
    wait_for(dock.controller, qtbot, "a.tif")
    dock.parent().destroyOnClose()  # what the cross in its corner calls
    assert not dock.controller.state.is_running
    qtbot.waitUntil(lambda: not dock.controller.is_busy, timeout=LONG)
    assert engine.ran == ["a.tif"]
    dock.deleteLater()


def test_the_dock_fits_320_pixels_and_every_control_has_an_accessible_name(dock: BatchWidget, tmp_path: Path) -> None:
    dock.controller.add_files(images(tmp_path, "an_image_with_quite_a_long_name_as_files_have_them" * 2 + ".tif"))
    dock.advanced.set_open(True)
    dock._show(dock.error, "Skipped (unsupported type): a_file_with_a_name_of_more_than_forty_letters.txt.")
    assert dock.run_button.parentWidget().parentWidget().minimumSizeHint().width() <= 320
    kinds = (QAbstractButton, QComboBox, QLineEdit)
    controls = [control for kind in kinds for control in dock.findChildren(kind)]
    inner = (QComboBox, type(dock.table))  # parts of an open choice, the corner of the table
    nameless = [
        control
        for control in controls
        if not (control.accessibleName() or getattr(control, "text", str)() or isinstance(control.parent(), inner))
    ]
    assert not nameless
    assert dock.table.accessibleName()
    assert dock.browse.accessibleName() == "Choose folder"


def test_an_empty_list_shows_a_hint(dock: BatchWidget, tmp_path: Path) -> None:
    def painted() -> int:
        image = dock.table.viewport().grab().toImage()
        middle = image.height() // 2
        rows = range(middle - 20, middle + 20)
        return len({image.pixel(x, y) for x in range(image.width()) for y in rows})

    assert painted() > 2
    dock.controller.add_files(images(tmp_path, "a.tif"))
    assert painted() == 1


# Objects of an open layer


@pytest.mark.parametrize("is_saved", [True, False])
def test_objects_of_a_layer_are_added_as_a_layer(
    controller: BatchController,
    viewer: ViewerModel,
    make_request: MakeRequest,
    tmp_path: Path,
    qtbot: QtBot,
    is_saved: bool,
) -> None:
    rng = np.random.default_rng(0)
    layer = viewer.add_image(rng.integers(0, 255, (2, 40, 48), np.uint8), name="cells", axis_labels=tuple("cyx"))
    controller.add_layers([layer])
    request = make_request(save=("classes", "objects"), folder=str(tmp_path) if is_saved else "", overwrite=True)
    request = replace(request, settings=replace(request.settings, smallest=1))

    def run() -> None:
        controller.run(request)
        qtbot.waitUntil(lambda: not controller.state.is_running, timeout=LONG)
        assert controller.state.rows[0].state == "done", controller.state.rows[0].lines

    run()
    found = find_layer(viewer, layer, "objects")
    classes = find_layer(viewer, layer, "classes")
    assert found is not None
    assert classes is not None
    assert found.visible
    assert found.data.shape == classes.data.shape
    parts, count = ndimage.label(classes.data == 1)
    assert count
    inside = found.data[parts > 0]
    assert (inside > 0).all()
    before = found.data.copy()
    layer.data = 255 - layer.data
    assert is_outdated(found)
    run()
    assert find_layer(viewer, layer, "objects") is found
    assert not is_outdated(found)
    assert found.data.shape == before.shape
    assert is_saved == any(path.name.startswith("cells_objects") for path in tmp_path.iterdir())
