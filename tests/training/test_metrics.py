"""Metrics on hand-made examples."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra import numpy as hnp

from napari_fcn.training.metrics import boundary_f1, centre_line, dice, outline

MASKS = hnp.arrays(bool, (6, 7))
NOTHING = np.zeros((8, 8), bool)


def line(column: int, rows: int = 20) -> np.ndarray:
    mask = np.zeros((20, 20), bool)
    mask[:rows, column] = True
    return mask


@given(MASKS, MASKS)
def test_scores_are_symmetric_and_within_0_and_1(one: np.ndarray, other: np.ndarray) -> None:
    for score in (dice, boundary_f1):
        assert 0 <= score(one, other) <= 1
        assert score(one, other) == pytest.approx(score(other, one))
        assert score(one, one) == 1


def test_dice_of_half_an_overlap() -> None:
    one, other = np.array([1, 1, 0, 0], bool), np.array([0, 1, 1, 0], bool)
    assert dice(one, other) == 0.5
    assert dice(one, ~one) == 0
    assert dice(np.array([1, 1, 1], bool), np.array([1, 0, 0], bool)) == 0.5


def test_two_empty_masks_score_one_and_one_empty_mask_zero() -> None:
    assert dice(NOTHING, NOTHING) == boundary_f1(NOTHING, NOTHING) == 1
    assert dice(NOTHING, ~NOTHING) == boundary_f1(NOTHING, ~NOTHING) == boundary_f1(~NOTHING, NOTHING) == 0


@pytest.mark.parametrize("score", [dice, boundary_f1])
def test_without_labelled_pixels_scores_are_nan(score: Any) -> None:
    assert np.isnan(score(NOTHING, NOTHING, mask=NOTHING))
    assert np.isnan(score(~NOTHING, ~NOTHING, mask=NOTHING))
    assert np.isnan(score(NOTHING[:0], NOTHING[:0]))


@pytest.mark.parametrize("score", [dice, boundary_f1])
def test_only_labelled_pixels_are_scored(score: Any) -> None:
    is_labelled = ~NOTHING
    is_labelled[:, 4:] = False
    prediction, truth = NOTHING.copy(), NOTHING.copy()
    prediction[2, :4] = truth[2] = True
    assert score(prediction, truth) < 1
    assert score(prediction, truth, mask=is_labelled) == 1


@pytest.mark.parametrize(("shift", "score"), [(0, 1), (2, 1), (3, 0)])
def test_lines_match_within_two_pixels(shift: int, score: float) -> None:
    assert boundary_f1(line(8), line(8 + shift)) == score


def test_half_a_line_has_full_precision_and_half_the_recall() -> None:
    recall = 12 / 20  # ten pixels, and two within the tolerance
    assert boundary_f1(line(8, rows=10), line(8)) == pytest.approx(2 * recall / (1 + recall))


def test_the_tolerance_is_measured_in_pixels() -> None:
    assert boundary_f1(line(8), line(13), tolerance=5) == 1


def test_the_outline_is_the_outermost_ring() -> None:
    mask = np.zeros((7, 7), bool)
    mask[1:6, 1:6] = True
    inner = np.zeros((7, 7), bool)
    inner[2:5, 2:5] = True
    np.testing.assert_array_equal(outline(mask), mask & ~inner)


def test_the_centre_line_of_a_band_is_its_middle() -> None:
    band = np.zeros((21, 9), bool)
    band[:, 3:6] = True
    result = centre_line(band)
    assert result[3:-3, 4].all()
    assert not result[:, [3, 5]][3:-3].any()


@given(MASKS)
def test_centre_lines_are_inside_their_mask(mask: np.ndarray) -> None:
    assert not (outline(mask) & ~mask).any()
    assert not (centre_line(mask) & ~mask).any()


def test_centre_lines_of_a_volume_are_those_of_its_planes() -> None:
    wall = np.zeros((3, 20, 20), bool)
    wall[:, :, 8:13] = True
    lines = centre_line(wall)
    assert lines[:, 3:-3].sum() == 3 * 14
    assert (lines == lines[0]).all()
