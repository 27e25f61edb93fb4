"""After a fork the child's copies of a job are inert, and the parent's job knows nothing of it."""

from __future__ import annotations

import io
import os

import gevent
import gevent.event
import gevent.os
import pytest
from gevent import monkey
from makers import done, ended, noting, park, passes, routines
from small_tasks import Broken, blocks

from gowork import Cancelled, Channel, Job, JobState

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork"),
    pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning"),
]


def plain_fork():
    pid = monkey.get_original("os", "fork")()
    if pid == 0:
        gevent.reinit()
    return pid


FORKS = {"os.fork": plain_fork, "gevent.os.fork_gevent": gevent.os.fork_gevent}


@pytest.fixture(params=FORKS.values(), ids=list(FORKS))
def family(request):
    family = Family(request.param)
    yield family
    try:
        monkey.get_original("os", "waitpid")(family.pid, 0)
    except ChildProcessError:  # a loop that once had children to watch reaps them all
        pass


class Family:
    """Notes that parent and child take; the parent gets to know those of the child."""

    def __init__(self, fork):
        self.fork = fork
        self.notes = []
        self.of_the_child = None

    def part(self, in_child=lambda: gevent.sleep(0.15)):
        """Fork; the child notes what its hub does meanwhile and ends. Blocks the hub till then."""
        reading, writing = os.pipe()
        self.pid = self.fork()
        if self.pid == 0:
            self.grow_up(writing, in_child)
        os.close(writing)
        with open(reading) as pipe:
            self.of_the_child = pipe.read().splitlines()

    def grow_up(self, writing, in_child):
        try:
            gevent.get_hub().exception_stream = printed = io.StringIO()
            self.notes.clear()
            try:
                in_child()
            except BaseException as error:
                self.notes.append(type(error).__name__)
            os.write(writing, "\n".join([*map(str, self.notes), printed.getvalue()]).encode())
        finally:
            os._exit(0)


def all_routines(notes, run=blocks):
    return routines(noting(notes, "init"), noting(notes, "run", run), noting(notes, "finalize"))


def test_a_fork_while_tasks_are_suspended_begins_nothing_in_the_child(family):
    job = Job(grace=0.05).with_timeout(0.1).with_shutdown(noting(family.notes, "handler"))
    job.add_task(all_routines(family.notes, park), idle_timeout=0.05)
    job.add_task(all_routines(family.notes, lambda task: task.idle(0.01)))
    job.add_task(all_routines(family.notes, lambda task: (gevent.sleep(0.01), task.tick())))
    job.run()
    passes(8)
    family.part()
    job.join()
    assert family.of_the_child == []
    assert family.notes.count("finalize") == 3 and family.notes.count("handler") == 1


@pytest.mark.parametrize("phase", ["oneshot", "init", "run", "finalize", "handler"])
def test_a_fork_in_a_routine_begins_no_other_in_the_child(family, phase):
    notes = family.notes
    here = {phase: lambda task: family.part()}
    job = Job().with_shutdown(noting(notes, "handler", here.get("handler", lambda error: None)))
    if phase == "oneshot":
        job.add_oneshot_task(routines(here["oneshot"], done, noting(notes, "finalize")))
    job.add_task(
        routines(
            noting(notes, "init", here.get("init", lambda task: None)),
            noting(notes, "run", lambda task: (here.get("run", passing)(task), task.job.cancel())),
            noting(notes, "finalize", here.get("finalize", passing)),
        )
    )
    job.add_task(all_routines(notes))
    ended(job)
    assert family.of_the_child == []
    assert notes.count("finalize") == (3 if phase == "oneshot" else 2)
    assert notes.count("handler") == 1 and len(job.errors) == 1


def passing(task):
    pass


def test_a_task_that_is_about_to_begin_at_the_fork_begins_in_the_parent_alone(family):
    job = Job()
    job.add_task(all_routines(family.notes, done))
    job.run()
    family.part()
    job.join()
    assert family.of_the_child == [] and family.notes == ["init", "run", "finalize"]


def test_a_fork_right_after_the_end_was_decided_calls_no_handler_in_the_child(family):
    job = Job().with_shutdown(noting(family.notes, "handler"))
    job.add_task(
        routines(
            None,
            lambda task: (task.job.cancel(), family.part(), task.done()),
            noting(family.notes, "finalize"),
        )
    )
    ended(job)
    assert family.of_the_child == [] and family.notes == ["handler", "finalize"]


def test_a_fork_in_a_finalizer_after_one_that_failed_calls_no_handler_in_the_child(family):

    def fail(task):
        raise Broken

    job = Job().with_shutdown(noting(family.notes, "handler"))
    job.add_task(routines(None, done, lambda task: family.part()))
    job.add_task(routines(None, done, fail))
    ended(job)
    assert family.of_the_child == [] and family.notes == ["handler"]


def test_the_copy_of_a_job_is_cancelled_in_the_child_and_takes_nothing_more(family):

    def look():
        family.notes.append((job.state.name, job.cancel(), job.finish(), job.run().is_set()))

    job = Job()
    job.add_task(routines(None, park))
    job.run()
    passes()
    family.part(look)
    assert family.of_the_child == ["('CANCELLED', False, False, False)"]
    assert job.state is JobState.RECURRENT_RUNNING
    job.finish()
    job.join()


def test_a_suspended_routine_stops_at_its_next_call_to_gowork_in_the_child(family):

    def run(task):
        gevent.sleep(0.05)
        family.notes.append("went on")
        try:
            Channel(1).send(1)
        except Cancelled:
            family.notes.append("stopped")
            raise
        task.done()

    job = Job()
    job.add_task(routines(None, run, noting(family.notes, "finalize")))
    job.run()
    passes()
    family.part()
    job.join()
    assert family.of_the_child == ["went on", "stopped"]
    assert family.notes == ["went on", "finalize"]


def test_a_job_that_waits_for_prerequisites_does_not_begin_in_the_child(family):
    ready = gevent.event.Event()
    job = Job().with_prerequisites(ready)
    job.add_task(all_routines(family.notes, done))
    job.run()
    passes()
    family.part(lambda: (ready.set(), gevent.sleep(0.05)))
    assert family.of_the_child == [] and job.state is JobState.WAITING
    ready.set()
    job.join()
    assert family.notes == ["init", "run", "finalize"]


def test_the_child_can_run_jobs_of_its_own(family):

    def live():
        with Job() as mine:
            mine.add_task(all_routines(family.notes, done))
            mine.add_task(routines(None, lambda task: (gevent.sleep(0.01), task.done())))

    job = Job()
    job.add_task(routines(None, park))
    job.run()
    passes()
    family.part(live)
    assert family.of_the_child == ["init", "run", "finalize"]
    job.finish()
    job.join()


def test_a_job_that_was_never_run_can_be_run_in_the_child(family):
    job = Job()
    job.add_task(all_routines(family.notes, done))
    family.part(lambda: ended(job))
    assert family.of_the_child == ["init", "run", "finalize"] and job.state is JobState.NEW


def test_ended_jobs_do_not_mind_a_fork(family):
    done_one, cancelled = ended(Job()), Job()
    cancelled.cancel()
    family.part(lambda: family.notes.append((done_one.state.name, cancelled.state.name)))
    assert family.of_the_child == ["('DONE', 'CANCELLED')"]
