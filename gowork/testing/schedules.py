"""Schedules: who goes next, when several could.

A schedule is asked only where there is a choice, and index 0 is what gevent itself would
do: the oldest ready callback, and the events of the loop once nothing is ready. So the
list of its answers is the whole schedule, an answer that was not given is 0, and fewer
and smaller answers are a simpler schedule, which is what shrinking wants.

PCT is after Burckhardt, Kothari, Musuvathi and Nagarakatte, "A randomized scheduler with
probabilistic guarantees of finding bugs" (2010): every greenlet has a random priority,
the highest that is ready runs, and at a few random steps it is demoted below all others.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence

from gowork.testing.errors import ScheduleDiverged

__all__ = [
    "Bounded",
    "Drawn",
    "Fifo",
    "Lifo",
    "Pct",
    "Random",
    "Replay",
    "Schedule",
    "schedule_of",
]


class Schedule:
    """Answers which of the *options* comes next.

    A subclass overrides :meth:`pick`. An instance serves one simulation.
    """

    name = "own"

    #: Whether a simulation has taken it.
    is_used = False

    #: Whether the loop keeps gevent's order and asks nothing.
    in_order = False

    def pick(self, options: Sequence[str]) -> int:
        """The index of one of the *options*, of which there are at least two.

        They are labels of what could run next; computing one costs more than counting them.
        """
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"<{type(self).__name__} schedule>"


class Fifo(Schedule):
    """gevent's own order."""

    name = "fifo"
    in_order = True

    def pick(self, options: Sequence[str]) -> int:
        return 0


class Lifo(Schedule):
    """The newest first."""

    name = "lifo"

    def pick(self, options: Sequence[str]) -> int:
        return len(options) - 1


class Random(Schedule):
    """Any, all with the same chance."""

    name = "random"

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def pick(self, options: Sequence[str]) -> int:
        return self._random.randrange(len(options))


class Bounded(Schedule):
    """gevent's order but for a few deviations: most races need no more than one or two."""

    name = "bounded"

    def __init__(self, seed: int, deviations: int = 3) -> None:
        self._random = random.Random(seed)
        self._left = deviations
        # How long the program is nobody knows: some runs deviate early, some late.
        self._rate = self._random.choice((0.5, 0.1, 0.02))

    def pick(self, options: Sequence[str]) -> int:
        if not self._left or self._random.random() >= self._rate:
            return 0
        self._left -= 1
        return self._random.randrange(1, len(options))


class Pct(Schedule):
    """Random priorities, with a few changes at random steps."""

    name = "pct"
    FAIR = 200  # turns in a row after which the one that has them is demoted

    def __init__(self, seed: int, changes: int = 3) -> None:
        self._random = random.Random(seed)
        horizon: int = 2 ** self._random.randrange(3, 12)
        self._changes = {self._random.randrange(horizon) for _ in range(changes)}
        self._priorities: dict[str, float] = {}
        self._lowest = 0.0
        self._steps = 0
        self._last = ""
        self._in_a_row = 0

    def pick(self, options: Sequence[str]) -> int:
        priorities = [self._priority(label) for label in options]
        best = priorities.index(max(priorities))
        chosen = options[best]
        self._in_a_row = self._in_a_row + 1 if chosen == self._last else 0
        self._last = chosen
        if self._steps in self._changes or self._in_a_row >= self.FAIR:
            self._lowest -= 1
            self._priorities[chosen] = self._lowest
            self._in_a_row = 0
        self._steps += 1
        return best

    def _priority(self, label: str) -> float:
        priority = self._priorities.get(label)
        if priority is None:
            priority = self._priorities[label] = self._random.random()
        return priority


class Replay(Schedule):
    """The recorded choices of another simulation; gevent's order once they are used up."""

    name = "replay"

    def __init__(self, choices: Iterable[int]) -> None:
        self._choices = iter(tuple(choices))

    def pick(self, options: Sequence[str]) -> int:
        chosen = next(self._choices, 0)
        if not 0 <= chosen < len(options):
            raise ScheduleDiverged(
                f"the schedule says {chosen} where there are only {len(options)} options:"
                " replay it with the program, arguments and settings with which it was recorded"
            )
        return chosen


class Drawn(Schedule):
    """Choices that *draw(n)* makes, an integer below *n* each; gevent's order after *limit*."""

    name = "drawn"

    def __init__(self, draw: Callable[[int], int], limit: int = 200) -> None:
        self._draw = draw
        self._limit = limit
        self._drawn: list[int] = []

    def pick(self, options: Sequence[str]) -> int:
        if len(self._drawn) == self._limit:
            return 0
        self._drawn.append(self._draw(len(options)))
        return self._drawn[-1]

    def __repr__(self) -> str:
        # Hypothesis shows it before anything is drawn: no choices are not the choices.
        return f"<Drawn schedule, choices={self._drawn}>" if self._drawn else "<Drawn schedule>"


_NAMED: dict[str, Callable[[int], Schedule]] = {
    "fifo": lambda seed: Fifo(),
    "lifo": lambda seed: Lifo(),
    "random": Random,
    "bounded": Bounded,
    "pct": Pct,
}


def schedule_of(
    schedule: str | Schedule | None, seed: int | None, choices: Iterable[int] | None
) -> Schedule:
    """The schedule that the arguments of :func:`~gowork.testing.simulate` mean.

    :raises ValueError: if they mean none, or contradict each other.
    """
    if isinstance(schedule, Schedule):
        if choices is not None:
            raise ValueError("choices are for schedule='replay'; leave schedule out")
        return schedule
    if choices is not None:
        if schedule not in (None, "replay"):
            raise ValueError(f"choices are for schedule='replay', not {schedule!r}")
        return Replay(choices)
    if schedule == "replay":
        raise ValueError("schedule='replay' needs the choices that were recorded: choices=[...]")
    if schedule is None:
        schedule = "fifo" if seed is None else "random"
    if schedule not in _NAMED:
        known = ", ".join([*_NAMED, "replay"])
        raise ValueError(f"there is no schedule {schedule!r}: take one of {known}")
    return _NAMED[schedule](0 if seed is None else seed)
