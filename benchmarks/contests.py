"""Contests: what is measured, beside whom, and what it shall come to.

All contestants run in one process, those of asyncio and trio too: each run is over when
the next begins, so nobody pays for a loop that is not its own, and all meet the same
heap, the same caches and the same processor. They take turns, A B C A B C, so that a
machine that is slower for a while is slower for all; of all rounds the median counts.

Time is the CPU time of the process: every contestant keeps a core busy from its first
value to its last, and what other programs do meanwhile is left out. Garbage is collected
before each run, and the collector stays on during it: what it does for a contestant is
a part of that contestant's price.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterable
from statistics import median
from typing import NamedTuple

__all__ = ["Contestant", "Gauge", "Race", "Row", "check", "clock"]

LEAST = 0.05  # seconds that a run of a race takes
FIRST = 1000  # items in the first run, which finds out how many fill that time

clock = time.process_time


class Row(NamedTuple):
    """A line of the table; *met* is None where nothing was promised."""

    name: str
    figure: str
    ratio: str = ""
    goal: str = ""
    met: bool | None = None


class Contestant(NamedTuple):
    """One way to do it: *measure* gives the seconds that so many items take.

    A peer may have a *goal*: so many times its time, gowork may take at most.
    """

    name: str
    measure: Callable[[int], float]
    goal: float | None = None

    def count(self, least: float) -> int:
        """How many items take at least *least* seconds."""
        count = FIRST
        while self.seconds(count) < least:
            count *= 2
        return count

    def seconds(self, count: int) -> float:
        """One run, from a clean start."""
        gc.collect()
        return self.measure(count)


class Race(NamedTuple):
    """The time that gowork takes, as a ratio to that of each of its *peers*."""

    name: str
    gowork: Contestant
    peers: tuple[Contestant, ...]

    def run(self, rounds: int, scale: float, progress: Callable[[], None]) -> list[Row]:
        """Let all run *rounds* times; *scale* shortens the runs."""
        runners = (self.gowork, *self.peers)
        counts = [runner.count(LEAST * scale) for runner in runners]
        times: list[list[float]] = [[] for _ in runners]
        for _ in range(rounds):
            for runner, count, its_times in zip(runners, counts, times, strict=True):
                its_times.append(runner.seconds(count) / count)
            progress()
        return self.rows([median(its_times) for its_times in times])

    def rows(self, times: list[float]) -> list[Row]:
        """What the table shall say of the *times* of one item, that of gowork first."""
        ours, *others = times
        rows = [Row(f"{self.name}: {self.gowork.name}", _microseconds(ours))]
        for peer, its_time in zip(self.peers, others, strict=True):
            row = Row(f"- {peer.name}", _microseconds(its_time), f"{ours / its_time:.2f}")
            if peer.goal is not None:
                row = row._replace(goal=f"{peer.goal:.2f}", met=ours <= peer.goal * its_time)
            rows.append(row)
        return rows


class Gauge(NamedTuple):
    """A figure that has a limit of its own, and is no matter of luck: one run will do."""

    name: str
    what: str
    measure: Callable[[float], float]  # the figure, for so much of what *amount* says
    amount: float
    unit: str
    limit: float

    def run(self, rounds: int, scale: float, progress: Callable[[], None]) -> list[Row]:
        """Measure once, whatever the *rounds*; *scale* makes the amount smaller."""
        gc.collect()
        figure = self.measure(self.amount * scale)
        progress()
        return self.rows(figure)

    def rows(self, figure: float) -> list[Row]:
        """What the table shall say of *figure*."""
        name, goal = f"{self.name}: {self.what}", f"{self.limit:g} {self.unit}"
        return [Row(name, f"{figure:.2f} {self.unit}", "", goal, figure <= self.limit)]


def check(received: Iterable[object], count: int) -> None:
    """Let no run count in which a value was lost, or came twice or in another's place."""
    if list(received) != list(range(count)):
        raise RuntimeError("the values that arrived are not those that were sent")


def _microseconds(seconds: float) -> str:
    return f"{seconds * 1e6:.2f} µs"
