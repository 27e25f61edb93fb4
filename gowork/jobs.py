"""Job: what users of gowork call; what then happens is in `lifecycles`."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from types import TracebackType
from typing import Any
from weakref import WeakValueDictionary

from zope.interface import implementer

from gowork import logs, states
from gowork.channels import Channel
from gowork.clocks import as_seconds
from gowork.endings import Unstopped
from gowork.errors import Cancelled, JobCancelled, StateError
from gowork.events import Event
from gowork.interfaces import IJob
from gowork.joins import wait_out
from gowork.lifecycles import DECIDED, ENDED
from gowork.outcomes import Interruption
from gowork.pingpong import PingPong
from gowork.routines import Once, Routines, name_of, routines_from
from gowork.scopes import current_task
from gowork.setups import Setup
from gowork.states import JobState
from gowork.tasks import Task

__all__ = ["Job"]

_numbers = itertools.count(1)


@implementer(IJob)
class Job(Setup):
    """A set of tasks that live and die together.

    ::

        with Job() as job:
            job.spawn(fetch, "a")
            job.spawn(fetch, "b")

    Leaving the block runs the job and waits for it; if a task has failed, the others have
    been stopped, all finalizers have run, and the block raises :exc:`JobCancelled`.

    :param value: anything that the tasks share, as ``job.value``.
    :param name: what the job is called in logs and greenlets' names.
    :param grace: seconds that a stopped task is left alone to unwind, and then once
        more that it is stopped again and again, before it is given up as `unstopped`.
    :param finalize_timeout: seconds for each finalizer, and for the shutdown handler.
    :param forget: for a job that runs for ever: each task is finalized and dropped when
        it ends, so that nothing grows.
    :raises TypeError: if a number of seconds is none.
    :raises ValueError: if it is negative.
    """

    def __init__(
        self,
        value: Any = None,
        *,
        name: str | None = None,
        grace: float = 5.0,
        finalize_timeout: float = 10.0,
        forget: bool = False,
    ) -> None:
        super().__init__(
            f"job-{next(_numbers)}" if name is None else name,
            as_seconds("grace", grace),
            as_seconds("finalize_timeout", finalize_timeout),
            forget,
        )
        #: Anything that the tasks share; a oneshot's place to leave what the others need.
        self.value = value
        self._indices = itertools.count(1)
        self._oneshot: Task | None = None

    def __repr__(self) -> str:
        return f"<Job {self.name} {self._state.name}, {len(self._tasks)} tasks>"

    def add_task(
        self, routines: Any, *, name: str | None = None, idle_timeout: float | None = None
    ) -> Task:
        """Add a task and return it; one added to a running job starts at once.

        :param routines: a callable ``factory(job) -> (init, run, finalize)``, called now, or
            an object with those methods; each may be None. They are called with the task.
        :param idle_timeout: seconds without :meth:`Task.tick` or :meth:`Task.progress` after
            which the task fails with :exc:`IdleTimeout`, whatever it is doing.
        :raises StateError: if the end of the job has been decided, in a finalizer, or from
            another thread than the running job's.
        :raises TypeError: if *routines* has no routines, or *idle_timeout* is no number.
        :raises ValueError: if *idle_timeout* is negative.
        """
        if self._state is not states.NEW:
            self._require_open("add_task")
        limit = None if idle_timeout is None else as_seconds("idle_timeout", idle_timeout)
        made = routines_from(routines, self)
        if self._state is not states.NEW:
            self._require_open("add_task")  # its factory may have ended the job
        return self._add(made, name or name_of(routines), limit)

    def add_task_with_idle_timeout(self, routines: Any, seconds: float) -> Task:
        """:meth:`add_task` with *seconds* as the idle timeout; it raises the same."""
        return self.add_task(routines, idle_timeout=seconds)

    def add_oneshot_task(self, routines: Any, *, name: str | None = None) -> Task:
        """Add the task with index 0, which must be done before any other begins.

        :raises StateError: if there is one already, the others have begun, or the end of
            the job has been decided.
        :raises TypeError: if *routines* has no routines.
        """
        self._require_no_oneshot()
        made = routines_from(routines, self)
        self._require_no_oneshot()  # its factory may have been busy
        task = self._oneshot = Task(self, 0, name or name_of(routines), made)
        self._background = Event()
        self._adopt(task)
        return task

    def _require_no_oneshot(self) -> None:
        self._require_open("add_oneshot_task", states.NEW, JobState.WAITING)
        if self._oneshot is not None:
            raise StateError(self._state, "add_oneshot_task", "the job has its oneshot")

    def spawn(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Task:
        """Add a task that calls ``function(*args, **kwargs)`` once.

        What it returns is the task's ``result``; it is not given the task, which is
        :func:`current_task` inside.

        :raises StateError: if the end of the job has been decided.
        :raises TypeError: if *function* is not callable.
        """
        if self._state is not states.NEW:
            self._require_open("spawn")
        if not callable(function):
            raise TypeError(f"cannot call {function!r}")
        once = Once(function, *args, **kwargs)
        return self._add((None, once, None), name_of(function))

    def _add(self, routines: Routines, name: str, idle_timeout: float | None = None) -> Task:
        task = Task(self, next(self._indices), name, routines, idle_timeout)
        self._adopt(task)
        return task

    def channel(self, capacity: float = 0, *, name: str | None = None) -> Channel[Any]:
        """A :class:`Channel` that is closed when all tasks are dead, before the finalizers.

        :raises StateError: if the end of the job has been decided.
        :raises TypeError: if *capacity* is neither an int nor ``math.inf``.
        :raises ValueError: if it is negative.
        """
        self._require_open("channel")
        channel: Channel[Any] = self._own(Channel(capacity, name=name))
        return channel

    def pingpong(self, capacity: float = 0, *, name: str | None = None) -> PingPong[Any]:
        """A :class:`PingPong` that is closed when all tasks are dead, before the finalizers.

        :raises StateError: if the end of the job has been decided.
        :raises TypeError: if *capacity* is neither an int nor ``math.inf``.
        :raises ValueError: if it is negative.
        """
        self._require_open("pingpong")
        pingpong: PingPong[Any] = self._own(PingPong(capacity, name=name))
        return pingpong

    def _own(self, channel: Any) -> Any:
        channel._owned = True
        if self._channels is None:
            self._channels = WeakValueDictionary()
        self._channels[id(channel)] = channel
        return channel

    def run(self) -> Event:
        """Start the job, if it has not been; the event of its end. Never blocks.

        The job then belongs to the hub of this thread. Waiting for the event is not
        structured: who is interrupted leaves the job running, and it raises no error of it.
        """
        if self._state is states.NEW:
            self._begin()
        return self._done

    def run_in_background(self) -> Event:
        """Start the job; an event set when its oneshot has finished, or it ended without.

        :raises StateError: if there is no oneshot.
        """
        if self._background is None:
            raise StateError(self._state, "run_in_background", "the job has no oneshot task")
        self.run()
        return self._background

    def cancel(self, error: Any = None) -> bool:
        """Stop every task; the job ends CANCELLED, with *error* or a :exc:`Cancelled`.

        Does not wait for that: it returns in a task of the job, too. False if the end had been
        decided already, and in a finalizer: then nothing changes. From another thread than the
        job's it only asks, and is True unless the end has been decided.
        """
        return self._end_by(Cancelled() if error is None else error)

    def finish(self) -> bool:
        """Stop every task; the job ends DONE, unless its clean-up fails.

        What it returns, and from where it may be called, is as for :meth:`cancel`.
        """
        return self._end_by()

    def _end_by(self, *error: Any) -> bool:
        if self._state in DECIDED or self._in_finalizer():
            return False
        if self._is_elsewhere() and self._home is not None:
            self._home.call_soon(self._end_by, *error)
            return True
        task = current_task()
        if error and task is not None and task.job is self:
            self._canceller = task
        self._decide(None, *error)
        # What hit the caller in the error wrapper, a kill or a timeout of his own, is his.
        stray, self._outcome.stray = self._outcome.stray, None
        if stray is not None:
            raise stray
        return True

    def join(self, timeout: float | None = None) -> bool:
        """True once the job has ended, well or not; blocks until then.

        Structured: if the wait is interrupted, by a kill or by a timeout of the caller's
        own, the job is cancelled, its finalizers run, and the same exception goes on.

        :param timeout: seconds to wait at most; then False, and the job goes on.
        :raises StateError: if the job was never run, or a task of its own asks.
        :raises Cancelled: if the caller is a task that must stop.
        :raises KeyboardInterrupt: or SystemExit, if a task or a clean-up call raised it.
        :raises TypeError: if *timeout* is no number.
        :raises ValueError: if it is negative.
        """
        if self._state is states.NEW:
            raise StateError(self._state, "join", "run() it first")
        task = current_task()
        if task is not None and task.job is self:
            raise StateError(self._state, "join", "its own task would wait for itself")
        limit = None if timeout is None else as_seconds("timeout", timeout)
        self._joining += 1
        try:
            if task is not None:
                task._checkpoint()
            # The second look: it may have ended in the pass in which the time was over.
            ended = self._done._wait(limit) or self._done.is_set()
        except BaseException as error:
            wait_out(self, error)
            raise
        finally:
            self._joining -= 1
        if ended and self._outcome.exit is not None:
            raise self._outcome.exit
        return ended

    def check(self) -> None:
        """Raise :exc:`JobCancelled` if the job has ended CANCELLED; to be called behind a wait.

        :raises JobCancelled: with the task, the error and all the rest.
        """
        if self._state is JobState.CANCELLED:
            task, error = self._outcome.interruption
            cause = error if isinstance(error, BaseException) else None
            raise JobCancelled(self, task, error, self.errors, self._unstopped) from cause

    def __enter__(self) -> Job:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is not None:
            wait_out(self, error)
            return
        self.run()
        self.join()
        self.check()

    @property
    def state(self) -> JobState:
        """Where the job is in its life."""
        return self._state

    @property
    def tasks(self) -> tuple[Task, ...]:
        """The tasks in index order, without those that a ``forget`` job has dropped."""
        return tuple(self._tasks[index] for index in sorted(self._tasks))

    def get_task_by_index(self, index: int) -> Task:
        """The task with that index: 0 is the oneshot, the others count from 1.

        :raises IndexError: if there is none.
        """
        try:
            return self._tasks[index]
        except KeyError:
            raise IndexError(f"job {self.name} has no task {index!r}") from None

    @property
    def interrupted_by(self) -> Interruption:
        """``(task, error)``: what interrupted the job; two None when nothing has."""
        return self._outcome.interruption

    @property
    def errors(self) -> tuple[Any, ...]:
        """Every error in the order they came, that which interrupted the job first."""
        return tuple(self._outcome.errors)

    @property
    def unstopped(self) -> tuple[Unstopped, ...]:
        """What still lived when the job ended: tasks, and clean-up calls."""
        return self._unstopped

    def was_timed_out(self) -> bool:
        """Whether the job's own timeout interrupted it."""
        return self._timed_out

    def job_done_notify(self) -> Event:
        """The event that :meth:`run` returns; any number may wait, before and after."""
        return self._done

    def task_done_notify(self) -> Channel[Task]:
        """A channel of the tasks as they end, each once, unread ones kept; the same each time.

        It is closed when the job has ended. A ``forget`` job has no memory of the tasks that
        ended before the first call.
        """
        if self._notices is None:
            self._notices = Channel(math.inf, name=f"{self.name} task done")
            self._notices._owned = True
            if self._home is not None:
                self._notices._belong_to(self._home.hub)
            for task in self._ended_so_far:
                self._notices.send_nowait(task)
            if self._state in ENDED:
                self._notices._close_now()
        return self._notices

    def register_logger(self, logger: Any) -> None:
        """Send what the job logs to *logger*, a :class:`logging.Logger` or its like.

        None brings the default logger back.

        :raises TypeError: if it has no method ``log(level, msg, *args)``.
        """
        self._logger = None if logger is None else logs.require_logger(logger)

    def log(self, level: int, message: str, *args: Any) -> None:
        """Write *message* ``%`` *args* if *level* is at most the log level; never raises."""
        logs.write(self._logger, level, message, args, self, current_task())
