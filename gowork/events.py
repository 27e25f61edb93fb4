"""Read-only events: what a job hands out so that anybody may wait for it.

gevent's own event belongs to the hub that first waits for it, and refuses greenlets of
others. This one keeps a link for each waiter, with the waiter's hub, and calls each
link in its hub: whoever registers looks once more afterwards whether it has happened
meanwhile, so that no thread falls between the two.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gevent
from gevent.hub import Waiter
from zope.interface import implementer

from gowork.clocks import as_seconds, start_timer
from gowork.interfaces import IEvent
from gowork.scopes import checkpoint
from gowork.threads import get_ident

__all__ = ["Event"]


@implementer(IEvent)
class Event:
    """Something that happens once and stays happened; only its owner makes it happen.

    Any number of greenlets may wait, of any thread, before or after. ``gevent.wait``
    takes it like one of gevent's own events.
    """

    __slots__ = ("__weakref__", "_happened", "_links", "_thread")

    def __init__(self) -> None:
        self._happened = False
        self._thread = get_ident()  # where it will happen, as far as is known
        self._links: dict[Callable[[Any], object], Any] = {}

    def wait(self, timeout: float | None = None) -> bool:
        """True once it has happened; blocks until then.

        :param timeout: seconds to wait at most; when they have passed: False.
        :raises TypeError: if *timeout* is no number.
        :raises ValueError: if it is negative.
        :raises Cancelled: if the caller is a task that must stop.
        """
        limit = None if timeout is None else as_seconds("timeout", timeout)
        checkpoint()
        return self._wait(limit)

    def is_set(self) -> bool:
        """Whether it has happened."""
        return self._happened

    def rawlink(self, callback: Callable[[Any], object]) -> None:
        """Call *callback(event)* in this thread's hub once it has happened; it must not block."""
        self._links[callback] = gevent.get_hub()
        if self._happened:
            self._notify()

    def unlink(self, callback: Callable[[Any], object]) -> None:
        """Take a :meth:`rawlink` back; unknown callbacks are ignored."""
        self._links.pop(callback, None)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {'set' if self._happened else 'not set'}>"

    def _set(self) -> None:
        self._happened = True
        if self._links:
            self._notify()

    def _notify(self) -> None:
        here = gevent.get_hub()
        while self._links:
            try:
                callback = next(iter(self._links))
                hub = self._links.pop(callback)
            except (KeyError, RuntimeError, StopIteration):
                continue  # another thread was at it, too
            if hub is here:
                hub.loop.run_callback(callback, self)
            elif hub.loop is not None:  # else its thread is over
                hub.loop.run_callback_threadsafe(callback, self)

    def _wait(self, timeout: float | None) -> bool:
        if self._happened:
            return True
        waiter: Waiter[Any] = Waiter()
        wake, loop = waiter.switch, waiter.hub.loop
        watchers: list[Any] = []
        self.rawlink(wake)
        try:
            if timeout is not None:
                watchers.append(start_timer(loop, timeout, wake, None))
            if self._thread != get_ident():
                # Our loop may have nothing else to wait for: it is not dead, it will be told.
                watchers.append(loop.async_())
                watchers[-1].start(wake, None)
            waiter.get()
        finally:
            self.unlink(wake)
            for watcher in watchers:
                watcher.close()
        return self._happened
