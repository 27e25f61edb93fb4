"""Ends, verdicts and waits that nobody had tried with the Go original, and that failed there."""

from __future__ import annotations

import gevent
import pytest
from greenlet import GreenletExit
from makers import done, ended, in_a_thread, nothing, noting, park, raising, routines
from small_tasks import Broken, blocks, states

from gowork import (
    Job,
    JobState,
    StateError,
    Task,
    TaskState,
)

ADD = [Job.add_task, Job.add_oneshot_task]


# 33: when finalizers run


@pytest.mark.parametrize("broken", range(4))
def test_of_the_tasks_whose_inits_had_begun_all_are_finalized_the_last_first(broken):
    finalized = []
    job = Job()
    for index in range(4):
        init = raising(Broken()) if index == broken else nothing
        job.add_task(routines(init, park, noting(finalized, index)))

    assert ended(job).state is JobState.CANCELLED
    assert finalized == list(range(broken, -1, -1))


def test_a_task_that_ended_long_ago_is_finalized_in_its_place():
    finalized = []
    job = Job()
    job.add_task(routines(None, park, noting(finalized, "parked")))
    first = job.add_task(routines(None, done, noting(finalized, "done early")))

    def finish_late(task):
        first.join()
        task.finish_job()

    job.add_task(routines(None, finish_late, noting(finalized, "finished late")))

    assert ended(job).state is JobState.DONE
    assert finalized == ["finished late", "done early", "parked"]


# 34: finalizers that misbehave

MISBEHAVING = {
    "raises": raising(Broken()),
    "asserts": lambda task: task.assert_true(False, Broken()),
    "exits": raising(GreenletExit()),
    "cancels and raises": lambda task: [task.job.cancel(), raising(Broken())(task)],
}


@pytest.mark.parametrize("end", [done, lambda task: task.finish_job(), raising(Broken())])
@pytest.mark.parametrize("finalize", MISBEHAVING.values(), ids=list(MISBEHAVING))
def test_a_bad_finalizer_makes_a_good_end_bad_and_the_others_run(end, finalize):
    finalized = []
    job = Job()
    job.add_task(routines(None, park if end is not done else done, noting(finalized, "first")))
    job.add_task(routines(None, park if end is not done else done, finalize))
    job.add_task(routines(None, end, noting(finalized, "last")))

    assert ended(job).state is JobState.CANCELLED
    assert finalized == ["last", "first"]
    assert len(job.errors) == (2 if job.get_task_by_index(3).error else 1)


@pytest.mark.parametrize("exit_with", [SystemExit(2), KeyboardInterrupt()])
def test_an_exit_out_of_a_finalizer_goes_to_who_joins_when_all_is_cleared_up(exit_with):
    finalized = []
    job = Job()
    job.add_task(routines(None, done, noting(finalized, "first")))
    job.add_task(routines(None, done, raising(exit_with)))
    job.run()

    with pytest.raises(type(exit_with)):
        job.join()

    assert finalized == ["first"]
    assert job.state is JobState.CANCELLED


# 35: shutdown handlers that misbehave

FAILURES = {
    "failure": lambda job: job.add_task(routines(None, raising(Broken()))),
    "timeout": lambda job: job.with_timeout(0.01),
    "idle timeout": lambda job: job.add_task(routines(None, blocks), idle_timeout=0.01),
    "cancel": lambda job: job.spawn(job.cancel),
}


@pytest.mark.parametrize("failure", FAILURES.values(), ids=list(FAILURES))
def test_a_failing_shutdown_handler_does_not_make_a_bad_end_good(failure):
    finalized = []
    error = Broken()
    job = Job().with_shutdown(raising(error))
    job.add_task(routines(None, park, noting(finalized, "finalized")))
    failure(job)

    assert ended(job).state is JobState.CANCELLED
    assert job.interrupted_by.error is not error
    assert job.errors[1:] == (error,)
    assert finalized == ["finalized"]


# 36: cancel, by whom and when


def cancelled_by(way):
    """A job of three tasks that was cancelled *way*, and what it was cancelled with."""
    reason = Broken()
    job = Job()
    job.add_task(routines(None, park))
    job.add_task(routines(None, blocks))
    way(job, reason)
    return ended(job), reason


WAYS = {
    "before it runs": lambda job, reason: job.cancel(reason),
    "before anything has begun": lambda job, reason: [job.run(), job.cancel(reason)],
    "from outside": lambda job, reason: [job.run(), gevent.sleep(0), job.cancel(reason)],
    "by one of its tasks": lambda job, reason: job.spawn(job.cancel, reason),
    "by a task of another job": lambda job, reason: [job.run(), other_job(job.cancel, reason)],
    "from another thread": lambda job, reason: [
        job.run(),
        in_a_thread(lambda: job.cancel(reason)),
    ],
    "twice": lambda job, reason: [job.run(), job.cancel(reason), job.cancel(Broken())],
    "by many at once": lambda job, reason: [
        job.run(),
        gevent.joinall([gevent.spawn(job.cancel, reason) for _ in range(10)]),
    ],
}


def other_job(function, *args):
    other = Job()
    other.spawn(function, *args)
    ended(other).check()


@pytest.mark.parametrize("way", WAYS.values(), ids=list(WAYS))
def test_a_job_can_be_cancelled_by_anybody_at_any_time(way):
    job, reason = cancelled_by(way)

    assert job.state is JobState.CANCELLED
    assert job.interrupted_by == (None, reason)
    assert job.errors == (reason,)
    assert not {TaskState.PENDING, TaskState.RUNNING, TaskState.FAILED} & set(states(job))


def test_a_job_cannot_be_cancelled_by_a_finalizer_or_after_its_end():
    answers = []
    job = Job()
    job.add_task(routines(None, done, lambda task: answers.append(job.cancel(Broken()))))
    ended(job)

    answers.append(job.cancel(Broken()))

    assert answers == [False, False]
    assert job.state is JobState.DONE


def test_a_task_that_cancels_its_job_goes_on_to_its_next_call_of_gowork():
    went_on = []

    def run(task):
        went_on.append(job.cancel())
        task.progress()
        went_on.append("not here")

    job = Job()
    task = job.add_task(routines(None, run))

    assert ended(job).state is JobState.CANCELLED
    assert went_on == [True]
    assert task.state is TaskState.CANCELLED


# 37: verdicts in every phase, of every kind of task

VERDICTS = {
    "tick twice": [Task.tick, Task.tick],
    "done twice": [Task.done, Task.done],
    "tick and done": [Task.tick, Task.done],
    "done and tick": [Task.done, Task.tick],
    "all of them": [Task.park, Task.idle, Task.tick, Task.done],
}


@pytest.mark.parametrize("add", ADD)
@pytest.mark.parametrize("verdicts", VERDICTS.values(), ids=list(VERDICTS))
@pytest.mark.parametrize("phase", ["before the run", "init", "run", "finalize", "after the end"])
def test_no_verdict_hangs_a_job_whenever_it_is_said(add, verdicts, phase):
    def say(task):
        for verdict in verdicts:
            verdict(task)

    def at(name, otherwise):
        return say if phase == name else otherwise

    def run(task):
        at("run", done)(task)
        if verdicts[-1] is Task.tick and Task.done not in verdicts:
            task.done()

    job = Job()
    task = add(job, routines(at("init", nothing), run, at("finalize", nothing)))
    at("before the run", nothing)(task)
    ended(job)
    at("after the end", nothing)(task)

    assert (job.state, task.state) == (JobState.DONE, TaskState.FINISHED)


# 38: odd sets of tasks


def test_an_empty_job_is_done_with_and_without_a_block():
    with Job() as job:
        pass

    assert job.state is JobState.DONE
    assert ended(Job().with_timeout(10)).state is JobState.DONE


def test_both_events_of_a_job_of_a_oneshot_alone_are_set():
    job = Job()
    job.add_oneshot_task(routines(None, done))

    assert job.run_in_background().wait()
    assert job.run().wait()
    assert job.state is JobState.DONE


def test_a_oneshot_cannot_be_added_when_the_others_have_begun():
    refused = []

    def add(task):
        with pytest.raises(StateError):
            job.add_oneshot_task(routines(None, done))
        refused.append(True)
        task.done()

    job = Job()
    job.add_task(routines(None, add))

    assert ended(job).state is JobState.DONE
    assert refused == [True]


# 39: waiting


def test_gevent_itself_can_wait_for_jobs():
    slow, quick = Job(), Job()
    slow.spawn(blocks, None)
    quick.spawn(nothing, None)
    slow_end, quick_end = slow.run(), quick.run()

    assert gevent.wait([slow_end, quick_end], count=1) == [quick_end]

    slow.cancel()
    assert set(gevent.wait([slow_end, quick_end])) == {slow_end, quick_end}


def test_a_wait_that_is_over_too_early_changes_nothing():
    job = Job()
    job.add_task(routines(None, park))
    job.run()

    assert job.run().wait(0.001) is False
    assert job.join(0.001) is False
    assert job.run().wait(0) is False

    assert job.state is JobState.RECURRENT_RUNNING
    job.finish()
    assert job.join() is True


def test_a_waiter_that_is_killed_while_it_joins_takes_the_job_with_it():
    finalized = []
    job = Job()
    job.add_task(routines(None, park, noting(finalized, "finalized")))
    job.run()
    waiter = gevent.spawn(job.join)
    gevent.sleep(0)

    waiter.kill()

    assert job.state is JobState.CANCELLED
    assert finalized == ["finalized"]


def test_a_waiter_that_is_killed_while_it_only_waits_leaves_the_job_alone():
    job = Job()
    job.add_task(routines(None, park))
    waiter = gevent.spawn(job.run().wait)
    gevent.sleep(0)

    waiter.kill()

    assert job.state is JobState.RECURRENT_RUNNING
    job.finish()
    assert ended(job).state is JobState.DONE
