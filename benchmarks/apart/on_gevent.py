"""The same with what gevent itself has, in a process that knows nothing of gowork."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import gevent
from gevent.pool import Group, Pool

from benchmarks.apart.checks import all_ran, resident
from benchmarks.timing import clock, per_item

__all__ = ["cancel", "connection", "group", "memory", "pool"]

FAR = 60.0  # seconds of the timeouts that do not fire


def _joined(make: Callable[[], Group], tasks: int, groups: int) -> float:
    ran: list[None] = []

    def function() -> None:
        ran.append(None)

    start = clock()
    for _ in range(groups):
        group = make()
        for _ in range(tasks):
            group.spawn(function)
        group.join()
    seconds = clock() - start
    all_ran(ran, groups * tasks)
    return seconds


group = per_item(partial(_joined, Group))
pool = per_item(partial(_joined, partial(Pool, 100)))


@per_item
def cancel(tasks: int, groups: int) -> float:
    """Until blocked greenlets are killed, each with a ``finally`` of its own."""
    seconds = 0.0
    for _ in range(groups):
        finalized: list[None] = []
        group = _blocked(tasks, finalized)
        start = clock()
        group.kill()
        seconds += clock() - start
        all_ran(finalized, tasks)
    return seconds


def memory(tasks: int) -> float:
    """Bytes that a blocked greenlet occupies."""
    _blocked(1, []).kill()
    before = resident()
    group = _blocked(tasks, [])
    occupied = resident() - before
    group.kill()
    return occupied / tasks


def _blocked(tasks: int, finalized: list[None]) -> Group:
    block = gevent.get_hub().switch
    began: list[None] = []

    def function() -> None:
        began.append(None)
        try:
            block()
        finally:
            finalized.append(None)

    group = Group()
    for _ in range(tasks):
        group.spawn(function)
    while len(began) < tasks:
        gevent.sleep(0)
    return group


@per_item
def connection(items: int, times: int) -> float:
    """Three greenlets below one timeout: nobody stops any of them, and none idles out."""
    ran: list[None] = []

    def function() -> None:
        ran.append(None)

    start = clock()
    for _ in range(items * times):
        with gevent.Timeout(FAR):
            gevent.spawn(function).join()
            gevent.joinall([gevent.spawn(function), gevent.spawn(function)])
    seconds = clock() - start
    all_ran(ran, 3 * items * times)
    return seconds
