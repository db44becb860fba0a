"""Scores, the decision between two models, and changed regions."""

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from napari_fcn.events import PinScore
from napari_fcn.learning.annotations import Samples
from napari_fcn.learning.evaluation import (
    MAX_CHANGES,
    MIN_CHANGE_PIXELS,
    Scores,
    changed_regions,
    decide,
    evaluate,
    mean_scores,
    split_halves,
)

CLASSES = arrays.arrays(np.uint8, arrays.array_shapes(min_dims=1, max_dims=3, max_side=12), elements=st.integers(0, 2))
GOOD, BAD = Scores(0.9, 0.1), Scores(0.5, 0.7)


@given(st.integers(1, 60), st.integers(2, 4), st.integers(0, 99))
def test_scores_weight_each_painted_class_equally(count: int, classes: int, seed: int) -> None:
    rng = torch.Generator().manual_seed(seed)
    logits, y = torch.randn(count, classes, generator=rng), torch.randint(classes, (count,), generator=rng)
    scores = evaluate(logits, y)
    hits = (logits.argmax(1) == y).float()
    assert scores.accuracy == pytest.approx(np.mean([hits[y == k].mean() for k in y.unique()]), abs=1e-6)
    assert 0 <= scores.nll <= 10
    assert evaluate(torch.nn.functional.one_hot(y, classes) * 100.0, y) == Scores(1.0, 0.0)


def test_without_test_strokes_scores_are_nan_and_no_candidate_is_better() -> None:
    no_scores = evaluate(torch.zeros(0, 2), torch.zeros(0, dtype=torch.int64))
    assert np.isnan([no_scores.accuracy, no_scores.nll, mean_scores([]).accuracy]).all()
    for scores in ([(no_scores, no_scores)], [(GOOD, no_scores)], []):
        is_better, reason = decide(scores, [])
        assert not is_better
        assert "no test strokes" in reason
        assert "nan" not in reason


def test_one_confident_error_does_not_outweigh_all_other_samples() -> None:
    scores = evaluate(torch.tensor([[0.0, 1e6]] + [[5.0, -5.0]] * 9), torch.zeros(10, dtype=torch.int64))
    assert scores.nll < 1.1


@given(st.lists(st.integers(0, 2), max_size=60))
def test_halves_are_a_partition_of_each_class(values: list[int]) -> None:
    samples = Samples.from_labels(np.array([v + 1 for v in values], np.uint8))
    first, second = split_halves(samples)
    assert sorted([*first.pixel_index, *second.pixel_index]) == list(samples.pixel_index)
    for value in set(values):
        in_first, in_second = (
            first.pixel_index[first.class_index == value],
            second.pixel_index[second.class_index == value],
        )
        assert 0 <= len(in_second) - len(in_first) <= 1
        assert not len(in_first) or in_first.max() < in_second.min()


def test_the_mean_of_scores_averages_accuracy_and_nll() -> None:
    assert mean_scores([Scores(0.0, 1.0), Scores(1.0, 3.0)]) == Scores(0.5, 2.0)


@pytest.mark.parametrize(
    ("scores", "pins", "is_better", "sentence"),
    [
        ([(BAD, GOOD)], [], True, "Better on the new strokes: 90% correct (current model 50%)"),
        ([(GOOD, BAD)], [], False, "Worse on the new strokes: 50% correct (current model 90%)"),
        ([(GOOD, GOOD)], [], False, "Not better on the new strokes"),
        ([(GOOD, Scores(0.9, 0.2))], [], False, "not more confident"),
        ([(GOOD, Scores(GOOD.accuracy, 1.01 * GOOD.nll))], [], False, "not more confident"),
        ([(GOOD, Scores(GOOD.accuracy, 0.99 * GOOD.nll))], [], True, "and more confident"),
        ([(GOOD, Scores(0.9, 0.05))], [], True, "Better"),
        (
            [(BAD, GOOD), (GOOD, BAD)],
            [],
            False,
            "Worse after both heads were fitted to half of the new strokes: 50% correct",
        ),
        ([(BAD, GOOD), (BAD, GOOD)], [], True, "Better"),
        ([(BAD, Scores(1.0, float("nan")))], [], False, "Not better"),
        ([(BAD, GOOD)], [PinScore("a", 1.0, 0.99)], False, "Pin a would get worse: 99.0% of it predicted as pinned"),
        ([(BAD, GOOD)], [PinScore("a", 1.0, 0.996)], True, "Better"),
        ([(BAD, GOOD)], [PinScore("a", 0.2, 0.3), PinScore("b", 0.9, 0.1)], False, "Pin b"),
    ],
)
def test_the_decision_has_a_reason(
    scores: list[tuple[Scores, Scores]], pins: list[PinScore], is_better: bool, sentence: str
) -> None:
    decision, reason = decide(scores, pins)
    assert decision == is_better
    assert sentence in reason


@given(CLASSES, st.integers(0, 9), st.integers(-5, 50))
def test_changed_regions_are_where_predictions_differ(before: npt.NDArray[np.uint8], seed: int, shift: int) -> None:
    after = np.random.default_rng(seed).integers(0, 3, before.shape).astype(np.uint8)
    changes = changed_regions(before, after, (shift,) * before.ndim)
    differs = before != after
    assert [c.pixels for c in changes] == sorted((c.pixels for c in changes), reverse=True)
    assert all(c.pixels >= MIN_CHANGE_PIXELS for c in changes)
    assert sum(c.pixels for c in changes) <= differs.sum()
    for change in changes:
        box = change.region.shift((-shift,) * before.ndim)
        assert differs[box.slices].sum() >= change.pixels
        assert (before[box.slices][differs[box.slices]] == change.before).any()
        assert (after[box.slices][differs[box.slices]] == change.after).any()
    assert changed_regions(before, before, (0,) * before.ndim) == ()


def test_a_changed_region_has_its_box_size_and_classes() -> None:
    before, after = np.zeros((20, 20), np.uint8), np.zeros((20, 20), np.uint8)
    after[3:6, 4:10] = 2
    after[15, 15] = 1  # a speck
    (change,) = changed_regions(before, after, (100, 200))
    assert (change.region.start, change.region.stop) == ((103, 204), (106, 210))
    assert (change.pixels, change.before, change.after) == (18, 0, 2)


def test_of_many_changes_the_largest_are_listed() -> None:
    after = np.zeros((4, 600), np.uint8)
    for k in range(80):
        after[:4, 7 * k : 7 * k + 1 + k // 40] = 1
    changes = changed_regions(np.zeros_like(after), after, (0, 0))
    assert len(changes) == MAX_CHANGES
    assert changes[0].pixels == 8
