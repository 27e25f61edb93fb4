"""Ping/pong: data one way, and back the news that it has been processed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gevent import queue

from benchmarks.contests import Contestant, Race
from benchmarks.handovers import between_greenlets
from gowork import PingPong

__all__ = ["RACES"]


def with_a_block(count: int) -> float:
    pingpong: PingPong[int] = PingPong()

    def recv() -> int:
        with pingpong.recv() as data:
            return data

    return between_greenlets(pingpong.send, recv, count)


def in_two_steps(count: int) -> float:
    pingpong: PingPong[int] = PingPong()

    def recv() -> int:
        ping = pingpong.recv()
        data = ping.value
        ping.ack()
        return data

    return between_greenlets(pingpong.send, recv, count)


def with_two_channels(count: int) -> float:
    there: queue.Channel[int] = queue.Channel()
    back: queue.Channel[None] = queue.Channel()

    def send(data: int) -> None:
        there.put(data)
        back.get()

    def recv() -> Any:
        data = there.get()
        back.put(None)
        return data

    return between_greenlets(send, recv, count)


def _race(name: str, how: str, measure: Callable[[int], float]) -> Race:
    peer = Contestant("two of gevent Channel()", with_two_channels, goal=0.8)
    return Race(name, Contestant(f"gowork PingPong(), {how}", measure), (peer,))


RACES = (
    _race("pingpong", "with a block", with_a_block),
    _race("pingpong-steps", "in two steps", in_two_steps),
)
