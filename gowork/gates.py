"""The gate of a job: every ``init``, one after another, before any ``run``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from gevent.event import Event

if TYPE_CHECKING:
    from gowork.tasks import Task

__all__ = ["Gate"]


class Gate:
    """Starts the inits of *tasks* in turn, then opens for good.

    It calls ``job._start(tasks)`` for what needs a greenlet, ``job._pass(task)`` for a
    task that has neither ``init`` nor ``run``.
    """

    def __init__(self, job: Any, tasks: Iterable[Task]) -> None:
        self._job = job
        self._tasks = list(tasks)
        self._turns = iter(self._tasks)  # those that are added have theirs, too
        self._opened: Event | None = None
        self.is_open = False

    def add(self, task: Task) -> None:
        """Let *task* take its turn, which is now if the gate is open."""
        if not self.is_open:
            self._tasks.append(task)
        elif task._init is None and task._run is None:
            self._job._pass(task)
        else:
            self._job._start([task])

    def advance(self) -> None:
        """Start the next init; when there are no more, open."""
        for task in self._turns:
            if task._init is not None:
                self._opened = self._opened or Event()
                self._job._start([task])
                return
            if task._run is None:
                self._job._pass(task)
        self.is_open = True
        if self._opened is not None:
            # A pass later: the task whose init was the last waits, too, and in its turn.
            self._job._home.call_soon(self._opened.set)
        tasks, self._tasks = self._tasks, []
        self._job._start([one for one in tasks if one._init is None and one._run is not None])

    def wait(self) -> None:
        """Block until the gate has opened."""
        if self._opened is not None:
            self._opened.wait()
