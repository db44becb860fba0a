from collections.abc import Iterator

import pytest
from pytestqt.qtbot import QtBot

from napari_fcn.gui._controller.herald import LATE, SOON, Herald


class Clock:
    """Counts how often something was due."""

    def __init__(self) -> None:
        self.dues = 0

    def on_due(self) -> None:
        self.dues += 1


@pytest.fixture
def herald(qtbot: QtBot) -> Iterator[Herald]:
    herald = Herald()
    yield herald
    herald.forget()


@pytest.fixture
def clock(herald: Herald) -> Clock:
    clock = Clock()
    herald.due.connect(clock.on_due)
    return clock


def test_what_comes_in_quick_succession_is_shown_once(herald: Herald, clock: Clock, qtbot: QtBot) -> None:
    for _ in range(5):
        herald.tell()
    assert clock.dues == 0
    qtbot.waitUntil(lambda: clock.dues > 0)
    qtbot.wait(2 * SOON)
    assert clock.dues == 1
    assert not herald.is_waiting


def test_news_wait_for_the_answer(herald: Herald) -> None:
    herald.tell()
    assert herald._timer.interval() == SOON
    herald.hold()
    assert herald._timer.interval() == LATE
    herald.release()
    assert herald._timer.interval() == SOON
    assert herald.is_waiting


def test_an_answer_that_does_not_come_holds_news_up_for_a_moment_only(
    herald: Herald, clock: Clock, qtbot: QtBot
) -> None:
    herald.hold()
    herald.tell()
    for _ in range(3):  # a hand that goes on painting
        qtbot.wait(LATE // 3)
        herald.hold()
    qtbot.waitUntil(lambda: clock.dues > 0, timeout=LATE)
    assert herald.is_held


def test_without_news_nothing_is_due(herald: Herald) -> None:
    herald.hold()
    herald.release()
    assert not herald.is_waiting


def test_what_is_shown_is_no_news_any_more(herald: Herald) -> None:
    herald.tell()
    herald.forget()
    assert not herald.is_waiting
