"""Tasks share their hub: who ticks hotly gives way, who idles costs next to nothing."""

from __future__ import annotations

import sys
import time

import gevent
import pytest
from makers import ended, passes, routines

from gowork import Job, JobState
from gowork.testing.leaks import Census

# Fair


@pytest.fixture
def switch_interval():
    """Set the interpreter's switch interval for the length of the test."""
    before = sys.getswitchinterval()
    yield sys.setswitchinterval
    sys.setswitchinterval(before)


def others_turns(calls):
    """How often another greenlet gets its turn while a task ticks *calls* times."""
    turns = []

    def run(task):
        task.result = (task.result or 0) + 1
        task.tick() if task.result < calls else task.done()

    job = Job()
    job.add_task(routines(run=run))
    over = job.run()
    while not over.is_set():
        turns.append(1)
        gevent.sleep(0)
    return len(turns)


def test_a_hot_task_gives_way_once_per_switch_interval(switch_interval):
    switch_interval(1e-6)
    assert others_turns(1000) > 100
    switch_interval(100)
    assert others_turns(1000) < 10


def test_a_hot_task_cannot_starve_a_timeout_of_the_job():
    job = Job().with_timeout(0.02)
    job.add_task(routines(run=lambda task: task.tick()))
    assert ended(job).was_timed_out()


def test_two_hot_tasks_share_the_time():
    job = Job()
    counts = [0, 0]

    def run(task):
        counts[task.index - 1] += 1
        task.finish_job() if min(counts) > 100 else task.tick()

    for _ in counts:
        job.add_task(routines(run=run))
    assert ended(job).state is JobState.DONE


# Cheap


def test_one_timer_serves_all_idle_tasks():
    job = Job()
    for _ in range(100):
        job.add_task(routines(run=lambda task: task.idle(3600)))
    before = len(Census().watchers)
    job.run()
    passes()
    assert len(Census().watchers) == before + 1
    job.finish()
    assert job.join()


def test_idle_tasks_cost_little():
    job = Job(value=0)

    def run(task):
        job.value += 1
        task.idle()

    for _ in range(2000):
        job.add_task(routines(run=run))
    job.run()
    passes()
    calls, began, cpu = job.value, time.monotonic(), time.process_time()
    gevent.sleep(1)
    assert time.process_time() - cpu < 0.1
    assert job.value - calls <= 5000 * (time.monotonic() - began)
    job.finish()
    assert job.join()
