"""The two threads of the plugin: one iterates generators of the engine, one writes projects and results."""

from __future__ import annotations

import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from math import ceil, inf
from typing import Any

from qtpy.QtCore import QObject, Qt, QTimer, Signal

from napari_fcn.gui._timers import REAL, Clock

MAX_WAITING = 32  # events that may wait for the GUI thread; the worker pauses when there are more
NICENESS = 5
SHORT_INTERVAL = 0.0005  # seconds
PERIOD = 33  # milliseconds between two deliveries to the GUI thread, at least

Make = Callable[[], Iterator[Any]]
Write = Callable[[], object]
Watch = Callable[[Callable[[], bool]], AbstractContextManager[object]]


@dataclass(frozen=True, slots=True, eq=False)
class _Failed:
    error: Exception


class _WakeSignal(QObject):
    """Wakes the GUI thread at once; a timer would take half a period on average. It outlives the runner."""

    emitted = Signal()


@dataclass(slots=True, eq=False, weakref_slot=True)  # Qt keeps weak references to slots
class _Channel:
    """The state that both threads share; ``changed`` guards all of it."""

    wake: _WakeSignal
    head_start: float
    scope: Watch
    now: Callable[[], float]
    changed: threading.Condition = field(default_factory=threading.Condition)
    generation: int = 0
    request: Make | None = None
    outbox: deque[Any] = field(default_factory=deque)
    is_busy: bool = False  # whether a thread is alive
    has_low_priority: bool = False  # whether that thread lets the GUI thread run first
    thread: threading.Thread | None = None  # the latest one
    is_ended: bool = False  # whether the generator of the latest request has ended
    is_signalled: bool = False  # whether a wake signal is on its way to the GUI thread

    def submit(self, make: Make | None) -> None:
        """Replace the request, or withdraw it; events of earlier requests are dropped unless they must be delivered."""
        with self.changed:
            self.generation += 1
            self.request = make
            self.is_ended = self.is_signalled = False  # a runner that was shut down ignores the signal
            self.outbox = deque(event for event in self.outbox if _must_deliver(event))
            if make is not None and (not self.is_busy or self.has_low_priority):
                self._start_thread()
            self.changed.notify_all()

    def cancel(self, *_: object) -> None:
        """Withdraw the request; the generator is closed at its next event."""
        self.submit(None)

    def collect(self) -> tuple[list[Any], bool, bool]:
        """Return the waiting events, whether the generator has ended, and whether the thread is alive."""
        with self.changed:
            events, ended = list(self.outbox), self.is_ended
            self.outbox.clear()
            self.is_ended = self.is_signalled = False
            self.changed.notify_all()
            return events, ended, self.is_busy

    def _wake_gui(self) -> None:
        """Wake the GUI thread, unless it has been woken already."""
        if not self.is_signalled:
            self.is_signalled = True
            self.wake.emitted.emit()  # queued: costs an entry in Qt's event list

    def _start_thread(self) -> None:
        """Start a thread; from the GUI thread, because a thread inherits the priority of its parent."""
        self.is_busy, self.has_low_priority = True, False
        previous = self.thread
        # Not a daemon: a daemon thread inside torch crashes the process when Python exits.
        self.thread = threading.Thread(target=self._work, args=(previous,), name="napari-fcn-job")
        self.thread.start()

    def _work(self, previous: threading.Thread | None) -> None:
        """Run the requests, after the previous thread has ended."""
        if previous is not None:
            previous.join()
        if not self.head_start:
            _lower_priority()
        with _short_switch_interval():
            while True:
                with self.changed:
                    if self.thread is not threading.current_thread():
                        return
                    make, generation, self.request = self.request, self.generation, None
                    if make is None:
                        self.is_busy, self.thread = False, None
                        self._wake_gui()
                        return
                self._iterate(make, generation)

    def _iterate(self, make: Make, generation: int) -> None:
        deadline = self.now() + (self.head_start or inf)
        try:
            with self.scope(lambda: not self._is_wanted(generation)), closing(make()) as events:  # type: ignore[type-var]  # generators can be closed
                for event in events:
                    if not self._post(event, generation):
                        return
                    if self.now() > deadline:
                        deadline = inf
                        self._lower_priority()
        except Exception as error:  # any error must reach the user
            self._post(_Failed(error), generation)
        else:
            with self.changed:
                self.is_ended = self.is_ended or generation == self.generation
                self._wake_gui()

    def _lower_priority(self) -> None:
        """Let the GUI thread run first from now on. This cannot be reversed, so the next request gets a new thread."""
        with self.changed:
            if self.thread is threading.current_thread():
                self.has_low_priority = True
        _lower_priority()

    def _post(self, event: Any, generation: int) -> bool:
        """Put an event in the outbox, waiting for room; return whether the generator should continue.

        None is not an event, only a point at which a job can be cancelled.
        """
        with self.changed:
            while self._is_wanted(generation) and len(self.outbox) >= MAX_WAITING:
                self.changed.wait(0.2)
            if event is not None and (self._is_wanted(generation) or _must_deliver(event)):
                self.outbox.append(event)
                self._wake_gui()
            return self._is_wanted(generation)

    def _is_wanted(self, generation: int) -> bool:
        return generation == self.generation and threading.main_thread().is_alive()


def _must_deliver(event: object) -> bool:
    return getattr(event, "must_deliver", False)


@contextmanager
def _short_switch_interval() -> Iterator[None]:
    """Let Python switch between threads more often than every 5 ms.

    A prediction takes a thousand small steps, each of which may wait for the GUI thread. This halves the waiting time.
    """
    interval = sys.getswitchinterval()
    sys.setswitchinterval(min(interval, SHORT_INTERVAL))
    try:
        yield
    finally:
        sys.setswitchinterval(interval)


def _lower_priority() -> None:
    """Give this thread, and those that torch starts from it, a lower priority than the GUI thread.

    On two busy cores, this halves the time to the first tile and the longest pause of the window. Only Linux has
    priorities of single threads.
    """
    if sys.platform.startswith("linux"):
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)


class JobRunner(QObject):
    """Runs one generator at a time on a thread of its own; the latest request wins.

    ::

        start(make) -> thread: make(), iterate, close -> bounded outbox -> wake signal, 30 Hz at most -> signals

    Events of an earlier request are dropped, except those with a true attribute ``must_deliver``. The thread ends when
    there is nothing to do, and when Qt or Python destroys this object.

    Parameters
    ----------
    parent : QObject, optional
        Qt parent.
    period : int
        Milliseconds between two deliveries to the GUI thread, at least.
    head_start : float
        Seconds for which a request has the priority of the GUI; then, or always if 0, it has a lower one.
    scope : callable
        Context in which the thread runs a generator; gets a function that returns whether the job was cancelled, for
        calls during long steps between two events.

    Attributes
    ----------
    yielded : Signal(list)
        Events since the last delivery, at least one.
    failed : Signal(Exception)
        The generator raised.
    finished : Signal()
        The generator ended without an error.
    idle : Signal()
        The thread has ended, also after `cancel`.
    """

    yielded = Signal(list)
    failed = Signal(object)
    finished = Signal()
    idle = Signal()

    def __init__(
        self,
        parent: QObject | None = None,
        period: int = PERIOD,
        head_start: float = 0.0,
        scope: Watch = nullcontext,
        clock: Clock = REAL,
    ) -> None:
        super().__init__(parent)
        self._now = clock.now
        self._channel = _Channel(_WakeSignal(), head_start, scope, clock.now)
        self._channel.wake.emitted.connect(self._on_wake, Qt.QueuedConnection)
        self._is_open = self._is_active = False
        self._period, self._delivered_at = 1e-3 * period, 0.0
        self._timer = clock.timer(self, self._deliver)  # for a delivery that would be too early
        self.destroyed.connect(self._channel.cancel)

    @property
    def is_running(self) -> bool:
        """Whether the thread is alive."""
        return self._channel.is_busy

    def start(self, make: Make) -> None:
        """Call ``make`` on the thread and iterate what it returns; a job that runs already is cancelled."""
        self._is_open = self._is_active = True
        self._channel.submit(make)

    def cancel(self) -> None:
        """Cancel the job; it ends at its next event, and its events are dropped."""
        self._channel.cancel()

    def shutdown(self) -> None:
        """Cancel the job without waiting for its end."""
        self._channel.cancel()
        self._is_open = False
        self._timer.stop()

    def _on_wake(self) -> None:
        """Deliver at once, but at most once in a period."""
        delay = self._delivered_at + self._period - self._now()
        if not self._is_open or self._timer.isActive():
            return
        if delay > 0:
            self._timer.start(ceil(1e3 * delay))
        else:
            self._deliver()

    def _deliver(self) -> None:
        self._delivered_at = self._now()
        generation = self._channel.generation
        events, ended, busy = self._channel.collect()
        failure = events.pop() if events and isinstance(events[-1], _Failed) else None
        if events:
            self.yielded.emit(events)
        if generation != self._channel.generation:  # a slot started or cancelled something
            self._timer.start(ceil(1e3 * self._period))
            return
        if failure is not None:
            self.failed.emit(failure.error)
        elif ended:
            self.finished.emit()
        if self._is_active and not busy and not self._channel.is_busy:
            self._is_active = False
            self.idle.emit()


@dataclass(slots=True, eq=False, weakref_slot=True)
class WriteQueue:
    """Waiting writes, and the results of finished ones; ``changed`` guards all of it."""

    changed: threading.Condition = field(default_factory=threading.Condition)
    waiting: deque[Write] = field(default_factory=deque)
    errors: deque[Exception] = field(default_factory=deque)
    done: int = 0
    is_busy: bool = False

    def put(self, write: Write) -> None:
        """Call a function on the writer thread, after all earlier ones; from any thread."""
        with self.changed:
            self.waiting.append(write)
            if not self.is_busy:
                self.is_busy = True
                threading.Thread(target=self._work, name="napari-fcn-writer").start()

    def wait(self, seconds: float) -> bool:
        """Wait until everything is written, at most this long; return whether it is; from any thread."""
        with self.changed:
            return self.changed.wait_for(lambda: not self.is_busy, seconds)

    def _work(self) -> None:
        while True:
            with self.changed:
                if not self.waiting:
                    self.is_busy = False
                    self.changed.notify_all()
                    return
                write = self.waiting.popleft()
            try:
                write()
            except Exception as error:  # a full disk must not stop later writes
                with self.changed:
                    self.errors.append(error)
            else:
                with self.changed:
                    self.done += 1


class Writer(QObject):
    """Calls functions on its own thread, one after the other, without dropping any.

    The thread lives while there is something to write, even after this object is destroyed.

    Attributes
    ----------
    queue : WriteQueue
        The waiting writes; it can be used after this object is destroyed.
    written : Signal(int)
        Number of writes without an error.
    failed : Signal(Exception)
        A write raised an error; the others are not affected.
    """

    written = Signal(int)
    failed = Signal(object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.queue = WriteQueue()
        self._reported = 0
        self._timer = QTimer(self)
        self._timer.setInterval(PERIOD)
        self._timer.timeout.connect(self._report)

    @property
    def is_writing(self) -> bool:
        """Whether something has not been written yet."""
        return self.queue.is_busy

    def watch(self) -> None:
        """Emit the signals until everything is written; from the GUI thread."""
        self._timer.start()

    def _report(self) -> None:
        with self.queue.changed:
            errors, done, busy = list(self.queue.errors), self.queue.done, self.queue.is_busy
            self.queue.errors.clear()
        if not busy:
            self._timer.stop()
        if done != self._reported:
            self._reported = done
            self.written.emit(done)
        for error in errors:
            self.failed.emit(error)
