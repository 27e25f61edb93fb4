"""Where a job lives: in one hub, of one thread, of one process."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextvars import copy_context
from typing import Any

import gevent
from gevent import Greenlet

from gowork.threads import get_ident

__all__ = ["Home"]


class Home:
    """The hub, thread and process in which it was made."""

    def __init__(self) -> None:
        self.hub: Any = gevent.get_hub()
        self.loop: Any = self.hub.loop
        self.thread = get_ident()
        self._pid = os.getpid()

    def is_elsewhere(self) -> bool:
        """Whether the caller runs in another thread."""
        return bool(self.thread != get_ident())

    def is_a_copy(self) -> bool:
        """Whether this process is a fork of the one in which the home was made."""
        return os.getpid() != self._pid

    def call_soon(self, function: Callable[..., object], *args: Any) -> None:
        """Have the hub call *function*; from any thread."""
        if self.is_elsewhere():
            self.loop.run_callback_threadsafe(function, *args)
        else:
            self.loop.run_callback(function, *args)

    def call_here(self, function: Callable[..., object], *args: Any) -> None:
        """Call *function* now, or have the hub call it if the caller runs in another thread."""
        if self.is_elsewhere():
            self.call_soon(function, *args)
        else:
            function(*args)

    def raise_in_main(self, error: BaseException) -> None:
        """Raise *error* in the thread's main greenlet, as gevent does with what ends programs."""
        self.call_soon(self.hub.handle_system_error, type(error), error)

    def spawn(self, function: Callable[[], object], name: str) -> Greenlet[[], object]:
        """Start *function* in a greenlet of that *name*, in a copy of the caller's context."""
        greenlet = Greenlet(function)
        greenlet.name = name
        greenlet.gr_context = copy_context()
        greenlet.start()
        return greenlet
