"""Random jobs keep the invariants of a job, under every schedule; and the checks are awake."""

from __future__ import annotations

import gc
import weakref
from collections import Counter

import pytest
from hypothesis import given, settings, strategies
from invariants import INVARIANTS
from planted_bugs import BUGS
from scenario_plays import Play
from scenarios import (
    SCHEDULES,
    Plan,
    Scenario,
    Violation,
    Waiter,
    check,
    drawn,
    scenario_of,
    shrunk,
)

from gowork.testing import simulate
from gowork.testing.strategies import schedules

SEEDS = range(1, 161)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_random_jobs_keep_the_invariants(schedule):
    for seed in SEEDS:
        check(scenario_of(seed), schedule=schedule, seed=seed)


@pytest.mark.parametrize("setting", [{"late": 2.0}, {"legal": True}], ids=str)
def test_random_jobs_keep_the_invariants_in_every_order_that_gevent_allows(setting):
    for seed in SEEDS:
        check(scenario_of(seed), schedule="random", seed=seed, **setting)


@settings(max_examples=60)
@given(strategies.data(), schedules())
def test_drawn_jobs_keep_the_invariants_under_drawn_schedules(data, schedule):
    scenario = drawn(lambda n: data.draw(strategies.integers(0, n - 1)))
    check(scenario, schedule=schedule)


def test_every_invariant_has_something_to_check():
    checked = Counter()
    for only in (None, ("ping", "pong"), ("busy", "endless")):  # the rare ones apart
        for seed in range(1, 120):
            checked += check(scenario_of(seed, only))
    assert not set(INVARIANTS) - set(checked)


#: What was broken once, as a scenario and the settings of the simulation that found it.
ONCE_BROKEN = {
    "a finalizer that took 0.1 s was cut off": (
        Scenario(tasks=(Plan(finalize=(("sleep", 1),)),), finalize_timeout=2),
        {},
    ),
    "a finalizer that does not stop hung the job without grace": (
        Scenario(tasks=(Plan(finalize=(("swallow", 99),)),), grace=0),
        {},
    ),
    "the waiter was hit in the error wrapper, and left before the end": (
        Scenario(
            tasks=(Plan(runs=((("lock", 0),),)),),
            outside=((1, "kill waiter", 0),),
            waiters=(Waiter("timeout", limit=1),),
            wrapper="blocks",
        ),
        {},
    ),
    "a timer stayed armed for a pause that had been cut short": (
        Scenario(
            tasks=(
                Plan(runs=((("idle for", 3),), (("done", 0),))),
                Plan(runs=((("idle for", 2),), (("done", 0),))),
            ),
            outside=((1, "poke", 0),),
        ),
        {},
    ),
    "an error was changed after the end by the wrapper of a task that was given up": (
        Scenario(
            tasks=(Plan(init=(("finish", 0), ("exit", 1)), finalize=(("exit", 1),)),),
            wrapper="blocks",
            grace=0,
        ),
        {"schedule": "lifo", "seed": 569},
    ),
    "a task that was given up while the wrapper of its error blocked was told twice": (
        Scenario(
            tasks=(Plan(),),
            oneshot=Plan(runs=((("send", 2), ("nest", 2), ("done", 0)),), finalize=()),
            extras=(
                Plan(
                    runs=((("idle for", 1),), (("swallow", 99), ("ping", 1), ("done", 0))),
                    idle_timeout=1,
                ),
                Plan(kind="spawned", runs=((("select", 0),),)),
            ),
            outside=((3, "finish", 0),),
            waiters=(Waiter(),),
            wrapper="blocks",
            grace=0,
            forget=True,
            capacity=1,
        ),
        {"schedule": "random", "seed": 107233},
    ),
}


@pytest.mark.parametrize("name", ONCE_BROKEN)
def test_what_was_broken_once_is_mended(name):
    scenario, settings = ONCE_BROKEN[name]
    for schedule in [settings] if settings else [{"schedule": each} for each in SCHEDULES]:
        check(scenario, **schedule)


# The checks are awake


def first_violation(only, seeds=range(1, 300)):
    for seed in seeds:
        for schedule in ("fifo", "random"):
            try:
                check(scenario_of(seed, only), schedule=schedule, seed=seed)
            except Violation as violation:
                yield violation


@pytest.mark.parametrize("name", BUGS)
def test_a_planted_bug_is_found(name, monkeypatch):
    invariant, plant, only = BUGS[name]
    plant(monkeypatch)
    assert any(invariant in violation.names for violation in first_violation(only))


def test_a_violation_is_shrunk_to_an_expression_that_shows_it(monkeypatch):
    invariant, plant, only = BUGS["finalizers_run_forwards"]
    plant(monkeypatch)
    smallest = shrunk(next(first_violation(only)))
    assert len(smallest.scenario.plans()) == 2
    with pytest.raises(Violation, match=invariant):
        eval(str(smallest).splitlines()[-1])


def test_a_job_that_was_played_is_no_garbage_for_ever():
    plays = []
    for seed in range(1, 20):
        play = Play(scenario_of(seed))
        simulate(play.perform)
        plays.append(weakref.ref(play.job))
    del play
    gc.collect()
    assert [job() for job in plays] == [None] * len(plays)
