"""The same with what gevent itself has, in a process that knows nothing of gowork."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import gevent
from gevent.pool import Group, Pool

from benchmarks.apart.checks import all_ran, resident
from benchmarks.timing import clock, per_item

__all__ = ["cancel", "connection", "group", "memory", "parked", "pool", "waits"]

FAR = 60.0  # seconds of the timeouts that do not fire

Spawn = Callable[[Callable[[], None]], gevent.Greenlet]


def _joined(make: Callable[[], Group], wait: bool, tasks: int, groups: int) -> float:
    ran: list[None] = []

    def at_once() -> None:
        ran.append(None)

    def behind_others() -> None:
        gevent.sleep(0)
        ran.append(None)

    function = behind_others if wait else at_once

    start = clock()
    for _ in range(groups):
        group = make()
        for _ in range(tasks):
            group.spawn(function)
        group.join()
    seconds = clock() - start
    all_ran(ran, groups * tasks)
    return seconds


group = per_item(partial(_joined, Group, False))
pool = per_item(partial(_joined, partial(Pool, 100), False))
waits = per_item(partial(_joined, Group, True))


@per_item
def parked(tasks: int, times: int) -> float:
    """Greenlets that are started, wait, are switched to once more, and end."""
    hub = gevent.get_hub()
    ran: list[None] = []

    def function() -> None:
        hub.switch()
        ran.append(None)

    start = clock()
    for _ in range(times):
        greenlets = [gevent.spawn(function) for _ in range(tasks)]
        gevent.sleep(0)
        for greenlet in greenlets:
            hub.loop.run_callback(greenlet.switch)
        gevent.sleep(0)
    seconds = clock() - start
    all_ran(ran, times * tasks)
    return seconds


@per_item
def cancel(tasks: int, groups: int) -> float:
    """Until blocked greenlets are killed, each with a ``finally`` of its own."""
    seconds = 0.0
    for _ in range(groups):
        finalized: list[None] = []
        group = Group()
        _block(group.spawn, tasks, finalized)
        start = clock()
        group.kill()
        seconds += clock() - start
        all_ran(finalized, tasks)
    return seconds


def memory(tasks: int) -> float:
    """Bytes that a blocked greenlet with a ``finally`` occupies; it is in no group."""
    finalized: list[None] = []
    gevent.killall(_block(gevent.spawn, 1, finalized))
    before = resident()
    greenlets = _block(gevent.spawn, tasks, finalized)
    occupied = resident() - before
    gevent.killall(greenlets)
    all_ran(finalized, tasks + 1)
    return occupied / tasks


def _block(spawn: Spawn, tasks: int, finalized: list[None]) -> list[gevent.Greenlet]:
    """Greenlets that all wait for nothing that will ever come."""
    block = gevent.get_hub().switch
    began: list[None] = []

    def function() -> None:
        began.append(None)
        try:
            block()
        finally:
            finalized.append(None)

    greenlets = [spawn(function) for _ in range(tasks)]
    while len(began) < tasks:
        gevent.sleep(0)
    return greenlets


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
