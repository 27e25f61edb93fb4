"""Read-only events: what a job hands out so that anybody may wait for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gevent.event import Event as _GeventEvent
from zope.interface import implementer

from gowork.interfaces import IEvent
from gowork.scopes import checkpoint

__all__ = ["Event"]


@implementer(IEvent)
class Event:
    """Something that happens once and stays happened; only its owner makes it happen.

    Any number of greenlets may wait, of any thread, before or after. ``gevent.wait``
    takes it like one of gevent's own events.
    """

    __slots__ = ("__weakref__", "_event", "_links")

    def __init__(self) -> None:
        self._event = _GeventEvent()
        # gevent calls a link with the event linked to: ours, not the one inside.
        self._links: dict[Callable[[Any], object], Callable[[Any], object]] = {}

    def wait(self, timeout: float | None = None) -> bool:
        """True once it has happened; blocks until then.

        :param timeout: seconds to wait at most; when they have passed: False.
        :raises Cancelled: if the caller is a task that must stop.
        """
        checkpoint()
        return bool(self._event.wait(timeout))

    def is_set(self) -> bool:
        """Whether it has happened."""
        return bool(self._event.is_set())

    def rawlink(self, callback: Callable[[Any], object]) -> None:
        """Call *callback(event)* in the hub once it has happened; it must not block."""
        if callback in self._links:
            return

        def link(_: Any) -> None:
            self._links.pop(callback, None)
            callback(self)

        self._links[callback] = link
        self._event.rawlink(link)

    def unlink(self, callback: Callable[[Any], object]) -> None:
        """Take a :meth:`rawlink` back; unknown callbacks are ignored."""
        link = self._links.pop(callback, None)
        if link is not None:
            self._event.unlink(link)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {'set' if self.is_set() else 'not set'}>"

    def _set(self) -> None:
        self._event.set()
