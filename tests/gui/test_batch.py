"""The batch dock: its journeys without a window and with a pretended engine, then with real nets, files and a mouse."""

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
from napari_fcn.events import RunDone, RunPlanned, TileDone
from napari_fcn.geometry import Axes, Region
from napari_fcn.gui import batch as dock_module
from napari_fcn.gui._batch_panels.table import detail, state_text
from napari_fcn.gui._controllers import BatchController, BatchRequest, Row, Summary
from napari_fcn.gui._controllers import base as desks
from napari_fcn.gui._controllers.batch import tasks
from napari_fcn.gui._controllers.batch.jobs import FileJob, JobEnded
from napari_fcn.gui._controllers.model_catalog import ModelCache
from napari_fcn.gui._controllers.segment.worker import LayerJob, VisibleRegion, run_segmentation
from napari_fcn.gui._layers import find_layer, is_outdated
from napari_fcn.gui._widgets.source_panel import NO_MODEL
from napari_fcn.gui.batch import ALL_KEY, NO_IMAGES, BatchWidget, summary_line
from napari_fcn.io import read_image
from napari_fcn.runs.progress import RunProgress
from napari_fcn.session import Session
from napari_fcn.settings import OutputSettings, PredictSettings

CLASSES = (("background", "#000000"), ("class 1", "#56b4e9"), ("class 2", "#e69f00"))
END = RunDone(64, 0.5, "cpu", "float32")


class Pretender:
    """Stands in for the engine: half of an image, then the rest, and what goes wrong with which image if asked to."""

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
def engine(monkeypatch: pytest.MonkeyPatch) -> Pretender:
    pretender = Pretender()
    monkeypatch.setattr(tasks, "run_file", pretender.file)
    monkeypatch.setattr(tasks, "run_layer", pretender.layer)
    return pretender


@pytest.fixture
def viewer() -> ViewerModel:
    return ViewerModel()


@pytest.fixture
def desk(viewer: ViewerModel, qtbot: QtBot) -> Iterator[BatchController]:
    desk = BatchController(viewer)
    desk.connect()
    yield desk
    desk.shutdown()
    qtbot.waitUntil(lambda: not desk.is_busy, timeout=LONG)


@pytest.fixture
def ask(model: MakeModel) -> Callable[..., BatchRequest]:
    def ask(**save: Any) -> BatchRequest:
        return BatchRequest(model(), PredictSettings(device="cpu"), OutputSettings(**{"save": ("classes",), **save}))

    return ask


Ask = Callable[..., BatchRequest]


def images(folder: Path, *names: str) -> list[Path]:
    """Write small images."""
    for number, name in enumerate(names):
        pixels = np.random.default_rng(number).integers(0, 255, (40, 56), np.uint8)
        tifffile.imwrite(folder / name, pixels)
    return [folder / name for name in names]


def layer(viewer: ViewerModel, name: str) -> Image:
    return viewer.add_image(np.zeros((8, 8), np.uint8), name=name)


def states(desk: BatchController) -> dict[str, str]:
    return {row.name: row.state for row in desk.state.rows}


def row(desk: BatchController, name: str) -> Row:
    return next(row for row in desk.state.rows if row.name == name)


def wait(desk: BatchController, qtbot: QtBot) -> None:
    qtbot.waitUntil(lambda: not desk.state.is_running, timeout=LONG)


def wait_for(desk: BatchController, qtbot: QtBot, name: str) -> None:
    qtbot.waitUntil(lambda: row(desk, name).share > 0, timeout=LONG)


def test_images_are_run_in_order_and_tell_how_they_ended(
    desk: BatchController, engine: Pretender, ask: Ask, tmp_path: Path, qtbot: QtBot
) -> None:
    desk.add_files(images(tmp_path, "b.tif", "a.ome.tif"))
    desk.run(ask())
    wait(desk, qtbot)
    assert engine.ran == ["b.tif", "a.ome.tif"]
    assert engine.tasks[1].targets == {"classes": tmp_path / "a_classes.ome.tif"}
    done = row(desk, "a.ome.tif")
    assert (done.state, done.seconds, done.lines) == ("done", 0.5, ("A note.",))
    assert done.result_line == "0.5 s on cpu in float32, 0.00013 Mpx/s"
    assert done.files == (str(tmp_path / "a_classes.ome.tif"),)
    assert done.seconds > 0
    summary = desk.state.summary
    assert summary is not None
    assert (summary.done, summary.failed, summary.cancelled, summary.devices) == (2, 0, 0, ("cpu",))


def test_the_present_row_says_how_far_it_is(
    desk: BatchController, engine: Pretender, ask: Ask, tmp_path: Path, qtbot: QtBot
) -> None:
    engine.endless = {"a.tif"}
    desk.add_files(images(tmp_path, "a.tif", "b.tif"))
    desk.run(ask())
    wait_for(desk, qtbot, "a.tif")
    assert [state_text(one) for one in desk.state.rows] == ["50 % · 12 s left", "waiting"]
    assert (desk.state.done, desk.state.total, desk.state.share) == (0, 2, 0.25)
    assert desk.state.seconds_left is not None


@pytest.mark.parametrize("error", [ImageError("It is damaged. Copy it again."), RuntimeError("out of registers")])
def test_an_image_that_fails_does_not_stop_the_others(
    desk: BatchController,
    engine: Pretender,
    ask: Ask,
    tmp_path: Path,
    qtbot: QtBot,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
) -> None:
    monkeypatch.setattr(desks.notification_manager, "receive_error", lambda *_: None)
    engine.errors = {"a.tif": error}
    desk.add_files(images(tmp_path, "a.tif", "b.tif"))
    desk.run(ask())
    wait(desk, qtbot)
    assert states(desk) == {"a.tif": "failed", "b.tif": "done"}
    assert str(error) in row(desk, "a.tif").lines[0]


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
    desk: BatchController,
    engine: Pretender,
    ask: Ask,
    tmp_path: Path,
    qtbot: QtBot,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    said: str,
) -> None:
    reported: list[object] = []
    monkeypatch.setattr(desks.notification_manager, "receive_error", lambda *given: reported.append(given))
    engine.errors = {"a.tif": error}
    desk.add_files(images(tmp_path, "a.tif", "b.tif"))
    desk.run(ask())
    wait(desk, qtbot)
    assert states(desk) == {"a.tif": "failed", "b.tif": "done"}
    assert said in row(desk, "a.tif").lines[0]
    assert reported == []


def test_cancel_stops_the_present_image_and_goes_on_with_the_next(
    desk: BatchController, engine: Pretender, ask: Ask, tmp_path: Path, qtbot: QtBot
) -> None:
    engine.endless = {"a.tif"}
    desk.add_files(images(tmp_path, "a.tif", "b.tif"))
    desk.run(ask())
    wait_for(desk, qtbot, "a.tif")
    desk.cancel()
    assert row(desk, "a.tif").lines == ("Cancelled at 50 %; Run resumes it.",)
    wait(desk, qtbot)
    assert states(desk) == {"a.tif": "cancelled", "b.tif": "done"}


def test_cancel_all_stops_everything_and_run_takes_it_up_again(
    desk: BatchController, engine: Pretender, ask: Ask, tmp_path: Path, qtbot: QtBot
) -> None:
    engine.endless = {"b.tif"}
    desk.add_files(images(tmp_path, "a.tif", "b.tif", "c.tif"))
    desk.run(ask())
    wait_for(desk, qtbot, "b.tif")
    desk.cancel_all()
    assert states(desk) == {"a.tif": "done", "b.tif": "cancelled", "c.tif": "cancelled"}
    assert not desk.state.is_running
    engine.endless = set()
    desk.run(ask())
    wait(desk, qtbot)
    assert engine.ran == ["a.tif", "b.tif", "b.tif", "c.tif"]


def test_retry_runs_only_what_did_not_reach_its_end(
    desk: BatchController, engine: Pretender, ask: Ask, tmp_path: Path, qtbot: QtBot
) -> None:
    engine.errors = {"a.tif": ImageError("It is damaged.")}
    desk.add_files(images(tmp_path, "a.tif", "b.tif"))
    desk.run(ask())
    wait(desk, qtbot)
    engine.errors = {}
    desk.retry(ask())
    wait(desk, qtbot)
    assert engine.ran == ["a.tif", "b.tif", "a.tif"]
    assert states(desk) == {"a.tif": "done", "b.tif": "done"}
    assert row(desk, "a.tif").lines == ("A note.",)


def test_run_starts_all_over_when_nothing_waits(
    desk: BatchController, engine: Pretender, ask: Ask, tmp_path: Path, qtbot: QtBot
) -> None:
    desk.add_files(images(tmp_path, "a.tif"))
    for _ in range(2):
        desk.run(ask())
        wait(desk, qtbot)
    assert engine.ran == ["a.tif", "a.tif"]


def test_images_that_are_added_during_a_batch_are_run_too(
    desk: BatchController, engine: Pretender, ask: Ask, tmp_path: Path, qtbot: QtBot
) -> None:
    a, b = images(tmp_path, "a.tif", "b.tif")
    engine.endless = {"a.tif"}
    desk.add_files([a])
    desk.run(ask())
    wait_for(desk, qtbot, "a.tif")
    desk.add_files([b])
    assert desk.state.total == 2
    desk.cancel()
    wait(desk, qtbot)
    assert engine.ran == ["a.tif", "b.tif"]


def test_a_row_that_is_removed_while_it_runs_ends_and_the_next_begins(
    desk: BatchController, engine: Pretender, ask: Ask, tmp_path: Path, qtbot: QtBot
) -> None:
    engine.endless = {"a.tif"}
    desk.add_files(images(tmp_path, "a.tif", "b.tif"))
    desk.run(ask())
    wait_for(desk, qtbot, "a.tif")
    desk.remove([row(desk, "a.tif").number])
    wait(desk, qtbot)
    assert states(desk) == {"b.tif": "done"}
    assert desk.state.summary is not None
    assert desk.state.summary.cancelled == 0


def test_clear_ends_the_batch_and_empties_the_list(
    desk: BatchController, engine: Pretender, ask: Ask, tmp_path: Path, qtbot: QtBot
) -> None:
    engine.endless = {"a.tif"}
    desk.add_files(images(tmp_path, "a.tif", "b.tif"))
    desk.run(ask())
    wait_for(desk, qtbot, "a.tif")
    desk.clear()
    assert (desk.state.rows, desk.state.is_running, desk.state.summary) == ((), False, None)


def test_a_layer_gets_its_results_as_layers_when_they_are_complete(
    desk: BatchController, engine: Pretender, viewer: ViewerModel, ask: Ask, qtbot: QtBot
) -> None:
    layer(viewer, "cells")
    engine.endless = {"cells"}
    desk.add_layers(desk.images())
    desk.run(ask())
    wait_for(desk, qtbot, "cells")
    assert len(viewer.layers) == 1
    engine.endless = set()
    wait(desk, qtbot)
    assert [one.name for one in viewer.layers] == ["cells", "cells probabilities", "cells classes"]
    assert (viewer.layers["cells classes"].data == 1).all()
    assert viewer.layers["cells classes"].metadata["napari_fcn"]["device"] == "cpu"


def test_a_layer_that_came_from_no_file_is_not_written_unless_there_is_a_folder(
    desk: BatchController, engine: Pretender, viewer: ViewerModel, ask: Ask, tmp_path: Path, qtbot: QtBot
) -> None:
    layer(viewer, "my cells")
    desk.add_layers(desk.images())
    for folder in ("", str(tmp_path)):
        desk.run(ask(folder=folder))
        wait(desk, qtbot)
    first, second = engine.tasks
    assert first.paths == {}
    assert second.paths == {"classes": tmp_path / "my_cells_classes.ome.tif"}


def test_a_layer_that_is_gone_fails_and_the_others_go_on(
    desk: BatchController, engine: Pretender, viewer: ViewerModel, ask: Ask, qtbot: QtBot
) -> None:
    one, two, three = (layer(viewer, name) for name in ("one", "two", "three"))
    desk.add_layers([one, two, three])
    engine.endless = {"two"}
    viewer.layers.remove(one)
    desk.run(ask())
    wait_for(desk, qtbot, "two")
    viewer.layers.remove(two)
    wait(desk, qtbot)
    assert states(desk) == {"one": "failed", "two": "failed", "three": "done"}
    assert row(desk, "one").lines == ("The layer one is no longer in the viewer.",)
    assert "was removed while it was segmented" in row(desk, "two").lines[0]


@pytest.mark.parametrize("save", [(), ("classes",)])
def test_a_layer_is_predicted_in_full_tiles(
    desk: BatchController,
    engine: Pretender,
    viewer: ViewerModel,
    ask: Ask,
    tmp_path: Path,
    qtbot: QtBot,
    save: tuple[str, ...],
) -> None:
    viewer.add_image(np.zeros((1200, 1200), np.uint8), name="large")
    desk.add_layers(desk.images())
    desk.run(ask(save=save, folder=str(tmp_path)))
    wait(desk, qtbot)
    job, cache = engine.tasks[0], ModelCache()
    session = Session(job.image.data, cache.load(job.model), job.axes, job.settings)
    assert session.plan().tile != session.live_plan().tile
    plans = []
    for visible in (None, VisibleRegion(Region((0, 0), (10, 10)))):
        with closing(run_segmentation(replace(job, visible=visible), cache)) as events:
            plans.append(next(event.tile for event in events if isinstance(event, RunPlanned)))
    assert job.visible is None
    assert plans == [session.plan().tile, session.live_plan().tile]


def test_a_layer_whose_results_are_too_large_for_memory_needs_a_folder(
    desk: BatchController,
    engine: Pretender,
    viewer: ViewerModel,
    ask: Ask,
    tmp_path: Path,
    qtbot: QtBot,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tasks, "fits_in_memory", lambda *_: False)
    layer(viewer, "large")
    desk.add_layers(desk.images())
    desk.run(ask())
    wait(desk, qtbot)
    assert "too large to be kept in memory" in row(desk, "large").lines[0]
    desk.run(ask(folder=str(tmp_path)))
    wait(desk, qtbot)
    assert row(desk, "large").state == "done"
    assert len(viewer.layers) == 1


def test_only_selected_layers_are_added_on_request(desk: BatchController, viewer: ViewerModel) -> None:
    one, two = layer(viewer, "one"), layer(viewer, "two")
    viewer.layers.selection = {one}
    desk.add_layers(desk.selected_images())
    desk.add_layers([one, two])
    assert list(states(desk)) == ["one", "two"]
    assert desk.state.message == "1 added. 1 already in the list."


def test_two_images_of_one_name_are_written_to_two_files_with_a_note(
    desk: BatchController, engine: Pretender, ask: Ask, tmp_path: Path, qtbot: QtBot
) -> None:
    for name in ("A1", "A2"):
        (tmp_path / name).mkdir()
        desk.add_files(images(tmp_path / name, "image.tif"))
    desk.run(ask(folder=str(tmp_path / "out")))
    wait(desk, qtbot)
    assert [one.state for one in desk.state.rows] == ["done", "done"]
    assert [Path(one.files[0]).name for one in desk.state.rows] == [f"A{n}_image_classes.ome.tif" for n in (1, 2)]
    assert "Another image of the list is called image too" in desk.state.rows[1].lines[0]


@pytest.mark.parametrize("name", ["a_[1].tif", " b%.tif", ".c.tif", "d..TIF"])
def test_results_of_files_keep_the_names_of_their_images(
    desk: BatchController, engine: Pretender, ask: Ask, tmp_path: Path, qtbot: QtBot, name: str
) -> None:
    desk.add_files(images(tmp_path, name))
    desk.run(ask())
    wait(desk, qtbot)
    assert desk.state.rows[0].files == (str(tmp_path / f"{Path(name).stem}_classes.ome.tif"),)


def test_no_row_replaces_an_image_of_another_row(
    desk: BatchController, engine: Pretender, ask: Ask, tmp_path: Path, qtbot: QtBot
) -> None:
    (tmp_path / "other").mkdir()
    found = [*images(tmp_path, "a.tif"), *images(tmp_path / "other", "x.tif")]
    os.link(found[1], tmp_path / "a_classes.ome.tif")
    desk.add_files(found)
    desk.run(ask(overwrite=True))
    wait(desk, qtbot)
    assert [one.state for one in desk.state.rows] == ["failed", "done"]
    assert "an image of this run, which it would replace. Choose another place" in desk.state.rows[0].lines[0]
    assert engine.ran == ["x.tif"]


def test_results_do_not_go_into_an_ome_zarr_that_is_read(
    desk: BatchController, engine: Pretender, ask: Ask, tmp_path: Path, qtbot: QtBot
) -> None:
    level = tmp_path / "a.zarr" / "0"
    level.mkdir(parents=True)
    for folder in (level.parent, level):
        (folder / "zarr.json").write_text("{}")
    desk.add_files([level])
    desk.run(ask())
    wait(desk, qtbot)
    assert desk.state.rows[0].files == (str(tmp_path / "0_classes.ome.zarr"),)
    desk.run(ask(folder=str(level.parent)))
    wait(desk, qtbot)
    assert "would be written into" in desk.state.rows[0].lines[0]


def test_an_image_in_a_file_needs_something_to_be_written(
    desk: BatchController, engine: Pretender, ask: Ask, tmp_path: Path, qtbot: QtBot
) -> None:
    desk.add_files(images(tmp_path, "a.tif"))
    desk.run(ask(save=()))
    wait(desk, qtbot)
    assert "Choose what to write under Save" in row(desk, "a.tif").lines[0]


def test_folders_stand_for_their_images_and_other_files_are_left_out_by_name(
    desk: BatchController, tmp_path: Path
) -> None:
    images(tmp_path, "b.tif", "a.tif", "a_classes.ome.tif")
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "empty").mkdir()
    desk.add_files([tmp_path, tmp_path / "notes.txt", tmp_path / "empty", tmp_path / "a.tif"])
    assert list(states(desk)) == ["a.tif", "b.tif"]
    assert "unsupported type): notes.txt" in desk.state.error
    assert "contains no image" in desk.state.error


def test_the_files_of_one_image_are_one_row(tmp_path: Path) -> None:
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


def test_formats_follow_the_image_unless_one_is_chosen(tmp_path: Path) -> None:
    kinds = ("classes", "objects")
    paths = OutputSettings(kinds).paths_in(tmp_path, "a", ".ome.zarr")
    assert paths == {kind: tmp_path / f"a_{kind}.ome.zarr" for kind in kinds}
    assert OutputSettings().folder_for(None) is None
    chosen = OutputSettings(("classes",), str(tmp_path), ".ome.tif")
    assert chosen.folder_for(None) == tmp_path
    assert chosen.paths_in(tmp_path, "a", ".ome.zarr") == {"classes": tmp_path / "a_classes.ome.tif"}


def test_texts_of_a_row() -> None:
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


def test_summary_of_a_batch() -> None:
    line = summary_line(Summary(2, 1, 3, 12.0, "nuclei", ("cpu",)))
    assert line == (
        "<b>2 done, 1 failed, 3 cancelled</b> in 12 s on cpu with nuclei. Select a failed image to see why."
    )


# With nets and files


def classes_of(model: Path, image: Path) -> np.ndarray:
    from napari_fcn.api import classes

    return classes(tifffile.imread(image), model, device="cpu")


def test_the_files_hold_what_the_engine_answers_and_bad_ones_say_what_is_wrong(
    desk: BatchController, model: MakeModel, ask: Ask, tmp_path: Path, qtbot: QtBot
) -> None:
    good, damaged, gone = images(tmp_path, "good.tif", "damaged.tif", "gone.tif")
    np.save(tmp_path / "trace.npy", np.arange(50.0))
    text = tmp_path / "text.tif"
    text.write_text("hello")
    damaged.write_bytes(damaged.read_bytes()[:700])
    desk.add_files([text, damaged, gone, tmp_path / "trace.npy", good])
    gone.unlink()
    desk.run(ask())
    wait(desk, qtbot)
    assert list(states(desk).values()) == ["failed"] * 4 + ["done"]
    told = [one.lines[0] for one in desk.state.rows[:4]]
    wanted = ("cannot be read as .tif", "damaged.tif", "There is no image", "needs 2 axes in space")
    assert all(part in line for part, line in zip(wanted, told, strict=True)), told
    found = np.asarray(read_image(tmp_path / "good_classes.ome.tif").data[...])
    assert np.mean(found == classes_of(model(), good)) > 0.999
    assert len(list(tmp_path.glob("*_classes*"))) == 1
    assert not list(tmp_path.glob("*.unfinished"))


def test_equal_results_are_kept_and_others_replaced_only_on_request(
    desk: BatchController, ask: Ask, model: MakeModel, tmp_path: Path, qtbot: QtBot
) -> None:
    (image,) = images(tmp_path, "a.tif")
    result = tmp_path / "a_classes.ome.tif"
    desk.add_files([image])
    desk.run(ask())
    wait(desk, qtbot)
    first = result.read_bytes()
    desk.run(ask())
    wait(desk, qtbot)
    assert state_text(row(desk, "a.tif")) == "already done"
    other = BatchRequest(model(2, 1, 2), PredictSettings(device="cpu"))
    desk.run(other)
    wait(desk, qtbot)
    assert row(desk, "a.tif").lines[0].startswith(f"{result} exists. Tick Advanced > Replace files")
    assert result.read_bytes() == first
    desk.run(BatchRequest(model(2, 1, 2), PredictSettings(device="cpu"), OutputSettings(("classes",), overwrite=True)))
    wait(desk, qtbot)
    assert row(desk, "a.tif").state == "done"
    assert result.read_bytes() != first


def test_a_folder_that_cannot_be_made_is_an_error_of_each_row(
    desk: BatchController, ask: Ask, tmp_path: Path, qtbot: QtBot
) -> None:
    (image,) = images(tmp_path, "a.tif")
    desk.add_files([image])
    desk.run(ask(folder=str(image / "results")))
    wait(desk, qtbot)
    assert "cannot be written" in row(desk, "a.tif").lines[0]


def test_layers_and_files_with_channels_are_opened_on_their_pixels(
    desk: BatchController, viewer: ViewerModel, ask: Ask, tmp_path: Path, qtbot: QtBot
) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (3, 2, 24, 32), np.uint8)
    path = tmp_path / "stack.ome.tif"
    tifffile.imwrite(path, pixels, metadata={"axes": "ZCYX", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5})
    desk.add_files([path])
    desk.run(ask(save=("classes", "objects", "probabilities")))
    wait(desk, qtbot)
    desk.show(desk.state.rows[0].number)
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
    desk.show(desk.state.rows[0].number)
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
    """Drag files over the table and let them fall."""
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(path)) for path in paths])
    target, at = dock.table.viewport(), QPoint(30, 30)
    told = (Qt.CopyAction, data, Qt.LeftButton, Qt.NoModifier)
    QApplication.sendEvent(target, QDragEnterEvent(at, *told))
    QApplication.sendEvent(target, QDropEvent(QPointF(at), *told))


def test_a_folder_is_dropped_run_and_a_result_opened_with_the_mouse(
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


def test_the_keyboard_adds_runs_shows_and_removes(
    dock: BatchWidget, engine: Pretender, tmp_path: Path, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
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


def test_a_dock_that_is_closed_during_a_batch_ends_it(
    dock: BatchWidget, engine: Pretender, tmp_path: Path, qtbot: QtBot
) -> None:
    engine.endless = {"a.tif"}
    drop(dock, *images(tmp_path, "a.tif", "b.tif"))
    click(qtbot, dock.run_button)
    wait_for(dock.controller, qtbot, "a.tif")
    dock.parent().destroyOnClose()  # what the cross in its corner calls
    assert not dock.controller.state.is_running
    qtbot.waitUntil(lambda: not dock.controller.is_busy, timeout=LONG)
    assert engine.ran == ["a.tif"]
    dock.deleteLater()


def test_nothing_is_cut_at_320_pixels_and_every_control_has_a_name(dock: BatchWidget, tmp_path: Path) -> None:
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


def test_an_empty_list_says_what_to_do(dock: BatchWidget, tmp_path: Path) -> None:
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
def test_objects_of_a_layer_become_a_layer_too(
    desk: BatchController, viewer: ViewerModel, ask: Ask, tmp_path: Path, qtbot: QtBot, is_saved: bool
) -> None:
    rng = np.random.default_rng(0)
    layer = viewer.add_image(rng.integers(0, 255, (2, 40, 48), np.uint8), name="cells", axis_labels=tuple("cyx"))
    desk.add_layers([layer])
    request = ask(save=("classes", "objects"), folder=str(tmp_path) if is_saved else "", overwrite=True)

    def run() -> None:
        desk.run(request)
        qtbot.waitUntil(lambda: not desk.state.is_running, timeout=LONG)
        assert desk.state.rows[0].state == "done", desk.state.rows[0].lines

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
    assert not found.data[classes.data == 0].any()
    before = found.data.copy()
    layer.data = 255 - layer.data
    assert is_outdated(found)
    run()
    assert find_layer(viewer, layer, "objects") is found
    assert not is_outdated(found)
    assert found.data.shape == before.shape
    assert is_saved == any(path.name.startswith("cells_objects") for path in tmp_path.iterdir())
