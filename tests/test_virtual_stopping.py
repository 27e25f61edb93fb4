"""Stopping in virtual time: each delivery to the moment, and each bound of a clean-up call."""

from __future__ import annotations

import math

import gevent
import pytest
from gevent.event import Event
from makers import done, nothing, noting, park, passes, raising, routines
from simulating import (
    HOUR,
    assert_one_reason,
    at,
    exactly,
    now,
    played,
    played_in_every_order,
    timers,
    timing,
)
from small_tasks import Broken, states

from gowork import Cancelled, Channel, FinalizeTimeout, Job, JobState, TaskState


class Stubborn:
    """A routine that notes when it is told to stop, and does not, until it is released."""

    def __init__(self):
        self.told = []
        self.released = Event()

    def __call__(self, argument):
        while not self.released.is_set():
            try:
                self.released.wait()
            except Cancelled:
                self.told.append(now())


def unwinding(*lengths):
    """A routine that takes so many seconds to unwind when it is stopped."""

    def routine(task):
        try:
            gevent.sleep(1000 * HOUR)
        finally:
            for length in lengths:
                gevent.sleep(length)

    return routine


def cancelled_at(moment, job):
    """When *job* ended, which was run and then cancelled at that moment."""
    job.run()
    passes(5)  # whatever its moment, it begins before
    at(moment, job.cancel)
    job.run().wait()
    return now()


# The ladder


@pytest.mark.parametrize("grace", [0, 0.05, 0.1, 0.25, 0.3, 1, 5, 7.3])
def test_a_task_is_told_at_once_then_after_its_grace_then_each_tenth_of_a_second(grace):
    def program(start):
        stubborn, job = Stubborn(), Job(grace=grace)
        task = job.add_task(routines(None, stubborn))
        assert cancelled_at(start, job) == exactly(start + 2 * grace)
        again = max(1, math.ceil(round(10 * grace, 6)))
        moments = [start, *(start + grace + n / 10 for n in range(again))]
        assert stubborn.told == [exactly(moment) for moment in moments]
        assert [each[::2] for each in job.unstopped] == [(task, exactly(2 * grace))]
        stubborn.released.set()

    for start in (0, 0.1, 7, 1000.3):
        played(program, start)


def test_a_ladder_takes_twice_its_grace_in_every_order():
    def program():
        stubborn, notes, job = Stubborn(), [], Job(grace=1)
        job.add_task(routines(nothing, park, noting(notes, "first")))
        job.add_task(routines(nothing, stubborn, timing(notes, nothing)))
        job.add_task(routines(nothing, park, noting(notes, "last")))
        assert cancelled_at(3, job) == exactly(5)
        assert notes == ["last", exactly(5), "first"]
        assert stubborn.told == [3, *(exactly(4 + n / 10) for n in range(10))]
        assert set(states(job)) == {TaskState.CANCELLED} and len(job.unstopped) == 1
        stubborn.released.set()

    played_in_every_order(program)


@pytest.mark.parametrize("rung", range(1, 7))
def test_who_gives_in_at_the_nth_delivery_is_dead_and_finalized_at_that_moment(rung):
    def program():
        notes = []

        def run(task):
            while len(told) < rung:
                try:
                    gevent.sleep(HOUR)
                except Cancelled:
                    told.append(now())
            task.tick()

        told, job = [], Job(grace=2)
        job.add_task(routines(None, run, timing(notes, nothing)))
        ended = cancelled_at(3, job)
        assert notes == [ended] == [told[-1]] and job.unstopped == ()
        return ended

    assert played(program) == exactly(3 if rung == 1 else 5 + (rung - 2) / 10)


@pytest.mark.parametrize("length", [0, 0.1, 1, 4.999])
def test_who_unwinds_within_his_grace_is_not_disturbed(length):
    def program():
        job = Job()
        task = job.add_task(routines(None, unwinding(length)))
        assert cancelled_at(3, job) == exactly(3 + length)
        assert task.state is TaskState.CANCELLED and timers() == 0
        assert_one_reason(job)

    played_in_every_order(program)


def test_who_unwinds_for_just_his_grace_is_over_then():
    def program():
        job = Job(grace=2)
        job.add_task(routines(None, unwinding(2)))
        assert cancelled_at(3, job) == 5
        assert_one_reason(job)

    played_in_every_order(program)


def test_who_unwinds_for_longer_is_interrupted_at_the_end_of_his_grace():
    def program():
        job = Job(grace=2)
        job.add_task(routines(None, unwinding(3)))
        assert cancelled_at(3, job) == 5
        assert_one_reason(job)

    played(program)


def test_each_task_is_waited_for_at_the_same_time_and_the_slowest_decides():
    def program():
        job = Job(grace=5)
        for length in (1, 4, 2, 3):
            job.add_task(routines(None, unwinding(length)))
        return cancelled_at(3, job)

    assert played(program) == 7


def test_an_endless_grace_waits_for_a_day_and_delivers_once():
    def program():
        stubborn, job = Stubborn(), Job(grace=math.inf)
        job.add_task(routines(None, stubborn))
        at(24 * HOUR, stubborn.released.set)
        assert cancelled_at(3, job) == 24 * HOUR
        assert stubborn.told == [3] and job.unstopped == ()

    played(program)


def test_further_cancels_change_no_moment():
    def program():
        stubborn, job = Stubborn(), Job(grace=1)
        job.add_task(routines(None, stubborn))
        for moment in (3.5, 4, 4.05, 4.5):
            at(moment, job.cancel, Broken())
        assert cancelled_at(3, job) == exactly(5)
        assert len(stubborn.told) == 11 and len(job.errors) == 1
        stubborn.released.set()

    played(program)


ENDS = {
    "failure": lambda job: job.add_task(
        routines(None, lambda task: (gevent.sleep(3), raising(Broken())(task)))
    ),
    "finish": lambda job: at(3, job.finish),
    "timeout": lambda job: job.with_timeout(3),
    "idle timeout": lambda job: job.add_task(routines(None, park), idle_timeout=3),
}


@pytest.mark.parametrize("end", ENDS)
def test_whatever_the_end_the_ladder_is_the_same(end):
    def program():
        stubborn, job = Stubborn(), Job(grace=0.5)
        job.add_task(routines(None, stubborn))
        ENDS[end](job)
        job.run().wait()
        assert now() == exactly(4)
        assert stubborn.told == [exactly(3), *(exactly(3.5 + n / 10) for n in range(5))]
        stubborn.released.set()

    played_in_every_order(program)


def test_the_next_call_to_gowork_stops_who_has_swallowed_his_stop():
    def swallow(task):
        try:
            gevent.sleep(HOUR)
        except Cancelled:
            gevent.sleep(1)
        Channel().recv()

    def program():
        job = Job()
        job.add_task(routines(None, swallow))
        assert cancelled_at(3, job) == 4
        assert_one_reason(job)

    played_in_every_order(program)


def test_a_wait_for_prerequisites_that_does_not_stop_is_given_up_too():
    class Prerequisite(Stubborn):
        def wait(self):
            self(None)

    def program():
        stubborn = Prerequisite()
        job = Job(grace=1).with_prerequisites(stubborn)
        job.add_task(routines(None, done))
        assert cancelled_at(3, job) == exactly(5)
        assert len(stubborn.told) == 11 and states(job) == [TaskState.SKIPPED]
        assert [each[::2] for each in job.unstopped] == [(None, exactly(2))]
        stubborn.released.set()

    played(program)


def test_a_nested_job_is_wound_up_within_the_grace_of_the_outer():
    def program():
        stubborn = Stubborn()

        def nest(task):
            with Job(grace=1) as job:
                job.add_task(routines(None, stubborn))

        job = Job(grace=5)
        job.add_task(routines(None, nest))
        assert cancelled_at(3, job) == exactly(5)
        assert_one_reason(job)
        stubborn.released.set()

    played(program)


# Structured waits


def test_a_timeout_around_a_join_is_raised_when_the_job_has_unwound():
    def program():
        job = Job()
        job.add_task(routines(None, unwinding(2), lambda task: gevent.sleep(1)))
        job.run()
        with pytest.raises(gevent.Timeout) as raised, gevent.Timeout(3) as timeout:
            job.join()
        assert raised.value is timeout and now() == 6
        assert_one_reason(job)

    played_in_every_order(program)


def test_a_kill_while_the_wait_clears_up_outranks_its_timeout_and_comes_at_the_same_moment():
    def program():
        def wait():
            with gevent.Timeout(3):
                job.join()

        job = Job()
        job.add_task(routines(None, unwinding(2)))
        job.run()
        waiting = gevent.spawn(wait)
        at(4, lambda: waiting.kill(block=False))
        waiting.join()
        return now(), type(waiting.value)

    assert played(program) == (5, gevent.GreenletExit)


# Finalizers

LIMITS = [0, 0.05, 0.1, 0.3, 1, 10, HOUR]


@pytest.mark.parametrize("limit", LIMITS)
def test_a_finalizer_that_takes_longer_is_stopped_at_that_moment(limit):
    def program():
        times, job = [], Job(finalize_timeout=limit)
        for _ in range(3):
            job.add_task(routines(None, done, timing(times, lambda task: gevent.sleep(2 * HOUR))))
        job.run().wait()
        assert times == [exactly(n * limit) for n in range(3)] and now() == exactly(3 * limit)
        assert [type(error) for error in job.errors] == [FinalizeTimeout] * 3
        assert job.state is JobState.CANCELLED and job.unstopped == ()

    played(program)


@pytest.mark.parametrize("length", [0, 0.1, 0.5, 0.999])
def test_finalizers_that_keep_within_their_time_take_it(length):
    def program():
        times, job = [], Job(finalize_timeout=1)
        for _ in range(4):
            job.add_task(routines(None, done, timing(times, lambda task: gevent.sleep(length))))
        assert job.run().wait() and now() == exactly(4 * length)
        assert times == [exactly(n * length) for n in range(4)]
        assert job.state is JobState.DONE and job.errors == ()

    played_in_every_order(program)


def test_a_finalizer_that_takes_just_its_time_ends_then_one_way_or_the_other():
    def program():
        times, job = [], Job(finalize_timeout=1)
        for _ in range(2):
            job.add_task(routines(None, done, timing(times, lambda task: gevent.sleep(1))))
        job.run().wait()
        assert times == [0, 1] and now() == 2 and job.unstopped == ()
        assert all(type(error) is FinalizeTimeout for error in job.errors)
        assert (job.state is JobState.DONE) is (job.errors == ())

    played_in_every_order(program)


@pytest.mark.parametrize("grace", [0.05, 0.25, 1])
def test_a_finalizer_that_does_not_stop_is_told_for_its_grace_and_then_given_up(grace):
    def program():
        stubborn, times, job = Stubborn(), [], Job(grace=grace, finalize_timeout=2)
        job.add_task(routines(nothing, done, timing(times, nothing)))
        task = job.add_task(routines(nothing, done, stubborn))
        job.run().wait()
        assert now() == exactly(2 + grace) and times == [exactly(2 + grace)]
        told = [exactly(2 + n / 10) for n in range(max(1, math.ceil(10 * grace)))]
        assert stubborn.told == told
        assert [each[::2] for each in job.unstopped] == [(task, exactly(2 + grace))]
        stubborn.released.set()

    played_in_every_order(program)


def test_with_no_grace_a_finalizer_is_told_once():
    def program():
        stubborn, job = Stubborn(), Job(grace=0, finalize_timeout=2)
        job.add_task(routines(None, done, stubborn))
        job.run().wait()
        assert stubborn.told == [now()] == [2] and len(job.unstopped) == 1
        stubborn.released.set()

    played(program)


def test_a_finalizer_that_unwinds_when_its_time_is_over_holds_up_the_next():
    def program():
        times, job = [], Job(finalize_timeout=2)
        job.add_task(routines(None, done, timing(times, nothing)))
        job.add_task(routines(None, done, unwinding(0.05)))
        job.run().wait()
        return times, now(), job.unstopped

    assert played(program) == ([exactly(2.05)], exactly(2.05), ())


def test_without_limit_a_finalizer_takes_its_month():
    def program():
        job = Job(finalize_timeout=math.inf)
        job.add_task(routines(None, done, lambda task: gevent.sleep(720 * HOUR)))
        return job.run().wait() and job.state, now()

    assert played(program) == (JobState.DONE, 720 * HOUR)


def test_finalizers_of_tasks_that_are_forgotten_are_bounded_one_by_one():
    def program():
        job = Job(forget=True, finalize_timeout=2, grace=1)
        job.add_task(routines(None, park))
        job.add_task(routines(None, done, lambda task: gevent.sleep(1)))
        job.run()
        gevent.sleep(1.5)
        assert len(job.tasks) == 1 and job.state is JobState.RECURRENT_RUNNING
        job.add_task(routines(None, done, lambda task: gevent.sleep(HOUR)))
        job.run().wait()
        assert now() == 3.5 and type(job.interrupted_by.error) is FinalizeTimeout

    played_in_every_order(program)


# The shutdown handler, and the error wrapper


def test_the_tasks_are_stopped_when_the_shutdown_handler_has_ended():
    def program():
        handled, told = [], []

        def handle(error):
            handled.append(now())
            gevent.sleep(1.5)

        def run(task):
            try:
                gevent.sleep(HOUR)
            finally:
                told.append(now())

        job = Job().with_shutdown(handle)
        job.add_task(routines(None, run))
        assert cancelled_at(3, job) == 4.5
        assert handled == [3] and told == [4.5]
        assert_one_reason(job)

    played_in_every_order(program)


def test_a_shutdown_handler_is_stopped_at_its_bound_and_then_the_tasks():
    def program():
        told = []

        def run(task):
            try:
                gevent.sleep(HOUR)
            finally:
                told.append(now())

        job = Job(finalize_timeout=2).with_shutdown(lambda error: gevent.sleep(HOUR))
        job.add_task(routines(None, run))
        assert cancelled_at(3, job) == 5 and told == [5]
        assert [type(error) for error in job.errors] == [Cancelled, FinalizeTimeout]
        assert_one_reason(job)

    played_in_every_order(program)


def test_a_shutdown_handler_that_does_not_stop_is_given_up_after_bound_and_grace():
    def program():
        stubborn, job = Stubborn(), Job(finalize_timeout=2, grace=1)
        job.with_shutdown(stubborn)
        task = job.add_task(routines(None, unwinding(0.5)))
        assert cancelled_at(3, job) == exactly(6.5)
        assert stubborn.told == [exactly(5 + n / 10) for n in range(10)]
        assert [each[::2] for each in job.unstopped] == [(None, exactly(3))]
        assert task.state is TaskState.CANCELLED
        stubborn.released.set()

    played(program)


def test_an_error_wrapper_is_bounded_as_finalizers_are():
    def program():
        job = Job(finalize_timeout=2).with_error_wrapper(lambda error: gevent.sleep(HOUR))
        task = job.add_task(routines(None, raising(Broken())))
        job.run().wait()
        assert now() == 2
        assert job.interrupted_by.task is task and type(job.interrupted_by.error) is Broken
        assert [type(error) for error in job.errors] == [Broken, FinalizeTimeout]

    played(program)
