"""Verdicts may come from anywhere, at any time: none is lost, none does harm."""

from __future__ import annotations

import time

import gevent
import pytest
from gevent.hub import Waiter
from makers import begun, done, ended, in_a_thread, noting, park, passes, routines, saying

from gowork import Job, JobState, TaskState, tasks

STRENGTH = ["park", "idle", "tick", "done"]


def test_a_tick_that_comes_while_run_runs_outlives_its_park():
    calls = []

    def run(task):
        calls.append(1)
        gevent.sleep(0)
        if len(calls) == 2:
            task.done()
        task.park()

    job = Job()
    task = job.add_task(routines(run=run))
    job.run()
    gevent.sleep(0)
    assert calls == [1]
    task.tick()
    assert job.join()
    assert len(calls) == 2


@pytest.mark.parametrize("verdict", ["tick", "done"])
@pytest.mark.parametrize("rest", [park, lambda task: task.idle(3600)])
def test_another_thread_may_wake_a_task(verdict, rest):
    calls = []

    def run(task):
        calls.append(1)
        rest(task) if len(calls) == 1 else task.done()

    job, task = begun(run)
    in_a_thread(getattr(task, verdict))
    assert job.join()
    assert len(calls) == (2 if verdict == "tick" else 1)


@pytest.mark.parametrize("verdict", ["tick", "done"])
def test_a_wake_up_that_comes_just_before_the_task_rests_is_not_lost(monkeypatch, verdict):
    def waiter():
        getattr(task, verdict)()  # as another thread may, at the worst moment
        return Waiter()

    monkeypatch.setattr(tasks, "Waiter", waiter)
    run = saying("park")
    job = Job()
    task = job.add_task(routines(run=run))
    assert ended(job).state is JobState.DONE
    assert run.calls == (2 if verdict == "tick" else 1)


def test_wake_ups_from_a_thread_are_never_lost():
    rounds = 200

    def run(task):
        task.result = (task.result or 0) + 1
        task.done() if task.result == rounds else task.park()

    job, task = begun(run)

    def drive():
        while task.state is TaskState.RUNNING:
            task.tick()
            time.sleep(0)

    in_a_thread(drive)
    assert job.join()
    assert task.result == rounds


def test_done_before_the_job_runs_means_that_run_is_never_called():
    notes = []
    job = Job()
    task = job.add_task(routines(*[noting(notes, what) for what in ("init", "run", "finalize")]))
    task.done()
    task.done()
    assert ended(job).state is JobState.DONE
    assert task.state is TaskState.FINISHED
    assert notes == ["init", "finalize"]


@pytest.mark.parametrize("adding", [Job.add_task, Job.add_oneshot_task])
def test_done_in_init_means_that_run_is_never_called(adding):
    run = saying("tick")
    job = Job()
    task = adding(job, routines(done, run))
    assert ended(job).state is JobState.DONE
    assert task.state is TaskState.FINISHED
    assert run.calls == 0


def test_park_in_init_has_the_first_run_wait_for_a_tick():
    run = saying("done")
    job, task = begun(run, init=park)
    assert run.calls == 0
    task.tick()
    assert job.join()
    assert run.calls == 1


def test_verdicts_after_the_end_change_nothing():
    job = Job()
    task = job.add_task(routines(run=done))
    ended(job)
    for verdict in STRENGTH:
        getattr(task, verdict)()
    passes()
    assert (job.state, task.state) == (JobState.DONE, TaskState.FINISHED)


def test_finish_job_in_init_finishes_its_task():
    notes = []
    job = Job()
    finisher = job.add_task(routines(lambda task: task.finish_job(), noting(notes, "run")))
    later = job.add_task(routines(noting(notes, "init"), done))
    assert ended(job).state is JobState.DONE
    assert (finisher.state, later.state) == (TaskState.FINISHED, TaskState.SKIPPED)
    assert notes == []
