"""Simulations: a gevent program on a virtual clock, in an order that can be had again."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from types import TracebackType
from typing import Any, Self

import gevent
from gevent._hub_local import get_hub_if_exists, set_hub
from greenlet import GreenletExit, getcurrent, greenlet

from gowork.channels import seeded
from gowork.testing.clocks import Clock
from gowork.testing.errors import Deadlock, Livelock, SimulationError
from gowork.testing.hubs import SimulatedHub, out_of_reach
from gowork.testing.loops import Loop, Settings
from gowork.testing.patches import replaced
from gowork.testing.reports import who_waits
from gowork.testing.schedules import Schedule, schedule_of
from gowork.testing.traces import Step, Trace

__all__ = ["Simulation", "simulate"]

SHOWN_STEPS = 20
CLEANING_SECONDS = 60.0  # virtual, for what is left to unwind
CLEANING_SPIN = 1000
CLEANINGS = 3


class Simulation:
    """A gevent program that is run on a simulated loop: the body of a ``with`` block.

    ::

        with Simulation() as simulation:
            gevent.sleep(3600)
        assert simulation.now == 3600

    The running greenlet is the program's main one. Hub, loop and module ``time`` are the
    simulation's until the block is left; what is left of the program then is stopped.

    :param seed: of the schedule; the same seed gives the same run.
    :param schedule: ``"fifo"``, gevent's own order and the default without a seed;
        ``"random"``, the default with one; ``"lifo"``, ``"bounded"``, ``"pct"``, ``"replay"``;
        or a :class:`Schedule`.
    :param choices: what is to be replayed: the :attr:`choices` of another simulation.
    :param late: up to how many virtual seconds timers may be late, if not in order.
    :param cost: virtual seconds that each step takes.
    :param legal: choose only orders in which gevent itself may run things: ready callbacks
        in their order, events and timers at any time.
    :param spin_limit: after so many steps in a row, with neither time nor input between, the
        clock jumps to the next timer all the same; if there is input, after 20 times as many.
    :param on_spin: ``"jump"``, or ``"raise"`` to have a :exc:`Livelock` there instead; without
        any timer it is one anyway.
    :raises ValueError: if the arguments contradict each other, or are out of range.
    :raises SimulationError: on entering, if a simulation runs already in this thread.
    """

    def __init__(
        self,
        *,
        seed: int | None = None,
        schedule: str | Schedule | None = None,
        choices: Iterable[int] | None = None,
        late: float = 0.0,
        cost: float = 0.0,
        legal: bool = False,
        spin_limit: int = 100_000,
        on_spin: str = "jump",
    ) -> None:
        if late < 0 or cost < 0:
            raise ValueError("late and cost are seconds, 0 or more")
        if spin_limit < 1:
            raise ValueError("spin_limit is a number of steps, 1 or more")
        if on_spin not in ("jump", "raise"):
            raise ValueError(f"on_spin is 'jump' or 'raise', not {on_spin!r}")
        #: The seed of the schedule, None if there is none.
        self.seed = seed
        #: What the program returned, if :func:`simulate` ran it.
        self.value: Any = None
        #: Known when it is over: the greenlets that had not ended, started watchers and
        #: queued callbacks, each described in a line.
        self.left: list[str] = []
        self._schedule = schedule_of(schedule, seed, choices)
        self._seeded = isinstance(schedule, str | None) and seed is not None
        self._settings = Settings(late, cost, legal, spin_limit)
        self._on_spin = on_spin
        self._end: float | None = None
        self._failure: BaseException | None = None
        self._stack = ExitStack()

    # What it says

    @property
    def schedule(self) -> str:
        """The name of the schedule."""
        return self._schedule.name

    @property
    def now(self) -> float:
        """Virtual seconds since the start."""
        return self._loop.clock.now if self._end is None else self._end

    @property
    def steps(self) -> int:
        """How many callbacks and events have run."""
        return self._trace.steps

    @property
    def jumps(self) -> int:
        """How often the clock jumped to the next timer."""
        return self._loop.jumps

    @property
    def choices(self) -> list[int]:
        """What the schedule answered, wherever it had a choice: enough to replay it."""
        return self._loop.choices

    @property
    def digest(self) -> str:
        """32 hex digits, the same wherever the same steps ran at the same times."""
        return self._trace.digest

    @property
    def trace(self) -> list[Step]:
        """The last thousand steps, each the virtual time and what ran."""
        return list(self._trace.last)

    @property
    def hub_errors(self) -> list[BaseException]:
        """What reached the hub's ``handle_error``, which printed it."""
        return self._hub.errors

    @property
    def deterministic(self) -> bool:
        """False once something was waited for that may come from outside, as through TCP."""
        return self._loop.deterministic

    def __repr__(self) -> str:
        seed = "" if self.seed is None else f", seed={self.seed}"
        return f"<Simulation schedule={self.schedule!r}{seed}>"

    # Its life

    def __enter__(self) -> Self:
        if self._schedule.is_used:
            raise SimulationError("a simulation is run once, and so is a schedule: make new ones")
        self._schedule.is_used = True
        clock = Clock()
        self._stack.enter_context(replaced(clock))
        self._stack.enter_context(seeded(self.seed or 0))
        self._main = getcurrent()
        self._trace = Trace(self._main)
        self._loop = Loop(
            clock,
            self._schedule,
            self._trace,
            self._settings,
            self._stuck,
            self._spinning,
            self._fail,
        )
        outer: Any = get_hub_if_exists()
        self._stack.callback(set_hub, outer)
        if outer is not None:
            self._stack.enter_context(out_of_reach(outer))
        self._hub = SimulatedHub(self._loop)
        self._stack.callback(self._hub.destroy)
        self._stack.callback(self._loop.destroy)
        set_hub(self._hub)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        with self._stack:
            # The labels first: they make greenlets known that have not begun.
            left = [(one, self._trace.describe(one)) for one in self._loop.left()]
            alive = self._alive()
            self.conclude()
            if left or alive:
                self._clean_up()
            # A descriptor of which gevent puts off the closing is not left open.
            left = [(one, label) for one, label in left if one.kind != "check" or one.callback]
            self.left = [f"greenlet {self._trace.name_of(one)}" for one in alive]
            self.left += [label for _, label in left]
        if error is None and (error := self._swallowed()) is not None:
            error.add_note(self.replay_note())
            raise error
        if error is not None:
            error.add_note(self.replay_note())

    def _swallowed(self) -> BaseException | None:
        """What went wrong with the simulation itself, if the program kept it to itself."""
        refusals = [
            error
            for error in self.hub_errors
            if isinstance(error, SimulationError) and not isinstance(error, Deadlock)
        ]
        return self._failure or next(iter(refusals), None)

    def conclude(self) -> None:
        """Record no more: what follows is in gevent's order, and no part of the program."""
        if self._end is None:
            self._end = self.now
            self._loop.conclude(CLEANING_SPIN)

    def replay_note(self) -> str:
        """How to have the same run again, and how it ended."""
        lines = [f"simulated with {self._arguments()}; the same arguments replay it"]
        if not self.deterministic:
            lines.append("it waited for sockets from outside: a replay may differ")
        last = "; the last ones:" if self.steps else ""
        lines.append(f"{self.steps} steps in {self.now:g} virtual seconds{last}")
        lines += [f"{step.time:12g} s  {step.what}" for step in self.trace[-SHOWN_STEPS:]]
        return "\n".join(lines)

    def _arguments(self) -> str:
        settings = self._settings
        if self._seeded:
            arguments: dict[str, Any] = {"schedule": self.schedule, "seed": self.seed}
        elif self.schedule in ("fifo", "lifo"):
            arguments = {"schedule": self.schedule}
        else:
            arguments = {"schedule": "replay", "choices": _trimmed(self.choices)}
        for name, usual in Settings._field_defaults.items():
            if getattr(settings, name) != usual:
                arguments[name] = getattr(settings, name)
        return ", ".join(f"{name}={value!r}" for name, value in arguments.items())

    def _alive(self) -> list[greenlet]:
        """The greenlets that have begun and not ended, in order of appearance."""
        return [one for one in self._trace.greenlets() if _is_suspended(one)]

    def _clean_up(self) -> None:
        """Make an end of what the program left running, so that its clean-ups run here."""
        self._stack.enter_context(_quiet_threads())
        for _ in range(CLEANINGS):
            for one in self._alive():
                self._loop.run_callback(one.throw, GreenletExit)
            try:
                gevent.sleep(CLEANING_SECONDS)
            except Exception as error:
                self._hub.errors.append(error)
            if not self._alive():
                break

    # What the loop asks

    def _fail(self, error: BaseException) -> None:
        """Raise *error* in the main greenlet, from wherever."""
        if not isinstance(error, Deadlock):  # of which a program may make something, as gevent does
            self._failure = self._failure or error
        if getcurrent() is self._main:
            raise error
        self._main.throw(error)

    def _stuck(self) -> None:
        waits = who_waits([self._main, *self._alive()], self._trace)
        text = f"nobody can go on, at {self.now:g} virtual seconds:\n{waits}"
        # The arguments are those of a LoopExit: gevent's locks look at the second one.
        self._main.throw(Deadlock(text, self._hub, []))

    def _spinning(self) -> None:
        limit = self._settings.spin_limit
        if self._loop.trace.is_closed or (
            self._on_spin == "jump" and self._loop.next_time() < math.inf
        ):
            return
        runners = sorted({step.what for step in self._trace.last})
        self._fail(
            Livelock(
                f"{limit} steps in a row, at {self.now:g} virtual seconds, with neither time nor"
                f" input between them; those that ran last:\n  "
                + "\n  ".join(runners)
                + "\nIf they do get on, give the simulation a higher spin_limit, or a cost, so that"
                " steps take time"
            )
        )


def simulate(fn: Callable[..., Any], *args: Any, **settings: Any) -> Simulation:
    """Run *fn(\\*args)* as a gevent program of its own, and return the ended simulation.

    ::

        simulation = simulate(gevent.sleep, 3600)
        assert simulation.now == 3600

    What *fn* returned is its ``value``. What *fn* raises goes on as it is, with a note that
    says how to have the same run again.

    :param settings: those of :class:`Simulation`.
    :raises Deadlock: if nobody can go on, and *fn* does not catch that.
    :raises Livelock: if callbacks take turns without end.
    :raises NotSimulated: if the program asks for threads, processes or names of hosts.
    """
    __tracebackhide__ = True  # for pytest: the program is what matters
    with Simulation(**settings) as simulation:
        simulation.value = fn(*args)
    return simulation


@contextmanager
def _quiet_threads() -> Iterator[None]:
    """Let the end of a greenlet that is a monkey-patched thread be no error of the thread."""
    original = threading.excepthook

    def excepthook(args: Any) -> Any:
        if not issubclass(args.exc_type, GreenletExit):
            original(args)

    threading.excepthook = excepthook
    try:
        yield
    finally:
        threading.excepthook = original


def _is_suspended(one: greenlet) -> bool:
    return bool(one) and not one.dead


def _trimmed(choices: list[int]) -> list[int]:
    """*choices* without the zeros at the end, which a replay makes anyway."""
    end = len(choices)
    while end and not choices[end - 1]:
        end -= 1
    return choices[:end]
