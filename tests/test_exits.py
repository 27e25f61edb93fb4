"""KeyboardInterrupt and SystemExit in a job go to whoever joins or to main, once."""

from __future__ import annotations

import gevent
import pytest
from hard_cases import stall
from makers import done, nothing, noting, park, passes, raising, routines
from small_tasks import Broken

from gowork import Job, JobState

EXITS = [SystemExit, KeyboardInterrupt]


def caught_by(function):
    """A greenlet that calls *function*, and the list into which it puts what that raises."""
    raised = []

    def body():
        try:
            function()
        except BaseException as error:
            raised.append(error)

    return gevent.spawn(body), raised


@pytest.mark.parametrize("kind", EXITS)
@pytest.mark.parametrize("phase", ["oneshot", "init", "run", "finalize", "prerequisite", "handler"])
def test_an_exit_of_the_process_goes_to_every_joiner_after_the_finalizers(kind, phase):
    notes, exit_ = [], kind("now")
    fail = raising(exit_)
    job = Job()
    if phase == "prerequisite":
        job.with_prerequisites(type("Signal", (), {"wait": fail})())
    if phase == "handler":
        job.with_shutdown(fail)
        job.add_task(routines(None, raising(Broken())))
    if phase == "oneshot":
        job.add_oneshot_task(routines(None, fail, noting(notes, "finalized")))
    routine = {phase: fail} if phase in ("init", "run", "finalize") else {}
    job.add_task(routines(routine.get("init"), routine.get("run", done), routine.get("finalize")))
    job.run()
    waiters = [caught_by(job.join) for _ in range(2)]
    with pytest.raises(kind) as raised:
        job.join()
    gevent.joinall([waiter for waiter, _ in waiters])
    passes(5)
    assert raised.value is exit_ and [raised for _, raised in waiters] == [[exit_]] * 2
    assert exit_ in job.errors and job.state is JobState.CANCELLED


@pytest.mark.parametrize("kind", EXITS)
def test_an_exit_of_the_process_reaches_the_main_greenlet_when_nobody_joins(kind):
    notes, exit_ = [], kind("now")
    job = Job()
    job.add_task(routines(None, raising(exit_), noting(notes, "finalized")))
    job.run()
    with pytest.raises(kind) as raised:
        gevent.sleep(10)
    assert raised.value is exit_ and notes == ["finalized"] and job.run().is_set()


def test_an_exit_of_the_process_is_raised_once_out_of_a_with_block_that_failed():
    exit_ = SystemExit("now")
    with pytest.raises(SystemExit) as raised, Job() as job:
        job.add_task(routines(None, park, raising(exit_)))
        job.run()
        passes()
        raise Broken
    passes(5)  # it is not raised here once more
    assert raised.value is exit_


@pytest.mark.parametrize("callbacks", range(40, 50))
def test_an_exit_of_the_process_is_never_lost_between_the_end_and_an_expiring_join(callbacks):
    loop, raised = gevent.get_hub().loop, []

    def finalize(task):
        stall(0.02)  # longer than join will wait
        for _ in range(callbacks):
            loop.run_callback(nothing, None)
        raise SystemExit

    job = Job()
    job.add_task(routines(None, done, finalize))
    job.run()
    waiter, to_the_joiner = caught_by(lambda: job.join(0.01))
    try:
        waiter.join()
        gevent.sleep(0.01)
    except SystemExit as error:
        raised.append(error)
    waiter.join()
    assert len(raised + to_the_joiner) == 1


def test_an_exit_of_the_process_outranks_the_timeout_of_the_joiner():
    exit_ = SystemExit("now")
    job = Job()
    job.add_task(routines(None, park, raising(exit_)))
    job.run()
    with pytest.raises(SystemExit) as raised, gevent.Timeout(0.01):
        job.join()
    passes(5)
    assert raised.value is exit_


def test_an_exit_of_the_process_in_a_nested_job_goes_through_both_and_surfaces_once():
    exit_ = SystemExit("now")

    def run(task):
        with Job() as inner:
            inner.add_task(routines(None, raising(exit_)))

    outer = Job()
    outer.add_task(routines(None, run))
    outer.run()
    with pytest.raises(SystemExit) as raised:
        outer.join()
    passes(5)
    assert raised.value is exit_ and outer.errors == (exit_,)
