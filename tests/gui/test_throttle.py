import pytest
from gui.clocks import ManualTimer

from napari_fcn.gui._controllers.teach.throttle import LATE, SOON, UpdateThrottle


class Counter:
    """Counts how often something was due."""

    def __init__(self) -> None:
        self.dues = 0

    def on_due(self) -> None:
        self.dues += 1


@pytest.fixture
def herald(qapp: object) -> UpdateThrottle:
    return UpdateThrottle(timer=ManualTimer)


@pytest.fixture
def timer(herald: UpdateThrottle) -> ManualTimer:
    timer = herald._timer
    assert isinstance(timer, ManualTimer)
    return timer


@pytest.fixture
def counter(herald: UpdateThrottle) -> Counter:
    counter = Counter()
    herald.due.connect(counter.on_due)
    return counter


def test_what_comes_in_quick_succession_is_shown_once(
    herald: UpdateThrottle, timer: ManualTimer, counter: Counter
) -> None:
    for _ in range(5):
        herald.request()
    assert counter.dues == 0
    timer.fire()
    assert counter.dues == 1
    assert not herald.is_waiting


def test_news_wait_for_the_answer(herald: UpdateThrottle, timer: ManualTimer) -> None:
    herald.request()
    assert timer.interval() == SOON
    herald.hold()
    assert timer.interval() == LATE
    herald.release()
    assert timer.interval() == SOON
    assert herald.is_waiting


def test_an_answer_that_does_not_come_holds_news_up_for_a_moment_only(
    herald: UpdateThrottle, timer: ManualTimer, counter: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    herald.hold()
    herald.request()
    begun: list[int | None] = []
    monkeypatch.setattr(timer, "start", begun.append)
    for _ in range(3):  # a hand that goes on painting
        herald.hold()
    assert begun == []  # the moment does not begin anew
    timer.fire()
    assert counter.dues == 1
    assert herald.is_held


def test_without_news_nothing_is_due(herald: UpdateThrottle) -> None:
    herald.hold()
    herald.release()
    assert not herald.is_waiting


def test_what_is_shown_is_no_news_any_more(herald: UpdateThrottle) -> None:
    herald.request()
    herald.cancel()
    assert not herald.is_waiting
