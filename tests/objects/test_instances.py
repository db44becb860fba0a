"""Objects are hills of a landscape, numbered block by block."""

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
from skimage.measure import label

from napari_fcn.errors import ImageError
from napari_fcn.geometry import Region
from napari_fcn.objects import ObjectRule, Separation, find_objects, instances
from napari_fcn.objects.landscape import CLASS_STEP, HEIGHTS

ALL = Separation(smallest=1)


class Array:
    """An array that is read and written by region."""

    def __init__(self, data: np.ndarray) -> None:
        self.data = data

    def read(self, region: Region) -> np.ndarray:
        return self.data[region.slices].copy()

    def write(self, region: Region, block: np.ndarray) -> None:
        self.data[region.slices] = block


def objects_of(landscape: np.ndarray, rule: ObjectRule, block: int = 10**6, separation: Separation = ALL) -> np.ndarray:
    """Return the objects of an image, numbered in blocks of this length."""
    scratch, objects = (Array(np.full(landscape.shape, 99, np.uint32)) for _ in range(2))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(instances, "BLOCK_SHAPES", {n: (block,) * n for n in (1, 2, 3)})
        found = find_objects(Array(landscape), scratch, objects, landscape.shape, rule, separation)
        steps = list(found)
    assert steps == [len(steps)] * len(steps)
    return objects.data


def flat(classes: np.ndarray) -> np.ndarray:
    """Return the landscape of classes of equal height; class 0 is background."""
    return np.where(classes > 0, (classes.astype(int) - 1) * CLASS_STEP + HEIGHTS, 0).astype(np.uint16)


@st.composite
def images(draw: st.DrawFn) -> tuple[np.ndarray, ObjectRule, int, Separation]:
    shape = tuple(draw(st.lists(st.integers(1, 9), min_size=1, max_size=4)))
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    heights = rng.integers(1, draw(st.sampled_from([2, 5, HEIGHTS + 1])), shape)
    classes = rng.integers(0, draw(st.sampled_from([2, 3])) + 1, shape)
    landscape = np.where(classes > 0, (classes - 1) * CLASS_STEP + heights, 0).astype(np.uint16)
    axes = tuple(range(len(shape)))[-3:]
    rule = ObjectRule((1, 2), (), draw(st.sampled_from([axes, axes[1:] or axes])))
    separation = Separation(draw(st.sampled_from([0.0, 0.01, 0.1, 0.5, 1.0])), draw(st.sampled_from([1, 3])))
    return landscape, rule, draw(st.integers(1, 5)), separation


@hypothesis.given(images())
@hypothesis.settings(max_examples=60)
def test_blocks_of_any_size_equal_the_whole_image(image: tuple[np.ndarray, ObjectRule, int, Separation]) -> None:
    landscape, rule, block, separation = image
    in_blocks = objects_of(landscape, rule, block, separation)
    np.testing.assert_array_equal(in_blocks, objects_of(landscape, rule, separation=separation))


@pytest.mark.parametrize("block", [3, 100])
@pytest.mark.parametrize("shape", [(40,), (21, 34), (9, 12, 11)])
def test_flat_objects_equal_the_components_of_scikit_image(
    shape: tuple[int, ...], block: int, rng: np.random.Generator
) -> None:
    classes = rng.choice(3, shape, p=[0.5, 0.3, 0.2])
    rule = ObjectRule((1, 2), (), tuple(range(len(shape))), is_flat=True)
    np.testing.assert_array_equal(objects_of(flat(classes), rule, block), label(classes, background=0, connectivity=1))


def test_a_winding_object_across_many_blocks_is_one() -> None:
    classes = np.zeros((31, 31), np.uint8)
    classes[::2] = 1
    classes[1::4, -1] = classes[3::4, 0] = 1
    assert objects_of(flat(classes), ObjectRule((1,), (), (0, 1)), 4).max() == 1


def test_each_time_point_has_its_own_objects() -> None:
    rule = ObjectRule.from_class_names(["background", "cell"], "tyx", "yx")
    found = objects_of(flat(np.ones((3, 4, 5), np.uint8)), rule)
    assert [int(frame.max()) for frame in found] == [1, 2, 3]


def test_planes_of_a_stack_share_objects() -> None:
    rule = ObjectRule.from_class_names(["background", "cell"], "tzyx", "yx")
    assert objects_of(flat(np.ones((2, 3, 4, 5), np.uint8)), rule).max() == 2


@pytest.mark.parametrize(("depth", "count"), [(0.1, 3), (0.3, 2), (0.9, 1)])
def test_a_peak_is_an_object_if_it_rises_enough_above_the_pass_to_a_higher_one(depth: float, count: int) -> None:
    line = np.array([0, 90, 200, 150, 190, 240, 120, 255, 130, 0], np.uint16)  # rises of 50 and 120
    found = objects_of(line, ObjectRule((1,), (2,), (0,)), separation=Separation(depth, 1))
    assert found.max() == count
    assert (found[1:-1] > 0).all()


def test_small_and_low_hills_are_no_objects() -> None:
    line = np.array([255, 0, 200, 200, 0, 80, 80, 80], np.uint16)
    assert objects_of(line, ObjectRule((1,), (2,), (0,)), separation=Separation(0.1, 2)).tolist() == [
        0,
        0,
        1,
        1,
        0,
        0,
        0,
        0,
    ]


def test_the_smallest_object_depends_on_the_dimension() -> None:
    assert [Separation().min_pixels(ObjectRule((1,), (), axes)) for axes in [(0,), (0, 1), (0, 1, 2)]] == [5, 15, 40]
    assert Separation(smallest=7).min_pixels(ObjectRule((1,), (), (0,))) == 7


def test_too_many_objects_raise_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(instances, "MAX_OBJECTS", 7)
    with pytest.raises(ImageError, match="more than 7 objects"):
        objects_of(flat(np.eye(8, dtype=np.uint8)), ObjectRule((1,), (), (0, 1)), 3)


def test_an_image_without_objects_is_background() -> None:
    assert not objects_of(np.zeros((5, 6), np.uint16), ObjectRule((1,), (2,), (0, 1)), 2).any()
