"""Stopping a program in good order when the system says so."""

from __future__ import annotations

import signal
from typing import Any

import gevent

from gowork import Job, Task

__all__ = ["until_a_signal"]


def until_a_signal(job: Job) -> tuple[Any, Any, Any]:
    """A task that lets the job finish well when SIGTERM or SIGINT comes."""
    watchers: list[Any] = []

    def init(task: Task) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            watchers.append(gevent.signal_handler(number, job.finish))

    def finalize(task: Task) -> None:
        for watcher in watchers:
            watcher.cancel()

    return init, Task.park, finalize
