"""Replay of a teaching session from its journal, bit for bit."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from net_contract import one_thread  # noqa: F401
from project.project_with_strokes import IMAGE, SHAPE, Lesson
from teaching_examples import CLASSES, FAST, HEADS, RIM, halves, painted, run, tiny

from napari_fcn.errors import ProjectError
from napari_fcn.events import CandidateEvaluated, HeadFitted, StepDone
from napari_fcn.geometry import Region
from napari_fcn.learning import evaluation
from napari_fcn.learning.annotations import Samples
from napari_fcn.project import Project
from napari_fcn.project.replay import load_samples, replay, saved_session
from napari_fcn.settings import TeachSettings


def same(lesson: Lesson, *kinds: str) -> None:
    """Fail if a commit of the journal does not come out again, bit for bit."""
    expected = lesson.teaching.history.commits
    made = lesson.repeated()
    assert [(m.commit.number, m.hash) for m in made] == [(c.number, c.hash) for c in expected]
    assert all(m.is_same for m in made)
    assert set(kinds) <= {c.kind for c in expected}


def winning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluation, "decide", lambda marks, pins: (True, "yes"))


def is_step(event: Any) -> bool:
    return isinstance(event, StepDone)


def is_judged(event: Any) -> bool:
    return isinstance(event, CandidateEvaluated)


@pytest.mark.parametrize("kind", ["network", "filters"])
def test_heads_are_reproduced(tmp_path: Path, kind: str) -> None:
    lesson = Lesson(tmp_path / "a.fcn", tiny() if kind == "network" else None, HEADS)
    for turn in range(1, 4):
        lesson.teach(painted(SHAPE, turn))
    same(lesson, "start", "head")


def test_accepted_networks_are_reproduced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    winning(monkeypatch)
    lesson = Lesson(tmp_path / "a.fcn", tiny(), replace(FAST, attempts=2))
    for turn in range(1, 4):
        lesson.teach(painted(SHAPE, turn))
    same(lesson, "network")
    assert [c.kind for c in lesson.teaching.history.commits].count("network") > 2


def test_whole_sessions_with_real_decisions_are_replayed(tmp_path: Path) -> None:
    lesson = Lesson(tmp_path / "a.fcn", tiny(), replace(FAST, attempts=2, rate=1e-2))
    for turn in range(1, 5):
        lesson.teach(painted(SHAPE, turn))
    same(lesson, "head")


def test_a_session_with_all_kinds_of_actions_is_reproduced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Undo, branches, pins, names, classes, a candidate that is dropped and one that learns across turns."""
    winning(monkeypatch)
    lesson = Lesson(tmp_path / "a.fcn", tiny(), replace(FAST, network="ask"))
    teaching = lesson.teaching
    lesson.teach(painted(SHAPE, 1))
    lesson.teach(painted(SHAPE, 2), is_step)  # a stroke comes while the network learns
    lesson.teach(painted(SHAPE, 3))
    teaching.pin(Region((0, 0), (9, 9)), "corner")
    lesson.do(teaching.accept())
    lesson.do(teaching.rename(2, "good"))
    lesson.teach(painted(SHAPE, 4))
    teaching.reject()
    lesson.do(teaching.undo())
    lesson.do(teaching.undo())
    wrong = lesson.labels.copy()
    wrong[44, 40:50] = 2
    lesson.teach(wrong)  # a branch
    lesson.do(teaching.go_to(1))
    lesson.do(teaching.set_classes((CLASSES[1], RIM, CLASSES[0]), (1, None, 0)))
    three = lesson.labels.copy()
    three[25:28, 20:40] = 2
    lesson.teach(three)
    teaching.unpin("corner")
    teaching.configure(replace(teaching.settings, keep=0.2))
    three[35, 2:9] = 3
    lesson.teach(three)
    lesson.do(teaching.accept())
    same(lesson, "head", "network", "classes")


def test_a_candidate_dropped_by_new_settings_is_not_replayed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    winning(monkeypatch)
    lesson = Lesson(tmp_path / "a.fcn", tiny(), replace(FAST, network="automatic", attempts=1))
    lesson.teach(painted(SHAPE, 1))
    lesson.teach(painted(SHAPE, 2), is_step)
    lesson.teaching.configure(replace(lesson.teaching.settings, keep=0.3))
    lesson.teach(painted(SHAPE, 2))
    same(lesson, "network")


def test_a_candidate_dropped_by_new_classes_is_not_replayed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    winning(monkeypatch)
    lesson = Lesson(tmp_path / "a.fcn", tiny(), replace(FAST, network="automatic", attempts=1))
    lesson.teach(painted(SHAPE, 1))
    lesson.teach(painted(SHAPE, 2), is_step)
    lesson.do(lesson.teaching.set_classes((*CLASSES, RIM), (0, 1, None)))
    lesson.teach(painted(SHAPE, 2))
    lesson.teach(painted(SHAPE, 3))
    same(lesson, "network", "classes")


@pytest.mark.parametrize("at", [0, 1, 3, 5, 6])
def test_a_turn_interrupted_at_any_event_is_reproduced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    winning(monkeypatch)
    lesson = Lesson(tmp_path / "a.fcn", tiny(), replace(FAST, attempts=1))
    for turn in range(1, 4):
        seen = iter(range(100))
        lesson.teach(painted(SHAPE, turn), lambda event, seen=seen: next(seen) == at)
    lesson.teach(painted(SHAPE, 3))
    same(lesson, "head")


def test_a_fit_that_was_not_committed_is_not_committed_by_the_replay(tmp_path: Path) -> None:
    lesson = Lesson(tmp_path / "a.fcn", tiny(), HEADS)
    lesson.teach(painted(SHAPE, 1))
    for turn in (2, 3):
        lesson.teach(painted(SHAPE, turn), lambda event: isinstance(event, HeadFitted))
    assert len(lesson.teaching.history.commits) == 2
    lesson.reopen()  # as after a crash between an answer and its commit
    lesson.teach(painted(SHAPE, 4))
    same(lesson, "head")
    assert len(lesson.teaching.history.commits) == 3


def test_accepting_in_the_middle_of_a_turn_is_reproduced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    winning(monkeypatch)
    lesson = Lesson(tmp_path / "a.fcn", tiny(), replace(FAST, network="ask"))
    for turn in (1, 2):
        lesson.teach(painted(SHAPE, turn))
    lesson.teach(painted(SHAPE, 3), lambda event: True)
    lesson.do(lesson.teaching.accept())
    lesson.teach(painted(SHAPE, 4))
    same(lesson, "network")


def test_going_to_the_present_commit_is_reproduced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluation, "decide", lambda marks, pins: (False, "no"))
    lesson = Lesson(tmp_path / "a.fcn", tiny(), replace(FAST, attempts=3))
    lesson.teach(painted(SHAPE, 1))
    lesson.teach(painted(SHAPE, 2), is_judged)
    lesson.do(lesson.teaching.go_to(lesson.teaching.history.present.number))
    winning(monkeypatch)
    lesson.teach(painted(SHAPE, 3))
    made = lesson.repeated()
    assert all(m.is_same for m in made)


@pytest.mark.parametrize("asked", [HEADS, FAST], ids=["heads", "networks"])
def test_a_resumed_session_is_reproduced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: TeachSettings) -> None:
    winning(monkeypatch)
    lesson = Lesson(tmp_path / "a.fcn", tiny(), replace(asked, attempts=1))
    for turn in (1, 2):
        lesson.teach(painted(SHAPE, turn))
    lesson.teaching.pin(Region((0, 0), (9, 9)), "corner")
    lesson.reopen()
    assert [pin.name for pin in lesson.teaching.pins] == ["corner"]
    for turn in (3, 4):
        lesson.teach(painted(SHAPE, turn))
    lesson.do(lesson.teaching.undo())
    lesson.reopen()
    lesson.teach(painted(SHAPE, 5))
    same(lesson, "head")


def corner_first(lesson: Lesson) -> None:
    """Teach the first turn with a corner of the image on screen."""
    lesson.paint(painted(WIDE, 1))
    run(lesson.teaching.run_round(Samples.from_labels(lesson.labels), Region((0, 0), (20, 20)), lesson.project.strokes))


WIDE = (48, 400)  # several tiles


def test_a_resumed_session_keeps_the_reference_tile(tmp_path: Path) -> None:
    lesson = Lesson(tmp_path / "a.fcn", None, HEADS, halves(WIDE))
    assert lesson.project.reference() == ()
    corner_first(lesson)
    straight = lesson.teaching
    assert lesson.project.reference() == straight.model.reference == (10, 10)
    assert straight.model.reference_tile != straight.model.extractor.plan.at([0, 1])
    lesson.reopen()
    assert lesson.teaching.model.reference == (10, 10)
    lesson.teach(painted(WIDE, 2))
    same(lesson, "head")


def test_a_session_resumed_with_another_reference_tile_is_reproduced(tmp_path: Path) -> None:
    lesson = Lesson(tmp_path / "a.fcn", None, HEADS, halves(WIDE))
    corner_first(lesson)
    lesson.project.close()
    project = Project.open(lesson.project.path)
    saved = replace(saved_session(project), reference=(24, 200))  # as versions did that took the middle
    lesson.begin(project, saved)
    lesson.teach(painted(WIDE, 2))
    assert [e["reference"] for e in project.entries() if e["kind"] == "turn"] == [[10, 10], [24, 200]]
    same(lesson, "head")


@pytest.mark.parametrize("ndim", [1, 3])
def test_other_dimensions_are_reproduced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ndim: int) -> None:
    winning(monkeypatch)
    shape = {1: (300,), 3: (10, 16, 32)}[ndim]
    lesson = Lesson(
        tmp_path / "a.fcn", tiny(ndim), replace(FAST, attempts=1), halves(shape), scale=(2.0, 0.5, 0.5)[:ndim]
    )
    for turn in (1, 2):
        lesson.teach(painted(shape, turn))
    same(lesson, "network")


def test_the_replay_uses_the_recorded_number_of_threads_and_restores_it(tmp_path: Path) -> None:
    lesson = Lesson(tmp_path / "a.fcn", tiny(), HEADS)
    lesson.teach(painted(SHAPE, 1))
    torch.set_num_threads(2)
    lesson.project.close()
    with Project.open_read_only(lesson.project.path) as project:
        commits = replay(project, IMAGE)
        next(commits)
        assert torch.get_num_threads() == 1
        list(commits)
    assert torch.get_num_threads() == 2


def test_the_samples_of_a_commit_can_be_loaded(tmp_path: Path) -> None:
    lesson = Lesson(tmp_path / "a.fcn", tiny(), HEADS)
    for turn in (1, 2):
        lesson.teach(painted(SHAPE, turn))
    for number, turn in ((0, 0), (1, 1), (2, 2)):
        assert load_samples(lesson.project, number).equals(Samples.from_labels(painted(SHAPE, turn)))
    lesson.project.close()


def test_another_image_is_refused(tmp_path: Path) -> None:
    lesson = Lesson(tmp_path / "a.fcn", tiny(), HEADS)
    lesson.image = IMAGE + 1
    with pytest.raises(ProjectError, match=r"not the image of the project a\.fcn: its pixels have other values"):
        lesson.repeated()


def test_a_different_commit_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lesson = Lesson(tmp_path / "a.fcn", tiny(), HEADS)
    for turn in (1, 2):
        lesson.teach(painted(SHAPE, turn))
    monkeypatch.setattr("napari_fcn.learning.sample_weights.RIDGE", 0.03)  # another version, that learns otherwise
    assert [m.is_same for m in lesson.repeated()] == [True, False, False]


def test_a_replay_with_a_missing_entry_is_an_error(tmp_path: Path) -> None:
    lesson = Lesson(tmp_path / "a.fcn", tiny(), HEADS)
    for turn in (1, 2):
        lesson.teach(painted(SHAPE, turn))
    plain = lesson.project.entries
    lesson.project.entries = lambda: (e for e in plain() if (e["kind"], e.get("turn")) != ("turn", 1))  # type: ignore[method-assign]
    with pytest.raises(ProjectError, match=r"diverged at commit 1 \(it arrived at 0\)"):
        list(replay(lesson.project, IMAGE))
    lesson.project.entries = lambda: (e for e in plain() if e["kind"] != "open")  # type: ignore[method-assign]
    with pytest.raises(ProjectError, match="lacks the start of the session"):
        list(replay(lesson.project, IMAGE))
    lesson.project.close()


def test_a_pin_is_mapped_when_classes_change(tmp_path: Path) -> None:
    """Also back to a state in which they had another name, or were not there, and forward again."""
    lesson = Lesson(tmp_path / "a.fcn", tiny(), HEADS)
    teaching = lesson.teaching
    lesson.teach(painted(SHAPE, 1))
    lesson.do(teaching.set_classes((CLASSES[0], RIM), (0, 1)))
    lesson.do(teaching.set_classes((RIM, *CLASSES), (1, 0, None)))
    teaching.pin(Region((0, 0), (9, 60)), "all")
    made = teaching.pins[0].classes.copy()
    assert set(np.unique(made)) == {0, 1}
    for number, expected in ((1, 1 - made), (2, 1 - made), (3, made), (0, 1 - made), (3, made)):
        lesson.do(lesson.teaching.go_to(number))
        assert np.array_equal(lesson.teaching.pins[0].classes, expected)
        lesson.reopen()
        assert np.array_equal(lesson.teaching.pins[0].classes, expected)
    lesson.project.close()


# States whose weights are damaged


def harm(lesson: Lesson, number: int, how: str) -> None:
    """Close the project and damage the weights of a state."""
    lesson.project.close()
    file = lesson.project.path / "commits" / f"{number:04d}.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.unlink() if how == "missing" else file.write_bytes(content)


@pytest.mark.parametrize("how", ["flipped", "missing"])
@pytest.mark.parametrize("kind", ["network", "filters"])
def test_the_weights_of_the_first_commit_are_rebuilt(tmp_path: Path, how: str, kind: str) -> None:
    lesson = Lesson(tmp_path / "a.fcn", tiny() if kind == "network" else None, HEADS)
    for turn in (1, 2):
        lesson.teach(painted(SHAPE, turn))
    before = lesson.teaching.history.event()
    harm(lesson, 0, how)
    lesson.reopen()
    assert lesson.teaching.history.event() == before
    assert lesson.project.notes == ()
    lesson.teach(painted(SHAPE, 3))
    same(lesson, "start", "head")


@pytest.mark.parametrize("how", ["flipped", "missing"])
def test_a_session_resumes_without_a_damaged_present_commit(tmp_path: Path, how: str) -> None:
    lesson = Lesson(tmp_path / "a.fcn", tiny(), HEADS)
    for turn in (1, 2, 3):
        lesson.teach(painted(SHAPE, turn))
    harm(lesson, 3, how)
    lesson.reopen()
    assert "The weights of commit 3 are missing or damaged" in lesson.project.notes[0]
    assert lesson.teaching.history.present.number == 2
    assert np.array_equal(lesson.labels, painted(SHAPE, 3))
    lesson.teach(painted(SHAPE, 4))
    made = lesson.repeated()
    assert [m.commit.number for m in made] == [0, 1, 2, 3, 4]
    assert [m.commit.parent for m in made][-1] == 2
    assert all(m.is_same for m in made)


def test_a_session_restarts_if_all_weights_are_lost(tmp_path: Path) -> None:
    lesson = Lesson(tmp_path / "a.fcn", tiny(), HEADS)
    lesson.teach(painted(SHAPE, 1))
    lesson.project.close()
    for file in (lesson.project.path / "commits").iterdir():
        file.unlink()
    text = (lesson.project.path / "journal.jsonl").read_text().splitlines(keepends=True)
    (lesson.project.path / "journal.jsonl").write_text("".join(line for line in text if '"number":0' not in line))
    lesson.reopen()
    assert [commit.kind for commit in lesson.teaching.history.commits] == ["start"]
    assert np.array_equal(lesson.labels, painted(SHAPE, 1))
    lesson.teach(painted(SHAPE, 2))
    assert lesson.teaching.history.present.kind == "head"
    lesson.project.close()


@pytest.mark.parametrize("at", ["classes", "commit"])
def test_an_interrupted_change_of_classes_is_undone(tmp_path: Path, at: str) -> None:
    lesson = Lesson(tmp_path / "a.fcn", tiny(), HEADS)
    lesson.teach(painted(SHAPE, 1))
    lesson.do(lesson.teaching.set_classes((CLASSES[1], RIM, CLASSES[0]), (1, None, 0)))
    lesson.project.close()
    journal = lesson.project.path / "journal.jsonl"
    text = journal.read_text().splitlines(keepends=True)
    assert [f'"kind":"{kind}"' in line for kind, line in zip(["classes", "commit"], text[-2:], strict=True)]
    journal.write_text("".join(text[: -1 if at == "classes" else len(text)]))
    lesson.reopen()
    is_done = at == "commit"
    assert len(lesson.teaching.classes) == (3 if is_done else 2)
    assert [label.name for label in lesson.project.classes()] == [label.name for label in lesson.teaching.classes]
    assert lesson.labels.max() == (3 if is_done else 2)
    labels = lesson.labels.copy()
    labels[40:44, 9] = 1
    lesson.teach(labels)
    same(lesson, "head")


def test_an_entry_that_cannot_be_repeated_is_named(tmp_path: Path) -> None:
    lesson = Lesson(tmp_path / "a.fcn", tiny(), HEADS)
    lesson.teach(painted(SHAPE, 1))
    plain = lesson.project.entries
    for odd in ({"kind": "present", "number": 7}, {"kind": "turn", "turn": 1}, {"kind": "rename", "number": 9}):
        lesson.project.entries = lambda odd=odd: [*plain(), {"n": 99, **odd}]  # type: ignore[method-assign]
        with pytest.raises(ProjectError, match=rf"Entry 99 \({odd['kind']}\) of the journal .* cannot be repeated"):
            list(replay(lesson.project, IMAGE))
    lesson.project.close()
