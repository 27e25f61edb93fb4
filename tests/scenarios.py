"""Random jobs under every schedule, held against the invariants of a job.

A long run, which ends with a table of what was really looked at::

    python tests/scenarios.py --count 1000 --schedule random
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import io
import random
import sys
import time
from collections import Counter

import gevent
from invariants import INVARIANTS, examine
from scenario_plans import LOUD, OUTSIDE, QUIET, VERDICTS, Plan, Scenario, Waiter, drawn
from scenario_plays import Play

from gowork.testing import simulate

__all__ = ["Plan", "Scenario", "Violation", "Waiter", "check", "drawn", "scenario_of", "shrunk"]

SCHEDULES = ("fifo", "lifo", "random", "bounded", "pct")


class Violation(AssertionError):
    """An invariant does not hold: `broken` are the texts, each begins with its name."""

    def __init__(self, broken, scenario, settings):
        self.broken = broken
        self.scenario = scenario
        self.settings = settings
        given = "".join(f", {name}={value!r}" for name, value in settings.items())
        super().__init__("\n".join([*broken, f"check({scenario!r}{given})"]))

    @property
    def names(self):
        return {text.partition(":")[0] for text in self.broken}


def scenario_of(seed, only=None):
    """The scenario with that seed."""
    return drawn(random.Random(seed).randrange, only)


def check(scenario, **settings):
    """Simulate *scenario* with `simulate`'s *settings*; what was checked, how often.

    :raises Violation: if an invariant does not hold.
    """
    with contextlib.redirect_stderr(io.StringIO()) as said:
        play = Play(scenario)
        simulation = simulate(play.perform, **settings)
    fair = settings.get("schedule", "fifo") == "fifo"
    checked, broken = examine(play, exact=not settings.get("late"), fair=fair)
    # What did not stop is left behind, as it says; the play has then cleared it away.
    for name, left in {
        "i19_nothing_is_left": simulation.left,
        "i21_the_hub_prints_nothing": simulation.hub_errors or said.getvalue().splitlines()[-1:],
        "i46_it_was_simulated": [] if simulation.steps else ["no step"],
    }.items():
        checked[name] += 1
        broken += [f"{name}: {each}" for each in left]
    if broken:
        raise Violation(broken, scenario, settings)
    return checked


def shrunk(violation, seconds=60.0):
    """A violation of the same invariant by a scenario that is as small as could be found."""
    best, until = violation, time.monotonic() + seconds
    candidates = simpler(best.scenario)
    while time.monotonic() < until and (candidate := next(candidates, None)) is not None:
        found = same_violation(candidate, violation.names, violation.settings)
        if found is not None:
            best, candidates = found, simpler(found.scenario)
    return best


def same_violation(scenario, names, settings):
    # In another scenario the same seed is another schedule: try some.
    ordered = settings.get("schedule") in (None, "fifo", "lifo")
    for seed in (settings.get("seed"), *(() if ordered else range(8))):
        try:
            check(scenario, **{**settings, "seed": seed})
        except Violation as violation:
            if names & violation.names:
                return violation
    return None


def simpler(thing):
    """All that *thing*, plain data, becomes by one step of simplification."""
    if isinstance(thing, tuple) and thing and not isinstance(thing[0], str):
        for index in range(len(thing)):
            yield thing[:index] + thing[index + 1 :]
        for index, each in enumerate(thing):
            for less in simpler(each):
                yield (*thing[:index], less, *thing[index + 1 :])
    elif dataclasses.is_dataclass(thing):
        values = [(each, getattr(thing, each.name)) for each in dataclasses.fields(thing)]
        unusual = [(each, value) for each, value in values if value != each.default]
        for each, _ in unusual:
            yield dataclasses.replace(thing, **{each.name: each.default})
        for each, value in unusual:
            for less in simpler(value):
                if less != () or each.name != "runs":
                    yield dataclasses.replace(thing, **{each.name: less})


def features_of(thing, found):
    """Count in *found* what a scenario contains."""
    if isinstance(thing, tuple):
        for each in thing:
            features_of(each, found)
        if len(thing) == 2 and isinstance(thing[0], str):
            found[thing[0]] += 1
        elif len(thing) == 3 and isinstance(thing[1], str):
            found[f"from outside: {thing[1]}"] += 1
    elif dataclasses.is_dataclass(thing):
        for each in dataclasses.fields(thing):
            value = getattr(thing, each.name)
            if value != each.default:
                found[each.name if not isinstance(value, str) else value] += 1
            features_of(value, found)


def run(seeds, schedules, settings, seconds, say):
    """Check a scenario for each of *seeds* under each of *schedules*; the violations."""
    checked, found, violations = Counter(), Counter(), []
    until = time.monotonic() + seconds
    played = 0
    for seed in seeds:
        if time.monotonic() > until:
            say(f"stopped before seed {seed}")
            break
        scenario = scenario_of(seed)
        features_of(scenario, found)
        for schedule in schedules:
            played += 1
            try:
                checked += check(scenario, schedule=schedule, seed=seed, **settings)
            except Violation as violation:
                say(f"\n{violation}")
                violations.append(violation)
    say(f"\n{played} plays, {len(violations)} with violations")
    names = (*INVARIANTS, *(name for name in checked if name not in INVARIANTS))
    for name in names:
        say(f"  {checked[name]:9} {name}" + ("" if checked[name] else "   NEVER CHECKED"))
    menu = (*QUIET, *LOUD, *VERDICTS, *(f"from outside: {name}" for name in OUTSIDE))
    for name in (*menu, *sorted(set(found) - set(menu))):
        say(f"  {found[name]:9} {name}" + ("" if found[name] else "   NEVER DRAWN"))
    return violations


def main(arguments):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--first", type=int, default=1, help="the first seed")
    parser.add_argument("--count", type=int, default=200, help="how many seeds")
    parser.add_argument("--schedule", choices=(*SCHEDULES, "all"), default="all")
    parser.add_argument("--late", type=float, default=0.0, help="how late timers may be")
    parser.add_argument("--legal", action="store_true", help="only what gevent itself may do")
    parser.add_argument("--seconds", type=float, default=300.0, help="to stop after")
    parser.add_argument("--shrink", action="store_true", help="show the smallest violations")
    given = parser.parse_args(arguments)
    settings = {"late": given.late} if given.late else {}
    if given.legal:
        settings["legal"] = True
    schedules = SCHEDULES if given.schedule == "all" else (given.schedule,)

    def say(text):
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()

    gevent.get_hub().exception_stream = io.StringIO()
    seeds = range(given.first, given.first + given.count)
    violations = run(seeds, schedules, settings, given.seconds, say)
    smallest = {}
    for violation in violations if given.shrink else ():
        for name in violation.names - set(smallest):
            smallest[name] = shrunk(violation)
            say(f"\nshrunk: {smallest[name]}")
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
