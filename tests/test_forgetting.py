"""Jobs that run for ever forget their tasks, each finalized at its own end."""

from __future__ import annotations

import gevent
import pytest
from hard_cases import stubborn_until
from makers import done, ended, nothing, noting, park, passes, raising, routines
from small_tasks import Broken

from gowork import (
    FinalizeTimeout,
    Job,
    JobState,
    StateError,
)


def test_a_job_that_forgets_finalizes_each_task_at_its_own_end():
    notes = []
    job = Job(forget=True)
    keeper = job.add_task(routines(None, park, noting(notes, "keeper")))
    job.run()
    for n in range(3):
        job.add_task(routines(nothing, done, noting(notes, n)))
        gevent.sleep(0.005)
    assert notes == [0, 1, 2] and job.tasks == (keeper,)
    keeper.done()
    job.join()
    assert notes == [0, 1, 2, "keeper"] and job.tasks == () and job.state is JobState.DONE


def test_a_job_that_forgets_is_cancelled_by_a_failing_finalizer():
    error = Broken()
    job = Job(forget=True)
    job.add_task(routines(None, park))
    failing = job.add_task(routines(None, done, raising(error)))
    ended(job)
    assert job.interrupted_by == (failing, error) and job.state is JobState.CANCELLED


@pytest.mark.parametrize("end", [Job.cancel, Job.finish])
def test_a_job_that_forgets_ends_after_the_finalizer_that_is_running(end):
    notes = []

    def finalize(task):
        gevent.sleep(0.03)
        notes.append("whole")

    job = Job(forget=True)
    job.add_task(routines(None, park, noting(notes, "last")))
    job.add_task(routines(None, done, finalize))
    job.run()
    passes(5)
    end(job)
    job.join()
    assert notes == ["whole", "last"]


def test_a_job_that_forgets_waits_for_the_finalizer_of_its_last_task():
    notes = []

    def finalize(task):
        gevent.sleep(0.02)
        notes.append("whole")

    job = Job(forget=True)
    job.add_task(routines(None, done, finalize))
    ended(job)
    assert notes == ["whole"] and job.state is JobState.DONE


def test_a_job_that_forgets_gives_up_a_stubborn_finalizer():
    released = []
    job = Job(forget=True, grace=0.05, finalize_timeout=0.05)
    job.add_task(routines(None, park))
    job.add_task(routines(None, done, stubborn_until(released)))
    ended(job)
    released.append(True)
    gevent.sleep(0.05)
    assert len(job.unstopped) == 1 and isinstance(job.interrupted_by.error, FinalizeTimeout)


def test_a_task_given_up_while_a_finalizer_is_running_is_not_forgotten():
    released = []
    job = Job(forget=True, grace=0.02)
    stubborn = job.add_task(routines(None, stubborn_until(released)))
    job.add_task(routines(None, done, lambda task: gevent.sleep(0.2)))
    job.run()
    passes(5)
    job.cancel()
    job.join()
    released.append(True)
    gevent.sleep(0.05)
    assert [each.task for each in job.unstopped] == [stubborn]


@pytest.mark.parametrize("end", [Job.cancel, Job.finish])
def test_a_finalizer_beside_running_tasks_can_neither_end_the_job_nor_add_to_it(end):
    refused = []

    def finalize(task):
        refused.append(end(task.job))
        with pytest.raises(StateError, match="finalizer"):
            task.job.spawn(done)

    job = Job(forget=True)
    other = job.add_task(routines(None, park))
    job.add_task(routines(None, done, finalize))
    job.run()
    passes(5)
    assert refused == [False] and job.state is JobState.RECURRENT_RUNNING
    other.done()
    assert job.join() and job.errors == ()
