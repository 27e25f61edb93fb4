"""Contests: what is measured, beside whom, and what it shall come to.

Contestants run in one process, those of asyncio and trio too: each run is over when the
next begins, so nobody pays for a loop that is not its own, and all meet the same heap,
the same caches and the same processor. Where a library must not have been imported for
another, they run in `processes` of their own. They take turns, A B C A B C, so that a
machine that is slower for a while is slower for all; of all rounds the median counts,
and how far the rounds are from it is shown beside it.

Time is the CPU time of the process: every contestant keeps a core busy from its first
value to its last, and what other programs do meanwhile is left out. Garbage is collected
before each run, and the collector stays on during it: what it does for a contestant is
a part of that contestant's price.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable, Sequence
from statistics import median
from typing import NamedTuple, Protocol

__all__ = ["Contestant", "Gauge", "Race", "Row", "Runner", "check", "in_microseconds"]

LEAST = 0.05  # seconds that a run of a race takes
FIRST = 1000  # items in the first run, which finds out how many fill that time


def in_microseconds(seconds: float) -> str:
    """How the table shows a time."""
    return f"{seconds * 1e6:.2f} µs"


class Row(NamedTuple):
    """A line of the table; *met* is None where nothing was promised."""

    name: str
    figure: str
    ratio: str = ""
    goal: str = ""
    met: bool | None = None
    spread: str = ""


class Runner(Protocol):
    """Who takes part in a race.

    A peer may have a *goal*: so many times its figure, that of gowork may be at most.
    """

    @property
    def name(self) -> str: ...
    @property
    def goal(self) -> float | None: ...

    def ready(self, scale: float) -> Callable[[], float] | None:
        """What gives the figure of one item, each time anew; None if it cannot run here.

        A *scale* below 1 shortens the runs.
        """


class Contestant(NamedTuple):
    """A runner in this process: *measure* gives the seconds that so many items take."""

    name: str
    measure: Callable[[int], float]
    goal: float | None = None

    def ready(self, scale: float) -> Callable[[], float]:
        count = self.count(LEAST * scale)
        return lambda: self.seconds(count) / count

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
    """The figure of gowork, as a ratio to that of each of its *peers*."""

    name: str
    gowork: Runner
    peers: tuple[Runner, ...]
    show: Callable[[float], str] = in_microseconds

    def run(self, rounds: int, scale: float, progress: Callable[[], None]) -> list[Row]:
        """Let all run *rounds* times; *scale* shortens the runs."""
        runs = [runner.ready(scale) for runner in (self.gowork, *self.peers)]
        figures: list[list[float]] = [[] for _ in runs]
        for _ in range(rounds):
            for run, its_figures in zip(runs, figures, strict=True):
                if run is not None:
                    its_figures.append(run())
            progress()
        return self.rows(figures)

    def rows(self, figures: Sequence[Sequence[float]]) -> list[Row]:
        """What the table shall say of the *figures* of each runner, those of gowork first."""
        ours = median(figures[0])
        rows = [self._row(f"{self.name}: {self.gowork.name}", figures[0])]
        for peer, its_figures in zip(self.peers, figures[1:], strict=True):
            row = self._row(f"- {peer.name}", its_figures)
            if its_figures:
                its_figure = median(its_figures)
                row = row._replace(ratio=f"{ours / its_figure:.2f}")
                if peer.goal is not None:
                    met = ours <= peer.goal * its_figure
                    row = row._replace(goal=f"{peer.goal:.2f}", met=met)
            rows.append(row)
        return rows

    def _row(self, name: str, figures: Sequence[float]) -> Row:
        if not figures:
            return Row(name, "left out")
        middle = median(figures)
        deviation = median(abs(figure - middle) for figure in figures)
        return Row(name, self.show(middle), spread=f"±{100 * deviation / middle:.0f} %")


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
