"""What the tests make jobs of."""

from __future__ import annotations

import gevent
from gevent._hub_local import get_hub_if_exists

from gowork import Job


def routines(init=None, run=None, finalize=None):
    """A factory of just these routines."""
    return lambda job: (init, run, finalize)


def nothing(task):
    pass


def done(task):
    task.done()


def park(task):
    task.park()


def raising(error):
    """A routine that raises *error*."""

    def routine(task):
        raise error

    return routine


def noting(notes, what, then=nothing):
    """A routine that puts *what* into the list *notes*, then does *then*."""

    def routine(task):
        notes.append(what)
        then(task)

    return routine


def saying(*verdicts):
    """A routine that gives one of *verdicts* at each call, then done; a tuple is several."""
    left = list(verdicts)

    def routine(task):
        routine.calls += 1
        verdict = left.pop(0) if left else "done"
        for one in (verdict,) if isinstance(verdict, str) else verdict:
            getattr(task, one)()

    routine.calls = 0
    return routine


def ended(job):
    """*job*, once it has been run to its end."""
    job.run().wait()
    return job


def passes(count=3):
    """Let the loop go round, so that what is ready gets its turn."""
    for _ in range(count):
        gevent.sleep(0)


def in_a_thread(function):
    """What *function* returns in a thread of its own; other greenlets go on meanwhile."""

    def body():
        try:
            return function()
        finally:
            hub = get_hub_if_exists()
            if hub is not None:
                hub.destroy(destroy_loop=True)

    return gevent.get_hub().threadpool.apply(body)


def begun(run, init=None):
    """A job of one task that has begun, and the task."""
    job = Job()
    task = job.add_task(routines(init, run))
    job.run()
    passes(10)
    return job, task
