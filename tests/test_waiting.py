"""Waiting for jobs and tasks, being told of their ends, and asking how it went."""

from __future__ import annotations

import gc
import weakref

import gevent
import pytest
from gevent.event import Event as GeventEvent
from makers import done, ended, noting, park, passes, raising, routines

from gowork import (
    ChannelClosed,
    Interruption,
    Job,
    JobCancelled,
    JobState,
    StateError,
    TaskState,
)


def parked():
    """A running job of one parked task, and the task."""
    job = Job()
    task = job.add_task(routines(run=park))
    job.run()
    passes()
    return job, task


# with


def test_leaving_the_block_runs_the_job_and_waits_for_it():
    with Job() as job:
        task = job.spawn(lambda: passes() or "result")
        assert job.state is JobState.NEW
    assert job.state is JobState.DONE
    assert task.result == "result"


def test_the_block_raises_if_the_job_was_cancelled():
    error = ValueError()
    with pytest.raises(JobCancelled) as raised, Job() as job:
        task = job.spawn(raising(error), None)
    assert raised.value.job is job
    assert (raised.value.task, raised.value.error) == (task, error)
    assert raised.value.errors == job.errors == (error,)
    assert raised.value.unstopped == ()
    assert raised.value.__cause__ is error
    assert task.name in str(raised.value)


def test_an_exception_in_the_block_goes_on_as_it_is_and_no_task_begins():
    error, notes = ValueError(), []
    with pytest.raises(ValueError) as raised, Job() as job:  # noqa: PT011
        task = job.spawn(notes.append, 1)
        raise error
    assert raised.value is error
    assert (job.state, task.state) == (JobState.CANCELLED, TaskState.SKIPPED)
    assert notes == []


def test_a_job_may_be_run_inside_its_block():
    with Job() as job:
        job.spawn(passes)
        job.run()
    assert job.state is JobState.DONE


# join, check


def test_join_waits_and_is_true_however_the_job_ended():
    for run, state in ((done, JobState.DONE), (raising(ValueError()), JobState.CANCELLED)):
        job = Job()
        job.add_task(routines(run=run))
        job.run()
        assert job.join() is True
        assert job.join(0) is True
        assert job.state is state


def test_join_that_expires_is_false_and_cancels_nothing():
    job, task = parked()
    assert job.join(0) is False
    assert job.join(0.01) is False
    assert job.state is JobState.RECURRENT_RUNNING
    task.done()
    assert job.join(60) is True
    assert job.state is JobState.DONE


def test_join_of_a_job_that_was_never_run_is_refused():
    with pytest.raises(StateError) as refusal:
        Job().join()
    assert refusal.value.state is JobState.NEW


def test_join_by_a_task_of_its_own_is_refused():
    job = Job()
    job.add_task(routines(run=lambda task: task.job.join()))
    assert isinstance(ended(job).interrupted_by.error, StateError)


@pytest.mark.parametrize(("wrong", "error"), [("1", TypeError), (-1, ValueError)])
def test_the_timeout_of_join_is_a_number_of_seconds(wrong, error):
    job, _task = parked()
    with pytest.raises(error):
        job.join(wrong)
    assert job.state is JobState.RECURRENT_RUNNING
    job.finish()
    assert job.join()


def test_check_raises_only_if_the_ended_job_was_cancelled():
    job, task = parked()
    job.check()
    task.done()
    job.join()
    job.check()
    job = Job()
    job.cancel("reason")
    with pytest.raises(JobCancelled) as raised:
        job.check()
    assert (raised.value.task, raised.value.error) == (None, "reason")


def test_any_number_may_wait_any_number_of_times_before_and_after():
    job, task = parked()
    waiters = [gevent.spawn(job.run().wait) for _ in range(3)]
    waiters += [gevent.spawn(job.join) for _ in range(3)]
    passes()
    task.done()
    gevent.joinall(waiters, raise_error=True)
    assert [waiter.value for waiter in waiters] == [True] * 6
    assert job.run().wait() is job.run().wait(0) is job.join() is True


def test_nobody_need_wait():
    job, task = parked()
    task.done()
    passes()
    assert job.state is JobState.DONE


def test_what_interrupted_a_job_is_a_named_tuple_of_two_nones_while_nothing_has():
    job = Job()
    assert job.interrupted_by == Interruption(task=None, error=None)
    job.spawn(int)
    task, error = ended(job).interrupted_by
    assert (task, error) == (None, None)


# A task's own


def test_a_task_is_joined_when_it_has_ended_while_the_job_goes_on():
    job, task = parked()
    other = job.spawn(passes)
    assert task.join(0) is False
    assert other.join() is True
    assert other.join() is True
    assert job.state is JobState.RECURRENT_RUNNING
    task.done()
    assert task.join() is True
    assert job.join()


def test_a_skipped_task_can_be_joined():
    job = Job()
    task = job.spawn(int)
    job.cancel()
    assert task.join() is True


def test_a_task_may_join_another_but_not_itself():
    job = Job()
    first = job.spawn(lambda: passes() or 4)
    second = job.spawn(lambda: first.join() and first.result**2)
    third = job.add_task(routines(run=lambda task: task.join()))
    assert isinstance(ended(job).interrupted_by.error, StateError)
    assert job.interrupted_by.task is third
    assert second.state is TaskState.CANCELLED


def test_a_task_waits_for_three_others_that_finish_at_different_times():
    job = Job()
    squares = [job.spawn(lambda n=n: passes(10 - n) or n * n) for n in (2, 3, 4)]
    total = job.spawn(lambda: sum(one.result for one in squares if one.join()))
    assert ended(job).state is JobState.DONE
    assert total.result == 29


def test_the_result_of_a_finished_task_outlives_a_timeout_of_the_job():
    job = Job().with_timeout(0.05)
    quick = job.spawn(lambda: 42)
    slow = job.spawn(gevent.sleep, 60)
    assert ended(job).was_timed_out()
    assert (quick.state, quick.result) == (TaskState.FINISHED, 42)
    assert (slow.state, slow.result) == (TaskState.CANCELLED, None)


def test_a_result_may_be_read_and_assigned():
    job = Job()
    task = job.add_task(routines(run=lambda task: setattr(task, "result", 1) or task.done()))
    ended(job)
    assert task.result == 1
    task.result = 2
    assert task.result == 2


# Notices


def test_tasks_are_told_of_as_they_end_each_once_skipped_ones_too():
    job = Job()
    notices = job.task_done_notify()
    oneshot = job.add_oneshot_task(routines(run=done))
    second = job.spawn(lambda: first.join())
    first = job.spawn(passes)
    assert job.task_done_notify() is notices
    job.run()
    assert list(notices) == [oneshot, first, second]


def test_notices_that_nobody_has_read_are_kept():
    job = Job()
    tasks = [job.spawn(int) for _ in range(3)]
    ended(job)
    assert list(job.task_done_notify()) == tasks
    assert list(job.task_done_notify()) == []
    with pytest.raises(ChannelClosed):
        job.task_done_notify().recv()


def test_a_task_that_never_began_is_told_of_and_one_that_failed():
    job = Job()
    failing = job.add_oneshot_task(routines(run=raising(ValueError())))
    skipped = job.add_task(routines(run=done))
    told = {task: task.state for task in ended(job).task_done_notify()}
    assert told == {failing: TaskState.FAILED, skipped: TaskState.SKIPPED}


def test_notices_may_be_asked_for_in_the_middle():
    job, task = parked()
    early = job.spawn(int)
    early.join()
    notices = job.task_done_notify()
    task.done()
    assert list(notices) == [early, task]
    assert job.join()


def test_a_job_ends_although_the_channel_of_its_notices_was_closed():
    job = Job()
    job.task_done_notify().close()
    job.spawn(int)
    assert ended(job).state is JobState.DONE
    assert list(job.task_done_notify()) == []


def test_the_job_is_told_of_to_all_who_ask():
    job, task = parked()
    assert job.job_done_notify() is job.run()
    task.done()
    assert job.job_done_notify().wait()


# forget


def test_a_job_that_forgets_drops_each_task_at_its_end_and_finalizes_it_there():
    notes = []
    job = Job(forget=True)
    keeper = job.add_task(routines(run=park))
    job.run()
    for n in range(1000):
        task = job.add_task(routines(None, done, noting(notes, n)))
        passes(5)
        assert job.tasks == (keeper,)
    assert notes == list(range(1000))
    assert task.index == 1001
    keeper.done()
    assert job.join()
    assert job.state is JobState.DONE
    assert job.tasks == ()


def test_a_task_that_was_forgotten_is_not_held_on_to():
    job = Job(forget=True)
    keeper = job.add_task(routines(run=park))
    job.run()
    forgotten = weakref.ref(job.add_task(routines(None, done, done)))
    passes(5)
    gc.collect()
    assert forgotten() is None
    keeper.done()
    assert job.join()


def test_a_job_that_forgets_has_no_task_by_the_index_of_one_that_ended():
    job = Job(forget=True)
    task = job.add_task(routines(run=done))
    ended(job)
    with pytest.raises(IndexError):
        job.get_task_by_index(task.index)


def test_a_job_that_forgets_waits_for_clean_up_under_way():
    gate, notes = GeventEvent(), []
    job = Job(forget=True)
    job.add_task(routines(None, done, lambda task: gate.wait() and notes.append("finalized")))
    job.run()
    passes(5)
    assert job.state is JobState.RECURRENT_RUNNING
    gate.set()
    assert job.join()
    assert (job.state, notes) == (JobState.DONE, ["finalized"])


def test_a_failing_task_of_a_job_that_forgets_is_remembered_as_the_reason():
    error = ValueError()
    job = Job(forget=True)
    task = job.add_task(routines(run=raising(error)))
    assert ended(job).interrupted_by == (task, error)


def test_a_failing_finalizer_of_a_job_that_forgets_interrupts_it():
    error = ValueError()
    job = Job(forget=True)
    parked = job.add_task(routines(run=park))
    task = job.add_task(routines(None, done, raising(error)))
    assert ended(job).state is JobState.CANCELLED
    assert job.interrupted_by == (task, error)
    assert (task.state, parked.state) == (TaskState.FINISHED, TaskState.CANCELLED)
