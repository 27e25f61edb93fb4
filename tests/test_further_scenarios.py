"""Idling, inits, stopping and logging that failed in the Go original when they were tried."""

from __future__ import annotations

import gevent
import pytest
from gevent.event import Event
from greenlet import GreenletExit
from makers import done, ended, nothing, noting, park, raising, routines
from small_tasks import Broken, blocks, calling, states, ticks

import gowork
from gowork import (
    Cancelled,
    IdleTimeout,
    Job,
    JobCancelled,
    JobState,
    JobTimeout,
    Task,
    TaskState,
    VerdictMissing,
)
from gowork.testing.leaks import Census

ADD = [Job.add_task, Job.add_oneshot_task]


# 40: idling


def test_a_parked_task_is_not_called_at_all():
    calls = []
    job = Job().with_timeout(0.05)
    job.add_task(routines(None, noting(calls, "run", park)))

    ended(job)

    assert calls == ["run"]


def test_the_idle_timeout_is_counted_from_the_last_tick():
    times = []
    loop = gevent.get_hub().loop

    def run(task):
        if len(times) == 3:
            gevent.sleep(3600)
        gevent.sleep(0.03)
        task.tick()
        times.append(loop.now())

    job = Job()
    job.add_task(routines(None, run), idle_timeout=0.1)
    began = loop.now()

    ended(job)

    assert len(times) == 3
    assert loop.now() - began > 0.18


def test_a_tick_from_outside_is_progress():
    job = Job()
    parked = job.add_task(routines(None, park), idle_timeout=0.2)

    def wake(task):
        for _ in range(10):
            gevent.sleep(0.03)
            parked.tick()
        task.finish_job()

    job.add_task(routines(None, wake))

    assert ended(job).state is JobState.DONE


# 41: inits


CUTS = {
    "timeout": lambda job: job.with_timeout(0.01),
    "cancel": lambda job: gevent.spawn_later(0.001, job.cancel),
    "finish": lambda job: gevent.spawn_later(0.001, job.finish),
}


@pytest.mark.parametrize("cut", CUTS.values(), ids=list(CUTS))
def test_a_blocking_init_is_cut_and_later_ones_never_begin(cut):
    order = []

    def init(task):
        try:
            gevent.sleep(3600)
        finally:
            order.append("over")

    job = Job()
    job.add_task(routines(init, ticks, noting(order, "finalized")))
    job.add_task(routines(noting(order, "second"), ticks, noting(order, "second finalized")))
    cut(job)

    ended(job)

    assert order == ["over", "finalized"]
    assert states(job) == [TaskState.CANCELLED, TaskState.SKIPPED]


def test_the_init_of_another_task_is_no_idleness():
    job = Job()
    job.add_task(routines(nothing, done), idle_timeout=0.02)
    job.add_task(routines(lambda task: gevent.sleep(0.1), done))

    assert ended(job).state is JobState.DONE


# 42: adding to a running job


@pytest.mark.parametrize("routine", ["init", "run"])
def test_what_a_task_adds_is_run_to_its_end(routine):
    results = []

    def add(task):
        for number in range(3):
            task.job.spawn(results.append, number)
        if routine == "run":
            task.done()

    job = Job()
    job.add_task(routines(add, done) if routine == "init" else routines(None, add))

    assert ended(job).state is JobState.DONE
    assert results == [0, 1, 2]
    assert states(job) == [TaskState.FINISHED] * 4


def test_what_is_added_from_outside_keeps_the_job_alive():
    job = Job()
    first = job.add_task(routines(None, park))
    job.run()
    gevent.sleep(0)

    second = job.add_task(routines(None, park))
    first.done()
    first.join()

    assert job.state is JobState.RECURRENT_RUNNING
    second.done()
    assert ended(job).state is JobState.DONE


def test_a_failure_of_what_was_added_cancels_the_job():
    error = Broken()
    job = Job()
    job.add_task(routines(None, park))
    job.run()
    gevent.sleep(0)

    late = job.add_task(routines(None, raising(error)))

    assert ended(job).state is JobState.CANCELLED
    assert job.interrupted_by == (late, error)


# 43: nothing is left


def in_a_block(job):
    with pytest.raises(JobCancelled), job:
        job.add_task(routines(None, raising(Broken())))


LIVES = {
    "done": lambda job: job.add_task(routines(None, calling(job.get_task_by_index(1).done))),
    "finished": lambda job: job.spawn(job.finish),
    "failed": lambda job: job.add_task(routines(None, raising(Broken()))),
    "cancelled": lambda job: job.spawn(job.cancel),
    "cancelled at once": lambda job: job.cancel(),
    "timed out": lambda job: job.with_timeout(0.001),
    "idled out": lambda job: job.add_task(routines(None, blocks), idle_timeout=0.001),
    "never met": lambda job: [job.with_prerequisites(Event()), job.with_timeout(0.001)],
    "joined in vain": lambda job: [job.run(), job.join(0), job.cancel()],
    "bad oneshot": lambda job: job.add_oneshot_task(routines(None, raising(Broken()))),
    "bad finalizer": lambda job: [
        job.add_task(routines(None, done, raising(Broken()))),
        job.spawn(job.finish),
    ],
    "slow finalizer": lambda job: [
        job.add_task(routines(None, done, blocks)),
        job.spawn(job.finish),
    ],
    "in a block": in_a_block,
}


@pytest.mark.parametrize("life", LIVES.values(), ids=list(LIVES))
def test_nothing_is_left_at_the_moment_of_the_end(life):
    job = Job(finalize_timeout=0.01)
    job.add_task(routines(None, park, nothing))
    before = Census()

    life(job)
    ended(job)

    assert Census().since(before) == []
    assert job.unstopped == ()


# 44: what will not stop


def test_a_task_that_swallows_its_stop_meets_it_again_in_the_next_call_of_gowork():
    swallowed = []

    def run(task):
        try:
            gevent.sleep(3600)
        except GreenletExit:
            swallowed.append(True)
        job.run().wait(0)
        swallowed.append("not here")

    job = Job(grace=3600)
    task = job.add_task(routines(None, run))
    job.spawn(job.cancel)

    assert ended(job).state is JobState.CANCELLED
    assert swallowed == [True]
    assert task.state is TaskState.CANCELLED


def test_a_task_that_swallows_its_stop_and_ticks_on_is_not_called_again():
    calls = []

    def run(task):
        calls.append(1)
        try:
            gevent.sleep(3600)
        except GreenletExit:
            task.tick()

    job = Job(grace=3600)
    job.add_task(routines(None, run))
    job.spawn(job.cancel)

    assert ended(job).state is JobState.CANCELLED
    assert len(calls) == 1


def test_a_task_that_computes_is_stopped_when_it_gives_way():
    rounds = []

    def compute(task):
        rounds.append(sum(range(20000)))
        task.tick()

    job = Job().with_timeout(0.01)
    task = job.add_task(routines(None, compute))

    assert ended(job).state is JobState.CANCELLED
    assert task.state is TaskState.CANCELLED
    assert rounds


@pytest.mark.hub_prints
def test_a_failing_helper_greenlet_that_nobody_asks_fails_nothing():
    def run(task):
        gevent.spawn(raising(Broken()), task).join()
        task.done()

    job = Job()
    job.add_task(routines(None, run))

    assert ended(job).state is JobState.DONE


# 45: assertions


@pytest.mark.parametrize("add", ADD)
@pytest.mark.parametrize("where", ["init", "run"])
@pytest.mark.parametrize("error", ["a text", 7, Broken()], ids=["text", "number", "exception"])
def test_whatever_was_asserted_is_the_reason(add, where, error):
    failing = getattr(Task, "assert_")  # noqa: B009
    job = Job()
    task = add(
        job,
        routines(
            (lambda task: failing(task, error)) if where == "init" else None,
            (lambda task: failing(task, error)) if where == "run" else done,
        ),
    )

    assert ended(job).state is JobState.CANCELLED
    assert job.interrupted_by == (task, error)
    assert task.error is job.errors[0] is error


# 49: logging


@pytest.fixture
def quiet_again():
    yield
    gowork.register_default_logger(None)
    gowork.set_default_log_level(0)


class Notes:
    """A logger that remembers."""

    def __init__(self):
        self.messages = []

    def log(self, level, message, *args):
        self.messages.append(message % args)


@pytest.mark.parametrize("level", [-1, 0, 3, 1000])
def test_logging_returns_at_once_before_while_and_after_a_job_lives(level, quiet_again):
    notes = Notes()
    gowork.register_default_logger(notes)
    gowork.set_default_log_level(3)
    job = Job()
    job.log(level, "before")
    job.add_task(
        routines(None, calling(job.log, level, "while"), lambda task: job.log(level, "late"))
    )

    ended(job).log(level, "after")

    written = [message for message in notes.messages if not message.startswith("job ")]
    assert written == (["before", "while", "late", "after"] if level <= 3 else [])


def test_a_record_says_of_which_job_and_task_it_is(caplog):
    caplog.set_level("INFO")
    job = Job(name="proxy")
    job.add_task(routines(None, calling(job.log, 0, "read %d bytes", 5)), name="reader")

    ended(job)

    record = caplog.records[0]
    assert (record.getMessage(), record.job, record.task) == ("read 5 bytes", "proxy", "reader")


@pytest.mark.parametrize("bad", [("%d", "text"), ("%s",), ("plain", 1)])
def test_a_message_that_cannot_be_written_fails_nothing(bad):
    job = Job()
    job.register_logger(Notes())
    job.add_task(routines(None, calling(job.log, 0, *bad)))

    assert ended(job).state is JobState.DONE


def test_a_kind_that_is_registered_later_is_heard_by_those_who_hold_it():
    heard = []
    log = gowork.logger("a kind of later")

    log("too early")
    gowork.register_logger("a kind of later", heard.append, False)
    log("switched off")
    gowork.toggle_logger("a kind of later", True)
    log("heard")

    assert heard == ["heard"]


# 50: the error wrapper


class Wrapped(Exception):
    """What the wrapper makes of an error."""


CAUSES = {
    "assertion": (
        lambda job: job.add_task(routines(None, lambda task: task.assert_true(False, Broken()))),
        Broken,
    ),
    "exception": (lambda job: job.add_task(routines(None, raising(Broken()))), Broken),
    "no verdict": (lambda job: job.add_task(routines(None, nothing)), VerdictMissing),
    "timeout": (lambda job: job.with_timeout(0.001), JobTimeout),
    "idle": (lambda job: job.add_task(routines(None, blocks), idle_timeout=0.001), IdleTimeout),
    "cancel": (lambda job: job.spawn(job.cancel, Broken()), Broken),
    "plain cancel": (lambda job: job.spawn(job.cancel), Cancelled),
    "finalizer": (
        lambda job: [job.add_task(routines(None, done, raising(Broken()))), job.spawn(job.finish)],
        Broken,
    ),
}


@pytest.mark.parametrize(("cause", "kind"), CAUSES.values(), ids=list(CAUSES))
def test_what_the_wrapper_made_of_the_error_is_what_everybody_sees(cause, kind):
    wrapped, seen = [], []

    def wrap(error):
        wrapped.append(error)
        return Wrapped(error)

    job = Job().with_error_wrapper(wrap).with_shutdown(seen.append)
    job.add_task(routines(None, park, lambda task: seen.append(job.interrupted_by.error)))
    cause(job)
    ended(job)

    error = job.interrupted_by.error
    assert isinstance(error, Wrapped)
    assert [type(each) for each in wrapped] == [kind]
    assert seen == [error, error]
    assert job.errors == (error,)
    assert job.interrupted_by.task is None or job.interrupted_by.task.error in (error, None)
    with pytest.raises(JobCancelled) as raised:
        job.check()
    assert raised.value.error is error


@pytest.mark.parametrize("kind", list(CAUSES))
def test_a_wrapper_that_makes_nothing_leaves_the_error_as_it_was(kind):
    job = Job().with_error_wrapper(lambda error: None)
    job.add_task(routines(None, park))
    cause, expected = CAUSES[kind]
    cause(job)

    assert isinstance(ended(job).interrupted_by.error, expected)


@pytest.mark.parametrize("kind", list(CAUSES))
def test_a_wrapper_that_fails_leaves_the_error_as_it_was_and_its_own_beside_it(kind):
    failure = ValueError("the wrapper's")
    job = Job().with_error_wrapper(raising(failure))
    job.add_task(routines(None, park))
    cause, expected = CAUSES[kind]
    cause(job)

    assert ended(job).state is JobState.CANCELLED
    assert [type(error) for error in job.errors] == [expected, ValueError]
    assert isinstance(job.interrupted_by.error, expected)


def test_a_wrapper_is_not_called_for_a_job_that_does_well():
    called = []
    job = Job().with_error_wrapper(called.append)
    job.add_task(routines(None, done))

    assert ended(job).state is JobState.DONE
    assert called == []
