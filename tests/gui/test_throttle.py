import pytest
from gui.clocks import ManualTimer

from napari_fcn.gui._controllers.teach.throttle import LATE, SOON, UpdateThrottle


class Counter:
    """Counts updates."""

    def __init__(self) -> None:
        self.dues = 0

    def on_due(self) -> None:
        self.dues += 1


@pytest.fixture
def throttle(qapp: object) -> UpdateThrottle:
    return UpdateThrottle(timer=ManualTimer)


@pytest.fixture
def timer(throttle: UpdateThrottle) -> ManualTimer:
    timer = throttle._timer
    assert isinstance(timer, ManualTimer)
    return timer


@pytest.fixture
def counter(throttle: UpdateThrottle) -> Counter:
    counter = Counter()
    throttle.due.connect(counter.on_due)
    return counter


def test_changes_in_quick_succession_give_one_update(
    throttle: UpdateThrottle, timer: ManualTimer, counter: Counter
) -> None:
    for _ in range(5):
        throttle.request()
    assert counter.dues == 0
    timer.fire()
    assert counter.dues == 1
    assert not throttle.is_waiting


def test_updates_wait_for_the_prediction(throttle: UpdateThrottle, timer: ManualTimer) -> None:
    throttle.request()
    assert timer.interval() == SOON
    throttle.hold()
    assert timer.interval() == LATE
    throttle.release()
    assert timer.interval() == SOON
    assert throttle.is_waiting


def test_a_late_prediction_does_not_delay_updates_for_long(
    throttle: UpdateThrottle, timer: ManualTimer, counter: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    throttle.hold()
    throttle.request()
    restarts: list[int | None] = []
    monkeypatch.setattr(timer, "start", restarts.append)
    for _ in range(3):  # continuous painting
        throttle.hold()
    assert restarts == []  # the delay does not start again
    timer.fire()
    assert counter.dues == 1
    assert throttle.is_held


def test_without_changes_there_is_no_update(throttle: UpdateThrottle) -> None:
    throttle.hold()
    throttle.release()
    assert not throttle.is_waiting


def test_an_update_can_be_cancelled(throttle: UpdateThrottle) -> None:
    throttle.request()
    throttle.cancel()
    assert not throttle.is_waiting
