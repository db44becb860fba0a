"""The teach journey without a window: a viewer model, and an engine that knows one mean intensity per class."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gui.clocks import LONG, ManualTimer, turn
from gui.docks import MakeModel
from gui.fakes import FakeTeaching
from napari.components import ViewerModel
from napari.layers import Image, Labels
from pytestqt.qtbot import QtBot

from napari_fcn.errors import ImageError, ProjectError
from napari_fcn.events import Change
from napari_fcn.geometry import Region
from napari_fcn.gui._controllers import (
    Accept,
    AddPin,
    Compare,
    Factories,
    GoTo,
    Redo,
    Reject,
    RemovePin,
    RenameCommit,
    Save,
    Suggest,
    TeachController,
    TeachRequest,
    TeachState,
    Undo,
    add_class,
    recolour_class,
    remove_class,
    rename_class,
)
from napari_fcn.gui._controllers.teach import layers, throttle
from napari_fcn.gui._layers import viewport
from napari_fcn.project import Project
from napari_fcn.settings import TeachSettings

OFF = TeachSettings(network="off")


@dataclass
class Lesson:
    """A controller and the hands of a user."""

    desk: TeachController
    image: Image
    qtbot: QtBot

    @property
    def state(self) -> TeachState:
        return self.desk.state

    @property
    def layer(self) -> Labels:
        assert self.desk.layers is not None
        return self.desk.layers.corrections.layer

    @property
    def engine(self) -> FakeTeaching:
        return FakeTeaching.made[-1]

    @property
    def answer(self) -> np.ndarray:
        """The class of each pixel as it is shown."""
        assert self.desk.layers is not None
        assert self.desk.layers.overlay is not None
        return self.desk.layers.overlay.canvas.classes

    def wait(self, condition: Callable[[], Any]) -> None:
        self.qtbot.waitUntil(lambda: bool(condition()), timeout=LONG)

    def rest(self) -> None:
        """Wait until nothing runs and nothing is on its way."""
        turn(self.qtbot)
        self.wait(lambda: not self.desk.is_busy and not self.state.is_working)

    def start(self, settings: TeachSettings = OFF, **more: Any) -> None:
        self.desk.start(TeachRequest(self.image, None, settings, **more))
        self.wait(lambda: self.state.phase != "opening")
        self.rest()

    def paint(self, at: tuple[float, ...], label: int, size: int = 3) -> None:
        """Paint a dab and wait for the answer."""
        self.dab(at, label, size)
        self.rest()

    def dab(self, at: tuple[float, ...], label: int, size: int = 3) -> None:
        self.layer.brush_size = size
        self.layer.paint(at, label)

    def do(self, command: Any) -> None:
        self.desk.do(command)
        self.rest()

    def painted(self) -> dict[int, int]:
        """How many pixels hold each value."""
        values, counts = np.unique(self.layer.data, return_counts=True)
        return {int(v): int(n) for v, n in zip(values, counts, strict=True) if v}

    def journalled(self) -> np.ndarray:
        """The corrections as the open project has them; reopened, it would leave out commits without weights."""
        assert self.desk.layers is not None
        assert self.desk.layers.worker is not None
        project = self.desk.layers.worker.writer._project
        assert project is not None
        return np.asarray(project.labels())


@pytest.fixture(autouse=True)
def clean(fake_engine: type[FakeTeaching]) -> None:
    """Projects go to a folder of the test."""


@pytest.fixture
def viewer() -> ViewerModel:
    return ViewerModel()


@pytest.fixture
def image(viewer: ViewerModel) -> Image:
    """Dark on the left, bright on the right."""
    pixels = np.zeros((40, 60), np.uint8)
    pixels[:, 30:] = 200
    return viewer.add_image(pixels, name="cells", scale=(0.5, 0.5), units="um")


@pytest.fixture
def desk(viewer: ViewerModel, qtbot: QtBot) -> Iterator[TeachController]:
    desk = TeachController(viewer, Factories(teach=FakeTeaching))
    desk.connect()
    yield desk
    desk.shutdown()
    qtbot.waitUntil(lambda: not desk.is_busy, timeout=LONG)


@pytest.fixture
def lesson(desk: TeachController, image: Image, qtbot: QtBot) -> Lesson:
    lesson = Lesson(desk, image, qtbot)
    lesson.start()
    assert lesson.state.is_open, lesson.state.error
    return lesson


def test_start_puts_a_brush_into_the_hand(lesson: Lesson, viewer: ViewerModel) -> None:
    layer = lesson.layer
    assert layer.name == "cells corrections"
    assert layer.data.dtype == np.uint8
    assert layer.data.shape == (40, 60)
    assert viewer.layers[-1] is layer
    assert viewer.layers.selection.active is layer
    assert layer.mode == "paint"
    assert layer.n_edit_dimensions == 2
    assert layer.units == lesson.image.units
    np.testing.assert_allclose(layer.data_to_world((7, 9)), lesson.image.data_to_world((7, 9)))
    assert [entry.name for entry in lesson.state.classes] == ["background", "object"]
    assert [known.name for known in viewer.layers][:2] == ["cells", "cells probabilities"]


def test_a_stroke_is_answered(lesson: Lesson) -> None:
    lesson.paint((10, 10), 1)
    lesson.paint((10, 50), 2)
    assert (lesson.answer[:, :30] == 0).all()
    assert (lesson.answer[:, 30:] == 1).all()
    assert lesson.state.turn == 2
    assert [entry.painted for entry in lesson.state.classes] == [9, 9]
    assert len(lesson.desk.latencies) == 2
    assert lesson.state.latency == lesson.desk.latencies[-1] > 0
    assert lesson.state.notes == ()


def test_a_missing_class_is_told(lesson: Lesson) -> None:
    lesson.paint((10, 10), 1)
    assert lesson.state.notes == ("Nothing is painted as object yet.",)


def test_what_napari_undoes_is_forgotten(lesson: Lesson) -> None:
    lesson.paint((10, 10), 1)
    lesson.paint((10, 50), 2)
    lesson.layer.undo()
    lesson.rest()
    assert lesson.state.turn == 3
    assert [entry.painted for entry in lesson.state.classes] == [9, 0]
    lesson.layer.redo()
    lesson.rest()
    assert [entry.painted for entry in lesson.state.classes] == [9, 9]
    np.testing.assert_array_equal(lesson.journalled(), lesson.layer.data)


def test_every_way_to_paint_is_seen(lesson: Lesson) -> None:
    lesson.paint((10, 10), 2, size=5)
    lesson.paint((10, 10), 0, size=3)  # erased in the middle
    assert lesson.state.classes[1].painted == np.count_nonzero(lesson.layer.data == 2) == 12
    lesson.layer.fill((10, 10), 1)
    lesson.rest()
    assert lesson.state.classes[0].painted == 9
    lesson.layer.paint_polygon([(20, 20), (20, 30), (30, 30), (30, 20)], 2)
    lesson.rest()
    assert lesson.state.classes[1].painted == np.count_nonzero(lesson.layer.data == 2) > 100
    lesson.layer.data_setitem((np.array([0, 1]), np.array([0, 0])), 1)
    lesson.rest()
    assert lesson.state.classes[0].painted == 11
    np.testing.assert_array_equal(lesson.journalled(), lesson.layer.data)


def test_what_happens_in_one_turn_of_the_event_loop_is_one_turn(lesson: Lesson) -> None:
    for k in range(5):
        lesson.dab((5 * k, 5), 1)
    lesson.rest()
    assert lesson.state.turn == 1
    assert Project.open_read_only(lesson.state.project).strokes == 5


def test_strokes_are_written_while_the_engine_is_busy(lesson: Lesson, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = threading.Event()
    monkeypatch.setattr(FakeTeaching, "gate", gate)
    for k in range(3):
        lesson.dab((5 * k + 5, 5), 1)
        turn(lesson.qtbot)
    lesson.wait(lambda: Project.open_read_only(lesson.state.project).strokes == 3)
    assert lesson.state.turn == 0
    gate.set()
    lesson.rest()
    assert lesson.state.classes[0].painted == 27


def test_the_dock_is_not_drawn_while_a_stroke_waits_for_its_answer(
    lesson: Lesson, monkeypatch: pytest.MonkeyPatch
) -> None:
    lesson.wait(lambda: not lesson.desk.is_late)
    monkeypatch.setattr(throttle, "LATE", 10**6)
    gate = threading.Event()
    monkeypatch.setattr(FakeTeaching, "gate", gate)
    shown: list[TeachState] = []
    lesson.desk.changed.connect(shown.append)
    lesson.dab((10, 10), 1)
    lesson.wait(lambda: lesson.state.saved_at and not lesson.state.is_saving)  # that would be shown, too
    assert lesson.desk.is_predicting
    assert shown == []
    gate.set()
    lesson.wait(lambda: lesson.desk.latencies)
    assert not lesson.desk.is_predicting
    lesson.rest()
    lesson.wait(lambda: not lesson.desk.is_late)
    assert shown[-1] is lesson.state
    assert shown[0].latency is not None  # once, with all that the answer brought


def test_what_the_user_does_shows_at_once(lesson: Lesson) -> None:
    shown: list[TeachState] = []
    lesson.desk.changed.connect(shown.append)
    lesson.dab((10, 10), 1)
    lesson.desk.choose(2)
    assert shown[-1].label == 2


def test_what_lies_around_is_prepared_once_when_there_is_nothing_else_to_do(
    lesson: Lesson, monkeypatch: pytest.MonkeyPatch
) -> None:
    calm, gaze = (ManualTimer(lesson.desk, slot) for slot in (lesson.desk._prefetch, lesson.desk._on_view))
    lesson.desk._idle_timer.stop()
    lesson.desk._view_watcher._timer.stop()
    lesson.rest()
    FakeTeaching.looked_ahead.clear()  # the real timer may have been faster
    monkeypatch.setattr(lesson.desk, "_idle_timer", calm)
    monkeypatch.setattr(lesson.desk._view_watcher, "_timer", gaze)
    lesson.paint((10, 10), 1)
    assert FakeTeaching.looked_ahead == []
    calm.fire()
    lesson.wait(lambda: FakeTeaching.looked_ahead)
    lesson.rest()
    assert FakeTeaching.looked_ahead == [lesson.desk.layers.view()]
    assert not lesson.state.is_working
    assert not calm.isActive()  # once
    gate = threading.Event()
    monkeypatch.setattr(FakeTeaching, "gate", gate)
    lesson.dab((10, 50), 2)
    turn(lesson.qtbot)
    assert not calm.isActive()  # there is something else to do
    gate.set()
    lesson.rest()
    assert lesson.state.turn == 2
    calm.fire()
    lesson.wait(lambda: len(FakeTeaching.looked_ahead) == 2)


def test_undo_takes_strokes_and_answer_back(lesson: Lesson) -> None:
    lesson.paint((10, 10), 1)
    lesson.paint((10, 50), 2)
    lesson.do(Undo())
    assert lesson.painted() == {1: 9}
    assert (lesson.answer == 0).all()
    assert lesson.state.present == 1
    assert lesson.state.turn == 2  # no correction of the user
    assert [entry.painted for entry in lesson.state.classes] == [9, 0]
    np.testing.assert_array_equal(lesson.journalled(), lesson.layer.data)
    lesson.do(Redo())
    assert lesson.painted() == {1: 9, 2: 9}
    assert (lesson.answer[:, 30:] == 1).all()
    np.testing.assert_array_equal(lesson.journalled(), lesson.layer.data)


def test_painting_after_undo_branches_off(lesson: Lesson) -> None:
    lesson.paint((10, 10), 1)
    lesson.paint((10, 50), 2)
    lesson.do(Undo())
    lesson.paint((30, 50), 2)
    assert [commit.parent for commit in lesson.state.commits] == [None, 0, 1, 1]
    lesson.do(GoTo(2))
    assert lesson.layer.data[10, 50] == 2
    assert lesson.layer.data[30, 50] == 0
    assert lesson.state.present == 2


def test_a_stroke_that_is_painted_while_undo_runs_survives(lesson: Lesson, monkeypatch: pytest.MonkeyPatch) -> None:
    lesson.paint((10, 10), 1)
    lesson.paint((10, 50), 2)
    gate = threading.Event()
    monkeypatch.setattr(FakeTeaching, "gate", gate)
    lesson.desk.do(Undo())
    lesson.dab((12, 52), 1)  # on the stroke that is about to go, and beside it
    gate.set()
    lesson.rest()
    lesson.wait(lambda: lesson.state.turn == 3)
    assert lesson.layer.data[12, 52] == 1
    assert lesson.layer.data[9, 49] == 0
    assert lesson.engine.samples.counts(2) == (18, 0)
    np.testing.assert_array_equal(lesson.journalled(), lesson.layer.data)


def test_commands_are_done_even_if_strokes_follow_at_once(lesson: Lesson) -> None:
    lesson.paint((10, 10), 1)
    lesson.desk.do(RenameCommit(1, "first"))
    lesson.dab((10, 50), 2)
    lesson.desk.do(AddPin(lesson.desk.layers.view(), "all"))
    lesson.dab((20, 50), 2)
    lesson.rest()
    assert lesson.state.commits[1].name == "first"
    assert lesson.state.pins == ("all",)
    assert lesson.state.classes[1].painted == 18
    lesson.do(RemovePin("all"))
    assert lesson.state.pins == ()


def test_classes_come_and_go(lesson: Lesson) -> None:
    lesson.paint((10, 10), 1)
    lesson.paint((10, 50), 2)
    lesson.do(add_class(lesson.state.classes))
    assert [entry.name for entry in lesson.state.classes] == ["background", "object", "class 3"]
    lesson.paint((30, 50), 3)
    assert lesson.painted() == {1: 9, 2: 9, 3: 9}
    lesson.do(remove_class(lesson.state.classes, 1))
    assert [entry.name for entry in lesson.state.classes] == ["background", "class 3"]
    assert lesson.painted() == {1: 9, 2: 9}
    assert lesson.layer.data[30, 50] == 2
    assert lesson.layer.data[10, 50] == 0
    assert lesson.state.turn == 3  # nothing was painted by that
    np.testing.assert_array_equal(lesson.journalled(), lesson.layer.data)
    lesson.do(Undo())
    assert len(lesson.state.classes) == 3
    assert lesson.painted() == {1: 9, 2: 9, 3: 9}


@pytest.mark.parametrize(
    "change", [add_class, lambda seen: remove_class(seen, 0), lambda seen: rename_class(seen, 2, "late")]
)
def test_a_change_of_classes_that_are_others_by_now_is_refused(lesson: Lesson, change: Any) -> None:
    lesson.paint((10, 10), 1)
    two = lesson.state.classes
    lesson.do(add_class(two))
    three = lesson.state.classes
    lesson.do(Undo())
    lesson.do(change(three))
    assert "classes have changed" in lesson.state.error
    assert [entry.name for entry in lesson.state.classes] == [entry.name for entry in two]
    lesson.paint((10, 50), 2)
    assert lesson.painted() == {1: 9, 2: 9}
    np.testing.assert_array_equal(lesson.journalled(), lesson.layer.data)


def test_classes_change_name_and_colour_everywhere(lesson: Lesson) -> None:
    lesson.do(rename_class(lesson.state.classes, 1, "bacterium"))
    lesson.do(recolour_class(lesson.state.classes, 1, "#cc79a7"))
    assert lesson.state.classes[1].name == "bacterium"
    np.testing.assert_allclose(lesson.layer.get_color(2)[:3], np.array([0xCC, 0x79, 0xA7]) / 255, atol=0.01)
    assert list(lesson.layer.features["class"]) == ["", "background", "bacterium"]
    lesson.paint((10, 10), 1)
    lesson.paint((10, 50), 2)
    colours = lesson.desk.layers.overlay.canvas.probabilities
    assert tuple(colours[0, 59]) == (0xCC, 0x79, 0xA7, 255)


def test_a_label_without_a_class_cannot_be_chosen(lesson: Lesson) -> None:
    lesson.layer.selected_label = 7
    assert lesson.layer.selected_label == 2
    assert lesson.state.label == 2
    lesson.paint((10, 10), 9)  # by a script: no class, so nothing to learn from
    assert lesson.state.error == ""
    assert lesson.state.turn == 0


def test_the_label_and_the_list_follow_each_other(lesson: Lesson) -> None:
    lesson.desk.choose(1)
    assert lesson.layer.selected_label == 1
    lesson.layer.selected_label = 2
    assert lesson.state.label == 2
    lesson.desk.choose(0)
    assert lesson.layer.mode == "erase"
    assert lesson.state.label == 0
    lesson.desk.choose(1)
    assert lesson.layer.mode == "paint"
    assert lesson.state.label == 1


def test_without_live_nothing_is_learnt_until_asked(lesson: Lesson) -> None:
    lesson.desk.set_live(False)
    lesson.rest()
    lesson.dab((10, 10), 1)
    turn(lesson.qtbot)
    lesson.dab((10, 50), 2)
    lesson.rest()
    assert lesson.state.turn == 0
    assert lesson.state.waiting == 2
    assert Project.open_read_only(lesson.state.project).strokes == 2
    lesson.desk.learn_now()
    lesson.rest()
    assert lesson.state.turn == 1
    assert lesson.state.waiting == 0
    assert (lesson.answer[:, 30:] == 1).all()
    lesson.dab((20, 20), 2)
    lesson.rest()
    assert lesson.state.turn == 1


def test_undo_without_live_keeps_what_was_painted_as_a_commit(lesson: Lesson) -> None:
    lesson.desk.set_live(False)
    lesson.dab((10, 10), 1)
    lesson.rest()
    lesson.do(Undo())
    assert lesson.painted() == {}
    lesson.do(Redo())
    assert lesson.painted() == {1: 9}


def test_the_candidate_is_taken_in_automatic(lesson: Lesson) -> None:
    lesson.desk.configure(TeachSettings(network="automatic"))
    lesson.paint((10, 10), 1)
    lesson.paint((10, 50), 2)
    assert lesson.state.update is not None
    assert lesson.state.update.standing == "taken"
    assert lesson.state.commits[-1].kind == "network"
    assert lesson.state.scores[-1][0] == 2
    assert lesson.state.candidate_scores == ((2, 0.9),)
    assert lesson.state.losses == (1, 1 / 2, 1 / 3)
    assert not lesson.state.can_decide


def test_the_candidate_waits_for_the_users_word(lesson: Lesson) -> None:
    lesson.desk.configure(TeachSettings(network="ask"))
    lesson.paint((10, 10), 1)
    lesson.paint((10, 50), 2)
    assert lesson.state.can_decide
    assert lesson.state.commits[-1].kind == "head"
    lesson.do(Reject())
    assert lesson.state.update.standing == "dropped"
    lesson.paint((30, 50), 2)
    assert lesson.state.can_decide
    lesson.do(Accept())
    assert lesson.state.update.standing == "taken"
    assert lesson.state.commits[-1].kind == "network"


def test_changes_are_shown_and_hidden(lesson: Lesson, viewer: ViewerModel) -> None:
    lesson.image.data[:, 20:30] = 99  # nearly between the two
    lesson.desk.configure(TeachSettings(network="ask"))
    lesson.paint((10, 10), 1)
    lesson.paint((10, 50), 2)
    ready = lesson.state.update.ready
    assert ready.changes
    lesson.desk.show_changes(True)
    layer = viewer.layers["cells changes"]
    assert layer.data.dtype == np.uint8
    np.testing.assert_array_equal(layer.data, ready.changed)
    np.testing.assert_allclose(layer.data_to_world((0, 0)), lesson.image.data_to_world(ready.region.start))
    assert viewer.layers.selection.active is lesson.layer
    assert viewer.layers[-1] is lesson.layer
    lesson.desk.show_changes(False)
    assert not layer.visible


def test_uncertainty_follows_view_and_answer(lesson: Lesson, viewer: ViewerModel) -> None:
    lesson.desk.show_uncertainty(True)
    lesson.rest()
    layer = viewer.layers["cells uncertainty"]
    assert layer.data.dtype == np.uint8
    np.testing.assert_array_equal(layer.data, lesson.image.data)
    lesson.desk.show_uncertainty(False)
    assert not layer.visible
    lesson.paint((10, 10), 1)
    assert not layer.visible
    lesson.desk.show_uncertainty(True)
    lesson.rest()
    assert layer.visible
    assert sum(known.name == "cells uncertainty" for known in viewer.layers) == 1


def test_two_states_are_compared_in_one_place(lesson: Lesson, viewer: ViewerModel) -> None:
    lesson.paint((10, 10), 1)
    lesson.paint((10, 50), 2)
    lesson.do(Compare(1, 2, lesson.desk.layers.view()))
    assert (lesson.state.comparison.first, lesson.state.comparison.second) == (1, 2)
    layer = viewer.layers["cells compared"]
    assert not layer.data[..., 3].any()  # all background
    assert not viewer.layers["cells probabilities"].visible
    lesson.desk.show_compared("second")
    assert layer.data[:, 30:, 3].all()
    lesson.desk.show_compared("split")
    assert not layer.data[:, :28, 3].any()
    assert layer.data[:, 32:, 3].all()
    lesson.desk.end_comparison()
    assert not layer.visible
    assert viewer.layers["cells probabilities"].visible


def test_the_next_place_is_shown(lesson: Lesson, viewer: ViewerModel) -> None:
    lesson.do(Suggest(lesson.desk.layers.view()))
    assert "Uncertain here: 50%" in lesson.state.message
    box = viewer.layers["cells next place"]
    np.testing.assert_allclose(box.data[0].min(0), (-0.5, 27.5))
    lesson.paint((10, 10), 1)
    assert not box.visible
    lesson.do(Suggest(lesson.desk.layers.view()))
    assert "reach every visible place" in lesson.state.message


def test_a_model_is_saved(lesson: Lesson, tmp_path: Path) -> None:
    lesson.paint((10, 10), 1)
    lesson.do(Save(tmp_path / "old.safetensors", 0))
    lesson.do(Save(tmp_path / "new.safetensors", 1))
    assert (tmp_path / "old.safetensors").read_text() == "commit 0"
    assert (tmp_path / "new.safetensors").read_text() == "commit 1"
    assert "new.safetensors" in lesson.state.message


def test_the_view_is_answered_when_the_user_looks_elsewhere(
    desk: TeachController, viewer: ViewerModel, qtbot: QtBot
) -> None:
    stack = np.zeros((5, 32, 32), np.uint8)
    stack[3, :, 16:] = 200
    lesson = Lesson(desk, viewer.add_image(stack, name="stack"), qtbot)
    viewer.dims.set_point(0, 3)
    lesson.start()
    lesson.paint((3, 4, 4), 1)
    lesson.paint((3, 4, 28), 2)
    assert lesson.layer.data[3].any()
    assert not lesson.layer.data[[0, 1, 2, 4]].any()
    assert (lesson.answer[3, :, 16:] == 1).all()
    assert lesson.engine.views[-1].start[0] == 3
    viewer.dims.set_point(0, 1)
    lesson.wait(lambda: lesson.engine.views[-1].start[0] == 1)


@pytest.mark.parametrize(
    ("shape", "labels", "corrections"),
    [
        ((2, 40, 60), ("c", "y", "x"), (40, 60)),
        ((40, 60, 2), ("y", "x", "c"), (40, 60, 1)),
        ((40, 2, 60), ("y", "c", "x"), (40, 1, 60)),
    ],
)
def test_channels_are_no_axis_of_the_corrections(
    desk: TeachController,
    viewer: ViewerModel,
    qtbot: QtBot,
    shape: tuple[int, ...],
    labels: tuple[str, ...],
    corrections: tuple[int, ...],
) -> None:
    lesson = Lesson(desk, viewer.add_image(np.zeros(shape, np.uint8), name="two", rgb=False, axis_labels=labels), qtbot)
    lesson.start()
    assert lesson.layer.data.shape == corrections
    at = np.zeros(len(corrections), int)
    at[[axis for axis, n in enumerate(corrections) if n > 1]] = 8, 9
    lesson.layer.data_setitem(tuple(np.array([i]) for i in at), 2)
    lesson.rest()
    assert lesson.engine.samples.coordinates().tolist() == [[8, 9]]


def test_the_layer_deleted_is_no_stroke_lost(lesson: Lesson, viewer: ViewerModel) -> None:
    lesson.paint((10, 10), 1)
    lesson.paint((10, 50), 2)
    project = lesson.state.project
    viewer.layers.remove(lesson.layer)
    assert not lesson.state.is_open
    assert "was removed" in lesson.state.message
    lesson.rest()
    lesson.start()
    assert lesson.state.project == project
    assert lesson.painted() == {1: 9, 2: 9}
    lesson.rest()
    assert (lesson.answer[:, 30:] == 1).all()


def test_data_replaced_ends_the_course(lesson: Lesson) -> None:
    lesson.paint((10, 10), 1)
    lesson.layer.data = np.zeros((40, 60), np.int32)
    lesson.wait(lambda: not lesson.state.is_open)
    assert "were replaced" in lesson.state.message


def test_an_image_of_another_size_ends_the_course(lesson: Lesson) -> None:
    lesson.paint((10, 10), 1)
    lesson.image.data = np.zeros((20, 20), np.uint8)
    lesson.wait(lambda: not lesson.state.is_open)
    assert "have changed" in lesson.state.message


def test_pixels_that_are_written_in_place_end_the_course(lesson: Lesson) -> None:
    lesson.paint((10, 10), 1)
    lesson.image.data[...] = 255 - lesson.image.data
    lesson.image.refresh()
    lesson.wait(lambda: not lesson.state.is_open)
    assert "have changed" in lesson.state.message
    assert "earlier pixels" in lesson.state.message


def test_in_3d_the_dock_says_that_nothing_can_be_painted(lesson: Lesson, viewer: ViewerModel) -> None:
    assert lesson.state.obstacle == ""
    viewer.dims.ndisplay = 3
    assert "2-D view" in lesson.state.obstacle
    lesson.desk.stop()
    assert lesson.state.obstacle == ""
    lesson.start()
    assert "2-D view" in lesson.state.obstacle
    viewer.dims.ndisplay = 2
    assert lesson.state.obstacle == ""


def test_the_image_removed_ends_the_course(lesson: Lesson, viewer: ViewerModel) -> None:
    viewer.layers.remove(lesson.image)
    assert not lesson.state.is_open
    assert "was removed" in lesson.state.message


def test_a_layer_that_is_there_is_painted_on(
    desk: TeachController, viewer: ViewerModel, image: Image, qtbot: QtBot
) -> None:
    layer = viewer.add_labels(np.zeros((40, 60), np.uint8), name="cells corrections")
    layer.data[8:11, 8:11] = 1
    lesson = Lesson(desk, image, qtbot)
    lesson.start()
    assert lesson.layer is layer
    lesson.rest()
    assert lesson.state.classes[0].painted == 9
    np.testing.assert_array_equal(lesson.journalled(), layer.data)


def test_an_open_project_is_gone_on_with(lesson: Lesson, viewer: ViewerModel) -> None:
    lesson.paint((10, 10), 1)
    lesson.paint((10, 50), 2)
    project = Path(lesson.state.project)
    lesson.desk.stop()
    lesson.rest()
    viewer.layers.remove("cells corrections")
    other = TeachController(viewer, Factories(teach=FakeTeaching))
    other.connect()
    again = Lesson(other, lesson.image, lesson.qtbot)
    other.open_project(TeachRequest(lesson.image, None, OFF, folder=project))
    again.wait(lambda: again.state.is_open)
    again.rest()
    assert again.painted() == {1: 9, 2: 9}
    again.paint((30, 50), 2)
    assert Project.open_read_only(project).strokes == 3
    other.shutdown()
    again.wait(lambda: not other.is_busy)


def test_a_project_of_another_image_is_refused(lesson: Lesson, viewer: ViewerModel) -> None:
    project = Path(lesson.state.project)
    lesson.desk.stop()
    other = viewer.add_image(np.zeros((40, 60), np.uint8), name="other")
    lesson.desk.open_project(TeachRequest(other, None, OFF, folder=project))
    lesson.wait(lambda: lesson.state.error)
    assert "not the image" in lesson.state.error
    assert lesson.state.phase == "idle"


def test_teaching_goes_on_where_nothing_can_be_saved(viewer: ViewerModel, image: Image, qtbot: QtBot) -> None:
    def refuse(*_: object) -> None:
        raise ProjectError("The folder cannot be written: there is no permission.")

    desk = TeachController(viewer, Factories(teach=FakeTeaching, create=refuse))
    desk.connect()
    lesson = Lesson(desk, image, qtbot)
    lesson.start()
    assert "Nothing is saved" in lesson.state.warning
    assert lesson.state.project == ""
    lesson.paint((10, 10), 1)
    lesson.paint((10, 50), 2)
    assert (lesson.answer[:, 30:] == 1).all()
    lesson.do(Undo())
    assert lesson.painted() == {1: 9}
    desk.shutdown()
    lesson.wait(lambda: not desk.is_busy)


def test_closing_writes_what_was_painted_last(lesson: Lesson, viewer: ViewerModel) -> None:
    project = lesson.state.project
    lesson.dab((10, 10), 1)
    lesson.desk.shutdown()
    lesson.wait(lambda: not lesson.desk.is_busy)
    lesson.desk.connect()
    assert Project.open_read_only(project).strokes == 1
    with Project.open(project):  # it is free
        pass
    assert "cells corrections" in viewer.layers


def test_an_engine_that_fails_turns_live_off_and_keeps_the_strokes(
    lesson: Lesson, monkeypatch: pytest.MonkeyPatch
) -> None:
    lesson.paint((10, 10), 1)
    monkeypatch.setattr(FakeTeaching, "error", ImageError("The file of the image is gone."))
    lesson.dab((10, 50), 2)
    lesson.wait(lambda: lesson.state.error)
    assert "is gone" in lesson.state.error
    assert not lesson.state.is_live
    monkeypatch.setattr(FakeTeaching, "error", None)
    lesson.desk.set_live(True)
    lesson.rest()
    assert (lesson.answer[:, 30:] == 1).all()
    assert Project.open_read_only(lesson.state.project).strokes == 2


def test_a_model_that_does_not_fit_says_why(
    desk: TeachController, image: Image, model: MakeModel, qtbot: QtBot
) -> None:
    desk.start(TeachRequest(image, model(3), OFF))
    assert "3-D model" in desk.state.error
    assert desk.state.phase == "idle"


def test_the_classes_of_a_model_are_there_at_once(
    desk: TeachController, image: Image, model: MakeModel, qtbot: QtBot
) -> None:
    lesson = Lesson(desk, image, qtbot)
    desk.start(TeachRequest(image, model(2, 1, 4), OFF))
    assert len(desk.state.classes) == 4
    lesson.wait(lambda: desk.state.is_open or desk.state.error)
    lesson.rest()
    assert not desk.state.error


def test_a_project_comes_back_with_its_settings(lesson: Lesson) -> None:
    project = Path(lesson.state.project)
    changed = TeachSettings(network="off", keep=0.9, rate=1e-5)
    lesson.desk.configure(changed)
    lesson.paint((10, 10), 1)
    lesson.engine.record("settings", settings=asdict(changed))  # what the engine itself does
    lesson.desk.stop()
    lesson.rest()
    lesson.desk.open_project(TeachRequest(lesson.image, None, OFF, folder=project))
    lesson.wait(lambda: lesson.state.is_open)
    lesson.rest()
    assert lesson.state.settings == changed
    assert lesson.engine.settings == changed


# Images of which only a part is painted on at a time


@dataclass
class Look:
    """Where the user looks, which a viewer without a window cannot know."""

    lesson: Lesson
    region: Region

    def at(self, *start: int) -> None:
        """Look at a part that begins here, and rest."""
        self.region = Region(start, tuple(a + n for a, n in zip(start, self.region.shape, strict=True)))
        self.lesson.desk.viewer.dims.set_point(range(len(start)), self.lesson.image.data_to_world(start))
        self.lesson.desk._view_watcher.settled.emit()
        self.lesson.rest()

    def paint(self, at: tuple[int, ...], label: int) -> None:
        """Paint at a pixel of the image."""
        course = self.lesson.desk.layers
        assert course is not None
        self.lesson.paint(tuple(i - a for i, a in zip(at, course.canvas.window.start, strict=True)), label)

    def values(self, layer: Any, at: tuple[int, ...]) -> Any:
        """Return what a layer shows over a pixel of the image."""
        there = np.round(layer.world_to_data(self.lesson.image.data_to_world(at))).astype(int)
        inside = all(0 <= i < n for i, n in zip(there, layer.data.shape, strict=False))
        return layer.data[tuple(there)] if inside else None


@pytest.fixture
def look(desk: TeachController, image: Image, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch) -> Look:
    look = Look(Lesson(desk, image, qtbot), Region((0, 0), (10, 12)))
    monkeypatch.setattr(layers, "fits_in_memory", lambda *_: False)
    monkeypatch.setattr(layers, "visible_region", lambda *_: look.region)
    monkeypatch.setattr(viewport, "MAX_WINDOW_SIDE", 20)
    look.lesson.start()
    assert look.lesson.state.is_open, look.lesson.state.error
    return look


def test_strokes_all_over_a_large_image_teach_and_come_back(look: Look) -> None:
    lesson = look.lesson
    look.paint((5, 5), 1)
    assert lesson.layer.data.shape == (20, 20)
    look.at(25, 45)
    assert lesson.painted() == {}
    look.paint((30, 50), 2)
    assert lesson.painted() == {2: 9}
    assert [entry.painted for entry in lesson.state.classes] == [9, 9]
    assert lesson.engine.samples.counts(2) == (9, 9)
    assert look.values(lesson.layer, (30, 50)) == 2
    assert look.values(lesson.layer, (5, 5)) is None
    look.at(0, 0)
    assert look.values(lesson.layer, (5, 5)) == 1
    assert lesson.painted() == {1: 9}
    journalled = lesson.journalled()
    assert journalled.shape == (40, 60)
    assert (journalled[5, 5], journalled[30, 50], np.count_nonzero(journalled)) == (1, 2, 18)
    lesson.layer.undo()  # napari's own history was of another part
    lesson.rest()
    assert lesson.painted() == {1: 9}


def test_the_answer_lies_where_it_belongs(look: Look, viewer: ViewerModel) -> None:
    look.paint((5, 5), 1)
    look.at(25, 45)
    look.paint((30, 50), 2)
    look.at(22, 20)  # dark on the left, bright on the right
    for name, value in (("cells classes", lambda v: v), ("cells probabilities", lambda v: int(v[3] > 100))):
        layer = viewer.layers[name]
        assert layer.data.shape[:2] == (20, 20)
        assert [value(look.values(layer, at)) for at in [(25, 29), (25, 30)]] == [0, 1]
    image = look.lesson.image
    image.translate = (100, 200)
    image.scale = (2, 3)
    assert [look.values(viewer.layers["cells classes"], at) for at in [(25, 29), (25, 30)]] == [0, 1]


def test_it_is_told_when_more_is_seen_than_can_be_painted_on(look: Look) -> None:
    assert look.lesson.state.message == ""
    look.region = Region((0, 0), (40, 60))
    look.at(0, 0)
    assert "cells is large: the view shows more than the 20 × 20 px that can be painted on" in look.lesson.state.message
    look.region = Region((0, 0), (10, 12))
    look.at(5, 5)
    assert look.lesson.state.message == ""


def test_going_back_reaches_parts_that_are_not_seen(look: Look) -> None:
    lesson = look.lesson
    look.paint((5, 5), 1)
    look.paint((8, 8), 2)
    look.at(25, 45)
    lesson.do(Undo())
    look.at(0, 0)
    assert lesson.painted() == {1: 9}
    look.at(25, 45)
    lesson.do(Redo())
    look.at(0, 0)
    assert look.values(lesson.layer, (8, 8)) == 2


def test_the_layer_does_not_move_while_it_is_about_to_become_another(
    look: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    lesson = look.lesson
    look.paint((5, 5), 1)
    gate = threading.Event()
    monkeypatch.setattr(FakeTeaching, "gate", gate)
    lesson.dab((8, 8), 2)
    lesson.desk.do(Undo())
    lesson.dab((15, 15), 1)  # held back
    look.region = Region((25, 45), (35, 57))
    lesson.desk._view_watcher.settled.emit()
    assert lesson.desk.layers.canvas.window.start == (0, 0)
    gate.set()
    lesson.rest()
    assert lesson.desk.layers.canvas.window.start == (20, 40)
    look.at(0, 0)
    assert look.values(lesson.layer, (15, 15)) == 1


def test_strokes_of_all_parts_go_along_into_another_project(look: Look) -> None:
    lesson = look.lesson
    look.paint((5, 5), 1)
    look.at(25, 45)
    look.paint((30, 50), 2)
    first = lesson.state.project
    lesson.desk.stop()
    lesson.desk._lifecycle._folders.clear()
    lesson.desk.viewer.layers["cells corrections"].data[:] = 0  # the user erases while nothing is taught
    look.region = Region((0, 0), (10, 12))
    lesson.start()
    assert lesson.state.project != first
    assert lesson.engine.samples.counts(2) == (9, 0)
    assert look.values(lesson.layer, (5, 5)) == 1
    assert np.count_nonzero(lesson.journalled()) == 9


def test_a_project_of_a_large_image_is_gone_on_with(look: Look) -> None:
    lesson = look.lesson
    look.paint((5, 5), 1)
    look.at(25, 45)
    look.paint((30, 50), 2)
    project = Path(lesson.state.project)
    lesson.desk.stop()
    lesson.rest()
    lesson.desk.viewer.layers.remove("cells corrections")
    lesson.desk.open_project(TeachRequest(lesson.image, None, OFF, folder=project))
    lesson.wait(lambda: lesson.state.is_open)
    lesson.rest()
    assert look.values(lesson.layer, (30, 50)) == 2
    assert lesson.engine.samples.counts(2) == (9, 9)
    look.at(0, 0)
    assert look.values(lesson.layer, (5, 5)) == 1


def test_planes_of_a_large_stack_are_taken_as_they_are_seen(
    desk: TeachController, viewer: ViewerModel, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = np.zeros((9, 40, 60), np.uint8)
    pixels[:, :, 30:] = 200
    image = viewer.add_image(pixels, name="stack")
    look = Look(Lesson(desk, image, qtbot), Region((1, 0, 0), (2, 40, 60)))
    monkeypatch.setattr(layers, "fits_in_memory", lambda *_: False)
    monkeypatch.setattr(layers, "visible_region", lambda *_: look.region)
    monkeypatch.setattr(viewport, "MAX_WINDOW_PIXELS", 3 * 40 * 60)
    look.lesson.start()
    look.paint((1, 5, 5), 1)
    look.at(7, 0, 0)
    assert desk.layers.canvas.window == Region((6, 0, 0), (9, 40, 60))
    look.paint((7, 5, 50), 2)
    assert look.values(viewer.layers["stack classes"], (7, 20, 50)) == 1
    assert look.lesson.engine.samples.coordinates()[:, 0].tolist() == [1] * 9 + [7] * 9
    desk.look_at(Change(Region((1, 4, 4), (2, 8, 8)), 16, 0, 1))
    assert viewer.dims.point[0] == 1


@pytest.mark.parametrize(("names", "shape"), [("zcyx", (9, 2, 40, 60)), ("czyx", (2, 9, 40, 60))])
def test_a_part_of_an_image_with_channels_lies_where_it_belongs(
    desk: TeachController,
    viewer: ViewerModel,
    qtbot: QtBot,
    monkeypatch: pytest.MonkeyPatch,
    names: str,
    shape: tuple[int, ...],
) -> None:
    layer = viewer.add_image(np.zeros(shape, np.uint8), name="many", scale=(2, 3, 0.5, 0.5), translate=(5, 6, 7, 8))
    layer.axis_labels = tuple(names)
    monkeypatch.setattr(layers, "fits_in_memory", lambda *_: False)
    monkeypatch.setattr(layers, "visible_region", lambda *_: Region((7, 20, 30), (8, 30, 50)))
    monkeypatch.setattr(viewport, "MAX_WINDOW_SIDE", 20)
    monkeypatch.setattr(viewport, "MAX_WINDOW_PIXELS", 3 * 20 * 20)
    lesson = Lesson(desk, layer, qtbot)
    lesson.start()
    assert desk.layers.canvas.window == Region((6, 15, 30), (9, 35, 50))
    for result in (lesson.layer, *desk.layers.overlay.layers.values()):
        place = names.index("c")
        origin = [*layer.data_to_world([{"z": 6, "c": 0.5, "y": 15, "x": 30}[name] for name in names])]
        kept = origin[1:] if place == 0 else origin
        np.testing.assert_allclose(result.data_to_world([0] * result.ndim), kept)
    index = [1, 4, 5] if place == 0 else [1, 0, 4, 5]
    lesson.paint(tuple(index), 2)
    assert set(map(tuple, lesson.engine.samples.coordinates().tolist())) == {
        (7, y, x) for y in (18, 19, 20) for x in (34, 35, 36)
    }
