"""The Teach controller without a window, with an engine that learns one mean intensity per class."""

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
class TeachSession:
    """A controller, and the actions of a user."""

    controller: TeachController
    image: Image
    qtbot: QtBot

    @property
    def state(self) -> TeachState:
        return self.controller.state

    @property
    def layer(self) -> Labels:
        assert self.controller.layers is not None
        return self.controller.layers.corrections.layer

    @property
    def engine(self) -> FakeTeaching:
        return FakeTeaching.made[-1]

    @property
    def overlay_classes(self) -> np.ndarray:
        """The class of each pixel in the overlay."""
        assert self.controller.layers is not None
        assert self.controller.layers.overlay is not None
        return self.controller.layers.overlay.canvas.classes

    def wait(self, condition: Callable[[], Any]) -> None:
        self.qtbot.waitUntil(lambda: bool(condition()), timeout=LONG)

    def rest(self) -> None:
        """Wait until nothing runs."""
        turn(self.qtbot)
        self.wait(lambda: not self.controller.is_busy and not self.state.is_working)

    def start(self, settings: TeachSettings = OFF, **more: Any) -> None:
        self.controller.start(TeachRequest(self.image, None, settings, **more))
        self.wait(lambda: self.state.phase != "opening")
        self.rest()

    def paint(self, at: tuple[float, ...], label: int, size: int = 3) -> None:
        """Paint a stroke and wait for the prediction."""
        self.paint_only(at, label, size)
        self.rest()

    def paint_only(self, at: tuple[float, ...], label: int, size: int = 3) -> None:
        self.layer.brush_size = size
        self.layer.paint(at, label)

    def do(self, command: Any) -> None:
        self.controller.do(command)
        self.rest()

    def painted(self) -> dict[int, int]:
        """Return the number of pixels of each value."""
        values, counts = np.unique(self.layer.data, return_counts=True)
        return {int(v): int(n) for v, n in zip(values, counts, strict=True) if v}

    def project_labels(self) -> np.ndarray:
        """Return the corrections in the open project; a reopened one would leave out commits without weights."""
        assert self.controller.layers is not None
        assert self.controller.layers.worker is not None
        project = self.controller.layers.worker.writer._project
        assert project is not None
        return np.asarray(project.labels())


@pytest.fixture(autouse=True)
def clean(fake_engine: type[FakeTeaching]) -> None:
    """Write projects to the folder of the test."""


@pytest.fixture
def viewer() -> ViewerModel:
    return ViewerModel()


@pytest.fixture
def image(viewer: ViewerModel) -> Image:
    """An image that is dark on the left and bright on the right."""
    pixels = np.zeros((40, 60), np.uint8)
    pixels[:, 30:] = 200
    return viewer.add_image(pixels, name="cells", scale=(0.5, 0.5), units="um")


@pytest.fixture
def controller(viewer: ViewerModel, qtbot: QtBot) -> Iterator[TeachController]:
    controller = TeachController(viewer, Factories(teach=FakeTeaching))
    controller.connect()
    yield controller
    controller.shutdown()
    qtbot.waitUntil(lambda: not controller.is_busy, timeout=LONG)


@pytest.fixture
def session(controller: TeachController, image: Image, qtbot: QtBot) -> TeachSession:
    session = TeachSession(controller, image, qtbot)
    session.start()
    assert session.state.is_open, session.state.error
    return session


def test_start_adds_a_corrections_layer_in_paint_mode(session: TeachSession, viewer: ViewerModel) -> None:
    layer = session.layer
    assert layer.name == "cells corrections"
    assert layer.data.dtype == np.uint8
    assert layer.data.shape == (40, 60)
    assert viewer.layers[-1] is layer
    assert viewer.layers.selection.active is layer
    assert layer.mode == "paint"
    assert layer.n_edit_dimensions == 2
    assert layer.units == session.image.units
    np.testing.assert_allclose(layer.data_to_world((7, 9)), session.image.data_to_world((7, 9)))
    assert [entry.name for entry in session.state.classes] == ["background", "object"]
    assert [known.name for known in viewer.layers][:2] == ["cells", "cells probabilities"]


def test_the_prediction_follows_each_stroke(session: TeachSession) -> None:
    session.paint((10, 10), 1)
    session.paint((10, 50), 2)
    assert (session.overlay_classes[:, :30] == 0).all()
    assert (session.overlay_classes[:, 30:] == 1).all()
    assert session.state.turn == 2
    assert [entry.painted for entry in session.state.classes] == [9, 9]
    assert len(session.controller.latencies) == 2
    assert session.state.latency == session.controller.latencies[-1] > 0
    assert session.state.notes == ()


def test_a_note_names_classes_without_strokes(session: TeachSession) -> None:
    session.paint((10, 10), 1)
    assert session.state.notes == ("There are no strokes of object yet.",)


def test_undo_of_napari_removes_samples(session: TeachSession) -> None:
    session.paint((10, 10), 1)
    session.paint((10, 50), 2)
    session.layer.undo()
    session.rest()
    assert session.state.turn == 3
    assert [entry.painted for entry in session.state.classes] == [9, 0]
    session.layer.redo()
    session.rest()
    assert [entry.painted for entry in session.state.classes] == [9, 9]
    np.testing.assert_array_equal(session.project_labels(), session.layer.data)


def test_all_paint_modes_give_samples(session: TeachSession) -> None:
    session.paint((10, 10), 2, size=5)
    session.paint((10, 10), 0, size=3)  # erased in the middle
    assert session.state.classes[1].painted == np.count_nonzero(session.layer.data == 2) == 12
    session.layer.fill((10, 10), 1)
    session.rest()
    assert session.state.classes[0].painted == 9
    session.layer.paint_polygon([(20, 20), (20, 30), (30, 30), (30, 20)], 2)
    session.rest()
    assert session.state.classes[1].painted == np.count_nonzero(session.layer.data == 2) > 100
    session.layer.data_setitem((np.array([0, 1]), np.array([0, 0])), 1)
    session.rest()
    assert session.state.classes[0].painted == 11
    np.testing.assert_array_equal(session.project_labels(), session.layer.data)


def test_strokes_of_one_turn_of_the_event_loop_are_learnt_in_one_round(session: TeachSession) -> None:
    for k in range(5):
        session.paint_only((5 * k, 5), 1)
    session.rest()
    assert session.state.turn == 1
    assert Project.open_read_only(session.state.project).strokes == 5


def test_strokes_are_written_while_the_engine_is_busy(session: TeachSession, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = threading.Event()
    monkeypatch.setattr(FakeTeaching, "gate", gate)
    for k in range(3):
        session.paint_only((5 * k + 5, 5), 1)
        turn(session.qtbot)
    session.wait(lambda: Project.open_read_only(session.state.project).strokes == 3)
    assert session.state.turn == 0
    gate.set()
    session.rest()
    assert session.state.classes[0].painted == 27


def test_the_dock_is_not_updated_while_a_stroke_waits_for_its_prediction(
    session: TeachSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    session.wait(lambda: not session.controller.is_late)
    monkeypatch.setattr(throttle, "LATE", 10**6)
    gate = threading.Event()
    monkeypatch.setattr(FakeTeaching, "gate", gate)
    shown: list[TeachState] = []
    session.controller.changed.connect(shown.append)
    session.paint_only((10, 10), 1)
    session.wait(lambda: session.state.saved_at and not session.state.is_saving)  # would update the dock, too
    assert session.controller.is_predicting
    assert shown == []
    gate.set()
    session.wait(lambda: session.controller.latencies)
    assert not session.controller.is_predicting
    session.rest()
    session.wait(lambda: not session.controller.is_late)
    assert shown[-1] is session.state
    assert shown[0].latency is not None  # one update with everything that the prediction has changed


def test_actions_of_the_user_update_the_dock_at_once(session: TeachSession) -> None:
    shown: list[TeachState] = []
    session.controller.changed.connect(shown.append)
    session.paint_only((10, 10), 1)
    session.controller.choose(2)
    assert shown[-1].label == 2


def test_the_surroundings_of_the_view_are_prefetched_once_while_idle(
    session: TeachSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    idle_timer, view_timer = (
        ManualTimer(session.controller, slot) for slot in (session.controller._prefetch, session.controller._on_view)
    )
    session.controller._idle_timer.stop()
    session.controller._view_watcher._timer.stop()
    session.rest()
    FakeTeaching.prefetched.clear()  # the real timer may have been faster
    monkeypatch.setattr(session.controller, "_idle_timer", idle_timer)
    monkeypatch.setattr(session.controller._view_watcher, "_timer", view_timer)
    session.paint((10, 10), 1)
    assert FakeTeaching.prefetched == []
    idle_timer.fire()
    session.wait(lambda: FakeTeaching.prefetched)
    session.rest()
    assert FakeTeaching.prefetched == [session.controller.layers.view()]
    assert not session.state.is_working
    assert not idle_timer.isActive()  # once
    gate = threading.Event()
    monkeypatch.setattr(FakeTeaching, "gate", gate)
    session.paint_only((10, 50), 2)
    turn(session.qtbot)
    assert not idle_timer.isActive()  # not idle
    gate.set()
    session.rest()
    assert session.state.turn == 2
    idle_timer.fire()
    session.wait(lambda: len(FakeTeaching.prefetched) == 2)


def test_undo_reverts_strokes_and_prediction(session: TeachSession) -> None:
    session.paint((10, 10), 1)
    session.paint((10, 50), 2)
    session.do(Undo())
    assert session.painted() == {1: 9}
    assert (session.overlay_classes == 0).all()
    assert session.state.present == 1
    assert session.state.turn == 2  # undo is not a round
    assert [entry.painted for entry in session.state.classes] == [9, 0]
    np.testing.assert_array_equal(session.project_labels(), session.layer.data)
    session.do(Redo())
    assert session.painted() == {1: 9, 2: 9}
    assert (session.overlay_classes[:, 30:] == 1).all()
    np.testing.assert_array_equal(session.project_labels(), session.layer.data)


def test_painting_after_undo_starts_a_branch(session: TeachSession) -> None:
    session.paint((10, 10), 1)
    session.paint((10, 50), 2)
    session.do(Undo())
    session.paint((30, 50), 2)
    assert [commit.parent for commit in session.state.commits] == [None, 0, 1, 1]
    session.do(GoTo(2))
    assert session.layer.data[10, 50] == 2
    assert session.layer.data[30, 50] == 0
    assert session.state.present == 2


def test_a_stroke_painted_during_undo_survives(session: TeachSession, monkeypatch: pytest.MonkeyPatch) -> None:
    session.paint((10, 10), 1)
    session.paint((10, 50), 2)
    gate = threading.Event()
    monkeypatch.setattr(FakeTeaching, "gate", gate)
    session.controller.do(Undo())
    session.paint_only((12, 52), 1)  # partly on the stroke that undo removes
    gate.set()
    session.rest()
    session.wait(lambda: session.state.turn == 3)
    assert session.layer.data[12, 52] == 1
    assert session.layer.data[9, 49] == 0
    assert session.engine.samples.counts(2) == (18, 0)
    np.testing.assert_array_equal(session.project_labels(), session.layer.data)


def test_strokes_do_not_replace_commands(session: TeachSession) -> None:
    session.paint((10, 10), 1)
    session.controller.do(RenameCommit(1, "first"))
    session.paint_only((10, 50), 2)
    session.controller.do(AddPin(session.controller.layers.view(), "all"))
    session.paint_only((20, 50), 2)
    session.rest()
    assert session.state.commits[1].name == "first"
    assert session.state.pins == ("all",)
    assert session.state.classes[1].painted == 18
    session.do(RemovePin("all"))
    assert session.state.pins == ()


def test_classes_are_added_and_removed(session: TeachSession) -> None:
    session.paint((10, 10), 1)
    session.paint((10, 50), 2)
    session.do(add_class(session.state.classes))
    assert [entry.name for entry in session.state.classes] == ["background", "object", "class 3"]
    session.paint((30, 50), 3)
    assert session.painted() == {1: 9, 2: 9, 3: 9}
    session.do(remove_class(session.state.classes, 1))
    assert [entry.name for entry in session.state.classes] == ["background", "class 3"]
    assert session.painted() == {1: 9, 2: 9}
    assert session.layer.data[30, 50] == 2
    assert session.layer.data[10, 50] == 0
    assert session.state.turn == 3  # editing classes is not a round
    np.testing.assert_array_equal(session.project_labels(), session.layer.data)
    session.do(Undo())
    assert len(session.state.classes) == 3
    assert session.painted() == {1: 9, 2: 9, 3: 9}


@pytest.mark.parametrize(
    "change", [add_class, lambda seen: remove_class(seen, 0), lambda seen: rename_class(seen, 2, "late")]
)
def test_editing_outdated_classes_is_an_error(session: TeachSession, change: Any) -> None:
    session.paint((10, 10), 1)
    two = session.state.classes
    session.do(add_class(two))
    three = session.state.classes
    session.do(Undo())
    session.do(change(three))
    assert "classes have changed" in session.state.error
    assert [entry.name for entry in session.state.classes] == [entry.name for entry in two]
    session.paint((10, 50), 2)
    assert session.painted() == {1: 9, 2: 9}
    np.testing.assert_array_equal(session.project_labels(), session.layer.data)


def test_classes_change_name_and_colour_everywhere(session: TeachSession) -> None:
    session.do(rename_class(session.state.classes, 1, "bacterium"))
    session.do(recolour_class(session.state.classes, 1, "#cc79a7"))
    assert session.state.classes[1].name == "bacterium"
    np.testing.assert_allclose(session.layer.get_color(2)[:3], np.array([0xCC, 0x79, 0xA7]) / 255, atol=0.01)
    assert list(session.layer.features["class"]) == ["", "background", "bacterium"]
    session.paint((10, 10), 1)
    session.paint((10, 50), 2)
    colours = session.controller.layers.overlay.canvas.probabilities
    assert tuple(colours[0, 59]) == (0xCC, 0x79, 0xA7, 255)


def test_a_label_without_a_class_cannot_be_chosen(session: TeachSession) -> None:
    session.layer.selected_label = 7
    assert session.layer.selected_label == 2
    assert session.state.label == 2
    session.paint((10, 10), 9)  # by a script: a value without a class
    assert session.state.error == ""
    assert session.state.turn == 0


def test_layer_and_dock_agree_on_the_chosen_class(session: TeachSession) -> None:
    session.controller.choose(1)
    assert session.layer.selected_label == 1
    session.layer.selected_label = 2
    assert session.state.label == 2
    session.controller.choose(0)
    assert session.layer.mode == "erase"
    assert session.state.label == 0
    session.controller.choose(1)
    assert session.layer.mode == "paint"
    assert session.state.label == 1


def test_without_live_strokes_wait_for_learn_now(session: TeachSession) -> None:
    session.controller.set_live(False)
    session.rest()
    session.paint_only((10, 10), 1)
    turn(session.qtbot)
    session.paint_only((10, 50), 2)
    session.rest()
    assert session.state.turn == 0
    assert session.state.waiting == 2
    assert Project.open_read_only(session.state.project).strokes == 2
    session.controller.learn_now()
    session.rest()
    assert session.state.turn == 1
    assert session.state.waiting == 0
    assert (session.overlay_classes[:, 30:] == 1).all()
    session.paint_only((20, 20), 2)
    session.rest()
    assert session.state.turn == 1


def test_undo_without_live_first_commits_the_strokes(session: TeachSession) -> None:
    session.controller.set_live(False)
    session.paint_only((10, 10), 1)
    session.rest()
    session.do(Undo())
    assert session.painted() == {}
    session.do(Redo())
    assert session.painted() == {1: 9}


def test_a_better_candidate_is_accepted_automatically(session: TeachSession) -> None:
    session.controller.configure(TeachSettings(network="automatic"))
    session.paint((10, 10), 1)
    session.paint((10, 50), 2)
    assert session.state.update is not None
    assert session.state.update.status == "accepted"
    assert session.state.commits[-1].kind == "network"
    assert session.state.scores[-1][0] == 2
    assert session.state.candidate_scores == ((2, 0.9),)
    assert session.state.losses == (1, 1 / 2, 1 / 3)
    assert not session.state.can_decide


def test_a_better_candidate_waits_for_the_user(session: TeachSession) -> None:
    session.controller.configure(TeachSettings(network="ask"))
    session.paint((10, 10), 1)
    session.paint((10, 50), 2)
    assert session.state.can_decide
    assert session.state.commits[-1].kind == "head"
    session.do(Reject())
    assert session.state.update.status == "rejected"
    session.paint((30, 50), 2)
    assert session.state.can_decide
    session.do(Accept())
    assert session.state.update.status == "accepted"
    assert session.state.commits[-1].kind == "network"


def test_changes_are_shown_and_hidden(session: TeachSession, viewer: ViewerModel) -> None:
    session.image.data[:, 20:30] = 99  # nearly the mean of both classes
    session.controller.configure(TeachSettings(network="ask"))
    session.paint((10, 10), 1)
    session.paint((10, 50), 2)
    ready = session.state.update.ready
    assert ready.changes
    session.controller.show_changes(True)
    layer = viewer.layers["cells changes"]
    assert layer.data.dtype == np.uint8
    np.testing.assert_array_equal(layer.data, ready.changed)
    np.testing.assert_allclose(layer.data_to_world((0, 0)), session.image.data_to_world(ready.region.start))
    assert viewer.layers.selection.active is session.layer
    assert viewer.layers[-1] is session.layer
    session.controller.show_changes(False)
    assert not layer.visible


def test_uncertainty_follows_view_and_prediction(session: TeachSession, viewer: ViewerModel) -> None:
    session.controller.show_uncertainty(True)
    session.rest()
    layer = viewer.layers["cells uncertainty"]
    assert layer.data.dtype == np.uint8
    np.testing.assert_array_equal(layer.data, session.image.data)
    session.controller.show_uncertainty(False)
    assert not layer.visible
    session.paint((10, 10), 1)
    assert not layer.visible
    session.controller.show_uncertainty(True)
    session.rest()
    assert layer.visible
    assert sum(known.name == "cells uncertainty" for known in viewer.layers) == 1


def test_two_commits_are_compared(session: TeachSession, viewer: ViewerModel) -> None:
    session.paint((10, 10), 1)
    session.paint((10, 50), 2)
    session.do(Compare(1, 2, session.controller.layers.view()))
    assert (session.state.comparison.first, session.state.comparison.second) == (1, 2)
    layer = viewer.layers["cells compared"]
    assert not layer.data[..., 3].any()  # all background
    assert not viewer.layers["cells probabilities"].visible
    session.controller.show_compared("second")
    assert layer.data[:, 30:, 3].all()
    session.controller.show_compared("split")
    assert not layer.data[:, :28, 3].any()
    assert layer.data[:, 32:, 3].all()
    session.controller.end_comparison()
    assert not layer.visible
    assert viewer.layers["cells probabilities"].visible


def test_the_next_place_is_suggested_and_shown(session: TeachSession, viewer: ViewerModel) -> None:
    session.do(Suggest(session.controller.layers.view()))
    assert "Uncertainty here: 50%" in session.state.message
    box = viewer.layers["cells next place"]
    np.testing.assert_allclose(box.data[0].min(0), (-0.5, 27.5))
    session.paint((10, 10), 1)
    assert not box.visible
    session.do(Suggest(session.controller.layers.view()))
    assert "strokes near every visible place" in session.state.message


def test_a_model_is_saved(session: TeachSession, tmp_path: Path) -> None:
    session.paint((10, 10), 1)
    session.do(Save(tmp_path / "old.safetensors", 0))
    session.do(Save(tmp_path / "new.safetensors", 1))
    assert (tmp_path / "old.safetensors").read_text() == "commit 0"
    assert (tmp_path / "new.safetensors").read_text() == "commit 1"
    assert "new.safetensors" in session.state.message


def test_a_new_view_is_predicted(controller: TeachController, viewer: ViewerModel, qtbot: QtBot) -> None:
    stack = np.zeros((5, 32, 32), np.uint8)
    stack[3, :, 16:] = 200
    session = TeachSession(controller, viewer.add_image(stack, name="stack"), qtbot)
    viewer.dims.set_point(0, 3)
    session.start()
    session.paint((3, 4, 4), 1)
    session.paint((3, 4, 28), 2)
    assert session.layer.data[3].any()
    assert not session.layer.data[[0, 1, 2, 4]].any()
    assert (session.overlay_classes[3, :, 16:] == 1).all()
    assert session.engine.views[-1].start[0] == 3
    viewer.dims.set_point(0, 1)
    session.wait(lambda: session.engine.views[-1].start[0] == 1)


@pytest.mark.parametrize(
    ("shape", "labels", "corrections"),
    [
        ((2, 40, 60), ("c", "y", "x"), (40, 60)),
        ((40, 60, 2), ("y", "x", "c"), (40, 60, 1)),
        ((40, 2, 60), ("y", "c", "x"), (40, 1, 60)),
    ],
)
def test_corrections_have_no_channel_axis(
    controller: TeachController,
    viewer: ViewerModel,
    qtbot: QtBot,
    shape: tuple[int, ...],
    labels: tuple[str, ...],
    corrections: tuple[int, ...],
) -> None:
    session = TeachSession(
        controller, viewer.add_image(np.zeros(shape, np.uint8), name="two", rgb=False, axis_labels=labels), qtbot
    )
    session.start()
    assert session.layer.data.shape == corrections
    at = np.zeros(len(corrections), int)
    at[[axis for axis, n in enumerate(corrections) if n > 1]] = 8, 9
    session.layer.data_setitem(tuple(np.array([i]) for i in at), 2)
    session.rest()
    assert session.engine.samples.coordinates().tolist() == [[8, 9]]


def test_deleting_the_layer_loses_no_stroke(session: TeachSession, viewer: ViewerModel) -> None:
    session.paint((10, 10), 1)
    session.paint((10, 50), 2)
    project = session.state.project
    viewer.layers.remove(session.layer)
    assert not session.state.is_open
    assert "was removed" in session.state.message
    session.rest()
    session.start()
    assert session.state.project == project
    assert session.painted() == {1: 9, 2: 9}
    session.rest()
    assert (session.overlay_classes[:, 30:] == 1).all()


def test_replaced_corrections_stop_teaching(session: TeachSession) -> None:
    session.paint((10, 10), 1)
    session.layer.data = np.zeros((40, 60), np.int32)
    session.wait(lambda: not session.state.is_open)
    assert "were replaced" in session.state.message


def test_an_image_of_another_size_stops_teaching(session: TeachSession) -> None:
    session.paint((10, 10), 1)
    session.image.data = np.zeros((20, 20), np.uint8)
    session.wait(lambda: not session.state.is_open)
    assert "have changed" in session.state.message


def test_pixels_written_in_place_stop_teaching(session: TeachSession) -> None:
    session.paint((10, 10), 1)
    session.image.data[...] = 255 - session.image.data
    session.image.refresh()
    session.wait(lambda: not session.state.is_open)
    assert "have changed" in session.state.message
    assert "earlier pixels" in session.state.message


def test_the_dock_says_that_the_3d_view_cannot_be_painted(session: TeachSession, viewer: ViewerModel) -> None:
    assert session.state.obstacle == ""
    viewer.dims.ndisplay = 3
    assert "2-D view" in session.state.obstacle
    session.controller.stop()
    assert session.state.obstacle == ""
    session.start()
    assert "2-D view" in session.state.obstacle
    viewer.dims.ndisplay = 2
    assert session.state.obstacle == ""


def test_removing_the_image_stops_teaching(session: TeachSession, viewer: ViewerModel) -> None:
    viewer.layers.remove(session.image)
    assert not session.state.is_open
    assert "was removed" in session.state.message


def test_an_existing_corrections_layer_is_used(
    controller: TeachController, viewer: ViewerModel, image: Image, qtbot: QtBot
) -> None:
    layer = viewer.add_labels(np.zeros((40, 60), np.uint8), name="cells corrections")
    layer.data[8:11, 8:11] = 1
    session = TeachSession(controller, image, qtbot)
    session.start()
    assert session.layer is layer
    session.rest()
    assert session.state.classes[0].painted == 9
    np.testing.assert_array_equal(session.project_labels(), layer.data)


def test_a_project_is_resumed(session: TeachSession, viewer: ViewerModel) -> None:
    session.paint((10, 10), 1)
    session.paint((10, 50), 2)
    project = Path(session.state.project)
    session.controller.stop()
    session.rest()
    viewer.layers.remove("cells corrections")
    other = TeachController(viewer, Factories(teach=FakeTeaching))
    other.connect()
    again = TeachSession(other, session.image, session.qtbot)
    other.open_project(TeachRequest(session.image, None, OFF, folder=project))
    again.wait(lambda: again.state.is_open)
    again.rest()
    assert again.painted() == {1: 9, 2: 9}
    again.paint((30, 50), 2)
    assert Project.open_read_only(project).strokes == 3
    other.shutdown()
    again.wait(lambda: not other.is_busy)


def test_a_project_of_another_image_is_an_error(session: TeachSession, viewer: ViewerModel) -> None:
    project = Path(session.state.project)
    session.controller.stop()
    other = viewer.add_image(np.zeros((40, 60), np.uint8), name="other")
    session.controller.open_project(TeachRequest(other, None, OFF, folder=project))
    session.wait(lambda: session.state.error)
    assert "not the image" in session.state.error
    assert session.state.phase == "idle"


def test_teaching_works_without_a_project(viewer: ViewerModel, image: Image, qtbot: QtBot) -> None:
    def refuse(*_: object) -> None:
        raise ProjectError("The folder cannot be written: there is no permission.")

    controller = TeachController(viewer, Factories(teach=FakeTeaching, create=refuse))
    controller.connect()
    session = TeachSession(controller, image, qtbot)
    session.start()
    assert "Nothing is saved" in session.state.warning
    assert session.state.project == ""
    session.paint((10, 10), 1)
    session.paint((10, 50), 2)
    assert (session.overlay_classes[:, 30:] == 1).all()
    session.do(Undo())
    assert session.painted() == {1: 9}
    controller.shutdown()
    session.wait(lambda: not controller.is_busy)


def test_closing_writes_the_last_stroke(session: TeachSession, viewer: ViewerModel) -> None:
    project = session.state.project
    session.paint_only((10, 10), 1)
    session.controller.shutdown()
    session.wait(lambda: not session.controller.is_busy)
    session.controller.connect()
    assert Project.open_read_only(project).strokes == 1
    with Project.open(project):  # it is not locked
        pass
    assert "cells corrections" in viewer.layers


def test_an_engine_that_fails_turns_live_off_and_keeps_the_strokes(
    session: TeachSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    session.paint((10, 10), 1)
    monkeypatch.setattr(FakeTeaching, "error", ImageError("The file of the image is gone."))
    session.paint_only((10, 50), 2)
    session.wait(lambda: session.state.error)
    assert "is gone" in session.state.error
    assert not session.state.is_live
    monkeypatch.setattr(FakeTeaching, "error", None)
    session.controller.set_live(True)
    session.rest()
    assert (session.overlay_classes[:, 30:] == 1).all()
    assert Project.open_read_only(session.state.project).strokes == 2


def test_a_model_that_does_not_fit_gives_an_error(
    controller: TeachController, image: Image, model: MakeModel, qtbot: QtBot
) -> None:
    controller.start(TeachRequest(image, model(3), OFF))
    assert "3-D model" in controller.state.error
    assert controller.state.phase == "idle"


def test_the_classes_of_a_model_are_shown_at_once(
    controller: TeachController, image: Image, model: MakeModel, qtbot: QtBot
) -> None:
    session = TeachSession(controller, image, qtbot)
    controller.start(TeachRequest(image, model(2, 1, 4), OFF))
    assert len(controller.state.classes) == 4
    session.wait(lambda: controller.state.is_open or controller.state.error)
    session.rest()
    assert not controller.state.error


def test_a_project_is_resumed_with_its_settings(session: TeachSession) -> None:
    project = Path(session.state.project)
    changed = TeachSettings(network="off", keep=0.9, rate=1e-5)
    session.controller.configure(changed)
    session.paint((10, 10), 1)
    session.engine.record("settings", settings=asdict(changed))  # as the engine does
    session.controller.stop()
    session.rest()
    session.controller.open_project(TeachRequest(session.image, None, OFF, folder=project))
    session.wait(lambda: session.state.is_open)
    session.rest()
    assert session.state.settings == changed
    assert session.engine.settings == changed


# Large images: a window of them can be painted on at a time


@dataclass
class LargeImage:
    """A session on a large image, and its visible region, which a viewer without a window does not have."""

    session: TeachSession
    region: Region

    def at(self, *start: int) -> None:
        """Move the view, and wait until nothing runs."""
        self.region = Region(start, tuple(a + n for a, n in zip(start, self.region.shape, strict=True)))
        self.session.controller.viewer.dims.set_point(range(len(start)), self.session.image.data_to_world(start))
        self.session.controller._view_watcher.settled.emit()
        self.session.rest()

    def paint(self, at: tuple[int, ...], label: int) -> None:
        """Paint at a pixel of the image."""
        teach_layers = self.session.controller.layers
        assert teach_layers is not None
        self.session.paint(tuple(i - a for i, a in zip(at, teach_layers.canvas.window.start, strict=True)), label)

    def values(self, layer: Any, at: tuple[int, ...]) -> Any:
        """Return the value of a layer at a pixel of the image; None outside the layer."""
        there = np.round(layer.world_to_data(self.session.image.data_to_world(at))).astype(int)
        inside = all(0 <= i < n for i, n in zip(there, layer.data.shape, strict=False))
        return layer.data[tuple(there)] if inside else None


@pytest.fixture
def large(controller: TeachController, image: Image, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch) -> LargeImage:
    large = LargeImage(TeachSession(controller, image, qtbot), Region((0, 0), (10, 12)))
    monkeypatch.setattr(layers, "fits_in_memory", lambda *_: False)
    monkeypatch.setattr(layers, "visible_region", lambda *_: large.region)
    monkeypatch.setattr(viewport, "MAX_WINDOW_SIDE", 20)
    large.session.start()
    assert large.session.state.is_open, large.session.state.error
    return large


def test_strokes_in_all_windows_are_learnt_and_shown_again(large: LargeImage) -> None:
    session = large.session
    large.paint((5, 5), 1)
    assert session.layer.data.shape == (20, 20)
    large.at(25, 45)
    assert session.painted() == {}
    large.paint((30, 50), 2)
    assert session.painted() == {2: 9}
    assert [entry.painted for entry in session.state.classes] == [9, 9]
    assert session.engine.samples.counts(2) == (9, 9)
    assert large.values(session.layer, (30, 50)) == 2
    assert large.values(session.layer, (5, 5)) is None
    large.at(0, 0)
    assert large.values(session.layer, (5, 5)) == 1
    assert session.painted() == {1: 9}
    project_labels = session.project_labels()
    assert project_labels.shape == (40, 60)
    assert (project_labels[5, 5], project_labels[30, 50], np.count_nonzero(project_labels)) == (1, 2, 18)
    session.layer.undo()  # napari's history is of another window
    session.rest()
    assert session.painted() == {1: 9}


def test_the_overlay_is_aligned_with_the_image(large: LargeImage, viewer: ViewerModel) -> None:
    large.paint((5, 5), 1)
    large.at(25, 45)
    large.paint((30, 50), 2)
    large.at(22, 20)  # dark on the left, bright on the right
    for name, value in (("cells classes", lambda v: v), ("cells probabilities", lambda v: int(v[3] > 100))):
        layer = viewer.layers[name]
        assert layer.data.shape[:2] == (20, 20)
        assert [value(large.values(layer, at)) for at in [(25, 29), (25, 30)]] == [0, 1]
    image = large.session.image
    image.translate = (100, 200)
    image.scale = (2, 3)
    assert [large.values(viewer.layers["cells classes"], at) for at in [(25, 29), (25, 30)]] == [0, 1]


def test_a_message_says_that_the_view_is_larger_than_the_window(large: LargeImage) -> None:
    assert large.session.state.message == ""
    large.region = Region((0, 0), (40, 60))
    large.at(0, 0)
    assert (
        "cells is large: the view shows more than the 20 × 20 px that can be painted on" in large.session.state.message
    )
    large.region = Region((0, 0), (10, 12))
    large.at(5, 5)
    assert large.session.state.message == ""


def test_undo_reaches_strokes_outside_the_window(large: LargeImage) -> None:
    session = large.session
    large.paint((5, 5), 1)
    large.paint((8, 8), 2)
    large.at(25, 45)
    session.do(Undo())
    large.at(0, 0)
    assert session.painted() == {1: 9}
    large.at(25, 45)
    session.do(Redo())
    large.at(0, 0)
    assert large.values(session.layer, (8, 8)) == 2


def test_the_window_does_not_move_while_undo_is_pending(large: LargeImage, monkeypatch: pytest.MonkeyPatch) -> None:
    session = large.session
    large.paint((5, 5), 1)
    gate = threading.Event()
    monkeypatch.setattr(FakeTeaching, "gate", gate)
    session.paint_only((8, 8), 2)
    session.controller.do(Undo())
    session.paint_only((15, 15), 1)  # held back
    large.region = Region((25, 45), (35, 57))
    session.controller._view_watcher.settled.emit()
    assert session.controller.layers.canvas.window.start == (0, 0)
    gate.set()
    session.rest()
    assert session.controller.layers.canvas.window.start == (20, 40)
    large.at(0, 0)
    assert large.values(session.layer, (15, 15)) == 1


def test_strokes_of_all_windows_are_copied_to_a_new_project(large: LargeImage) -> None:
    session = large.session
    large.paint((5, 5), 1)
    large.at(25, 45)
    large.paint((30, 50), 2)
    first = session.state.project
    session.controller.stop()
    session.controller._lifecycle._folders.clear()
    session.controller.viewer.layers["cells corrections"].data[:] = 0  # erased between two sessions
    large.region = Region((0, 0), (10, 12))
    session.start()
    assert session.state.project != first
    assert session.engine.samples.counts(2) == (9, 0)
    assert large.values(session.layer, (5, 5)) == 1
    assert np.count_nonzero(session.project_labels()) == 9


def test_a_project_of_a_large_image_is_resumed(large: LargeImage) -> None:
    session = large.session
    large.paint((5, 5), 1)
    large.at(25, 45)
    large.paint((30, 50), 2)
    project = Path(session.state.project)
    session.controller.stop()
    session.rest()
    session.controller.viewer.layers.remove("cells corrections")
    session.controller.open_project(TeachRequest(session.image, None, OFF, folder=project))
    session.wait(lambda: session.state.is_open)
    session.rest()
    assert large.values(session.layer, (30, 50)) == 2
    assert session.engine.samples.counts(2) == (9, 9)
    large.at(0, 0)
    assert large.values(session.layer, (5, 5)) == 1


def test_the_window_of_a_large_stack_follows_the_slider(
    controller: TeachController, viewer: ViewerModel, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = np.zeros((9, 40, 60), np.uint8)
    pixels[:, :, 30:] = 200
    image = viewer.add_image(pixels, name="stack")
    large = LargeImage(TeachSession(controller, image, qtbot), Region((1, 0, 0), (2, 40, 60)))
    monkeypatch.setattr(layers, "fits_in_memory", lambda *_: False)
    monkeypatch.setattr(layers, "visible_region", lambda *_: large.region)
    monkeypatch.setattr(viewport, "MAX_WINDOW_PIXELS", 3 * 40 * 60)
    large.session.start()
    large.paint((1, 5, 5), 1)
    large.at(7, 0, 0)
    assert controller.layers.canvas.window == Region((6, 0, 0), (9, 40, 60))
    large.paint((7, 5, 50), 2)
    assert large.values(viewer.layers["stack classes"], (7, 20, 50)) == 1
    assert large.session.engine.samples.coordinates()[:, 0].tolist() == [1] * 9 + [7] * 9
    controller.go_to_change(Change(Region((1, 4, 4), (2, 8, 8)), 16, 0, 1))
    assert viewer.dims.point[0] == 1


@pytest.mark.parametrize(("names", "shape"), [("zcyx", (9, 2, 40, 60)), ("czyx", (2, 9, 40, 60))])
def test_the_window_of_an_image_with_channels_is_aligned(
    controller: TeachController,
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
    session = TeachSession(controller, layer, qtbot)
    session.start()
    assert controller.layers.canvas.window == Region((6, 15, 30), (9, 35, 50))
    for result in (session.layer, *controller.layers.overlay.layers.values()):
        place = names.index("c")
        origin = [*layer.data_to_world([{"z": 6, "c": 0.5, "y": 15, "x": 30}[name] for name in names])]
        kept = origin[1:] if place == 0 else origin
        np.testing.assert_allclose(result.data_to_world([0] * result.ndim), kept)
    index = [1, 4, 5] if place == 0 else [1, 0, 4, 5]
    session.paint(tuple(index), 2)
    assert set(map(tuple, session.engine.samples.coordinates().tolist())) == {
        (7, y, x) for y in (18, 19, 20) for x in (34, 35, 36)
    }
