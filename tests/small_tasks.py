"""More of what the tests make jobs of: routines that fail, block, and call."""

from __future__ import annotations

import gevent


class Broken(Exception):
    """What goes wrong on purpose; no two are equal."""


def ticks(task):
    task.tick()


def blocks(task):
    """Wait for what will not come, like a read from a silent peer."""
    gevent.sleep(3600)


def calling(function, *args):
    """A routine that calls *function* and is done."""

    def calls(task):
        function(*args)
        task.done()

    return calls


def states(job):
    """The states of the tasks in index order."""
    return [task.state for task in job.tasks]
