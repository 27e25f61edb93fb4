"""Where a job lives: in one hub, of one thread, of one process."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextvars import copy_context
from typing import Any

import gevent
from gevent import Greenlet
from gevent.monkey import get_original

__all__ = ["Home"]

# Threads by their native identity: a monkey-patched process counts greenlets.
get_ident = get_original("_thread", "get_ident")


class Home:
    """The hub, thread and process in which it was made."""

    def __init__(self) -> None:
        self.hub: Any = gevent.get_hub()
        self.loop: Any = self.hub.loop
        self._thread = get_ident()
        self._pid = os.getpid()

    def is_elsewhere(self) -> bool:
        """Whether the caller runs in another thread."""
        return bool(self._thread != get_ident())

    def is_a_copy(self) -> bool:
        """Whether this process is a fork of the one in which the home was made."""
        return os.getpid() != self._pid

    def call_soon(self, function: Callable[..., object], *args: Any) -> None:
        """Have the hub call *function*; from any thread."""
        if self.is_elsewhere():
            self.loop.run_callback_threadsafe(function, *args)
        else:
            self.loop.run_callback(function, *args)

    def spawn(self, function: Callable[[], object], name: str) -> Greenlet[[], object]:
        """Start *function* in a greenlet of that *name*, in a copy of the caller's context."""
        greenlet = Greenlet(function)
        greenlet.name = name
        greenlet.gr_context = copy_context()
        greenlet.start()
        return greenlet
