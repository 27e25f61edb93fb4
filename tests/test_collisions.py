"""Of reasons that fall into one pass of the loop exactly one counts, and all agree on it."""

from __future__ import annotations

import itertools

import gevent
import pytest
from hard_cases import stall
from makers import ended, park, passes, routines
from small_tasks import Broken, blocks, states

from gowork import (
    IdleTimeout,
    Job,
    JobState,
    TaskState,
)


class Collision(Job):
    """A job of two parked tasks, the second of which fails when it is told to."""

    def __init__(self):
        super().__init__()
        self.notices = self.task_done_notify()
        self.ends, self.finalized = [], []
        self.job_done_notify().rawlink(self.ends.append)
        self.broken = False
        self.one = self.add_task(routines(self.meet, park, self.finalized.append))
        self.two = self.add_task(routines(None, self.fail_if_broken, self.finalized.append))

    def meet(self, task):
        self.greenlet = gevent.getcurrent()

    def fail_if_broken(self, task):
        if self.broken:
            raise Broken
        task.park()

    def succeed(self):
        self.one.done()
        self.two.done()

    def fail(self):
        self.broken = True
        self.two.tick()

    def kill_one(self):
        self.greenlet.kill(block=False)


REASONS = {
    "success": Collision.succeed,
    "failure": Collision.fail,
    "cancel": Collision.cancel,
    "finish": Collision.finish,
    "kill": Collision.kill_one,
}


@pytest.mark.parametrize(
    ("first", "second"), list(itertools.permutations([*REASONS, "timeout"], 2))
)
def test_of_two_reasons_in_one_pass_exactly_one_counts_and_all_agree(first, second):
    job = Collision()
    for name, due in ((first, 0.01), (second, 0.011)):
        if name == "timeout":
            job.with_timeout(due)
        else:
            gevent.spawn_later(due, REASONS[name], job)
    job.run()
    gevent.spawn_later(0.005, stall, 0.01)  # so that both are due when it is over
    job.run().wait()
    gevent.sleep(0.02)
    assert_that_all_agree(job)


def assert_that_all_agree(job):
    task, error = job.interrupted_by
    assert (job.state is JobState.CANCELLED) is (error is not None) is bool(job.errors)
    assert job.errors[:1] == ((error,) if error is not None else ())
    assert job.ends == [job.job_done_notify()]
    assert sorted(each.index for each in job.notices) == [1, 2]
    assert job.finalized == [job.two, job.one]
    failed = [each for each in job.tasks if each.state is TaskState.FAILED]
    assert (task in failed) is (task is not None)
    assert all(each.error in job.errors for each in failed)
    assert job.was_timed_out() is (type(error).__name__ == "JobTimeout")
    assert job.unstopped == () and job.notices.closed
    passes(5)
    assert job.interrupted_by == (task, error) and len(job.finalized) == 2
    assert not job.cancel() and not job.finish()


def test_a_job_timeout_that_is_due_behind_an_idle_timeout_is_no_second_reason():
    def compute(task):
        gevent.sleep(0.01)
        stall(0.1)
        task.park()

    job = Job().with_timeout(0.055)
    idle = job.add_task(routines(None, blocks), idle_timeout=0.05)
    job.add_task(routines(None, compute))
    ended(job)
    assert job.interrupted_by.task is idle and isinstance(idle.error, IdleTimeout)
    assert not job.was_timed_out() and len(job.errors) == 1


def test_two_idle_timeouts_due_in_one_pass_fail_one_task():
    job = Job()
    for _ in range(2):
        job.add_task(routines(None, blocks), idle_timeout=0.05)
    ended(job)
    assert sorted(state.name for state in states(job)) == ["CANCELLED", "FAILED"]
    assert len(job.errors) == 1
