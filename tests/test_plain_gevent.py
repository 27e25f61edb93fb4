"""The README's table "plain gevent / gowork": both columns of every row."""

import contextvars

import gevent
import pytest
from gevent.event import Event
from gevent.pool import Group
from gevent.queue import Queue

from gowork import Job, JobCancelled, JobState, TaskState


def failing():
    raise LookupError("first")


@pytest.mark.hub_prints
def test_plain_siblings_of_a_failed_greenlet_go_on():
    group, go = Group(), Event()
    failed, sibling = group.spawn(failing), group.spawn(go.wait)
    failed.join()
    assert not sibling.dead
    go.set()
    group.join()


def test_a_jobs_siblings_are_stopped_and_the_error_is_raised():
    with pytest.raises(JobCancelled) as caught, Job() as job:
        job.spawn(failing)
        sibling = job.spawn(Event().wait)
    assert isinstance(caught.value.error, LookupError)
    assert sibling.state is TaskState.SKIPPED or sibling.state is TaskState.CANCELLED


@pytest.mark.hub_prints
def test_plain_join_tells_of_an_error_when_the_last_is_through():
    group, go = Group(), Event()
    group.spawn(failing)
    slow = group.spawn(go.wait)
    gevent.spawn_later(0.01, go.set)
    with pytest.raises(LookupError):
        group.join(raise_error=True)
    assert slow.dead


@pytest.mark.hub_prints
def test_plain_join_misses_an_error_from_before_it():
    group = Group()
    group.spawn(failing).join()
    gevent.sleep(0)
    group.join(raise_error=True)


def test_a_jobs_error_is_raised_whenever_it_came():
    job = Job()
    job.spawn(failing)
    job.run()
    gevent.sleep(0.01)
    job.join()
    with pytest.raises(JobCancelled):
        job.check()


def test_plain_greenlet_killed_before_it_ran_never_runs_its_finally():
    ran = []

    def work():
        try:
            ran.append("try")
        finally:
            ran.append("finally")

    gevent.spawn(work).kill()
    assert ran == []


def test_plain_second_kill_cuts_the_finally_of_the_first():
    cleaned = []

    def work():
        try:
            Event().wait()
        finally:
            gevent.sleep(0)
            cleaned.append("up")

    greenlet = gevent.spawn(work)
    gevent.sleep(0)
    greenlet.kill(block=False)
    gevent.get_hub().loop.run_callback(greenlet.throw, gevent.GreenletExit())
    greenlet.join()
    assert cleaned == []


def test_a_finalizer_is_out_of_reach_of_kills_of_its_task():
    cleaned = []

    def finalize(task):
        gevent.sleep(0)
        cleaned.append(task.name)

    job = Job()
    for name in ("a", "b"):
        job.add_task(lambda job: (None, lambda task: Event().wait(), finalize), name=name)
    job.run()
    gevent.sleep(0)
    for task in job.tasks:
        task._greenlet.kill(block=False)
        task._greenlet.kill(block=False)
    job.run().wait()
    assert cleaned == ["b", "a"]


def stubborn(release):
    while not release.is_set():
        try:
            release.wait()
        except gevent.GreenletExit:
            pass


def test_plain_group_waits_for_ever_for_who_swallows_a_kill():
    group, release = Group(), Event()
    group.spawn(stubborn, release)
    gevent.sleep(0)
    with gevent.Timeout(0.05, False):
        group.kill()
    with gevent.Timeout(0.05, False):
        group.kill()
    assert len(group) == 1
    release.set()
    group.join()


def test_a_job_ends_all_the_same_and_lists_who_swallows_its_kills():
    release = Event()
    job = Job(grace=0.05)
    task = job.spawn(stubborn, release)
    job.run()
    gevent.sleep(0)
    job.cancel()
    assert job.run().wait(10)
    assert [each.task for each in job.unstopped] == [task]
    assert "stubborn" in job.unstopped[0].stack
    release.set()
    task._greenlet.join()


def losing_a_kill(rounds):
    with gevent.Timeout(0.01, False):
        try:
            rounds.append("began")
            Event().wait()
        finally:
            gevent.sleep(0.05)


def test_plain_kill_can_be_lost_to_a_timeout():
    rounds = []
    greenlet = gevent.spawn(lambda: [losing_a_kill(rounds) for _ in range(2)])
    gevent.sleep(0)
    greenlet.kill()
    assert len(rounds) == 2


def test_a_stopped_task_begins_no_other_run():
    rounds = []

    def run(task):
        losing_a_kill(rounds)
        task.tick()

    job = Job()
    job.add_task(lambda job: (None, run, None))
    job.run()
    gevent.sleep(0)
    job.cancel()
    job.join()
    assert len(rounds) == 1


def test_plain_killed_greenlet_counts_as_successful():
    greenlet = gevent.spawn(gevent.sleep, 10)
    gevent.sleep(0)
    greenlet.kill()
    assert greenlet.successful()


def test_a_task_killed_by_a_stranger_has_failed():
    job = Job()
    task = job.spawn(gevent.sleep, 10)
    job.run()
    gevent.sleep(0)
    task._greenlet.kill()
    job.join()
    assert (task.state, job.state) == (TaskState.FAILED, JobState.CANCELLED)


def test_plain_greenlets_outlive_a_killed_waiter():
    group, go = Group(), Event()
    worker = group.spawn(go.wait)
    waiter = gevent.spawn(group.join)
    gevent.sleep(0)
    waiter.kill()
    assert not worker.dead
    go.set()
    group.join()


def test_a_killed_waiter_takes_the_job_with_it():
    finalized = []
    job = Job()
    job.add_task(lambda job: (None, lambda task: Event().wait(), finalized.append))
    job.run()
    waiter = gevent.spawn(job.join)
    gevent.sleep(0)
    waiter.kill()
    assert finalized == list(job.tasks)
    assert job.state is JobState.CANCELLED


def test_plain_loop_over_a_full_queue_starves_a_timeout():
    queue, gone = Queue(), []
    for number in range(2000):
        queue.put(number)
    gevent.spawn(gone.append, "another greenlet")
    while not queue.empty():
        queue.get()
    assert gone == []
    gevent.sleep(0)


def test_a_ticking_task_does_not_starve_a_timeout():
    job = Job().with_timeout(0.05)
    job.add_task(lambda job: (None, lambda task: task.tick(), None))
    job.run().wait()
    assert job.was_timed_out()


def test_plain_greenlet_has_no_context_and_a_task_has_its_adders():
    variable = contextvars.ContextVar("variable", default="default")
    variable.set("mine")
    plain = gevent.spawn(variable.get)
    plain.join()
    with Job() as job:
        task = job.spawn(variable.get)
    assert (plain.value, task.result) == ("default", "mine")
