"""Idle and parked tasks in virtual time: when each goes on, and what a crowd of them costs."""

from __future__ import annotations

import itertools
import math

import gevent
import pytest
from makers import done, nothing, park, passes, routines
from simulating import (
    HOUR,
    MONTH,
    assert_one_reason,
    at,
    exactly,
    now,
    played,
    played_in_every_order,
    timers,
    timing,
)

from gowork import Job, JobState, TaskState

BACK_OFF = [n / 1000 for n in (1, 2, 4, 8, 16, 32, 64, 100, 100, 100)]
MOMENTS = [0, *itertools.accumulate(BACK_OFF)]


def saying(times, *verdicts):
    """A routine that notes when it is called and does one of *verdicts* each time, then done."""
    left = iter(verdicts)
    return timing(times, lambda task: next(left, done)(task))


def idle(task):
    task.idle()


def tick(task):
    task.tick()


def idle_for(seconds):
    """A verdict."""
    return lambda task: task.idle(seconds)


def moments_of(*verdicts):
    """When a task that gives these *verdicts* is called."""
    times, job = [], Job()
    job.add_task(routines(None, saying(times, *verdicts)))
    job.run().wait()
    assert job.state is JobState.DONE and times[-1] == now()
    return times


# The pause that grows


def test_a_pause_is_1_ms_and_doubles_to_100_ms():
    for times in played_in_every_order(moments_of, *[idle] * 10):
        assert times == [exactly(moment) for moment in MOMENTS]


def test_a_pause_grows_no_further():
    times = played(moments_of, *[idle] * 1000)
    assert times[-1] == exactly(0.127 + 993 * 0.1)


@pytest.mark.parametrize("before", [0, 1, 5, 9])
def test_a_tick_of_its_own_makes_the_next_pause_1_ms(before):
    times = played(moments_of, *[idle] * before, tick, idle, idle)
    reached = MOMENTS[before]
    assert times[before:] == [exactly(reached + more) for more in (0, 0, 0.001, 0.003)]


def test_a_tick_of_somebody_else_ends_the_pause_and_makes_the_next_1_ms():
    def program():
        times, job = [], Job()
        task = job.add_task(routines(None, saying(times, *[idle] * 12)))
        job.run()
        at(0.2, task.tick)
        job.run().wait()
        return times

    moments = [*MOMENTS[:8], 0.2, *(0.2 + moment for moment in MOMENTS[1:5])]
    for times in played_in_every_order(program):
        assert times == [exactly(moment) for moment in moments]


def test_pauses_that_are_named_leave_that_which_grows_alone():
    times = played(moments_of, idle, idle_for(7), idle, idle_for(0.5), idle, idle_for(0), idle)
    assert times == [
        exactly(moment)
        for moment in itertools.accumulate([0, 0.001, 7, 0.002, 0.5, 0.004, 0, 0.008])
    ]


# The pause that is named


@pytest.mark.parametrize("seconds", [0, 0.0001, 0.001, 0.3, 1, HOUR, MONTH])
def test_a_pause_of_so_many_seconds_takes_them(seconds):
    for times in played_in_every_order(moments_of, *[idle_for(seconds)] * 3):
        assert times == [exactly(n * seconds) for n in range(4)]


def test_the_shortest_of_several_pauses_is_taken():
    def both(*lengths):
        return lambda task: [task.idle(length) for length in lengths]

    times = played(moments_of, both(HOUR, 2), both(3, HOUR), both(math.inf, 4), both(5, None))
    assert times == [exactly(moment) for moment in (0, 2, 5, 9, 9.001)]


def test_a_pause_whose_end_falls_on_a_tick_goes_on_once_or_twice_and_at_that_moment():
    def program():
        times, job = [], Job()
        task = job.add_task(routines(None, timing(times, idle_for(3))))
        job.run()
        at(3, task.tick)
        at(5, job.finish)
        job.run().wait()
        return times

    assert all(times in ([0, 3], [0, 3, 3]) for times in played_in_every_order(program))


def test_tasks_that_pause_for_different_times_go_on_in_the_order_of_their_ends():
    def program():
        ends, job = [], Job()
        for seconds in (3, 1, 2, 1, HOUR, 0):
            run = lambda task, own=seconds: (  # noqa: E731
                (ends.append((own, now())), task.done()) if now() >= own else task.idle(own)
            )
            job.add_task(routines(nothing, run))
        job.run().wait()
        return ends

    assert played(program) == [(n, n) for n in (0, 1, 1, 2, 3, HOUR)]


@pytest.mark.parametrize("rest", [idle_for(HOUR), idle, park, idle_for(math.inf)])
@pytest.mark.parametrize("wake", ["tick", "done"])
def test_a_tick_or_a_done_of_somebody_else_is_obeyed_at_that_moment(rest, wake):
    def program():
        times, job = [], Job()
        task = job.add_task(routines(None, timing(times, rest)))
        at(5.05, lambda: (times.clear(), getattr(task, wake)()))
        at(5.0501, task.done)
        job.run().wait()
        assert times == ([exactly(5.05)] if wake == "tick" else [])
        assert task.state is TaskState.FINISHED
        return now()

    assert played(program) == exactly(5.0501 if wake == "tick" else 5.05)


def test_a_parked_task_sleeps_a_month_without_a_timer():
    def program():
        times, job = [], Job()
        task = job.add_task(routines(None, saying(times, park, park)))
        job.run()
        gevent.sleep(MONTH)
        assert timers() == 0
        task.tick()
        passes(5)
        task.tick()
        job.run().wait()
        return times

    assert played(program) == [0, MONTH, MONTH]


def test_who_idles_for_no_time_at_all_stops_no_clock():
    def program():
        job = Job().with_timeout(0.5)
        job.add_task(routines(None, idle_for(0)))
        job.run().wait()
        assert 0.5 <= now() < 0.6 and job.was_timed_out()
        assert_one_reason(job)

    played_in_every_order(program, cost=0.001)


def test_who_ticks_without_end_stops_no_clock_and_does_not_outrun_the_timeout():
    def program():
        job = Job().with_timeout(0.1)
        job.add_task(routines(None, tick))
        job.run().wait()
        assert 0.1 <= now() < 0.2 and job.was_timed_out()

    played(program)


def test_each_end_stops_idle_tasks_at_that_moment():
    def program():
        for end in (Job.finish, Job.cancel):
            job = Job()
            for rest in (idle, idle_for(HOUR), idle_for(0.7), park):
                job.add_task(routines(None, rest))
            began = now()
            job.run()
            at(began + 3.21, end, job)
            job.run().wait()
            assert now() == exactly(began + 3.21) and timers() == 0
            assert_one_reason(job)

    played(program)


# Many


def test_one_timer_serves_the_idle_tasks_of_all_jobs():
    def program():
        jobs = [Job() for _ in range(10)]
        for job, rest in itertools.product(jobs, (idle, idle_for(HOUR), idle_for(0.3), park)):
            job.add_task(routines(None, rest))
        for job in jobs:
            job.run()
        for _ in range(100):
            gevent.sleep(0.0123)
            assert timers() == 1
        for job in jobs:
            job.finish()
            job.run().wait()
        return timers()

    assert played(program) == 0


def calls_per_second(number, seconds, after):
    """How often in a second *number* tasks are called that all idle, once that has settled."""
    calls, job = itertools.count(), Job()
    for _ in range(number):
        job.add_task(routines(None, lambda task: (next(calls), task.idle())))
    job.run()
    gevent.sleep(after)
    before = next(calls)
    gevent.sleep(seconds)
    counted = next(calls) - before - 1
    job.finish()
    job.run().wait()
    return counted / seconds


@pytest.mark.parametrize("number", [1, 10, 100, 500])
def test_a_few_idle_tasks_are_each_called_ten_times_a_second(number):
    assert played(calls_per_second, number, 10, 1) == pytest.approx(10 * number, rel=0.02)


@pytest.mark.parametrize(("number", "pause"), [(501, 1), (1000, 1), (3000, 4), (10_000, 20)])
def test_a_crowd_of_idle_tasks_is_called_at_most_5000_times_a_second(number, pause):
    # Those that are due together do not count one another.
    assert 0 < played(calls_per_second, number, pause, pause) <= 5000 * 1.01


def test_the_larger_the_crowd_the_less_often_it_is_called_in_all():
    rates = [played(calls_per_second, number, 20, 20) for number in (2000, 8000)]
    assert rates[0] > rates[1] and rates[1] < 1000


def test_a_crowd_wakes_the_loop_few_times_a_second():
    """Its pauses end on a grid."""

    def program():
        moments, job = set(), Job()
        for _ in range(5000):
            job.add_task(routines(None, lambda task: (moments.add(now()), task.idle())))
        job.run()
        gevent.sleep(10)
        moments.clear()
        gevent.sleep(10)
        job.finish()
        job.run().wait()
        return len(moments)

    assert played(program) <= 40


def test_no_task_of_a_crowd_pauses_for_very_long_and_a_tick_wakes_it_at_once():
    def program():
        calls, job = {}, Job()

        def run(task):
            calls.setdefault(task.index, []).append(now())
            task.idle()

        for _ in range(10_000):
            job.add_task(routines(None, run))
        job.run()
        gevent.sleep(50)
        job.tasks[5].tick()
        passes(5)
        assert calls[6][-1] == 50
        job.finish()
        job.run().wait()
        return max(
            later - one for each in calls.values() for one, later in itertools.pairwise(each)
        )

    assert played(program) < 20


def test_when_a_crowd_is_gone_those_who_stay_are_called_ten_times_a_second_again():
    def program():
        times, job, crowd = [], Job(), Job()
        job.add_task(routines(None, timing(times, idle)))
        for _ in range(3000):
            crowd.add_task(routines(None, idle))
        crowd.run()
        job.run()
        at(10, crowd.finish)
        gevent.sleep(20)
        times.clear()
        gevent.sleep(10)
        job.finish()
        job.run().wait()
        return len(times)

    assert played(program) == pytest.approx(100, abs=1)
