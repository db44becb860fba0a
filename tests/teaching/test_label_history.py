"""The corrections of each commit are restored exactly, with little memory."""

import tracemalloc
from functools import partial
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from net_contract import one_thread  # noqa: F401
from project.project_with_strokes import Lesson
from teaching_examples import HEADS, halves, painted, run, samples_of, tiny, whole

from napari_fcn.events import Commit
from napari_fcn.learning.annotations import Samples
from napari_fcn.teaching import Teaching, teaching
from napari_fcn.teaching.label_history import LabelHistory

SHAPE = (48, 64)
ORDER = (2, 5, 0, 4, 1, 6, 3)  # of visits to the commits


def commit(number: int, turn: int) -> Commit:
    return Commit(number, None, "head", turn, turn, "")


def are_same(first: Samples, second: Samples) -> bool:
    """Whether samples are equal, their turns included."""
    return first.equals(second) and np.array_equal(first.turn, second.turn)


def test_recent_samples_are_returned_as_they_were_recorded() -> None:
    history, samples = LabelHistory(SHAPE), samples_of(SHAPE, 3)
    history.record(commit(4, 3), samples)
    assert history.samples_at(commit(4, 3)) is samples


def test_samples_of_an_earlier_session_are_loaded_once_and_have_one_turn() -> None:
    loaded: list[int] = []

    def load(number: int) -> Samples:
        loaded.append(number)
        return Samples.from_labels(painted(SHAPE, 2))

    history = LabelHistory(SHAPE, load)
    for _ in range(2):
        samples = history.samples_at(commit(7, 5))
        assert samples.equals(samples_of(SHAPE, 2))
        assert set(samples.turn) == {5}
    assert loaded == [7]


def test_there_are_no_samples_before_the_first_turn() -> None:
    def load(number: int) -> Samples:
        raise AssertionError(number)

    for history in (LabelHistory(SHAPE), LabelHistory(SHAPE, load)):
        assert len(history.samples_at(commit(0, 0))) == 0


@st.composite
def sessions(draw: st.DrawFn) -> list[tuple[int, Samples]]:
    """Draw commits of a session on six pixels: for each, the commit in use before it, and its samples."""
    commits = [(0, Samples.empty((6,)))]
    for number in range(1, draw(st.integers(1, 8))):
        values = draw(st.lists(st.sampled_from([0, 1, 2, 255]), min_size=6, max_size=6))
        base = draw(st.integers(0, number - 1))
        samples = Samples.from_labels(np.array(values, np.uint8)).with_turns(commits[base][1], number)
        commits.append((base, samples))
    return commits


@given(session=sessions(), max_bytes=st.sampled_from([0, 60, 10**6]), data=st.data())
def test_samples_are_restored_exactly_with_any_memory(
    session: list[tuple[int, Samples]], max_bytes: int, data: st.DataObject
) -> None:
    history = LabelHistory((6,), None, max_bytes)
    history.samples_at(commit(0, 0))
    for number, (base, samples) in enumerate(session[1:], start=1):
        assert are_same(history.samples_at(commit(base, base)), session[base][1])
        history.record(commit(number, number), samples)
    for number in data.draw(st.lists(st.integers(0, len(session) - 1), max_size=10)):
        assert are_same(history.samples_at(commit(number, number)), session[number][1])


def test_memory_stays_bounded_over_many_commits() -> None:
    """Complete samples of these 1000 commits, with 20,000 pixels each, would take 260 MB."""
    size, max_bytes = 20_000, 2**20
    rng = np.random.default_rng(0)
    labels = rng.integers(1, 3, size).astype(np.uint8)
    history, samples = LabelHistory((size,), None, max_bytes), Samples.empty((size,))
    expected: dict[int, np.ndarray[Any, Any]] = {}
    tracemalloc.start()
    for number in range(1, 1001):
        start = int(rng.integers(0, size - 50))
        labels[start : start + 50] = rng.integers(0, 3)
        samples = Samples.from_labels(labels).with_turns(samples, number)
        history.record(commit(number, number), samples)
        if number % 250 == 1:
            expected[number] = labels.copy()
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert history.nbytes < max_bytes + 300_000
    assert taken < 4 * 2**20
    for number, values in expected.items():
        assert history.samples_at(commit(number, number)).equals(Samples.from_labels(values))
    assert history.nbytes < max_bytes + 300_000


@pytest.fixture
def no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cache no complete samples."""
    monkeypatch.setattr(teaching, "LabelHistory", partial(LabelHistory, max_bytes=0))


def visit(engine: Teaching, expected: dict[int, tuple[Samples, str]], consume: Any) -> None:
    """Go to all commits, and check samples and weights."""
    assert set(ORDER) == set(expected)
    for number in ORDER:
        consume(engine.go_to(number))
        samples, model = expected[number]
        assert are_same(engine.samples, samples)
        assert engine._current.checkpoint.hash == model


@pytest.mark.usefixtures("no_memory")
def test_any_commit_is_restored_without_a_project() -> None:
    engine = Teaching(halves(SHAPE), tiny(), settings=HEADS)
    expected = {0: (engine.samples, engine._current.checkpoint.hash)}
    for turn in range(1, 7):
        if turn == 5:
            run(engine.go_to(2))  # another branch
        run(engine.run_round(Samples.from_labels(painted(SHAPE, turn)), whole(SHAPE), turn))
        expected[engine.history.present.number] = engine.samples, engine._current.checkpoint.hash
    visit(engine, expected, run)


@pytest.mark.usefixtures("no_memory")
def test_any_commit_is_restored_with_a_project_and_after_it_is_resumed(tmp_path: Path) -> None:
    lesson = Lesson(tmp_path / "a.fcn", tiny(), HEADS)
    expected = {0: (lesson.teaching.samples, lesson.teaching._current.checkpoint.hash)}
    for turn in range(1, 7):
        if turn == 4:
            lesson.reopen()  # from now on, samples of earlier commits are read from the journal
            for number, (samples, model) in expected.items():
                turn_of_commit = next(c.turn for c in lesson.teaching.history.commits if c.number == number)
                expected[number] = samples.with_turns(Samples.empty(SHAPE), turn_of_commit), model
        lesson.teach(painted(SHAPE, turn))
        expected[lesson.teaching.history.present.number] = (
            lesson.teaching.samples,
            lesson.teaching._current.checkpoint.hash,
        )
    visit(lesson.teaching, expected, lesson.do)
    assert all(commit_repeated.is_same for commit_repeated in lesson.repeated())
