"""A candidate is judged by strokes that it has not seen, and by pins."""

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
    draw = torch.Generator().manual_seed(seed)
    logits, label = torch.randn(count, classes, generator=draw), torch.randint(classes, (count,), generator=draw)
    marks = evaluate(logits, label)
    hits = (logits.argmax(1) == label).float()
    assert marks.accuracy == pytest.approx(np.mean([hits[label == k].mean() for k in label.unique()]), abs=1e-6)
    assert 0 <= marks.nll <= 10
    assert evaluate(torch.nn.functional.one_hot(label, classes) * 100.0, label) == Scores(1.0, 0.0)


def test_without_test_strokes_there_are_no_scores_and_no_winner() -> None:
    nothing = evaluate(torch.zeros(0, 2), torch.zeros(0, dtype=torch.int64))
    assert np.isnan([nothing.accuracy, nothing.nll, mean_scores([]).accuracy]).all()
    for marks in ([(nothing, nothing)], [(GOOD, nothing)], []):
        is_better, reason = decide(marks, [])
        assert not is_better
        assert "no test strokes" in reason
        assert "nan" not in reason


def test_one_stroke_that_is_sure_and_wrong_does_not_outweigh_all_others() -> None:
    marks = evaluate(torch.tensor([[0.0, 1e6]] + [[5.0, -5.0]] * 9), torch.zeros(10, dtype=torch.int64))
    assert marks.nll < 1.1


@given(st.lists(st.integers(0, 2), max_size=60))
def test_halves_are_apart_and_hold_all_classes(values: list[int]) -> None:
    samples = Samples.from_labels(np.array([v + 1 for v in values], np.uint8))
    first, second = split_halves(samples)
    assert sorted([*first.pixel_index, *second.pixel_index]) == list(samples.pixel_index)
    for value in set(values):
        ours, others = first.pixel_index[first.class_index == value], second.pixel_index[second.class_index == value]
        assert 0 <= len(others) - len(ours) <= 1
        assert not len(ours) or ours.max() < others.min()


def test_the_mean_of_scores_averages_accuracy_and_nll() -> None:
    assert mean_scores([Scores(0.0, 1.0), Scores(1.0, 3.0)]) == Scores(0.5, 2.0)


@pytest.mark.parametrize(
    ("marks", "pins", "is_better", "words"),
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
    marks: list[tuple[Scores, Scores]], pins: list[PinScore], is_better: bool, words: str
) -> None:
    found, reason = decide(marks, pins)
    assert found == is_better
    assert words in reason


@given(CLASSES, st.integers(0, 9), st.integers(-5, 50))
def test_changed_regions_are_where_predictions_differ(before: npt.NDArray[np.uint8], seed: int, shift: int) -> None:
    after = np.random.default_rng(seed).integers(0, 3, before.shape).astype(np.uint8)
    found = changed_regions(before, after, (shift,) * before.ndim)
    differ = before != after
    assert [c.pixels for c in found] == sorted((c.pixels for c in found), reverse=True)
    assert all(c.pixels >= MIN_CHANGE_PIXELS for c in found)
    assert sum(c.pixels for c in found) <= differ.sum()
    for change in found:
        box = change.region.shift((-shift,) * before.ndim)
        assert differ[box.slices].sum() >= change.pixels
        assert (before[box.slices][differ[box.slices]] == change.before).any()
        assert (after[box.slices][differ[box.slices]] == change.after).any()
    assert changed_regions(before, before, (0,) * before.ndim) == ()


def test_one_place_is_told_with_its_classes() -> None:
    before, after = np.zeros((20, 20), np.uint8), np.zeros((20, 20), np.uint8)
    after[3:6, 4:10] = 2
    after[15, 15] = 1  # a speck
    (found,) = changed_regions(before, after, (100, 200))
    assert (found.region.start, found.region.stop) == ((103, 204), (106, 210))
    assert (found.pixels, found.before, found.after) == (18, 0, 2)


def test_of_very_many_places_the_largest_are_told() -> None:
    after = np.zeros((4, 600), np.uint8)
    for k in range(80):
        after[:4, 7 * k : 7 * k + 1 + k // 40] = 1
    found = changed_regions(np.zeros_like(after), after, (0, 0))
    assert len(found) == MAX_CHANGES
    assert found[0].pixels == 8
