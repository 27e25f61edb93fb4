"""The simulated loop: gevent's loop in pure Python, on a virtual clock, in a chosen order.

``gevent.hub.Hub`` takes any object with gevent's loop interface. This one keeps ready
callbacks in a deque and timers in a heap. Where several things could happen it asks its
schedule; where nothing can, it moves the clock to the next timer; where there is none, it
is stuck. In order, a pass is libev's: callbacks first, fifty at most before it looks at
its events; then timers before descriptors, higher priorities first. Out of order it
chooses among all that could run, or, if only what is *legal* for gevent is wanted, among
the oldest callback and the events that are due.

Descriptors are polled. Those of socket pairs and pipes within the process are as
deterministic as the rest. Of all others the loop cannot know whether something is on its
way: it gives them a moment of real time before it moves the clock.
"""

from __future__ import annotations

import math
import sys
import traceback
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from gevent._interfaces import ILoop  # type: ignore[import-not-found]
from gevent.exceptions import HubDestroyed
from greenlet import getcurrent
from zope.interface import implementer

from gowork.testing.clocks import Clock
from gowork.testing.descriptors import Poller, has_unsent
from gowork.testing.factories import WatcherFactory
from gowork.testing.options import Options
from gowork.testing.schedules import Fifo, Schedule
from gowork.testing.timers import Timers
from gowork.testing.traces import Trace
from gowork.testing.watchers import AsyncWatcher, Callback, IoWatcher, TimerWatcher, Watcher

__all__ = ["Loop", "Settings"]

CALLBACKS_BEFORE_EVENTS = 50  # as gevent's own loop
PASSED_OVER = 1000  # times after which the oldest is no matter of choice any more
WITH_INPUT = 20  # times as many steps are a spin, if there is input between them
LATENESS = ("on time", "a bit late", "late", "very late")
PATIENCE = 0.005  # real seconds for what comes from outside, before the clock moves
PATIENCE_UNSENT = 0.25  # the same, while the kernel has yet to send something
LAST_PATIENCE = 0.5  # the same, before the loop is stuck


class Settings(NamedTuple):
    """How a loop treats the program."""

    late: float = 0.0  # virtual seconds by which a timer may be late
    cost: float = 0.0  # virtual seconds that a step takes
    legal: bool = False  # whether ready callbacks keep their order
    spin_limit: int = 100_000  # steps with neither time nor input between that are a spin


@implementer(ILoop)
class Loop(WatcherFactory):
    """A loop for one simulated hub.

    *stuck* is called in the hub when nothing can happen any more, *spinning* when very much
    has happened though neither time went on nor input came, and *fail* with what a schedule
    raised; each may raise in the main greenlet. After a spin the clock jumps to the next timer.
    """

    MAXPRI = 2
    MINPRI = -2
    approx_timer_resolution = 0.0
    starting_timer_may_update_loop_time = False
    default = False
    backend = "simulated"
    error_handler: Any = None

    def __init__(
        self,
        clock: Clock,
        schedule: Schedule,
        trace: Trace,
        settings: Settings,
        stuck: Callable[[], None],
        spinning: Callable[[], None],
        fail: Callable[[BaseException], None],
    ) -> None:
        self.clock = clock
        self.schedule = schedule
        self.trace = trace
        self.settings = settings
        self.choices: list[int] = []
        self.errors: list[BaseException] = []
        self.jumps = 0
        self.deterministic = True
        self.is_destroyed = False
        self.references = 0  # active watchers for whose sake the loop goes on
        self._stuck = stuck
        self._spinning = spinning
        self._fail = fail
        self._ready: deque[Callback] = deque()
        # Active watchers by kind, in the order in which they were started.
        self._active: dict[str, dict[Watcher, None]] = {
            kind: {} for kind in ("timer", "io", "async", "signal", "idle", "prepare", "check")
        }
        self._timers = Timers()
        self._due: dict[Watcher, None] = {}  # timers that are
        self._poller = Poller()
        self._spun = 0  # steps since there was input or the clock moved
        self._still = 0  # steps since the clock moved
        self._still_at = 0.0
        self._called = 0  # callbacks since the events were looked at
        self._firing: list[Watcher] = []  # those of them that come before other callbacks
        self._first: Watcher | None = None  # of the events, at the last step
        self._passed_over = 0  # how often it was in a row

    # What runs

    def run(self, nowait: bool = False, once: bool = False) -> None:
        """Run until it is destroyed, or the hub is; where no hub runs it, until it is stuck."""
        while not self.is_destroyed:
            self._fire_each("prepare")
            in_order = self.schedule.in_order
            busy = self._pass_in_order() if in_order else self._step_by_choice()
            self._fire_each("check")
            if not busy and not self._wait():
                if getcurrent() is not self.error_handler:
                    return
                self._stuck()
            limit = self.settings.spin_limit
            if self._spun > limit or self._still > WITH_INPUT * limit:
                self._spun = self._still = 0
                self._spinning()
                self._jump()
        raise HubDestroyed(True)  # the program swallowed the one that the hub got

    def _pass_in_order(self) -> bool:
        """Run what is ready as libev would; whether there was anything."""
        called = bool(self._ready)
        for _ in range(CALLBACKS_BEFORE_EVENTS):
            if not self._ready:
                break
            self._call(self._ready.popleft())
        events = self._events()
        for event in events:
            if event.active and (event.pending or not isinstance(event, AsyncWatcher)):
                self._fire(event)  # those before have not stopped it
        return called or bool(events)

    def _step_by_choice(self) -> bool:
        """Run one thing of all that are ready; whether there was any.

        The first option is what :meth:`_pass_in_order` would run next.
        """
        ready: Sequence[Callback] = self._ready
        events = self._events()
        if not ready and not events:
            return False
        if self._firing:
            due = set(events)
            self._firing = [event for event in self._firing if event in due]
        if not self._firing and (not ready or self._called >= CALLBACKS_BEFORE_EVENTS):
            self._called = 0
            self._firing = events
        firing = set(self._firing)
        first, others = self._firing, [event for event in events if event not in firing]
        if ready and self.trace.steps > ready[0].latest:
            first, ready, others = [], [ready[0]], []
        elif self._passes_over(events):
            first, ready, others = events[:1], [], []
        elif self.settings.legal:
            ready = [ready[0]] if ready else []
        options: Sequence[Callback | Watcher] = [*first, *ready, *others] if events else ready
        chosen = self._choose(Options(self.trace, options))
        if chosen is None:
            return True
        entry = options[chosen]
        if isinstance(entry, Callback):
            self._called += 1
            del self._ready[chosen - len(first)]
            self._call(entry)
        else:
            if entry not in firing:
                self._called = 0
                self._firing = events
            self._firing = [event for event in self._firing if event is not entry]
            self._fire(entry)
        return True

    def _passes_over(self, events: Sequence[Watcher]) -> bool:
        """Whether the first of *events* has had to wait for too many others."""
        first = events[0] if events else None
        self._passed_over = self._passed_over + 1 if first is self._first else 0
        self._first = first
        return first is not None and self._passed_over > PASSED_OVER

    def _choose(self, options: Sequence[str]) -> int | None:
        """Which of *options*; None if the schedule failed, and the program has gone on since."""
        if len(options) == 1:
            return 0
        try:
            chosen = self.schedule.pick(options)
        except BaseException as error:
            self.schedule = Fifo()  # who has failed is asked no more
            self._fail(error)
            return None
        if not self.trace.is_closed:
            self.choices.append(chosen)
        return chosen

    def _call(self, entry: Callback) -> None:
        callback, args = entry.callback, entry.args
        assert callback is not None
        assert args is not None
        self._step(entry)
        entry.callback = None
        try:
            callback(*args)
        except HubDestroyed:
            raise
        except BaseException:
            self.handle_error(entry, *sys.exc_info())
        finally:
            entry.args = None

    def _fire(self, watcher: Watcher) -> None:
        self._step(watcher)
        if isinstance(watcher, IoWatcher):
            self._spun = 0
        try:
            watcher.fire()
        except HubDestroyed:
            raise
        except BaseException:
            self.handle_error(watcher, *sys.exc_info())

    def _fire_each(self, kind: str) -> None:
        for watcher in list(self._active[kind]):
            if watcher.active:
                self._fire(watcher)

    def _step(self, entry: Callback | Watcher) -> None:
        if self.clock.now > self._still_at:
            self._still_at, self._spun, self._still = self.clock.now, 0, 0
        self._spun += 1
        self._still += 1
        self.clock.step()
        self.clock.advance(self.settings.cost)
        self.trace.add(self.clock.now, entry)

    def handle_error(self, context: Any, kind: Any, value: Any, tb: Any) -> None:
        """Hand an error to the hub; what its handler raises is kept and printed, as by gevent."""
        if self.is_destroyed:  # it is what became of the hub's HubDestroyed
            return
        handler = self.error_handler
        try:
            getattr(handler, "handle_error", handler)(context, kind, value, tb)
        except HubDestroyed:
            raise
        except BaseException as error:
            self.errors.append(error)
            if sys.__stderr__ is not None:  # that of the program may be what is broken
                traceback.print_exception(error, file=sys.__stderr__)

    # What could run

    def _events(self) -> list[Watcher]:
        """The watchers that could fire now: timers first, but the higher priorities before."""
        for timer in self._timers.take_due(self.clock.now):
            self._due[timer] = None
        events = [*self._due]
        if self._active["io"]:
            events += self._poller.ready(self._active["io"])
        events += [watcher for watcher in self._active["async"] if watcher.pending]
        if len(events) > 1:
            events.sort(key=lambda watcher: -watcher.priority)
        return events

    def _wait(self) -> bool:
        """Nothing is ready: let time pass, virtual if that will do; False if it is of no use."""
        idle = bool(self._active["idle"])
        self._fire_each("idle")
        if self._ready or self._events():
            return True
        if self._comes_from_outside(PATIENCE):
            return True
        if self.references and self._jump():
            return True
        return idle or self._comes_from_outside(LAST_PATIENCE)

    def _comes_from_outside(self, patience: float) -> bool:
        outside = [one for one in self._active["io"] if not one.is_inside]  # type: ignore[attr-defined]
        if not outside or self.trace.is_closed:  # what is left of a program gets no patience
            return False
        if any(has_unsent(one.fd) for one in outside):  # type: ignore[attr-defined]
            patience = max(patience, PATIENCE_UNSENT)
        return bool(self._poller.ready(self._active["io"], patience)) or bool(self._ready)

    def next_time(self) -> float:
        """When the next timer is due that is not due yet, infinity if there is none."""
        return self._timers.next_time(self.clock.now)

    def _jump(self) -> bool:
        """Move the clock to the next timer, if there is one."""
        due = self.next_time()
        if due == math.inf:
            return False
        self.clock.jump(due)
        if not self.trace.is_closed:
            self.jumps += 1
        return True

    # What watchers and callbacks ask

    def started(self, watcher: Watcher) -> None:
        """*watcher* is active from now on."""
        self.references += watcher.ref
        self.trace.meet(watcher.callback, watcher.args)
        if isinstance(watcher, IoWatcher) and not watcher.is_inside:
            self.deterministic = False
        self._active[watcher.kind][watcher] = None
        if isinstance(watcher, TimerWatcher):
            self._timers.add(watcher, len(self._active["timer"]))

    def stopped(self, watcher: Watcher) -> None:
        """*watcher* is active no more."""
        self.references -= watcher.ref
        self._active[watcher.kind].pop(watcher, None)
        self._due.pop(watcher, None)

    def forget(self, callback: Callback) -> None:
        """*callback* was stopped before it ran."""
        self._ready.remove(callback)

    def lateness(self) -> float:
        """By how many seconds a timer that begins now will be late."""
        if not self.settings.late or self.schedule.in_order:
            return 0.0
        return self.settings.late * (self._choose(LATENESS) or 0) / (len(LATENESS) - 1)

    def conclude(self, spin_limit: int) -> None:
        """From now on keep gevent's order, on time, and record nothing."""
        self.schedule = Fifo()
        self.settings = Settings(spin_limit=spin_limit)
        self.trace.is_closed = True

    def left(self) -> list[Watcher | Callback]:
        """What is queued and what is watched, but for what no loop would go on for."""
        watched = [one for kind in self._active.values() for one in kind if one.ref]
        return [*self._ready, *watched]

    # gevent's interface

    def run_callback(self, func: Callable[..., Any], *args: Any) -> Callback:
        if self.is_destroyed:
            raise ValueError("operation on destroyed loop")
        callback = Callback(self, func, args)
        self.trace.meet(func, args)
        callback.latest = self.trace.steps + PASSED_OVER + 4 * len(self._ready)
        self._ready.append(callback)
        return callback

    run_callback_threadsafe = run_callback

    def closing_fd(self, fd: int) -> bool:
        return False

    def now(self) -> float:
        return self.clock.now

    def update_now(self) -> None:
        """Nothing: the time is never stale."""

    update = update_now

    def destroy(self) -> None:
        self.is_destroyed = True
        self._ready.clear()
        self._timers.clear()
        for kind in self._active.values():
            for watcher in list(kind):
                watcher.stop()

    def reinit(self) -> None:
        """Nothing: there is nothing native."""

    def _format(self) -> str:
        watched = sum(map(len, self._active.values()))
        return f"simulated, at {self.clock.now:g} s, {len(self._ready)} ready, {watched} watched"

    def __repr__(self) -> str:
        return f"<Loop {self._format()}>"
