"""Faults of a network: small values that say what happens to the bytes on their way.

A fault is a stage in a wire: a generator that takes pieces of the stream and gives them
on later, smaller, altered or not at all. The stages of a wire are chained in the order in
which the faults are named, and every stage draws from the wire's own random numbers.

A stage that waits holds up all before it. Then nothing is read from the sender, whose
buffers fill: that is the backpressure. Only :func:`latency` reads on meanwhile, as the
bytes on a long line do not hinder each other; a line has room for :data:`LINE` bytes.

A stage that returns ends the stream; one that raises :exc:`ConnectionResetError` resets
the connection.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from numbers import Real
from random import Random
from typing import Any

import gevent
from gevent.event import Event

from gowork.clocks import as_seconds

__all__ = [
    "LINE",
    "Fault",
    "bandwidth",
    "corrupt",
    "cut",
    "latency",
    "refuse",
    "reset",
    "slicer",
    "stall",
]

#: How many bytes are under way at most in a direction with latency.
LINE = 1024 * 1024

#: Into how many parts a slow wire divides the bytes of a second at least.
_PARTS = 10

Pieces = Iterator[bytes]
Spawn = Callable[..., object]
Stage = Callable[[Pieces, Random, Spawn], Pieces]


@dataclass(frozen=True)
class Fault:
    """What can happen to a connection; equal to another that was made in the same way.

    Made by :func:`latency`, :func:`slicer` and the like.
    """

    name: str
    settings: tuple[tuple[str, Any], ...]
    direction: str | None = None
    #: What becomes of the bytes, None if nothing does.
    stage: Stage | None = field(default=None, compare=False)
    #: How many connects are refused.
    refusals: float = 0

    def __repr__(self) -> str:
        settings = dict(self.settings)
        if self.direction is not None:
            settings["direction"] = self.direction
        return f"{self.name}({', '.join(f'{key}={value!r}' for key, value in settings.items())})"


def latency(seconds: float, jitter: float = 0.0, *, direction: str | None = None) -> Fault:
    """Each piece arrives *seconds* later than it was sent, and so does the end; none overtakes.

    :param jitter: each piece is late by some time drawn from *seconds* ± *jitter* instead.
    :raises ValueError: if it is negative or infinite, or *jitter* greater than *seconds*.
    """
    delay = _seconds("seconds", seconds)
    spread = _seconds("jitter", jitter)
    if spread > delay:
        raise ValueError(f"jitter must not be greater than seconds: {jitter!r} > {seconds!r}")

    def stage(pieces: Pieces, random: Random, spawn: Spawn) -> Pieces:
        # When it is due, and what: a piece, None for the end of the stream, or an error.
        line: deque[tuple[float, bytes | Exception | None]] = deque()
        under_way = 0
        moved = Event()

        def put(piece: bytes | Exception | None) -> None:
            line.append((time.monotonic() + delay + random.uniform(-spread, spread), piece))
            moved.set()

        def fill() -> None:
            nonlocal under_way
            try:
                for piece in pieces:
                    put(piece)
                    under_way += len(piece)
                    while under_way >= LINE:
                        moved.clear()
                        moved.wait()
                put(None)
            except Exception as error:
                put(error)

        spawn(fill)
        while True:
            while not line:
                moved.clear()
                moved.wait()
            due, piece = line[0]
            _sleep_until(due)
            line.popleft()
            if piece is None:
                return
            if isinstance(piece, Exception):
                raise piece
            yield piece
            under_way -= len(piece)
            moved.set()

    return _fault("latency", direction, stage, seconds=seconds, jitter=jitter)


def slicer(largest: int = 1, *, direction: str | None = None) -> Fault:
    """The stream arrives in pieces of one to *largest* bytes, drawn.

    Where it is cut depends on the seed alone, not on how it was sent; what was sent apart stays so.

    :raises ValueError: if *largest* is less than 1.
    """
    _whole("largest", largest, 1)

    def stage(pieces: Pieces, random: Random, spawn: Spawn) -> Pieces:
        left = random.randint(1, largest)
        for piece in pieces:
            while piece:
                head, piece = piece[:left], piece[left:]
                yield head
                left = left - len(head) or random.randint(1, largest)
                _let_others_read()  # or they would find the pieces joined again

    return _fault("slicer", direction, stage, largest=largest)


def bandwidth(bytes_per_second: float, *, direction: str | None = None) -> Fault:
    """At most so many bytes arrive in a second.

    :raises ValueError: if *bytes_per_second* is not positive or not finite.
    """
    if isinstance(bytes_per_second, bool) or not isinstance(bytes_per_second, Real):
        raise TypeError(f"bytes_per_second must be a number: {bytes_per_second!r}")
    if not 0 < bytes_per_second < math.inf:
        raise ValueError(f"bytes_per_second must be positive and finite: {bytes_per_second!r}")
    largest = math.ceil(bytes_per_second / _PARTS)

    def stage(pieces: Pieces, random: Random, spawn: Spawn) -> Pieces:
        free = time.monotonic()  # when the wire will be free
        for piece in pieces:
            for part in (piece[at : at + largest] for at in range(0, len(piece), largest)):
                free = max(free, time.monotonic()) + len(part) / bytes_per_second
                _sleep_until(free)
                yield part

    return _fault("bandwidth", direction, stage, bytes_per_second=bytes_per_second)


def reset(after: int = 0, *, direction: str | None = None) -> Fault:
    """The connection is reset as soon as *after* bytes have passed in a direction.

    Whoever reads then has what had arrived and :exc:`ConnectionResetError` after it; whoever
    writes has :exc:`BrokenPipeError`. An end that had shut down its own writing sees the end
    of the stream instead, as the system has no other way to tell it.

    :raises ValueError: if *after* is negative.
    """
    _whole("after", after, 0)

    def stage(pieces: Pieces, random: Random, spawn: Spawn) -> Pieces:
        rest = yield from _first(pieces, after)
        if rest is not None:
            raise ConnectionResetError(f"reset after {after} bytes")

    return _fault("reset", direction, stage, after=after)


def stall(after: int = 0, seconds: float | None = None, *, direction: str | None = None) -> Fault:
    """Nothing moves any more when *after* bytes have passed in a direction; nobody is told.

    :param seconds: for how long; None for ever.
    :raises ValueError: if *after* or *seconds* is negative.
    """
    _whole("after", after, 0)
    length = None if seconds is None else _seconds("seconds", seconds)

    def stage(pieces: Pieces, random: Random, spawn: Spawn) -> Pieces:
        rest = yield from _first(pieces, after)
        if rest is None:
            return
        if length is None:
            Event().wait()
        else:
            _sleep_until(time.monotonic() + length)
        if rest:
            yield rest
        yield from pieces

    return _fault("stall", direction, stage, after=after, seconds=seconds)


def cut(after: int = 0, *, direction: str | None = None) -> Fault:
    """The stream ends as soon as *after* bytes have passed in a direction.

    Whoever reads sees its end, and whoever writes :exc:`BrokenPipeError`.

    :raises ValueError: if *after* is negative.
    """
    _whole("after", after, 0)

    def stage(pieces: Pieces, random: Random, spawn: Spawn) -> Pieces:
        yield from _first(pieces, after)

    return _fault("cut", direction, stage, after=after)


def refuse(times: int | None = None) -> Fault:
    """The first *times* connects to an address raise :exc:`ConnectionRefusedError`; None: all.

    :raises ValueError: if *times* is less than 1.
    """
    if times is not None:
        _whole("times", times, 1)
    refusals = math.inf if times is None else times
    return Fault("refuse", (("times", times),), refusals=refusals)


def corrupt(every: int, *, direction: str | None = None) -> Fault:
    """One bit is flipped in *every* so many bytes; which one is drawn. None is lost or added.

    :raises ValueError: if *every* is less than 1.
    """
    _whole("every", every, 1)

    def stage(pieces: Pieces, random: Random, spawn: Spawn) -> Pieces:
        begin, target = 0, random.randrange(every)  # where a piece begins, and the next victim
        block = every  # where the block ends that the victim is in
        for piece in pieces:
            flipped = bytearray(piece)
            while target < begin + len(piece):
                flipped[target - begin] ^= 1 << random.randrange(8)
                target = block + random.randrange(every)
                block += every
            begin += len(piece)
            yield bytes(flipped)

    return _fault("corrupt", direction, stage, every=every)


def _first(pieces: Pieces, amount: int) -> Generator[bytes, None, bytes | None]:
    """Give on so many bytes; what is over of the last piece, or None if they ended before."""
    if not amount:
        return b""
    for piece in pieces:
        yield piece[:amount]
        if amount <= len(piece):
            return piece[amount:]
        amount -= len(piece)
    return None


def _sleep_until(due: float) -> None:
    if (left := due - time.monotonic()) > 0:
        # A loop that counts milliseconds warns of shorter times.
        gevent.sleep(max(left, gevent.get_hub().loop.approx_timer_resolution))


def _let_others_read() -> None:
    hub: Any = gevent.get_hub()
    for _ in range(2):  # after sleep(0) the loop need not have looked at its descriptors
        with hub.loop.timer(0) as timer:  # this comes first of what the loop has seen
            hub.wait(timer)


def _fault(name: str, direction: str | None, stage: Stage, **settings: Any) -> Fault:
    if direction not in (None, "up", "down"):
        raise ValueError(
            f"direction must be 'up' (client to server), 'down' or None (both): {direction!r}"
        )
    return Fault(name, tuple(settings.items()), direction, stage)


def _whole(name: str, value: Any, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be a whole number: {value!r}")
    if value < least:
        raise ValueError(f"{name} must be at least {least}: {value!r}")


def _seconds(name: str, value: Any) -> float:
    seconds = as_seconds(name, value)
    if seconds is None:
        raise ValueError(f"{name} must be finite: {value!r}")
    return seconds
