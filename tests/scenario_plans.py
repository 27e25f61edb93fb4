"""Scenarios of jobs as plain data, and how they are drawn.

A scenario is drawn by a function ``draw(n)`` that gives an int from 0 to n - 1: that of a
`random.Random` or Hypothesis's, which then shrinks towards 0, the simplest choice. Each
scenario first drops about half of the features (swarm testing: a feature that is always
there hides others), and its times are few and small, so that much falls into one tick.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields

TIMES = (1, 1, 0, 2, 3)
WAITS = (9, 9, 2, 1, 0)  # timeouts of channels; 9 is none

#: What a routine does that neither ends it nor anybody else: its name, and the bound of its number.
QUIET = {
    "sleep": TIMES,
    "busy": (1, 1, 2),  # has the processor for so long
    "progress": (0,),
    "send": WAITS,
    "recv": WAITS,
    "select": WAITS,
    "ping": WAITS,
    "pong": WAITS,
    "guard": TIMES,  # sleeps under a timeout of its own and catches that
    "poke": (0, 1, 2, 3),  # ticks another task
    "add": (0, 1, 2),  # an extra task
    "nest": (0, 1, 2),  # runs a job of two extra tasks
    "await": (0, 1, 2, 3),  # another task's end
    "swallow": (1, 2, 99),  # so many Cancelled, then goes on
}

#: What ends the routine, its task, another task or the job.
LOUD = {
    "fail": (0, 1, 2, 3),
    "assert": (0, 1, 2),
    "exit": (0, 1),  # SystemExit or KeyboardInterrupt
    "quit": (0, 1),  # GreenletExit or Cancelled of its own
    "expire": (1, 2),  # a timeout of its own that it does not catch
    "cancel": (0, 1),  # without and with an error
    "finish": (0,),
    "finish_job": (0,),
    "storm": (5,),  # of cancels
    "end": (0, 1, 2, 3),  # another task is told done()
    "lock": (0,),  # waits for what never comes
    "silent": (0,),  # leaves no verdict
}

#: What happens to a job from outside, at some time.
OUTSIDE = {
    "cancel": (0, 1),
    "cancel in the hub": (0, 1),
    "finish": (0,),
    "kill": (0, 1, 2, 3),  # a task's greenlet
    "throw": (0, 1, 2, 3),  # the same, with an error
    "kill waiter": (0, 1),
    "throw waiter": (0, 1),
    "poke": (0, 1, 2, 3),
    "end": (0, 1, 2, 3),
    "add": (0, 1, 2),
    "storm": (20,),
}

#: What a job may have.
PARTS = (
    "oneshot",
    "init",
    "bare",  # tasks that have neither init nor run
    "finalizers act",
    "idle timeout",
    "timeout",
    "prerequisites",
    "handler",
    "wrapper",
    "forget",
    "waiters",
    "late",  # waiters
    "before",  # cancelled or finished before it runs
    "no grace",
    "endless",
)

VERDICTS = ("done", "tick", "idle", "idle for", "park")

Act = tuple[str, int]
Call = tuple[Act, ...]


class Shown:
    """Shows the fields that are not as usual, as an expression."""

    def __repr__(self):
        shown = [
            f"{each.name}={getattr(self, each.name)!r}"
            for each in fields(self)
            if getattr(self, each.name) != each.default
        ]
        return f"{type(self).__name__}({', '.join(shown)})"


@dataclass(frozen=True, repr=False)
class Plan(Shown):
    """A task: what it does in each call of a routine; the last call of ``run`` repeats."""

    kind: str = "task"  # or "spawned"
    init: Call | None = None
    runs: tuple[Call, ...] | None = ((("done", 0),),)
    finalize: Call | None = None
    idle_timeout: int | None = None


@dataclass(frozen=True, repr=False)
class Waiter(Shown):
    """Somebody who waits for the job."""

    how: str = "join"  # "event", "with", "gevent", "limit" or "timeout"
    at: int = 0
    limit: int = 0  # of the two last


@dataclass(frozen=True, repr=False)
class Scenario(Shown):
    """A job and what happens to it; times are virtual seconds."""

    tasks: tuple[Plan, ...] = ()
    oneshot: Plan | None = None
    extras: tuple[Plan, ...] = ()  # are added or nested by acts
    outside: tuple[tuple[int, str, int], ...] = ()  # when, what, its number
    waiters: tuple[Waiter, ...] = ()
    timeout: int | None = None
    prerequisites: tuple[int, ...] = ()  # when each is met; -1: it fails
    handler: Call | None = None
    wrapper: str | None = None
    before: str | None = None
    grace: int = 1
    finalize_timeout: int = 1
    forget: bool = False
    capacity: int = 0

    def plans(self):
        return tuple(each for each in (self.oneshot, *self.tasks) if each is not None)


@dataclass
class Drawer:
    """Draws one scenario."""

    draw: object
    only: tuple[str, ...] | None = None  # features, instead of a draw of them
    features: set = field(default_factory=set)
    wild: int = 0

    def pick(self, options):
        return options[self.draw(len(options))]

    def chance(self, one_in):
        return self.draw(one_in) == one_in - 1

    def has(self, *names):
        return self.features.issuperset(names)

    def scenario(self):
        # The first choice is the simplest: fewest features, no task.
        names = [*QUIET, *LOUD, *(f"from outside: {each}" for each in OUTSIDE), *PARTS]
        drawn = (name for name in names if self.draw(2))
        self.features = set(drawn if self.only is None else self.only)
        self.wild = self.pick((24, 12, 6, 2))
        oneshot = self.plan(idles=False) if self.has("oneshot") and self.draw(2) else None
        return Scenario(
            tasks=tuple(self.plan() for _ in range(self.pick(COUNTS))),
            oneshot=oneshot,
            extras=tuple(self.plan(extra=True) for _ in range(self.draw(4))),
            outside=tuple(self.outside()),
            waiters=tuple(self.waiter(number) for number in range(self.draw(4))),
            timeout=self.pick((*TIMES, 3, 4)) if self.has("timeout") and self.draw(3) else None,
            prerequisites=tuple(self.prerequisites()),
            handler=self.call(LOUD_ENDS) if self.has("handler") and self.draw(3) else None,
            wrapper=self.pick(WRAPPERS) if self.has("wrapper") else None,
            before=self.pick(BEFORE) if self.has("before") else None,
            grace=self.pick((1, 0, 2) if self.has("no grace") else (1, 2)),
            finalize_timeout=self.pick((1, 2)),
            forget=self.has("forget"),
            capacity=self.draw(3),
        )

    def plan(self, extra=False, idles=True):
        without = ("add", "nest") if extra else ()
        if idles and self.chance(5):
            return Plan(kind="spawned", runs=(self.call(without=without),))
        init = self.call(without=without) if self.has("init") and self.draw(2) else None
        runs = self.runs(without)
        if self.has("bare") and self.chance(4):
            runs = None
        finalize = None
        if self.draw(4):
            acts = self.has("finalizers act")
            finalize = self.call(LOUD_ENDS, without=without) if acts else ()
        idle = None
        if idles and self.has("idle timeout") and self.chance(3):
            idle = self.pick((1, 2, 3))
        return Plan("task", init, runs, finalize, idle)

    def runs(self, without):
        calls = [
            (*self.call(without=without), self.verdict(VERDICTS[1:])) for _ in range(self.draw(3))
        ]
        if self.has("endless") and self.chance(2):
            # What ticks for ever must have time pass.
            return (*calls, self.pick(((("park", 0),), (("idle", 0),), (("busy", 1), ("tick", 0)))))
        return (*calls, (*self.call(without=without), ("done", 0)))

    def verdict(self, verdicts):
        if self.has("silent") and self.chance(self.wild):
            return ("silent", 0)
        verdict = self.pick(verdicts)
        return (verdict, self.pick(TIMES) if verdict == "idle for" else 0)

    def call(self, only=None, without=()):
        return tuple(self.act(only, without) for _ in range(self.draw(3)))

    def act(self, only, without):
        quiet = [name for name in QUIET if name in self.features and name not in without]
        quiet += [name for name in MEETING if name in quiet]
        loud = [name for name in LOUD if name in self.features and name not in without]
        if only is not None:
            loud = [name for name in loud if name in only]
        if loud and (not quiet or self.chance(self.wild)):
            name = self.pick(loud)
            return (name, self.pick(LOUD[name]))
        name = self.pick(quiet or ("sleep",))
        return (name, self.pick(QUIET[name]))

    def outside(self):
        menu = [name for name in OUTSIDE if f"from outside: {name}" in self.features]
        for _ in range(self.pick((0, 1, 1, 2, 3)) if menu else 0):
            name = self.pick(menu)
            yield (self.pick((*TIMES, 3, 4)), name, self.pick(OUTSIDE[name]))

    def waiter(self, number):
        how = "join"
        if self.has("waiters"):
            how = self.pick(("join", "event", "with", "gevent", "limit", "timeout"))
        at = self.pick(TIMES) if number and self.has("late") else 0
        return Waiter(how, at, self.pick(TIMES) if how in ("limit", "timeout") else 0)

    def prerequisites(self):
        for _ in range(self.draw(3) if self.has("prerequisites") else 0):
            yield -1 if self.chance(12) else self.pick(TIMES)


MEETING = ("send", "recv", "ping", "pong")  # mean nothing unless somebody else does the other
LOUD_ENDS = ("fail", "exit", "quit", "expire", "cancel", "finish", "lock")
BEFORE = (*12 * (None,), "cancel", "finish")
COUNTS = (1, 2, 2, 3, 3, 4, 5, 0)  # of tasks
WRAPPERS = ("wraps", "gives none", "fails", "blocks")


def drawn(draw, only=None):
    """A scenario, from what ``draw(n)`` gives, ints from 0 to n - 1; with *only* these features."""
    return Drawer(draw, only).scenario()
