"""Winding up a job: what lives is stopped, clean-up calls are made, the end is published.

This runs in a greenlet of the job's own. A forked child's copy of it may wake up at any
of its waits: there it does nothing more.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextvars import copy_context
from typing import TYPE_CHECKING, Any

import gevent
from gevent.event import Event

from gowork.endings import Call, run_bounded, stop_all

if TYPE_CHECKING:
    from gowork.tasks import Task

__all__ = ["finalize", "wind_up"]


def wind_up(job: Any, handled: bool) -> None:
    """Bring *job*, whose end is decided, to its end; blocks for a bounded time.

    :param handled: whether the shutdown handler comes first, and then the first stop.
    """
    try:
        _clean_up(job, handled)
    except BaseException as error:  # whatever it was: those who wait are not left waiting
        job._clean_up_failed(None, error)
    job._end()


def finalize(job: Any, tasks: Iterable[Task]) -> None:
    """Call the finalizers of *tasks*, one after another, each for a bounded time."""
    _run(job, (_finalizer_of(job, task) for task in tasks))


def _clean_up(job: Any, handled: bool) -> None:
    if handled:
        _run(job, _handling(job))
        if job._goes_on():
            job._stop_tasks()
    if job._living and job._goes_on():
        job._quiet = Event()
        reason = job._outcome.interruption.error
        job._abandon(stop_all(job._living, job._quiet, job._grace, reason, job._goes_on))
    gevent.joinall(list(job._clearing.values()))
    if job._goes_on():
        job._close_channels()
    if job._owed:
        finalize(job, _owed(job))
    if job._outcome.is_bad and job._handler is not None and not handled:
        _run(job, _handling(job))  # nothing was wrong until a clean-up failed


def _owed(job: Any) -> Iterator[Task]:
    while job._owed and job._goes_on():
        yield job._owed.popitem()[0]


def _finalizer_of(job: Any, task: Task) -> Call:
    what = f"the finalizer of task {job.name}/{task.name}"
    return Call(what, task._finalize, task, task._context, task)


def _handling(job: Any) -> Iterator[Call]:
    if job._goes_on():
        error = job._outcome.interruption.error
        yield Call("the shutdown handler", job._handler, error, copy_context(), None)


def _run(job: Any, calls: Iterator[Call]) -> None:
    unstopped = run_bounded(
        calls,
        job._finalize_timeout,
        job._grace,
        lambda run: job._spawn(run, "finalizer"),
        job._clean_up_failed,
    )
    job._unstopped += tuple(unstopped)  # not above: while that blocks, others add theirs
