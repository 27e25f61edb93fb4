"""Jobs in virtual time: schedules to run them under, and what they look like from inside."""

from __future__ import annotations

import time

import gevent
import pytest

from gowork import JobState, JobTimeout, TaskState
from gowork.testing import simulate
from gowork.testing.watchers import TimerWatcher

HOUR = 3600
DAY = 24 * HOUR
MONTH = 30 * DAY

# gevent's own order, its reverse, and some of the rest.
SCHEDULES = [
    {"schedule": "fifo"},
    {"schedule": "lifo"},
    *[{"schedule": "random", "seed": seed} for seed in range(5)],
    *[{"schedule": "bounded", "seed": seed} for seed in range(3)],
    *[{"schedule": "pct", "seed": seed} for seed in range(3)],
]


def played(fn, *args, **how):
    """What *fn(\\*args)* returns in a simulation, which leaves nothing behind."""

    def program():
        value = fn(*args)
        gevent.sleep(1)  # of what is dead some have still to be told
        return value

    simulation = simulate(program, **how)
    assert not simulation.left, simulation.left
    assert not simulation.hub_errors, simulation.hub_errors
    return simulation.value


def played_in_every_order(fn, *args, **settings):
    """What *fn* returns, :func:`played` under each of the schedules."""
    return [played(fn, *args, **settings, **how) for how in SCHEDULES]


def now():
    return time.monotonic()


def exactly(seconds):
    """What is equal to *seconds*, but for the rounding of floats."""
    return pytest.approx(seconds, abs=1e-9, rel=1e-12)


def timers():
    """How many timers are running in the loop of this simulation."""
    return sum(isinstance(one, TimerWatcher) for one in gevent.get_hub().loop.left())


def at(seconds, function, *args):
    """A greenlet that calls *function* at that time of the simulation."""
    return gevent.spawn_later(seconds - now(), function, *args)


def timing(times, then):
    """A routine that notes in the list *times* when it is called, then does *then*."""

    def routine(task):
        times.append(now())
        then(task)

    return routine


def assert_one_reason(job):
    """The ended *job* has one reason or none, and all that tells of it agrees."""
    task, error = job.interrupted_by
    failed = [each for each in job.tasks if each.state is TaskState.FAILED]
    assert job.state is (JobState.DONE if error is None else JobState.CANCELLED), job
    assert job.errors[:1] == (() if error is None else (error,)), job.errors
    assert task is None or (task in failed and task.error is error), (task, error)
    assert all(each.error in job.errors for each in failed), (failed, job.errors)
    assert job.was_timed_out() is isinstance(error, JobTimeout), error
    assert not any(each.state is TaskState.RUNNING for each in job.tasks), job.tasks
    assert job.unstopped == (), job.unstopped
