"""Uncertainty, pixels that no stroke reaches, and advice on class balance."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from napari_fcn.geometry import ReceptiveField, Region
from napari_fcn.learning.annotations import Samples
from napari_fcn.learning.suggestions import MAX_IMBALANCE, class_balance_advice, entropy, smooth, unreached_pixels


@given(st.integers(1, 6), arrays.array_shapes(max_dims=3, max_side=5), st.integers(0, 99), st.floats(0, 200))
def test_entropy_is_between_zero_and_one(classes: int, shape: tuple[int, ...], seed: int, contrast: float) -> None:
    logits = np.random.default_rng(seed).normal(0, contrast, (classes, *shape))
    p = np.exp(logits - logits.max(0))
    values = entropy((p / p.sum(0)).astype(np.float32))
    assert values.shape == shape
    assert values.dtype == np.float32
    assert values.min() >= 0
    assert values.max() <= 1


@pytest.mark.parametrize("classes", [2, 3, 5])
def test_entropy_is_one_for_equal_and_zero_for_certain_probabilities(classes: int) -> None:
    assert entropy(np.full((classes, 1), 1 / classes, np.float32)) == pytest.approx(1, abs=1e-6)
    assert entropy(np.eye(classes, dtype=np.float32)).max() < 1e-4


def test_uncertainty_is_smoothed_along_space_only() -> None:
    values = np.zeros((3, 21, 21), np.float32)
    values[1, 10, 10] = 81
    mean = smooth(values, (1, 2))
    assert mean[1, 6:15, 6:15] == pytest.approx(1)
    assert mean[[0, 2]].max() == 0


@st.composite
def examples(draw: st.DrawFn) -> tuple[npt.NDArray[np.uint8], Region, ReceptiveField]:
    shape = draw(arrays.array_shapes(min_dims=2, max_dims=2, min_side=4, max_side=16))
    labels = draw(arrays.arrays(np.uint8, shape, elements=st.sampled_from([0] * 30 + [1, 2])))
    start = tuple(draw(st.integers(0, n - 1)) for n in shape)
    stop = tuple(draw(st.integers(a + 1, n)) for a, n in zip(start, shape, strict=True))
    sides = [tuple(draw(st.integers(0, 5)) for _ in range(2)) for _ in range(2)]
    return labels, Region(start, stop), ReceptiveField(*sides)


@given(examples())
def test_a_pixel_is_unreached_if_no_stroke_is_in_its_receptive_field(
    example: tuple[npt.NDArray[np.uint8], Region, ReceptiveField],
) -> None:
    labels, region, field = example
    is_unreached = unreached_pixels(region, Samples.from_labels(labels), field, (0, 1))
    assert is_unreached.shape == region.shape
    for index in np.ndindex(*region.shape):
        pixel = tuple(i + a for i, a in zip(index, region.start, strict=True))
        box = Region(pixel, tuple(i + 1 for i in pixel)).grow(field.before, field.after).clip(labels.shape)
        assert is_unreached[index] == (not labels[box.slices].any())


def test_strokes_on_another_plane_reach_no_pixel() -> None:
    labels = np.zeros((2, 9, 9), np.uint8)
    labels[0, 4, 4] = 1
    is_unreached = unreached_pixels(
        Region.whole(labels.shape), Samples.from_labels(labels), ReceptiveField((2, 2), (2, 2)), (1, 2)
    )
    assert is_unreached[1].all()
    assert (~is_unreached[0]).sum() == 25


def test_balanced_strokes_give_no_advice() -> None:
    assert class_balance_advice((10, 20), ("a", "b")) == ()
    assert class_balance_advice((0, 0), ("a", "b")) == ()
    assert class_balance_advice((10, 10 * MAX_IMBALANCE), ("a", "b")) == ()


def test_classes_without_strokes_and_rare_ones_are_named() -> None:
    (missing,) = class_balance_advice((10, 0, 0), ("a", "b", "c"))
    assert "There are no strokes of b or c yet" in missing
    (rare,) = class_balance_advice((10, 10 * MAX_IMBALANCE + 1), ("a", "b"))
    assert "b has 201 painted pixels, a only 10. Paint more a" in rare
    assert len(class_balance_advice((1, 100, 0), ("a", "b", "c"))) == 2
