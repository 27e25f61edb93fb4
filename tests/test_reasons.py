"""Why a job was interrupted: by whom, with what, and what else went wrong."""

from __future__ import annotations

import gc

import gevent
import pytest
from gevent.event import Event as GeventEvent
from greenlet import GreenletExit, greenlet
from makers import done, ended, noting, park, passes, raising, routines

from gowork import (
    AssertionFailed,
    Cancelled,
    IdleTimeout,
    Job,
    JobCancelled,
    JobState,
    JobTimeout,
    TaskState,
    VerdictMissing,
)


def failed_with(run, **options):
    """A job of one task that has failed in *run*, and what it was interrupted with."""
    job = Job()
    task = job.add_task(routines(run=run), **options)
    ended(job)
    assert job.state is JobState.CANCELLED
    assert task.state is TaskState.FAILED
    assert job.interrupted_by.task is task
    assert task.error is job.errors[0] is job.interrupted_by.error
    return job, task.error


def greenlet_named(name):
    """The greenlet of that name."""
    greenlets = [one for one in gc.get_objects() if isinstance(one, greenlet)]
    found = [one for one in greenlets if not one.dead and getattr(one, "name", None) == name]
    if len(found) != 1:
        raise LookupError(f"{len(found)} greenlets are called {name}")
    return found[0]


# What fails a task


@pytest.mark.parametrize("place", ["init", "run"])
@pytest.mark.parametrize("adding", [Job.add_task, Job.add_oneshot_task])
def test_an_exception_fails_its_task_and_cancels_the_job(place, adding):
    error = ValueError("the very object")
    job = Job()
    task = adding(job, routines(**{place: raising(error)}))
    bystander = job.add_task(routines(run=park))
    assert ended(job).state is JobState.CANCELLED
    assert job.interrupted_by == (task, error)
    assert task.state is TaskState.FAILED
    assert task.error is job.errors[0] is error
    assert bystander.state in (TaskState.CANCELLED, TaskState.SKIPPED)
    assert bystander.error is None


def test_the_job_keeps_the_very_object_that_was_asserted():
    error = ValueError()
    for fail in (
        lambda task: task.assert_(error),
        lambda task: task.assert_true(False, error),
        lambda task: task.assert_true([], error),
    ):
        assert failed_with(fail)[1] is error


@pytest.mark.parametrize("given", ["division by zero", 404, ("a", "b")])
def test_what_is_asserted_need_not_be_an_exception_and_never_becomes_a_cause(given):
    job, error = failed_with(lambda task: task.assert_(given))
    assert error is given
    with pytest.raises(JobCancelled) as raised:
        job.check()
    assert raised.value.error is given
    assert raised.value.__cause__ is None


@pytest.mark.parametrize(
    "fail",
    [
        lambda task: task.assert_true(False),
        lambda task: task.assert_true(0, None),
        lambda task: task.assert_not_none(None),
    ],
)
def test_an_assertion_without_an_object_is_the_error_itself(fail):
    _job, error = failed_with(fail)
    assert type(error) is AssertionFailed
    assert error.error is None
    assert error.__cause__ is None


def test_a_falsy_object_given_to_an_assertion_is_kept_too():
    job, error = failed_with(lambda task: task.assert_true(False, 0))
    assert error == 0
    assert job.errors == (0,)


def test_assertions_pass_by_their_meaning():
    def run(task):
        for falsy in (None, 0, "", False, []):
            task.assert_(falsy)
        task.assert_true(1, ValueError())
        for something in (0, "", False, []):
            task.assert_not_none(something)
        task.done()

    job = Job()
    job.add_task(routines(run=run))
    assert ended(job).state is JobState.DONE
    assert job.errors == ()


def test_what_an_assertion_raises_names_the_exception_as_its_cause():
    error, seen = ValueError(), []

    def run(task):
        try:
            task.assert_(error)
        except AssertionFailed as failure:
            seen.append((failure.error, failure.__cause__))
        task.done()

    job = Job()
    job.add_task(routines(run=run))
    assert ended(job).state is JobState.DONE
    assert seen == [(error, error)]


def test_no_verdict_fails_the_task():
    assert type(failed_with(lambda task: None)[1]) is VerdictMissing


def test_a_task_that_idles_out_has_failed_and_sees_why():
    seen = []

    def run(task):
        try:
            gevent.sleep(60)
        except Cancelled as stop:
            seen.append(stop.reason)
            raise

    job, error = failed_with(run, idle_timeout=0.01)
    assert type(error) is IdleTimeout
    assert seen == [error]
    assert not job.was_timed_out()


def test_a_timeout_of_the_job_fails_no_task():
    job = Job().with_timeout(0.01)
    task = job.add_task(routines(run=park))
    assert ended(job).state is JobState.CANCELLED
    assert job.was_timed_out()
    assert job.interrupted_by.task is None
    assert type(job.interrupted_by.error) is JobTimeout
    assert (task.state, task.error) == (TaskState.CANCELLED, None)


@pytest.mark.parametrize("error", [GreenletExit(), Cancelled("mine")])
def test_a_task_that_raises_an_exit_of_its_own_has_failed(error):
    assert failed_with(raising(error))[1] is error


def test_a_task_whose_greenlet_is_killed_from_outside_has_failed():
    job = Job(name="job")
    task = job.add_task(routines(run=park), name="victim")
    job.run()
    passes()
    greenlet_named("job/victim").kill()
    assert job.join()
    assert task.state is TaskState.FAILED
    assert job.interrupted_by == (task, task.error)
    assert isinstance(task.error, GreenletExit)


def test_a_task_has_no_greenlet_that_anybody_could_kill_before_its_turn():
    job = Job(name="job")
    job.add_task(routines(None, done, done), name="victim")
    job.run()
    with pytest.raises(LookupError, match="job/victim"):
        greenlet_named("job/victim")
    job.join()


# The first reason


def test_of_failures_in_one_pass_of_the_loop_the_first_is_the_reason():
    job = Job()
    errors = [ValueError(n) for n in range(3)]
    signal = GeventEvent()
    for error in errors:
        job.add_task(routines(lambda task: signal.wait() and None, raising(error)))
    job.run()
    signal.set()
    assert job.join()
    assert job.interrupted_by == (job.tasks[0], errors[0])
    assert job.errors == (errors[0],)
    assert [task.state for task in job.tasks[1:]] == [TaskState.CANCELLED] * 2


def test_a_later_reason_never_replaces_the_first():
    first, later = ValueError("first"), ValueError("later")

    def run(task):
        try:
            gevent.sleep(60)
        finally:
            job.cancel(KeyError())
            job.finish()
            raise later

    job = Job()
    other = job.add_task(routines(run=run))
    task = job.add_task(routines(run=raising(first)))
    assert ended(job).state is JobState.CANCELLED
    assert job.interrupted_by == (task, first)
    assert job.errors == (first, later)
    assert (other.state, other.error) == (TaskState.FAILED, later)


def test_cancel_keeps_the_object_it_was_given():
    error = ValueError()
    job = Job()
    job.add_task(routines(run=park))
    job.run()
    assert job.cancel(error) is True
    assert job.cancel(KeyError()) is False
    assert job.join()
    assert job.interrupted_by == (None, error)
    assert job.errors == (error,)


def test_cancel_without_an_error_records_a_cancelled():
    job = Job()
    job.cancel()
    assert type(job.interrupted_by.error) is Cancelled
    assert job.errors == (job.interrupted_by.error,)


def test_the_siblings_of_a_failed_task_see_its_error_as_the_reason():
    seen, error = [], ValueError()

    def run(task):
        try:
            gevent.sleep(60)
        except Cancelled as stop:
            seen.append(stop.reason)
            raise

    job = Job()
    sibling = job.add_task(routines(run=run))
    job.add_task(routines(run=raising(error)))
    ended(job)
    assert seen == [error]
    assert (sibling.state, sibling.error) == (TaskState.CANCELLED, None)


# The wrapper


@pytest.mark.parametrize("how", ["raise", "assert", "verdict", "idle", "timeout", "cancel"])
def test_the_error_wrapper_makes_what_everybody_sees(how):
    seen, wrapped = [], []

    def wrapper(error):
        wrapped.append((error, RuntimeError("wrapped")))
        return wrapped[0][1]

    ways = {"raise": raising(ValueError()), "assert": lambda task: task.assert_("no")}
    ways["verdict"] = lambda task: None
    job = Job().with_error_wrapper(wrapper).with_shutdown(seen.append)
    job.add_task(routines(None, ways.get(how, park), lambda task: seen.append(job.errors[0])))
    if how == "idle":
        job.add_task(routines(run=park), idle_timeout=0.01)
    if how == "timeout":
        job.with_timeout(0.01)
    job.run()
    passes()
    if how == "cancel":
        job.cancel()
    assert job.join()
    (one,) = wrapped
    assert job.errors == (one[1],)
    assert job.interrupted_by.error is one[1]
    assert seen == [one[1], one[1]]
    assert all(task.error in (None, one[1]) for task in job.tasks)


def test_a_wrapper_that_returns_none_leaves_the_error_as_it_was():
    error = ValueError()
    job = Job().with_error_wrapper(lambda error: None)
    job.add_task(routines(run=raising(error)))
    assert ended(job).interrupted_by.error is error


def test_a_wrapper_that_fails_leaves_the_error_and_its_own_is_kept():
    error, own = ValueError(), KeyError()
    job = Job().with_error_wrapper(lambda error: raising(own)(None))
    job.add_task(routines(run=raising(error)))
    assert ended(job).interrupted_by.error is error
    assert job.errors == (error, own)


# All errors, in their order


def test_errors_come_in_the_order_in_which_they_came():
    def fail_when_stopped(task):
        try:
            gevent.sleep(60)
        finally:
            raise late

    names = ("first", "wrapper", "handler", "late", "finalizer 2", "finalizer 1")
    errors = [ValueError(name) for name in names]
    first, wrapper, handler, late, second_finalizer, first_finalizer = errors
    job = Job().with_error_wrapper(raising(wrapper)).with_shutdown(raising(handler))
    job.add_task(routines(None, fail_when_stopped, raising(first_finalizer)))
    job.add_task(routines(None, raising(first), raising(second_finalizer)))
    ended(job)
    assert job.errors == tuple(errors)
    assert job.interrupted_by == (job.tasks[1], first)


def test_a_finalizer_that_fails_interrupts_a_job_that_went_well():
    error = ValueError()
    job = Job()
    task = job.add_task(routines(None, done, raising(error)))
    assert ended(job).state is JobState.CANCELLED
    assert job.interrupted_by == (task, error)
    assert job.errors == (error,)
    assert (task.state, task.error) == (TaskState.FINISHED, None)


# What concerns more than the job


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_an_exit_of_the_process_is_raised_to_who_joins_after_the_finalizers(kind):
    notes, error = [], kind()
    job = Job().with_error_wrapper(lambda error: RuntimeError("wrapped"))
    job.add_task(routines(None, raising(error), noting(notes, "finalize")))
    job.run()
    with pytest.raises(kind) as raised:
        job.join()
    assert raised.value is error
    assert notes == ["finalize"]
    assert job.state is JobState.CANCELLED


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_an_exit_of_the_process_goes_on_out_of_a_with_block(kind):
    error = kind()
    with pytest.raises(kind) as raised, Job() as job:
        job.spawn(raising(error), None)
    assert raised.value is error


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_an_exit_of_the_process_is_raised_in_the_main_greenlet_when_nobody_joins(kind):
    notes, error = [], kind()
    job = Job()
    job.add_task(routines(None, raising(error), noting(notes, "finalize")))
    job.run()
    with pytest.raises(kind) as raised:
        gevent.sleep(60)
    assert raised.value is error
    assert notes == ["finalize"]


def test_of_two_exits_of_the_process_the_first_is_raised_and_both_are_kept():
    first, second = KeyboardInterrupt(), SystemExit()

    def exit_when_stopped(task):
        try:
            gevent.sleep(60)
        finally:
            raise second

    job = Job()
    job.add_task(routines(run=exit_when_stopped))
    job.add_task(routines(run=raising(first)))
    job.run()
    with pytest.raises(KeyboardInterrupt) as raised:
        job.join()
    assert raised.value is first
    assert job.errors == (first, second)
