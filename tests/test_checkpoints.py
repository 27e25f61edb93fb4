"""A task that must stop is told so in every call to gowork that may block, and in no other."""

from __future__ import annotations

import gevent
import pytest
from makers import ended, park, passes, routines
from small_tasks import Broken

from gowork import (
    Cancelled,
    Channel,
    Event,
    Job,
    PingPong,
    TaskState,
    select,
)


def other_job():
    job = Job()
    job.add_task(routines(None, park))
    job.run()
    return job


def join_other(task):
    other_job().join()


BLOCKING = {
    "send": lambda task: Channel().send(1),
    "send that would not block": lambda task: Channel(1).send(1),
    "recv": lambda task: Channel().recv(),
    "iteration": lambda task: next(iter(Channel())),
    "select": lambda task: select([Channel().receiving()]),
    "select that would not block": lambda task: select([Channel(1).sending(1)]),
    "pingpong send": lambda task: PingPong().send(1),
    "pingpong recv": lambda task: PingPong().recv(),
    "event": lambda task: Event().wait(),
    "event that has happened": lambda task: ended(Job()).run().wait(),
    "join of a task": lambda task: task.job.tasks[1].join(),
    "join of a job": join_other,
    "assert_": lambda task: task.assert_(None),
    "assert_ that fails": lambda task: task.assert_(Broken()),
    "assert_true": lambda task: task.assert_true(True),
    "assert_not_none": lambda task: task.assert_not_none(1),
    "progress": lambda task: task.progress(),
}


@pytest.mark.parametrize("call", BLOCKING.values(), ids=list(BLOCKING))
def test_every_blocking_call_raises_cancelled_again_and_again(call):
    seen = []

    def run(task):
        task.job.cancel(reason)
        for _ in range(3):
            try:
                call(task)
            except Cancelled as error:
                seen.append(error.reason)
        task.done()

    reason = Broken()
    job = Job()
    task = job.add_task(routines(None, run))
    job.add_task(routines(None, park))
    ended(job)
    assert seen == [reason] * 3
    assert task.state is TaskState.CANCELLED and job.errors == (reason,)


QUIET = {
    "tick": lambda task: task.tick(),
    "idle": lambda task: task.idle(),
    "park": lambda task: task.park(),
    "done": lambda task: task.done(),
    "finish_job": lambda task: task.finish_job(),
    "cancel": lambda task: task.job.cancel(),
    "finish": lambda task: task.job.finish(),
    "log": lambda task: task.job.log(1, "words"),
    "reads": lambda task: [
        (task.job.state, task.job.errors, task.job.tasks, task.job.interrupted_by),
        (task.job.unstopped, task.job.was_timed_out(), task.job.value, repr(task.job)),
        (task.job.check(), task.job.run().is_set(), task.job.task_done_notify()),
        (task.state, task.error, task.name, task.index, task.result, repr(task)),
    ],
}


@pytest.mark.parametrize("call", QUIET.values(), ids=list(QUIET))
def test_verdicts_cancel_finish_logging_and_reads_never_raise_it(call):
    seen = []

    def run(task):
        task.job.cancel()
        seen.append(call(task))
        task.done()

    job = Job()
    job.add_task(routines(None, run))
    ended(job)
    assert len(seen) == 1 and len(job.errors) == 1


def test_a_helper_greenlet_of_a_stopped_task_is_not_stopped():
    seen = []

    def helper(channel):
        seen.append(channel.recv())

    def run(task):
        channel = Channel()
        helping = gevent.spawn(helper, channel)
        task.job.cancel()
        gevent.spawn(channel.send, "value").join()
        helping.join()

    job = Job(grace=1)
    job.add_task(routines(None, run))
    ended(job)
    passes(5)
    assert seen == ["value"]
