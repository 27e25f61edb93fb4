"""How tasks are stopped and finalized.

The labels are those of the catalogue of faults of the Go original.
"""

from __future__ import annotations

import gevent
import pytest
from gevent.event import Event
from greenlet import GreenletExit
from makers import done, ended, nothing, park, raising, routines
from small_tasks import Broken, blocks, states

from gowork import FinalizeTimeout, Job, JobState, TaskState
from gowork.testing.leaks import Census

ENDINGS = {
    "done": lambda task: [each.done() for each in task.job.tasks],
    "finished": lambda task: task.job.finish(),
    "failed": raising(Broken()),
    "cancelled": lambda task: task.job.cancel(),
    "killed": lambda task: gevent.getcurrent().kill(),
    "timed out": blocks,
}


def named(names):
    """A routine that notes the task's name."""
    return lambda task: names.append(task.name)


# W1: finalizers skipped on success


@pytest.mark.parametrize("ending", ENDINGS.values(), ids=list(ENDINGS))
def test_a_finalizer_runs_exactly_once_on_every_outcome(ending):
    finalized = []
    job = Job()
    for name in "ab":
        job.add_task(routines(None, park, named(finalized)), name=name)

    def bring_about(task):
        ending(task)
        task.done()

    job.add_task(routines(None, bring_about, named(finalized)), name="c")
    if ending is blocks:
        job.with_timeout(0.01)

    ended(job)

    assert finalized == ["c", "b", "a"]


def test_a_finalizer_does_not_run_for_a_task_whose_init_never_started():
    finalized = []
    job = Job()
    job.add_task(routines(raising(Broken()), done, named(finalized)), name="begun")
    job.add_task(routines(done, done, named(finalized)), name="not begun")

    ended(job)

    assert finalized == ["begun"]


# W2: finalizers run while tasks still run, tasks never stopped


def test_finalizers_run_when_every_task_of_the_job_is_dead():
    greenlets = []
    dead = []

    def run(task):
        greenlets.append(gevent.getcurrent())
        gevent.sleep(3600)

    job = Job()
    for _ in range(3):
        job.add_task(routines(None, run, lambda task: dead.extend(g.dead for g in greenlets)))
    job.spawn(job.cancel)

    ended(job)

    assert len(greenlets) == 3
    assert dead == [True] * 9


def test_a_hundred_cancelled_jobs_of_blocked_tasks_leave_nothing_alive():
    before = Census()

    for _ in range(100):
        job = Job()
        for _ in range(3):
            job.add_task(routines(None, blocks))
        job.spawn(job.cancel)
        assert ended(job).state is JobState.CANCELLED

    assert Census().since(before) == []


def test_a_task_that_refuses_to_die_is_reported_and_finalized():
    release = Event()
    finalized = []
    greenlets = []

    def refuse_to_die(task):
        greenlets.append(gevent.getcurrent())
        while not release.is_set():
            try:
                release.wait()
            except GreenletExit:
                continue

    job = Job(grace=0.01)
    stubborn = job.add_task(routines(None, refuse_to_die, named(finalized)), name="stubborn")
    job.spawn(job.cancel)

    assert ended(job).state is JobState.CANCELLED
    assert [each.task for each in job.unstopped] == [stubborn]
    assert "refuse_to_die" in job.unstopped[0].stack
    assert finalized == ["stubborn"]

    release.set()
    gevent.joinall(greenlets)


# W3, W4: the order of finalizers


def test_inits_run_in_order_of_addition_and_finalizers_in_reverse_the_oneshot_last():
    begun = []
    finalized = []
    job = Job()
    for name in "abc":
        job.add_task(routines(named(begun), done, named(finalized)), name=name)
    job.add_oneshot_task(routines(named(begun), done, named(finalized)), name="oneshot")

    ended(job)

    assert begun == ["oneshot", "a", "b", "c"]
    assert finalized == ["c", "b", "a", "oneshot"]


def test_after_a_failed_oneshot_its_own_finalizer_is_the_only_one():
    finalized = []
    job = Job()
    job.add_task(routines(nothing, done, named(finalized)), name="recurrent")
    job.add_oneshot_task(routines(None, raising(Broken()), named(finalized)), name="oneshot")

    ended(job)

    assert finalized == ["oneshot"]
    assert states(job) == [TaskState.FAILED, TaskState.SKIPPED]


# W5, W6: finalizers that misbehave


def assert_in_vain(task):
    task.assert_true(False, Broken("asserted"))


@pytest.mark.parametrize("failing", [raising(Broken("raised")), assert_in_vain])
def test_a_failing_finalizer_stops_no_other_and_its_error_is_kept_beside_the_first(failing):
    reason = Broken("the reason")
    finalized = []
    job = Job()
    job.add_task(routines(None, blocks, named(finalized)), name="a")
    job.add_task(routines(None, blocks, failing), name="b")
    job.add_task(routines(None, raising(reason), named(finalized)), name="c")

    assert ended(job).state is JobState.CANCELLED
    assert finalized == ["c", "a"]
    assert job.interrupted_by.error is reason
    assert len(job.errors) == 2


def test_a_failing_finalizer_of_a_job_that_did_well_is_what_interrupted_it():
    error = Broken()
    job = Job()
    task = job.add_task(routines(None, done, raising(error)))

    assert ended(job).state is JobState.CANCELLED
    assert job.interrupted_by == (task, error)
    assert task.state is TaskState.FINISHED


def test_a_finalizer_that_hangs_is_cut_short_and_the_rest_still_run():
    finalized = []
    job = Job(finalize_timeout=0.01).with_timeout(0.01)
    job.add_task(routines(None, blocks, named(finalized)), name="a")
    job.add_task(routines(None, blocks, blocks), name="b")

    ended(job)

    assert finalized == ["a"]
    assert isinstance(job.errors[1], FinalizeTimeout)
    assert job.unstopped == ()


def test_a_finalizer_may_read_everything_and_cancel_and_finish_in_vain():
    seen = []

    def finalize(task):
        job = task.job
        seen.extend([job.state, task.state, job.interrupted_by.error, job.tasks])
        seen.extend([job.cancel(Broken()), job.finish()])
        task.finish_job()

    job = Job()
    task = job.add_task(routines(None, done, finalize))

    assert ended(job).state is JobState.DONE
    assert seen == [JobState.FINALIZING, TaskState.FINISHED, None, (task,), False, False]
    assert job.errors == ()


@pytest.mark.parametrize(
    "failing",
    [
        assert_in_vain,
        lambda task: task.assert_true(False),
        lambda task: task.assert_not_none(None),
    ],
)
def test_an_assertion_that_fails_in_a_finalizer_fails_that_finalizer(failing):
    finalized = []
    job = Job()
    job.add_task(routines(None, done, named(finalized)), name="a")
    task = job.add_task(routines(None, done, failing))

    assert ended(job).state is JobState.CANCELLED
    assert job.interrupted_by.task is task
    assert finalized == ["a"]


# W7: the shutdown handler


def test_a_failing_shutdown_handler_neither_turns_the_outcome_nor_skips_finalizers():
    reason, error = Broken("the reason"), Broken("the handler's")
    finalized = []
    job = Job().with_shutdown(raising(error))
    task = job.add_task(routines(None, raising(reason), named(finalized)), name="a")

    assert ended(job).state is JobState.CANCELLED
    assert job.interrupted_by == (task, reason)
    assert job.errors == (reason, error)
    assert finalized == ["a"]


def test_a_shutdown_handler_may_cancel_and_finish_in_vain():
    reason = Broken()
    seen = []
    job = Job()
    job.with_shutdown(lambda error: seen.extend([error, job.cancel(), job.finish(), job.state]))
    job.add_task(routines(None, raising(reason)))

    assert ended(job).state is JobState.CANCELLED
    assert seen == [reason, False, False, JobState.FINALIZING]


def test_a_shutdown_handler_is_called_before_the_tasks_are_stopped():
    alive = []
    job = Job()
    task = job.add_task(routines(None, blocks))
    job.with_shutdown(lambda error: alive.append(task.state is TaskState.RUNNING))
    job.spawn(job.cancel)

    ended(job)

    assert alive == [True]
    assert task.state is TaskState.CANCELLED


@pytest.mark.parametrize("end", [done, lambda task: task.finish_job()])
def test_a_shutdown_handler_is_not_called_for_a_job_that_did_well(end):
    called = []
    job = Job().with_shutdown(called.append)
    job.add_task(routines(None, end))

    assert ended(job).state is JobState.DONE
    assert called == []


# W8, W9: cancel and finish at the wrong time


def test_an_ended_job_is_not_changed_by_a_late_cancel_or_finish():
    finalized = []
    job = Job()
    task = job.add_task(routines(None, done, named(finalized)), name="a")
    ended(job)

    assert job.cancel(Broken()) is False
    assert job.finish() is False
    task.finish_job()

    assert (job.state, job.interrupted_by, job.errors) == (JobState.DONE, (None, None), ())
    assert finalized == ["a"]


def test_a_cancelled_job_is_not_changed_by_a_late_finish():
    reason = Broken()
    job = Job()
    job.add_task(routines(None, raising(reason)))
    ended(job)

    assert job.finish() is False
    assert job.cancel(Broken()) is False
    assert job.state is JobState.CANCELLED
    assert job.errors == (reason,)


def test_a_job_cancelled_before_it_runs_never_starts_anything():
    called = []
    note = named(called)
    reason = Broken()
    job = Job()
    job.add_oneshot_task(routines(note, note, note))
    job.add_task(routines(note, note, note))

    assert job.cancel(reason) is True

    assert job.state is JobState.CANCELLED
    assert job.run().is_set()
    assert job.interrupted_by == (None, reason)
    assert states(job) == [TaskState.SKIPPED, TaskState.SKIPPED]
    assert called == []


# W10: finalizing can be observed


def test_finalizing_can_be_observed_from_outside():
    entered, leave = Event(), Event()

    def finalize(task):
        entered.set()
        leave.wait()

    job = Job()
    job.add_task(routines(None, done, finalize))
    job.run()
    entered.wait()

    assert job.state is JobState.FINALIZING
    assert not job.job_done_notify().is_set()

    leave.set()
    assert ended(job).state is JobState.DONE
