"""What jobs are made of, and tell others.

The labels are those of the catalogue of faults of the Go original.
"""

from __future__ import annotations

import logging

import gevent
import pytest
from gevent.event import Event
from makers import done, ended, noting, park, raising, routines
from small_tasks import Broken, blocks, calling, states

import gowork
from gowork import (
    ChannelClosed,
    IdleTimeout,
    Job,
    JobState,
    StateError,
    Task,
    TaskState,
)


class Never:
    """A prerequisite that is never met."""

    def wait(self):
        gevent.sleep(3600)


def counting(calls, limit, verdict):
    """A ``run`` that leaves *verdict* and, at its call number *limit*, is done."""

    def run(task):
        calls.append(len(calls) + 1)
        verdict(task)
        if len(calls) == limit:
            task.done()

    return run


# P9: adding to a running job


def test_a_task_added_by_a_running_task_is_run_too():
    called = []
    job = Job()
    late = routines(noting(called, "init"), noting(called, "run", done), noting(called, "finalize"))
    job.add_task(routines(None, calling(job.add_task, late), noting(called, "adder's")))

    assert ended(job).state is JobState.DONE
    assert called == ["init", "run", "finalize", "adder's"]
    assert [task.index for task in job.tasks] == [1, 2]


def test_a_task_added_by_the_oneshot_begins_with_the_others():
    called = []
    job = Job()
    late = routines(noting(called, "late init"), noting(called, "late run", done))
    job.add_oneshot_task(routines(None, calling(job.add_task, late)))
    job.add_task(routines(noting(called, "init"), noting(called, "run", done)))

    assert ended(job).state is JobState.DONE
    assert called == ["init", "late init", "run", "late run"]


def test_a_task_added_too_late_is_refused():
    refused = []

    def add(task):
        with pytest.raises(StateError) as raised:
            job.add_task(routines(None, done))
        refused.append(raised.value)

    job = Job()
    job.add_task(routines(None, done, add))
    ended(job)
    add(job.tasks[0])

    assert [error.state for error in refused] == [JobState.FINALIZING, JobState.DONE]
    assert len(job.tasks) == 1


# P10: odd sets of tasks


def test_a_second_oneshot_is_refused_and_the_first_stays():
    job = Job()
    first = job.add_oneshot_task(routines(None, done))

    with pytest.raises(StateError):
        job.add_oneshot_task(routines(None, raising(Broken())))

    assert job.get_task_by_index(0) is first
    assert ended(job).state is JobState.DONE


def test_an_empty_job_and_one_of_a_oneshot_alone_are_done():
    alone = Job()
    alone.add_oneshot_task(routines(None, done))

    assert ended(Job()).state is JobState.DONE
    assert ended(alone).state is JobState.DONE


def test_a_background_start_without_a_oneshot_is_refused():
    job = Job()
    job.add_task(routines(None, done))

    with pytest.raises(StateError):
        job.run_in_background()

    assert job.state is JobState.NEW


def test_indices_are_dense_and_the_oneshots_is_zero():
    job = Job()
    first = job.add_task(routines(None, done))
    oneshot = job.add_oneshot_task(routines(None, done))
    second = job.add_task(routines(None, done))

    assert job.tasks == (oneshot, first, second)
    assert [task.index for task in job.tasks] == [0, 1, 2]
    for index in (3, -1):
        with pytest.raises(IndexError):
            job.get_task_by_index(index)


# P11, P12: notices


def test_every_end_of_a_task_is_told_with_its_outcome_and_then_the_channel_is_closed():
    job = Job()
    notices = job.task_done_notify()
    job.add_task(routines(None, done))
    job.add_task(routines(None, blocks))
    job.add_task(routines(None, raising(Broken())))
    job.add_task(routines(None, done))
    ended(job)

    told = {task.index: task.state for task in notices}

    assert told == dict(enumerate(states(job), start=1))
    assert set(told.values()) == {
        TaskState.FINISHED,
        TaskState.CANCELLED,
        TaskState.FAILED,
        TaskState.SKIPPED,
    }
    with pytest.raises(ChannelClosed):
        notices.recv()


def test_any_number_of_waiters_may_wait_for_the_end_any_number_of_times():
    job = Job()
    job.add_task(routines(None, park))
    waiters = [gevent.spawn(job.job_done_notify().wait) for _ in range(20)]
    event = job.run()

    assert event.wait(0.001) is False
    job.finish()
    gevent.joinall(waiters)

    assert [waiter.value for waiter in waiters] == [True] * 20
    assert [event.wait(), event.wait(), job.run().wait(0)] == [True] * 3


def test_the_end_of_a_cancelled_job_needs_no_reader_of_its_background_event():
    job = Job()
    job.add_oneshot_task(routines(None, done))
    job.add_task(routines(None, raising(Broken())))

    background = job.run_in_background()

    assert job.job_done_notify().wait()
    assert background.wait()
    assert background.wait(0)


def test_a_failing_oneshot_sets_both_events():
    job = Job()
    job.add_oneshot_task(routines(None, raising(Broken())))
    job.add_task(routines(None, done))

    assert job.run_in_background().wait()
    assert job.run().wait()
    assert job.state is JobState.CANCELLED


# P13: values


def test_a_oneshot_leaves_its_value_to_the_others():
    seen = []

    def connect(task):
        task.result = task.job.value = "a stream"
        task.done()

    job = Job("nothing yet")
    job.add_oneshot_task(routines(None, connect))
    job.add_task(routines(None, calling(lambda: seen.append(job.value))))

    ended(job)

    assert seen == ["a stream"]
    assert job.get_task_by_index(0).result == "a stream"


def test_a_finalizer_finds_none_where_nothing_was_published():
    seen = []
    job = Job()
    job.add_oneshot_task(
        routines(None, raising(Broken()), lambda task: seen.extend([task.result, task.job.value]))
    )

    ended(job)

    assert seen == [None, None]
    assert len(job.errors) == 1


# P14: logging


@pytest.fixture
def unregistered():
    yield
    gowork.register_default_logger(None)
    gowork.set_default_log_level(0)


def test_a_logger_of_an_unknown_kind_does_nothing():
    gowork.logger("a kind that nobody registered")("message")


def test_a_handler_that_is_held_hears_of_being_switched_off_and_on():
    heard = []
    gowork.register_logger("switched", heard.append)
    log = gowork.logger("switched")

    log("on")
    gowork.toggle_logger("switched", False)
    log("off")
    gowork.toggle_logger("switched", True)
    log("on again")

    assert heard == ["on", "on again"]


def test_a_message_keeps_its_level_and_only_talkative_ones_are_dropped(unregistered):
    heard = []

    class Logger:
        def log(self, level, message, *args):
            heard.append((level, message % args))

    job = Job()
    job.register_logger(Logger())
    gowork.set_default_log_level(1)
    for level in range(3):
        job.log(level, "level %d", level)

    assert heard == [(0, "level 0"), (1, "level 1")]


@pytest.mark.parametrize("level", [-5, 0, 2, 99])
def test_logging_works_at_any_level_in_any_state(level, unregistered, caplog):
    caplog.set_level(logging.DEBUG)
    gowork.set_default_log_level(99)

    def log(task):
        task.job.log(level, "in %s", task.job.state.name)
        task.done()

    job = Job()
    job.log(level, "in %s", job.state.name)
    job.add_task(routines(None, log, log))
    ended(job).log(level, "in %s", job.state.name)

    messages = [record.getMessage() for record in caplog.records]
    for state in ("NEW", "RECURRENT_RUNNING", "FINALIZING", "DONE"):
        assert f"in {state}" in messages


def test_a_logger_that_raises_does_not_hurt_the_job(unregistered):

    class Logger:
        def log(self, level, message, *args):
            raise Broken

    gowork.register_default_logger(Logger())
    job = Job()
    job.add_task(routines(None, calling(job.log, 0, "message")))

    assert ended(job).state is JobState.DONE


# P15: prerequisites


def test_prerequisites_do_not_block_the_caller_and_nothing_begins_before_they_are_met():
    met = Event()
    called = []
    job = Job().with_prerequisites(met)
    job.add_task(routines(noting(called, "init"), done))

    job.run()
    gevent.sleep(0.001)

    assert (job.state, called) == (JobState.WAITING, [])
    met.set()
    assert ended(job).state is JobState.DONE


def test_waiting_for_prerequisites_can_be_cancelled():
    reason = Broken()
    job = Job().with_prerequisites(Never())
    task = job.add_task(routines(None, done))
    job.run()

    job.cancel(reason)

    assert ended(job).state is JobState.CANCELLED
    assert job.interrupted_by == (None, reason)
    assert task.state is TaskState.SKIPPED


def test_a_prerequisite_that_fails_cancels_the_job():
    error = Broken()

    class Failing:
        def wait(self):
            raise error

    job = Job().with_prerequisites(Failing())
    task = job.add_task(routines(None, done))

    assert ended(job).state is JobState.CANCELLED
    assert job.interrupted_by == (None, error)
    assert task.state is TaskState.SKIPPED


def test_the_end_of_one_job_is_a_prerequisite_of_another():
    seen = []
    first = Job()
    first.spawn(gevent.sleep, 0.001)
    second = Job().with_prerequisites(first.job_done_notify())
    second.spawn(lambda: seen.append(first.state))
    second.run()
    first.run()

    assert ended(second).state is JobState.DONE
    assert seen == [JobState.DONE]


# P16: tasks that depend on others


def test_a_task_that_waits_for_one_that_fails_is_stopped_not_hung():
    job = Job()
    dependent = job.add_task(routines(None, calling(lambda: dependency.join())))
    dependency = job.add_task(routines(None, raising(Broken())))

    assert ended(job).state is JobState.CANCELLED
    assert job.interrupted_by.task is dependency
    assert dependent.state is TaskState.CANCELLED


def test_a_task_that_waits_for_itself_is_told():
    job = Job()
    task = job.add_task(routines(None, lambda task: task.join()))

    assert ended(job).state is JobState.CANCELLED
    assert isinstance(task.error, StateError)


def test_tasks_that_wait_for_each_other_are_ended_by_the_timeout():
    job = Job().with_timeout(0.01)
    for index in (2, 1):
        job.add_task(
            routines(None, calling(lambda index=index: job.get_task_by_index(index).join()))
        )

    assert ended(job).state is JobState.CANCELLED
    assert job.was_timed_out()
    assert states(job) == [TaskState.CANCELLED] * 2


# P17: what older versions got wrong


def test_a_tick_does_not_end_a_task():
    calls = []
    job = Job()
    job.add_task(routines(None, counting(calls, 5, Task.tick)))

    ended(job)

    assert calls == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    "refused",
    [
        lambda job: job.get_task_by_index(7),
        lambda job: job.add_oneshot_task(routines(None, done)),
        lambda job: job.add_task(None),
        lambda job: job.join(),
        lambda job: job.with_timeout(-1),
    ],
)
def test_a_call_that_is_refused_leaves_the_job_as_it_was(refused):
    job = Job()
    job.add_oneshot_task(routines(None, done))
    job.add_task(routines(None, done))

    for _ in range(2):
        with pytest.raises((StateError, IndexError, TypeError, ValueError)):
            refused(job)

    assert len(job.tasks) == 2
    assert ended(job).state is JobState.DONE


def test_an_idle_timeout_of_zero_is_no_missing_one():
    job = Job()
    task = job.add_task(routines(None, blocks), idle_timeout=0)

    ended(job)

    assert isinstance(task.error, IdleTimeout)
