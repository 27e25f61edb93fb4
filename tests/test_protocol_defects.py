"""What tasks say with their verdicts, and assert.

The labels are those of the catalogue of faults of the Go original.
"""

from __future__ import annotations

import time

import gevent
import pytest
from gevent import socket
from makers import done, ended, nothing, noting, park, raising, routines
from small_tasks import Broken, blocks, calling, states, ticks

from gowork import (
    AssertionFailed,
    IdleTimeout,
    Job,
    JobState,
    JobTimeout,
    Task,
    TaskState,
    VerdictMissing,
)

ADD = [Job.add_task, Job.add_oneshot_task]


def counting(calls, limit, verdict):
    """A ``run`` that leaves *verdict* and, at its call number *limit*, is done."""

    def run(task):
        calls.append(len(calls) + 1)
        verdict(task)
        if len(calls) == limit:
            task.done()

    return run


# P1: verdicts said twice, too early, too late


@pytest.mark.parametrize("add", ADD)
def test_ticks_and_dones_said_twice_count_once(add):
    calls = []

    def run(task):
        calls.append(1)
        for _ in range(2):
            task.tick()
        if len(calls) == 3:
            for _ in range(2):
                task.done()

    job = Job()
    add(job, routines(None, run))

    assert ended(job).state is JobState.DONE
    assert len(calls) == 3


@pytest.mark.parametrize("add", ADD)
def test_done_before_the_job_runs_means_that_run_is_never_called(add):
    called = []
    job = Job()
    task = add(job, routines(noting(called, "init"), noting(called, "run")))

    task.done()

    assert ended(job).state is JobState.DONE
    assert task.state is TaskState.FINISHED
    assert called == ["init"]


@pytest.mark.parametrize("early", [Task.tick, Task.idle, Task.park])
def test_another_verdict_before_the_job_runs_hangs_nothing(early):
    job = Job()
    task = job.add_task(routines(None, done))
    early(task)
    waker = job.add_task(routines(None, calling(lambda: task.tick())))

    assert ended(job).state is JobState.DONE
    assert states(job) == [TaskState.FINISHED] * 2
    assert waker.error is None


@pytest.mark.parametrize("late", [Task.tick, Task.done, Task.idle, Task.park, Task.finish_job])
def test_a_verdict_after_the_end_means_nothing(late):
    job = Job()
    task = job.add_task(routines(None, raising(Broken())))
    ended(job)

    late(task)

    assert (job.state, task.state) == (JobState.CANCELLED, TaskState.FAILED)


@pytest.mark.parametrize("weaker", [Task.tick, Task.idle, Task.park])
@pytest.mark.parametrize("strongest_first", [True, False])
def test_done_is_stronger_than_any_other_verdict(weaker, strongest_first):
    calls = []

    def run(task):
        calls.append(1)
        for verdict in (Task.done, weaker) if strongest_first else (weaker, Task.done):
            verdict(task)

    job = Job()
    job.add_task(routines(None, run))

    assert ended(job).state is JobState.DONE
    assert calls == [1]


def test_an_error_is_stronger_than_done():
    error = Broken()

    def run(task):
        task.done()
        raise error

    job = Job()
    task = job.add_task(routines(None, run))

    assert ended(job).state is JobState.CANCELLED
    assert (task.state, task.error) == (TaskState.FAILED, error)


@pytest.mark.parametrize("rests", [park, lambda task: task.idle(3600)])
@pytest.mark.parametrize("wake", [Task.tick, Task.done])
def test_a_resting_task_is_woken_by_others(rests, wake):
    job = Job()
    task = job.add_task(routines(None, counting([], 2, rests)))
    job.add_task(routines(None, calling(wake, task)))

    assert ended(job).state is JobState.DONE


# P2: no verdict


@pytest.mark.parametrize("add", ADD)
def test_a_run_that_returns_without_a_verdict_fails_and_is_named(add):
    job = Job()
    task = add(job, routines(None, nothing))

    assert ended(job).state is JobState.CANCELLED
    assert isinstance(task.error, VerdictMissing)
    assert "nothing" in str(task.error)
    assert "task.done()" in str(task.error)


def test_the_verdict_of_one_call_does_not_serve_for_the_next():
    calls = []

    def run(task):
        calls.append(1)
        if len(calls) == 1:
            task.tick()

    job = Job()
    task = job.add_task(routines(None, run))

    assert ended(job).state is JobState.CANCELLED
    assert isinstance(task.error, VerdictMissing)
    assert len(calls) == 2


def test_a_parked_task_runs_once_for_each_time_it_is_woken():
    calls = []
    parked = job = None

    def wake(task):
        parked.tick()
        if len(calls) == 4:
            task.finish_job()
        task.idle(0)

    job = Job()
    parked = job.add_task(routines(None, counting(calls, 0, park)))
    job.add_task(routines(None, wake))

    assert ended(job).state is JobState.DONE
    assert len(calls) == 4


# P3: two verdicts at once, verdicts in init


@pytest.mark.parametrize("add", ADD)
def test_tick_and_done_together_are_done_every_time(add):
    for _ in range(50):
        calls = []
        job = Job()
        add(job, routines(None, counting(calls, 1, Task.tick)))

        assert ended(job).state is JobState.DONE
        assert calls == [1]


@pytest.mark.parametrize("add", ADD)
def test_done_in_init_means_that_run_is_never_called(add):
    for _ in range(50):
        called = []
        job = Job()
        add(job, routines(done, noting(called, "run"), noting(called, "finalize")))

        assert ended(job).state is JobState.DONE
        assert called == ["finalize"]


# P4: idling and ticking


def test_idle_tasks_are_called_seldom():
    calls = []
    job = Job().with_timeout(0.3)
    for _ in range(10):
        job.add_task(routines(None, counting(calls, 0, Task.idle)))
    before = time.process_time()

    ended(job)

    # 1 + 2 + 4 ... + 64 ms, then every 100 ms: nine calls each.
    assert len(calls) <= 10 * 12
    assert time.process_time() - before < 0.15


def test_an_idle_task_rests_at_least_as_long_as_it_said():
    job = Job()
    job.add_task(routines(None, counting([], 2, lambda task: task.idle(0.02))))
    before = time.monotonic()

    ended(job)

    assert time.monotonic() - before >= 0.02


def test_a_tick_begins_the_pauses_again_from_the_shortest():
    pauses = []

    def run(task):
        pauses.append(time.monotonic())
        if len(pauses) == 20:
            task.done()
        elif len(pauses) % 2:
            task.idle()
        else:
            task.tick()

    job = Job()
    job.add_task(routines(None, run))

    ended(job)

    # Ten first pauses; without the reset they would add up to more than half a second.
    assert pauses[-1] - pauses[0] < 0.4


def test_a_tick_from_outside_begins_the_pauses_again_from_the_shortest():
    calls = []

    def run(task):
        calls.append(time.monotonic())
        if len(calls) == 40:
            task.done()
        elif len(calls) % 2:
            gevent.get_hub().loop.run_callback(task.tick)
        task.idle()

    job = Job()
    job.add_task(routines(None, run))

    ended(job)

    # Twenty first pauses; without the reset they would add up to more than a second.
    assert calls[-1] - calls[0] < 0.7


def test_idling_for_long_does_not_sleep_past_the_idle_timeout():
    job = Job()
    job.add_task(routines(None, lambda task: task.idle(3600)), idle_timeout=0.02)

    assert ended(job).state is JobState.CANCELLED
    assert isinstance(job.interrupted_by.error, IdleTimeout)


def test_the_timeout_strikes_a_task_that_only_ticks():
    job = Job().with_timeout(0.01)
    task = job.add_task(routines(None, ticks))

    assert ended(job).state is JobState.CANCELLED
    assert job.was_timed_out()
    assert task.state is TaskState.CANCELLED


def test_a_task_that_only_ticks_does_not_starve_the_others():
    job = Job()
    ticking = job.add_task(routines(None, ticks))

    def run(task):
        gevent.sleep(0.001)
        task.finish_job()

    job.add_task(routines(None, run))

    assert ended(job).state is JobState.DONE
    assert ticking.state is TaskState.CANCELLED


# P5, P6: the idle timeout


def test_a_task_that_reads_from_a_silent_peer_idles_out():
    ours, peers = socket.socketpair()

    def read(task):
        task.assert_true(ours.recv(1))
        task.tick()

    with ours, peers:
        job = Job()
        task = job.add_task(routines(None, read), name="reader", idle_timeout=0.02)

        assert ended(job).state is JobState.CANCELLED

    assert job.interrupted_by.task is task
    assert isinstance(task.error, IdleTimeout)


@pytest.mark.parametrize("rests", [park, Task.idle])
def test_a_task_that_rests_for_too_long_idles_out(rests):
    job = Job()
    task = job.add_task_with_idle_timeout(routines(None, rests), 0.02)

    assert ended(job).state is JobState.CANCELLED
    assert isinstance(task.error, IdleTimeout)


@pytest.mark.parametrize("alive", [Task.progress, Task.tick])
def test_work_that_shows_progress_is_not_idleness(alive):

    def work(task):
        for _ in range(10):
            gevent.sleep(0.03)
            alive(task)
        task.done()

    job = Job()
    job.add_task(routines(None, work), idle_timeout=0.2)

    assert ended(job).state is JobState.DONE


def test_a_task_without_an_idle_timeout_is_never_too_idle():
    job = Job().with_timeout(0.05)
    job.add_task(routines(None, blocks))
    job.add_task(routines(None, park))

    ended(job)

    assert isinstance(job.interrupted_by.error, JobTimeout)
    assert states(job) == [TaskState.CANCELLED] * 2


def test_an_idle_timeout_fails_its_task_and_cancels_the_job_and_names_the_task():
    job = Job(name="proxy")
    reader = job.add_task(routines(None, blocks), name="reader", idle_timeout=0.02)
    other = job.add_task(routines(None, blocks), name="other")

    ended(job)

    assert job.interrupted_by == (reader, reader.error)
    assert "proxy/reader" in str(reader.error)
    assert (reader.state, other.state) == (TaskState.FAILED, TaskState.CANCELLED)
    assert not job.was_timed_out()


# P7: the deadline of the job


class Never:
    """A prerequisite that is never met."""

    def wait(self):
        gevent.sleep(3600)


PHASES = {
    "prerequisites": lambda job: job.with_prerequisites(Never()),
    "init of the oneshot": lambda job: job.add_oneshot_task(routines(blocks)),
    "run of the oneshot": lambda job: job.add_oneshot_task(routines(None, blocks)),
    "init": lambda job: job.add_task(routines(blocks)),
    "run": lambda job: job.add_task(routines(None, blocks)),
    "parked": lambda job: job.add_task(routines(None, park)),
}


@pytest.mark.parametrize("phase", PHASES.values(), ids=list(PHASES))
def test_the_timeout_strikes_in_whatever_phase_the_job_is(phase):
    job = Job().with_timeout(0.01)
    phase(job)
    job.add_task(routines(None, park))

    assert ended(job).state is JobState.CANCELLED
    assert job.was_timed_out()
    assert job.interrupted_by.task is None
    assert isinstance(job.interrupted_by.error, JobTimeout)


def test_the_timeout_does_not_count_the_time_of_finalizers():
    job = Job().with_timeout(0.05)
    job.add_task(routines(None, done, lambda task: gevent.sleep(0.1)))

    assert ended(job).state is JobState.DONE
    assert not job.was_timed_out()


# P8: assertions


def outcome_of(assertion, value):
    """The state in which a job ends whose task asserts that."""

    def run(task):
        assertion(task, value)
        task.done()

    job = Job()
    job.add_task(routines(None, run))
    return ended(job).state


@pytest.mark.parametrize("value", [0, "", False, None, [], {}])
def test_a_falsy_value_passes_assert_and_fails_assert_true(value):
    assert outcome_of(Task.assert_, value) is JobState.DONE
    assert outcome_of(Task.assert_true, value) is JobState.CANCELLED


@pytest.mark.parametrize("value", [1, "text", True, [0], Broken()])
def test_a_truthy_value_fails_assert_and_passes_assert_true(value):
    assert outcome_of(Task.assert_, value) is JobState.CANCELLED
    assert outcome_of(Task.assert_true, value) is JobState.DONE


@pytest.mark.parametrize("value", [0, "", False, [], object()])
def test_only_none_fails_assert_not_none(value):
    assert outcome_of(Task.assert_not_none, value) is JobState.DONE
    assert outcome_of(Task.assert_not_none, None) is JobState.CANCELLED


def test_what_was_asserted_is_the_reason_and_without_it_the_failed_assertion_is():
    error = Broken()
    with_error, without = Job(), Job()
    with_error.add_task(routines(None, lambda task: task.assert_true(False, error)))
    without.add_task(routines(None, lambda task: task.assert_true(False)))

    assert ended(with_error).interrupted_by.error is error
    assert isinstance(ended(without).interrupted_by.error, AssertionFailed)
