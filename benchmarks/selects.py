"""Selects: what a choice costs, what waiting costs, and what a crowd of others costs."""

from __future__ import annotations

import math
from functools import partial
from itertools import cycle

import gevent

from benchmarks.contests import Contestant, Gauge, Race, check
from benchmarks.timing import clock
from gowork import Channel, select

__all__ = ["GAUGES", "RACES"]

CHANNELS = 100
SECONDS = 2


def from_one(count: int) -> float:
    """A plain ``recv``; the values lie ready, so that no greenlet is switched to."""
    channel = _filled(0, count)
    start = clock()
    received = [channel.recv() for _ in range(count)]
    seconds = clock() - start
    check(received, count)
    return seconds


def from_two(count: int) -> float:
    """A select that finds both of its channels ready every time, and makes its cases anew."""
    a, b = _filled(0, count), _filled(count, 2 * count)
    start = clock()
    received = [select([a.receiving(), b.receiving()])[1] for _ in range(count)]
    seconds = clock() - start
    check(sorted(received + _rest(a) + _rest(b)), 2 * count)
    return seconds


def from_two_again(count: int) -> float:
    """The same, but the cases are made once and for all."""
    a, b = _filled(0, count), _filled(count, 2 * count)
    cases = [a.receiving(), b.receiving()]
    start = clock()
    received = [select(cases)[1] for _ in range(count)]
    seconds = clock() - start
    check(sorted(received + _rest(a) + _rest(b)), 2 * count)
    return seconds


def _filled(first: int, end: int) -> Channel[int]:
    channel: Channel[int] = Channel(math.inf)
    for value in range(first, end):
        channel.send_nowait(value)
    return channel


def _rest(channel: Channel[int]) -> list[int]:
    return [channel.recv() for _ in range(len(channel))]


def waking(others: int, count: int) -> float:
    """From ``send`` to the return of a select over all channels, the sum of *count* times.

    Not in it: what the select does until it waits. The *others* wait on all channels but
    the one that is sent to, each in a ``recv`` of its own.
    """
    channels: list[Channel[float]] = [Channel() for _ in range(CHANNELS)]

    def selecting() -> float:
        seconds = 0.0
        cases = [channel.receiving() for channel in channels]
        for _ in range(count):
            _, sent_at, _ = select(cases)
            seconds += clock() - sent_at
        return seconds

    crowd = [
        gevent.spawn(list, channel)
        for _, channel in zip(range(others), cycle(channels[1:]), strict=False)
    ]
    gevent.sleep(0)
    selector = gevent.spawn(selecting)
    for _ in range(count):
        gevent.sleep(0)  # until the select waits again
        channels[0].send(clock())
    selector.join()
    for channel in channels:
        channel.close()
    gevent.joinall(crowd, raise_error=True)
    return float(selector.get())


def idling(seconds: float) -> float:
    """The share of a core, in percent, that a select takes while it waits for so long."""
    channels: list[Channel[int]] = [Channel() for _ in range(CHANNELS)]
    start = clock()
    select([channel.receiving() for channel in channels], timeout=seconds)
    return 100 * (clock() - start) / seconds


RACES = (
    Race(
        "select",
        Contestant("select() from two channels, cases made once", from_two_again),
        (Contestant("recv() from one channel", from_one, goal=2.5),),
    ),
    Race(
        "select-anew",
        Contestant("select() from two channels, cases made each time", from_two),
        (Contestant("recv() from one channel", from_one, goal=2.5),),
    ),
    Race(
        "wake",
        Contestant(f"select() over {CHANNELS}, 10,000 others wait", partial(waking, 10_000)),
        (
            Contestant("nobody else waits", partial(waking, 0), goal=1.5),
            Contestant("100 others wait", partial(waking, 100)),
        ),
    ),
)
GAUGES = (
    Gauge(
        "idle",
        f"select() over {CHANNELS} blocked channels",
        idling,
        amount=SECONDS,
        unit="% CPU",
        limit=1,
    ),
)
