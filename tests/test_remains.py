"""What is left of a job when it has ended: nothing, neither greenlets nor memory nor words."""

from __future__ import annotations

import gc
import weakref

import gevent
import pytest
from gevent.event import Event as GeventEvent
from greenlet import GreenletExit, greenlet
from makers import done, ended, nothing, noting, park, passes, raising, routines
from small_tasks import Broken, blocks, states

from gowork import Job, JobCancelled, JobState, TaskState, forks


def lived(end):
    """A weak reference to a job that has lived and ended."""
    job = Job().with_timeout(60)
    channel = job.channel(1)
    job.task_done_notify()
    job.add_oneshot_task(routines(None, done))
    job.add_task(routines(None, park, lambda task: channel.closed), idle_timeout=60)
    job.add_task(routines(lambda task: None, lambda task: task.idle(60)))
    end(job)
    return weakref.ref(job)


def cancelled(job):
    job.run()
    passes(8)
    job.cancel(Broken())
    job.join()


def raised_and_caught(job):
    with pytest.raises(JobCancelled), job:
        job.add_task(routines(None, raising(Broken())))


def killed(job):
    waiter = gevent.spawn(lambda: job.run() and job.join())
    passes(8)
    waiter.kill()


ENDS = {
    "finished": lambda job: (job.run(), passes(8), job.finish(), job.join()),
    "cancelled": cancelled,
    "cancelled before it ran": lambda job: job.cancel(),
    "raised": raised_and_caught,
    "waiter killed": killed,
    "never run": lambda job: None,
}


@pytest.mark.parametrize("end", ENDS.values(), ids=list(ENDS))
def test_a_job_that_nobody_holds_is_gone_after_one_collection(end):
    reference = lived(end)
    passes()
    gc.collect()
    assert reference() is None


def test_no_job_is_kept_in_the_list_of_those_under_way():
    before = set(forks.under_way)
    for end in ENDS.values():
        lived(end)

    def interrupt(error):
        raise KeyboardInterrupt

    Job().with_error_wrapper(interrupt).cancel()
    with pytest.raises(KeyboardInterrupt):
        gevent.sleep(1)
    assert forks.under_way == before


def test_a_thousand_jobs_in_sequence_leave_no_growth():
    def live():
        job = Job().with_timeout(60)
        job.add_task(routines(None, park, noting([], "finalized")), idle_timeout=60)
        job.add_task(routines(None, lambda task: task.job.cancel()))
        ended(job)

    def objects_after(count):
        for _ in range(count):
            live()
        passes()
        gc.collect()
        return len(gc.get_objects())

    objects_after(50)
    before = objects_after(50)
    assert objects_after(1000) - before < 100


def test_a_job_that_forgets_does_not_grow():
    def add(count):
        for _ in range(count):
            job.add_task(routines(None, done, noting([], "finalized")), idle_timeout=60)
            passes(2)
        passes(8)
        gc.collect()
        return len(gc.get_objects())

    job = Job(forget=True)
    job.add_task(routines(None, park))
    job.run()
    add(50)
    before = add(50)
    assert add(500) - before < 100 and len(job.tasks) == 1
    job.finish()
    job.join()


def test_an_event_of_the_end_does_not_hold_the_job():
    job = ended(Job())
    event, reference = job.run(), weakref.ref(job)
    del job
    gc.collect()
    assert reference() is None and event.is_set() and event.wait()


# A greenlet killed from outside


def greenlet_of(task):
    """The greenlet, as any code could find it that looks at all there are."""
    (found,) = (
        one
        for one in gc.get_objects()
        if isinstance(one, greenlet) and getattr(one, "gowork_task", None) is task
    )
    return found


@pytest.mark.parametrize("phase", ["init", "run", "parked", "idle", "gated"])
def test_a_greenlet_killed_from_outside_fails_its_task_in_every_phase(phase):
    notes = []
    run = {"parked": park, "idle": lambda task: task.idle(60)}.get(phase, blocks)
    job = Job()
    victim = job.add_task(
        routines(blocks if phase == "init" else lambda task: None, run, noting(notes, "finalized"))
    )
    if phase == "gated":
        job.add_task(routines(blocks))
    job.run()
    passes(8)
    greenlet_of(victim).kill()
    job.join()
    assert victim.state is TaskState.FAILED and isinstance(victim.error, GreenletExit)
    assert job.state is JobState.CANCELLED and notes == ["finalized"]


def test_a_killer_of_everything_that_moves_does_not_hang_the_job():
    notes = []
    job = Job(grace=1)
    for _ in range(5):
        job.add_task(routines(None, blocks, noting(notes, "finalized")))
    job.run()
    passes()
    gevent.killall([greenlet_of(task) for task in job.tasks])
    job.join()
    assert len(notes) == 5 and job.state is JobState.CANCELLED
    assert states(job).count(TaskState.FAILED) == 1


def test_an_exception_thrown_into_a_task_from_outside_is_its_failure():
    error = Broken()
    job = Job()
    victim = job.add_task(routines(None, blocks))
    job.run()
    passes()
    greenlet_of(victim).kill(error)
    job.join()
    assert victim.error is error and job.interrupted_by == (victim, error)


# Nothing is open at the moment of the end


def test_when_the_end_is_published_nothing_of_the_job_lives():
    seen = []

    def look(_):
        seen.append([one.dead for one in greenlets] + [job._alarm._timer])

    greenlets = []

    def run(task):
        greenlets.append(gevent.getcurrent())
        gevent.sleep(3600)

    job = Job().with_timeout(60)
    for _ in range(3):
        job.add_task(routines(None, run, run_short), idle_timeout=60)
    job.job_done_notify().rawlink(look)
    job.run()
    passes()
    job.cancel()
    job.join()
    assert seen == [[True, True, True, None]]


def test_a_task_that_wakes_at_the_gate_of_a_job_that_has_just_ended_leaves_no_timer():
    job = Job()
    job.add_task(routines(nothing, park), idle_timeout=60)
    job.add_task(routines(None, lambda task: task.job.cancel()), idle_timeout=60)
    ended(job)
    assert job._alarm._timer is None


def run_short(task):
    gevent.sleep(0.001)


def test_a_parked_task_woken_and_stopped_in_one_pass_leaves_nothing():
    event = GeventEvent()

    def run(task):
        event.wait(60)
        task.park()

    job = Job()
    task = job.add_task(routines(None, run), idle_timeout=60)
    job.run()
    passes()
    event.set()
    task.tick()
    job.cancel()
    task.done()
    job.join()
    assert job.state is JobState.CANCELLED
