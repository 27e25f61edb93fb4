"""What gevent makes difficult for a job: kills, swallowed exits, timeouts, the hub."""

from __future__ import annotations

import warnings

import gevent
import pytest
from makers import ended, routines
from small_tasks import blocks

from gowork import Job, JobState, Task, TaskState


def named(names):
    """A routine that notes the task's name."""
    return lambda task: names.append(task.name)


def test_a_task_that_catches_every_exception_is_stopped_all_the_same():
    """An ``except Exception`` does not catch what stops a task."""

    def run(task):
        try:
            gevent.sleep(3600)
        except Exception:
            pytest.fail("what stops a task is no Exception")

    job = Job(grace=3600)
    task = job.add_task(routines(None, run))
    job.spawn(job.cancel)

    assert ended(job).state is JobState.CANCELLED
    assert task.state is TaskState.CANCELLED


def test_a_task_that_swallows_the_first_delivery_meets_a_second():
    """A bare ``except`` does."""
    deliveries = []

    def run(task):
        try:
            gevent.sleep(3600)
        except BaseException as error:
            deliveries.append(error)
        gevent.sleep(3600)

    job = Job(grace=0.02)
    task = job.add_task(routines(None, run))
    job.spawn(job.cancel)

    ended(job)

    assert len(deliveries) == 1
    assert task.state is TaskState.CANCELLED
    assert job.unstopped == ()


def test_a_task_has_peace_to_clear_up_in_its_finally():
    cleared = []

    def run(task):
        try:
            gevent.sleep(3600)
        finally:
            gevent.sleep(0.01)
            cleared.append(True)

    job = Job()
    job.add_task(routines(None, run))
    job.spawn(job.cancel)

    ended(job)

    assert cleared == [True]


def test_nothing_that_kills_a_task_hits_its_finalizer():
    victims = []
    whole = []

    def finalize(task):
        for victim in victims:
            victim.kill()
        job.cancel()
        gevent.sleep(0.001)
        whole.append(True)

    job = Job()
    job.add_task(
        routines(lambda task: victims.append(gevent.getcurrent()), blocks, finalize), name="a"
    )
    job.spawn(job.cancel)

    ended(job)

    assert whole == [True]


def test_a_task_cancelled_before_it_has_begun_is_skipped_and_the_job_ends():
    called = []
    note = named(called)
    job = Job()
    task = job.add_task(routines(note, note, note))

    job.run()
    job.cancel()

    assert ended(job).state is JobState.CANCELLED
    assert task.state is TaskState.SKIPPED
    assert called == []


def test_a_timeout_of_the_user_inside_a_task_is_the_users():
    def run(task):
        with gevent.Timeout(0.001, False):
            gevent.sleep(3600)
        task.done()

    job = Job().with_timeout(3600)
    job.add_task(routines(None, run), idle_timeout=3600)

    assert ended(job).state is JobState.DONE
    assert not job.was_timed_out()


def test_a_timeout_of_the_user_that_escapes_a_task_is_not_the_jobs():
    timeout = gevent.Timeout(0.001)

    def run(task):
        with timeout:
            gevent.sleep(3600)

    job = Job().with_timeout(3600)
    task = job.add_task(routines(None, run))

    assert ended(job).state is JobState.CANCELLED
    assert job.interrupted_by == (task, timeout)
    assert not job.was_timed_out()


def test_what_users_give_a_job_to_call_never_runs_in_the_hub():
    callers = []

    def note(_):
        callers.append(gevent.getcurrent())
        gevent.sleep(0)  # impossible in the hub

    job = Job().with_timeout(0.01).with_shutdown(note)
    job.add_task(routines(note, blocks, note))

    assert ended(job).state is JobState.CANCELLED
    assert len(callers) == 3
    assert gevent.get_hub() not in callers
    assert len(job.errors) == 1


def test_a_job_starts_no_timer_that_its_loop_warns_of():
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # libuv warns of what is shorter than a millisecond
        for index in range(10):
            job = Job().with_timeout(0.02)
            job.add_task(routines(None, Task.idle), idle_timeout=0.0191 + index * 1e-4)

            assert job.run().wait(5)
