"""The timeout of a job and the idle timeouts of its tasks, and whose timeout is whose."""

from __future__ import annotations

import math

import gevent
import pytest
from gevent.event import Event as GeventEvent
from hard_cases import stall
from makers import done, ended, nothing, noting, park, raising, routines
from small_tasks import blocks, states

from gowork import Cancelled, Channel, IdleTimeout, Job, JobState, JobTimeout, StateError, TaskState

# The job's


@pytest.mark.parametrize(
    "phase", ["prerequisites", "oneshot init", "oneshot run", "init", "run", "parked", "idle"]
)
def test_the_timeout_cuts_every_phase_and_fails_no_task(phase):
    finalized = []
    job = Job().with_timeout(0.03)
    if phase == "prerequisites":
        job.with_prerequisites(GeventEvent())
    job.add_oneshot_task(
        routines(
            blocks if phase == "oneshot init" else nothing,
            blocks if phase == "oneshot run" else done,
        )
    )
    run = {"run": blocks, "parked": park, "idle": lambda task: task.idle()}.get(phase, done)
    init = blocks if phase == "init" else nothing
    job.add_task(routines(init, run, noting(finalized, "finalized")))
    ended(job)
    task, error = job.interrupted_by
    assert task is None and type(error) is JobTimeout and job.errors == (error,)
    assert job.was_timed_out() and job.state is JobState.CANCELLED
    assert TaskState.FAILED not in states(job) and all(each.error is None for each in job.tasks)
    assert finalized == (["finalized"] if job.tasks[1].state is not TaskState.SKIPPED else [])


def test_the_stopped_tasks_see_the_very_error_that_is_kept():
    seen = []

    def run(task):
        try:
            gevent.sleep(3600)
        except Cancelled as cancelled:
            seen.append(cancelled.reason)
            raise

    job = Job().with_timeout(0.01)
    job.add_task(routines(None, run))
    ended(job)
    assert seen == [job.interrupted_by.error] and isinstance(seen[0], TimeoutError)


def test_the_timeout_starts_with_run():
    job = Job().with_timeout(0.2)
    job.add_task(routines(None, done))
    stall(0.25)
    gevent.sleep(0.01)
    ended(job)
    assert job.state is JobState.DONE and not job.was_timed_out()


def test_work_that_is_complete_when_the_deadline_fires_has_won():
    def run(task):
        stall(0.05)
        task.done()

    job = Job().with_timeout(0.02)
    job.add_task(routines(None, run))
    ended(job)
    assert job.state is JobState.DONE and not job.was_timed_out() and job.errors == ()


def test_work_that_becomes_complete_in_the_pass_in_which_the_deadline_fires_has_won():
    def run(task):
        gevent.sleep(0.015)
        task.done()

    job = Job().with_timeout(0.02)
    job.add_task(routines(None, run))
    job.run()
    gevent.spawn_later(0.01, stall, 0.03).join()  # both are due when it is over
    job.join()
    assert job.state is JobState.DONE and not job.was_timed_out()


def test_the_timeout_does_not_cut_the_finalizers():
    notes = []

    def finalize(task):
        gevent.sleep(0.05)
        notes.append("whole")

    job = Job().with_timeout(0.02)
    job.add_task(routines(None, done, finalize))
    ended(job)
    assert notes == ["whole"] and job.state is JobState.DONE


def test_an_endless_timeout_is_none_and_one_of_nothing_is_soon():
    job = Job().with_timeout(math.inf)
    job.add_task(routines(None, done))
    assert ended(job).state is JobState.DONE
    job = Job().with_timeout(0)
    job.add_task(routines(None, park))
    assert ended(job).was_timed_out()


@pytest.mark.parametrize("bad", [-1, math.nan])
def test_a_timeout_that_makes_no_sense_is_refused(bad):
    job = Job()
    with pytest.raises(ValueError, match="timeout"):
        job.with_timeout(bad)
    with pytest.raises(ValueError, match="idle_timeout"):
        job.add_task(routines(), idle_timeout=bad)
    assert job.tasks == ()


def test_the_timeout_of_a_running_job_cannot_be_set():
    job = Job()
    job.add_task(routines(None, park))
    job.run()
    with pytest.raises(StateError):
        job.with_timeout(1)
    job.finish()
    job.join()


def test_a_task_that_computes_and_ticks_does_not_outrun_the_timeout():
    job = Job().with_timeout(0.05)
    job.add_task(routines(None, lambda task: task.tick()))
    assert ended(job).was_timed_out()


# A task's own: no progress


def passed_on(value):
    channel = Channel(1)
    channel.send(value)
    return channel.recv()


IDLERS = {
    "a sleep": blocks,
    "recv": lambda task: Channel().recv(),
    "values through a channel": lambda task: (passed_on(task), task.idle(0)),
    "a foreign wait": lambda task: GeventEvent().wait(3600),
    "parking": park,
    "idling": lambda task: task.idle(),
    "idling for long": lambda task: task.idle(3600),
    "running and idling": lambda task: (gevent.sleep(0.001), task.idle(0)),
}


@pytest.mark.parametrize("run", IDLERS.values(), ids=list(IDLERS))
def test_without_tick_or_progress_a_task_idles_out(run):
    notes = []
    job = Job()
    task = job.add_task_with_idle_timeout(routines(None, run, noting(notes, "finalized")), 0.03)
    ended(job)
    assert type(task.error) is IdleTimeout and isinstance(task.error, TimeoutError)
    assert task.state is TaskState.FAILED and job.interrupted_by == (task, task.error)
    assert not job.was_timed_out() and notes == ["finalized"]


def test_an_init_that_makes_no_progress_idles_out_and_never_runs():
    notes = []
    job = Job()
    task = job.add_task(
        routines(blocks, noting(notes, "run"), noting(notes, "finalized")), idle_timeout=0.03
    )
    ended(job)
    assert isinstance(task.error, IdleTimeout) and notes == ["finalized"]


def test_the_task_that_idles_out_sees_its_own_error():
    seen = []

    def run(task):
        try:
            gevent.sleep(3600)
        except Cancelled as cancelled:
            seen.append(cancelled.reason)
            raise

    job = Job()
    task = job.add_task(routines(None, run), idle_timeout=0.02)
    ended(job)
    assert seen == [task.error] == [job.interrupted_by.error]


MOVERS = {
    "ticks": lambda task: task.tick(),
    "progress while computing": lambda task: (
        [(stall(0.005), task.progress()) for _ in range(70)],
        task.idle(0),
    ),
}


@pytest.mark.parametrize("run", MOVERS.values(), ids=list(MOVERS))
def test_a_task_that_ticks_or_says_progress_does_not_idle_out(run):
    job = Job().with_timeout(0.6)
    job.add_task(routines(None, run), idle_timeout=0.3)
    ended(job)
    assert job.was_timed_out() and states(job) == [TaskState.CANCELLED]


def test_a_task_that_finishes_at_the_moment_it_idles_out_ends_one_way():
    for offset in range(-3, 4):
        job = Job()
        notices = job.task_done_notify()
        task = job.add_task(routines(None, park), idle_timeout=0.01)
        job.run()
        gevent.sleep(0.01 + offset * 0.0005)
        task.done()
        job.run().wait()
        assert list(notices) == [task]
        assert (task.state, job.state) in [
            (TaskState.FAILED, JobState.CANCELLED),
            (TaskState.FINISHED, JobState.DONE),
        ]
        assert (task.error is None) is (job.state is JobState.DONE)


def test_only_the_task_that_idles_fails():
    job = Job()
    busy = job.add_task(routines(None, lambda task: task.tick()), idle_timeout=0.5)
    idler = job.add_task(routines(None, park), idle_timeout=0.03)
    ended(job)
    assert (busy.state, idler.state) == (TaskState.CANCELLED, TaskState.FAILED)


def test_a_job_whose_hub_was_stalled_ends_without_a_timer():
    """One idle timeout has expired; the other, checked in the same pass, has not."""
    released = []

    def stubborn(task):
        task.progress()
        while not released:
            try:
                gevent.sleep(0.01)
            except BaseException:
                pass

    job = Job(grace=0)
    job.add_task(routines(None, park), idle_timeout=0.02)
    job.add_task(routines(None, stubborn), idle_timeout=0.021)
    job.run()
    gevent.spawn_later(0.01, stall, 0.02).join()
    job.join()
    assert job._alarm._timer is None
    released.append(True)
    gevent.sleep(0.02)


# The user's own


def test_the_users_timeout_that_escapes_is_that_tasks_failure():
    raised = []

    def run(task):
        timeout = gevent.Timeout.start_new(0.01)
        raised.append(timeout)
        try:
            gevent.sleep(3600)
        finally:
            timeout.close()

    job = Job().with_timeout(60)
    task = job.add_task(routines(None, run), idle_timeout=60)
    ended(job)
    assert task.error is raised[0] and task.state is TaskState.FAILED
    assert not job.was_timed_out() and job.interrupted_by == (task, raised[0])


def test_the_users_timeout_that_is_caught_inside_is_nobodys_business():
    def run(task):
        with gevent.Timeout(0.01, False):
            gevent.sleep(3600)
        with gevent.Timeout(0.01, False):
            Channel().recv()
        with gevent.Timeout(0.01, False):
            ended(Job()).join()
        task.done()

    job = Job().with_timeout(60)
    job.add_task(routines(None, run))
    assert ended(job).state is JobState.DONE


def test_the_users_timeout_goes_through_gowork_by_identity():
    seen = []

    def run(task):
        raises = pytest.raises(gevent.Timeout)
        with raises as raised, gevent.Timeout(0.01) as timeout, gevent.Timeout(10, False):
            Channel().recv()
        seen.append(raised.value is timeout)
        task.done()

    job = Job()
    job.add_task(routines(None, run))
    ended(job)
    assert seen == [True]


def test_a_timeout_error_of_the_users_is_not_ours():
    job = Job()
    task = job.add_task(routines(None, raising(JobTimeout("mine"))))
    ended(job)
    assert not job.was_timed_out() and job.interrupted_by.task is task


def test_thousands_of_ticks_start_no_timer():
    started = []
    job = Job().with_timeout(60)
    counting = iter(range(3000))

    def run(task):
        started.append(id(job._alarm._timer))
        if next(counting, None) is None:
            task.done()
        else:
            task.tick()

    job.add_task(routines(None, run), idle_timeout=30)
    ended(job)
    assert len(set(started)) == 1
