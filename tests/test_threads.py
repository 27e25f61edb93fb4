"""Jobs and threads: what may be called from elsewhere, what is refused, and hubs of one's own."""

from __future__ import annotations

import time

import gevent
import pytest
from makers import done, ended, in_a_thread, noting, park, passes, raising, routines
from small_tasks import Broken, blocks, states

from gowork import Job, JobState, StateError, TaskState


def running(*tasks, **settings):
    job = Job(**settings)
    for each in tasks:
        job.add_task(each)
    job.run()
    passes()
    return job


# Called from another thread


def test_cancel_from_another_thread_wakes_an_idle_hub():
    error, notes = Broken(), []
    job = running(routines(None, blocks, noting(notes, "finalized")))
    assert in_a_thread(lambda: job.cancel(error)) is True
    job.join()
    assert job.interrupted_by == (None, error) and notes == ["finalized"]


def test_finish_from_another_thread():
    job = running(routines(None, park))
    in_a_thread(job.finish)
    job.join()
    assert job.state is JobState.DONE and states(job) == [TaskState.CANCELLED]


def test_done_from_another_thread_wakes_a_parked_and_an_idle_task():
    job = running(routines(None, park), routines(None, lambda task: task.idle(3600)))
    for task in job.tasks:
        in_a_thread(task.done)
    job.join()
    assert states(job) == [TaskState.FINISHED] * 2


def test_no_tick_from_another_thread_is_lost():
    count, seen = [0], []

    def run(task):
        seen.append(count[0])
        task.park()

    def give_ticks():
        for _ in range(5000):
            count[0] += 1
            task.tick()

    job = running(routines(None, run))
    (task,) = job.tasks
    in_a_thread(give_ticks)
    passes()
    assert seen[-1] == 5000
    job.finish()
    job.join()


def test_cancels_of_many_threads_and_greenlets_make_one_reason():
    errors = [Broken(n) for n in range(8)]
    job = running(routines(None, park))
    gevent.joinall(
        [gevent.spawn(in_a_thread, lambda error=error: job.cancel(error)) for error in errors]
    )
    job.join()
    assert job.interrupted_by.error in errors and job.errors == (job.interrupted_by.error,)


@pytest.mark.parametrize("call", ["cancel", "finish"])
def test_calls_from_another_thread_change_nothing_after_the_end(call):
    job = ended(Job())
    assert in_a_thread(getattr(job, call)) is False
    assert job.state is JobState.DONE


def test_a_verdict_from_another_thread_may_come_before_and_after_the_life_of_a_task():
    job = Job()
    task = job.add_task(routines(None, park))
    in_a_thread(task.done)
    ended(job)
    in_a_thread(task.tick)
    in_a_thread(task.done)
    assert task.state is TaskState.FINISHED


@pytest.mark.parametrize(
    "call",
    [
        lambda job: job.add_task(routines(None, done)),
        lambda job: job.add_task_with_idle_timeout(routines(None, done), 1),
        lambda job: job.spawn(time.time),
        lambda job: job.channel(),
        lambda job: job.pingpong(),
    ],
)
def test_to_add_from_another_thread_is_refused_and_changes_nothing(call):
    def try_it():
        with pytest.raises(StateError, match="thread"):
            call(job)

    job = running(routines(None, park))
    in_a_thread(try_it)
    assert len(job.tasks) == 1 and job.state is JobState.RECURRENT_RUNNING
    job.finish()
    job.join()


def test_everything_can_be_read_from_another_thread():
    def read():
        return job.state, job.tasks, job.errors, job.interrupted_by, job.run().is_set()

    job = running(routines(None, park))
    assert in_a_thread(read) == (JobState.RECURRENT_RUNNING, job.tasks, (), (None, None), False)
    job.finish()
    job.join()


def test_another_thread_can_wait_for_the_end():
    job = running(routines(None, park))
    waiting = [gevent.spawn(in_a_thread, wait) for wait in (job.join, job.run().wait)]
    gevent.sleep(0.02)
    job.finish()
    assert [waiter.get() for waiter in waiting] == [True, True]


def test_a_waiter_in_another_thread_that_is_interrupted_cancels_the_job():
    def wait():
        with pytest.raises(gevent.Timeout) as raised, gevent.Timeout(0.02) as timeout:
            job.join()
        return raised.value is timeout and job.run().is_set()

    notes = []
    job = running(routines(None, park, noting(notes, "finalized")))
    assert in_a_thread(wait) is True
    assert notes == ["finalized"] and job.state is JobState.CANCELLED


# A hub of its own


def test_a_job_lives_in_the_hub_of_the_thread_that_runs_it():
    notes = []

    def whole_life():
        job = Job().with_timeout(60)
        job.add_oneshot_task(routines(None, done))
        job.add_task(routines(None, lambda task: (gevent.sleep(0.005), task.done())))
        job.add_task(routines(None, lambda task: task.idle(3600), noting(notes, "finalized")))
        job.add_task(routines(None, lambda task: (gevent.sleep(0.02), raising(Broken())(task))))
        ended(job)
        return job.state, states(job)[2:], notes

    assert in_a_thread(whole_life) == (
        JobState.CANCELLED,
        [TaskState.CANCELLED, TaskState.FAILED],
        ["finalized"],
    )


def test_a_job_made_here_may_be_run_there_and_cancelled_from_here():
    job = Job().with_timeout(60)  # else nothing of its own keeps that thread's loop alive
    task = job.add_task(routines(None, park))
    waiter = gevent.spawn(in_a_thread, lambda: job.run() and job.join())
    while task.state is TaskState.PENDING:  # gevent's event, set there, may not wake us here
        gevent.sleep(0.001)
    job.cancel("from here")
    assert waiter.get() is True and job.interrupted_by == (None, "from here")


def test_the_stop_ladder_climbs_in_another_threads_hub():
    def whole_life():
        released = []

        def run(task):
            while not released:
                try:
                    gevent.sleep(0.01)
                except BaseException:
                    pass

        job = Job(grace=0.03)
        job.add_task(routines(None, run))
        job.run()
        gevent.sleep(0.01)
        job.cancel()
        job.join()
        released.append(True)
        gevent.sleep(0.05)
        return len(job.unstopped)

    assert in_a_thread(whole_life) == 1


def test_two_jobs_in_two_hubs_do_not_disturb_each_other():
    def whole_life():
        job = Job()
        for _ in range(20):
            job.add_task(routines(None, lambda task: task.done() if stop else task.idle()))
        job.run()
        gevent.sleep(0.03)
        stop.append(True)
        job.join()
        return job.state

    stop = []
    waiters = [gevent.spawn(in_a_thread, whole_life) for _ in range(3)]
    assert whole_life() is JobState.DONE
    assert [waiter.get() for waiter in waiters] == [JobState.DONE] * 3
