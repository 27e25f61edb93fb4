"""A task: its routines, and the verdicts that say what its greenlet does next.

A verdict is a flag that any greenlet may raise at any time. The task's own greenlet
reads the flags when ``run`` has returned, acts on the strongest, and lowers them;
``done`` stays up. ``tick`` and ``done`` may come from any thread: they are plain
stores, and a task that is about to rest first says so and then looks at its flags
once more, so that no wake-up falls in between.
"""

from __future__ import annotations

import math
import sys
import time
from contextvars import Context, copy_context
from typing import Any, NoReturn

from gevent import getcurrent
from gevent.hub import Waiter
from zope.interface import implementer

from gowork import states
from gowork.clocks import FIRST_PAUSE, LONGEST_PAUSE, as_seconds, give_way, idle_clock
from gowork.crews import Member
from gowork.errors import AssertionFailed, Cancelled, StateError, VerdictMissing
from gowork.events import Event
from gowork.greenlets import throw
from gowork.interfaces import ITask
from gowork.postponing import next_postponed
from gowork.routines import Once, Routines
from gowork.states import TaskGiven, TaskState, step

__all__ = ["Task"]

# How long a task wants to rest, where that is no number of seconds.
BACK_OFF = -1.0
PARK = math.inf


@implementer(ITask)
class Task:
    """What a job does in one greenlet; ``add_task`` and its kin make it, its routines get it.

    ::

        def run(task):
            task.result = fetch()
            task.done()
    """

    # What most tasks never change is the class's.

    #: Anything the task wants to leave behind.
    result: Any = None
    #: What made the task fail, or None.
    error: Any = None
    _state = states.PENDING
    _greenlet: Member | None = None
    _ended: Event | None = None
    _told = False  # by a checkpoint that it must stop
    _progressed = 0.0
    _watched: list[Any] | None = None

    def __init__(
        self,
        job: Any,
        index: int,
        name: str,
        routines: Routines,
        idle_timeout: float | None = None,
    ) -> None:
        self.job = job
        self.index = index
        self.name = name
        self._init, self._run, self._finalize = routines
        self._idle_timeout = idle_timeout
        self._context: Context = copy_context()
        self._ticked = False
        self._finished = False
        self._rest: float | None = None
        self._waiter: Waiter[Any] | None = None

    def __repr__(self) -> str:
        return f"<Task {self.job.name}/{self.name} #{self.index} {self._state.name}>"

    @property
    def state(self) -> TaskState:
        """Where the task is in its life."""
        return self._state

    # Verdicts

    def tick(self) -> None:
        """Have ``run`` called again at once; wakes the task if it is idle or parked.

        Counts as progress. Never blocks; may be called from any thread.
        """
        self._ticked = True
        if self._idle_timeout is not None:
            self._progressed = time.monotonic()
        if self._waiter is not None:
            self._wake()

    def idle(self, seconds: float | None = None) -> None:
        """Have ``run`` called again after *seconds*; without: after a pause that grows.

        The pause nobody named begins with 1 ms and doubles to 100 ms, longer where
        thousands of tasks idle; a tick resets it. Never blocks, and is no progress.

        :raises TypeError: if *seconds* is no number.
        :raises ValueError: if it is negative.
        """
        rest = BACK_OFF if seconds is None else as_seconds("idle", seconds)
        self._rest = min(PARK if rest is None else rest, PARK if self._rest is None else self._rest)

    def park(self) -> None:
        """Have ``run`` called again when somebody calls :meth:`tick`. Never blocks."""
        if self._rest is None:
            self._rest = PARK

    def done(self) -> None:
        """Have ``run`` called no more: the task is over; wakes it if it is idle or parked.

        Never blocks; may be called from any thread.
        """
        self._finished = True
        if self._waiter is not None:
            self._wake()

    def finish_job(self) -> None:
        """:meth:`done`, and the job stops its other tasks and ends DONE. Never blocks."""
        self.done()
        self.job.finish()

    def progress(self) -> None:
        """Restart the clock of the idle timeout.

        :raises Cancelled: if the running greenlet is this task and must stop.
        """
        self._checkpoint()
        self._progressed = time.monotonic()

    # Assertions

    def assert_(self, error: Any) -> None:
        """Fail the task with *error* unless it is falsy.

        :raises AssertionFailed: if *error* is truthy; the job keeps *error* itself.
        :raises Cancelled: if the running greenlet is this task and must stop.
        """
        self._checkpoint()
        if error:
            self._fail(error)

    def assert_true(self, condition: Any, error: Any = None) -> None:
        """Fail the task with *error* unless *condition* is true.

        :raises AssertionFailed: if *condition* is falsy; the job keeps *error* itself.
        :raises Cancelled: if the running greenlet is this task and must stop.
        """
        self._checkpoint()
        if not condition:
            self._fail(error)

    def assert_not_none(self, value: Any) -> None:
        """Fail the task if *value* is None.

        :raises AssertionFailed: if it is.
        :raises Cancelled: if the running greenlet is this task and must stop.
        """
        self._checkpoint()
        if value is None:
            self._fail(None)

    def _fail(self, error: Any) -> NoReturn:
        raise AssertionFailed(error) from (error if isinstance(error, BaseException) else None)

    # Waiting for it

    def join(self, timeout: float | None = None) -> bool:
        """True once the task has ended; blocks until then, also if its job is not run yet.

        :param timeout: seconds to wait at most; when they have passed: False.
        :raises TypeError: if *timeout* is no number.
        :raises ValueError: if it is negative.
        :raises StateError: if the task itself asks.
        :raises Cancelled: if the caller is a task that must stop.
        """
        if getattr(getcurrent(), "gowork_task", None) is self:
            raise StateError(self._state, "join", "a task cannot wait for its own end")
        if self._ended is None:
            self._ended = Event()
            if self.job._home is not None:
                self._ended._thread = self.job._home.thread
            if self._state not in (states.PENDING, states.LIVING):
                self._ended._set()
        return self._ended.wait(timeout)

    # What follows is for the job.

    def _move(self, given: TaskGiven) -> None:
        self._state = step(self._state, given)

    def _checkpoint(self) -> None:
        """:raises Cancelled: if the running greenlet is this task's own and must stop."""
        reason = self.job._stopped(self)
        if reason is not None and (getcurrent() is self._greenlet or self.job._is_a_copy()):
            if self._told:
                give_way(FIRST_PAUSE)  # or one that always goes on would leave nobody a turn
            self._told = True
            # A delivery that has been postponed is this one: there are no two of it.
            raise next_postponed(getcurrent(), Cancelled) or reason

    def _stop(self, error: Cancelled) -> None:
        """In the hub: raise *error* for the first time, if no checkpoint has done so by now."""
        if not self._told and self._greenlet is not None:
            throw(self._greenlet, error)

    def _fail_unborn(self, error: BaseException) -> bool:
        """Fail because of *error*, which hit the hub when the task was to begin.

        False if its job is ending anyway, and has no use for it.
        """
        if self.job._stopped(self) is not None:
            return False
        self.job._decide(self, self.job._outcome.cause_of(error))
        return True

    def _live(self) -> None:
        """The life of the task in its greenlet; lets nothing escape."""
        job = self.job
        try:
            job._begun(self)
            if self._idle_timeout is not None:
                self._watch()
            if self._init is not None:
                self._init(self)
                gate = job._initialised(self)
                if self._run is None:
                    self._finished = True
                elif gate is not None and not self._finished and job._stopped(self) is None:
                    self._unwatch()  # the other tasks' inits are no idleness of this one
                    gate.wait()
                    self._watch()
            if self._run is not None and not self._finished:
                if type(self._run) is Once:
                    self._run_once(self._run)
                else:
                    self._recur(self._run)
        except BaseException as error:
            job._task_raised(self, error)
        else:
            job._task_returned(self)

    def _run_once(self, run: Any) -> None:
        """Make the one call of a spawned function, when verdicts from outside let it."""
        if self._rest is not None:
            self._obey(FIRST_PAUSE)
            reason = self.job._stopped(self)
            if reason is not None:
                raise reason
        if not self._finished:
            self.result = run()

    def _recur(self, run: Any) -> None:
        """Call *run* again and again, as its verdicts say."""
        job = self.job
        running = states.RECURRENT if self.index else states.ONESHOT
        pause = FIRST_PAUSE
        if job._state is running and (self._rest is not None or self._ticked):  # left by init
            pause = self._obey(pause)
        due = _end_of_turn()
        while True:  # a condition here would keep CPython 3.11 from specialising the loop
            if self._finished:
                return
            if job._state is not running:
                raise job._stopped(self)
            run(self)
            if self._ticked:
                self._ticked = False
                self._rest = None
                pause = FIRST_PAUSE
                if time.monotonic() >= due:
                    give_way()
                    due = _end_of_turn()
            elif not self._finished:
                if job._state is not running:
                    raise job._stopped(self)
                if self._rest is None:
                    self._complain(run)
                pause = self._obey(pause)
                due = _end_of_turn()

    def _obey(self, pause: float) -> float:
        """Rest as the verdict says, *pause* seconds if it names none; the next pause."""
        rest, self._rest = self._rest, None
        if rest is not None:
            self._sleep(rest, pause)
        if self._ticked:
            self._ticked = False
            self._rest = None
            return FIRST_PAUSE
        return min(2 * pause, LONGEST_PAUSE) if rest == BACK_OFF else pause

    def _complain(self, run: Any) -> NoReturn:
        name = getattr(run, "__qualname__", repr(run))
        raise VerdictMissing(
            f"{name} of task {self.job.name}/{self.name} returned without a verdict: let it"
            " call task.tick(), task.idle(), task.park() or task.done()"
        )

    def _sleep(self, rest: float, pause: float) -> None:
        """Block until woken by a tick or a done, or until the time is over."""
        waiter = self._waiter = Waiter()
        try:
            if self._ticked or self._finished:
                return
            if rest == PARK:
                waiter.get()
            elif rest == BACK_OFF:
                idle_clock().back_off(waiter, pause)
            else:
                idle_clock().pause(waiter, rest)
        finally:
            self._waiter = None

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None:
            self.job._home.call_soon(waiter.switch, None)

    def _watch(self) -> None:
        if self._idle_timeout is not None:
            self._progressed = time.monotonic()
            due = self._progressed + self._idle_timeout
            self._watched = self.job._watch(due, self._overdue)

    def _unwatch(self) -> None:
        if self._watched is not None:
            self.job._alarm.drop(self._watched)
            self._watched = None

    def _overdue(self, now: float) -> float | None:
        """The idle timeout's check: the time to look again, None once it has expired."""
        assert self._idle_timeout is not None
        due = self._progressed + self._idle_timeout
        if now < due:
            return due
        self.job._idled_out(self)
        return None


def _end_of_turn() -> float:
    """When a task that now begins to tick has to give way."""
    return time.monotonic() + sys.getswitchinterval()
