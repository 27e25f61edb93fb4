"""Structured waiting: who is interrupted while he joins takes the job with him."""

from __future__ import annotations

import gevent
import pytest
from gevent.event import Event as GeventEvent
from gevent.exceptions import LoopExit
from greenlet import GreenletExit
from makers import done, ended, noting, park, passes, raising, routines
from small_tasks import Broken, blocks, states

from gowork import Cancelled, Job, JobCancelled, JobState, StateError, TaskState
from gowork.testing import simulate


def parked(notes=None, **settings):
    """A running job of one parked task; its finalizer notes it and takes a while."""
    job = Job(**settings)

    def finalize(task):
        gevent.sleep(0.03)
        if notes is not None:
            notes.append("finalized")

    job.add_task(routines(None, park, finalize))
    job.run()
    return job


def caught_by(function):
    """A greenlet that calls *function*, and the list into which it puts what that raises."""
    raised = []

    def body():
        try:
            function()
        except BaseException as error:
            raised.append(error)

    return gevent.spawn(body), raised


# Interrupted


def test_a_kill_of_the_waiter_cancels_the_job_and_goes_on_after_the_finalizers():
    notes = []
    job = parked(notes)
    waiter, raised = caught_by(job.join)
    passes()
    kill = Cancelled("the user's own")
    waiter.kill(kill)
    assert notes == ["finalized"] and job.state is JobState.CANCELLED
    assert raised == [kill] and job.interrupted_by == (None, kill)


def test_a_timeout_of_the_waiters_own_cancels_the_job_and_goes_on():
    notes = []
    job = parked(notes)
    with pytest.raises(gevent.Timeout) as raised, gevent.Timeout(0.01) as timeout:
        job.join()
    assert raised.value is timeout and notes == ["finalized"]
    assert job.interrupted_by == (None, timeout) and not job.was_timed_out()


def test_the_timeout_of_an_outer_block_is_not_swallowed_by_a_silent_inner_one():
    job = parked()
    raises = pytest.raises(gevent.Timeout)
    with raises as raised, gevent.Timeout(0.01) as outer, gevent.Timeout(10, False):
        job.join()
    assert raised.value is outer


@pytest.mark.parametrize("kill", [GreenletExit(), Broken()], ids=["exit", "error"])
def test_a_kill_while_the_job_clears_up_outranks_the_timeout_that_began_it(kill):
    notes = []
    job = parked(notes)

    def wait():
        with gevent.Timeout(0.01):
            job.join()

    waiter, raised = caught_by(wait)
    gevent.sleep(0.02)
    waiter.kill(kill)
    assert raised == [kill] and notes == ["finalized"]


def test_a_timeout_while_the_job_clears_up_does_not_outrank_the_kill_that_began_it():
    job = parked()

    def wait():
        with gevent.Timeout(0.02):
            job.join()

    waiter, raised = caught_by(wait)
    passes()
    kill = GreenletExit()
    waiter.kill(kill)
    assert raised == [kill] and job.run().is_set()


def test_the_expiry_of_joins_own_timeout_cancels_nothing():
    job = parked()
    assert job.join(0.01) is False and job.join(timeout=0) is False
    assert job.state is JobState.RECURRENT_RUNNING
    job.finish()
    assert job.join(10) is True and job.join(0) is True


def test_join_is_true_of_a_cancelled_job_and_only_check_raises():
    job = Job()
    failing = job.add_task(routines(None, raising(Broken("it"))))
    ended(job)
    assert job.join() is True
    with pytest.raises(JobCancelled) as raised:
        job.check()
    error = raised.value
    assert (error.job, error.task, error.error) == (job, failing, failing.error)
    assert error.errors == job.errors and error.__cause__ is failing.error


def test_check_is_content_with_a_job_that_runs_or_is_done():
    job = parked()
    job.check()
    job.finish()
    job.join()
    job.check()


def test_to_wait_for_run_is_detached():
    job = parked()
    waiter, _ = caught_by(job.run().wait)
    passes()
    waiter.kill()
    with gevent.Timeout(0.01, False):
        job.run().wait()
    assert job.state is JobState.RECURRENT_RUNNING
    job.finish()
    job.join()


def test_any_number_may_wait_and_one_that_is_interrupted_takes_the_job_from_all():
    job = parked()
    others = [gevent.spawn(job.join) for _ in range(3)]
    one, _ = caught_by(job.join)
    passes()
    one.kill()
    assert [other.get() for other in others] == [True] * 3


# Refused


def test_a_job_that_was_never_run_cannot_be_joined():
    job = Job()
    with pytest.raises(StateError):
        job.join()
    job.cancel()
    assert job.join() is True  # it has ended


def test_a_task_cannot_join_its_own_job_nor_itself():
    refused = []

    def run(task):
        for join in (task.job.join, task.join):
            with pytest.raises(StateError):
                join()
            refused.append(join)
        task.done()

    job = Job()
    job.add_task(routines(None, run))
    ended(job)
    assert len(refused) == 2 and job.state is JobState.DONE


def test_a_task_may_join_another_of_its_job():
    seen = []
    job = Job()
    first = job.spawn(lambda: gevent.sleep(0.01) or "result")
    job.spawn(lambda: seen.append((first.join(), first.result)))
    ended(job)
    assert seen == [(True, "result")] and first.join(0) is True


def test_tasks_that_never_began_can_be_joined_too():
    job = Job()
    task = job.add_task(routines(None, done))
    waiting = gevent.spawn(task.join)
    passes()
    job.cancel()
    assert waiting.get() is True and task.join() is True


# Nested jobs


def test_the_finalizers_of_a_nested_job_come_first_and_its_failure_surfaces_once():
    notes, error = [], Broken()

    def run(task):
        with Job(name="inner") as inner:
            inner.add_task(routines(None, raising(error), noting(notes, "inner")))

    outer = Job()
    task = outer.add_task(routines(None, run, noting(notes, "outer")))
    ended(outer)
    assert notes == ["inner", "outer"]
    assert isinstance(task.error, JobCancelled) and task.error.error is error
    assert outer.errors == (task.error,)


def test_the_end_of_the_outer_job_ends_the_nested_one_first():
    notes, inners = [], []

    def run(task):
        with Job() as inner:
            inners.append(inner)
            inner.add_task(routines(None, park, noting(notes, "inner")))

    outer = Job()
    outer.add_task(routines(None, run, noting(notes, "outer")))
    outer.run()
    passes()
    outer.cancel("why")
    outer.join()
    assert notes == ["inner", "outer"] and outer.errors == ("why",)
    assert isinstance(inners[0].interrupted_by.error, Cancelled)
    assert inners[0].interrupted_by.error.reason == "why"


def test_three_jobs_deep_a_kill_of_the_waiter_undoes_them_from_the_inside():
    notes = []

    def nest(depth):
        with Job() as job:
            if depth:
                job.add_task(routines(None, lambda task: nest(depth - 1), noting(notes, depth)))
            else:
                job.add_task(routines(None, park, noting(notes, depth)))

    waiter, raised = caught_by(lambda: nest(3))
    passes(12)
    waiter.kill()
    assert notes == [0, 1, 2, 3] and [type(error) for error in raised] == [GreenletExit]


# The main greenlet, and the with block


def test_main_that_joins_a_job_nothing_can_wake_gets_gevents_loop_exit():
    notes = []
    job = Job()
    job.add_task(routines(None, lambda task: GeventEvent().wait(), noting(notes, "finalized")))
    job.run()
    with pytest.raises(LoopExit) as raised:
        job.join()
    assert notes == ["finalized"] and job.state is JobState.CANCELLED
    assert job.interrupted_by == (None, raised.value)


def test_an_exception_in_the_with_block_goes_on_and_no_task_begins():
    notes, error = [], Broken()
    with pytest.raises(Broken) as raised, Job() as job:
        job.add_task(routines(None, noting(notes, "run", done), noting(notes, "finalized")))
        raise error
    passes(5)
    assert raised.value is error and notes == [] and states(job) == [TaskState.SKIPPED]
    assert job.state is JobState.CANCELLED and job.interrupted_by == (None, error)


def test_an_exception_in_the_with_block_waits_for_the_shutdown_handler():
    handled = []
    with pytest.raises(Broken), Job() as job:
        job.with_shutdown(lambda error: (gevent.sleep(0.01), handled.append(error)))
        raise Broken
    assert handled == [job.interrupted_by.error] and job.state is JobState.CANCELLED


def test_the_with_block_raises_what_cancelled_the_job():
    error = Broken()
    with pytest.raises(JobCancelled) as raised, Job() as job:
        failing = job.spawn(raising(error), None)
    assert (raised.value.job, raised.value.task, raised.value.error) == (job, failing, error)


def test_a_kill_in_the_with_block_is_structured():
    notes = []

    def body():
        with Job() as job:
            job.add_task(routines(None, blocks, noting(notes, "finalized")))

    waiter, raised = caught_by(body)
    passes(5)
    waiter.kill()
    assert notes == ["finalized"] and isinstance(raised[0], GreenletExit)


def test_a_job_that_was_run_in_its_with_block_is_stopped_by_an_exception_there():
    notes = []
    with pytest.raises(Broken), Job() as job:
        job.add_task(routines(None, park, noting(notes, "finalized")))
        job.run()
        passes()
        raise Broken
    assert notes == ["finalized"] and states(job) == [TaskState.CANCELLED]


def test_a_job_that_is_over_when_its_with_block_fails_keeps_its_outcome():
    with pytest.raises(Broken), Job() as job:
        job.add_task(routines(None, done))
        job.run().wait()
        raise Broken
    assert job.state is JobState.DONE


def test_a_waiter_killed_while_the_error_wrapper_blocks_still_leaves_when_all_is_cleared_up():
    def program():
        job = Job().with_error_wrapper(lambda error: gevent.sleep(1))
        job.spawn(gevent.sleep, 99)
        left = []

        def waiter():
            job.run()
            try:
                with gevent.Timeout(1):
                    job.join()
            finally:
                left.append(job.state)

        killed = gevent.spawn(waiter)
        gevent.sleep(1.5)  # within the wrapper, which the timeout has begun
        killed.kill()
        return left

    assert simulate(program).value == [JobState.CANCELLED]
