"""Any commit can be restored with its strokes and weights, in any order, before and after its project is reopened."""

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


class Sandbox:
    """A controller on a small image, and the expected labels of each commit."""

    def __init__(self, qtbot: QtBot, model: Path | None, settings: TeachSettings) -> None:
        self.qtbot = qtbot
        self.pixels = np.random.default_rng(0).normal(0, 0.3, SHAPE).astype(np.float32)
        self.pixels[:, SHAPE[1] // 2 :] += 2
        self.states: dict[int, Labels] = {}
        self.pins: dict[str, Region] = {}
        self.open(lambda image: TeachRequest(image, model, settings, ("y", "x")))

    def open(self, make_request: Any) -> None:
        """Open a session in a new viewer, so that no earlier layer is left."""
        viewer = ViewerModel()
        image = viewer.add_image(self.pixels, name="cells")
        self.controller = TeachController(viewer)
        self.controller.connect()
        self.messages: list[str] = []
        self.controller.changed.connect(lambda state: self.messages.append(state.message))
        request = make_request(image)
        (self.controller.open_project if request.folder else self.controller.start)(request)
        self.wait(lambda: self.state.phase != "opening")
        assert self.state.is_open, self.state.error
        assert self.state.project, self.state.warning
        self.project = Path(self.state.project)
        self.rest()

    def close(self) -> None:
        self.closed_labels, self.closed_pins = self.labels, pin_values(self.engine.pins)
        self.controller.shutdown()
        self.wait(lambda: not self.controller.is_busy)

    def reopen(self, folder: Path) -> None:
        self.open(lambda image: TeachRequest(image, None, OFF, ("y", "x"), folder=folder))
        assert np.array_equal(self.labels, self.closed_labels)
        assert pin_values(self.engine.pins) == self.closed_pins

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
        """Wait until nothing runs; note the labels of new commits."""
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
    """Paints, visits commits, and reopens the project in between."""

    def __init__(self) -> None:
        super().__init__()
        self.sandbox = self.make()

    @staticmethod
    def make() -> Sandbox:
        """Return a new session."""
        raise NotImplementedError

    @rule(label=st.integers(0, 3), row=st.integers(0, SHAPE[0] - 1), column=st.integers(0, SHAPE[1] - 1))
    def paint(self, label: int, row: int, column: int) -> None:
        self.sandbox.paint(label, row, column)

    @rule()
    def undo(self) -> None:
        parent = {c.number: c.parent for c in self.sandbox.state.commits}[self.sandbox.state.present]
        self._restores(Undo(), parent)

    @rule()
    def redo(self) -> None:
        self._restores(Redo(), None)

    @rule(data=st.data())
    def go_to(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from(sorted(self.sandbox.states)))
        self._restores(GoTo(number), number)

    def _restores(self, command: Any, number: int | None) -> None:
        known = set(self.sandbox.states)
        self.sandbox.do(command)
        assert set(self.sandbox.states) == known  # nothing was learnt without a stroke
        if number is not None:
            assert self.sandbox.state.present == number

    @precondition(lambda self: len(self.sandbox.state.classes) < 4)
    @rule()
    def add_class(self) -> None:
        self.sandbox.do(add_class(self.sandbox.state.classes))

    @precondition(lambda self: len(self.sandbox.state.classes) > 2)
    @rule(index=st.integers(0, 3))
    def remove_class(self, index: int) -> None:
        self.sandbox.do(remove_class(self.sandbox.state.classes, index % len(self.sandbox.state.classes)))

    @rule(index=st.integers(0, 3), name=st.sampled_from(["rim", "gap"]))
    def rename_class(self, index: int, name: str) -> None:
        if name not in [label.name for label in self.sandbox.state.classes]:
            self.sandbox.do(rename_class(self.sandbox.state.classes, index % len(self.sandbox.state.classes), name))

    @rule()
    def name_a_state(self) -> None:
        self.sandbox.do(RenameCommit(self.sandbox.state.present, "good"))

    @rule(name=st.sampled_from("ab"), row=st.integers(0, SHAPE[0] - 2))
    def pin(self, name: str, row: int) -> None:
        self.sandbox.do(AddPin(Region((row, 2), (row + 2, 14)), name))

    @rule(name=st.sampled_from("ab"))
    def unpin(self, name: str) -> None:
        self.sandbox.do(RemovePin(name))

    @rule(command=st.sampled_from([Accept(), Reject()]))
    def decide(self, command: Any) -> None:
        if self.sandbox.state.can_decide:
            self.sandbox.do(command)

    @rule()
    def close_and_open(self) -> None:
        self.sandbox.close()
        self.sandbox.reopen(self.sandbox.project)

    @rule()
    def kill_and_open(self) -> None:
        sandbox = self.sandbox
        copy = sandbox.project.with_name(f"copy{next(COPIES)}.fcn")
        shutil.copytree(sandbox.project, copy, ignore=shutil.ignore_patterns("lock"))
        sandbox.close()
        with (copy / "journal.jsonl").open("ab") as journal:
            journal.write(b'{"n":')
        sandbox.reopen(copy)

    @invariant()
    def labels_and_weights_are_those_of_the_present_commit(self) -> None:
        sandbox = self.sandbox
        assert np.array_equal(sandbox.labels, sandbox.states[sandbox.state.present])
        expected = {c.number: c.hash for c in sandbox.state.commits}[sandbox.state.present]
        assert sandbox.engine._current.checkpoint.hash == expected

    def teardown(self) -> None:
        sandbox = self.sandbox
        sandbox.close()
        with Project.open(sandbox.project) as project:
            history = project.history()
            assert {c.number for c in history.commits} == set(sandbox.states)
            for commit in history.commits:
                assert np.array_equal(np.asarray(project.labels_at(commit.number)), sandbox.states[commit.number])
                assert history.checkpoint(commit.number).hash == commit.hash
            made = list(replay(project, sandbox.pixels))
            assert {m.commit.number for m in made} == set(sandbox.states)
            assert all(m.is_same for m in made)


def pin_values(pins: Any) -> dict[str, tuple[Region, list[int]]]:
    return {pin.name: (pin.region, pin.classes.ravel().tolist()) for pin in pins}


@pytest.mark.parametrize("is_network", [False, True], ids=["filters", "network"])
def test_every_commit_is_restored_with_its_strokes_and_weights(
    fake_engine: object, qtbot: QtBot, model: MakeModel, monkeypatch: pytest.MonkeyPatch, is_network: bool
) -> None:
    monkeypatch.setattr(evaluation, "decide", lambda marks, pins: (True, "yes"))  # so that candidates wait for the user

    class Machine(Sessions):
        @staticmethod
        def make() -> Sandbox:
            return Sandbox(qtbot, model(2, 1, 2) if is_network else None, ASK if is_network else OFF)

    run_state_machine_as_test(Machine, settings=hypothesis.settings(max_examples=EXAMPLES, stateful_step_count=STEPS))


def test_strokes_of_another_branch_are_restored_after_reopening(fake_engine: object, qtbot: QtBot) -> None:
    sandbox = Sandbox(qtbot, None, OFF)
    for row, label in ((1, 1), (5, 2), (9, 1)):
        sandbox.paint(label, row, 4)
    sandbox.do(GoTo(1))
    sandbox.paint(2, 10, 12)
    sandbox.close()
    sandbox.reopen(sandbox.project)
    for number in (2, 4, 3, 1, 0, 4):
        sandbox.do(GoTo(number))
        assert sandbox.state.present == number
        assert np.array_equal(sandbox.labels, sandbox.states[number])
    assert set(sandbox.states) == {0, 1, 2, 3, 4}
    sandbox.close()


def test_restored_strokes_of_another_branch_are_watched(fake_engine: object, qtbot: QtBot) -> None:
    sandbox = Sandbox(qtbot, None, OFF)
    sandbox.paint(1, 1, 4)
    sandbox.paint(2, 9, 12)
    sandbox.do(GoTo(1))
    sandbox.close()
    sandbox.reopen(sandbox.project)
    sandbox.do(GoTo(2))
    assert sandbox.controller.layers is not None
    assert sandbox.state.present == 2
    corrections = sandbox.controller.layers.corrections
    corrections.layer.data[9, 12] = 0
    corrections.layer.refresh()  # as napari does after its own undo
    sandbox.rest()
    assert sandbox.state.present == 3
    sandbox.close()


def test_a_project_with_a_link_inside_is_an_error(fake_engine: object, qtbot: QtBot, tmp_path: Path) -> None:
    sandbox = Sandbox(qtbot, None, OFF)
    sandbox.close()
    outside = tmp_path / "outside"
    outside.write_text("mine")
    try:
        (sandbox.project / "start.safetensors").symlink_to(outside)
    except OSError as error:
        pytest.skip(f"this system makes no links here: {error}")
    viewer = ViewerModel()
    controller = TeachController(viewer)
    image = viewer.add_image(sandbox.pixels, name="cells")
    controller.open_project(TeachRequest(image, None, OFF, ("y", "x"), folder=sandbox.project))
    sandbox.wait(lambda: controller.state.error)
    assert "start.safetensors in it is a link" in controller.state.error
    controller.shutdown()
    sandbox.wait(lambda: not controller.is_busy)


def test_a_project_with_damaged_weights_of_the_present_commit_opens(fake_engine: object, qtbot: QtBot) -> None:
    sandbox = Sandbox(qtbot, None, OFF)
    for row, label in ((1, 1), (5, 2), (9, 1)):
        sandbox.paint(label, row, 4)
    strokes = sandbox.labels
    sandbox.close()
    file = sandbox.project / "commits" / "0003.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    sandbox.states.pop(3)
    sandbox.reopen(sandbox.project)
    assert any("The weights of commit 3 are missing or damaged" in message for message in sandbox.messages)
    sandbox.do(GoTo(2))
    assert np.array_equal(sandbox.labels, sandbox.states[2])
    sandbox.close()
    with Project.open_read_only(sandbox.project) as project:
        assert np.array_equal(np.asarray(project.labels(3)), strokes)
