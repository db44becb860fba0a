"""Any state can be gone to, in any order, before and after a project is opened again: with its strokes and weights."""

import shutil
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
from gui.clocks import LONG, turn
from gui.docks import MakeModel
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from napari.components import ViewerModel
from net_contract import one_thread  # noqa: F401
from pytestqt.qtbot import QtBot

from napari_fcn.geometry import Region
from napari_fcn.gui._controllers import (
    Accept,
    AddPin,
    GoTo,
    Redo,
    Reject,
    RemovePin,
    RenameCommit,
    TeachController,
    TeachRequest,
    Undo,
    add_class,
    remove_class,
    rename_class,
)
from napari_fcn.learning import evaluation
from napari_fcn.project import Project
from napari_fcn.project.replay import replay
from napari_fcn.settings import TeachSettings

SHAPE = (12, 16)
COPIES = count()
IS_THOROUGH = hypothesis.settings.default.max_examples > 100
EXAMPLES, STEPS = (300, 20) if IS_THOROUGH else (3, 8)
OFF = TeachSettings(network="off", device="cpu", precision="float32")
ASK = replace(OFF, network="ask", judge_every=1, attempts=1, patch=16)

Labels = np.ndarray[Any, Any]


class Desk:
    """A controller over one small image, a model for it, and what is expected of each state."""

    def __init__(self, qtbot: QtBot, model: Path | None, settings: TeachSettings) -> None:
        self.qtbot = qtbot
        self.pixels = np.random.default_rng(0).normal(0, 0.3, SHAPE).astype(np.float32)
        self.pixels[:, SHAPE[1] // 2 :] += 2
        self.states: dict[int, Labels] = {}
        self.pins: dict[str, Region] = {}
        self.open(lambda image: TeachRequest(image, model, settings, ("y", "x")))

    def open(self, wish: Any) -> None:
        """Open a viewer of its own, so that no layer is left from before."""
        viewer = ViewerModel()
        image = viewer.add_image(self.pixels, name="cells")
        self.controller = TeachController(viewer)
        self.controller.connect()
        self.said: list[str] = []
        self.controller.changed.connect(lambda state: self.said.append(state.message))
        asked = wish(image)
        (self.controller.open_project if asked.folder else self.controller.start)(asked)
        self.wait(lambda: self.state.phase != "opening")
        assert self.state.is_open, self.state.error
        assert self.state.project, self.state.warning
        self.project = Path(self.state.project)
        self.rest()

    def close(self) -> None:
        self.seen, self.seen_pins = self.labels, known_pins(self.engine.pins)
        self.controller.shutdown()
        self.wait(lambda: not self.controller.is_busy)

    def reopen(self, folder: Path) -> None:
        self.open(lambda image: TeachRequest(image, None, OFF, ("y", "x"), folder=folder))
        assert np.array_equal(self.labels, self.seen)
        assert known_pins(self.engine.pins) == self.seen_pins

    @property
    def state(self) -> Any:
        return self.controller.state

    @property
    def labels(self) -> Labels:
        assert self.controller.layers is not None
        return np.array(self.controller.layers.corrections.layer.data)

    @property
    def engine(self) -> Any:
        assert self.controller.layers is not None
        assert self.controller.layers.worker is not None
        return self.controller.layers.worker.teaching

    def wait(self, condition: Any) -> None:
        self.qtbot.waitUntil(lambda: bool(condition()), timeout=LONG)

    def rest(self) -> None:
        """Wait until all is done; states that have come are those of what is painted now."""
        turn(self.qtbot)
        self.wait(lambda: not self.controller.is_busy and not self.state.is_working)
        assert not self.state.error
        for commit in self.state.commits:
            self.states.setdefault(commit.number, self.labels)

    def paint(self, label: int, row: int, column: int) -> None:
        assert self.controller.layers is not None
        layer = self.controller.layers.corrections.layer
        layer.brush_size = 3
        layer.paint((row, column), min(label, len(self.state.classes)))
        self.rest()

    def do(self, command: Any) -> None:
        self.controller.do(command)
        self.rest()


class Sessions(RuleBasedStateMachine):
    """Paints, goes to states and comes back, with sessions that end and begin in between."""

    def __init__(self) -> None:
        super().__init__()
        self.desk = self.make()

    @staticmethod
    def make() -> Desk:
        """Return where to begin."""
        raise NotImplementedError

    @rule(label=st.integers(0, 3), row=st.integers(0, SHAPE[0] - 1), column=st.integers(0, SHAPE[1] - 1))
    def paint(self, label: int, row: int, column: int) -> None:
        self.desk.paint(label, row, column)

    @rule()
    def undo(self) -> None:
        parent = {c.number: c.parent for c in self.desk.state.commits}[self.desk.state.present]
        self._restores(Undo(), parent)

    @rule()
    def redo(self) -> None:
        self._restores(Redo(), None)

    @rule(data=st.data())
    def go_to(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from(sorted(self.desk.states)))
        self._restores(GoTo(number), number)

    def _restores(self, command: Any, number: int | None) -> None:
        known = set(self.desk.states)
        self.desk.do(command)
        assert set(self.desk.states) == known  # nothing was learnt: nobody painted
        if number is not None:
            assert self.desk.state.present == number

    @precondition(lambda self: len(self.desk.state.classes) < 4)
    @rule()
    def add_class(self) -> None:
        self.desk.do(add_class(self.desk.state.classes))

    @precondition(lambda self: len(self.desk.state.classes) > 2)
    @rule(index=st.integers(0, 3))
    def remove_class(self, index: int) -> None:
        self.desk.do(remove_class(self.desk.state.classes, index % len(self.desk.state.classes)))

    @rule(index=st.integers(0, 3), name=st.sampled_from(["rim", "gap"]))
    def rename_class(self, index: int, name: str) -> None:
        if name not in [label.name for label in self.desk.state.classes]:
            self.desk.do(rename_class(self.desk.state.classes, index % len(self.desk.state.classes), name))

    @rule()
    def name_a_state(self) -> None:
        self.desk.do(RenameCommit(self.desk.state.present, "good"))

    @rule(name=st.sampled_from("ab"), row=st.integers(0, SHAPE[0] - 2))
    def pin(self, name: str, row: int) -> None:
        self.desk.do(AddPin(Region((row, 2), (row + 2, 14)), name))

    @rule(name=st.sampled_from("ab"))
    def unpin(self, name: str) -> None:
        self.desk.do(RemovePin(name))

    @rule(answer=st.sampled_from([Accept(), Reject()]))
    def decide(self, answer: Any) -> None:
        if self.desk.state.can_decide:
            self.desk.do(answer)

    @rule()
    def close_and_open(self) -> None:
        self.desk.close()
        self.desk.reopen(self.desk.project)

    @rule()
    def kill_and_open(self) -> None:
        desk = self.desk
        copy = desk.project.with_name(f"copy{next(COPIES)}.fcn")
        shutil.copytree(desk.project, copy, ignore=shutil.ignore_patterns("lock"))
        desk.close()
        with (copy / "journal.jsonl").open("ab") as journal:
            journal.write(b'{"n":')
        desk.reopen(copy)

    @invariant()
    def what_is_shown_is_the_present_state(self) -> None:
        desk = self.desk
        assert np.array_equal(desk.labels, desk.states[desk.state.present])
        expected = {c.number: c.hash for c in desk.state.commits}[desk.state.present]
        assert desk.engine._current.checkpoint.hash == expected

    def teardown(self) -> None:
        desk = self.desk
        desk.close()
        with Project.open(desk.project) as project:
            history = project.history()
            assert {c.number for c in history.commits} == set(desk.states)
            for commit in history.commits:
                assert np.array_equal(np.asarray(project.labels_at(commit.number)), desk.states[commit.number])
                assert history.checkpoint(commit.number).hash == commit.hash
            made = list(replay(project, desk.pixels))
            assert {m.commit.number for m in made} == set(desk.states)
            assert all(m.is_same for m in made)


def known_pins(pins: Any) -> dict[str, tuple[Region, list[int]]]:
    return {pin.name: (pin.region, pin.classes.ravel().tolist()) for pin in pins}


@pytest.mark.parametrize("is_network", [False, True], ids=["filters", "network"])
def test_every_state_comes_back_with_its_strokes_and_weights(
    fake_engine: object, qtbot: QtBot, model: MakeModel, monkeypatch: pytest.MonkeyPatch, is_network: bool
) -> None:
    monkeypatch.setattr(evaluation, "decide", lambda marks, pins: (True, "yes"))  # so that candidates wait for a word

    class Machine(Sessions):
        @staticmethod
        def make() -> Desk:
            return Desk(qtbot, model(2, 1, 2) if is_network else None, ASK if is_network else OFF)

    run_state_machine_as_test(Machine, settings=hypothesis.settings(max_examples=EXAMPLES, stateful_step_count=STEPS))


def test_strokes_of_another_branch_are_there_after_opening_again(fake_engine: object, qtbot: QtBot) -> None:
    desk = Desk(qtbot, None, OFF)
    for row, label in ((1, 1), (5, 2), (9, 1)):
        desk.paint(label, row, 4)
    desk.do(GoTo(1))
    desk.paint(2, 10, 12)
    desk.close()
    desk.reopen(desk.project)
    for number in (2, 4, 3, 1, 0, 4):
        desk.do(GoTo(number))
        assert desk.state.present == number
        assert np.array_equal(desk.labels, desk.states[number])
    assert set(desk.states) == {0, 1, 2, 3, 4}
    desk.close()


def test_what_came_back_from_another_branch_is_watched_like_all_else(fake_engine: object, qtbot: QtBot) -> None:
    desk = Desk(qtbot, None, OFF)
    desk.paint(1, 1, 4)
    desk.paint(2, 9, 12)
    desk.do(GoTo(1))
    desk.close()
    desk.reopen(desk.project)
    desk.do(GoTo(2))
    assert desk.controller.layers is not None
    assert desk.state.present == 2
    corrections = desk.controller.layers.corrections
    corrections.layer.data[9, 12] = 0
    corrections.layer.refresh()  # as napari does after its own undo
    desk.rest()
    assert desk.state.present == 3
    desk.close()


def test_a_project_with_a_link_inside_is_refused_in_words(fake_engine: object, qtbot: QtBot, tmp_path: Path) -> None:
    desk = Desk(qtbot, None, OFF)
    desk.close()
    outside = tmp_path / "outside"
    outside.write_text("mine")
    try:
        (desk.project / "start.safetensors").symlink_to(outside)
    except OSError as error:
        pytest.skip(f"this system makes no links here: {error}")
    viewer = ViewerModel()
    controller = TeachController(viewer)
    image = viewer.add_image(desk.pixels, name="cells")
    controller.open_project(TeachRequest(image, None, OFF, ("y", "x"), folder=desk.project))
    desk.wait(lambda: controller.state.error)
    assert "start.safetensors in it is a link" in controller.state.error
    controller.shutdown()
    desk.wait(lambda: not controller.is_busy)


def test_a_project_opens_whose_present_weights_are_damaged(fake_engine: object, qtbot: QtBot) -> None:
    desk = Desk(qtbot, None, OFF)
    for row, label in ((1, 1), (5, 2), (9, 1)):
        desk.paint(label, row, 4)
    strokes = desk.labels
    desk.close()
    file = desk.project / "commits" / "0003.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    desk.states.pop(3)
    desk.reopen(desk.project)
    assert any("The weights of commit 3 are missing or damaged" in said for said in desk.said)
    desk.do(GoTo(2))
    assert np.array_equal(desk.labels, desk.states[2])
    desk.close()
    with Project.open_read_only(desk.project) as project:
        assert np.array_equal(np.asarray(project.labels(3)), strokes)
