"""Timeouts in virtual time: to the moment, however long, and whatever falls due with them."""

from __future__ import annotations

import itertools

import gevent
import pytest
from gevent.event import Event
from makers import done, nothing, park, routines
from simulating import (
    DAY,
    HOUR,
    MONTH,
    SCHEDULES,
    assert_one_reason,
    at,
    exactly,
    now,
    played,
    played_in_every_order,
    timers,
)
from small_tasks import Broken, states

from gowork import IdleTimeout, Job, JobState, JobTimeout, TaskState
from gowork.testing import explore


def forever(task):
    """Block for longer than any test."""
    gevent.sleep(1000 * MONTH)


def end_of(job):
    """When the ended *job* ended."""
    job.run().wait()
    return now()


# The job's timeout


@pytest.mark.parametrize("length", [0, 0.01, 0.3, 1, HOUR, MONTH])
def test_a_job_times_out_at_that_moment(length):
    def program(start):
        gevent.sleep(start)
        job = Job().with_timeout(length)
        job.add_task(routines(None, forever))
        return end_of(job), job.was_timed_out()

    for start in (0, 1, 0.1, 1000.3):
        assert played(program, start) == (exactly(start + length), True)


WHERE = {
    "prerequisites": lambda job: job.with_prerequisites(Event()),
    "a oneshot's init": lambda job: job.add_oneshot_task(routines(forever)),
    "a oneshot's run": lambda job: job.add_oneshot_task(routines(None, forever)),
    "an init": lambda job: job.add_task(routines(forever)),
    "the gate": lambda job: [job.add_task(routines(one, done)) for one in (nothing, forever)],
    "a run": lambda job: job.add_task(routines(None, forever)),
    "parking": lambda job: job.add_task(routines(None, park)),
    "idling": lambda job: job.add_task(routines(None, lambda task: task.idle())),
    "idling for long": lambda job: job.add_task(routines(None, lambda task: task.idle(MONTH))),
}


@pytest.mark.parametrize("where", WHERE)
def test_wherever_the_job_is_it_times_out_at_that_moment(where):
    def program():
        job = Job().with_timeout(3)
        WHERE[where](job)
        assert end_of(job) == exactly(3)
        assert job.was_timed_out() and type(job.interrupted_by.error) is JobTimeout
        assert_one_reason(job)

    played_in_every_order(program)


def test_the_timeout_counts_from_run_and_not_from_the_end_of_the_prerequisites():
    def program():
        ready = Event()
        job = Job().with_timeout(10).with_prerequisites(ready)
        job.add_task(routines(None, forever))
        gevent.sleep(5)
        at(12, ready.set)
        return end_of(job)

    assert played(program) == exactly(15)


def test_work_of_just_that_length_has_won():
    def program():
        job = Job().with_timeout(3)
        job.add_task(routines(None, lambda task: (gevent.sleep(3), task.done())))
        return end_of(job), job.state, job.was_timed_out()

    assert played(program) == (3, JobState.DONE, False)


@pytest.mark.parametrize("length", [0, 1, 3])
def test_work_of_just_that_length_ends_one_way_in_every_order(length):
    def program():
        job = Job().with_timeout(length)
        job.add_task(routines(None, lambda task: (gevent.sleep(length), task.done())))
        job.run()
        gevent.sleep(10)
        assert_one_reason(job)
        return job.state

    assert set(explore(program).values) <= {JobState.DONE, JobState.CANCELLED}


def test_a_timeout_that_falls_into_the_finalizers_is_none():
    def program():
        job = Job().with_timeout(3)
        job.add_task(routines(None, done, lambda task: gevent.sleep(9)))
        return end_of(job), job.state, job.was_timed_out()

    assert played(program) == (9, JobState.DONE, False)


def test_a_oneshot_and_the_others_run_one_after_another():
    def program():
        job = Job().with_timeout(7)
        run = lambda task: (gevent.sleep(3), task.done())  # noqa: E731
        job.add_oneshot_task(routines(None, run))
        job.add_task(routines(None, run))
        job.run_in_background().wait()
        return now(), end_of(job)

    assert played_in_every_order(program) == [(3, 6)] * len(SCHEDULES)


def test_a_timeout_ends_with_the_job():
    def program():
        job = Job().with_timeout(10)
        job.add_task(routines(None, done, lambda task: gevent.sleep(0.05)))
        job.run()
        assert timers() == 1
        job.run().wait()
        assert timers() == 0
        gevent.sleep(20)
        return job.state, job.was_timed_out()

    assert played(program) == (JobState.DONE, False)


def test_one_timer_serves_the_timeouts_of_a_job_and_of_all_its_tasks():
    def program():
        job = Job().with_timeout(10)
        for seconds in range(1, 100):
            job.add_task(routines(None, park), idle_timeout=20 + seconds)
        job.run()
        gevent.sleep(1)
        assert timers() == 1
        return end_of(job)

    assert played(program) == exactly(10)


def test_a_late_timer_makes_a_timeout_late_and_never_early():
    def program():
        job = Job().with_timeout(3)
        job.add_task(routines(None, park), idle_timeout=4)
        return end_of(job), job.was_timed_out()

    for ended, timed_out in played_in_every_order(program, late=0.5):
        assert 3 <= ended <= 3.5 and timed_out


@pytest.mark.parametrize(
    ("outer", "inner", "ended", "which"),
    [(5, 3, 3, "inner"), (3, 5, 3, "outer"), (HOUR, MONTH, HOUR, "outer")],
)
def test_of_nested_jobs_the_one_whose_time_is_over_ends(outer, inner, ended, which):
    jobs = {}

    def nest(task):
        with jobs["inner"].with_timeout(inner) as job:
            job.add_task(routines(None, forever))
        task.done()

    def program():
        jobs.update(inner=Job(), outer=Job().with_timeout(outer))
        jobs["outer"].add_task(routines(None, nest))
        assert end_of(jobs["outer"]) == exactly(ended)
        assert [name for name in jobs if jobs[name].was_timed_out()] == [which]
        assert all(job.state is JobState.CANCELLED for job in jobs.values())

    played(program)


def test_nested_jobs_whose_times_are_over_at_once_both_end_then():
    def nest(task):
        with Job().with_timeout(3) as inner:
            task.result = inner
            inner.add_task(routines(None, forever))
        task.done()

    def program():
        job = Job().with_timeout(3)
        task = job.add_task(routines(None, nest))
        assert end_of(job) == exactly(3)
        assert_one_reason(job)
        assert_one_reason(task.result)

    played_in_every_order(program)


# Idle timeouts

NO_PROGRESS = {
    "blocked": forever,
    "parked": park,
    "idle": lambda task: task.idle(),
    "idle for long": lambda task: task.idle(MONTH),
    "idle now and then": lambda task: task.idle(0.7),
}


@pytest.mark.parametrize("run", NO_PROGRESS.values(), ids=list(NO_PROGRESS))
def test_a_task_idles_out_just_so_long_after_it_began(run):
    def program():
        job = Job()
        task = job.add_task(routines(None, run), idle_timeout=2)
        at(1, job.run)
        gevent.sleep(1)
        assert end_of(job) == exactly(3)
        assert type(task.error) is IdleTimeout and task.state is TaskState.FAILED
        assert_one_reason(job)

    played_in_every_order(program)


@pytest.mark.parametrize("rest", NO_PROGRESS.values(), ids=list(NO_PROGRESS))
def test_a_task_idles_out_just_so_long_after_its_last_tick(rest):
    def program():
        job = Job()
        run = lambda task: rest(task) if now() >= 5 else (gevent.sleep(1), task.tick())  # noqa: E731
        job.add_task(routines(None, run), idle_timeout=2)
        return end_of(job)

    assert played(program) == exactly(7)


@pytest.mark.parametrize("rest", NO_PROGRESS.values(), ids=list(NO_PROGRESS))
def test_a_task_idles_out_just_so_long_after_somebody_else_called_progress(rest):
    def program():
        job = Job()
        task = job.add_task(routines(None, rest), idle_timeout=2)
        for moment in (1, 2.5, 4.25):
            at(moment, task.progress)
        return end_of(job)

    assert played(program) == exactly(6.25)


def test_a_tick_by_somebody_else_is_progress_also_of_a_task_that_is_blocked():
    def program():
        job = Job()
        task = job.add_task(routines(None, forever), idle_timeout=2)
        at(1.5, task.tick)
        return end_of(job)

    assert played(program) == exactly(3.5)


def test_progress_within_one_long_run_counts_from_its_last():
    def run(task):
        for _ in range(5):
            gevent.sleep(1.9)
            task.progress()
        forever(task)

    def program():
        job = Job()
        job.add_task(routines(None, run), idle_timeout=2)
        return end_of(job)

    assert played(program) == exactly(5 * 1.9 + 2)


MOVERS = {
    "ticks between sleeps": lambda task: (gevent.sleep(1.9), task.tick()),
    "progress in one long run": lambda task: [
        (gevent.sleep(1.9), task.progress()) for _ in range(DAY)
    ],
    "progress while idling": lambda task: (task.progress(), task.idle(1.9)),
}


@pytest.mark.parametrize("run", MOVERS.values(), ids=list(MOVERS))
def test_a_task_that_ticks_or_says_progress_in_time_does_not_idle_out(run):
    def program():
        job = Job().with_timeout(HOUR / 4)
        job.add_task(routines(None, run), idle_timeout=2)
        assert end_of(job) == HOUR / 4 and job.was_timed_out()
        assert states(job) == [TaskState.CANCELLED]

    played(program)


def test_a_slow_prerequisite_or_oneshot_is_no_idleness():
    def program():
        ready = Event()
        job = Job().with_prerequisites(ready)
        job.add_oneshot_task(routines(None, lambda task: (gevent.sleep(HOUR), task.done())))
        job.add_task(routines(nothing, forever), idle_timeout=2)
        at(HOUR, ready.set)
        return end_of(job)

    assert played(program) == exactly(2 * HOUR + 2)


def test_the_idle_timeout_of_a_task_that_comes_late_counts_from_its_own_begin():
    def program():
        job = Job()
        job.add_task(routines(None, park), idle_timeout=10)
        job.run()
        gevent.sleep(5)
        task = job.add_task(routines(None, park), idle_timeout=2)
        return end_of(job), job.interrupted_by.task is task

    assert played(program) == (exactly(7), True)


def test_a_task_that_has_ended_does_not_idle_out():
    def program():
        job = Job()
        job.add_task(routines(None, done), idle_timeout=2)
        job.add_task(routines(None, lambda task: (gevent.sleep(HOUR), task.done())))
        return end_of(job), job.state

    assert played(program) == (HOUR, JobState.DONE)


def test_an_init_idles_out_and_the_wait_at_the_gate_is_no_idleness():
    def program():
        job = Job()
        job.add_task(routines(nothing, forever), idle_timeout=2)
        job.add_task(routines(lambda task: gevent.sleep(10)))
        assert end_of(job) == exactly(12)  # counted from its first run
        job = Job()
        job.add_task(routines(forever, park), idle_timeout=2)
        return end_of(job)

    assert played(program) == exactly(14)


def test_of_idle_timeouts_due_together_one_fails_its_task():
    def program():
        job = Job()
        for _ in range(5):
            job.add_task(routines(None, forever), idle_timeout=3)
        assert end_of(job) == exactly(3)
        assert_one_reason(job)
        assert len(job.errors) == 1

    played_in_every_order(program)


def test_a_tick_at_the_very_end_of_the_time_comes_in_time_or_too_late():
    def program():
        ends = []
        job = Job()
        task = job.add_task(routines(None, forever), idle_timeout=3)
        job.run().rawlink(lambda event: ends.append(now()))
        at(3, task.tick)
        gevent.sleep(10)
        assert_one_reason(job)
        return ends

    assert sorted(set(map(tuple, explore(program).values))) == [(3,), (6,)]


def test_a_job_of_a_month_that_ticks_each_hour_does_not_idle_out():
    ticks = []

    def run(task):
        gevent.sleep(HOUR)
        ticks.append(now())
        task.tick()

    def program():
        job = Job().with_timeout(MONTH + 1)
        job.add_task(routines(None, run), idle_timeout=HOUR + 1)
        return end_of(job), job.was_timed_out()

    assert played(program) == (MONTH + 1, True)
    assert ticks == [hour * HOUR for hour in range(1, 30 * 24 + 1)]


def test_a_job_of_a_month_idles_out_in_the_hour_in_which_nothing_comes():
    def run(task):
        gevent.sleep(HOUR if now() < 20 * DAY else 2 * HOUR)
        task.tick()

    def program():
        job = Job().with_timeout(MONTH)
        job.add_task(routines(None, run), idle_timeout=HOUR + 1)
        return end_of(job), job.was_timed_out()

    assert played(program) == (20 * DAY + HOUR + 1, False)


def test_a_job_of_a_month_that_forgets_its_tasks_does_not_grow():
    sizes = set()

    def work(task):
        gevent.sleep(10)
        task.done()

    def spawn(task):
        task.job.add_task(routines(None, work, lambda task: gevent.sleep(1)), idle_timeout=60)
        sizes.add((len(task.job.tasks), timers()))
        task.idle(HOUR)

    def program():
        job = Job(forget=True).with_timeout(MONTH)
        job.add_task(routines(None, spawn))
        return end_of(job)

    assert played(program) == MONTH
    assert max(sizes) == (2, 1)


# Waits


def test_a_join_of_an_hour_that_expires_returns_false_then_and_cancels_nothing():
    def program():
        job = Job()
        task = job.add_task(routines(None, lambda task: (gevent.sleep(2 * HOUR), task.done())))
        job.run()
        assert not job.join(HOUR) and now() == HOUR
        assert not task.join(HOUR / 2) and now() == 1.5 * HOUR
        assert not job.run().wait(1) and now() == 1.5 * HOUR + 1
        assert job.state is JobState.RECURRENT_RUNNING
        assert job.join(HOUR) and now() == 2 * HOUR
        return timers()

    assert played(program) == 0


def test_a_join_whose_time_is_over_when_the_job_ends_returns_then():
    def program():
        job = Job()
        job.add_task(routines(None, lambda task: (gevent.sleep(1), task.done())))
        job.run()
        job.join(1)
        assert now() == 1
        assert job.join() and now() == 1
        assert_one_reason(job)

    played_in_every_order(program)


def test_a_timeout_around_a_join_ends_the_job_then_and_goes_on():
    def program():
        job = Job()
        job.add_task(routines(None, forever, lambda task: gevent.sleep(0.05)))
        job.run()
        with pytest.raises(gevent.Timeout) as raised, gevent.Timeout(3) as timeout:
            job.join()
        assert raised.value is timeout and job.interrupted_by == (None, timeout)
        assert now() == exactly(3.05)

    played_in_every_order(program)


# At once


class Collision(Job):
    """A job of two tasks that has several reasons to end after 3 seconds."""

    def __init__(self, *reasons):
        super().__init__()
        self.broken, self.finalized, self.ends = False, [], []
        self.job_done_notify().rawlink(self.ends.append)
        idle_timeout = 3 if "idle timeout" in reasons else None
        self.parked = self.add_task(
            routines(self.meet, park, self.finalized.append), idle_timeout=idle_timeout
        )
        self.failing = self.add_task(routines(None, self.fail_if_broken, self.finalized.append))
        if "timeout" in reasons:
            self.with_timeout(3)
        for reason in reasons:
            if reason in ENDS:
                at(3, ENDS[reason], self)

    def meet(self, task):
        self.greenlet = gevent.getcurrent()

    def fail_if_broken(self, task):
        if self.broken:
            raise Broken
        task.park()

    def succeed(self):
        self.parked.done()
        self.failing.done()

    def fail(self):
        self.broken = True
        self.failing.tick()

    def kill(self):
        self.greenlet.kill(block=False)


ENDS = {
    "success": Collision.succeed,
    "failure": Collision.fail,
    "cancel": Job.cancel,
    "finish": Job.finish,
    "kill": Collision.kill,
}


@pytest.mark.parametrize(
    "reasons", list(itertools.permutations([*ENDS, "timeout", "idle timeout"], 2)), ids=" ".join
)
def test_of_two_reasons_due_at_once_exactly_one_counts_in_every_order(reasons):
    def program():
        job = Collision(*reasons)
        assert end_of(job) == exactly(3)
        assert_one_reason(job)
        before = job.interrupted_by, job.errors
        gevent.sleep(10)
        assert (job.interrupted_by, job.errors) == before
        assert job.finalized == [job.failing, job.parked] and len(job.ends) == 1

    played_in_every_order(program)


def test_of_all_reasons_due_at_once_exactly_one_counts():
    def program():
        job = Collision(*ENDS, "timeout", "idle timeout")
        assert end_of(job) == exactly(3)
        assert_one_reason(job)
        assert job.finalized == [job.failing, job.parked]

    played_in_every_order(program)


@pytest.mark.parametrize(
    "reasons",
    [
        *itertools.combinations(["cancel", "finish", "timeout", "idle timeout"], 2),
        ("success", "timeout"),
        ("success", "idle timeout"),
    ],
    ids=" ".join,
)
def test_of_two_reasons_due_at_once_each_may_be_the_one(reasons):
    def program():
        job, finalized = Job().with_timeout(3 if "timeout" in reasons else 9), []
        idle_timeout = 3 if "idle timeout" in reasons else None
        job.parked = job.add_task(routines(None, park, finalized.append), idle_timeout=idle_timeout)
        for reason in set(reasons) & set(LONE_ENDS):
            at(3, LONE_ENDS[reason], job)
        job.run()
        gevent.sleep(5)
        assert_one_reason(job)
        assert finalized == [job.parked]
        return type(job.interrupted_by.error).__name__

    both = {"cancel": "Cancelled", "timeout": "JobTimeout", "idle timeout": "IdleTimeout"}
    expected = {both.get(reason, "NoneType") for reason in reasons}
    if reasons == ("timeout", "idle timeout"):
        expected = {"JobTimeout"}  # one alarm checks both, in the order in which they were set
    assert set(explore(program).values) == expected


LONE_ENDS = {"success": lambda job: job.parked.done(), "cancel": Job.cancel, "finish": Job.finish}
