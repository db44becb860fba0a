"""The messages of the teaching worker, and the state that follows from them."""

from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from napari_fcn.events import (
    CandidateEvaluated,
    Commit,
    HeadFitted,
    Heartbeat,
    HistoryChanged,
    RegionSuggested,
    StepDone,
    StrokesScored,
    TileDone,
)
from napari_fcn.geometry import Region
from napari_fcn.gui._controllers.teach.messages import (
    CommandFailed,
    PaintedClass,
    SessionMessage,
    SessionOpened,
    StateRestored,
)
from napari_fcn.gui._controllers.teach.state import SHOWN_STEPS, TeachState, apply
from napari_fcn.gui._controllers.teach.worker import LearnRequest, TeachWorker
from napari_fcn.gui._layers import Canvas, ColourTile, Stroke
from napari_fcn.models.card import ClassLabel
from napari_fcn.settings import TeachSettings

REGION = Region((0, 0), (4, 4))
CLASSES = (PaintedClass("background", "#000000"), PaintedClass("object", "#e69f00"))
REQUEST = LearnRequest(REGION, TeachSettings(network="off"))
FITTED = HeadFitted(1, (3, 0), 0.01)


def message(*payloads: Any, strokes: int = 0) -> SessionMessage:
    return SessionMessage(None, strokes, payloads)  # type: ignore[arg-type]


def tile(done: int, total: int) -> ColourTile:
    colours, classes = np.zeros((4, 4, 4), np.uint8), np.zeros((4, 4), np.uint8)
    return ColourTile(REGION, colours, classes, np.zeros(2, int), done, total)


def evaluated(is_better: bool) -> CandidateEvaluated:
    return CandidateEvaluated(0.8, 0.9, (), is_better, "", (), REGION, np.zeros((4, 4), np.uint8))


@pytest.fixture
def state() -> TeachState:
    return apply(TeachState(), message(SessionOpened(CLASSES, TeachSettings()), strokes=5))


# The reducer


def test_counts_of_strokes_start_with_those_of_the_project(state: TeachState) -> None:
    assert (state.strokes, state.learnt, state.waiting) == (5, 5, 0)


def test_strokes_wait_while_live_is_off_until_a_round_has_received_them(state: TeachState) -> None:
    state = replace(state, is_live=False, strokes=7)
    assert state.waiting == 2
    assert apply(state, message(FITTED, strokes=6)).waiting == 1
    assert apply(state, message(StateRestored(CLASSES, ()), strokes=7)).waiting == 0
    assert replace(state, is_live=True).waiting == 0


def test_a_prediction_is_complete_with_the_last_tile_of_the_last_stroke(state: TeachState) -> None:
    state = apply(replace(state, strokes=7), message(FITTED, tile(2, 2), strokes=6))
    assert not state.is_predicted  # stroke 7 was painted meanwhile
    state = apply(state, message(FITTED, tile(1, 2), strokes=7))
    assert not state.is_predicted
    assert apply(state, message(tile(2, 2), strokes=7)).is_predicted


def test_losses_are_those_of_the_latest_candidate(state: TeachState) -> None:
    for step in range(1, SHOWN_STEPS + 11):
        state = apply(state, message(StepDone(step, 600, float(step), 0.1)))
    assert state.losses == tuple(map(float, range(11, SHOWN_STEPS + 11)))
    assert apply(state, message(StepDone(1, 600, 0.5, 0.1))).losses == (0.5,)


@pytest.mark.parametrize(
    ("kind", "is_restored", "status"),
    [
        ("network", False, "accepted"),
        ("head", False, "pending"),
        ("head", True, "rejected"),
        ("classes", False, "rejected"),
    ],
)
def test_a_new_commit_decides_about_a_candidate_that_waits(
    state: TeachState, kind: str, is_restored: bool, status: str
) -> None:
    state = apply(state, message(evaluated(True)))
    state = apply(state, message(HistoryChanged((Commit(1, 0, kind, 1, 1, ""),), 1, is_restored)))
    assert state.update is not None
    assert state.update.status == status


def test_a_score_replaces_that_of_the_same_round(state: TeachState) -> None:
    for score in (0.5, 0.7):
        state = apply(state, message(StrokesScored(1, score)))
    assert state.scores == ((1, 0.7),)


def test_errors_and_suggestions_become_messages(state: TeachState) -> None:
    assert apply(state, message(CommandFailed(ValueError("no")))).error == "no"
    assert "50%" in apply(state, message(RegionSuggested(REGION, (1, 1), 0.5))).message
    empty = Region((0, 0), (0, 0))
    assert "every visible place" in apply(state, message(RegionSuggested(empty, (0, 0), 0.0))).message


# The worker


class Engine:
    """An engine that yields given events."""

    def __init__(self, *events: Any) -> None:
        self.events = events
        self.classes = (ClassLabel("background", "#000000"), ClassLabel("object", "#e69f00"))

    def configure(self, settings: TeachSettings) -> None:
        """Ignore the settings."""

    def run_round(self, samples: Any, view: Region, strokes: int) -> Iterator[Any]:
        self.strokes = strokes
        yield from self.events


def run(*events: Any) -> list[SessionMessage | None]:
    """Return what a worker yields for the events of a round, after one stroke."""
    worker = TeachWorker(SimpleNamespace(writer=None, shape=(4, 4), canvas=Canvas(REGION)))  # type: ignore[arg-type]
    worker._teaching = Engine(*events)
    worker.inbox.append(Stroke(Region((0, 0), (1, 1)), np.ones((1, 1), np.uint8)))
    return list(worker.run(REQUEST))


def kinds(messages: list[SessionMessage | None]) -> list[list[str]]:
    return [[] if found is None else [type(payload).__name__ for payload in found.payloads] for found in messages]


def test_a_score_and_the_fit_that_follows_arrive_together() -> None:
    """A run that is replaced is closed at a message: it must not lose the second half of a step."""
    probabilities = np.zeros((2, 4, 4), np.float32)
    messages = run(StrokesScored(1, 0.5), FITTED, TileDone(REGION, probabilities, 1, 1), Heartbeat("settle"))
    assert kinds(messages) == [["StrokesScored", "HeadFitted"], ["ColourTile"], []]


def test_a_score_at_the_end_of_a_round_arrives() -> None:
    assert kinds(run(evaluated(False))) == [["CandidateEvaluated"]]


def test_messages_of_a_round_must_be_delivered_can_wait_and_count_the_strokes() -> None:
    (found,) = run(FITTED)
    assert found is not None
    assert (found.must_deliver, found.can_wait, found.strokes) == (True, True, 1)
