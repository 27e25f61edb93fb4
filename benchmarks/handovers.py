"""Hand-overs: values from one greenlet, or one asynchronous task, to another."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

import gevent
from gevent import queue
from greenlet import getcurrent

from benchmarks.contests import Contestant, Race, check
from benchmarks.processes import HAS_GO, Apart, has, in_go
from benchmarks.timing import clock
from gowork import Channel

__all__ = ["RACES", "between_greenlets"]

COUNT = 10_000  # of values in a run of Go's


def between_greenlets(send: Callable[[int], Any], recv: Callable[[], Any], count: int) -> float:
    """The seconds that it takes *count* numbers to get from one greenlet to another."""

    def sender() -> None:
        for value in range(count):
            send(value)

    def receiver() -> list[Any]:
        return [recv() for _ in range(count)]

    start = clock()
    gevent.spawn(sender)
    received = gevent.spawn(receiver).get()
    seconds = clock() - start
    check(received, count)
    return seconds


def gowork_unbuffered(count: int) -> float:
    channel: Channel[int] = Channel()
    return between_greenlets(channel.send, channel.recv, count)


def gowork_buffered(count: int) -> float:
    channel: Channel[int] = Channel(100)
    return between_greenlets(channel.send, channel.recv, count)


def gevent_unbuffered(count: int) -> float:
    channel: queue.Channel[int] = queue.Channel()
    return between_greenlets(channel.put, channel.get, count)


def gevent_buffered(count: int) -> float:
    channel: queue.Queue[int] = queue.Queue(100)
    return between_greenlets(channel.put, channel.get, count)


def bare_switches(count: int) -> float:
    """A hand-over that promises nothing, not even that a killed greenlet harms no other."""
    hub = gevent.get_hub()
    senders: deque[tuple[Any, int]] = deque()
    receivers: deque[Any] = deque()

    def send(value: int) -> None:
        if receivers:
            hub.loop.run_callback(receivers.popleft().switch, value)
        else:
            senders.append((getcurrent(), value))
            hub.switch()

    def recv() -> Any:
        if senders:
            sender, value = senders.popleft()
            hub.loop.run_callback(sender.switch)
            return value
        receivers.append(getcurrent())
        return hub.switch()

    return between_greenlets(send, recv, count)


def asyncio_buffered(count: int) -> float:
    channel: asyncio.Queue[int] = asyncio.Queue(100)

    async def sender() -> None:
        for value in range(count):
            await channel.put(value)

    async def receiver() -> list[int]:
        return [await channel.get() for _ in range(count)]

    async def both() -> float:
        start = clock()
        _, received = await asyncio.gather(sender(), receiver())
        seconds = clock() - start
        check(received, count)
        return seconds

    return asyncio.run(both())


def on_trio(capacity: int, count: int) -> float:
    import trio  # all others can be measured without it

    sending, receiving = trio.open_memory_channel[int](capacity)

    async def sender() -> None:
        for value in range(count):
            await sending.send(value)

    async def both() -> float:
        start = clock()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(sender)
            received = [await receiving.receive() for _ in range(count)]
        seconds = clock() - start
        check(received, count)
        return seconds

    return trio.run(both)


def trio_contestant(capacity: int, goal: float | None) -> Contestant:
    name, measure = f"trio open_memory_channel({capacity})", partial(on_trio, capacity)
    return Contestant(name, measure, goal, is_here=has("trio"))


RACES = (
    Race(
        "unbuffered",
        Contestant("gowork Channel()", gowork_unbuffered),
        (
            Contestant("gevent Channel()", gevent_unbuffered, goal=0.45),
            trio_contestant(0, goal=0.2),
            Contestant("bare switches, no guarantees", bare_switches),
            Apart("Go, make(chan int)", in_go("unbuffered", COUNT), is_here=HAS_GO),
        ),
    ),
    Race(
        "buffered",
        Contestant("gowork Channel(100)", gowork_buffered),
        (
            Contestant("gevent Queue(100)", gevent_buffered, goal=1.1),
            Contestant("asyncio Queue(100)", asyncio_buffered, goal=0.3),
            trio_contestant(100, goal=None),
            Apart("Go, make(chan int, 100)", in_go("buffered", COUNT), is_here=HAS_GO),
        ),
    ),
)
