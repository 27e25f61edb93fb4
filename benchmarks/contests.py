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
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from statistics import median
from traceback import format_exc
from typing import NamedTuple, Protocol

__all__ = ["Contestant", "Gauge", "Race", "Row", "Runner", "check", "in_microseconds"]

LEAST = 0.05  # seconds that a run of a race takes
FIRST = 1000  # items in the first run, which finds out how many fill that time


def in_microseconds(seconds: float) -> str:
    """How the table shows a time."""
    return f"{seconds * 1e6:.2f} µs"


class Row(NamedTuple):
    """A line of the table; *met* is None where nothing was promised.

    Where the *figure* is ``failed``, *error* is the traceback; it is not in the table.
    """

    name: str
    figure: str
    ratio: str = ""
    goal: str = ""
    met: bool | None = None
    spread: str = ""
    error: str = ""


class Runner(Protocol):
    """Who takes part in a race.

    A peer may have a *goal*: so many times its figure, that of gowork may be at most.
    """

    @property
    def name(self) -> str: ...
    @property
    def goal(self) -> float | None: ...
    @property
    def is_here(self) -> bool:
        """Whether what it needs is installed; if not, it is left out."""

    def ready(self, scale: float) -> Callable[[], float]:
        """What gives the figure of one item, each time anew.

        A *scale* below 1 shortens the runs.
        """


class Contestant(NamedTuple):
    """A runner in this process: *measure* gives the seconds that so many items take."""

    name: str
    measure: Callable[[int], float]
    goal: float | None = None
    is_here: bool = True

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


class Entry:
    """How somebody fares: the figures of its runs, of which none counts if one has failed."""

    def __init__(self, coming: Iterator[float]) -> None:
        self._coming = coming
        self.figures: list[float] = []
        self.error = ""

    def run(self) -> None:
        """Take the next figure, if there is one; whatever goes wrong, the others go on."""
        try:
            self.figures += islice(self._coming, 1)
        except Exception:
            self.figures.clear()
            self.error = format_exc()

    def row(self, name: str, show: Callable[[float], str]) -> Row:
        """What the table shall say of it alone."""
        if self.error:
            return Row(name, "failed", error=self.error)
        if not self.figures:
            return Row(name, "left out")
        return Row(name, show(median(self.figures)))

    def spread(self) -> str:
        """How far its figures are from their median, at the median of all."""
        middle = median(self.figures)
        deviation = median(abs(figure - middle) for figure in self.figures)
        return f"±{100 * deviation / middle:.0f} %"


class Race(NamedTuple):
    """The figure of gowork, as a ratio to that of each of its *peers*.

    Where gowork is left out, so are all.
    """

    name: str
    gowork: Runner
    peers: tuple[Runner, ...]
    show: Callable[[float], str] = in_microseconds

    def run(self, rounds: int, scale: float, progress: Callable[[], None]) -> list[Row]:
        """Let all run *rounds* times; *scale* shortens the runs."""
        entries = [Entry(self._figures(runner, scale)) for runner in (self.gowork, *self.peers)]
        for _ in range(rounds):
            for entry in entries:
                entry.run()
            progress()
        return self.rows(*entries)

    def _figures(self, runner: Runner, scale: float) -> Iterator[float]:
        if runner.is_here and self.gowork.is_here:
            run = runner.ready(scale)
            while True:
                yield run()

    def rows(self, ours: Entry, *others: Entry) -> list[Row]:
        """What the table shall say of the entries of gowork and of its peers."""
        rows = [self._row(f"{self.name}: {self.gowork.name}", ours)]
        for peer, entry in zip(self.peers, others, strict=True):
            row = self._row(f"- {peer.name}", entry)
            if ours.figures and entry.figures:
                our_figure, its_figure = median(ours.figures), median(entry.figures)
                row = row._replace(ratio=f"{our_figure / its_figure:.2f}")
                if peer.goal is not None:
                    met = our_figure <= peer.goal * its_figure
                    row = row._replace(goal=f"{peer.goal:.2f}", met=met)
            rows.append(row)
        return rows

    def _row(self, name: str, entry: Entry) -> Row:
        row = entry.row(name, self.show)
        return row._replace(spread=entry.spread()) if entry.figures else row


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
        entry = Entry(map(self.measure, [self.amount * scale]))
        entry.run()
        progress()
        return [self.row(entry)]

    def row(self, entry: Entry) -> Row:
        """What the table shall say of the only figure of its *entry*."""
        row = entry.row(f"{self.name}: {self.what}", lambda figure: f"{figure:.2f} {self.unit}")
        met = entry.figures[0] <= self.limit if entry.figures else None
        return row._replace(goal=f"{self.limit:g} {self.unit}", met=met)


def check(received: Iterable[object], count: int) -> None:
    """Let no run count in which a value was lost, or came twice or in another's place."""
    if list(received) != list(range(count)):
        raise RuntimeError("the values that arrived are not those that were sent")
