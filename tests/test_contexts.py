"""Whose context, whose name, and which task is the current one."""

from __future__ import annotations

import contextvars
import decimal

import gevent
import pytest
from makers import done, ended, in_a_thread, nothing, park, passes, routines

from gowork import Job, current_task

var: contextvars.ContextVar[str] = contextvars.ContextVar("var", default="default")


def added_with(value, add):
    """What *add()* returns, called where *var* is *value*."""
    context = contextvars.copy_context()
    context.run(var.set, value)
    return context.run(add)


def noting_var(notes):
    return lambda task: notes.append(var.get())


def test_a_task_sees_the_context_of_whoever_added_it_in_every_routine():
    seen = []
    note = noting_var(seen)
    job = Job()
    added_with(
        "adder",
        lambda: job.add_task(routines(note, lambda task: (note(task), task.done()), note)),
    )
    ended(job)
    assert seen == ["adder"] * 3 and var.get() == "default"


def test_each_task_has_a_copy_of_its_own():
    seen = []

    def run(task):
        seen.append(var.get())
        var.set(f"changed by {task.index}")
        gevent.sleep(0)
        seen.append(var.get())
        task.done()

    job = Job()

    def add_two():
        job.add_task(routines(None, run))
        job.add_task(routines(None, run))
        var.set("later")

    added_with("both", add_two)
    ended(job)
    assert sorted(seen) == ["both", "both", "changed by 1", "changed by 2"]


def test_a_finalizer_sees_what_its_run_has_set():
    seen = []
    job = Job()
    job.add_task(routines(None, lambda task: (var.set("by run"), task.done()), noting_var(seen)))
    job.add_task(routines(None, done, noting_var(seen)))
    ended(job)
    assert seen == ["default", "by run"]


def test_the_finalizer_of_a_job_that_forgets_sees_it_too():
    seen = []
    job = Job(forget=True)
    job.add_task(routines(None, lambda task: (var.set("by run"), task.done()), noting_var(seen)))
    ended(job)
    assert seen == ["by run"]


def test_a_task_added_by_a_task_sees_that_tasks_context():
    seen = []

    def run(task):
        var.set("parent")
        task.job.spawn(lambda: seen.append(var.get()))
        task.done()

    job = Job()
    job.add_task(routines(None, run))
    ended(job)
    assert seen == ["parent"]


def test_a_oneshot_and_a_spawned_function_see_the_adders_context():
    seen = []
    job = Job()
    note = noting_var(seen)
    added_with("one", lambda: job.add_oneshot_task(routines(None, lambda t: (note(t), t.done()))))
    added_with("two", lambda: job.spawn(note, None))
    ended(job)
    assert seen == ["one", "two"]


def test_the_finalizer_of_a_task_given_up_runs_in_the_context_that_task_still_uses():
    seen, released = [], []

    def run(task):
        var.set("stubborn")
        while not released:
            try:
                gevent.sleep(0.005)
            except BaseException:
                pass

    job = Job(grace=0.02)
    job.add_task(routines(None, run, noting_var(seen)))
    job.run()
    passes()
    job.cancel()
    job.join()
    released.append(True)
    gevent.sleep(0.02)
    assert seen == ["stubborn"]


def test_the_decimal_context_goes_along():
    job = Job()
    with decimal.localcontext() as context:
        context.prec = 5
        task = job.spawn(lambda: decimal.getcontext().prec)
    ended(job)
    assert task.result == 5


# Names


def test_greenlets_are_called_by_job_and_task():
    names = []

    def note(task):
        names.append(gevent.getcurrent().name)
        task.done()

    job = Job(name="job")
    job.add_oneshot_task(routines(None, note), name="gate")
    job.add_task(routines(note, nothing), name="worker")
    ended(job)
    assert names == ["job/gate", "job/worker"]


def test_a_job_and_a_task_without_a_name_get_one():
    def worker(job):
        return None, done, None

    job = Job()
    assert job.name and job.name != Job().name
    assert job.add_task(worker).name == "worker"
    assert job.spawn(nothing).name == "nothing"
    job.cancel()


# The current task


def test_the_current_task_is_known_in_each_routine_and_nowhere_else():
    seen = []

    def note(task):
        seen.append(current_task() is task)
        task.done()

    job = Job()
    job.add_task(routines(note, note, note))
    job.add_task(routines(None, None, note))
    assert current_task() is None
    ended(job)
    assert seen == [True] * 3 and current_task() is None


@pytest.mark.parametrize("copied", [False, True])
def test_a_helper_greenlet_is_not_the_task_even_in_its_context(copied):
    seen = []

    def run(task):
        helper = gevent.Greenlet(lambda: seen.append(current_task()))
        if copied:
            helper.gr_context = contextvars.copy_context()
        helper.start()
        helper.join()
        task.done()

    job = Job()
    job.add_task(routines(None, run))
    ended(job)
    assert seen == [None]


def test_in_a_nested_job_the_current_task_is_the_inner_one_and_then_the_outer_again():
    seen = []

    def run(task):
        with Job() as inner:
            mine = inner.spawn(lambda: seen.append(current_task() is mine))
        seen.append(current_task() is task)
        task.done()

    job = Job()
    job.add_task(routines(None, run))
    ended(job)
    assert seen == [True, True]


def test_a_function_of_the_threadpool_is_not_the_task():
    seen = []

    def run(task):
        seen.append(in_a_thread(current_task))
        task.done()

    job = Job()
    job.add_task(routines(None, run))
    ended(job)
    assert seen == [None]


def test_the_shutdown_handler_and_callbacks_of_the_end_are_no_task():
    seen = []
    job = Job().with_shutdown(lambda error: seen.append(current_task()))
    job.add_task(routines(None, park))
    job.job_done_notify().rawlink(lambda _: seen.append(current_task()))
    job.run()
    passes()
    job.cancel()
    job.join()
    passes()
    assert seen == [None, None]
