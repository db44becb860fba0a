"""Going to any commit in any order, before and after a project is reopened or its program is killed."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

import hypothesis
import hypothesis.strategies as st
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from net_contract import one_thread  # noqa: F401
from project.project_with_strokes import Lesson
from teaching_examples import FAST, HEADS, halves, run, tiny

from napari_fcn.events import HeadFitted, HistoryChanged
from napari_fcn.geometry import Region
from napari_fcn.learning import evaluation
from napari_fcn.learning.annotations import Samples
from napari_fcn.models.card import ClassLabel
from napari_fcn.project import Project
from napari_fcn.project.replay import replay, saved_session

SHAPE = (8, 12)
IMAGE = halves(SHAPE)
NAMES = ("rim", "gap", "scar", "edge", "vein")
ASK = replace(FAST, network="ask", judge_every=1, attempts=1)
EXAMPLES, STEPS = (16, 10) if hypothesis.settings.default.max_examples < 100 else (600, 25)

Labels = npt.NDArray[np.uint8]
Pins = dict[str, tuple[Region, list[int]]]


@dataclass(frozen=True)
class Mark:
    """What is known after an operation, and how many entries the journal had."""

    entries: int
    labels: Labels
    pins: Pins
    states: frozenset[int]


class Sessions(RuleBasedStateMachine):
    """Teaches, goes to states and comes back, with sessions that end and begin in between."""

    folders = count()

    def __init__(self) -> None:
        super().__init__()
        self.lesson = self.make()
        self.strokes: dict[int, Labels] = {0: self.lesson.labels.copy()}  # after each of them
        self.learnt = self.lesson.labels.copy()
        self.states: dict[int, Labels] = {}
        self.marks: list[Mark] = []
        self._done()

    @staticmethod
    def make() -> Lesson:
        """Return where to begin."""
        raise NotImplementedError

    # What is expected

    def _done(self) -> None:
        """Note the states that an operation has made."""
        lesson = self.lesson
        for commit in lesson.teaching.history.commits:
            of_head = commit.kind == "head"
            self.states.setdefault(commit.number, self.strokes[commit.strokes] if of_head else self.learnt)
        entries = sum(1 for _ in lesson.project.entries())
        self.marks.append(Mark(entries, lesson.labels.copy(), self._pins(), frozenset(self.states)))

    def _pins(self) -> Pins:
        return {pin.name: (pin.region, pin.classes.ravel().tolist()) for pin in self.lesson.teaching.pins}

    # What is done

    def _learn(self, until: Callable[[Any], bool]) -> None:
        lesson = self.lesson
        events = lesson.teaching.run_round(
            Samples.from_labels(lesson.labels), Region.whole(SHAPE), lesson.project.strokes
        )
        for event in events:
            self.learnt = lesson.labels.copy()
            self._record(event)
            if until(event):
                break
        events.close()

    def _record(self, event: Any) -> None:
        if isinstance(event, HistoryChanged):
            self.lesson.project.record_history(event)

    @rule(
        label=st.integers(0, 3),
        row=st.integers(0, SHAPE[0] - 1),
        column=st.integers(0, SHAPE[1] - 3),
        how=st.sampled_from(["whole", "whole", "answered", "not"]),
    )
    def paint(self, label: int, row: int, column: int, how: str) -> None:
        lesson = self.lesson
        labels = lesson.labels.copy()
        labels[row, column : column + 3] = min(label, len(lesson.teaching.classes))
        lesson.paint(labels)
        self.strokes[lesson.project.strokes] = lesson.labels.copy()
        if how != "not":
            self._learn(lambda event: how == "answered" and isinstance(event, HeadFitted))
        self._done()

    def _restore(self, move: Callable[[], Any], number: int | None) -> None:
        """Go to a state as the dock does: what was painted and not learnt from becomes a state of its own first."""
        lesson = self.lesson
        if not Samples.from_labels(lesson.labels).equals(lesson.teaching.samples):
            self._learn(lambda event: isinstance(event, HeadFitted))
        told = run(move())
        for event in told:
            self._record(event)
        if told:
            lesson.labels = dense(lesson.teaching.samples)
        self._done()
        present = lesson.teaching.history.present.number
        assert number in (None, present)
        self.learnt = lesson.labels.copy()
        assert np.array_equal(lesson.labels, self.states[present])

    @rule()
    def undo(self) -> None:
        self._restore(self.lesson.teaching.undo, None)

    @rule()
    def redo(self) -> None:
        self._restore(self.lesson.teaching.redo, None)

    @rule(data=st.data())
    def go_to(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from(sorted(self.states)))
        self._restore(lambda: self.lesson.teaching.go_to(number), number)

    def _reclassify(self, classes: tuple[ClassLabel, ...], kept: tuple[int | None, ...]) -> None:
        lesson, table = self.lesson, np.zeros(256, np.uint8)
        for new, old in enumerate(kept):
            if old is not None:
                table[old + 1] = new + 1
        told = run(lesson.teaching.set_classes(classes, kept))
        self.learnt, lesson.labels = table[self.learnt], table[lesson.labels]
        self.strokes[lesson.project.strokes] = lesson.labels.copy()
        for event in told:
            self._record(event)
        self._done()

    @precondition(lambda self: len(self.lesson.teaching.classes) < 4)
    @rule(data=st.data())
    def add_class(self, data: st.DataObject) -> None:
        classes = self.lesson.teaching.classes
        name = data.draw(st.sampled_from([n for n in NAMES if n not in [label.name for label in classes]]))
        self._reclassify((*classes, ClassLabel(name, "#56b4e9")), (*range(len(classes)), None))

    @precondition(lambda self: len(self.lesson.teaching.classes) > 2)
    @rule(data=st.data())
    def remove_class(self, data: st.DataObject) -> None:
        classes = self.lesson.teaching.classes
        gone = data.draw(st.integers(0, len(classes) - 1))
        kept = tuple(k for k in range(len(classes)) if k != gone)
        self._reclassify(tuple(classes[k] for k in kept), kept)

    @rule(data=st.data())
    def rename_class(self, data: st.DataObject) -> None:
        classes = list(self.lesson.teaching.classes)
        at = data.draw(st.integers(0, len(classes) - 1))
        name = data.draw(st.sampled_from([n for n in NAMES if n not in [label.name for label in classes]]))
        classes[at] = replace(classes[at], name=name)
        self._reclassify(tuple(classes), tuple(range(len(classes))))

    @rule(name=st.sampled_from(["good", ""]))
    def name_a_state(self, name: str) -> None:
        for event in run(self.lesson.teaching.rename(self.lesson.teaching.history.present.number, name)):
            self._record(event)
        self._done()

    @rule(name=st.sampled_from("ab"), row=st.integers(0, SHAPE[0] - 2))
    def pin(self, name: str, row: int) -> None:
        self.lesson.teaching.pin(Region((row, 2), (row + 2, 10)), name)
        self._done()

    @rule(name=st.sampled_from("ab"))
    def unpin(self, name: str) -> None:
        self.lesson.teaching.unpin(name)
        self._done()

    @rule(keep=st.sampled_from([0.2, 0.8]))
    def configure(self, keep: float) -> None:
        self.lesson.teaching.configure(replace(self.lesson.teaching.settings, keep=keep))
        self._done()

    @rule(is_taken=st.booleans())
    def decide(self, is_taken: bool) -> None:
        teaching = self.lesson.teaching
        if not is_taken:
            teaching.reject()
        for event in run(teaching.accept()) if is_taken else ():
            self._record(event)
        self._done()

    # Sessions end

    @rule()
    def close_and_open(self) -> None:
        before = self.lesson.teaching.history.event()
        self.lesson.project.close()
        self._open(self.lesson.project.path)
        assert self.lesson.teaching.history.event() == before
        assert np.array_equal(self.lesson.labels, self.marks[-1].labels)
        assert self._pins() == self.marks[-1].pins
        self._done()

    @rule(data=st.data())
    def kill_and_open(self, data: st.DataObject) -> None:
        """Open a copy of the folder whose journal ends anywhere in what was written."""
        folder = self.lesson.project.path
        copy = folder.with_name(f"{next(self.folders)}.fcn")
        shutil.copytree(folder, copy, ignore=shutil.ignore_patterns("lock"))
        lines = (copy / "journal.jsonl").read_bytes().splitlines(keepends=True)
        after = data.draw(st.integers(len(self.marks) // 2, len(self.marks) - 1)) if len(self.marks) > 1 else 0
        first = self.marks[max(0, after - 1)].entries
        at = data.draw(st.integers(first, self.marks[after].entries))
        torn = data.draw(st.integers(0, len(lines[at]) - 1)) if at < len(lines) else 0
        (copy / "journal.jsonl").write_bytes(b"".join(lines[:at]) + (lines[at][:torn] if at < len(lines) else b""))
        self.lesson.project.close()
        self._open(copy)
        self._forget(after, at, [json.loads(line) for line in lines[:at]])

    def _forget(self, after: int, at: int, entries: list[dict[str, Any]]) -> None:
        before, then = self.marks[max(0, after - 1)], self.marks[after]
        if at == before.entries:
            then = before
        elif at == then.entries:
            before = then
        labels = self.lesson.labels
        assert np.array_equal(labels, before.labels) or np.array_equal(labels, then.labels)
        assert self._pins() in (before.pins, then.pins)
        del self.marks[after if at < self.marks[after].entries else after + 1 :]
        there = {entry["commit"]["number"] for entry in entries if entry["kind"] == "commit"}
        self.states = {number: labels for number, labels in self.states.items() if number in there}
        self._done()

    def _open(self, folder: Path) -> None:
        lesson = self.lesson
        project = Project.open(folder)
        lesson.labels = np.asarray(project.labels())
        lesson.begin(project, saved_session(project))
        self.learnt = dense(lesson.teaching.samples)
        self.strokes[project.strokes] = lesson.labels.copy()
        assert [k.name for k in project.classes()] == [k.name for k in lesson.teaching.classes]

    @invariant()
    def the_weights_are_those_of_the_present_state(self) -> None:
        teaching = self.lesson.teaching
        if not teaching._current.is_uncommitted:
            assert teaching._current.checkpoint.hash == teaching.history.present.hash

    @invariant()
    def the_project_holds_what_is_painted(self) -> None:
        assert np.array_equal(np.asarray(self.lesson.project.labels()), self.lesson.labels)
        pins = {name: (region, k.ravel().tolist()) for name, region, k in self.lesson.project.pins()}
        assert pins == self._pins()

    def teardown(self) -> None:
        self.lesson.project.close()
        with Project.open(self.lesson.project.path) as project:
            assert project.notes == ()
            history = project.history()
            assert {commit.number for commit in history.commits} == set(self.states)
            for commit in history.commits:
                assert np.array_equal(np.asarray(project.labels_at(commit.number)), self.states[commit.number])
                assert history.checkpoint(commit.number).hash == commit.hash
            made = list(replay(project, IMAGE))
            assert {m.commit.number for m in made} == set(self.states)
            assert all(m.is_same for m in made)


def dense(samples: Samples) -> Labels:
    """Return samples as an array of labels."""
    labels = np.zeros(samples.shape, np.uint8)
    labels.ravel()[samples.pixel_index] = samples.class_index + np.uint8(1)
    return labels


@pytest.mark.parametrize("is_network", [False, True], ids=["filters", "network"])
def test_every_commit_is_restored_with_its_strokes_and_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_network: bool
) -> None:
    monkeypatch.setattr(evaluation, "decide", lambda marks, pins: (True, "yes"))

    class Machine(Sessions):
        @staticmethod
        def make() -> Lesson:
            folder = tmp_path / f"start{next(Sessions.folders)}.fcn"
            return Lesson(folder, tiny() if is_network else None, ASK if is_network else HEADS, IMAGE)

    examples = EXAMPLES // 2 if is_network else EXAMPLES
    run_state_machine_as_test(Machine, settings=hypothesis.settings(max_examples=examples, stateful_step_count=STEPS))
