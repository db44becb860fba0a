import os
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest
import torch
from gui.clocks import LONG, ManualTime, turn, until
from pytestqt.qtbot import QtBot

from napari_fcn.gui._threads import MAX_WAITING, NICENESS, JobRunner, Writer
from napari_fcn.gui._timers import Clock
from napari_fcn.learning.cancellation import Cancelled, cancel_between_layers, cancellation_scope


class Recorder:
    """Keeps what a runner says."""

    def __init__(self, runner: JobRunner) -> None:
        self.events: list[Any] = []
        self.errors: list[Exception] = []
        self.ends = self.rests = 0
        runner.yielded.connect(self.on_yielded)
        runner.failed.connect(self.errors.append)
        runner.finished.connect(self.on_finished)
        runner.idle.connect(self.on_idle)

    def on_yielded(self, events: list[Any]) -> None:
        assert threading.current_thread() is threading.main_thread()
        self.events += events

    def on_finished(self) -> None:
        self.ends += 1

    def on_idle(self) -> None:
        self.rests += 1


@dataclass(frozen=True)
class Important:
    """An event that must be delivered."""

    text: str
    must_deliver: ClassVar[bool] = True


class Endless:
    """A generator without end that knows whether it was closed, and on which thread."""

    def __init__(self) -> None:
        self.count = 0
        self.closed_by: str = ""

    def __call__(self) -> Iterator[int]:
        try:
            while True:
                self.count += 1
                yield self.count
        finally:
            self.closed_by = threading.current_thread().name


@pytest.fixture
def runner(qtbot: QtBot) -> Iterator[JobRunner]:
    runner = JobRunner()
    yield runner
    runner.shutdown()
    qtbot.waitUntil(lambda: not runner.is_running)


@pytest.fixture
def heard(runner: JobRunner) -> Recorder:
    return Recorder(runner)


def test_events_arrive_in_order_on_the_gui_thread(runner: JobRunner, heard: Recorder, qtbot: QtBot) -> None:
    runner.start(lambda: iter_of(range(5)))
    qtbot.waitUntil(lambda: heard.rests == 1)
    assert heard.events == [0, 1, 2, 3, 4]
    assert (heard.ends, heard.errors) == (1, [])


def iter_of(values: Any) -> Iterator[Any]:
    yield from values


def test_a_flood_is_slowed_down_and_nothing_is_lost(runner: JobRunner, heard: Recorder, qtbot: QtBot) -> None:
    runner.start(lambda: iter_of(range(500)))
    qtbot.waitUntil(lambda: heard.ends == 1)
    assert heard.events == list(range(500))


def test_no_more_than_the_bound_waits_while_the_window_is_busy(runner: JobRunner, qtbot: QtBot) -> None:
    endless = Endless()
    runner.start(endless)
    qtbot.waitUntil(lambda: endless.count > MAX_WAITING)
    until(lambda: len(runner._channel.outbox) >= MAX_WAITING)  # the GUI thread does something else
    assert endless.count <= 3 * MAX_WAITING
    runner.cancel()


def test_a_network_that_runs_between_two_events_is_given_up_when_something_else_is_asked_for(qtbot: QtBot) -> None:
    runner = JobRunner(scope=cancellation_scope)
    heard = Recorder(runner)
    begun, given_up = threading.Event(), threading.Event()

    def long() -> Iterator[int]:
        net = torch.nn.Sequential(torch.nn.Identity())
        try:
            with cancel_between_layers(net):
                while not given_up.wait(0.001):
                    begun.set()
                    net(torch.zeros(1))
        except Cancelled:
            given_up.set()
        yield 1

    runner.start(long)
    qtbot.waitUntil(begun.is_set)
    assert not given_up.is_set()
    runner.start(lambda: iter_of("ab"))
    qtbot.waitUntil(lambda: heard.ends == 1)
    assert given_up.is_set()
    assert heard.events == ["a", "b"]


@pytest.mark.parametrize("error", [RuntimeError("out of memory"), ValueError("no"), MemoryError()])
def test_errors_arrive_after_what_came_before(
    runner: JobRunner, heard: Recorder, qtbot: QtBot, error: Exception
) -> None:
    def fail() -> Iterator[int]:
        yield 1
        raise error

    runner.start(fail)
    qtbot.waitUntil(lambda: heard.rests == 1)
    assert (heard.events, heard.errors, heard.ends) == ([1], [error], 0)


def test_an_error_before_the_first_event_arrives(runner: JobRunner, heard: Recorder, qtbot: QtBot) -> None:
    error = RuntimeError("no such device")

    def make() -> Iterator[int]:
        raise error

    runner.start(make)
    qtbot.waitUntil(lambda: heard.errors == [error])


def test_the_latest_request_wins(runner: JobRunner, heard: Recorder, qtbot: QtBot) -> None:
    endless = Endless()
    runner.start(endless)
    qtbot.waitUntil(lambda: bool(heard.events))
    runner.start(lambda: iter_of(["new"]))
    heard.events.clear()
    qtbot.waitUntil(lambda: heard.rests == 1)
    assert heard.events == ["new"]
    assert endless.closed_by == "napari-fcn-job"


def test_nothing_arrives_after_cancel_and_the_generator_is_closed(
    runner: JobRunner, heard: Recorder, qtbot: QtBot
) -> None:
    endless = Endless()
    runner.start(endless)
    qtbot.waitUntil(lambda: bool(heard.events))
    runner.cancel()
    heard.events.clear()
    qtbot.waitUntil(lambda: heard.rests == 1)
    assert (heard.events, heard.ends, heard.errors) == ([], 0, [])
    assert endless.closed_by == "napari-fcn-job"


def test_a_slot_may_start_another_job(runner: JobRunner, heard: Recorder, qtbot: QtBot) -> None:
    def restart(events: list[Any]) -> None:
        if "first" in events:
            runner.start(lambda: iter_of(["second"]))

    runner.yielded.connect(restart)
    runner.start(lambda: iter_of(["first"]))
    qtbot.waitUntil(lambda: heard.rests == 1)
    assert (heard.events, heard.ends) == (["first", "second"], 1)


def test_shutdown_does_not_wait_for_a_long_step(runner: JobRunner, qtbot: QtBot) -> None:
    gate, begun = threading.Event(), threading.Event()

    def slow() -> Iterator[int]:
        begun.set()
        gate.wait(LONG / 1000)
        yield 1

    runner.start(slow)
    qtbot.waitUntil(begun.is_set)
    runner.shutdown()
    assert runner.is_running  # the step goes on
    gate.set()


def test_the_thread_ends_when_qt_deletes_the_runner(qtbot: QtBot) -> None:
    runner, endless = JobRunner(), Endless()
    runner.start(endless)
    qtbot.waitUntil(lambda: endless.count > 0)
    with qtbot.waitSignal(runner.destroyed):
        runner.deleteLater()
    qtbot.waitUntil(lambda: endless.closed_by != "")
    qtbot.waitUntil(lambda: "napari-fcn-job" not in [thread.name for thread in threading.enumerate()])


def test_a_moment_without_an_event_is_not_heard(runner: JobRunner, heard: Recorder, qtbot: QtBot) -> None:
    runner.start(lambda: iter([None, "one", None, None, "two", None]))
    qtbot.waitUntil(lambda: "two" in heard.events)
    assert heard.events == ["one", "two"]


def test_what_is_kept_arrives_even_if_the_job_was_replaced(runner: JobRunner, heard: Recorder, qtbot: QtBot) -> None:
    begun, go = threading.Event(), threading.Event()

    def first() -> Iterator[Any]:
        begun.set()
        go.wait(LONG / 1000)
        yield Important("kept")
        yield "never"

    runner.start(first)
    assert begun.wait(LONG / 1000)
    runner.start(lambda: iter(["second"]))
    go.set()
    qtbot.waitUntil(lambda: "second" in heard.events)
    assert heard.events == [Important("kept"), "second"]


def test_what_is_kept_and_not_yet_heard_survives_the_next_request(
    runner: JobRunner, heard: Recorder, qtbot: QtBot
) -> None:
    posted = threading.Event()

    def first() -> Iterator[Any]:
        yield "dropped"
        yield Important("kept")
        posted.set()

    runner.start(first)
    assert posted.wait(LONG / 1000)  # the GUI thread has not looked yet
    runner.start(lambda: iter(["second"]))
    qtbot.waitUntil(lambda: "second" in heard.events)
    assert heard.events == [Important("kept"), "second"]


def test_the_first_event_does_not_wait_for_a_period_to_end(qtbot: QtBot) -> None:
    runner = JobRunner(period=10**7)
    heard = Recorder(runner)
    runner._visited = -1e9  # long ago
    runner.start(lambda: iter_of(["first"]))
    qtbot.waitUntil(lambda: heard.events == ["first"])
    runner.shutdown()
    qtbot.waitUntil(lambda: not runner.is_running)


def test_events_are_heard_together_if_they_come_within_a_period(qtbot: QtBot) -> None:
    time = ManualTime()
    runner = JobRunner(period=50, clock=time.clock)
    lists: list[list[Any]] = []
    runner.yielded.connect(lists.append)
    ends: list[int] = []
    runner.finished.connect(lambda: ends.append(1))
    runner.start(lambda: iter_of(range(30)))
    until(lambda: not runner.is_running)
    turn(qtbot)
    if not ends:  # the first visit came before the end: for the next one, the period has to pass
        time.seconds += 1
        runner._timer.fire()  # type: ignore[attr-defined]
    assert ends == [1]
    assert [value for events in lists for value in events] == list(range(30))
    assert len(lists) <= 2


def test_a_runner_that_was_shut_down_can_be_started_again(runner: JobRunner, heard: Recorder, qtbot: QtBot) -> None:
    runner.start(lambda: iter_of(["lost"]))
    runner.shutdown()
    qtbot.waitUntil(lambda: not runner.is_running)
    turn(qtbot)
    assert heard.events == []
    runner.start(lambda: iter_of(["heard"]))
    qtbot.waitUntil(lambda: heard.rests == 1)
    assert heard.events == ["heard"]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux knows priorities of single threads")
def test_a_request_is_urgent_for_a_moment_only_and_so_is_the_next_one(qtbot: QtBot) -> None:
    time = ManualTime()
    runner = JobRunner(head_start=0.05, clock=Clock(lambda: time.seconds))
    heard = Recorder(runner)
    me = os.getpriority(os.PRIO_PROCESS, 0)

    def priorities() -> Iterator[int]:
        while True:
            yield os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) - me

    for _ in range(2):
        heard.events.clear()
        runner.start(priorities)
        qtbot.waitUntil(lambda: 0 in heard.events)
        time.seconds += 1
        qtbot.waitUntil(lambda: NICENESS in heard.events)
        assert heard.events[0] == 0
        assert heard.events == sorted(heard.events)
    runner.cancel()
    qtbot.waitUntil(lambda: heard.rests == 1)
    assert not runner.is_running


def test_rest_is_told_once(runner: JobRunner, heard: Recorder, qtbot: QtBot) -> None:
    for _ in range(3):
        runner.start(lambda: iter_of(range(3)))
    qtbot.waitUntil(lambda: heard.rests == 1)
    assert not runner._timer.isActive()
    turn(qtbot)
    assert heard.rests == 1


@pytest.fixture
def writer(qtbot: QtBot) -> Iterator[Writer]:
    writer = Writer()
    yield writer
    qtbot.waitUntil(lambda: not writer.is_writing)


def test_everything_is_written_in_order_off_the_gui_thread(writer: Writer, qtbot: QtBot) -> None:
    done: list[tuple[int, str]] = []
    told: list[int] = []
    writer.written.connect(told.append)
    for k in range(200):
        writer.queue.put(lambda k=k: done.append((k, threading.current_thread().name)))
    writer.watch()
    qtbot.waitUntil(lambda: told[-1:] == [200])
    assert [k for k, _ in done] == list(range(200))
    assert {name for _, name in done} == {"napari-fcn-writer"}


def test_one_write_that_fails_does_not_stop_the_others(writer: Writer, qtbot: QtBot) -> None:
    errors: list[Exception] = []
    done: list[str] = []
    writer.failed.connect(errors.append)

    def refuse() -> None:
        raise OSError("the disk is full")

    writer.queue.put(refuse)
    writer.queue.put(lambda: done.append("after"))
    writer.watch()
    qtbot.waitUntil(lambda: len(errors) == 1)
    assert done == ["after"]
    assert "the disk is full" in str(errors[0])


def test_what_waits_is_written_though_the_writer_is_gone(qtbot: QtBot) -> None:
    done: list[int] = []
    writer = Writer()
    gate = threading.Event()
    writer.queue.put(lambda: gate.wait(LONG / 1000))
    writer.queue.put(lambda: done.append(1))
    writer.deleteLater()
    del writer
    turn(qtbot)
    assert done == []
    gate.set()
    qtbot.waitUntil(lambda: done == [1])
