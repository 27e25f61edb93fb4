"""What channels and ping/pong may know of tasks: who runs, and whether it must stop.

A greenlet that runs a routine of a task carries the task in the attribute
``gowork_task``: an attribute rather than a context variable, because a helper
greenlet that copies the context is not the task.
"""

from __future__ import annotations

from typing import Any

from gevent import getcurrent

__all__ = ["checkpoint", "current_task"]


def current_task() -> Any:
    """The :class:`Task` whose routine runs in this greenlet, or None.

    A greenlet that a task has spawned for itself is not that task.
    """
    return getattr(getcurrent(), "gowork_task", None)


def checkpoint() -> None:
    """Stop here if this greenlet is a task that must stop; never blocks.

    :raises Cancelled: if the greenlet is a task of a job that is being stopped.
    """
    task = getattr(getcurrent(), "gowork_task", None)
    if task is not None:
        task._checkpoint()
