"""A project that is reopened restores the state of the Teach dock."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gui.clocks import LONG, turn
from gui.docks import MakeModel
from gui.fakes import FakeTeaching
from napari.components import ViewerModel
from napari.viewer import Viewer
from pytestqt.qtbot import QtBot

from napari_fcn.geometry import Region
from napari_fcn.gui import teach as teach_module
from napari_fcn.gui._controllers import (
    FILTERS,
    AddPin,
    Factories,
    GoTo,
    RenameCommit,
    TeachController,
    TeachRequest,
    TeachState,
    add_class,
    rename_class,
)
from napari_fcn.gui._controllers.teach.progress import KIND, TeachProgress
from napari_fcn.gui.teach import TeachWidget
from napari_fcn.project import Project
from napari_fcn.settings import TeachSettings

# Fields that the project does not restore: current activity and times.
TRANSIENT = {
    "message": "",
    "is_working": False,
    "is_saving": False,
    "latency": None,
    "saved_at": 0.0,
    "label": 0,
    "step": 0,
    "steps": 0,
    "update": None,
    "predicted": 0,
}


def lasting(state: TeachState) -> TeachState:
    return replace(state, **TRANSIENT)


class Restarted:
    """A controller in a new viewer, as after a restart of napari."""

    def __init__(self, qtbot: QtBot, factories: Factories | None = None) -> None:
        self.qtbot, self.viewer = qtbot, ViewerModel()
        pixels = np.random.default_rng(0).integers(0, 60, (40, 60), np.uint8)
        pixels[:, 30:] += 150
        self.image = self.viewer.add_image(pixels, name="cells")
        self.controller = TeachController(self.viewer, factories)
        self.controller.connect()

    @property
    def state(self) -> TeachState:
        return self.controller.state

    def wait(self, condition: Callable[[], Any]) -> None:
        self.qtbot.waitUntil(lambda: bool(condition()), timeout=LONG)

    def rest(self) -> None:
        turn(self.qtbot)
        self.wait(lambda: not self.controller.is_busy and not self.state.is_working)

    def open_session(self, call: Callable[[TeachRequest], None], request: TeachRequest) -> None:
        call(request)
        self.wait(lambda: self.state.phase != "opening")
        assert self.state.is_open, self.state.error
        self.rest()

    def paint(self, at: tuple[int, int], label: int) -> None:
        assert self.controller.layers is not None
        layer = self.controller.layers.corrections.layer
        layer.brush_size = 5
        turn = self.state.turn
        layer.paint(at, label)
        self.wait(lambda: self.state.turn > turn)
        self.rest()

    def do(self, command: Any) -> None:
        self.controller.do(command)
        self.rest()

    def close(self) -> None:
        self.controller.shutdown()
        self.wait(lambda: not self.controller.is_busy)


@pytest.fixture
def restart(qtbot: QtBot, fake_engine: object) -> Iterator[Callable[..., Restarted]]:
    made: list[Restarted] = []

    def make(factories: Factories | None = None) -> Restarted:
        made.append(Restarted(qtbot, factories))
        return made[-1]

    yield make
    for one in made:
        if one.controller.layers is not None:
            one.close()


@pytest.mark.parametrize("kind", [FILTERS, "model", "unet"])
def test_the_state_of_the_dock_is_restored(restart: Callable[..., Restarted], model: MakeModel, kind: str) -> None:
    settings = TeachSettings(network="off", keep=0.25, device="cpu")
    first = restart()
    file, new = (model(2, 1, 2) if kind == "model" else None), (kind if kind == "unet" else "")
    first.open_session(first.controller.start, TeachRequest(first.image, file, settings, new=new))
    first.paint((10, 10), 1)
    first.paint((10, 50), 2)
    first.do(add_class(first.state.classes))
    first.paint((30, 30), 3)
    first.do(rename_class(first.state.classes, 2, "rim"))
    first.do(AddPin(Region((0, 0), (9, 9)), "corner"))
    first.do(RenameCommit(first.state.commits[-1].number, "good"))
    first.controller.configure(replace(settings, keep=0.75))
    first.rest()
    before = first.state
    assert len(before.scores) == 3
    first.controller.stop()
    first.rest()
    first.close()

    second = restart()
    second.open_session(
        second.controller.open_project, TeachRequest(second.image, None, TeachSettings(), folder=Path(before.project))
    )
    assert lasting(second.state) == lasting(before)
    assert [entry.painted for entry in second.state.classes] == [entry.painted for entry in before.classes]
    assert second.state.saved_at == pytest.approx(before.saved_at, abs=3)
    second.do(GoTo(1))
    earlier = second.state
    second.controller.stop()
    second.rest()
    second.close()

    third = restart()
    third.open_session(
        third.controller.open_project, TeachRequest(third.image, None, TeachSettings(), folder=Path(before.project))
    )
    assert lasting(third.state) == replace(lasting(earlier), turn=third.state.turn)  # counted on from the commit


def test_the_curves_of_candidates_are_restored_after_a_crash(restart: Callable[..., Restarted]) -> None:
    first = restart(Factories(teach=FakeTeaching))
    first.open_session(
        first.controller.start, TeachRequest(first.image, None, TeachSettings(network="automatic", device="cpu"))
    )
    first.paint((10, 10), 1)
    first.paint((10, 50), 2)
    before = first.state
    assert before.candidate_scores
    assert before.losses
    project = Project.open_read_only(before.project)  # not closed, as after a crash
    found = TeachProgress.read(project.entries())
    assert (found.scores, found.candidate_scores, found.losses) == (
        before.scores,
        before.candidate_scores,
        before.losses,
    )
    assert found.model == FILTERS


def test_start_resumes_an_opened_project_of_another_model_and_the_earlier_choice_gets_a_new_one(
    restart: Callable[..., Restarted], model: MakeModel
) -> None:
    off = TeachSettings(network="off", device="cpu")
    first = restart()
    first.open_session(first.controller.start, TeachRequest(first.image, None, off))
    project = first.state.project
    first.close()
    second = restart()
    chosen = model(2, 1, 2)
    second.open_session(second.controller.open_project, TeachRequest(second.image, chosen, off, folder=Path(project)))
    source = second.controller.session_source
    assert source is not None
    assert (source.model, second.state.model) == (None, FILTERS)
    second.controller.stop()
    second.open_session(second.controller.start, TeachRequest(second.image, None, off))
    assert second.state.project == project
    second.controller.stop()
    second.open_session(second.controller.start, TeachRequest(second.image, chosen, off))
    assert second.state.project != project


@pytest.mark.parametrize(
    "entry",
    [
        {"kind": KIND, "exams": [[1, "many"]]},
        {"kind": KIND, "exams": 3},
        {"kind": KIND, "losses": [float("inf")]},
        {"kind": KIND, "trials": [[1]]},
        {"kind": "stroke", "time": "yesterday"},
        {"kind": "stroke"},
        {},
    ],
)
def test_a_damaged_entry_is_left_out(entry: dict[str, Any]) -> None:
    good = {"kind": KIND, "exams": [[1, 0.5]], "model": "nuclei"}
    assert TeachProgress.read([good, entry]) == TeachProgress.read([good])


def test_recorded_changes_add_up() -> None:
    steps = [
        TeachProgress("a", ((1, 0.5),), (), (), ("A note.",)),
        TeachProgress("a", ((1, 0.5), (2, 0.6)), ((2, 0.7),), (3.0, 2.0), ()),
        TeachProgress("a", ((2, 0.4),), ((2, 0.7),), (), ()),  # a round was learnt again
    ]
    known, entries = TeachProgress(), []
    for step in steps:
        entries.append({"kind": KIND, **step.changes_since(known)})
        known = step
        assert TeachProgress.read(entries) == step
    assert steps[-1].changes_since(steps[-1]) == {}


def test_the_dock_shows_the_session_and_not_the_selected_layer(
    make_napari_viewer: Callable[..., Viewer],
    qtbot: QtBot,
    fake_engine: type[FakeTeaching],
    model: MakeModel,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(teach_module, "WARM_UP_AFTER", 10**8)
    viewer = make_napari_viewer()
    cells = viewer.add_image(np.zeros((40, 60), np.uint8), name="cells")
    widget = TeachWidget(viewer)
    qtbot.addWidget(widget)
    controller, source = widget.controller, widget.source
    controller._factories = Factories(teach=fake_engine)

    def open_(start: Callable[[], None]) -> None:
        start()
        qtbot.waitUntil(lambda: controller.state.is_open and not controller.is_busy, timeout=LONG)

    source.model.open_file(model(2, 1, 2))
    name = source.model.combo.currentText()
    open_(widget.start)
    other = viewer.add_image(np.zeros((30, 30), np.uint8), name="other")
    viewer.layers.selection.active = other
    assert (source.image.layer, source.image.combo.currentText()) == (cells, "cells")
    project = controller.state.project
    controller.stop()
    qtbot.waitUntil(lambda: not controller.is_busy, timeout=LONG)
    viewer.layers.selection.active = cells
    source.model.choose_other(FILTERS)
    monkeypatch.setattr(teach_module.QFileDialog, "getExistingDirectory", lambda *_: project)
    open_(widget._on_open_project)
    assert source.model.combo.currentText() == name == controller.state.model
    controller.stop()
    qtbot.waitUntil(lambda: not controller.is_busy, timeout=LONG)
    viewer.layers.selection.active = other
    assert source.image.combo.currentText() == "other"


def test_axes_and_settings_of_a_project_are_restored_in_the_dock(
    make_napari_viewer: Callable[..., Viewer],
    qtbot: QtBot,
    fake_engine: type[FakeTeaching],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(teach_module, "WARM_UP_AFTER", 10**8)
    viewer = make_napari_viewer()
    viewer.add_image(np.random.default_rng(0).integers(0, 255, (3, 40, 60), np.uint8), name="cells")

    def dock() -> TeachWidget:
        widget = TeachWidget(viewer)
        qtbot.addWidget(widget)
        widget.controller._factories = Factories(teach=fake_engine)
        return widget

    def open_(widget: TeachWidget, start: Callable[[], None]) -> TeachState:
        start()
        qtbot.waitUntil(lambda: widget.controller.state.is_open and not widget.controller.is_busy, timeout=LONG)
        return widget.controller.state

    first = dock()
    first.source.model.choose_other(FILTERS)
    first.source.axes.setText("cyx")
    first.learning.keep.setValue(20)
    first.settings.fields["seed"].set_value(7)
    before = open_(first, first.start)
    first.controller.stop()
    qtbot.waitUntil(lambda: not first.controller.is_busy, timeout=LONG)
    second = dock()
    second.learning.keep.setValue(90)
    monkeypatch.setattr(teach_module.QFileDialog, "getExistingDirectory", lambda *_: before.project)
    after = open_(second, second._on_open_project)
    assert after.settings == before.settings
    assert second.source.axes.text() == "cyx"
    assert second.source.model.combo.currentText() == FILTERS
    assert second.learning.value() == first.learning.value()
    assert second.settings.value() == first.settings.value()
    second.controller.stop()
    qtbot.waitUntil(lambda: not second.controller.is_busy, timeout=LONG)
