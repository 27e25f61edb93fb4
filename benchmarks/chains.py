"""Chains: values through a hundred channels, one after the other."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import gevent
from gevent import queue

from benchmarks.contests import Contestant, Gauge, Race
from benchmarks.handovers import between_greenlets
from gowork import Channel

__all__ = ["GAUGES", "MILLION", "RACES"]

LINKS = 100

Pipe = tuple[Callable[[Any], Any], Callable[[], Any]]  # its send and its recv


def gowork_pipe() -> Pipe:
    channel: Channel[Any] = Channel()
    return channel.send, channel.recv


def gevent_pipe() -> Pipe:
    channel: queue.Channel[Any] = queue.Channel()
    return channel.put, channel.get


@contextmanager
def chain(make: Callable[[], Pipe], values: int) -> Iterator[Pipe]:
    """Where to send so many *values*, and where they come out in the end."""

    def forward(recv: Callable[[], Any], send: Callable[[Any], Any]) -> None:
        for _ in range(values):
            send(recv())

    pipes = [make() for _ in range(LINKS)]
    forwarders = [gevent.spawn(forward, recv, send) for (_, recv), (send, _) in pairwise(pipes)]
    yield pipes[0][0], pipes[-1][1]
    gevent.joinall(forwarders, raise_error=True)


def gowork_chain(count: int) -> float:
    return _through(gowork_pipe, count)


def gevent_chain(count: int) -> float:
    return _through(gevent_pipe, count)


def _through(make: Callable[[], Pipe], count: int) -> float:
    values = count // LINKS  # each is handed over so many times
    with chain(make, values) as (send, recv):
        return between_greenlets(send, recv, values)


def kept(values: float) -> float:
    """How many blocks of memory one of so many *values* leaves behind on its way.

    Looked at after each tenth of them, while the next ones are on their way.
    """
    count = int(values)

    def feed(send: Callable[[Any], Any]) -> None:
        for value in range(count):
            send(value)

    blocks = []
    with chain(gowork_pipe, count) as (send, recv):
        feeder = gevent.spawn(feed, send)
        for value in range(count):
            if value % (count // 10) == count // 20:
                gc.collect()
                blocks.append(sys.getallocatedblocks())
            if recv() != value:
                raise RuntimeError(f"{value} should have come through")
        feeder.get()
    return (max(blocks) - blocks[0]) / count


RACES = (
    Race(
        "chain",
        Contestant(f"{LINKS} of gowork Channel()", gowork_chain),
        (Contestant(f"{LINKS} of gevent Channel()", gevent_chain),),
    ),
)
GAUGES = (
    Gauge(
        "growth",
        f"20,000 values through {LINKS} channels",
        kept,
        amount=20_000,
        unit="blocks/value",
        limit=0.01,
    ),
)
MILLION = GAUGES[0]._replace(
    name="million", what=f"a million values through {LINKS} channels", amount=1_000_000
)
