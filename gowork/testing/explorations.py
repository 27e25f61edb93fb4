"""Every schedule of a small program."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from gowork.testing.errors import ScheduleDiverged, SimulationError
from gowork.testing.schedules import Schedule
from gowork.testing.simulations import simulate

__all__ = ["Exploration", "explore"]


class Exploration(NamedTuple):
    """What came of all executions."""

    #: How many there are.
    executions: int
    #: What each of them returned, in order.
    values: list[Any]


def explore(
    fn: Callable[..., Any], *args: Any, limit: int = 10_000, **settings: Any
) -> Exploration:
    """Run *fn(\\*args)* under every schedule there is, each in a simulation of its own.

    The number of schedules grows like a factorial: keep to three or four greenlets of a few
    steps each, and let the main one wait with ``gevent.sleep(1)`` rather than by ``join``,
    whose notices are steps, too. The first execution that raises ends the exploration, its
    exception with a note that says how to have it again.

    :param limit: of executions.
    :param settings: those of :class:`Simulation`, but for seed and schedule.
    :raises SimulationError: if there are more schedules than *limit*.
    :raises ScheduleDiverged: if *fn* does not always do the same under the same schedule.
    """
    __tracebackhide__ = True  # for pytest: the program is what matters
    values: list[Any] = []
    path: list[_Branch] = []
    while True:
        if len(values) >= limit:
            raise SimulationError(
                f"there are more than {limit} schedules: make the program smaller, give a higher"
                " limit, or try random ones with simulate(..., seed=...)"
            )
        schedule = _DepthFirst(path)
        values.append(simulate(fn, *args, schedule=schedule, **settings).value)
        schedule.check_complete()
        while path and path[-1].chosen == path[-1].options - 1:
            path.pop()
        if not path:
            return Exploration(len(values), values)
        path[-1] = _Branch(path[-1].chosen + 1, path[-1].options)


class _Branch(NamedTuple):
    chosen: int
    options: int


class _DepthFirst(Schedule):
    """Follows *path* and, beyond its end, takes the first option and notes it there."""

    name = "explore"

    def __init__(self, path: list[_Branch]) -> None:
        self._path = path
        self._at = 0

    def pick(self, options: Sequence[str]) -> int:
        if self._at == len(self._path):
            self._path.append(_Branch(0, len(options)))
        branch = self._path[self._at]
        self._at += 1
        if branch.options != len(options):
            self._diverge()
        return branch.chosen

    def check_complete(self) -> None:
        """:raises ScheduleDiverged: if the program ended before the path did."""
        if self._at < len(self._path):
            self._diverge()

    def _diverge(self) -> None:
        raise ScheduleDiverged(
            "the program did not do the same under the same schedule: it depends on what was"
            " before it, on real time, on memory addresses (the order of a set, id()), or on chance"
            " without a seed"
        )
