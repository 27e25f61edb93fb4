"""What makes life hard for a job: a hub that is kept busy, and routines that will not stop."""

from __future__ import annotations

import time

import gevent


def stall(seconds):
    """Keep the hub from whatever falls due meanwhile."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        pass


def stubborn_until(released):
    """A routine that swallows every delivery until the list *released* has something in it."""

    def stubborn(task):
        while not released:
            try:
                gevent.sleep(0.01)
            except BaseException:
                pass
        getattr(task, "done", int)()  # what a shutdown handler is given has no verdicts

    return stubborn
