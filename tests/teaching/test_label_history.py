"""What was painted at a commit is known, of this session and of earlier ones."""

import numpy as np
from lessons import painted, samples_of

from napari_fcn.events import Commit
from napari_fcn.learning.annotations import Samples
from napari_fcn.teaching.label_history import LabelHistory

SHAPE = (48, 64)


def commit(number: int, turn: int) -> Commit:
    return Commit(number, None, "head", turn, turn, "")


def test_what_is_kept_comes_back_with_its_turns() -> None:
    known, samples = LabelHistory(SHAPE, None), samples_of(SHAPE, 3)
    known.record(commit(4, 3), samples)
    assert known.samples_at(commit(4, 3)) is samples


def test_what_an_earlier_session_painted_counts_as_one_turn_and_is_recalled_once() -> None:
    asked: list[int] = []

    def recall(number: int) -> Samples:
        asked.append(number)
        return Samples.from_labels(painted(SHAPE, 2))

    known = LabelHistory(SHAPE, recall)
    for _ in range(2):
        found = known.samples_at(commit(7, 5))
        assert found.equals(samples_of(SHAPE, 2))
        assert set(found.turn) == {5}
    assert asked == [7]


def test_before_the_first_turn_nothing_was_painted() -> None:
    def recall(number: int) -> Samples:
        raise AssertionError(number)

    for known in (LabelHistory(SHAPE, None), LabelHistory(SHAPE, recall)):
        assert known.samples_at(commit(0, 0)).equals(Samples.from_labels(np.zeros(SHAPE, np.uint8)))
