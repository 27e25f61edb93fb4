"""What random scenarios on the simulated loop found; each stays found."""

from __future__ import annotations

import time

import gevent
import pytest

from gowork import Cancelled, FinalizeTimeout, Job, TaskState
from gowork.testing import simulate

every_schedule = pytest.mark.parametrize("schedule", ["fifo", "lifo", "random", "bounded", "pct"])


class Broken(Exception):
    pass


@every_schedule
def test_nothing_changes_after_the_end_though_an_error_wrapper_is_still_at_it(schedule):
    def program():
        job = Job(grace=0).with_error_wrapper(lambda error: gevent.sleep(1))

        def run(task):
            job.finish()
            raise Broken

        task = job.add_task(lambda job: (None, run, None))
        job.run().wait()
        at_the_end = job.errors, job.interrupted_by, task.error
        gevent.sleep(5)
        assert (job.errors, job.interrupted_by, task.error) == at_the_end
        return task

    task = simulate(program, schedule=schedule, seed=1).value
    assert task.state is TaskState.FAILED
    assert isinstance(task.error, Broken)


def test_a_finalizers_own_cancelled_is_not_taken_for_the_one_that_stopped_it():
    def stubborn(task):
        try:
            gevent.sleep(9)
        finally:
            raise Cancelled("of its own")

    def program():
        job = Job(finalize_timeout=1, grace=1)
        job.add_task(lambda job: (None, lambda task: task.done(), stubborn))
        job.run().wait()
        return job.errors

    overrun, own = simulate(program).value
    assert isinstance(overrun, FinalizeTimeout)
    assert own.reason == "of its own"


@pytest.mark.parametrize("begun", [0.0, 0.2, 0.4, 1.0])
def test_an_overrun_without_grace_is_given_up_at_once_whatever_the_time(begun):
    def stubborn(task):
        while time.monotonic() < begun + 50:
            try:
                gevent.sleep(9)
            except Cancelled:
                pass

    def program():
        gevent.sleep(begun)
        job = Job(finalize_timeout=1, grace=0)
        job.add_task(lambda job: (None, lambda task: task.done(), stubborn))
        job.run().wait()
        return time.monotonic(), job.unstopped

    now, unstopped = simulate(program).value
    assert now == pytest.approx(begun + 1, abs=0.002)
    assert len(unstopped) == 1


@every_schedule
def test_a_finalizer_has_all_its_time_on_a_clock_that_stands_still(schedule):
    def program():
        job = Job(finalize_timeout=2)
        job.add_task(lambda job: (None, lambda task: task.done(), lambda task: gevent.sleep(1.9)))
        job.add_task(lambda job: (None, lambda task: task.done(), lambda task: gevent.sleep(1.9)))
        job.run().wait()
        return job.errors

    assert simulate(program, schedule=schedule, seed=1).value == ()


@pytest.mark.parametrize("grace", [0.3, 0.5, 5.0, 7.3])
def test_a_task_that_cannot_be_stopped_is_given_up_after_twice_the_grace(grace):
    stopped_at = []

    def stubborn(task):
        while time.monotonic() < 100:
            try:
                gevent.sleep(200)
            except Cancelled:
                stopped_at.append(time.monotonic())
        task.done()

    def program():
        job = Job(grace=grace)
        job.add_task(lambda job: (None, stubborn, None))
        gevent.spawn_later(1, job.cancel)
        job.run().wait()
        return time.monotonic()

    assert simulate(program).value == pytest.approx(1 + 2 * grace, abs=1e-6)
    again = [1 + grace + 0.1 * turn for turn in range(round(grace / 0.1))]
    assert stopped_at[: len(again) + 1] == pytest.approx([1, *again], abs=1e-6)


@pytest.mark.parametrize("long", [1e13, 1e17, 1e300, float("inf")])
def test_no_loop_is_asked_to_count_what_is_as_good_as_for_ever(long):
    job = Job(grace=long, finalize_timeout=long).with_timeout(long)
    idle = job.add_task(lambda job: (None, lambda task: task.idle(long), None), idle_timeout=long)
    job.run()
    assert not job.join(0.001)
    idle.done()
    assert job.join(long)
    assert job.errors == ()
