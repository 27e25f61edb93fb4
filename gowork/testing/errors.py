"""What a simulation refuses, and what it proves of the program that runs in it."""

from __future__ import annotations

from gevent.exceptions import LoopExit

from gowork.errors import GoworkError

__all__ = ["Deadlock", "Livelock", "NotSimulated", "ScheduleDiverged", "SimulationError"]


class SimulationError(GoworkError):
    """The root of what :mod:`gowork.testing` raises."""


class Deadlock(SimulationError, LoopExit):
    """Nothing can happen any more, and the main greenlet still waits; says who waits for what.

    It is a :exc:`~gevent.exceptions.LoopExit`, as gevent itself raises there.
    """

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else type(self).__name__


class Livelock(SimulationError):
    """Greenlets take turns without end, and neither time nor input can change that."""


class NotSimulated(SimulationError):
    """The program asked for something that a simulation cannot control; says what to do instead."""


class ScheduleDiverged(SimulationError):
    """A schedule does not fit the program: it is another one, or it is not deterministic."""
