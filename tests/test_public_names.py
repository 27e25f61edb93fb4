"""Each public name of a job and of a task does what it says."""

from __future__ import annotations

import contextvars

import gevent
import pytest
from gevent.event import Event as GeventEvent
from makers import done, ended, in_a_thread, noting, park, passes, raising, routines

import gowork
from gowork import Event, Job, JobState, StateError, Task, TaskState

# Job(...)


def test_a_job_carries_a_value_that_anybody_may_replace():
    assert Job().value is None
    job = Job({"a": 1})
    job.add_oneshot_task(routines(run=lambda task: setattr(job, "value", 2) or task.done()))
    assert ended(job).value == 2
    job.value = 3
    assert job.value == 3


def test_a_job_has_a_name_of_its_own_unless_it_is_given_one():
    assert Job(name="mine").name == "mine"
    assert Job().name != Job().name
    assert "mine" in repr(Job(name="mine"))
    assert "NEW" in repr(Job())


@pytest.mark.parametrize("option", ["grace", "finalize_timeout"])
def test_seconds_that_are_none_are_refused(option):
    for wrong, error in (("5", TypeError), (True, TypeError), (None, TypeError), (-1, ValueError)):
        with pytest.raises(error, match=option):
            Job(**{option: wrong})
    for right in (0, 1.5, float("inf")):
        Job(**{option: right})


def test_all_but_the_value_is_given_by_name():
    with pytest.raises(TypeError):
        Job(None, "name")


# Adding


def test_add_task_returns_the_task():
    job = Job()
    task = job.add_task(routines(run=done), name="worker", idle_timeout=60)
    assert type(task) is Task
    assert (task.job, task.index, task.name) == (job, 1, "worker")
    assert (task.state, task.error, task.result) == (TaskState.PENDING, None, None)
    assert "worker" in repr(task)
    job.cancel()


def test_add_task_with_idle_timeout_takes_the_seconds():
    job = Job()
    task = job.add_task_with_idle_timeout(routines(run=park), 0.01)
    assert isinstance(ended(job).interrupted_by.error, gowork.IdleTimeout)
    assert task.state is TaskState.FAILED


@pytest.mark.parametrize(("wrong", "error"), [("1", TypeError), (-1, ValueError)])
def test_an_idle_timeout_is_a_number_of_seconds(wrong, error):
    job = Job()
    with pytest.raises(error, match="idle_timeout"):
        job.add_task(routines(run=done), idle_timeout=wrong)
    assert job.tasks == ()


def test_the_oneshot_has_index_0_and_the_others_count_from_1():
    job = Job()
    first, second = job.add_task(routines(run=done)), job.spawn(int)
    oneshot = job.add_oneshot_task(routines(run=done), name="first of all")
    assert (oneshot.index, oneshot.name) == (0, "first of all")
    assert job.tasks == (oneshot, first, second)
    assert [job.get_task_by_index(n) for n in range(3)] == list(job.tasks)
    job.cancel()


@pytest.mark.parametrize("index", [0, -1, 2, 10**9])
def test_where_there_is_no_task_the_index_is_an_error(index):
    job = Job()
    job.add_task(routines(run=done))
    with pytest.raises(IndexError, match=job.name):
        job.get_task_by_index(index)


def test_a_second_oneshot_is_refused():
    job = Job()
    job.add_oneshot_task(routines(run=done))
    with pytest.raises(StateError) as refusal:
        job.add_oneshot_task(routines(run=done))
    assert refusal.value.state is JobState.NEW
    assert refusal.value.given == "add_oneshot_task"
    assert len(job.tasks) == 1


def test_a_oneshot_is_refused_when_the_others_have_begun():
    job = Job()
    task = job.add_task(routines(run=park))
    job.run()
    with pytest.raises(StateError):
        job.add_oneshot_task(routines(run=done))
    task.done()
    assert job.join()


def test_a_oneshot_squares_for_the_task_that_follows():
    job = Job(4)
    job.add_oneshot_task(routines(run=lambda task: setattr(job, "value", 16) or task.done()))
    task = job.spawn(lambda: job.value)
    assert ended(job).state is JobState.DONE
    assert task.result == 16


def test_spawn_calls_a_plain_function_once_and_keeps_what_it_returns():
    calls = []

    def function(*args, **kwargs):
        calls.append(gowork.current_task())
        return args, kwargs

    job = Job()
    task = job.spawn(function, 1, 2, name="not the task's", key="word")
    assert task.name == "function"
    assert ended(job).state is JobState.DONE
    assert task.result == ((1, 2), {"name": "not the task's", "key": "word"})
    assert calls == [task]


def test_a_spawned_function_is_not_called_if_somebody_says_done_before_its_turn():
    called = []
    job = Job()
    task = job.spawn(called.append, 1)
    task.done()
    ended(job)
    assert called == [] and task.state is TaskState.FINISHED and task.result is None


@pytest.mark.parametrize("rest", [Task.park, lambda task: task.idle(60)], ids=["park", "idle"])
def test_a_spawned_function_waits_where_a_verdict_before_its_turn_says_so(rest):
    called = []
    job = Job()
    task = job.spawn(called.append, 1)
    rest(task)
    job.run()
    passes(8)
    assert called == []
    task.tick()
    job.join()
    assert called == [1]


def test_a_spawned_function_that_is_to_wait_is_not_called_when_the_job_stops():
    called = []
    job = Job()
    task = job.spawn(called.append, 1)
    task.park()
    job.run()
    passes()
    job.finish()
    job.join()
    assert called == [] and task.state is TaskState.CANCELLED


def test_spawn_refuses_what_cannot_be_called():
    job = Job()
    with pytest.raises(TypeError):
        job.spawn(42)
    assert job.tasks == ()


def test_a_spawned_function_that_raises_fails_its_task():
    job = Job()
    task = job.spawn(int, "x")
    assert isinstance(ended(job).interrupted_by.error, ValueError)
    assert job.interrupted_by.task is task


def test_the_current_task_is_known_in_its_routines_and_nowhere_else():
    seen = []

    def look(task):
        seen.append(gowork.current_task() is task)
        gevent.spawn(lambda: seen.append(gowork.current_task())).join()
        task.done()

    job = Job()
    job.add_task(routines(look, None, look))
    ended(job)
    assert seen == [True, None, True, None]
    assert gowork.current_task() is None


def test_a_task_runs_in_a_copy_of_the_context_of_who_added_it():
    variable = contextvars.ContextVar("variable")
    variable.set("added")
    job = Job()
    task = job.spawn(lambda: (variable.get(), variable.set("inside")))
    variable.set("run")
    ended(job)
    assert task.result[0] == "added"
    assert variable.get() == "run"


def test_greenlets_are_named_after_job_and_task():
    job = Job(name="job")
    task = job.spawn(lambda: gevent.getcurrent().name)
    ended(job)
    assert task.result == "job/<lambda>"


# Before it runs


def test_prerequisites_come_first_and_all_of_them():
    first, second, notes = GeventEvent(), GeventEvent(), []
    job = Job().with_prerequisites(first, second)
    job.add_oneshot_task(routines(run=noting(notes, "begun", done)))
    over = job.run()
    for signal in (second, first):
        passes()
        assert (job.state, notes) == (JobState.WAITING, [])
        signal.set()
    over.wait()
    assert notes == ["begun"]


def test_another_jobs_end_may_be_a_prerequisite():
    first = Job()
    first.add_task(routines(run=park))
    second = Job().with_prerequisites(first.job_done_notify()).with_prerequisites(MetAlready())
    second.spawn(int)
    second.run()
    first.run()
    passes()
    assert second.state is JobState.WAITING
    first.finish()
    assert second.join()
    assert second.state is JobState.DONE


class MetAlready:
    def wait(self):
        return True


def test_a_prerequisite_that_fails_interrupts_the_job():
    class Broken:
        def wait(self):
            raise error

    error = ValueError()
    job = Job().with_prerequisites(Broken())
    task = job.spawn(int)
    assert ended(job).interrupted_by == (None, error)
    assert task.state is TaskState.SKIPPED


def test_what_cannot_be_waited_for_is_no_prerequisite():
    with pytest.raises(TypeError, match="wait"):
        Job().with_prerequisites(42)


def test_a_job_that_is_over_in_time_was_not_timed_out():
    job = Job().with_timeout(60)
    job.spawn(int)
    assert ended(job).state is JobState.DONE
    assert job.was_timed_out() is False


def test_the_timeout_covers_the_wait_for_prerequisites():
    job = Job().with_prerequisites(GeventEvent()).with_timeout(0.01)
    job.spawn(int)
    assert ended(job).was_timed_out() is True
    assert isinstance(job.interrupted_by.error, TimeoutError)


@pytest.mark.parametrize(("wrong", "error"), [("1", TypeError), (-1, ValueError)])
def test_a_timeout_is_a_number_of_seconds(wrong, error):
    with pytest.raises(error):
        Job().with_timeout(wrong)


@pytest.mark.parametrize("settle", [Job.cancel, lambda job: job.add_task(routines(run=done))])
def test_the_shutdown_handler_is_called_once_with_the_error_if_the_job_is_cancelled(settle):
    calls = []
    job = Job().with_shutdown(calls.append)
    settle(job)
    ended(job)
    assert calls == list(job.errors)


@pytest.mark.parametrize("what", ["with_shutdown", "with_error_wrapper"])
def test_a_handler_must_be_callable(what):
    with pytest.raises(TypeError, match="callable"):
        getattr(Job(), what)(42)


SETTINGS = {
    "with_prerequisites": MetAlready(),
    "with_timeout": 1,
    "with_shutdown": print,
    "with_error_wrapper": print,
}


@pytest.mark.parametrize("what", SETTINGS)
def test_a_setting_returns_the_job_and_is_refused_once_it_has_been_run(what):
    job = Job()
    assert getattr(job, what)(SETTINGS[what]) is job
    task = job.add_task(routines(run=park))
    job.run()
    with pytest.raises(StateError):
        getattr(job, what)(SETTINGS[what])
    task.done()
    assert job.join()


# Running


def test_run_starts_the_job_once_and_returns_the_same_event_each_time():
    job = Job()
    task = job.spawn(passes)
    event = job.run()
    assert isinstance(event, Event)
    assert job.run() is job.job_done_notify() is event
    assert event.wait() is True
    assert job.run() is event
    assert task.state is TaskState.FINISHED


def test_run_in_background_is_set_when_the_oneshot_has_finished():
    job = Job(0)
    job.add_oneshot_task(
        routines(lambda task: passes(), lambda t: setattr(job, "value", 1) or done(t))
    )
    task = job.add_task(routines(run=lambda task: setattr(job, "value", 2) or task.park()))
    event = job.run_in_background()
    assert not event.is_set()
    assert event.wait() is True
    assert (job.state, job.value) == (JobState.RECURRENT_RUNNING, 1)
    passes()
    task.done()
    assert job.join()
    assert (job.state, job.value) == (JobState.DONE, 2)
    assert job.run_in_background() is event


@pytest.mark.parametrize("end", [raising(ValueError()), lambda task: task.finish_job()])
def test_run_in_background_is_set_when_the_job_has_ended_without(end):
    job = Job()
    job.add_oneshot_task(routines(run=end))
    job.add_task(routines(run=done))
    assert job.run_in_background().wait()
    assert job.run().is_set()


def test_run_in_background_without_a_oneshot_is_refused_and_starts_nothing():
    job = Job()
    with pytest.raises(StateError):
        job.run_in_background()
    assert job.state is JobState.NEW


def test_finish_stops_the_tasks_and_the_job_is_done():
    job = Job()
    task = job.add_task(routines(run=park))
    job.run()
    passes()
    assert job.finish() is True
    assert job.join()
    assert (job.state, task.state) == (JobState.DONE, TaskState.CANCELLED)
    assert job.interrupted_by == (None, None)
    assert job.errors == ()


def test_cancel_by_a_task_returns_and_the_task_ends_cancelled():
    notes, error = [], ValueError()

    def run(task):
        task.job.cancel(error)
        notes.append("went on")
        task.done()

    job = Job()
    task = job.add_task(routines(run=run))
    assert ended(job).interrupted_by == (None, error)
    assert notes == ["went on"]
    assert task.state is TaskState.CANCELLED


@pytest.mark.parametrize("call", ["cancel", "finish"])
def test_cancel_and_finish_may_be_called_from_another_thread(call):
    job = Job()
    job.add_task(routines(run=park))
    job.run()
    passes()
    in_a_thread(getattr(job, call))
    assert job.join()
    assert job.state is (JobState.DONE if call == "finish" else JobState.CANCELLED)


def test_a_job_cancelled_in_another_thread_before_it_was_run_ends_as_well():
    calls, error = [], ValueError()
    job = Job().with_shutdown(calls.append)
    job.spawn(int)
    in_a_thread(lambda: job.cancel(error))
    assert job.run().wait(5)
    assert (job.state, calls) == (JobState.CANCELLED, [error])
