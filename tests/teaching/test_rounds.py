"""Rounds of teaching: fits of the head, their predictions, and interruptions."""

from dataclasses import replace
from itertools import count

import numpy as np
import numpy.typing as npt
import pytest
from teaching_examples import (
    CLASSES,
    FAST,
    HEADS,
    IMAGE,
    SHAPE,
    VIEW,
    confident_model,
    halves,
    kinds,
    new_teaching,
    painted,
    predict_whole,
    run,
    run_turn,
    tiny,
    whole,
)

from napari_fcn import api
from napari_fcn.events import HeadFitted
from napari_fcn.geometry import Axes
from napari_fcn.learning import distillation
from napari_fcn.learning.annotations import Samples
from napari_fcn.models.adapt import inflate_to_3d
from napari_fcn.models.checkpoint import Checkpoint
from napari_fcn.settings import TeachSettings
from napari_fcn.teaching import Teaching


def test_before_a_stroke_the_prediction_is_that_of_the_model() -> None:
    teaching = new_teaching()
    np.testing.assert_allclose(predict_whole(teaching), api.predict(IMAGE, tiny(), device="cpu"), atol=1e-5)
    assert teaching.history.present.kind == "start"


def test_a_round_without_strokes_changes_nothing() -> None:
    teaching = new_teaching(FAST)
    events = run(teaching.run_round(Samples.empty(SHAPE), VIEW))
    assert set(kinds(events)) == {"TileDone"}
    assert (teaching.turn, len(teaching.history.commits)) == (0, 1)


def test_the_first_strokes_change_the_prediction() -> None:
    teaching = new_teaching()
    before = predict_whole(teaching)
    events = run_turn(teaching, 1)
    assert kinds(events) == ["StrokesScored", "HeadFitted", "TileDone", "HeadRefined", "TileDone", "HistoryChanged"]
    after = predict_whole(teaching)
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
def test_a_filter_bank_learns_in_any_dimension(shape: tuple[int, ...], names: str, channel: str | None) -> None:
    image = halves(shape if channel is None else shape[:2])
    image = image if channel is None else np.stack([image, -image, image * 0], -1)
    space = tuple(n for n in names if n not in "tc")
    axes = Axes(tuple(names), space, channel)
    teaching = Teaching(image, None, axes, HEADS, CLASSES, rgb=channel is not None)
    size = teaching.source.shape
    run(teaching.run_round(Samples.from_labels(painted(size, 3)), whole(size)))
    truth = np.broadcast_to(np.arange(size[-1]) >= size[-1] // 2, size)
    assert ((predict_whole(teaching)[1] > 0.5) == truth).mean() > 0.9
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
    assert ((predict_whole(teaching)[1] > 0.5) == truth).mean() > 0.85


def test_a_2d_model_inflated_to_3d_learns() -> None:
    image = halves((6, 24, 32))
    teaching = Teaching(image, inflate_to_3d(tiny()), settings=HEADS, spacing=(4.0, 1.0, 1.0))
    run(teaching.run_round(Samples.from_labels(painted(image.shape, 3)), whole(image.shape)))
    assert ((predict_whole(teaching)[1] > 0.5) == (np.arange(32) >= 16)).mean() > 0.9


def test_the_saved_model_gives_the_same_prediction() -> None:
    teaching = new_teaching()
    run_turn(teaching, 1)
    saved = api.predict(IMAGE, teaching.checkpoint(), device="cpu")
    np.testing.assert_allclose(predict_whole(teaching), saved, atol=1e-5)


def test_only_tiles_that_changed_are_predicted_again() -> None:
    teaching = new_teaching()
    assert kinds(run_turn(teaching, 1)).count("TileDone") == 2  # of the quick fit and of the full fit
    assert kinds(run_turn(teaching, 1)) == []
    teaching.forget_predictions()
    assert kinds(run_turn(teaching, 1)) == ["TileDone"]


def test_notes_name_classes_without_strokes_and_imbalance() -> None:
    teaching = new_teaching()
    labels = painted(SHAPE, 1, [0])
    (event,) = [e for e in run(teaching.run_round(Samples.from_labels(labels), VIEW)) if isinstance(e, HeadFitted)]
    assert event.painted == (4, 0)
    assert any("There are no strokes of object" in note for note in event.notes)
    labels[20:40, 2:20] = 1
    labels[3, 40] = 2
    (event,) = [e for e in run(teaching.run_round(Samples.from_labels(labels), VIEW)) if isinstance(e, HeadFitted)]
    assert any("Paint more object" in note for note in event.notes)


def test_strokes_of_one_class_keep_confident_predictions_of_the_others() -> None:
    teaching = Teaching(IMAGE, confident_model(), settings=HEADS)
    truth = np.arange(64) >= 32
    assert ((predict_whole(teaching)[1] > 0.5) == truth).mean() > 0.95
    run(teaching.run_round(Samples.from_labels(painted(SHAPE, 1, [0])), VIEW))
    assert ((predict_whole(teaching)[1] > 0.5) == truth).mean() > 0.9


def test_strokes_of_one_class_on_a_filter_bank_predict_that_class() -> None:
    teaching = Teaching(IMAGE, None, settings=HEADS)
    run(teaching.run_round(Samples.from_labels(painted(SHAPE, 2, [1])), VIEW))
    values = predict_whole(teaching)
    assert np.isfinite(values).all()
    assert values[1, 3, 40] > 0.5


@pytest.mark.parametrize("settings", [HEADS, FAST], ids=["heads", "networks"])
def test_the_same_strokes_give_the_same_weights(settings: TeachSettings) -> None:
    hashes = []
    for _ in range(2):
        teaching = new_teaching(settings)
        for turn in range(1, 4):
            run_turn(teaching, turn)
        hashes.append([commit.hash for commit in teaching.history.commits])
    assert hashes[0] == hashes[1]
    assert len(set(hashes[0])) > 3


def test_another_seed_gives_other_candidates() -> None:
    hashes_by_seed = []
    for seed in (0, 1):
        teaching = new_teaching(replace(FAST, network="ask", seed=seed))
        for turn in (1, 2):
            run_turn(teaching, turn)
        run(teaching.finetune(9))
        hashes_by_seed.append(Checkpoint.of(teaching.candidate.tuner.copy(), teaching.info).hash)  # type: ignore[union-attr]
    assert hashes_by_seed[0] != hashes_by_seed[1]


def test_erased_strokes_do_not_affect_the_head() -> None:
    undisturbed, corrected = new_teaching(), new_teaching()
    for teaching in (undisturbed, corrected):
        run_turn(teaching, 1)
    expected = predict_whole(undisturbed)
    labels = painted(SHAPE, 1)
    for row in (20, 30):
        wrong = labels.copy()
        wrong[row, 2:12] = 2
        run(corrected.run_round(Samples.from_labels(wrong), VIEW))
    assert np.abs(predict_whole(corrected) - expected).max() > 1e-2
    run(corrected.run_round(Samples.from_labels(labels), VIEW))
    np.testing.assert_allclose(predict_whole(corrected), expected, atol=1e-6)


def test_after_all_strokes_are_erased_the_prediction_is_that_of_the_model() -> None:
    teaching = new_teaching()
    before = predict_whole(teaching)
    run_turn(teaching, 2)
    run(teaching.run_round(Samples.empty(SHAPE), VIEW))
    np.testing.assert_allclose(predict_whole(teaching), before, atol=1e-6)


def run_interrupted(teaching: Teaching, labels: npt.NDArray[np.uint8], at: int, strokes: int = 0) -> bool:
    """Close a round at an event, then complete it; return whether there was such an event."""
    events = teaching.run_round(Samples.from_labels(labels), VIEW, strokes)
    was_closed = False
    for number, _ in enumerate(events):
        if number == at:
            was_closed = True
            break
    events.close()
    run(teaching.run_round(Samples.from_labels(labels), VIEW, strokes))
    return was_closed


@pytest.fixture
def shorter_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reduce the trees and steps of a fit, still with a pause between them, for a test with many fits."""
    for name, value in {"N_TREES": 2, "N_STEPS": 6, "STEPS_PER_PAUSE": 3}.items():
        monkeypatch.setattr(distillation, name, value)


@pytest.mark.usefixtures("shorter_fits")
@pytest.mark.parametrize(("settings", "step"), [(HEADS, 1), (replace(FAST, attempts=2), 3)], ids=["heads", "networks"])
def test_closing_and_continuing_at_any_event_gives_the_same_weights(settings: TeachSettings, step: int) -> None:
    expected = new_teaching(settings)
    for turn in (1, 2):
        run_turn(expected, turn)
    hashes = [(commit.kind, commit.hash) for commit in expected.history.commits]
    for at in count(step // 2, step):
        teaching = new_teaching(settings)
        was_closed = [run_interrupted(teaching, painted(SHAPE, turn), at, turn) for turn in (1, 2)]
        assert [(commit.kind, commit.hash) for commit in teaching.history.commits] == hashes, at
        if not any(was_closed):
            break
    assert at > 3


@pytest.mark.parametrize("at", range(4))
def test_strokes_during_a_round_are_fitted(at: int) -> None:
    teaching = new_teaching()
    events = teaching.run_round(Samples.from_labels(painted(SHAPE, 1)), VIEW, 1)
    for _ in range(at + 1):
        next(events)
    events.close()
    run_turn(teaching, 2)
    expected = new_teaching()
    for turn in (1, 2):
        run_turn(expected, turn)
    assert [c.turn for c in teaching.history.commits] == [c.turn for c in expected.history.commits]
    assert teaching.history.present.hash == expected.history.present.hash


def run_until_predicted(teaching: Teaching, turn: int) -> None:
    """Run a round up to the fit of the head, and close it."""
    events = teaching.run_round(Samples.from_labels(painted(SHAPE, turn)), VIEW, turn)
    next(event for event in events if isinstance(event, HeadFitted))
    events.close()


def test_new_strokes_are_predicted_before_the_earlier_fit_is_committed() -> None:
    teaching = new_teaching()
    run_until_predicted(teaching, 1)
    first = teaching.checkpoint().hash
    names = kinds(run(teaching.run_round(Samples.from_labels(painted(SHAPE, 2)), VIEW, 2)))
    assert names.index("HeadFitted") < names.index("TileDone") < names.index("HistoryChanged")
    commits = teaching.history.commits
    assert [(c.turn, c.strokes) for c in commits] == [(0, 0), (1, 1), (2, 2)]
    assert commits[1].hash == first
    run(teaching.undo())
    assert teaching.samples.equals(Samples.from_labels(painted(SHAPE, 1)))


def test_each_fit_is_committed_even_if_strokes_come_faster() -> None:
    teaching = new_teaching()
    hashes = []
    for turn in (1, 2, 3):
        run_until_predicted(teaching, turn)
        hashes.append(teaching.checkpoint().hash)
    run(teaching.commit())
    assert [(c.turn, c.strokes, c.hash) for c in teaching.history.commits[1:]] == [
        (turn, turn, model_hash) for turn, model_hash in zip((1, 2, 3), hashes, strict=True)
    ]


def test_a_full_fit_that_is_stopped_changes_nothing() -> None:
    teaching = new_teaching()
    run(teaching.fit_head(Samples.from_labels(painted(SHAPE, 3)), VIEW))
    first = predict_whole(teaching)
    fit = teaching.fit_full_head()
    assert kinds([next(fit), next(fit)]) == ["Heartbeat", "Heartbeat"]
    fit.close()
    np.testing.assert_array_equal(predict_whole(teaching), first)
    assert kinds(run(teaching.fit_full_head()))[-1] == "HeadRefined"
    assert np.abs(predict_whole(teaching) - first).max() > 1e-3
    assert run(teaching.fit_full_head()) == []


def test_new_strokes_keep_the_hidden_layer_until_the_next_full_fit() -> None:
    teaching = new_teaching()
    run_turn(teaching, 3)
    assert teaching.model.head.hidden is not None
    run(teaching.fit_head(Samples.from_labels(painted(SHAPE, 4)), VIEW))
    assert teaching.model.head.hidden is not None
    saved = teaching.checkpoint()
    np.testing.assert_allclose(predict_whole(teaching), api.predict(IMAGE, saved, device="cpu"), atol=1e-5)


def test_full_prior_strength_gives_no_hidden_layer() -> None:
    teaching = new_teaching(replace(HEADS, keep=1.0))
    run_turn(teaching, 3)
    assert teaching.model.head.hidden is None
