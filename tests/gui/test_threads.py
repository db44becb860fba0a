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

from napari_fcn.cancellation import Cancelled, cancel_between_layers, cancellation_scope
from napari_fcn.gui._threads import MAX_WAITING, NICENESS, JobRunner, Writer
from napari_fcn.gui._timers import Clock


class Recorder:
    """Keeps the signals of a runner."""

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
    """An endless generator that records the thread that closes it."""

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
def recorder(runner: JobRunner) -> Recorder:
    return Recorder(runner)


def test_events_arrive_in_order_on_the_gui_thread(runner: JobRunner, recorder: Recorder, qtbot: QtBot) -> None:
    runner.start(lambda: iter_of(range(5)))
    qtbot.waitUntil(lambda: recorder.rests == 1)
    assert recorder.events == [0, 1, 2, 3, 4]
    assert (recorder.ends, recorder.errors) == (1, [])


def iter_of(values: Any) -> Iterator[Any]:
    yield from values


def test_a_fast_generator_is_slowed_down_and_no_event_is_lost(
    runner: JobRunner, recorder: Recorder, qtbot: QtBot
) -> None:
    runner.start(lambda: iter_of(range(500)))
    qtbot.waitUntil(lambda: recorder.ends == 1)
    assert recorder.events == list(range(500))


def test_a_bounded_number_of_events_waits_while_the_window_is_busy(runner: JobRunner, qtbot: QtBot) -> None:
    endless = Endless()
    runner.start(endless)
    qtbot.waitUntil(lambda: endless.count > MAX_WAITING)
    until(lambda: len(runner._channel.outbox) >= MAX_WAITING)  # the GUI thread does something else
    assert endless.count <= 3 * MAX_WAITING
    runner.cancel()


def test_a_new_request_cancels_a_long_step(qtbot: QtBot) -> None:
    runner = JobRunner(scope=cancellation_scope)
    recorder = Recorder(runner)
    started, cancelled = threading.Event(), threading.Event()

    def long() -> Iterator[int]:
        net = torch.nn.Sequential(torch.nn.Identity())
        try:
            with cancel_between_layers(net):
                while not cancelled.wait(0.001):
                    started.set()
                    net(torch.zeros(1))
        except Cancelled:
            cancelled.set()
        yield 1

    runner.start(long)
    qtbot.waitUntil(started.is_set)
    assert not cancelled.is_set()
    runner.start(lambda: iter_of("ab"))
    qtbot.waitUntil(lambda: recorder.ends == 1)
    assert cancelled.is_set()
    assert recorder.events == ["a", "b"]


@pytest.mark.parametrize("error", [RuntimeError("out of memory"), ValueError("no"), MemoryError()])
def test_errors_arrive_after_earlier_events(
    runner: JobRunner, recorder: Recorder, qtbot: QtBot, error: Exception
) -> None:
    def fail() -> Iterator[int]:
        yield 1
        raise error

    runner.start(fail)
    qtbot.waitUntil(lambda: recorder.rests == 1)
    assert (recorder.events, recorder.errors, recorder.ends) == ([1], [error], 0)


def test_an_error_before_the_first_event_arrives(runner: JobRunner, recorder: Recorder, qtbot: QtBot) -> None:
    error = RuntimeError("no such device")

    def make() -> Iterator[int]:
        raise error

    runner.start(make)
    qtbot.waitUntil(lambda: recorder.errors == [error])


def test_the_latest_request_wins(runner: JobRunner, recorder: Recorder, qtbot: QtBot) -> None:
    endless = Endless()
    runner.start(endless)
    qtbot.waitUntil(lambda: bool(recorder.events))
    runner.start(lambda: iter_of(["new"]))
    recorder.events.clear()
    qtbot.waitUntil(lambda: recorder.rests == 1)
    assert recorder.events == ["new"]
    assert endless.closed_by == "napari-fcn-job"


def test_nothing_arrives_after_cancel_and_the_generator_is_closed(
    runner: JobRunner, recorder: Recorder, qtbot: QtBot
) -> None:
    endless = Endless()
    runner.start(endless)
    qtbot.waitUntil(lambda: bool(recorder.events))
    runner.cancel()
    recorder.events.clear()
    qtbot.waitUntil(lambda: recorder.rests == 1)
    assert (recorder.events, recorder.ends, recorder.errors) == ([], 0, [])
    assert endless.closed_by == "napari-fcn-job"


def test_a_slot_may_start_another_job(runner: JobRunner, recorder: Recorder, qtbot: QtBot) -> None:
    def restart(events: list[Any]) -> None:
        if "first" in events:
            runner.start(lambda: iter_of(["second"]))

    runner.yielded.connect(restart)
    runner.start(lambda: iter_of(["first"]))
    qtbot.waitUntil(lambda: recorder.rests == 1)
    assert (recorder.events, recorder.ends) == (["first", "second"], 1)


def test_shutdown_does_not_wait_for_a_long_step(runner: JobRunner, qtbot: QtBot) -> None:
    gate, started = threading.Event(), threading.Event()

    def slow() -> Iterator[int]:
        started.set()
        gate.wait(LONG / 1000)
        yield 1

    runner.start(slow)
    qtbot.waitUntil(started.is_set)
    runner.shutdown()
    assert runner.is_running  # the step still runs
    gate.set()


def test_the_thread_ends_when_qt_deletes_the_runner(qtbot: QtBot) -> None:
    runner, endless = JobRunner(), Endless()
    runner.start(endless)
    qtbot.waitUntil(lambda: endless.count > 0)
    with qtbot.waitSignal(runner.destroyed):
        runner.deleteLater()
    qtbot.waitUntil(lambda: endless.closed_by != "")
    qtbot.waitUntil(lambda: "napari-fcn-job" not in [thread.name for thread in threading.enumerate()])


def test_none_is_not_emitted(runner: JobRunner, recorder: Recorder, qtbot: QtBot) -> None:
    runner.start(lambda: iter([None, "one", None, None, "two", None]))
    qtbot.waitUntil(lambda: "two" in recorder.events)
    assert recorder.events == ["one", "two"]


def test_an_event_that_must_be_delivered_arrives_even_if_the_job_was_replaced(
    runner: JobRunner, recorder: Recorder, qtbot: QtBot
) -> None:
    started, go = threading.Event(), threading.Event()

    def first() -> Iterator[Any]:
        started.set()
        go.wait(LONG / 1000)
        yield Important("kept")
        yield "never"

    runner.start(first)
    assert started.wait(LONG / 1000)
    runner.start(lambda: iter(["second"]))
    go.set()
    qtbot.waitUntil(lambda: "second" in recorder.events)
    assert recorder.events == [Important("kept"), "second"]


def test_a_new_request_keeps_waiting_events_that_must_be_delivered(
    runner: JobRunner, recorder: Recorder, qtbot: QtBot
) -> None:
    posted = threading.Event()

    def first() -> Iterator[Any]:
        yield "dropped"
        yield Important("kept")
        posted.set()

    runner.start(first)
    assert posted.wait(LONG / 1000)  # the GUI thread has not visited yet
    runner.start(lambda: iter(["second"]))
    qtbot.waitUntil(lambda: "second" in recorder.events)
    assert recorder.events == [Important("kept"), "second"]


def test_the_first_event_does_not_wait_for_a_period_to_end(qtbot: QtBot) -> None:
    runner = JobRunner(period=10**7)
    recorder = Recorder(runner)
    runner._delivered_at = -1e9  # long ago
    runner.start(lambda: iter_of(["first"]))
    qtbot.waitUntil(lambda: recorder.events == ["first"])
    runner.shutdown()
    qtbot.waitUntil(lambda: not runner.is_running)


def test_events_within_a_period_arrive_together(qtbot: QtBot) -> None:
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


def test_a_runner_that_was_shut_down_can_be_started_again(runner: JobRunner, recorder: Recorder, qtbot: QtBot) -> None:
    runner.start(lambda: iter_of(["lost"]))
    runner.shutdown()
    qtbot.waitUntil(lambda: not runner.is_running)
    turn(qtbot)
    assert recorder.events == []
    runner.start(lambda: iter_of(["recorder"]))
    qtbot.waitUntil(lambda: recorder.rests == 1)
    assert recorder.events == ["recorder"]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux knows priorities of single threads")
def test_each_request_has_normal_priority_for_a_short_time_only(qtbot: QtBot) -> None:
    time = ManualTime()
    runner = JobRunner(head_start=0.05, clock=Clock(lambda: time.seconds))
    recorder = Recorder(runner)
    me = os.getpriority(os.PRIO_PROCESS, 0)

    def priorities() -> Iterator[int]:
        while True:
            yield os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) - me

    for _ in range(2):
        recorder.events.clear()
        runner.start(priorities)
        qtbot.waitUntil(lambda: 0 in recorder.events)
        time.seconds += 1
        qtbot.waitUntil(lambda: NICENESS in recorder.events)
        assert recorder.events[0] == 0
        assert recorder.events == sorted(recorder.events)
    runner.cancel()
    qtbot.waitUntil(lambda: recorder.rests == 1)
    assert not runner.is_running


def test_idle_is_emitted_once(runner: JobRunner, recorder: Recorder, qtbot: QtBot) -> None:
    for _ in range(3):
        runner.start(lambda: iter_of(range(3)))
    qtbot.waitUntil(lambda: recorder.rests == 1)
    qtbot.waitUntil(lambda: not runner._timer.isActive())  # a last wake signal may have started it
    turn(qtbot)
    assert recorder.rests == 1


@pytest.fixture
def writer(qtbot: QtBot) -> Iterator[Writer]:
    writer = Writer()
    yield writer
    qtbot.waitUntil(lambda: not writer.is_writing)


def test_everything_is_written_in_order_off_the_gui_thread(writer: Writer, qtbot: QtBot) -> None:
    done: list[tuple[int, str]] = []
    reported: list[int] = []
    writer.written.connect(reported.append)
    for k in range(200):
        writer.queue.put(lambda k=k: done.append((k, threading.current_thread().name)))
    writer.watch()
    qtbot.waitUntil(lambda: reported[-1:] == [200])
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


def test_waiting_writes_are_done_after_the_writer_is_destroyed(qtbot: QtBot) -> None:
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
