"""The life of a job: the only hand that moves the job table.

Everything is driven by events, and most of it happens in the greenlet that caused
it: a task that fails fixes the end of the job in its own ``except`` and stops its
siblings from there, since a supervisor would be told of it a pass of the loop later,
when they have gone on. No method here that a task or a caller runs ever blocks. What
must wait (for prerequisites, for tasks to die, for clean-up calls) is done in
greenlets of the job's own, which exist only when there is such a thing.

From the moment the end is decided the state is FINALIZING; `_interruption` says which
end it will be. A job that nothing interrupted and that owes no clean-up ends in the
greenlet of its last task, without another greenlet.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextvars import copy_context
from typing import Any, NamedTuple
from weakref import WeakValueDictionary

import gevent
from gevent import Greenlet, getcurrent
from gevent.event import Event as GeventEvent
from gevent.monkey import get_original
from gevent.pool import Group
from greenlet import GreenletExit

from gowork import logs
from gowork.channels import Channel
from gowork.clocks import Alarm
from gowork.endings import Call, Unstopped, deliver, run_bounded, stop_all
from gowork.errors import AssertionFailed, Cancelled, IdleTimeout, JobTimeout
from gowork.events import Event
from gowork.states import JobGiven, JobState, TaskGiven, TaskState, step
from gowork.tasks import Task

__all__ = ["ENDED", "Interruption", "Lifecycle"]

# Threads by their native identity: a monkey-patched process counts greenlets.
get_ident = get_original("_thread", "get_ident")

RUNNING = frozenset({JobState.ONESHOT_RUNNING, JobState.RECURRENT_RUNNING})
ENDED = frozenset({JobState.CANCELLED, JobState.DONE})

_under_way: set[Lifecycle] = set()


class Interruption(NamedTuple):
    """What interrupted a job: the task, or None, and the error, or None."""

    task: Task | None
    error: Any


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
        self._wrapper: Callable[[Any], Any] | None = None
        self._logger: Any = None

        self._state = JobState.NEW
        self._tasks: dict[int, Task] = {}
        self._unfinished = 0
        self._turns: deque[Task] | None = None  # whose init is yet to come; None: gate open
        self._gated: list[Task] = []  # ready to run when the gate opens
        self._gate: GeventEvent | None = None
        self._living: dict[Greenlet, Task | None] = {}  # begun and not dead, in that order
        self._owed: dict[Task, None] = {}  # finalizers, in order of start
        self._clearing: dict[Greenlet, None] = {}  # clean-up in progress of tasks forgotten
        self._quiet: GeventEvent | None = None  # set when nothing lives any more

        self._interruption = Interruption(None, None)
        self._interrupted = False
        self._errors: list[Any] = []
        self._unstopped: tuple[Unstopped, ...] = ()
        self._timed_out = False
        self._canceller: Task | None = None
        self._exit: BaseException | None = None  # a KeyboardInterrupt or SystemExit to pass on

        self._done = Event()
        self._background = Event()
        self._ended_so_far: list[Task] = []
        self._notices: Channel[Task] | None = None
        self._channels: WeakValueDictionary[int, Any] = WeakValueDictionary()
        self._joining = 0

        self._hub: Any = None
        self._thread: int | None = None
        self._pid: int | None = None
        self._group: Group | None = None

    def _move(self, given: JobGiven) -> None:
        self._state = step(self._state, given)

    # Start

    def _begin(self) -> None:
        """Start a NEW job in the hub of this thread."""
        self._settle_in()
        if self._timeout is not None:
            self._alarm.watch(time.monotonic() + self._timeout, self._overdue)
        if self._prerequisites:
            self._move(JobGiven.WAIT)
            greenlet = self._spawn(self._await_prerequisites, "prerequisites")
            self._living[greenlet] = None
        else:
            self._open()

    def _settle_in(self) -> None:
        """From now on the job belongs to the hub of this thread."""
        if self._hub is None:
            self._hub = gevent.get_hub()
            self._thread = get_ident()
            self._pid = os.getpid()
            self._group = Group()
            self._alarm = Alarm(self._hub.loop)
            _under_way.add(self)

    def _await_prerequisites(self) -> None:
        try:
            for prerequisite in self._prerequisites:
                prerequisite.wait()
        except BaseException as error:
            if self._state is JobState.WAITING:
                self._decide(None, self._cause_of(error))
            elif self._state is JobState.FINALIZING and not isinstance(error, GreenletExit):
                self._record(None, self._cause_of(error))
        else:
            if self._state is JobState.WAITING:
                self._open()
        finally:
            self._gone(getcurrent())

    def _open(self) -> None:
        """The prerequisites are met: start the oneshot or, without one, the others."""
        if 0 in self._tasks:
            self._move(JobGiven.GATE)
            self._start(self._tasks[0])
        else:
            self._open_gate()

    def _open_gate(self) -> None:
        self._move(JobGiven.OPEN)
        self._background._set()
        self._turns = deque(task for index, task in self._tasks.items() if index)
        self._advance()

    def _advance(self) -> None:
        """Start the next init; when there are no more, all that has waited for them."""
        while self._turns and self._state is JobState.RECURRENT_RUNNING:
            task = self._turns.popleft()
            if task._init is not None:
                self._gate = self._gate or GeventEvent()
                self._start(task)
                return
            if task._run is not None:
                self._gated.append(task)
            else:
                self._begun(task)
                self._finished(task)
        if self._state is not JobState.RECURRENT_RUNNING:
            return
        self._turns = None
        if self._gate is not None:
            # A pass later: the task whose init was the last waits there, too, and in its turn.
            self._call_soon(self._gate.set)
        gated, self._gated = self._gated, []
        for task in gated:
            self._start(task)
        if not self._unfinished:
            self._decide()

    def _adopt(self, task: Task) -> Task:
        """Take *task* in; one that comes when the others have started starts at once."""
        self._tasks[task.index] = task
        self._unfinished += 1
        if self._state is JobState.RECURRENT_RUNNING:
            if self._turns is not None:
                self._turns.append(task)
            elif task._init is None and task._run is None:
                self._begun(task)
                self._finished(task)
            else:
                self._start(task)
        return task

    def _start(self, task: Task) -> None:
        greenlet = task._greenlet = Greenlet(task._live)
        greenlet.name = f"{self.name}/{task.name}"
        greenlet.gr_context = task._context
        greenlet.gowork_task = task
        greenlet.rawlink(self._died)
        self._group.start(greenlet)

    def _spawn(self, function: Callable[[], None], what: str) -> Greenlet:
        """A greenlet of the job's own, in a copy of the caller's context."""
        greenlet = Greenlet(function)
        greenlet.name = f"{self.name}/({what})"
        greenlet.gr_context = copy_context()
        greenlet.start()
        return greenlet

    # What tasks report

    def _begun(self, task: Task) -> None:
        if self._state not in RUNNING:
            raise Cancelled(self._interruption.error)
        task._move(TaskGiven.BEGIN)
        if task._greenlet is not None:
            self._living[task._greenlet] = task
        if task._finalize is not None:
            self._owed[task] = None

    def _initialised(self, task: Task) -> GeventEvent | None:
        """The gate that *task* has to wait at, None if it stands open."""
        if self._state is not JobState.RECURRENT_RUNNING or self._turns is None:
            return None
        self._advance()
        return self._gate

    def _task_returned(self, task: Task) -> None:
        if task._greenlet not in self._living or self._state in ENDED:
            return  # reported as unstopped, or a forked child's copy
        if task._state is TaskState.RUNNING:
            if self._canceller is task:
                task._move(TaskGiven.STOP)
            else:
                task._move(TaskGiven.FINISH)
        self._over(task)

    def _task_raised(self, task: Task, error: BaseException) -> None:
        if task._greenlet not in self._living or self._state in ENDED:
            return  # never begun, reported as unstopped, or a forked child's copy
        if self._state in RUNNING:
            self._decide(task, self._cause_of(error))
        elif not isinstance(error, GreenletExit):
            self._record(task, self._cause_of(error))
        elif task._state is TaskState.RUNNING:
            task._move(TaskGiven.STOP)
        self._over(task)

    def _died(self, greenlet: Greenlet) -> None:
        """A task's greenlet is dead: if it never ran, somebody else has killed it."""
        task = greenlet.gowork_task
        if task._state is TaskState.PENDING and self._state in RUNNING:
            self._decide(task, greenlet.exception or greenlet.value)
            self._ended(task)

    def _over(self, task: Task) -> None:
        """*task*, which had begun, has ended; only its greenlet's last steps are left."""
        task._unwatch()
        self._gone(task._greenlet)
        self._ended(task)

    def _finished(self, task: Task) -> None:
        """*task* is over although it never had a greenlet."""
        task._move(TaskGiven.FINISH)
        self._ended(task)

    def _gone(self, greenlet: Greenlet) -> None:
        if self._living.pop(greenlet, self) is not self and not self._living and self._quiet:
            self._quiet.set()

    def _ended(self, task: Task) -> None:
        """Tell those who wait for *task*, and go on with what it held up."""
        if task._ended is not None:
            task._ended._set()
        if self._notices is not None:
            self._notices.send_nowait(task)
        if not self._forget:
            self._ended_so_far.append(task)
        if self._forget and self._state in RUNNING and task in self._owed:
            del self._owed[task]
            greenlet = self._spawn(lambda: self._clear(task), f"finalizer of {task.name}")
            self._clearing[greenlet] = None
        else:
            self._let_go(task)

    def _let_go(self, task: Task) -> None:
        self._unfinished -= 1
        if self._forget:
            del self._tasks[task.index]
        if self._state is JobState.ONESHOT_RUNNING and task.index == 0:
            self._open_gate()
        elif self._state in RUNNING and not self._unfinished and self._turns is None:
            self._decide()

    def _clear(self, task: Task) -> None:
        """Finalize a task that the job is to forget; a failure ends the job."""
        self._run_bounded(iter([self._finalizer_of(task)]))
        del self._clearing[getcurrent()]
        self._let_go(task)

    # The end

    def _overdue(self, now: float) -> float | None:
        """The job's own timeout has expired."""
        self._timed_out = True
        self._decide(None, JobTimeout(f"job {self.name} took longer than {self._timeout:g} s"))
        return None

    def _idled_out(self, task: Task) -> None:
        if self._state in RUNNING:
            text = f"task {self.name}/{task.name} made no progress for {task._idle_timeout:g} s"
            self._decide(task, IdleTimeout(text))

    def _decide(self, task: Task | None = None, *errors: Any) -> None:
        """Fix the end of the job, badly if there is an error; nothing begins from here on."""
        self._move(JobGiven.DECIDE)
        if self._hub is not None:
            self._alarm.close()
        if errors:
            self._interrupt(task, errors[0])
        for pending in list(self._tasks.values()):
            if pending._state is TaskState.PENDING:
                self._skip(pending)
        handled = self._interrupted and self._handler is not None
        if not handled:
            self._stop_tasks()
        if self._living or self._owed or self._clearing or handled:
            self._settle_in()
            self._quiet = GeventEvent()
            self._spawn(self._wind_up, "finalizers")
        else:
            self._end()

    def _interrupt(self, task: Task | None, error: Any) -> None:
        """*error*, or what the error wrapper makes of it, is why the job ends badly."""
        self._interrupted = True
        self._interruption = Interruption(task, error)
        self._errors.append(error)
        if self._wrapper is not None:
            try:
                wrapped = self._wrapper(error)
            except BaseException as failure:
                self._record(None, self._cause_of(failure))
            else:
                error = error if wrapped is None else wrapped
                self._interruption = Interruption(task, error)
                self._errors[0] = error
        if task is not None and task._state in (TaskState.PENDING, TaskState.RUNNING):
            task._move(TaskGiven.FAIL)
            task.error = error

    def _record(self, task: Task | None, error: Any) -> None:
        """Keep an error that came when the end had been decided."""
        if not self._interrupted:
            self._interrupt(task, error)
            return
        self._errors.append(error)
        if task is not None and task._state is TaskState.RUNNING:
            task._move(TaskGiven.FAIL)
            task.error = error

    def _skip(self, task: Task) -> None:
        task._move(TaskGiven.SKIP)
        if task._greenlet is not None:
            deliver(task._greenlet, self._interruption.error)
        self._ended(task)

    def _stop_tasks(self) -> None:
        for greenlet, task in list(self._living.items()):
            # The task that has failed is on its way out; it runs this.
            if greenlet is not getcurrent() or task is not self._interruption.task:
                deliver(greenlet, self._interruption.error)

    def _wind_up(self) -> None:
        """Stop what lives, make the clean-up calls, publish the end: the job's own greenlet."""
        try:
            self._clean_up()
        except BaseException as error:  # whatever it was: those who wait are not left waiting
            self._record(None, self._cause_of(error))
        self._end()

    def _clean_up(self) -> None:
        handled = self._interrupted and self._handler is not None
        if handled:
            self._run_bounded(self._handling())
            self._stop_tasks()
        reason = self._interruption.error
        self._abandon(stop_all(self._living, self._quiet, self._grace, reason, self._goes_on))
        gevent.joinall(list(self._clearing))
        if self._goes_on():
            self._close_channels()
        if self._owed:
            self._run_bounded(self._finalizers())
        if self._interrupted and self._handler is not None and not handled:
            self._run_bounded(self._handling())

    def _abandon(self, unstopped: list[Unstopped]) -> None:
        self._unstopped += tuple(unstopped)
        for task in [each.task for each in unstopped if each.task is not None]:
            if task._state is TaskState.RUNNING:
                task._move(TaskGiven.STOP)
            self._over(task)
        if unstopped:
            self._living.clear()

    def _close_channels(self) -> None:
        for channel in list(self._channels.values()):
            channel._close_now()

    def _handling(self) -> Iterator[Call]:
        error = self._interruption.error
        yield Call("the shutdown handler", self._handler, error, copy_context(), None)

    def _finalizers(self) -> Iterator[Call]:
        while self._owed and self._goes_on():
            yield self._finalizer_of(self._owed.popitem()[0])

    def _finalizer_of(self, task: Task) -> Call:
        what = f"the finalizer of task {self.name}/{task.name}"
        return Call(what, task._finalize, task, task._context, task)

    def _run_bounded(self, calls: Iterator[Call]) -> None:
        self._unstopped += tuple(
            run_bounded(
                calls,
                self._finalize_timeout,
                self._grace,
                lambda run: self._spawn(run, "finalizer"),
                self._clean_up_failed,
            )
        )

    def _clean_up_failed(self, task: Task | None, error: BaseException) -> None:
        if self._state in RUNNING:
            self._decide(task, self._cause_of(error))
        elif self._goes_on():
            self._record(task, self._cause_of(error))

    def _cause_of(self, error: BaseException) -> Any:
        """What the job keeps of an exception: of a failed assertion, what was asserted."""
        if isinstance(error, (KeyboardInterrupt, SystemExit)) and self._exit is None:
            self._exit = error
        if isinstance(error, AssertionFailed) and error.error is not None:
            return error.error
        return error

    def _goes_on(self) -> bool:
        """False in a forked child's copy, which must not act."""
        return self._state is JobState.FINALIZING

    def _end(self) -> None:
        """Publish the end."""
        if not self._goes_on():
            return
        self._move(JobGiven.FAIL if self._interrupted else JobGiven.SUCCEED)
        _under_way.discard(self)
        self._close_channels()
        if self._notices is not None:
            self._notices._close_now()
        self._background._set()
        self._done._set()
        logs.write(self._logger, 1, "job %s ended: %s", (self.name, self._state.name), self, None)
        if self._exit is not None and not self._joining:
            # As gevent does with what escapes a greenlet: to whom it may concern, in main.
            error = self._exit
            self._hub.loop.run_callback(self._hub.handle_system_error, type(error), error)

    # From elsewhere

    def _stopped(self, task: Task) -> Cancelled | None:
        """What *task* is to raise where it may stop, None while it may go on."""
        return None if self._state in RUNNING else Cancelled(self._interruption.error)

    def _is_a_copy(self) -> bool:
        """Whether this process is a fork of the one in which the job was run."""
        return self._pid is not None and os.getpid() != self._pid

    def _in_another_thread(self) -> bool:
        return self._thread is not None and self._thread != get_ident()

    def _call_soon(self, function: Callable[..., object], *args: Any) -> None:
        """Have the job's hub call *function*; from any thread."""
        loop = self._hub.loop
        if self._in_another_thread():
            loop.run_callback_threadsafe(function, *args)
        else:
            loop.run_callback(function, *args)


def _after_fork_in_child() -> None:
    # The copies of greenlets and timers are still in the child's loop: by its state each
    # of them sees that it must not act. Nobody is told: who waits is a copy, too.
    for job in _under_way:
        job._move(JobGiven.FORK)
    _under_way.clear()


os.register_at_fork(after_in_child=_after_fork_in_child)
