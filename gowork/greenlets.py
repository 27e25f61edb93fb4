"""What is asked of greenlets and threads at every hand-over; C in ``_greenlets.pxd``."""

from __future__ import annotations

from typing import Any

import greenlet as greenlets
from gevent import getcurrent

from gowork.threads import get_ident

__all__ = [
    "get_ident",
    "getcurrent",
    "import_greenlet",
    "is_child",
    "switch",
    "switch_to",
    "task_of",
    "throw",
]


def import_greenlet() -> None:
    """Nothing here; in C it makes the other functions work."""


def is_child(greenlet: Any, hub: Any) -> bool:
    """Whether *greenlet* belongs to *hub*, as all but a thread's first one do."""
    return hub is not None and greenlet.parent is hub


def switch_to(greenlet: Any) -> Any:
    """What the running greenlet is switched back with; calls no hook of gevent's."""
    return greenlets.greenlet.switch(greenlet)


#: What greenlet itself does, whatever the class of a greenlet makes of it.
switch, throw = greenlets.greenlet.switch, greenlets.greenlet.throw


def task_of(greenlet: Any) -> Any:
    """The task whose routine runs in *greenlet*, or None."""
    return getattr(greenlet, "gowork_task", None)
