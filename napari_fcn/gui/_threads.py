"""The only threads of the plugin: one iterates generators of the engine, one writes what must not be lost."""

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

WAITING = 32  # events that may wait for the GUI thread; the worker pauses when there are more
NICENESS = 5
SHORT_TURN = 0.0005  # seconds
PERIOD = 33  # milliseconds between two visits of the GUI thread, at least

Make = Callable[[], Iterator[Any]]
Write = Callable[[], object]
Watch = Callable[[Callable[[], bool]], AbstractContextManager[object]]


@dataclass(frozen=True, slots=True, eq=False)
class MustDeliver:
    """Events that arrive even if a newer request has replaced the one that yielded them."""

    events: tuple[Any, ...]


@dataclass(frozen=True, slots=True, eq=False)
class _Failed:
    error: Exception


class _WakeSignal(QObject):
    """Wakes the GUI thread up: at once, where a timer would let half a period go by. It outlives the runner."""

    rung = Signal()


@dataclass(slots=True, eq=False, weakref_slot=True)  # Qt holds what it calls by a weak reference
class _Channel:
    """What both threads share; all of it is guarded by ``changed``."""

    bell: _WakeSignal
    head_start: float
    watched: Watch
    now: Callable[[], float]
    changed: threading.Condition = field(default_factory=threading.Condition)
    generation: int = 0
    request: Make | None = None
    outbox: deque[Any] = field(default_factory=deque)
    is_busy: bool = False  # whether a thread is alive
    has_stepped_back: bool = False  # whether that thread lets the GUI go first
    thread: threading.Thread | None = None  # the latest one
    is_ended: bool = False  # whether the generator of the present generation came to its end
    is_rung: bool = False  # whether the GUI thread is on its way

    def submit(self, make: Make | None) -> None:
        """Let the latest request, or none at all, replace all that was asked and answered before."""
        with self.changed:
            self.generation += 1
            self.request = make
            self.is_ended = self.is_rung = False  # whoever was asked may not have listened
            self.outbox = deque(event for event in self.outbox if isinstance(event, MustDeliver))
            if make is not None and (not self.is_busy or self.has_stepped_back):
                self._begin()
            self.changed.notify_all()

    def cancel(self, *_: object) -> None:
        """Let whatever runs come to an end."""
        self.submit(None)

    def collect(self) -> tuple[list[Any], bool, bool]:
        """Return what waits, whether the generator has ended, and whether the thread is at work."""
        with self.changed:
            events, ended = list(self.outbox), self.is_ended
            self.outbox.clear()
            self.is_ended = self.is_rung = False
            self.changed.notify_all()
            return events, ended, self.is_busy

    def _ring(self) -> None:
        """Ask the GUI thread to come, unless it was asked before."""
        if not self.is_rung:
            self.is_rung = True
            self.bell.rung.emit()  # queued: only puts a note into Qt's list

    def _begin(self) -> None:
        """Start a thread; from the GUI thread, because a thread is born with the priority of its parent."""
        self.is_busy, self.has_stepped_back = True, False
        before = self.thread
        # Not a daemon: a daemon inside torch while Python ends takes the process down with it.
        self.thread = threading.Thread(target=self._work, args=(before,), name="napari-fcn-job")
        self.thread.start()

    def _work(self, before: threading.Thread | None) -> None:
        """Do what is asked for, once the thread before this one has done its last step."""
        if before is not None:
            before.join()
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
                        self._ring()
                        return
                self._iterate(make, generation)

    def _iterate(self, make: Make, generation: int) -> None:
        late = self.now() + (self.head_start or inf)
        try:
            with self.watched(lambda: not self._is_wanted(generation)), closing(make()) as events:  # type: ignore[type-var]  # generators can be closed
                for event in events:
                    if not self._post(event, generation):
                        return
                    if self.now() > late:
                        late = inf
                        self._give_way()
        except Exception as error:  # whatever it is, the user must hear of it
            self._post(_Failed(error), generation)
        else:
            with self.changed:
                self.is_ended = self.is_ended or generation == self.generation
                self._ring()

    def _give_way(self) -> None:
        """Let the GUI thread go first from now on: it takes long. There is no way back, so the next thread is new."""
        with self.changed:
            if self.thread is threading.current_thread():
                self.has_stepped_back = True
        _lower_priority()

    def _post(self, event: Any, generation: int) -> bool:
        """Put an event in the outbox, waiting for room; return whether anybody wants more of this generation.

        None is no event, only a moment at which a job can be given up.
        """
        with self.changed:
            while self._is_wanted(generation) and len(self.outbox) >= WAITING:
                self.changed.wait(0.2)
            if event is not None and (self._is_wanted(generation) or isinstance(event, MustDeliver)):
                self.outbox.append(event)
                self._ring()
            return self._is_wanted(generation)

    def _is_wanted(self, generation: int) -> bool:
        return generation == self.generation and threading.main_thread().is_alive()


@contextmanager
def _short_switch_interval() -> Iterator[None]:
    """Let Python's threads hand over to each other more often than every 5 ms.

    An answer takes a thousand small steps; each may have to wait for the GUI thread to give way. Halves the wait.
    """
    before = sys.getswitchinterval()
    sys.setswitchinterval(min(before, SHORT_TURN))
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def _lower_priority() -> None:
    """Let the GUI thread go first where this thread, and those that torch starts from it, want the same processor.

    On two busy cores this halves the time to the first tile and the longest wait of the window. Only Linux knows
    priorities of single threads.
    """
    if sys.platform.startswith("linux"):
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)


class JobRunner(QObject):
    """Runs one generator at a time on a thread of its own; the latest request wins.

    ::

        start(make) -> thread: make(), iterate, close -> outbox (bounded) -> bell, 30 Hz at most -> signals

    What an earlier request still yields is dropped, unless it is `Kept`. The thread ends when there is nothing to do,
    and when this object is destroyed, whoever destroys it.

    Parameters
    ----------
    parent : QObject, optional
        Qt parent.
    period : int
        Milliseconds between two visits of the GUI thread, at least.
    head_start : float
        Seconds for which a request is as urgent as the GUI; after that, or always if 0, it goes second.
    watched : callable
        Context in which the thread works; is given a function that says whether the job was given up, for what takes
        long between two events.

    Attributes
    ----------
    yielded : Signal(list)
        Events that arrived since the last visit, at least one.
    failed : Signal(Exception)
        The generator raised.
    finished : Signal()
        The generator came to its end without an error.
    idle : Signal()
        Nothing runs any more, also after `cancel`.
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
        watched: Watch = nullcontext,
        clock: Clock = REAL,
    ) -> None:
        super().__init__(parent)
        self._now = clock.now
        self._channel = _Channel(_WakeSignal(), head_start, watched, clock.now)
        self._channel.bell.rung.connect(self._on_rung, Qt.QueuedConnection)
        self._is_open = self._is_at_work = False
        self._period, self._visited = 1e-3 * period, 0.0
        self._timer = clock.timer(self, self._visit)  # for a visit that would come too early
        self.destroyed.connect(self._channel.cancel)

    @property
    def is_running(self) -> bool:
        """Whether the thread is at work."""
        return self._channel.is_busy

    def start(self, make: Make) -> None:
        """Call ``make`` on the thread and iterate what it returns; a job that runs already is given up."""
        self._is_open = self._is_at_work = True
        self._channel.submit(make)

    def cancel(self) -> None:
        """Give up the job; it ends at its next event, and nothing of it arrives any more."""
        self._channel.cancel()

    def shutdown(self) -> None:
        """Give up the job without waiting for its end."""
        self._channel.cancel()
        self._is_open = False
        self._timer.stop()

    def _on_rung(self) -> None:
        """Look at once, but not more often than once in a period."""
        rest = self._visited + self._period - self._now()
        if not self._is_open or self._timer.isActive():
            return
        if rest > 0:
            self._timer.start(ceil(1e3 * rest))
        else:
            self._visit()

    def _visit(self) -> None:
        self._visited = self._now()
        generation = self._channel.generation
        events, ended, busy = self._channel.collect()
        failure = events.pop() if events and isinstance(events[-1], _Failed) else None
        told = [one for event in events for one in (event.events if isinstance(event, MustDeliver) else (event,))]
        if told:
            self.yielded.emit(told)
        if generation != self._channel.generation:  # a slot started or cancelled something
            self._timer.start(ceil(1e3 * self._period))
            return
        if failure is not None:
            self.failed.emit(failure.error)
        elif ended:
            self.finished.emit()
        if self._is_at_work and not busy and not self._channel.is_busy:
            self._is_at_work = False
            self.idle.emit()


@dataclass(slots=True, eq=False, weakref_slot=True)
class WriteQueue:
    """What waits to be written, and what became of it; all of it is guarded by ``changed``."""

    changed: threading.Condition = field(default_factory=threading.Condition)
    waiting: deque[Write] = field(default_factory=deque)
    errors: deque[Exception] = field(default_factory=deque)
    done: int = 0
    is_busy: bool = False

    def put(self, write: Write) -> None:
        """Have a function called after all that were put here before; any thread may."""
        with self.changed:
            self.waiting.append(write)
            if not self.is_busy:
                self.is_busy = True
                threading.Thread(target=self._work, name="napari-fcn-writer").start()

    def wait(self, seconds: float) -> bool:
        """Wait until all is written, but not longer than this, and return whether it is; any thread may."""
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
            except Exception as error:  # a full disk must not end what comes after it
                with self.changed:
                    self.errors.append(error)
            else:
                with self.changed:
                    self.done += 1


class Writer(QObject):
    """Calls functions on a thread of its own, one after the other, and never leaves one out.

    The thread lives while there is something to write, also beyond this object: what was put here gets written.

    Attributes
    ----------
    basket : Basket
        What waits; it may be put into, and waited for, when this object is gone.
    written : Signal(int)
        How many have been called so far without an error.
    failed : Signal(Exception)
        One of them raised; the others are called all the same.
    """

    written = Signal(int)
    failed = Signal(object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.queue = WriteQueue()
        self._told = 0
        self._timer = QTimer(self)
        self._timer.setInterval(PERIOD)
        self._timer.timeout.connect(self._tell)

    @property
    def is_writing(self) -> bool:
        """Whether something has not been written yet."""
        return self.queue.is_busy

    def watch(self) -> None:
        """Tell by signals what becomes of what was put here; for the GUI thread."""
        self._timer.start()

    def _tell(self) -> None:
        with self.queue.changed:
            errors, done, busy = list(self.queue.errors), self.queue.done, self.queue.is_busy
            self.queue.errors.clear()
        if not busy:
            self._timer.stop()
        if done != self._told:
            self._told = done
            self.written.emit(done)
        for error in errors:
            self.failed.emit(error)
