"""Uncertainty, suggestions, comparisons, and the reads and records of a session."""

from dataclasses import asdict, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from teaching_examples import (
    CLASSES,
    FAST,
    HEADS,
    IMAGE,
    RIM,
    SHAPE,
    VIEW,
    always_better,
    confident_model,
    halves,
    head_hash,
    kinds,
    new_teaching,
    painted,
    predict_whole,
    run,
    run_turn,
    tiny,
    whole,
)

from napari_fcn.events import HeadFitted, StrokesScored, TileDone
from napari_fcn.geometry import Region
from napari_fcn.learning.annotations import Samples
from napari_fcn.learning.sparse import SparseLabels
from napari_fcn.models.adapt import make_teachable
from napari_fcn.models.card import ClassLabel
from napari_fcn.receptive_fields.theoretical import theoretical
from napari_fcn.teaching import Teaching


def test_uncertainty_is_between_0_and_1() -> None:
    teaching = new_teaching()
    for turn in (0, 2):
        if turn:
            run_turn(teaching, turn)
        covered = np.zeros(SHAPE, bool)
        for event in teaching.uncertainty(VIEW):
            assert event.values.shape == event.region.shape
            assert 0 <= event.values.min() <= event.values.max() <= 1
            covered[event.region.slices] = True
        assert covered.all()


def test_a_suggestion_has_no_stroke_in_its_receptive_field() -> None:
    shape = (40, 160)
    image = halves(shape)
    model = tiny(depth=0)
    teaching = Teaching(image, make_teachable(model, sigmas=(0.7, 1.0)), settings=HEADS)
    field = theoretical(teaching.info.spec)
    labels = painted(shape, 2)
    for _ in range(3):
        run(teaching.run_round(Samples.from_labels(labels), whole(shape)))
        (event,) = run(teaching.suggest(whole(shape)))
        assert event.region.contains(Region(event.index, tuple(i + 1 for i in event.index)))
        field_box = Region(event.index, tuple(i + 1 for i in event.index)).grow(field.before, field.after).clip(shape)
        assert field_box == event.region
        assert not labels[field_box.slices].any()
        assert 0 < event.uncertainty <= 1
        labels[event.index] = 1


def test_nothing_is_suggested_if_strokes_reach_every_pixel() -> None:
    teaching = new_teaching()
    labels = np.zeros(SHAPE, np.uint8)
    labels[::4, ::4] = 1
    labels[::4, 32::4] = 2
    run(teaching.run_round(Samples.from_labels(labels), VIEW))
    (event,) = run(teaching.suggest(VIEW))
    assert event.region.is_empty
    assert event.uncertainty == 0


def test_two_commits_are_compared() -> None:
    teaching = new_teaching()
    predictions = [predict_whole(teaching)]
    run_turn(teaching, 1)
    predictions.append(predict_whole(teaching))
    for event in teaching.compare(0, 1, VIEW):
        part = predictions[event.commit][(slice(None), *event.tile.region.slices)]
        np.testing.assert_allclose(event.tile.probabilities, part, atol=1e-6)


def test_new_strokes_are_scored_before_the_fit() -> None:
    teaching = Teaching(IMAGE, confident_model(), settings=HEADS)
    accuracies = [e.accepted for turn in (1, 2) for e in run_turn(teaching, turn) if isinstance(e, StrokesScored)]
    assert accuracies == [1.0, 1.0]
    labels = painted(SHAPE, 2)
    labels[40, 2:10] = 2  # the model predicts class 1
    (event,) = [e for e in run(teaching.run_round(Samples.from_labels(labels), VIEW)) if isinstance(e, StrokesScored)]
    assert event.accepted == 0.0


def test_all_actions_that_a_replay_needs_are_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    always_better(monkeypatch)
    records: list[tuple[str, dict[str, Any]]] = []
    teaching = new_teaching(replace(FAST, network="ask"), record=lambda kind, **facts: records.append((kind, facts)))
    for turn in (1, 2):
        run_turn(teaching, turn)
    teaching.pin(Region((0, 0), (3, 3)), "corner")
    run(teaching.accept())
    run(teaching.undo())
    run(teaching.set_classes((*CLASSES, RIM), (0, 1, None)))
    teaching.unpin("corner")
    kinds_recorded = [kind for kind, _ in records]
    assert kinds_recorded == [
        "open", "turn", "settle", "commit", "turn", "settle", "commit", "judge",
        "pin", "commit", "present", "classes", "commit", "unpin",
    ]  # fmt: skip
    assert records[0][1]["settings"] == asdict(teaching.settings)


def test_a_small_feature_cache_gives_the_same_prediction() -> None:
    large, small = new_teaching(), new_teaching(replace(HEADS, memory=0.1))
    small.model.features.budget = 1
    for turn in (1, 2):
        run_turn(large, turn)
        run_turn(small, turn)
    assert head_hash(large) == head_hash(small)


def test_labels_of_up_to_255_classes_are_possible() -> None:
    names = tuple(ClassLabel(f"k{k}", "#000000") for k in range(5))
    teaching = Teaching(IMAGE, None, settings=HEADS, classes=names)
    labels = painted(SHAPE, 1)
    labels[30, 2:6] = 5
    run(teaching.run_round(Samples.from_labels(labels), VIEW))
    assert teaching.samples.counts(5) == (4, 4, 0, 0, 4)


class HugeImage:
    """An image of 4.8 terapixels, computed when it is read."""

    shape, dtype, ndim = (400, 100_000, 120_000), np.dtype(np.uint8), 3

    def __init__(self) -> None:
        self.read = 0

    def __getitem__(self, box: tuple[slice | int, ...]) -> npt.NDArray[np.uint8]:
        positions = [np.arange(n)[part] for part, n in zip(box, self.shape, strict=True)]
        z, y, x = np.ix_(*(np.atleast_1d(position) for position in positions))
        values = ((z + y // 20 + x // 20) % 2 * 150 + (7 * y + 13 * x) % 23).astype(np.uint8)
        self.read += values.size
        return values.reshape([position.size for position in positions if position.ndim])


def test_only_painted_and_visible_parts_of_a_huge_image_are_read() -> None:
    image, view = HugeImage(), Region((200, 50_000, 60_000), (201, 50_060, 60_080))
    teaching = Teaching(image, tiny(), settings=replace(FAST, network="automatic"))
    read_at_start, image.read = image.read, 0
    assert read_at_start < 2**24
    labels = SparseLabels(image.shape)
    labels[Region((200, 50_002, 60_002), (201, 50_005, 60_018)).slices] = 1
    labels[Region((3, 20, 20), (4, 24, 40)).slices] = 2
    events = run(teaching.run_round(Samples.from_labels(labels), view, 2))
    labels[Region((200, 50_022, 60_002), (201, 50_025, 60_018)).slices] = 2
    events += run(teaching.run_round(Samples.from_labels(labels), view, 3))
    assert {"HeadFitted", "TileDone", "StepDone", "CandidateEvaluated"} <= set(kinds(events))
    predicted = [event.region for event in events if isinstance(event, TileDone)]
    assert all(view.contains(region) for region in predicted)
    assert sum(region.size for region in predicted) >= view.size
    assert 0 < image.read < 2**22


def test_notes_on_low_contrast_come_with_each_fit() -> None:
    image = np.random.default_rng(0).normal(100, 10, (100, 100))
    teaching = Teaching(image, settings=HEADS)
    labels = painted(image.shape, 1)
    (event,) = (
        e for e in run(teaching.fit_head(Samples.from_labels(labels), whole(image.shape))) if isinstance(e, HeadFitted)
    )
    assert any("looks like noise" in note for note in event.notes)
