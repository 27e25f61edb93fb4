"""The shutdown handler: called once, in time, bounded, and unable to do harm."""

from __future__ import annotations

import gevent
import pytest
from hard_cases import stubborn_until
from makers import done, noting, park, passes, raising, routines
from small_tasks import Broken, blocks

from gowork import FinalizeTimeout, Job, JobState, JobTimeout, TaskState


def interrupt(job, how):
    if how == "before run":
        job.cancel("before run")
    job.run()
    passes()
    if how == "cancel":
        job.cancel("cancel")


@pytest.mark.parametrize("how", ["cancel", "before run", "failure", "finalizer", "timeout"])
def test_the_shutdown_handler_is_called_once_with_the_error(how):
    calls = []
    job = Job().with_shutdown(calls.append).with_timeout(0.05)
    job.add_task(
        routines(
            None,
            {"failure": raising(Broken()), "finalizer": done}.get(how, blocks),
            raising(Broken()) if how == "finalizer" else None,
        )
    )
    interrupt(job, how)
    job.run().wait()
    assert job.state is JobState.CANCELLED and calls == [job.interrupted_by.error]
    assert isinstance(calls[0], JobTimeout) is (how == "timeout")


@pytest.mark.parametrize("end", [done, lambda task: task.finish_job()])
def test_the_shutdown_handler_is_not_called_when_the_job_is_done(end):
    calls = []
    job = Job().with_shutdown(calls.append)
    job.add_task(routines(None, end))
    job.run().wait()
    assert calls == []


def test_the_shutdown_handler_comes_between_the_flag_and_the_stop():
    notes = []

    def run(task):
        try:
            gevent.sleep(3600)
        finally:
            notes.append("stopped")

    def handler(error):
        notes.append(job.state)
        gevent.sleep(0.02)
        notes.append("handled")

    job = Job().with_shutdown(handler)
    job.add_task(routines(None, run, noting(notes, "finalized")))
    job.run()
    passes()
    job.cancel()
    job.join()
    assert notes == [JobState.FINALIZING, "handled", "stopped", "finalized"]


def test_a_shutdown_handler_may_let_the_tasks_end_by_themselves():
    job = Job().with_shutdown(lambda error: (task.done(), passes(5)))
    task = job.add_task(routines(None, park))
    job.run()
    passes()
    job.cancel()
    job.join()
    assert task.state is TaskState.FINISHED and job.state is JobState.CANCELLED


def test_no_run_begins_while_the_shutdown_handler_runs():
    begun = []
    job = Job().with_shutdown(lambda error: (task.tick(), gevent.sleep(0.02)))
    task = job.add_task(routines(None, noting(begun, "run", park)))
    job.run()
    passes()
    job.cancel()
    job.join()
    assert begun == ["run"] and task.state is TaskState.CANCELLED


def test_the_error_of_a_shutdown_handler_is_recorded_behind_the_reason():
    error, notes = Broken(), []
    job = Job().with_shutdown(raising(error))
    job.add_task(routines(None, park, noting(notes, "finalized")))
    job.run()
    passes()
    job.cancel("reason")
    job.join()
    assert job.errors == ("reason", error) and notes == ["finalized"]


def test_a_hanging_shutdown_handler_is_bounded():
    job = Job(finalize_timeout=0.05).with_shutdown(lambda error: gevent.sleep(3600))
    job.add_task(routines(None, park))
    job.run()
    job.cancel("reason")
    job.join()
    assert [type(error) for error in job.errors[1:]] == [FinalizeTimeout]


def test_a_stubborn_shutdown_handler_is_given_up():
    released = []
    job = Job(grace=0.05, finalize_timeout=0.05).with_shutdown(stubborn_until(released))
    job.cancel("reason")
    job.run().wait()
    (unstopped,) = job.unstopped
    released.append(True)
    gevent.sleep(0.05)
    assert unstopped.task is None and "stubborn" in unstopped.stack
