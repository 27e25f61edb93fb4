"""Finalizers: exactly once, in reverse, one by one, bounded, whatever they do."""

from __future__ import annotations

import time

import gevent
import pytest
from gevent.event import Event as GeventEvent
from hard_cases import stall, stubborn_until
from makers import done, ended, nothing, noting, passes, raising, routines
from small_tasks import Broken, blocks, states

from gowork import (
    Cancelled,
    Channel,
    FinalizeTimeout,
    Job,
    JobCancelled,
    JobState,
    StateError,
    TaskState,
    current_task,
)

# Owed on every outcome

ENDINGS = {
    "success": done,
    "finish": lambda task: task.finish_job(),
    "failure": raising(Broken()),
    "failed assertion": lambda task: task.assert_(Broken()),
    "no verdict": nothing,
    "cancel": lambda task: task.job.cancel(),
    "own exit": raising(Cancelled()),
    "own timeout": raising(gevent.Timeout(1)),
    "job timeout": blocks,
    "killed": lambda task: gevent.getcurrent().kill(),
}


@pytest.mark.parametrize("phase", ["oneshot", "init", "run"])
@pytest.mark.parametrize("ending", ENDINGS.values(), ids=list(ENDINGS))
def test_each_finalizer_runs_once_in_reverse_order_of_start(ending, phase):
    notes = []
    job = Job().with_timeout(0.1)

    def finalizing(name):
        return noting(notes, name)

    if phase == "oneshot":
        job.add_oneshot_task(routines(nothing, ending, finalizing("oneshot")))
    else:
        job.add_oneshot_task(routines(nothing, done, finalizing("oneshot")))
    job.add_task(routines(nothing, done, finalizing("first")))
    job.add_task(
        routines(ending if phase == "init" else nothing, ending, finalizing("second")), name="x"
    )
    job.add_task(routines(None, done, finalizing("third")))
    ended(job)
    begun = [task for task in job.tasks if task.state is not TaskState.SKIPPED]
    names = ["oneshot", "first", "second", "third"]
    assert sorted(notes) == sorted(names[task.index] for task in begun)
    # the third has no init: it begins when the gate has opened, the last of all
    assert notes == [name for name in reversed(names) if name in notes]


def test_a_task_without_init_has_begun_when_its_run_begins():
    notes = []
    job = Job()
    job.add_task(routines(None, done, noting(notes, "no init")))
    job.add_task(routines(nothing, done, noting(notes, "init")))
    ended(job)
    assert notes == ["no init", "init"]


@pytest.mark.parametrize("end", [Job.cancel, Job.finish])
def test_a_task_whose_init_was_entered_is_owed_its_finalizer_and_the_next_is_not(end):
    notes = []
    job = Job()
    job.add_task(routines(blocks, None, noting(notes, "entered")))
    job.add_task(routines(nothing, None, noting(notes, "never")))
    job.run()
    passes()
    end(job)
    job.join()
    assert notes == ["entered"] and states(job) == [TaskState.CANCELLED, TaskState.SKIPPED]


def test_a_task_of_a_finalizer_alone_is_owed_it_only_if_its_turn_came():
    notes = []
    job = Job()
    job.add_task(routines(None, None, noting(notes, "came")))
    job.add_task(routines(raising(Broken()), None, noting(notes, "failed")))
    job.add_task(routines(None, None, noting(notes, "did not come")))
    ended(job)
    assert notes == ["failed", "came"]


# What a finalizer is


def test_finalizers_run_one_after_another():
    notes = []

    def finalize(task):
        notes.append(("in", task.index))
        gevent.sleep(0.01)
        notes.append(("out", task.index))

    job = Job()
    for _ in range(3):
        job.add_task(routines(None, done, finalize))
    ended(job)
    assert notes == [(way, index) for index in (3, 2, 1) for way in ("in", "out")]


def test_a_finalizer_runs_in_a_greenlet_that_no_task_knows_as_that_task():
    seen = {}

    def run(task):
        seen["run"] = gevent.getcurrent()
        task.done()

    def finalize(task):
        seen["finalize"] = gevent.getcurrent()
        seen["current"] = current_task()

    job = Job()
    task = job.add_task(routines(None, run, finalize))
    ended(job)
    assert seen["finalize"] is not seen["run"] and seen["current"] is task


def test_all_tasks_are_dead_when_the_first_finalizer_runs():
    greenlets, seen = [], []

    def run(task):
        greenlets.append(gevent.getcurrent())
        try:
            gevent.sleep(3600)
        finally:
            gevent.sleep(0.02)

    def finalize(task):
        seen.append([greenlet.dead for greenlet in greenlets])

    job = Job()
    for _ in range(2):
        job.add_task(routines(None, run, finalize))
    job.run()
    passes()
    job.cancel()
    job.join()
    assert seen == [[True, True]] * 2


def test_nothing_that_cancels_or_times_out_reaches_a_running_finalizer():
    notes = []

    def finalize(task):
        gevent.sleep(0.1)
        notes.append("whole")

    job = Job(grace=0.01).with_timeout(0.02)
    job.add_task(routines(None, done, finalize), idle_timeout=0.02)
    waiter = gevent.spawn(lambda: job.run() and job.join())
    gevent.sleep(0.03)
    waiter.kill(block=False)
    job.cancel()
    job.run().wait()
    assert notes == ["whole"] and job.state is JobState.DONE and job.errors == ()
    waiter.join()


def test_the_interruption_of_the_wait_for_a_job_that_finalizes_leaves_its_outcome_alone():
    job = Job()
    job.add_task(routines(None, done, lambda task: gevent.sleep(0.05)))
    job.run()
    with pytest.raises(gevent.Timeout), gevent.Timeout(0.01):
        job.join()
    assert job.state is JobState.DONE and job.errors == ()


def test_a_finalizer_may_read_everything_and_use_channels_but_change_nothing():
    seen = []
    channel = Channel(1)

    def finalize(task):
        job = task.job
        seen.append((job.state, job.cancel(Broken()), job.finish(), task.state, job.check()))
        channel.send(1)
        seen.append(channel.recv())
        for verdict in (task.tick, task.idle, task.park, task.done, task.finish_job, task.progress):
            verdict()
        with pytest.raises(StateError):
            job.add_task(routines())
        with pytest.raises(StateError):
            job.spawn(nothing)
        with pytest.raises(StateError):
            job.join()

    job = Job()
    job.add_task(routines(None, done, finalize))
    ended(job)
    assert seen == [(JobState.FINALIZING, False, False, TaskState.FINISHED, None), 1]
    assert job.errors == () and job.state is JobState.DONE


def test_the_channels_of_the_job_are_closed_in_finalizers_and_its_notices_are_not():
    seen = []

    def finalize(task):
        seen.append((channel.closed, task.job.task_done_notify().closed))

    job = Job()
    channel = job.channel()
    job.add_task(routines(None, done, finalize))
    ended(job)
    assert seen == [(True, False)] and job.task_done_notify().closed


def test_a_finalizer_may_run_a_job_of_its_own():
    notes = []

    def finalize(task):
        with Job() as inner:
            inner.add_task(routines(None, done, noting(notes, "inner")))
        notes.append("outer")

    job = Job()
    job.add_task(routines(None, done, finalize))
    ended(job)
    assert notes == ["inner", "outer"] and job.errors == ()


# Isolation and bound


@pytest.mark.parametrize(
    "error",
    [Broken(), Cancelled(), gevent.Timeout(1), AssertionError(), SystemExit(1)],
    ids=lambda error: type(error).__name__,
)
def test_an_error_in_one_finalizer_is_recorded_and_the_next_one_runs(error):
    notes = []
    job = Job()
    job.add_task(routines(None, done, noting(notes, "first")))
    failing = job.add_task(routines(None, done, raising(error)))
    job.add_task(routines(None, done, noting(notes, "third")))
    job.run()
    if isinstance(error, SystemExit):
        with pytest.raises(SystemExit):
            job.join()
    else:
        job.join()
    assert notes == ["third", "first"] and job.errors == (error,)
    assert job.interrupted_by == (failing, error) and job.state is JobState.CANCELLED
    assert failing.state is TaskState.FINISHED


def test_an_assertion_in_a_finalizer_records_what_was_asserted():
    error = Broken()
    job = Job()
    job.add_task(routines(None, done, lambda task: task.assert_(error)))
    ended(job)
    assert job.errors == (error,)


def test_a_failing_finalizer_replaces_no_earlier_reason():
    first, second = Broken(), Broken()
    job = Job()
    job.add_task(routines(None, done, raising(second)))
    failing = job.add_task(routines(None, raising(first)))
    ended(job)
    assert job.interrupted_by == (failing, first) and job.errors == (first, second)


def test_a_hanging_finalizer_is_stopped_and_the_next_one_runs():
    notes = []

    def finalize(task):
        try:
            gevent.sleep(3600)
        except Cancelled as error:
            notes.append(error.reason)
            raise

    job = Job(finalize_timeout=0.05)
    job.add_task(routines(None, done, noting(notes, "next")))
    job.add_task(routines(None, done, finalize))
    ended(job)
    assert isinstance(notes[0], FinalizeTimeout) and notes[1:] == ["next"]
    assert job.errors == (notes[0],) and not isinstance(notes[0], TimeoutError)
    assert job.state is JobState.CANCELLED and job.unstopped == ()


def test_a_stubborn_finalizer_is_given_up_and_the_next_one_runs():
    released, notes = [], []
    job = Job(grace=0.05, finalize_timeout=0.05)
    job.add_task(routines(None, done, noting(notes, "next")))
    task = job.add_task(routines(None, done, stubborn_until(released)))
    began = time.monotonic()
    ended(job)
    assert time.monotonic() - began < 5
    (unstopped,) = job.unstopped
    assert unstopped.task is task and "stubborn" in unstopped.stack and unstopped.seconds >= 0.09
    assert notes == ["next"] and [type(error) for error in job.errors] == [FinalizeTimeout]
    released.append(True)
    gevent.sleep(0.05)


def test_each_finalizer_has_the_whole_time_for_itself():
    job = Job(finalize_timeout=0.3)
    for _ in range(4):
        job.add_task(routines(None, done, lambda task: gevent.sleep(0.1)))
    ended(job)
    assert job.errors == () and job.state is JobState.DONE


@pytest.mark.parametrize("limit", [0, 0.005])
def test_a_busy_hub_keeps_no_finalizer_from_its_turn(limit):
    notes = []

    def burn(left):
        stall(0.0005)
        if left:
            gevent.get_hub().loop.run_callback(burn, left - 1)

    def run(task):
        task.done()
        for _ in range(60):
            gevent.get_hub().loop.run_callback(burn, 5)

    job = Job(finalize_timeout=limit)
    job.add_task(routines(None, done, noting(notes, "first")))
    job.add_task(routines(None, run, noting(notes, "second")))
    ended(job)
    assert notes == ["second", "first"] and job.errors == ()


@pytest.mark.parametrize("offset", range(20))
def test_the_stop_of_one_finalizer_never_hits_the_next(offset):
    """The first one's wake-up is queued when its time is over."""
    notes, event = [], GeventEvent()

    def first(task):
        event.wait()

    def second(task):
        passes(5)
        notes.append("whole")

    job = Job(finalize_timeout=0.02)
    job.add_task(routines(None, done, second))
    job.add_task(routines(None, done, first))
    job.run()
    helpers = [gevent.spawn_later(0.018, stall, 0.004), gevent.spawn_later(0.0205, stall, 0.004)]
    helpers.append(gevent.spawn_later(0.019 + offset * 0.0005, event.set))
    job.run().wait()
    gevent.joinall(helpers)
    assert notes == ["whole"]
    assert all(isinstance(error, FinalizeTimeout) for error in job.errors)


# How a finalizer changes the outcome


def test_a_task_that_fails_while_it_unwinds_after_finish_turns_done_into_cancelled():
    error = Broken()

    def run(task):
        try:
            gevent.sleep(3600)
        finally:
            raise error

    job = Job()
    task = job.add_task(routines(None, run))
    job.run()
    passes()
    job.finish()
    job.join()
    assert job.state is JobState.CANCELLED and job.interrupted_by == (task, error)
    assert task.state is TaskState.FAILED and task.error is error
    with pytest.raises(JobCancelled):
        job.check()


def test_a_task_that_unwinds_well_after_finish_leaves_the_job_done():
    job = Job()
    job.add_task(routines(None, blocks))
    job.run()
    passes()
    job.finish()
    job.join()
    assert job.state is JobState.DONE and states(job) == [TaskState.CANCELLED]
