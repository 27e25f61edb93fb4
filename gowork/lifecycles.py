"""The life of a job: the only hand that moves the job table.

Everything is driven by events, and most of it happens in the greenlet that caused
it: a task that fails fixes the end of the job in its own ``except`` and stops its
siblings from there, since a supervisor would be told of it a pass of the loop later,
when they have gone on. No method here that a task or a caller runs ever blocks. What
must wait (for prerequisites, for tasks to die, for clean-up calls) is done in
greenlets of the job's own, which exist only when there is such a thing. (An error
wrapper that blocks is the one exception, and bounded.)

From the moment the end is decided the state is FINALIZING; `_outcome` says which end it
will be. A job that owes no clean-up ends well in the greenlet of its last task.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any
from weakref import WeakValueDictionary

from gevent import Greenlet, getcurrent
from gevent.event import Event as GeventEvent
from greenlet import GreenletExit

from gowork import logs, states
from gowork.channels import Channel
from gowork.clocks import Alarm
from gowork.crews import Crew
from gowork.endings import Unstopped, deliver
from gowork.errors import Cancelled, IdleTimeout, JobTimeout, StateError
from gowork.events import Event
from gowork.forks import under_way
from gowork.gates import Gate
from gowork.homes import Home
from gowork.outcomes import Outcome
from gowork.states import JobGiven, JobState, TaskGiven, step
from gowork.tasks import Task
from gowork.windups import finalize, wind_up

__all__ = ["DECIDED", "ENDED", "Lifecycle"]

RUNNING = (states.RECURRENT, states.ONESHOT)
ENDED = frozenset({JobState.CANCELLED, JobState.DONE})
DECIDED = ENDED | {states.FINALIZING}


class Lifecycle:
    """What happens to a job between its first and its last state."""

    def __init__(
        self, name: str, grace: float | None, finalize_timeout: float | None, forget: bool
    ) -> None:
        self.name = name
        self._grace = grace
        self._finalize_timeout = finalize_timeout
        self._forget = forget

        self._prerequisites: list[Any] = []
        self._timeout: float | None = None
        self._handler: Callable[[Any], object] | None = None
        self._logger: Any = None

        self._state = states.NEW
        self._tasks: dict[int, Task] = {}
        self._unfinished = 0
        self._gate: Gate | None = None
        # Begun and not dead, in that order.
        self._living: dict[Any, Task | None] = {}
        self._owed: dict[Task, None] = {}  # finalizers, in order of start
        self._clearing: dict[Task, Greenlet[..., Any]] = {}  # finalizers of tasks to be forgotten
        self._quiet: GeventEvent | None = None  # set when nothing lives any more

        self._outcome = Outcome(finalize_timeout)
        self._unstopped: tuple[Unstopped, ...] = ()
        self._timed_out = False
        self._canceller: Task | None = None
        self._done = Event()
        self._background: Event | None = None  # there is one if there is a oneshot
        self._ended_so_far: list[Task] = []
        self._notices: Channel[Task] | None = None
        self._channels: WeakValueDictionary[int, Any] | None = None
        self._joining = 0
        self._home: Home | None = None  # where it runs, or its shutdown handler would
        self._alarm: Alarm | None = None
        self._crew: Any = None  # the greenlets of its tasks

    def _move(self, given: JobGiven) -> None:
        self._state = step(self._state, given)

    # Start

    def _begin(self) -> None:
        """Start a NEW job in the hub of this thread."""
        self._home = None  # a NEW job's is only where its shutdown handler would be called
        self._settle_in()
        if self._timeout is not None:
            self._watch(time.monotonic() + self._timeout, self._overdue)
        if self._prerequisites:
            self._move(JobGiven.WAIT)
            greenlet = self._spawn(self._await_prerequisites, "prerequisites")
            self._living[greenlet] = None
            greenlet.rawlink(self._gone)  # killed before it began, it says nothing itself
        else:
            self._open()

    def _settle_in(self) -> Home:
        """From now on the job belongs to the hub of this thread."""
        if self._home is None:
            self._home = Home()
        if self._crew is None:
            self._done._thread = self._home.thread
            if self._background is not None:
                self._background._thread = self._home.thread
            if self._notices is not None and self._notices._receivers.first is None:
                self._notices._belong_to(self._home.hub)
            self._crew = Crew(self._home.hub)
            under_way.add(self)
        return self._home

    def _watch(self, due: float, check: Callable[[float], float | None]) -> list[Any] | None:
        """Have *check* called when it is *due*, as an `Alarm` does, while the job goes on."""
        if self._state in DECIDED:
            return None
        if self._alarm is None:
            self._alarm = Alarm(self._settle_in().loop)
        return self._alarm.watch(due, check)

    def _await_prerequisites(self) -> None:
        try:
            for prerequisite in self._prerequisites:
                prerequisite.wait()
        except BaseException as error:
            if self._state is JobState.WAITING:
                self._decide(None, self._outcome.cause_of(error))
            elif self._state is states.FINALIZING and not isinstance(error, GreenletExit):
                self._record(None, self._outcome.cause_of(error))
            elif self._state in ENDED:
                self._too_late(error)
        else:
            if self._state is JobState.WAITING:
                self._open()

    def _open(self) -> None:
        """The prerequisites are met: start the oneshot or, without one, the others."""
        if 0 in self._tasks:
            self._move(JobGiven.GATE)
            self._start([self._tasks[0]])
        else:
            self._open_gate()

    def _open_gate(self) -> None:
        """The oneshot is done, or there is none: let the other tasks begin."""
        self._move(states.OPEN)
        if self._background is not None:
            self._background._set()
        self._gate = Gate(self, [task for index, task in self._tasks.items() if index])
        self._advance()

    def _advance(self) -> None:
        if self._gate is not None and self._state is states.RECURRENT:
            self._gate.advance()
            self._decide_if_all_done()

    def _adopt(self, task: Task) -> None:
        """Take *task* in; one that comes when the others have started starts at once."""
        self._tasks[task.index] = task
        self._unfinished += 1
        if self._gate is not None:
            self._gate.add(task)

    def _pass(self, task: Task) -> None:
        """The turn of *task* has come, which has nothing to do but to owe a finalizer."""
        self._begun(task)
        task._move(states.FINISH)
        self._ended(task)

    def _start(self, tasks: Iterable[Task]) -> None:
        """Have the hub let *tasks* begin, one after another."""
        run_callback, enter = self._settle_in().loop.run_callback, self._crew.enter
        for task in tasks:
            run_callback(enter, task)

    def _spawn(self, function: Callable[[], object], what: str) -> Any:
        return self._settle_in().spawn(function, f"{self.name}/({what})")

    # What tasks report

    def _begun(self, task: Task) -> None:
        if self._state not in RUNNING:
            raise Cancelled(self._outcome.interruption.error)
        task._move(states.BEGIN)
        if task._greenlet is not None:
            self._living[task._greenlet] = task
        if task._finalize is not None:
            self._owed[task] = None

    def _initialised(self, task: Task) -> Gate | None:
        """The gate, if *task* has to wait at it before its first ``run``."""
        if self._gate is None or self._gate.is_open:
            return None
        self._advance()
        return self._gate

    def _task_returned(self, task: Task) -> None:
        if task._greenlet not in self._living or self._state in ENDED:
            return  # reported as unstopped, or a forked child's copy
        if task._state is states.LIVING:
            task._move(states.STOP if self._canceller is task else states.FINISH)
        self._over(task)

    def _task_raised(self, task: Task, error: BaseException) -> None:
        if task._greenlet not in self._living or self._state in ENDED:
            self._too_late(error)  # never begun, reported as unstopped, or a child's copy
            return
        if self._state in RUNNING:
            self._decide(task, self._outcome.cause_of(error))
        elif not isinstance(error, GreenletExit):
            self._record(task, self._outcome.cause_of(error))
        elif task._state is states.LIVING:
            task._move(states.STOP)
        if task._greenlet in self._living:  # else it was given up while the wrapper blocked
            self._over(task)

    def _over(self, task: Task) -> None:
        """*task*, which had begun, has ended; only its greenlet's last steps are left."""
        if task._watched is not None:
            task._unwatch()
        self._gone(task._greenlet)
        self._ended(task)

    def _gone(self, greenlet: Any) -> None:
        if self._living.pop(greenlet, self) is not self and not self._living and self._quiet:
            self._quiet.set()

    def _ended(self, task: Task) -> None:
        """Tell those who wait for *task*, and go on with what it held up."""
        if task._ended is not None:
            task._ended._set()
        if self._notices is not None and not self._notices.closed:
            self._tell(task, self._notices)
        if not self._forget:
            self._ended_so_far.append(task)
        if self._forget and self._state in RUNNING and task in self._owed:
            del self._owed[task]
            clear = partial(self._clear, task)
            self._clearing[task] = self._spawn(clear, f"finalizer of {task.name}")
        else:
            self._let_go(task)

    def _tell(self, task: Task, notices: Channel[Task]) -> None:
        try:
            notices.send_nowait(task)
        except StateError as error:  # somebody waits for it in another hub, and will in vain
            logs.write(self._logger, 0, "no notice of %r: %s", (task, error), self, task)

    def _let_go(self, task: Task) -> None:
        self._unfinished -= 1
        if self._forget:
            del self._tasks[task.index]
        if self._state is states.ONESHOT and task.index == 0:
            self._open_gate()
        elif not self._unfinished:
            self._decide_if_all_done()

    def _decide_if_all_done(self) -> None:
        done = self._gate is not None and self._gate.is_open and not self._unfinished
        if done and self._state is states.RECURRENT:
            self._decide()

    def _clear(self, task: Task) -> None:
        """Finalize a task that the job is to forget; a failure ends the job."""
        if self._state in ENDED:
            return  # a forked child's copy
        finalize(self, [task])
        del self._clearing[task]
        self._let_go(task)

    # The end

    def _overdue(self, now: float) -> float | None:
        """The job's own timeout has expired."""
        if self._state in ENDED:
            return None  # a forked child's copy
        self._timed_out = True
        self._decide(None, JobTimeout(f"job {self.name} took longer than {self._timeout:g} s"))
        return None

    def _idled_out(self, task: Task) -> None:
        if self._state in RUNNING:  # in a forked child it is not
            text = f"task {self.name}/{task.name} made no progress for {task._idle_timeout:g} s"
            self._decide(task, IdleTimeout(text))

    def _decide(self, task: Task | None = None, *errors: Any) -> None:
        """Fix the end of the job, badly if there is an error; nothing begins from here on."""
        never_began = task is not None and task._state is states.PENDING
        self._move(states.DECIDE)
        if self._alarm is not None:
            self._alarm.close()
        if errors:
            self._record(task, errors[0])
        if task is not None and never_began:
            self._ended(task)
        if self._unfinished:
            for pending in list(self._tasks.values()):
                if pending._state is states.PENDING:
                    self._skip(pending)
        handled = self._outcome.is_bad and self._handler is not None
        if self._living and not handled:
            self._stop_tasks()
        if self._living or self._owed or self._clearing or handled:
            # In its own hub, although it may be cancelled in another thread before it runs.
            wind = partial(wind_up, self, handled)
            self._settle_in().call_here(self._spawn, wind, "finalizers")
        else:
            self._end()

    def _record(self, task: Task | None, error: Any) -> None:
        """Keep an error; what a task that had not ended left behind makes it FAILED."""
        if task is None or task._state not in (states.PENDING, states.LIVING):
            self._outcome.record(task, error)
        else:
            task._move(TaskGiven.FAIL)
            task.error = error  # there is one while the wrapper is called, which may block
            task.error = self._outcome.record(task, error)

    def _skip(self, task: Task) -> None:
        task._move(TaskGiven.SKIP)
        self._ended(task)

    def _stop_tasks(self) -> None:
        failed, reason = self._outcome.interruption
        current, loop = getcurrent(), self._settle_in().loop
        for greenlet, task in list(self._living.items()):
            if task is None:
                deliver(greenlet, reason)
            elif greenlet is not current or task is not failed:  # the failed one runs this itself
                loop.run_callback(task._stop, Cancelled(reason))

    def _abandon(self, unstopped: list[Unstopped]) -> None:
        """Give up what could not be stopped."""
        self._unstopped += tuple(unstopped)
        for task in [each.task for each in unstopped if each.task is not None]:
            if task._state is states.LIVING:
                task._move(states.STOP)
            self._over(task)
        self._living.clear()

    def _close_channels(self) -> None:
        for channel in list(self._channels.values()) if self._channels else ():
            channel._close_now()

    def _clean_up_failed(self, task: Task | None, error: BaseException) -> None:
        if self._state in RUNNING:
            self._decide(task, self._outcome.cause_of(error))
        elif self._goes_on():
            self._record(task, self._outcome.cause_of(error))
        else:
            self._too_late(error)

    def _too_late(self, error: BaseException) -> None:
        """Whose error this is, was reported as unstopped: only an exit is still passed on."""
        if isinstance(error, (KeyboardInterrupt, SystemExit)):
            (self._home or Home()).raise_in_main(error)

    def _goes_on(self) -> bool:
        """False in a forked child's copy, which must not act."""
        return self._state is states.FINALIZING

    def _end(self) -> None:
        """Publish the end."""
        if not self._goes_on():
            return
        self._move(JobGiven.FAIL if self._outcome.is_bad else states.SUCCEED)
        self._outcome.is_closed = True
        try:
            under_way.discard(self)
            if self._crew is not None:
                self._crew.dismiss()
            self._crew = self._gate = None  # or only the collector could free them
            self._close_channels()
            if self._notices is not None:
                self._notices._close_now()
            if self._outcome.exit is not None and not self._joining:
                (self._home or Home()).raise_in_main(self._outcome.exit)
            if logs.is_written(1):
                ended = (self.name, self._state.name)
                logs.write(self._logger, 1, "job %s ended: %s", ended, self, None)
        finally:
            if self._background is not None:
                self._background._set()
            self._done._set()

    def _stopped(self, task: Task) -> Cancelled | None:
        """What *task* is to raise where it may stop, None while it may go on."""
        return None if self._state in RUNNING else Cancelled(self._outcome.interruption.error)

    def _is_a_copy(self) -> bool:
        return self._home is not None and self._home.is_a_copy()
