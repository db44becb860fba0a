"""Agreement with pins, and mappings between class indices."""

import numpy as np
import numpy.typing as npt
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from napari_fcn.geometry import Region
from napari_fcn.learning.pins import REMOVED, Pin, agreement, mapping_between, remap_pins, remove_pin, to_new_indices

CLASSES = arrays.arrays(np.uint8, arrays.array_shapes(min_dims=1, max_dims=3, max_side=12), elements=st.integers(0, 2))


@given(CLASSES)
def test_a_pin_agrees_with_itself(pinned: npt.NDArray[np.uint8]) -> None:
    assert agreement(pinned, pinned) == 1
    assert agreement(pinned + 1, pinned) == 0


def test_a_rare_class_of_a_pin_counts_as_much_as_a_common_one() -> None:
    pinned = np.array([0] * 99 + [1], np.uint8)
    assert agreement(np.zeros(100, np.uint8), pinned) == 0.5


def test_removed_classes_of_a_pin_are_ignored() -> None:
    pinned = np.array([0, 0, REMOVED, REMOVED], np.uint8)
    assert agreement(np.array([0, 1, 0, 1], np.uint8), pinned) == 0.5
    assert agreement(np.zeros(4, np.uint8), np.full(4, REMOVED, np.uint8)) == 1


@given(st.permutations(range(4)), st.integers(0, 3))
def test_old_classes_are_mapped_to_their_new_index(order: list[int], removed: int) -> None:
    old_indices = [None if k == removed else k for k in order]
    table = to_new_indices(old_indices)
    assert [table[k] for k in range(4)] == [REMOVED if k == removed else order.index(k) for k in range(4)]
    assert (table[4:] == REMOVED).all()


@given(st.lists(st.tuples(st.permutations(range(3)), st.booleans()), max_size=4), st.data())
def test_mappings_between_commits_are_inverse(changes: list[tuple[list[int], bool]], data: st.DataObject) -> None:
    lineage = tuple(
        (n, tuple(None if is_new and k == 0 else k for k in order)) for n, (order, is_new) in enumerate(changes)
    )
    fork = data.draw(st.integers(0, len(lineage)))
    forward, backward = mapping_between(lineage[:fork], lineage), mapping_between(lineage, lineage[:fork])
    for k in range(3):
        assert forward[k] == REMOVED or backward[forward[k]] == k
    assert (mapping_between(lineage, lineage) == np.arange(256)).all()
    assert mapping_between(lineage, ((99, (2, 0, 1)),))[REMOVED] == REMOVED


def test_pins_are_remapped_and_removed_by_name() -> None:
    pins = [Pin(name, Region((0,), (3,)), np.array([0, 1, REMOVED], np.uint8)) for name in "ab"]
    for pin in remap_pins(pins, to_new_indices((1, None))):
        assert pin.classes.tolist() == [REMOVED, 0, REMOVED]
    assert [pin.name for pin in remove_pin(pins, "a")] == ["b"]
    assert remove_pin(pins, "c") == tuple(pins)
