"""Where two rules meet: a second hub, a busy greenlet, a late error, a caller that is hit."""

from __future__ import annotations

import logging
import time

import gevent
import pytest
from hard_cases import stubborn_until
from makers import done, ended, in_a_thread, noting, park, passes, raising, routines
from zope.interface import directlyProvides

from gowork import (
    Cancelled,
    Case,
    Channel,
    ChannelClosed,
    Event,
    Job,
    JobState,
    Ping,
    PingPong,
    TaskState,
    WouldBlock,
    select,
    set_default_log_level,
)
from gowork.interfaces import IRoutines


def busy_after_a_timer(seconds=0.06):
    """Compute in a greenlet that a timer has woken: the loop's own clock is late by that."""
    gevent.sleep(0.001)
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        pass


WAITS = {
    "Event.wait": lambda job, channel: job.job_done_notify().wait(0.05),
    "Job.join": lambda job, channel: job.join(0.05),
    "Task.join": lambda job, channel: job.tasks[0].join(0.05),
    "select": lambda job, channel: select([channel.receiving()], 0.05)[2],
}


@pytest.mark.parametrize("wait", WAITS.values(), ids=list(WAITS))
def test_a_wait_of_a_greenlet_that_was_busy_takes_its_whole_time(wait):
    job = Job()
    job.add_task(routines(None, park))
    job.run()
    busy_after_a_timer()
    began = time.monotonic()
    assert wait(job, Channel()) is False
    assert time.monotonic() - began >= 0.045
    job.finish()
    job.join()


@pytest.mark.parametrize("length", [-1, float("nan")])
def test_no_event_can_be_waited_for_less_than_no_time(length):
    with pytest.raises(ValueError, match="seconds"):
        Event().wait(length)


def test_a_job_ends_although_its_notices_are_awaited_in_another_hub():
    def hear():
        with pytest.raises(ChannelClosed):
            notices.recv(timeout=10)
        return True

    job = Job().with_timeout(20)
    job.add_task(routines(None, done))
    notices = job.task_done_notify()
    elsewhere = gevent.spawn(in_a_thread, hear)
    while "receivers=1" not in repr(notices) and not elsewhere.dead:
        gevent.sleep(0.001)
    assert job.run().wait(10) and job.state is JobState.DONE
    assert elsewhere.get(timeout=10)


def test_notices_asked_for_here_may_tell_of_a_job_that_is_run_there():
    job = Job()
    task = job.add_task(routines(None, done))
    notices = job.task_done_notify()
    with pytest.raises(WouldBlock):
        notices.recv_nowait()
    told = in_a_thread(lambda: job.run().wait() and list(notices))
    assert told == [task]


def test_who_made_a_job_can_wait_here_for_its_end_in_another_thread():
    job = Job().with_timeout(20)
    task = job.add_task(routines(None, lambda task: gevent.sleep(0.05) or task.done()))
    running = gevent.spawn(in_a_thread, lambda: job.run() and job.join())
    while job.state is JobState.NEW:
        gevent.sleep(0.001)
    assert job.join() and task.join()
    assert running.get() is True


def test_a_sibling_that_fails_while_it_unwinds_does_not_disturb_another_that_unwinds():
    notes = []

    def unwinds_in_peace(task):
        try:
            gevent.sleep(60)
        finally:
            gevent.sleep(0.02)
            notes.append("in peace")

    def unwinds_badly(task):
        try:
            gevent.sleep(60)
        finally:
            raise ValueError("while unwinding")

    job = Job(grace=20).with_shutdown(lambda error: notes.append(str(error)))
    job.add_task(routines(None, unwinds_in_peace))
    job.add_task(routines(None, unwinds_badly))
    job.run()
    passes()
    job.finish()
    job.join()
    assert notes == ["in peace", "while unwinding"] and job.state is JobState.CANCELLED


def test_an_exit_out_of_a_finalizer_that_was_given_up_is_raised_in_main():
    released = []
    stubborn = stubborn_until(released)

    def finalize(task):
        stubborn(task)
        raise SystemExit("late")

    job = Job(grace=0.02, finalize_timeout=0.02)
    job.add_task(routines(None, done, finalize))
    ended(job)
    assert len(job.unstopped) == 1
    released.append(True)
    with pytest.raises(SystemExit, match="late"):
        gevent.sleep(10)


def test_what_hits_the_caller_in_an_error_wrapper_goes_on_in_the_caller():
    job = Job(finalize_timeout=20).with_error_wrapper(lambda error: gevent.sleep(60))
    job.add_task(routines(None, park))
    job.run()
    passes()
    mine = gevent.Timeout(0.02)
    with pytest.raises(gevent.Timeout) as caught, mine:
        job.cancel("reason")
    assert caught.value is mine and job.run().wait(10)
    assert job.interrupted_by.error == "reason" and job.errors == ("reason", mine)


def test_a_job_cancelled_in_another_thread_before_it_was_run_never_runs():
    notes = []
    job = Job().with_shutdown(noting(notes, "handler"))
    task = job.add_task(lambda job: (None, None, noting(notes, "finalizer")))
    assert in_a_thread(job.cancel) is True
    assert job.run().wait(10) and job.cancel() is False
    assert (job.state, task.state) == (JobState.CANCELLED, TaskState.SKIPPED)
    assert notes == ["handler"]


def test_a_task_that_must_stop_sends_nothing_to_another_thread():
    seen = []

    def run(task):
        task.job.cancel()
        try:
            Channel().send_threadsafe("late")
        except Cancelled as stop:
            seen.append(stop)
            raise

    job = Job()
    job.add_task(routines(None, run))
    ended(job)
    assert len(seen) == 1


def test_a_log_level_that_is_none_is_reported_and_raises_nothing(caplog):
    Job().log("loud", "hello")
    assert "failed on 'hello'" in caplog.text
    assert caplog.records[-1].levelno == logging.ERROR


def test_a_class_that_says_that_it_provides_the_routines_is_no_factory():
    class Static:
        init = None
        finalize = None

        @staticmethod
        def run(task):
            task.done()

    directlyProvides(Static, IRoutines)
    job = Job()
    job.add_task(Static)
    ended(job)
    assert job.state is JobState.DONE


def test_an_end_is_logged_before_it_is_published():
    seen = []

    class Logger:
        def log(self, level, message, *args):
            seen.append(job.run().is_set())

    job = Job()
    job.register_logger(Logger())
    job.add_task(routines(None, done))
    set_default_log_level(1)
    try:
        ended(job)
    finally:
        set_default_log_level(0)
    assert seen == [False]


def test_ping_and_case_have_names():
    pingpong = PingPong(1)
    gevent.spawn(pingpong.send, "data")
    ping = pingpong.recv()
    assert isinstance(ping, Ping) and isinstance(Channel().receiving(), Case)
    ping.ack()
    passes()


def test_the_first_error_of_a_finalizer_is_recorded_although_another_is_given_up():
    released = []
    job = Job(grace=0.02, finalize_timeout=0.02)
    job.add_task(routines(None, done, raising(KeyError("first added"))))
    job.add_task(routines(None, done, stubborn_until(released)))
    ended(job)
    released.append(True)
    gevent.sleep(0.05)
    assert [type(error).__name__ for error in job.errors] == ["FinalizeTimeout", "KeyError"]
