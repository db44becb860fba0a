import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
from skimage.measure import label

from napari_fcn.errors import ImageError
from napari_fcn.geometry import Region
from napari_fcn.objects import ObjectRule, find_objects, instances


class Array:
    """An array that is read and written by region."""

    def __init__(self, data: np.ndarray) -> None:
        self.data = data

    def read(self, region: Region) -> np.ndarray:
        return self.data[region.slices].copy()

    def write(self, region: Region, block: np.ndarray) -> None:
        self.data[region.slices] = block


def objects_of(classes: np.ndarray, rule: ObjectRule, block: int = 10**6) -> np.ndarray:
    """Return the objects of an image, labelled in blocks of this length."""
    scratch, objects = (Array(np.full(classes.shape, 99, np.uint32)) for _ in range(2))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(instances, "BLOCK_SHAPES", {n: (block,) * n for n in (1, 2, 3)})
        steps = list(find_objects(Array(classes), scratch, objects, classes.shape, rule))
    assert steps == [len(steps)] * len(steps)
    return objects.data


@st.composite
def images(draw: st.DrawFn) -> tuple[np.ndarray, ObjectRule, int]:
    shape = tuple(draw(st.lists(st.integers(1, 9), min_size=1, max_size=4)))
    seed, few = draw(st.integers(0, 2**16)), draw(st.sampled_from([0.3, 0.6, 0.8]))
    rng = np.random.default_rng(seed)
    classes = np.where(rng.random(shape) < few, rng.integers(1, 4, shape), 0).astype(np.uint8)
    axes = tuple(range(len(shape)))[-3:]
    rim = draw(st.sampled_from([(), (2,), (2, 3)]))
    inside = tuple(i for i in (1, 2, 3) if i not in rim)
    return classes, ObjectRule(inside, rim, draw(st.sampled_from([axes, axes[1:] or axes]))), draw(st.integers(1, 5))


@hypothesis.given(images())
@hypothesis.settings(max_examples=60)
def test_blocks_of_any_size_equal_the_whole_image(image: tuple[np.ndarray, ObjectRule, int]) -> None:
    classes, rule, block = image
    np.testing.assert_array_equal(objects_of(classes, rule, block), objects_of(classes, rule))


@pytest.mark.parametrize("block", [3, 100])
@pytest.mark.parametrize("shape", [(40,), (21, 34), (9, 12, 11)])
def test_without_a_rim_objects_equal_the_components_of_scikit_image(
    shape: tuple[int, ...], block: int, rng: np.random.Generator
) -> None:
    classes = rng.choice(3, shape, p=[0.5, 0.3, 0.2])
    rule = ObjectRule((1, 2), (), tuple(range(len(shape))))
    np.testing.assert_array_equal(objects_of(classes, rule, block), label(classes, background=0, connectivity=1))


def test_a_winding_object_across_many_blocks_is_one() -> None:
    classes = np.zeros((31, 31), np.uint8)
    classes[::2] = 1
    classes[1::4, -1] = classes[3::4, 0] = 1
    assert objects_of(classes, ObjectRule((1,), (), (0, 1)), 4).max() == 1


def test_each_time_point_has_its_own_objects() -> None:
    classes = np.ones((3, 4, 5), np.uint8)
    rule = ObjectRule.from_class_names(["background", "cell"], "tyx", "yx")
    assert [int(frame.max()) for frame in objects_of(classes, rule)] == [1, 2, 3]


def test_planes_of_a_stack_share_objects() -> None:
    rule = ObjectRule.from_class_names(["background", "cell"], "tzyx", "yx")
    assert objects_of(np.ones((2, 3, 4, 5), np.uint8), rule).max() == 2


def test_touching_objects_are_separated_by_their_rims_and_include_them() -> None:
    classes = np.array([[0, 2, 1, 1, 2, 2, 1, 2, 0]], np.uint8)
    rule = ObjectRule.from_class_names(["background", "nucleus", "rim"], "yx", "yx")
    assert objects_of(classes, rule).tolist() == [[0, 1, 1, 1, 1, 2, 2, 2, 0]]


def test_a_rim_far_from_objects_is_background() -> None:
    classes = np.array([1, 2, 2, 2, 2, 2, 0], np.uint8)
    assert objects_of(classes, ObjectRule((1,), (2,), (0,))).tolist() == [1] * (1 + instances.GROWTH) + [0] * 3


@pytest.mark.parametrize(
    ("names", "inside", "rim"),
    [
        (["background", "nucleus", "rim"], (1,), (2,)),
        (["background", "Border", "nucleus", "cytoplasm"], (2, 3), (1,)),
        (["background", "membrane"], (0,), ()),
        (["background", "Cell walls"], (0,), ()),
        (["background", "rim"], (1,), ()),
        (["background", "a", "b"], (1, 2), ()),
    ],
)
def test_class_names_determine_the_objects(names: list[str], inside: tuple, rim: tuple) -> None:
    rule = ObjectRule.from_class_names(names, "yx", "yx")
    assert (rule.inside, rule.rim) == (inside, rim)


def test_axes_of_other_names_connect_if_the_network_convolves_them() -> None:
    assert ObjectRule.from_class_names(["background", "a"], ("q", "t", "x"), ("q",)).axes == (0, 2)
    assert ObjectRule.from_class_names(["background", "a"], "tyx", ("t", "y", "x")).axes == (1, 2)


def test_too_many_objects_raise_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(instances, "MAX_OBJECTS", 7)
    with pytest.raises(ImageError, match="more than 7 objects"):
        objects_of(np.eye(8, dtype=np.uint8), ObjectRule((1,), (), (0, 1)), 3)


def test_an_image_without_objects_is_background() -> None:
    assert not objects_of(np.zeros((5, 6), np.uint8), ObjectRule((1,), (2,), (0, 1)), 2).any()
