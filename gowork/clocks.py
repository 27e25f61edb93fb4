"""Deadlines and pauses: one timer for all that a job watches, one for all idle tasks of a hub.

Both keep a heap of what is due and arm a single timer of the loop for its head.
Time is read as ``time.monotonic()`` and waited for through the loop, so that a
simulated clock works. A timer's callback only queues what is to be done behind
what is queued already: work that is complete when its deadline fires has won.
"""

from __future__ import annotations

import heapq
import itertools
import math
import numbers
import time
from collections.abc import Callable, Iterator
from typing import Any

import gevent
from gevent.hub import Waiter

__all__ = [
    "Alarm",
    "IdleClock",
    "as_seconds",
    "countable",
    "give_way",
    "idle_clock",
    "start_timer",
    "timer",
]

FIRST_PAUSE = 0.001
LONGEST_PAUSE = 0.1
WAKES_PER_SECOND = 5000
FOREVER = 1e12  # seconds, 30,000 years: more than some loops can count


def as_seconds(name: str, value: Any) -> float | None:
    """*value* as seconds to wait at most, None for infinity and what is as good as that.

    :raises TypeError: if it is no number.
    :raises ValueError: if it is negative or not a number (NaN).
    """
    if type(value) is float and 0 <= value <= FOREVER:
        return value
    # The abstract class is slow to ask.
    is_number = type(value) in (float, int) or isinstance(value, numbers.Real)
    if not is_number or isinstance(value, bool):
        raise TypeError(f"{name} is a number of seconds, not {value!r}")
    if math.isnan(value) or value < 0:
        raise ValueError(f"{name} cannot be {value!r}: give 0 or more seconds")
    seconds = float(value)
    return None if seconds > FOREVER else seconds


def timer(loop: Any, length: float) -> Any:
    """A timer of *loop* for *length* seconds, not started: at once, or as the loop can.

    A loop that counts milliseconds warns of shorter waits; those are made longer.
    """
    if length <= 0:
        return loop.timer(0.0)
    return loop.timer(max(length, getattr(loop, "approx_timer_resolution", 0.0)))


def start_timer(loop: Any, length: float, callback: Callable[..., object], *args: Any) -> Any:
    """A :func:`timer` that has begun to run now, not when the loop last looked at its clock."""
    started = timer(loop, length)
    started.start(callback, *args, update=True)
    return started


def countable(length: float | None) -> float | None:
    """*length* seconds to wait, 1 ms where it is less but not 0: for :func:`timer`'s reason."""
    return max(length, 0.001) if length else length


class _Heap:
    """What is due when, and the one timer that waits for the first of it.

    An entry is ``[due, sequence, what]``; an entry that was dropped holds None.
    """

    def __init__(self, loop: Any) -> None:
        self._loop = loop
        self._entries: list[list[Any]] = []
        self._live = 0
        self._sequence = itertools.count()
        self._timer: Any = None
        self._armed_for = math.inf

    def _push(self, entry: list[Any], due: float, what: Any) -> list[Any]:
        entry[:] = due, next(self._sequence), what
        heapq.heappush(self._entries, entry)
        self._live += 1
        if due < self._armed_for:
            self._arm()
        return entry

    def drop(self, entry: list[Any]) -> None:
        """Forget an entry, which may have been due already."""
        if entry[2] is None:
            return
        entry[2] = None
        self._live -= 1
        if not self._live:
            self._entries.clear()
            self._disarm()
        elif len(self._entries) > 2 * self._live + 64:
            # Dropped entries stay in the heap till they are due: sweep before they pile up.
            self._entries = [entry for entry in self._entries if entry[2] is not None]
            heapq.heapify(self._entries)

    def _pop_due(self) -> Iterator[tuple[list[Any], Any]]:
        """Take out what is due: each entry, empty now, and what it held."""
        now = time.monotonic()
        while self._entries and self._entries[0][0] <= now:
            entry = heapq.heappop(self._entries)
            what, entry[2] = entry[2], None
            if what is not None:
                self._live -= 1
                yield entry, what

    def _arm(self) -> None:
        """Wait for the first live entry, or put the timer away when there is none."""
        self._disarm()
        while self._entries and self._entries[0][2] is None:
            heapq.heappop(self._entries)
        if self._entries:
            self._armed_for = self._entries[0][0]
            length = self._armed_for - time.monotonic()
            self._timer = start_timer(self._loop, length, self._fired)

    def _disarm(self) -> None:
        armed, self._timer, self._armed_for = self._timer, None, math.inf
        if armed is not None:
            armed.stop()
            armed.close()

    def _fired(self) -> None:
        raise NotImplementedError


class Alarm(_Heap):
    """What one job watches: a check is called when due and may name its next time."""

    _closed = False

    def watch(self, due: float, check: Callable[[float], float | None]) -> list[Any]:
        """Call *check(now)* in the hub at *due*, again at the time it returns, until None.

        Returns what :meth:`drop` takes. A closed alarm watches nothing.
        """
        if self._closed:
            return [due, 0, None]
        return self._push([], due, check)

    def close(self) -> None:
        """Watch nothing any more, now and for good."""
        self._closed = True
        for entry in self._entries:
            entry[2] = None
        self._entries.clear()
        self._live = 0
        self._disarm()

    def _fired(self) -> None:
        self._disarm()
        self._loop.run_callback(self._check_due)

    def _check_due(self) -> None:
        for entry, check in list(self._pop_due()):
            # A check may end the job, and with it all that was due together with it.
            following = None if self._closed else check(time.monotonic())
            if following is not None and not self._closed:
                self._push(entry, following, check)
        self._arm()


class IdleClock(_Heap):
    """The pauses of all idle tasks of one hub.

    A pause that nobody named grows from 1 ms to 100 ms, and beyond that where so many
    tasks pause that together they would wake more than 5,000 times a second. A crowd
    above that is slowed down more than in proportion, since 5,000 wake-ups a second are
    a tenth of a core; and its pauses end on a grid, in company, since a wake-up of the
    loop costs more than one of a task.
    """

    def pause(self, waiter: Waiter[Any], length: float) -> None:
        """Block the running greenlet in *waiter* until it is woken, *length* seconds at most."""
        self._wait_until(time.monotonic() + length, waiter)

    def back_off(self, waiter: Waiter[Any], length: float) -> None:
        """:meth:`pause`, but longer where a crowd pauses."""
        sleepers = self._live + 1
        length = max(length, sleepers / WAKES_PER_SECOND)
        due = time.monotonic() + length
        crowd = sleepers / (WAKES_PER_SECOND * LONGEST_PAUSE)
        if crowd > 1:
            length *= crowd ** (2 / 3)
            # A power of two, or each change of the crowd would change the grid.
            mesh = 2.0 ** math.floor(math.log2(length / 8))
            due = math.ceil((time.monotonic() + length) / mesh) * mesh
        self._wait_until(due, waiter)

    def _wait_until(self, due: float, waiter: Waiter[Any]) -> None:
        entry = self._push([], due, waiter)
        try:
            waiter.get()
        finally:
            self.drop(entry)

    def _fired(self) -> None:
        for _, waiter in self._pop_due():
            self._loop.run_callback(waiter.switch, None)
        self._arm()


def give_way(length: float = 0) -> None:
    """Block for one whole pass of the loop, callbacks, I/O and timers, and *length* seconds.

    ``gevent.sleep(0)`` only queues behind the callbacks, and the loop runs fifty of those
    before it looks at its timers again.
    """
    hub = gevent.get_hub()
    with timer(hub.loop, length) as passing:
        hub.wait(passing)


def idle_clock() -> IdleClock:
    """The idle clock of this thread's hub; made at its first use."""
    hub: Any = gevent.get_hub()
    clock: IdleClock | None = getattr(hub, "gowork_idle_clock", None)
    if clock is None:
        clock = hub.gowork_idle_clock = IdleClock(hub.loop)
    return clock
