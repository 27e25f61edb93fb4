"""How tasks are stopped: flag first, then the ladder, and no way back into the work."""

from __future__ import annotations

import time

import gevent
import pytest
from gevent.event import Event as GeventEvent
from hard_cases import stubborn_until
from makers import done, ended, noting, park, passes, raising, routines
from small_tasks import Broken, states

from gowork import (
    Cancelled,
    Channel,
    IdleTimeout,
    Job,
    JobState,
    TaskState,
)


def started(job):
    """*job*, run, when its tasks have come as far as they do by themselves."""
    job.run()
    passes(5)
    return job


# The ladder


def test_who_swallows_the_stop_once_is_stopped_by_his_next_call_to_gowork():
    seen = []
    channel = Channel()

    def run(task):
        try:
            gevent.sleep(3600)
        except BaseException as error:
            seen.append(error)
        channel.recv()

    job = Job(grace=20)
    task = job.add_task(routines(None, run))
    started(job).cancel(Broken("why"))
    began = time.monotonic()
    assert job.run().wait()
    assert time.monotonic() - began < 10
    assert task.state is TaskState.CANCELLED and not job.unstopped
    assert seen[0].reason is job.interrupted_by.error


def test_who_swallows_the_stop_once_and_returns_begins_no_other_run():
    begun = []

    def run(task):
        begun.append(task)
        try:
            gevent.sleep(3600)
        except BaseException:
            task.tick()

    job = Job(grace=20)
    job.add_task(routines(None, run))
    ended_well = started(job).finish()
    job.join()
    assert ended_well and len(begun) == 1
    assert job.state is JobState.DONE and states(job) == [TaskState.CANCELLED]


@pytest.mark.parametrize("late", [False, True], ids=["at the gate", "late"])
@pytest.mark.parametrize("run", [None, park], ids=["no run", "run"])
def test_an_init_that_swallows_the_stop_once_and_returns_goes_no_further(run, late):
    def init(task):
        try:
            gevent.sleep(3600)
        except BaseException:
            task.park()

    job = Job(grace=20)
    if late:
        job.add_task(routines(None, park))
        started(job)
    job.add_task(routines(init, run))
    if not late:
        job.add_task(routines(park))
    began = time.monotonic()
    started(job).cancel()
    job.join()
    assert time.monotonic() - began < 10 and not job.unstopped


def test_who_swallows_the_stop_once_and_leaves_gowork_alone_is_stopped_by_the_second_delivery():
    deliveries = []

    def run(task):
        try:
            gevent.sleep(3600)
        except Cancelled as error:
            deliveries.append(error)
        try:
            gevent.sleep(3600)
        except Cancelled as error:
            deliveries.append(error)
            raise

    job = Job(grace=0.05)
    task = job.add_task(routines(None, run))
    started(job).cancel()
    job.join()
    assert len(deliveries) == 2
    assert task.state is TaskState.CANCELLED and not job.unstopped


def test_who_swallows_every_delivery_is_reported_with_stack_and_seconds_and_is_finalized():
    released, notes = [], []
    job = Job(grace=0.1)
    task = job.add_task(routines(None, stubborn_until(released), noting(notes, "finalized")))
    started(job).cancel()
    began = time.monotonic()
    job.join()
    (unstopped,) = job.unstopped
    assert time.monotonic() - began < 5
    assert unstopped.task is task and 0.19 <= unstopped.seconds < 5
    assert "in stubborn" in unstopped.stack
    assert notes == ["finalized"] and task.state is TaskState.CANCELLED
    released.append(True)
    gevent.sleep(0.05)
    assert task.state is TaskState.CANCELLED and job.errors[1:] == ()


def test_a_stubborn_task_does_not_keep_the_others_from_their_finalizers():
    released, notes = [], []
    job = Job(grace=0.05)
    job.add_task(routines(None, park, noting(notes, "first")))
    job.add_task(routines(None, stubborn_until(released), noting(notes, "stubborn")))
    job.add_task(routines(None, park, noting(notes, "last")))
    started(job).finish()
    job.join()
    released.append(True)
    gevent.sleep(0.05)
    assert notes == ["last", "stubborn", "first"]


def test_a_task_that_idled_out_and_is_stubborn_stays_failed():
    released = []
    job = Job(grace=0.05)
    task = job.add_task(routines(None, stubborn_until(released)), idle_timeout=0.05)
    ended(job)
    released.append(True)
    gevent.sleep(0.05)
    assert task.state is TaskState.FAILED and isinstance(task.error, IdleTimeout)
    assert [each.task for each in job.unstopped] == [task]


def test_what_a_task_given_up_raises_later_changes_nothing_and_prints_nothing():
    released = []

    def run(task):
        stubborn_until(released)(task)
        raise Broken

    job = Job(grace=0.05)
    job.add_task(routines(None, run))
    started(job).cancel()
    job.join()
    before = (job.state, job.errors, job.interrupted_by, states(job))
    released.append(True)
    gevent.sleep(0.05)
    assert (job.state, job.errors, job.interrupted_by, states(job)) == before


@pytest.mark.parametrize("leaving", [SystemExit, KeyboardInterrupt])
def test_an_exit_of_the_process_out_of_a_task_given_up_is_not_lost(leaving):
    released = []

    def run(task):
        stubborn_until(released)(task)
        raise leaving

    job = Job(grace=0.05)
    job.add_task(routines(None, run))
    started(job).cancel()
    job.join()
    released.append(True)
    with pytest.raises(leaving):
        gevent.sleep(1)


def test_a_grace_of_nothing_still_stops_a_thousand_well_behaved_tasks():
    job = Job(grace=0)
    for _ in range(1000):
        job.add_task(routines(None, park))
    started(job).cancel()
    job.join()
    assert job.unstopped == () and set(states(job)) == {TaskState.CANCELLED}


def test_a_grace_of_nothing_ends_at_once_with_a_stubborn_task():
    released = []
    job = Job(grace=0)
    job.add_task(routines(None, stubborn_until(released)))
    started(job).cancel()
    began = time.monotonic()
    job.join()
    released.append(True)
    gevent.sleep(0.05)
    assert time.monotonic() - began < 5 and len(job.unstopped) == 1


def test_a_kill_that_the_users_own_timeout_has_replaced_is_not_lost():
    rounds = []

    def run(task):
        rounds.append(task)
        with gevent.Timeout(0.05, False):  # fires in the finally and is swallowed here
            try:
                gevent.sleep(3600)
            finally:
                gevent.sleep(3600)
        task.tick()

    job = Job(grace=20)
    job.add_task(routines(None, run))
    started(job).cancel()
    job.join()
    assert len(rounds) == 1 and states(job) == [TaskState.CANCELLED] and not job.unstopped


# Nothing begins after the decision


@pytest.mark.parametrize("verdict", ["tick", "idle", "park"])
def test_a_sibling_whose_wake_up_is_already_queued_begins_no_other_run(verdict):
    begun, at_the_failure = [], []

    def run(task):
        begun.append(task)
        getattr(task, verdict)()

    def fail(task):
        gevent.sleep(0.01)
        sibling.tick()
        at_the_failure.append(len(begun))
        raise Broken

    job = Job()
    sibling = job.add_task(routines(None, run))
    job.add_task(routines(None, fail))
    ended(job)
    passes(10)
    assert [len(begun)] == at_the_failure


def test_no_sibling_that_waits_for_an_event_begins_another_run_after_the_failure():
    event, begun = GeventEvent(), []

    def run(task):
        begun.append(task.index)
        event.wait()
        task.tick()

    def fail(task):
        event.wait()
        raise Broken

    job = Job()
    job.add_task(routines(None, run))
    job.add_task(routines(None, fail))
    job.add_task(routines(None, run))
    started(job)
    event.set()  # all three wake up in one pass, and the second fails
    job.join()
    # The first could not know when it went on; it and the third had begun once each.
    assert begun.count(3) == 1 and begun.count(1) <= 2


def test_an_init_that_fails_keeps_every_later_one_from_beginning():
    notes = []
    job = Job()
    job.add_task(routines(noting(notes, "init 1"), noting(notes, "run 1"), noting(notes, "fin 1")))
    job.add_task(routines(raising(Broken()), None, noting(notes, "fin 2")))
    job.add_task(routines(noting(notes, "init 3"), noting(notes, "run 3"), noting(notes, "fin 3")))
    job.add_task(routines(None, noting(notes, "run 4"), noting(notes, "fin 4")))
    ended(job)
    assert notes == ["init 1", "fin 2", "fin 1"]
    assert states(job)[2:] == [TaskState.SKIPPED, TaskState.SKIPPED]


@pytest.mark.parametrize("end", [Job.cancel, Job.finish])
def test_tasks_that_are_about_to_begin_never_begin(end):
    notes = []
    job = Job()
    for _ in range(3):
        job.add_task(routines(None, noting(notes, "run", done), noting(notes, "finalize")))
    job.run()  # they are queued, and have not begun
    end(job)
    job.join()
    passes(5)
    assert notes == [] and set(states(job)) == {TaskState.SKIPPED}


def test_a_task_added_by_one_that_then_ends_the_job_never_begins():
    notes = []

    def run(task):
        task.job.spawn(notes.append, "begun")
        task.finish_job()

    job = Job()
    job.add_task(routines(None, run))
    ended(job)
    assert notes == [] and states(job) == [TaskState.FINISHED, TaskState.SKIPPED]


def test_no_run_begins_where_the_end_comes_while_all_wait_for_the_gate():
    notes = []
    job = Job()
    for _ in range(3):
        job.add_task(routines(lambda task: None, noting(notes, "run", done)))
    last = job.add_task(routines(lambda task: task.job.cancel(), noting(notes, "run", done)))
    ended(job)
    assert notes == [] and last.state is TaskState.CANCELLED


# Ended by a task itself, and before it runs


def test_cancel_returns_to_the_task_that_calls_it_which_ends_cancelled():
    notes = []
    job = Job()

    def run(task):
        notes.append(job.cancel(reason))
        task.done()

    reason = Broken()
    task = job.add_task(routines(None, run))
    ended(job)
    assert notes == [True] and task.state is TaskState.CANCELLED
    assert job.interrupted_by == (None, reason) and task.error is None


def test_a_task_that_cancels_its_job_and_then_raises_has_failed():
    job = Job()
    error = Broken()
    task = job.add_task(
        routines(None, lambda task: (task.job.cancel("first"), raising(error)(task)))
    )
    ended(job)
    assert task.state is TaskState.FAILED and task.error is error
    assert job.interrupted_by == (None, "first") and job.errors == ("first", error)


def test_a_task_that_cancels_its_job_from_init_never_runs():
    notes = []
    job = Job()
    job.add_task(
        routines(lambda task: task.job.cancel(), noting(notes, "run"), noting(notes, "finalize"))
    )
    ended(job)
    assert notes == ["finalize"] and states(job) == [TaskState.CANCELLED]


def test_a_job_finished_before_it_was_run_stays_so():
    notes = []
    job = Job()
    job.add_task(routines(noting(notes, "init"), done, noting(notes, "finalize")))
    assert job.finish() and not job.cancel(Broken())
    job.run().wait()
    assert job.join() and job.state is JobState.DONE
    assert notes == [] and states(job) == [TaskState.SKIPPED] and job.errors == ()


def test_ten_thousand_cancels_in_one_pass_change_nothing_after_the_first():
    job = Job()
    job.add_task(routines(None, park))
    started(job)
    errors = [Broken(n) for n in range(100)]
    decided = []
    gevent.joinall(
        [
            gevent.spawn(lambda error: decided.extend(job.cancel(error) for _ in range(100)), error)
            for error in errors
        ]
    )
    job.join()
    assert decided.count(True) == 1 and job.errors == (errors[0],)
