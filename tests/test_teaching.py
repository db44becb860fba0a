"""A model learns from strokes at once, forgets what is undone, and takes nothing that is worse."""

import re
from dataclasses import asdict, replace
from itertools import count
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from lessons import CLASSES, FAST, HEADS, RIM, halves, kinds, painted, run, tiny, whole
from net_contract import one_thread  # noqa: F401

from napari_fcn import api
from napari_fcn.errors import ImageError
from napari_fcn.events import CandidateEvaluated, HeadFitted, HistoryChanged, StepDone, StrokesScored, TileDone
from napari_fcn.geometry import Axes, Region
from napari_fcn.learning.annotations import Samples
from napari_fcn.learning.finetune import FineTuner
from napari_fcn.learning.interactive_model import InteractiveModel
from napari_fcn.learning.sparse import SparseLabels
from napari_fcn.models.adapt import inflate_to_3d, make_teachable
from napari_fcn.models.card import ClassLabel
from napari_fcn.models.checkpoint import Checkpoint
from napari_fcn.nets.layers import Level
from napari_fcn.receptive_fields.theoretical import theoretical
from napari_fcn.session import Session
from napari_fcn.settings import PredictSettings, TeachSettings
from napari_fcn.teaching import Teaching

SHAPE = (48, 64)
IMAGE = halves(SHAPE)
VIEW = whole(SHAPE)


def lesson(settings: TeachSettings = HEADS, **values: Any) -> Teaching:
    return Teaching(IMAGE, tiny(), settings=settings, **values)


def teach(teaching: Teaching, turn: int, **values: Any) -> list[Any]:
    """Return the events of a turn on `IMAGE`."""
    return run(teaching.run_round(Samples.from_labels(painted(SHAPE, turn)), VIEW, turn, **values))


def answer(teaching: Teaching) -> npt.NDArray[np.float32]:
    """Return what the model says now of the whole image."""
    shape = teaching.source.shape
    out = np.full((len(teaching.classes), *shape), np.nan, np.float32)
    teaching.forget_predictions()
    for event in run(teaching.predict(whole(shape))):
        out[(slice(None), *event.region.slices)] = event.probabilities
    return out


def head_hash(teaching: Teaching) -> str:
    return teaching._current.model.hash


# The first stroke


def test_before_a_stroke_the_answer_is_that_of_the_model() -> None:
    teaching = lesson()
    np.testing.assert_allclose(answer(teaching), api.predict(IMAGE, tiny(), device="cpu"), atol=1e-5)
    assert teaching.history.present.kind == "start"


def test_without_a_stroke_nothing_is_learnt_and_nothing_goes_wrong() -> None:
    teaching = lesson(FAST)
    events = run(teaching.run_round(Samples.empty(SHAPE), VIEW))
    assert set(kinds(events)) == {"TileDone"}
    assert (teaching.turn, len(teaching.history.commits)) == (0, 1)


def test_the_first_stroke_changes_the_answer() -> None:
    teaching = lesson()
    before = answer(teaching)
    events = teach(teaching, 1)
    assert kinds(events) == ["StrokesScored", "HeadFitted", "TileDone", "HeadRefined", "TileDone", "HistoryChanged"]
    after = answer(teaching)
    assert np.abs(after - before).max() > 0.2
    labels = painted(SHAPE, 1)
    assert np.array_equal(after.argmax(0)[labels > 0], labels[labels > 0] - 1)


@pytest.mark.parametrize(
    ("shape", "names", "channel"),
    [
        ((400,), "x", None),
        ((40, 48), "yx", None),
        ((16, 24, 32), "zyx", None),
        ((3, 40, 48), "tyx", None),
        ((40, 48, 3), "yxc", "c"),
    ],
)
def test_filters_alone_learn_in_any_dimension(shape: tuple[int, ...], names: str, channel: str | None) -> None:
    image = halves(shape if channel is None else shape[:2])
    image = image if channel is None else np.stack([image, -image, image * 0], -1)
    space = tuple(n for n in names if n not in "tc")
    axes = Axes(tuple(names), space, channel)
    teaching = Teaching(image, None, axes, HEADS, CLASSES, rgb=channel is not None)
    size = teaching.source.shape
    run(teaching.run_round(Samples.from_labels(painted(size, 3)), whole(size)))
    truth = np.broadcast_to(np.arange(size[-1]) >= size[-1] // 2, size)
    assert ((answer(teaching)[1] > 0.5) == truth).mean() > 0.9
    assert teaching.checkpoint().info.spec.family == "filters"


@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_a_network_learns_in_any_dimension(ndim: int) -> None:
    shape = {1: (300,), 2: SHAPE, 3: (12, 16, 32)}[ndim]
    image, model = halves(shape), tiny(ndim)
    teaching = Teaching(image, model, settings=replace(FAST, attempts=1))
    for turn in (1, 2):
        events = run(teaching.run_round(Samples.from_labels(painted(shape, turn)), whole(shape)))
    assert "CandidateEvaluated" in kinds(events)
    truth = np.broadcast_to(np.arange(shape[-1]) >= shape[-1] // 2, shape)
    assert ((answer(teaching)[1] > 0.5) == truth).mean() > 0.85


def test_a_plane_model_made_volumetric_learns() -> None:
    image = halves((6, 24, 32))
    teaching = Teaching(image, inflate_to_3d(tiny()), settings=HEADS, spacing=(4.0, 1.0, 1.0))
    run(teaching.run_round(Samples.from_labels(painted(image.shape, 3)), whole(image.shape)))
    assert ((answer(teaching)[1] > 0.5) == (np.arange(32) >= 16)).mean() > 0.9


def test_the_answer_is_that_of_the_saved_model() -> None:
    teaching = lesson()
    teach(teaching, 1)
    saved = api.predict(IMAGE, teaching.checkpoint(), device="cpu")
    np.testing.assert_allclose(answer(teaching), saved, atol=1e-5)


def test_only_tiles_that_changed_are_shown_again() -> None:
    teaching = lesson()
    assert kinds(teach(teaching, 1)).count("TileDone") == 2  # the instant answer, and the settled one
    assert kinds(teach(teaching, 1)) == []
    teaching.forget_predictions()
    assert kinds(teach(teaching, 1)) == ["TileDone"]


def test_what_is_missing_or_out_of_balance_is_said() -> None:
    teaching = lesson()
    labels = painted(SHAPE, 1, [0])
    (told,) = [e for e in run(teaching.run_round(Samples.from_labels(labels), VIEW)) if isinstance(e, HeadFitted)]
    assert told.painted == (4, 0)
    assert any("Nothing is painted as object" in note for note in told.notes)
    labels[20:40, 2:20] = 1
    labels[3, 40] = 2
    (told,) = [e for e in run(teaching.run_round(Samples.from_labels(labels), VIEW)) if isinstance(e, HeadFitted)]
    assert any("paint more object" in note for note in told.notes)


def test_strokes_of_one_class_leave_the_others_where_the_model_was_sure() -> None:
    teaching = Teaching(IMAGE, sure(), settings=HEADS)
    truth = np.arange(64) >= 32
    assert ((answer(teaching)[1] > 0.5) == truth).mean() > 0.95
    run(teaching.run_round(Samples.from_labels(painted(SHAPE, 1, [0])), VIEW))
    assert ((answer(teaching)[1] > 0.5) == truth).mean() > 0.9


def test_strokes_of_one_class_on_filters_answer_that_class() -> None:
    teaching = Teaching(IMAGE, None, settings=HEADS)
    run(teaching.run_round(Samples.from_labels(painted(SHAPE, 2, [1])), VIEW))
    values = answer(teaching)
    assert np.isfinite(values).all()
    assert values[1, 3, 40] > 0.5


def sure() -> Checkpoint:
    """Return a model that tells dark and bright halves apart before any stroke."""
    return known_by(make_teachable(tiny()))


def known_by(model: Checkpoint) -> Checkpoint:
    weights = {k: torch.zeros_like(w) if k.startswith("heads") else w for k, w in model.weights.items()}
    weights["heads.0.weight"][:2] = torch.tensor([-6.0, 6.0]).reshape(2, 1, 1, 1)
    return Checkpoint(model.info, weights)


# The same strokes


@pytest.mark.parametrize("settings", [HEADS, FAST], ids=["heads", "networks"])
def test_the_same_strokes_give_the_same_weights(settings: TeachSettings) -> None:
    hashes = []
    for _ in range(2):
        teaching = lesson(settings)
        for turn in range(1, 4):
            teach(teaching, turn)
        hashes.append([commit.hash for commit in teaching.history.commits])
    assert hashes[0] == hashes[1]
    assert len(set(hashes[0])) > 3


def test_another_seed_gives_other_networks() -> None:
    taught = []
    for seed in (0, 1):
        teaching = lesson(replace(FAST, network="ask", seed=seed))
        for turn in (1, 2):
            teach(teaching, turn)
        run(teaching.finetune(9))
        taught.append(Checkpoint.of(teaching.candidate.tuner.copy(), teaching.info).hash)  # type: ignore[union-attr]
    assert taught[0] != taught[1]


def test_strokes_that_are_erased_leave_no_trace_in_the_answer() -> None:
    straight, round_about = lesson(), lesson()
    for teaching in (straight, round_about):
        teach(teaching, 1)
    expected = answer(straight)
    labels = painted(SHAPE, 1)
    for row in (20, 30):
        wrong = labels.copy()
        wrong[row, 2:12] = 2
        run(round_about.run_round(Samples.from_labels(wrong), VIEW))
    assert np.abs(answer(round_about) - expected).max() > 1e-2
    run(round_about.run_round(Samples.from_labels(labels), VIEW))
    np.testing.assert_allclose(answer(round_about), expected, atol=1e-6)


def test_without_any_stroke_left_the_answer_is_that_of_the_model_again() -> None:
    teaching = lesson()
    before = answer(teaching)
    teach(teaching, 2)
    run(teaching.run_round(Samples.empty(SHAPE), VIEW))
    np.testing.assert_allclose(answer(teaching), before, atol=1e-6)


# Closing and going on


def interrupted(teaching: Teaching, labels: npt.NDArray[np.uint8], at: int, strokes: int = 0) -> bool:
    """Close a turn at an event, go on until the end; return whether there was such an event."""
    events = teaching.run_round(Samples.from_labels(labels), VIEW, strokes)
    was_closed = False
    for number, _ in enumerate(events):
        if number == at:
            was_closed = True
            break
    events.close()
    run(teaching.run_round(Samples.from_labels(labels), VIEW, strokes))
    return was_closed


@pytest.mark.parametrize("settings", [HEADS, FAST], ids=["heads", "networks"])
def test_closing_at_any_event_and_going_on_arrives_at_the_same_weights(settings: TeachSettings) -> None:
    expected = lesson(settings)
    for turn in (1, 2):
        teach(expected, turn)
    hashes = [(commit.kind, commit.hash) for commit in expected.history.commits]
    for at in count():
        teaching = lesson(settings)
        was_closed = [interrupted(teaching, painted(SHAPE, turn), at, turn) for turn in (1, 2)]
        assert [(commit.kind, commit.hash) for commit in teaching.history.commits] == hashes, at
        if not any(was_closed):
            break
    assert at > 3


@pytest.mark.parametrize("at", range(4))
def test_a_stroke_while_the_last_one_is_answered_is_learnt_too(at: int) -> None:
    teaching = lesson()
    events = teaching.run_round(Samples.from_labels(painted(SHAPE, 1)), VIEW, 1)
    for _ in range(at + 1):
        next(events)
    events.close()
    teach(teaching, 2)
    expected = lesson()
    for turn in (1, 2):
        teach(expected, turn)
    assert [c.turn for c in teaching.history.commits] == [c.turn for c in expected.history.commits]
    assert teaching.history.present.hash == expected.history.present.hash  # what it settles on is the same


def until_answered(teaching: Teaching, turn: int) -> None:
    """Learn what is painted after so many turns, and leave as soon as it is answered."""
    events = teaching.run_round(Samples.from_labels(painted(SHAPE, turn)), VIEW, turn)
    next(event for event in events if isinstance(event, HeadFitted))
    events.close()


def test_new_strokes_are_answered_before_the_answer_to_earlier_ones_is_kept() -> None:
    teaching = lesson()
    until_answered(teaching, 1)
    first = teaching.checkpoint().hash
    told = kinds(run(teaching.run_round(Samples.from_labels(painted(SHAPE, 2)), VIEW, 2)))
    assert told.index("HeadFitted") < told.index("TileDone") < told.index("HistoryChanged")
    kept = teaching.history.commits
    assert [(c.turn, c.strokes) for c in kept] == [(0, 0), (1, 1), (2, 2)]
    assert kept[1].hash == first
    run(teaching.undo())
    assert teaching.samples.equals(Samples.from_labels(painted(SHAPE, 1)))


def test_no_answer_is_left_out_of_the_history_however_fast_strokes_come() -> None:
    teaching = lesson()
    hashes = []
    for turn in (1, 2, 3):
        until_answered(teaching, turn)
        hashes.append(teaching.checkpoint().hash)
    run(teaching.commit())
    assert [(c.turn, c.strokes, c.hash) for c in teaching.history.commits[1:]] == [
        (turn, turn, found) for turn, found in zip((1, 2, 3), hashes, strict=True)
    ]


def test_a_second_look_at_the_strokes_that_is_stopped_changes_nothing() -> None:
    teaching = lesson()
    run(teaching.fit_head(Samples.from_labels(painted(SHAPE, 3)), VIEW))
    first = answer(teaching)
    looking = teaching.fit_full_head()
    assert kinds([next(looking), next(looking)]) == ["Heartbeat", "Heartbeat"]
    looking.close()
    np.testing.assert_array_equal(answer(teaching), first)
    assert kinds(run(teaching.fit_full_head()))[-1] == "HeadRefined"
    assert np.abs(answer(teaching) - first).max() > 1e-3
    assert run(teaching.fit_full_head()) == []


def test_new_strokes_bend_what_was_settled_at_once() -> None:
    teaching = lesson()
    teach(teaching, 3)
    assert teaching.model.head.hidden is not None
    run(teaching.fit_head(Samples.from_labels(painted(SHAPE, 4)), VIEW))
    assert teaching.model.head.hidden is not None
    kept = teaching.checkpoint()
    np.testing.assert_allclose(answer(teaching), api.predict(IMAGE, kept, device="cpu"), atol=1e-5)


def test_at_the_end_of_the_slider_nothing_bends_the_model() -> None:
    teaching = lesson(replace(HEADS, keep=1.0))
    teach(teaching, 3)
    assert teaching.model.head.hidden is None


# History


def test_undo_and_redo_bring_back_weights_bit_by_bit_and_samples() -> None:
    teaching = lesson()
    states = [(head_hash(teaching), teaching.samples)]
    for turn in range(1, 4):
        teach(teaching, turn)
        states.append((head_hash(teaching), teaching.samples))
    for step, expected in [*((teaching.undo, s) for s in states[2::-1]), *((teaching.redo, s) for s in states[1:])]:
        (event,) = run(step())
        assert isinstance(event, HistoryChanged)
        assert event.is_restored
        assert head_hash(teaching) == expected[0] == teaching.history.present.hash
        assert teaching.samples.equals(expected[1])
        assert np.array_equal(teaching.samples.turn, expected[1].turn)
    assert run(teaching.redo()) == []
    run(teaching.go_to(0))
    assert run(teaching.undo()) == []


def test_what_is_learnt_after_going_back_branches_off() -> None:
    teaching = lesson()
    for turn in (1, 2):
        teach(teaching, turn)
    run(teaching.go_to(1))
    labels = painted(SHAPE, 1)
    labels[40, 40:50] = 2
    run(teaching.run_round(Samples.from_labels(labels), VIEW))
    commits = teaching.history.commits
    assert [(c.number, c.parent) for c in commits] == [(0, None), (1, 0), (2, 1), (3, 1)]
    run(teaching.go_to(2))
    assert head_hash(teaching) == commits[2].hash
    run(teaching.go_to(3))
    assert head_hash(teaching) == commits[3].hash
    assert teaching.samples.equals(Samples.from_labels(labels))


def test_going_to_where_one_is_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    always_better(monkeypatch)
    teaching = lesson(replace(FAST, network="ask"))
    candidates_of(teaching, 2)
    candidate = teaching.candidate
    (event,) = run(teaching.go_to(teaching.history.present.number))
    assert event.is_restored
    assert teaching.candidate is candidate is not None
    with pytest.raises(ValueError, match="no commit 9"):
        run(teaching.go_to(9))


def test_strokes_of_a_restored_commit_are_not_learnt_again() -> None:
    teaching = lesson()
    for turn in (1, 2):
        teach(teaching, turn)
    run(teaching.undo())
    events = teach(teaching, 1)
    assert set(kinds(events)) == {"TileDone"}
    assert len(teaching.history.commits) == 3


def test_a_network_that_was_accepted_can_be_undone() -> None:
    teaching = lesson(replace(FAST, network="ask"))
    hashes = learn_something_better(teaching)
    run(teaching.accept())
    assert teaching.history.present.kind == "network"
    run(teaching.undo())
    assert head_hash(teaching) == hashes
    run(teaching.redo())
    assert teaching.history.present.kind == "network"
    assert head_hash(teaching) == teaching.history.present.hash != hashes


def learn_something_better(teaching: Teaching) -> str:
    """Teach two turns, let a candidate win whatever it is worth; return the hash of what is accepted."""
    for turn in (1, 2):
        events = teach(teaching, turn)
    assert isinstance(events[-1], CandidateEvaluated)
    candidate = teaching.candidate
    if candidate is None:
        run(teaching.finetune(2))
        candidate = teaching.candidate
    assert candidate is not None
    if candidate.winner is None:
        now = teaching.model
        candidate.winner = InteractiveModel(candidate.tuner.copy(), now.extractor, now.budget, now.prior, now.reference)
    return head_hash(teaching)


def test_a_name_is_kept() -> None:
    teaching = lesson()
    teach(teaching, 1)
    (event,) = run(teaching.rename(1, "good"))
    assert [c.name for c in event.commits] == ["", "good"]


def test_a_session_goes_on_from_its_history() -> None:
    first = lesson()
    for turn in (1, 2):
        teach(first, turn)
    then = {c.number: first._label_history.samples_at(c) for c in first.history.commits}
    again = lesson(history=first.history, load_samples=then.__getitem__)
    assert head_hash(again) == head_hash(first)
    assert again.samples.equals(first.samples)
    assert set(kinds(teach(again, 2))) == {"TileDone"}
    assert "HeadFitted" in kinds(teach(again, 3))
    run(again.undo())
    assert head_hash(again) == first.history.commits[2].hash


# Candidates


class Spoiled(FineTuner):
    """Makes the network forget."""

    def copy(self) -> Any:
        net = super().copy()
        with torch.no_grad():
            for name, values in net.trunk.named_parameters():  # type: ignore[union-attr]
                if not name.startswith("score"):
                    values.zero_()
        return net


def candidates_of(teaching: Teaching, turns: int = 3) -> list[CandidateEvaluated]:
    found = []
    for turn in range(1, turns + 1):
        found += [event for event in teach(teaching, turn) if isinstance(event, CandidateEvaluated)]
    return found


def test_a_network_that_forgets_is_rejected_by_the_examination(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("napari_fcn.teaching.candidates.FineTuner", Spoiled)
    model = tiny()
    image = np.random.default_rng(0).normal(0, 1, SHAPE).astype(np.float32)  # nothing but what the trunk knows
    sureness = np.subtract(*api.predict(image, model, device="cpu"))
    truth = (sureness > np.median(sureness)).astype(np.uint8)
    teaching = Teaching(image, model, settings=FAST)
    labels = np.zeros(SHAPE, np.uint8)
    told = []
    for turn in range(3):
        rows = slice(5 + 12 * turn, 10 + 12 * turn)
        labels[rows] = truth[rows] + 1
        told += [
            e for e in run(teaching.run_round(Samples.from_labels(labels), VIEW)) if isinstance(e, CandidateEvaluated)
        ]
    assert told
    assert not any(event.is_better for event in told)
    assert all(event.candidate < event.accepted for event in told)
    assert "fails the examination" in told[-1].reason
    assert {c.kind for c in teaching.history.commits} == {"start", "head"}


def test_no_more_candidates_than_allowed_are_judged_on_the_same_strokes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("napari_fcn.learning.evaluation.decide", lambda marks, pins: (False, "no"))
    teaching = lesson(replace(FAST, attempts=2))
    told = candidates_of(teaching, 2)
    assert [event.is_better for event in told] == [False, False]
    assert teach(teaching, 2) == []


def always_better(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the examination say yes, so that the pins alone decide."""
    from napari_fcn.learning import evaluation

    plain = evaluation.decide
    monkeypatch.setattr(
        evaluation, "verdict", lambda marks, pins: plain([], pins) if pins_fail(pins) else (True, "yes")
    )


def pins_fail(pins: Any) -> bool:
    return any(pin.candidate < pin.accepted - 0.005 for pin in pins)


def test_a_candidate_that_changes_a_pin_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    always_better(monkeypatch)
    teaching = lesson(replace(FAST, network="ask", attempts=1))
    teach(teaching, 1)
    monkeypatch.setattr(Teaching, "_improve", lambda self, view: iter(()))
    teach(teaching, 2)
    teaching.pin(Region((30, 20), (40, 44)), "rim of it")
    accepted = teaching.model.classes(teaching.pins[0].region)
    monkeypatch.undo()
    always_better(monkeypatch)
    monkeypatch.setattr("napari_fcn.teaching.candidates.FineTuner", Inverted)
    events = teach(teaching, 2)
    (told,) = [event for event in events if isinstance(event, CandidateEvaluated)]
    (score,) = told.pins
    assert score.accepted == 1
    assert score.candidate < 0.9
    assert not told.is_better
    assert "Pin rim of it would get worse" in told.reason
    assert np.array_equal(teaching.model.classes(teaching.pins[0].region), accepted)


class Inverted(FineTuner):
    """Makes a network that sees the lower half of the image the wrong way round, where nothing is painted."""

    def copy(self) -> Any:
        net: Any = super().copy()
        plain = net.levels

        def levels(x: torch.Tensor) -> list[Level]:
            found = []
            for level in plain(x):
                features = level.features.clone()
                features[:, :, features.shape[2] // 2 :] *= -5
                found.append(level._replace(features=features))
            return found

        net.levels = levels
        return net


def test_a_candidate_that_leaves_the_pin_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    always_better(monkeypatch)
    teaching = lesson(replace(FAST, network="ask"))
    teach(teaching, 1)
    teaching.pin(Region((0, 0), (3, 3)), "corner")
    told = [event for event in teach(teaching, 2) if isinstance(event, CandidateEvaluated)]
    assert told[-1].is_better
    assert told[-1].pins[0].candidate >= 0.995
    teaching.unpin("corner")
    assert teaching.pins == ()


def test_a_pin_outside_of_the_image_is_refused() -> None:
    with pytest.raises(ImageError, match="outside the image"):
        lesson().pin(Region((100, 0), (110, 9)), "far")


def test_who_asks_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    always_better(monkeypatch)
    teaching = lesson(replace(FAST, network="ask"))
    told = candidates_of(teaching, 2)
    assert [event.is_better for event in told] == [True]
    before = head_hash(teaching)
    assert teach(teaching, 2) == []  # it waits, and learns nothing on
    assert "network" not in {c.kind for c in teaching.history.commits}
    (event,) = run(teaching.accept())
    assert isinstance(event, HistoryChanged)
    assert teaching.history.present.kind == "network"
    assert set(teaching.history.present.scores) == {"accepted", "candidate"}
    assert head_hash(teaching) != before
    assert run(teaching.accept()) == []


def test_a_candidate_that_is_dropped_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    always_better(monkeypatch)
    teaching = lesson(replace(FAST, network="ask"))
    candidates_of(teaching, 2)
    before = head_hash(teaching)
    teaching.reject()
    assert run(teaching.accept()) == []
    assert head_hash(teaching) == before
    assert teach(teaching, 2) == []
    assert "CandidateEvaluated" in kinds(teach(teaching, 3))  # new strokes, new candidate


def test_a_candidate_that_waited_learns_from_strokes_that_came_since(monkeypatch: pytest.MonkeyPatch) -> None:
    always_better(monkeypatch)
    teaching = lesson(replace(FAST, network="ask"))
    candidates_of(teaching, 2)
    teach(teaching, 3)
    run(teaching.accept())
    present = teaching.history.present
    assert (present.kind, present.turn) == ("network", 3)
    assert teaching.samples.equals(Samples.from_labels(painted(SHAPE, 3)))


def test_a_candidate_that_won_is_taken_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    always_better(monkeypatch)
    teaching = lesson(replace(FAST, attempts=1))
    events = [event for turn in (1, 2) for event in teach(teaching, turn)]
    assert teaching.history.present.kind == "network"
    words = kinds(events)
    assert words[words.index("CandidateEvaluated") :][:3] == ["CandidateEvaluated", "HistoryChanged", "TileDone"]
    assert [e.step for e in events if isinstance(e, StepDone)] == [1, 2]


def test_a_candidate_that_won_is_taken_though_its_judgement_was_the_last_to_be_heard(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    always_better(monkeypatch)
    teaching = lesson(replace(FAST, attempts=1))
    teach(teaching, 1)
    events = teaching.run_round(Samples.from_labels(painted(SHAPE, 2)), VIEW)
    next(event for event in events if isinstance(event, CandidateEvaluated))
    events.close()
    teach(teaching, 3)
    assert "network" in {c.kind for c in teaching.history.commits}


def test_accepting_before_the_answer_is_kept_keeps_both(monkeypatch: pytest.MonkeyPatch) -> None:
    always_better(monkeypatch)
    teaching = lesson(replace(FAST, network="ask"))
    candidates_of(teaching, 2)
    events = teaching.run_round(Samples.from_labels(painted(SHAPE, 3)), VIEW)
    next(event for event in events if isinstance(event, HeadFitted))
    events.close()
    run(teaching.accept())
    assert [c.kind for c in teaching.history.commits] == ["start", "head", "head", "head", "network"]


def test_a_candidate_whose_strokes_were_erased_makes_room_for_another() -> None:
    teaching = lesson(replace(FAST, judge_every=5))
    teach(teaching, 1)
    events = teaching.run_round(Samples.from_labels(painted(SHAPE, 2)), VIEW)
    next(event for event in events if isinstance(event, StepDone))
    events.close()
    labels = painted(SHAPE, 2)
    labels[:5] = 0
    run(teaching.run_round(Samples.from_labels(labels), VIEW))
    labels[40, 2:6], labels[40, 40:44] = 1, 2
    assert "CandidateEvaluated" in kinds(run(teaching.run_round(Samples.from_labels(labels), VIEW)))


@pytest.mark.parametrize("change", [{"network": "off"}, {"keep": 1.0}])
def test_nothing_learns_in_the_background_if_it_must_not(change: dict[str, Any]) -> None:
    teaching = lesson(replace(FAST, **change))
    assert not {"StepDone", "CandidateEvaluated"} & set(kinds(teach(teaching, 1) + teach(teaching, 2)))


def test_with_one_class_painted_no_network_learns() -> None:
    teaching = lesson(FAST)
    for turn in (1, 2, 3):
        events = run(teaching.run_round(Samples.from_labels(painted(SHAPE, turn, [0])), VIEW))
        assert "StepDone" not in kinds(events)


def test_other_settings_drop_the_candidate() -> None:
    teaching = lesson(replace(FAST, network="ask"))
    teach(teaching, 1)
    events = teaching.run_round(Samples.from_labels(painted(SHAPE, 2)), VIEW)
    next(event for event in events if isinstance(event, StepDone))
    events.close()
    assert teaching.candidate is not None
    teaching.configure(teaching.settings)
    assert teaching.candidate is not None
    teaching.configure(replace(teaching.settings, keep=0.9))
    assert teaching.candidate is None


def test_a_change_that_a_candidate_would_make_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    always_better(monkeypatch)
    monkeypatch.setattr("napari_fcn.teaching.candidates.FineTuner", Inverted)
    teaching = lesson(replace(FAST, network="ask"))
    told = candidates_of(teaching, 2)[-1]
    before = teaching.model.classes(VIEW)
    run(teaching.accept())
    after = teaching.model.classes(VIEW)
    assert np.array_equal(told.changed > 0, before != after)
    assert np.array_equal(told.changed[told.changed > 0] - 1, after[before != after])
    assert sum(change.pixels for change in told.changes) <= np.count_nonzero(before != after)


# Classes


def test_classes_are_reordered_added_and_removed_on_the_spot() -> None:
    teaching = lesson()
    teach(teaching, 2)
    before = answer(teaching)
    run(teaching.set_classes((CLASSES[1], RIM, CLASSES[0]), (1, None, 0)))
    after = answer(teaching)
    assert after.shape[0] == 3
    assert after[1].max() < 0.01
    np.testing.assert_allclose(after[[2, 0]], before, atol=0.01)
    assert set(teaching.samples.class_index) == {0, 2}
    assert teaching.samples.counts(3) == (8, 0, 8)
    run(teaching.set_classes((CLASSES[0],), (2,)))
    assert teaching.samples.counts(1) == (8,)
    assert [c.kind for c in teaching.history.commits] == ["start", "head", "classes", "classes"]


def test_a_new_class_is_learnt_and_forgotten_with_its_strokes() -> None:
    teaching = lesson()
    teach(teaching, 2)
    run(teaching.set_classes((*CLASSES, RIM), (0, 1, None)))
    labels = painted(SHAPE, 2)
    known = answer(teaching)
    labels[20:28, 30:34] = 3
    run(teaching.run_round(Samples.from_labels(labels), VIEW))
    assert (answer(teaching).argmax(0)[20:28, 30:34] == 2).mean() > 0.8
    labels[labels == 3] = 0
    run(teaching.run_round(Samples.from_labels(labels), VIEW))
    np.testing.assert_allclose(answer(teaching)[2].max(), known[2].max(), atol=0.05)


def test_undo_brings_back_the_classes() -> None:
    teaching = lesson()
    teach(teaching, 1)
    run(teaching.set_classes((*CLASSES, RIM), (0, 1, None)))
    run(teaching.undo())
    assert teaching.classes == CLASSES
    run(teaching.redo())
    assert teaching.classes == (*CLASSES, RIM)


def test_a_pin_is_numbered_as_the_classes_are() -> None:
    teaching = lesson()
    teach(teaching, 1)
    teaching.pin(Region((10, 20), (20, 44)), "middle")
    run(teaching.set_classes((CLASSES[1], CLASSES[0]), (1, 0)))
    (pin,) = teaching.pins
    assert np.array_equal(pin.classes, teaching.model.classes(pin.region))


def test_going_back_numbers_a_pin_as_the_classes_were() -> None:
    teaching = lesson()
    teach(teaching, 1)
    run(teaching.set_classes((CLASSES[1], CLASSES[0]), (1, 0)))
    teaching.pin(Region((10, 20), (20, 44)), "middle")
    run(teaching.undo())
    (pin,) = teaching.pins
    assert np.array_equal(pin.classes, teaching.model.classes(pin.region))


def test_a_pin_of_classes_that_are_gone_keeps_nothing_and_harms_nothing() -> None:
    teaching = lesson(FAST)
    teach(teaching, 1)
    teaching.pin(VIEW, "all")
    run(teaching.set_classes((RIM, ClassLabel("debris", "#ffffff")), (None, None)))
    told = candidates_of(teaching, 3)
    assert told
    assert all(pin.accepted == pin.candidate == 1 for event in told for pin in event.pins)


def test_a_stroke_of_a_class_beyond_the_head_is_named() -> None:
    labels = painted(SHAPE, 1)
    labels[0, 0] = 5
    teaching = lesson()
    with pytest.raises(ImageError, match=r"A stroke is of class 5; the model has 2 classes.*Add a class"):
        run(teaching.run_round(Samples.from_labels(labels), VIEW))
    assert teaching.turn == 0


def test_corrections_of_another_size_are_refused() -> None:
    with pytest.raises(ImageError, match=r"The corrections are 48 x 65 px; the image is 48 x 64 px"):
        run(lesson().run_round(Samples.empty((48, 65)), VIEW))


def test_an_image_that_does_not_fit_the_model_is_refused() -> None:
    with pytest.raises(ImageError, match="3-D model needs 3 axes"):
        Teaching(IMAGE, tiny(3), settings=HEADS)
    with pytest.raises(ImageError, match=r"The model is 2-D; the axes in space are x"):
        Teaching(IMAGE, tiny(), Axes(("t", "x"), ("x",)), HEADS)


# What is saved, and looking


def test_the_card_says_where_the_model_comes_from() -> None:
    teaching = lesson()
    for turn in (1, 2):
        teach(teaching, turn)
    made = teaching.checkpoint()
    assert made.hash == teaching.history.present.hash
    assert made.info.card.parent == tiny().hash
    assert [c["number"] for c in made.info.card.commits] == [0, 1, 2]
    assert [c["hash"] for c in made.info.card.commits] == [c.hash for c in teaching.history.commits]
    assert "tiny" in made.info.card.name
    assert "predicts exactly as before" in made.info.card.limits
    early = teaching.checkpoint(1)
    assert early.hash == teaching.history.commits[1].hash
    assert len(early.info.card.commits) == 2


def test_saving_in_the_middle_of_a_turn_saves_what_is_shown_and_hides_no_commit() -> None:
    teaching = lesson()
    events = teaching.run_round(Samples.from_labels(painted(SHAPE, 1)), VIEW)
    next(event for event in events if isinstance(event, HeadFitted))
    events.close()
    made = teaching.checkpoint()
    assert made.hash == head_hash(teaching)
    assert "in 1 turns" in made.info.card.summary
    assert teaching.checkpoint(0).hash == teaching.history.commits[0].hash
    assert len(teaching.history.commits) == len(made.info.card.commits) == 1
    (told,) = run(teaching.commit())
    assert told.commits[-1].hash == made.hash
    assert [c["number"] for c in teaching.checkpoint().info.card.commits] == [0, 1]


def test_the_original_head_of_a_taught_model_answers_as_the_model_did() -> None:
    teaching = lesson()
    for turn in (1, 2):
        teach(teaching, turn)
    made = teaching.checkpoint()
    assert made.original().hash == tiny().hash
    session = Session(IMAGE, made, settings=PredictSettings(head="original", device="cpu"))
    expected = Session(IMAGE, tiny(), settings=PredictSettings(device="cpu"))
    for event, other in zip(session.predict(), expected.predict(), strict=True):
        if isinstance(event, TileDone):
            assert np.array_equal(event.probabilities, other.probabilities)  # type: ignore[union-attr]


def test_a_moved_trunk_keeps_its_old_score_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    always_better(monkeypatch)
    teaching = lesson(FAST)
    for turn in (1, 2):
        teach(teaching, turn)
    made, start = teaching.checkpoint(), tiny()
    assert made.original().hash != start.hash
    for name, values in start.weights.items():
        if name.startswith("score") or "running" in name:
            assert torch.equal(made.weights[f"trunk.{name}"], values)
    assert re.search(r"predicts \d+\.\d% of the compared pixels of this image as before", made.info.card.limits)


def test_the_card_tells_what_the_model_scored_before_it_was_taught() -> None:
    start = tiny()
    scored = Checkpoint(replace(start.info, card=replace(start.info.card, scores={"dice": 0.8765})), start.weights)
    teaching = Teaching(IMAGE, scored, settings=HEADS)
    teach(teaching, 1)
    limits = teaching.checkpoint().info.card.limits
    assert f"predicts exactly as before: Dice 0.876 on the validation images of {start.info.card.name}" in limits


def test_uncertainty_lies_between_sure_and_all_alike() -> None:
    teaching = lesson()
    for turn in (0, 2):
        if turn:
            teach(teaching, turn)
        covered = np.zeros(SHAPE, bool)
        for event in teaching.uncertainty(VIEW):
            assert event.values.shape == event.region.shape
            assert 0 <= event.values.min() <= event.values.max() <= 1
            covered[event.region.slices] = True
        assert covered.all()


def test_a_suggestion_lies_where_no_stroke_is_seen() -> None:
    shape = (40, 160)
    image = halves(shape)
    model = tiny(depth=0)
    teaching = Teaching(image, make_teachable(model, sigmas=(0.7, 1.0)), settings=HEADS)
    field = theoretical(teaching.info.spec)
    labels = painted(shape, 2)
    for _ in range(3):
        run(teaching.run_round(Samples.from_labels(labels), whole(shape)))
        (told,) = run(teaching.suggest(whole(shape)))
        assert told.region.contains(Region(told.index, tuple(i + 1 for i in told.index)))
        seen = Region(told.index, tuple(i + 1 for i in told.index)).grow(field.before, field.after).clip(shape)
        assert seen == told.region
        assert not labels[seen.slices].any()
        assert 0 < told.uncertainty <= 1
        labels[told.index] = 1


def test_where_strokes_are_seen_everywhere_nothing_is_suggested() -> None:
    teaching = lesson()
    labels = np.zeros(SHAPE, np.uint8)
    labels[::4, ::4] = 1
    labels[::4, 32::4] = 2
    run(teaching.run_round(Samples.from_labels(labels), VIEW))
    (told,) = run(teaching.suggest(VIEW))
    assert told.region.is_empty
    assert told.uncertainty == 0


def test_two_commits_are_compared_as_they_were() -> None:
    teaching = lesson()
    answers = [answer(teaching)]
    teach(teaching, 1)
    answers.append(answer(teaching))
    for event in teaching.compare(0, 1, VIEW):
        part = answers[event.commit][(slice(None), *event.tile.region.slices)]
        np.testing.assert_allclose(event.tile.probabilities, part, atol=1e-6)


def test_an_examination_comes_before_learning() -> None:
    teaching = Teaching(IMAGE, sure(), settings=HEADS)
    right = [e.accepted for turn in (1, 2) for e in teach(teaching, turn) if isinstance(e, StrokesScored)]
    assert right == [1.0, 1.0]
    labels = painted(SHAPE, 2)
    labels[40, 2:10] = 2  # wrong, as the model sees it
    (told,) = [e for e in run(teaching.run_round(Samples.from_labels(labels), VIEW)) if isinstance(e, StrokesScored)]
    assert told.accepted == 0.0


def test_all_that_a_replay_needs_is_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    always_better(monkeypatch)
    told: list[tuple[str, dict[str, Any]]] = []
    teaching = lesson(replace(FAST, network="ask"), record=lambda kind, **facts: told.append((kind, facts)))
    for turn in (1, 2):
        teach(teaching, turn)
    teaching.pin(Region((0, 0), (3, 3)), "corner")
    run(teaching.accept())
    run(teaching.undo())
    run(teaching.set_classes((*CLASSES, RIM), (0, 1, None)))
    teaching.unpin("corner")
    words = [kind for kind, _ in told]
    assert words == [
        "open", "turn", "settle", "commit", "turn", "settle", "commit", "judge",
        "pin", "commit", "present", "classes", "commit", "unpin",
    ]  # fmt: skip
    assert told[0][1]["settings"] == asdict(teaching.settings)


def test_memory_for_features_may_be_small() -> None:
    straight, small = lesson(), lesson(replace(HEADS, memory=0.1))
    small.model.features.budget = 1
    for turn in (1, 2):
        teach(straight, turn)
        teach(small, turn)
    assert head_hash(straight) == head_hash(small)


def test_labels_are_known_to_any_class() -> None:
    names = tuple(ClassLabel(f"k{k}", "#000000") for k in range(5))
    teaching = Teaching(IMAGE, None, settings=HEADS, classes=names)
    labels = painted(SHAPE, 1)
    labels[30, 2:6] = 5
    run(teaching.run_round(Samples.from_labels(labels), VIEW))
    assert teaching.samples.counts(5) == (4, 4, 0, 0, 4)


# Images of any size


class Endless:
    """An image of 4.8 terapixels, made where it is read."""

    shape, dtype, ndim = (400, 100_000, 120_000), np.dtype(np.uint8), 3

    def __init__(self) -> None:
        self.read = 0

    def __getitem__(self, box: tuple[slice | int, ...]) -> npt.NDArray[np.uint8]:
        places = [np.arange(n)[part] for part, n in zip(box, self.shape, strict=True)]
        z, y, x = np.ix_(*(np.atleast_1d(place) for place in places))
        values = ((z + y // 20 + x // 20) % 2 * 150 + (7 * y + 13 * x) % 23).astype(np.uint8)
        self.read += values.size
        return values.reshape([place.size for place in places if place.ndim])


def test_of_an_image_of_any_size_only_what_is_painted_on_and_seen_is_read() -> None:
    image, view = Endless(), Region((200, 50_000, 60_000), (201, 50_060, 60_080))
    teaching = Teaching(image, tiny(), settings=replace(FAST, network="automatic"))
    opening, image.read = image.read, 0
    assert opening < 2**24
    labels = SparseLabels(image.shape)
    labels[Region((200, 50_002, 60_002), (201, 50_005, 60_018)).slices] = 1
    labels[Region((3, 20, 20), (4, 24, 40)).slices] = 2
    found = run(teaching.run_round(Samples.from_labels(labels), view, 2))
    labels[Region((200, 50_022, 60_002), (201, 50_025, 60_018)).slices] = 2
    found += run(teaching.run_round(Samples.from_labels(labels), view, 3))
    assert {"HeadFitted", "TileDone", "StepDone", "CandidateEvaluated"} <= set(kinds(found))
    shown = [event.region for event in found if isinstance(event, TileDone)]
    assert all(view.contains(region) for region in shown)
    assert sum(region.size for region in shown) >= view.size
    assert 0 < image.read < 2**22


def test_a_doubtful_contrast_is_told_with_each_answer() -> None:
    image = np.random.default_rng(0).normal(100, 10, (100, 100))
    teaching = Teaching(image, settings=HEADS)
    labels = painted(image.shape, 1)
    (answered,) = (
        e for e in run(teaching.fit_head(Samples.from_labels(labels), whole(image.shape))) if isinstance(e, HeadFitted)
    )
    assert any("looks like noise" in note for note in answered.notes)
