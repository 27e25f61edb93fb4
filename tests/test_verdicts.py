"""What a task says comes next, and what then comes next."""

from __future__ import annotations

import functools
import itertools
import math
import time

import pytest
from makers import begun, done, ended, noting, park, passes, raising, routines, saying

from gowork import Job, JobState, TaskState, VerdictMissing, clocks
from gowork.testing.leaks import Census

STRENGTH = ["park", "idle", "tick", "done"]


@pytest.fixture
def pauses(monkeypatch):
    """The lengths of all pauses of idle tasks, which take no time."""
    taken = []

    def take(clock, waiter, length):
        taken.append(length)

    monkeypatch.setattr(clocks.IdleClock, "pause", take)
    monkeypatch.setattr(clocks.IdleClock, "back_off", take)
    return taken


# One verdict


def test_tick_calls_again_at_once_and_done_no_more(pauses):
    run = saying("tick", "tick", "done", "tick")
    job = Job()
    task = job.add_task(routines(run=run))
    assert ended(job).state is JobState.DONE
    assert task.state is TaskState.FINISHED
    assert run.calls == 3
    assert pauses == []


def test_idle_calls_again_after_a_pause_that_doubles_from_1_to_100_ms(pauses):
    job = Job()
    job.add_task(routines(run=saying(*["idle"] * 10)))
    assert ended(job).state is JobState.DONE
    assert pauses == [n / 1000 for n in (1, 2, 4, 8, 16, 32, 64, 100, 100, 100)]


@pytest.mark.parametrize("tick", ["tick", ("idle", "tick"), ("tick", "park")])
def test_a_tick_resets_the_pause(pauses, tick):
    job = Job()
    job.add_task(routines(run=saying("idle", "idle", "idle", tick, "idle", "idle")))
    ended(job)
    assert pauses == [0.001, 0.002, 0.004, 0.001, 0.002]


def test_a_tick_that_wakes_an_idle_task_resets_the_pause(monkeypatch):
    taken = []
    monkeypatch.setattr(
        clocks.IdleClock, "back_off", lambda clock, waiter, length: taken.append(length)
    )
    job, task = begun(lambda task: task.idle() if len(taken) < 3 else task.idle(60))
    assert taken == [0.001, 0.002, 0.004]
    taken.clear()
    task.tick()
    passes(10)
    task.done()
    assert job.join()
    assert taken == [0.001, 0.002, 0.004]


def test_idle_with_seconds_pauses_for_just_these_and_leaves_the_back_off_alone(pauses):
    lengths = iter([None, 7, None, 0.5, None])

    def run(task):
        try:
            task.idle(next(lengths))
        except StopIteration:
            task.done()

    job = Job()
    job.add_task(routines(run=run))
    ended(job)
    assert pauses == [0.001, 7, 0.002, 0.5, 0.004]


def test_a_pause_really_takes_as_long_as_it_says():
    began = time.monotonic()
    job = Job()
    calls = []
    job.add_task(routines(run=noting(calls, 1, lambda task: task.idle(0.02) or stop(task))))

    def stop(task):
        if len(calls) == 3:
            task.done()

    ended(job)
    assert time.monotonic() - began >= 0.04


def test_idle_gives_way_even_for_no_seconds():
    job, task = begun(lambda task: task.idle(0))
    passes(20)
    assert task.state is TaskState.RUNNING
    task.done()
    assert job.join()


@pytest.mark.parametrize(
    ("seconds", "error"),
    [("1", TypeError), (True, TypeError), (-1, ValueError), (math.nan, ValueError)],
)
def test_idle_takes_only_a_number_of_seconds(seconds, error):
    task = Job().add_task(routines(run=done))
    with pytest.raises(error, match="idle"):
        task.idle(seconds)


def test_a_parked_task_waits_until_somebody_ticks_it():
    run = saying("park", "park")
    job, task = begun(run)
    passes(10)
    assert run.calls == 1
    for calls in (2, 3):
        task.tick()
        passes()
        assert run.calls == calls
    assert job.join()


def test_idle_for_ever_is_parking():
    run = noting([], "", lambda task: task.idle(math.inf))
    job, task = begun(run)
    before = Census().watchers
    task.tick()
    passes()
    assert len(Census().watchers) <= len(before)
    task.done()
    assert job.join()


@pytest.mark.parametrize("rest", [park, lambda task: task.idle(60), lambda task: task.idle()])
def test_done_wakes_and_ends_a_task_that_rests(rest):
    calls = []
    job, task = begun(noting(calls, 1, rest))
    task.done()
    assert job.join()
    assert task.state is TaskState.FINISHED
    assert job.state is JobState.DONE


def test_a_tick_wakes_a_task_that_idles_for_long():
    job, task = begun(saying("park"))
    idler = job.add_task(routines(run=lambda one: one.done() if one.result else one.idle(3600)))
    passes()
    idler.result = True
    idler.tick()
    task.tick()
    assert job.join()


def test_finish_job_is_done_and_ends_the_job_well():
    job = Job()
    parked = job.add_task(routines(run=park))
    finisher = job.add_task(routines(run=lambda task: task.finish_job()))
    assert ended(job).state is JobState.DONE
    assert (parked.state, finisher.state) == (TaskState.CANCELLED, TaskState.FINISHED)
    assert job.errors == ()


# Several


def test_of_several_verdicts_the_strongest_wins_in_whatever_order(pauses):
    for size in (2, 3, 4):
        for verdicts in itertools.permutations(STRENGTH, size):
            pauses.clear()
            run = saying(verdicts)
            job, _task = begun(run)
            strongest = max(verdicts, key=STRENGTH.index)
            assert run.calls == (1 if strongest == "done" else 2), verdicts
            assert pauses == ([0.001] if strongest == "idle" else []), verdicts
            assert job.join()


def test_a_verdict_said_twice_is_said_once(pauses):
    run = saying(("tick", "tick"), ("idle", "idle"), ("done", "done"))
    job, _task = begun(run)
    assert job.join()
    assert run.calls == 3
    assert pauses == [0.001]


@pytest.mark.parametrize("lengths", [(7, 2), (2, 7), (2, 2), (math.inf, 2)])
def test_of_several_pauses_the_shortest_is_taken(pauses, lengths):
    def run(task):
        for length in lengths if not pauses else ():
            task.idle(length)
        task.done() if pauses else task.park()

    job = Job()
    job.add_task(routines(run=run))
    ended(job)
    assert pauses == [2]


def test_a_second_tick_of_a_parked_task_is_not_kept_for_later():
    run = saying("park", "park")
    job, task = begun(run)
    task.tick()
    task.tick()
    passes()
    assert run.calls == 2
    task.done()
    assert job.join()


# Before the first run


@pytest.mark.parametrize("early", ["tick", "idle", "park"])
def test_another_verdict_before_the_job_runs_is_obeyed_before_the_first_run(early, pauses):
    run = saying("done")
    job = Job()
    task = job.add_task(routines(run=run))
    getattr(task, early)()
    job.run()
    passes()
    assert run.calls == (0 if early == "park" else 1)
    assert pauses == ([0.001] if early == "idle" else [])
    task.tick()
    assert job.join()


def test_a_oneshot_obeys_its_verdicts_too(pauses):
    run = saying("tick", "idle", ("tick", "done"))
    job = Job()
    job.add_oneshot_task(routines(run=run))
    assert ended(job).state is JobState.DONE
    assert run.calls == 3
    assert pauses == [0.001]


# None


def named_for_the_test(task, extra=None):
    pass


class Silent:
    def run(self, task):
        pass

    __call__ = run


@pytest.mark.parametrize(
    ("run", "name"),
    [
        (named_for_the_test, "named_for_the_test"),
        (Silent().run, "Silent.run"),
        (Silent(), "Silent object"),
        (functools.partial(named_for_the_test, extra=1), "named_for_the_test"),
    ],
)
def test_no_verdict_is_an_error_that_names_the_function_and_says_what_to_call(run, name):
    job = Job(name="job")
    job.add_task(routines(run=run), name="task")
    error = ended(job).interrupted_by.error
    assert type(error) is VerdictMissing
    assert name in str(error)
    assert "job/task" in str(error)
    for verdict in STRENGTH:
        assert f"task.{verdict}()" in str(error)


@pytest.mark.parametrize("verdicts", [("tick",), ("tick", "idle"), ("park", "tick"), ("idle",)])
def test_a_verdict_counts_for_one_call_only(verdicts):
    job = Job()
    job.add_task(routines(run=saying(verdicts, ())))
    assert type(ended(job).interrupted_by.error) is VerdictMissing


def test_a_run_that_raises_needs_no_verdict_and_heeds_none():
    error = ValueError()
    job = Job()
    job.add_task(routines(run=lambda task: task.done() or raising(error)(task)))
    assert ended(job).interrupted_by.error is error
