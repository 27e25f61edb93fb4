"""Jobs of gowork."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import gevent

from benchmarks.apart.checks import all_ran, resident
from benchmarks.timing import clock, per_item
from gowork import Job, Task

__all__ = [
    "add_task",
    "cancel",
    "connection",
    "idling",
    "memory",
    "spawn",
    "tick",
    "tick_behind_idle_tasks",
    "tick_beside_idle_tasks",
    "waits",
]

IDLE_TASKS = 10_000
FAR = 60.0  # seconds of the timeouts that do not fire


def _spawned(wait: bool, tasks: int, jobs: int) -> float:
    ran: list[None] = []

    def at_once() -> None:
        ran.append(None)

    def behind_others() -> None:
        gevent.sleep(0)
        ran.append(None)

    function = behind_others if wait else at_once
    start = clock()
    for _ in range(jobs):
        job = Job()
        for _ in range(tasks):
            job.spawn(function)
        job.run()
        job.join()
    seconds = clock() - start
    all_ran(ran, jobs * tasks)
    return seconds


#: Jobs of plain functions, and of such as give way to the others once.
spawn = per_item(partial(_spawned, False))
waits = per_item(partial(_spawned, True))


@per_item
def add_task(tasks: int, jobs: int) -> float:
    """Jobs of tasks with routines, whose factory is called for each."""
    ran: list[None] = []

    def run(task: Task) -> None:
        ran.append(None)
        task.done()

    def factory(job: Job) -> Any:
        return None, run, None

    start = clock()
    for _ in range(jobs):
        job = Job()
        for _ in range(tasks):
            job.add_task(factory)
        job.run()
        job.join()
    seconds = clock() - start
    all_ran(ran, jobs * tasks)
    return seconds


@per_item
def cancel(tasks: int, jobs: int) -> float:
    """From ``cancel()`` until blocked tasks and their finalizers are over."""
    seconds = 0.0
    for _ in range(jobs):
        finalized: list[Task] = []
        job = _blocked(tasks, finalized.append)
        start = clock()
        job.cancel()
        job.join()
        seconds += clock() - start
        all_ran(finalized, tasks)
    return seconds


def memory(tasks: int) -> float:
    """Bytes that a blocked task with a finalizer occupies."""
    finalized: list[Task] = []
    warm = _blocked(1, finalized.append)
    warm.cancel()
    warm.join()
    before = resident()
    job = _blocked(tasks, finalized.append)
    occupied = resident() - before
    job.cancel()
    job.join()
    all_ran(finalized, tasks + 1)
    return occupied / tasks


def _blocked(tasks: int, finalize: Callable[[Task], None]) -> Job:
    """A job whose tasks all wait for nothing that will ever come."""
    block = gevent.get_hub().switch
    began: list[Task] = []

    def run(task: Task) -> None:
        began.append(task)
        block()

    job = Job()
    for _ in range(tasks):
        job.add_task(lambda job: (None, run, finalize))
    job.run()
    while len(began) < tasks:
        gevent.sleep(0)
    return job


@per_item
def tick(ticks: int, jobs: int) -> float:
    """A ``run`` that takes the next of some numbers, and ticks until there are no more."""
    return sum(_ticking(ticks) for _ in range(jobs))


def _ticking(ticks: int) -> float:
    left = iter(range(ticks))

    def run(task: Task) -> None:
        next(left)
        task.tick()

    job = Job()
    task = job.add_task(lambda job: (None, run, None))
    start = clock()
    job.run()
    job.join()
    seconds = clock() - start
    if not isinstance(task.error, StopIteration):
        raise RuntimeError(f"the ticking ended by {task.error!r}")
    return seconds


def tick_beside_idle_tasks(ticks: int, least: float) -> float:
    """What :func:`tick` costs where other tasks idle, whose pauses have grown by then."""
    job = _idle(IDLE_TASKS)
    gevent.sleep(3 * least)
    seconds = tick(ticks, least)
    job.finish()
    job.join()
    return seconds


def tick_behind_idle_tasks(ticks: int, least: float) -> float:
    """The same when the others have ended: CPython has met other kinds of ``run`` by then, too.

    Where it has met a single one it calls that faster.
    """
    job = _idle(IDLE_TASKS)
    gevent.sleep(3 * least)
    job.finish()
    job.join()
    return tick(ticks, least)


def idling(tasks: int, seconds: float) -> float:
    """The share of a core, in percent, that idle tasks take in so many seconds.

    They have had as many before, in which their pauses have grown.
    """
    job = _idle(tasks)
    gevent.sleep(seconds)
    start = clock()
    gevent.sleep(seconds)
    busy = clock() - start
    job.finish()
    job.join()
    return 100 * busy / seconds


def _idle(tasks: int) -> Job:
    job = Job()
    for _ in range(tasks):
        job.add_task(lambda job: (None, Task.idle, None))
    job.run()
    return job


@per_item
def connection(items: int, times: int) -> float:
    """A job as one for a connection: a oneshot, two tasks that may idle out, a timeout."""
    ran: list[Task] = []

    def run(task: Task) -> None:
        ran.append(task)
        task.done()

    def factory(job: Job) -> Any:
        return None, run, None

    start = clock()
    for _ in range(items * times):
        job = Job().with_timeout(FAR)
        job.add_oneshot_task(factory)
        job.add_task_with_idle_timeout(factory, FAR)
        job.add_task_with_idle_timeout(factory, FAR)
        job.run()
        job.join()
    seconds = clock() - start
    all_ran(ran, 3 * items * times)
    return seconds
