"""Which pixels can form objects, and their heights."""

import numpy as np
import pytest

from napari_fcn.objects import ObjectRule
from napari_fcn.objects.landscape import CLASS_STEP, HEIGHTS


@pytest.mark.parametrize(
    ("names", "inside", "rim", "is_flat"),
    [
        (["background", "nucleus", "rim"], (1,), (2,), False),
        (["background", "Border", "nucleus", "cytoplasm"], (2, 3), (1,), False),
        (["background", "membrane"], (0,), (), False),
        (["background", "Cell walls"], (0,), (), False),
        (["background", "rim"], (1,), (), True),
        (["background", "a", "b"], (1, 2), (), True),
    ],
)
def test_class_names_determine_the_objects(names: list[str], inside: tuple, rim: tuple, is_flat: bool) -> None:
    rule = ObjectRule.from_class_names(names, "yx", "yx")
    assert (rule.inside, rule.rim, rule.is_flat) == (inside, rim, is_flat)


def test_axes_of_other_names_connect_if_the_network_convolves_them() -> None:
    assert ObjectRule.from_class_names(["background", "a"], ("q", "t", "x"), ("q",)).axes == (0, 2)
    assert ObjectRule.from_class_names(["background", "a"], "tyx", ("t", "y", "x")).axes == (1, 2)


def test_rims_are_valleys_of_objects_and_the_background_is_none() -> None:
    rule = ObjectRule((1,), (2,), (0,))
    probabilities = np.array([[0.9, 0.3, 0.1, 0.6], [0.05, 0.6, 0.1, 0.3], [0.05, 0.1, 0.8, 0.1]])
    assert rule.landscape(probabilities).tolist() == [0, 1 + round(0.6 * 254), 1 + round(0.1 * 254), 0]


def test_the_distance_to_the_border_counts_as_much_as_the_probability() -> None:
    rule = ObjectRule((1,), (2,), (0,))
    probabilities = np.array([[0.0, 0.0], [1.0, 1.0], [0.0, 0.0]])
    found = rule.landscape(probabilities, np.array([1.3, 0.25]))
    assert found.tolist() == [HEIGHTS, 1 + round(254 * 0.5)]


def test_classes_without_rims_are_flat_and_keep_their_class() -> None:
    rule = ObjectRule((1, 2), (), (0,), is_flat=True)
    probabilities = np.array([[0.2, 0.1, 0.9], [0.5, 0.2, 0.1], [0.3, 0.7, 0.0]])
    assert rule.landscape(probabilities).tolist() == [HEIGHTS, CLASS_STEP + HEIGHTS, 0]
