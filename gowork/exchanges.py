"""Exchanges: where a value passes from a sender to a receiver, whole and once.

This is Go's algorithm, with one thing that Go has not: a receiver may be thrown out after
it has been handed its value, and gives it back. So values get numbers when they are
handed out, and one that comes back goes to the front, in the order of these numbers.
"""

from __future__ import annotations

from bisect import bisect
from collections import deque
from collections.abc import Callable
from typing import Any

import gevent

from gowork.clocks import as_seconds
from gowork.errors import ChannelClosed, ChannelTimeout, StateError, WouldBlock

__all__ = ["Case", "Exchange"]

# The extension has all these in C, where an import would hide them.
CLOSED: int
DONE: int
Line: type[parties.Line]
get_ident: Callable[[], int]
getcurrent: Callable[[], Any]
import_greenlet: Callable[[], None]
is_child: Callable[[Any, Any], bool]
task_of: Callable[[Any], Any]
new_party: Callable[[Any, parties.Line, bool, Any, Any, Any, Any], parties.Party]
if __name__ == "gowork.exchanges":
    from gowork import greenlets, parties

    for room in (greenlets, parties):
        globals().update({name: getattr(room, name) for name in room.__all__})
import_greenlet()

get_hub = gevent.get_hub  # a C variable there


class Case:
    """One thing that a :func:`~gowork.select` may do, made by the channel it does it to."""

    __slots__ = ("channel", "sends", "value")
    channel: Exchange
    sends: bool
    value: Any

    def __repr__(self) -> str:
        what = f"sending {self.value!r} to" if self.sends else "receiving from"
        return f"<{type(self).__name__} of {what} {self.channel!r}>"


def new_case(channel: Exchange, sends: bool, value: Any) -> Case:
    """For speed, as :func:`new_party`."""
    case = Case.__new__(Case)
    case.channel = channel
    case.sends = sends
    case.value = value
    return case


class Exchange:
    """The values of a channel and the lines of those who wait; see :class:`~gowork.Channel`."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._closed = False
        self._thread = 0
        self._hub: Any = None
        self._call_soon: Any = None
        # While values are kept no receiver waits, and while there is room no sender.
        self._items: deque[Any] = deque()
        # The numbers of those values, all at the front, that somebody has put back.
        self._returned: list[int] = []
        self._handed = 0
        self._senders = Line()
        self._receivers = Line()

    def send(self, value: Any, timeout: float | None = None) -> None:
        """Hand *value* over; blocks until a receiver, or the channel, has accepted it.

        :param timeout: seconds to wait at most; 0 tries once.
        :raises ChannelClosed: if the channel is closed, also while waiting.
        :raises ChannelTimeout: if the time is over; the value is still the caller's.
        :raises Cancelled: if the caller is a task that must stop.
        :raises StateError: if the channel belongs to another thread's hub.
        :raises TypeError: if *timeout* is no number.
        :raises ValueError: if it is negative.
        """
        limit = None if timeout is None else as_seconds("timeout", timeout)
        task = task_of(getcurrent())
        if task is not None:
            task._checkpoint()
        if self._accepts(value):
            return
        if limit is None or limit > 0:
            party = self._party(True, value, "send")
            self._senders.append(party)
            party.wait(limit)
            if party.state == DONE:
                return
            if party.state == CLOSED:
                raise ChannelClosed(f"{self!r} is closed")
        raise ChannelTimeout(f"nobody took the value from {self!r}")

    def recv(self, timeout: float | None = None) -> Any:
        """The next value; blocks until there is one.

        :param timeout: seconds to wait at most; 0 tries once.
        :raises ChannelClosed: if the channel is closed and drained, also while waiting.
        :raises ChannelTimeout: if the time is over.
        :raises Cancelled: if the caller is a task that must stop.
        :raises StateError: if the channel belongs to another thread's hub.
        :raises TypeError: if *timeout* is no number.
        :raises ValueError: if it is negative.
        """
        limit = None if timeout is None else as_seconds("timeout", timeout)
        task = task_of(getcurrent())
        if task is not None:
            task._checkpoint()
        if self._has_value("recv"):
            return self._take()
        if limit is None or limit > 0:
            party = self._party(False, None, "recv")
            self._receivers.append(party)
            party.wait(limit)
            if party.state == DONE:
                return party.give()
            if party.state == CLOSED:
                raise ChannelClosed(f"{self!r} is closed and drained")
        raise ChannelTimeout(f"no value came from {self!r}")

    def send_nowait(self, value: Any) -> None:
        """Hand *value* over without blocking; may be called in the hub.

        As it never blocks, it raises no :exc:`Cancelled`.

        :raises WouldBlock: if neither a receiver nor the channel can accept it now.
        :raises ChannelClosed: if the channel is closed.
        :raises StateError: if the channel belongs to another thread's hub.
        """
        if not self._accepts(value):
            raise WouldBlock(f"nobody took the value from {self!r}")

    def recv_nowait(self) -> Any:
        """The next value, without blocking; may be called in the hub.

        As it never blocks, it raises no :exc:`Cancelled`.

        :raises WouldBlock: if there is none now.
        :raises ChannelClosed: if the channel is closed and drained.
        :raises StateError: if the channel belongs to another thread's hub.
        """
        if not self._has_value("recv_nowait"):
            raise WouldBlock(f"no value came from {self!r}")
        return self._take()

    def receiving(self) -> Case:
        """The case of a :func:`~gowork.select` that receives from this channel."""
        return new_case(self, False, None)

    def sending(self, value: Any) -> Case:
        """The case of a :func:`~gowork.select` that sends *value* to this channel."""
        return new_case(self, True, value)

    # Nothing below switches.

    def _close_now(self) -> None:
        """Close, and wake all who wait, if from another thread then soon; never raises."""
        self._closed = True
        loop = None if self._hub is None else self._hub.loop
        if loop is None:
            return  # nobody can wait
        if self._thread != get_ident():
            loop.run_callback_threadsafe(self._close_now)
            return
        for line in (self._senders, self._receivers):
            while line.first is not None:
                line.first.settle(CLOSED)

    def _enter(self, doing: str) -> None:
        self._come_in(doing)  # which Python cannot call where it is C

    def _come_in(self, doing: str) -> bool:
        """Be in the thread of the hub, which is that of the first use."""
        if self._thread == get_ident():
            return True
        if self._thread:
            advice = "only send_threadsafe() may be called in another thread"
            raise StateError("BELONGS_TO_ANOTHER_HUB", doing, advice)
        self._belong_to(get_hub())
        return True

    def _hub_of(self, greenlet: Any, doing: str) -> Any:
        """The hub that *greenlet*, which runs, belongs to; those who wait here must, too."""
        if not is_child(greenlet, self._hub):
            hub = get_hub()
            if hub is not self._hub:
                if self._senders.first is not None or self._receivers.first is not None:
                    advice = "those who wait here belong to that one"
                    raise StateError("BELONGS_TO_ANOTHER_HUB", doing, advice)
                self._belong_to(hub)
        return self._hub

    def _belong_to(self, hub: Any) -> None:
        """Be there for the greenlets of *hub* from now on; nobody else waits."""
        self._hub = hub
        self._call_soon = hub.loop.run_callback
        self._thread = hub.thread_ident

    def _party(self, sends: bool, value: Any, doing: str) -> parties.Party:
        """The running greenlet as a party that does not stand here yet."""
        greenlet = getcurrent()
        hub = self._hub_of(greenlet, doing)
        line = self._senders if sends else self._receivers
        return new_party(self, line, sends, value, greenlet, hub, self._call_soon)

    def _stand(self, value: Any) -> parties.Party:
        """The running greenlet as a sender that stands here; it is to wait."""
        party = self._party(True, value, "send")
        self._senders.append(party)
        return party

    def _accepts(self, value: Any) -> bool:
        """Give *value* to the first receiver, or keep it; False if neither can be now."""
        self._come_in("send")
        if self._closed:
            raise ChannelClosed(f"{self!r} is closed")
        receiver = self._receivers.first
        if receiver is not None:
            self._handed += 1
            self._hand(receiver, self._handed, value)
        elif len(self._items) < self._capacity:
            self._items.append(value)
        else:
            return False
        return True

    def _hand(self, receiver: parties.Party, number: int, value: Any) -> None:
        receiver.number = number
        receiver.value = value
        receiver.settle(DONE)

    def _has_value(self, doing: str) -> bool:
        """Whether :meth:`_take` has something to take."""
        self._come_in(doing)
        if self._items or self._senders.first is not None:
            return True
        if self._closed:
            raise ChannelClosed(f"{self!r} is closed and drained")
        return False

    def _take(self) -> Any:
        """The first value that is kept, or else that of the first sender."""
        if not self._items:
            return self._relieve()
        if self._senders.first is not None and len(self._items) <= self._capacity:
            self._items.append(self._relieve())  # first, as it fails if its loop is no more
        if self._returned:
            del self._returned[0]
        return self._items.popleft()

    def _relieve(self) -> Any:
        sender = self._senders.first
        assert sender is not None
        sender.settle(DONE)
        return sender.give()

    def _put_back(self, number: int, value: Any) -> None:
        """Give a value that its receiver could not use to the next one, or keep it in its place."""
        place = bisect(self._returned, number)
        self._returned.insert(place, number)
        self._items.insert(place, value)
        receiver = self._receivers.first
        if receiver is not None:
            self._hand(receiver, number, self._take())

    def _is_over(self) -> bool:
        return self._closed and len(self._items) == 0

    def _is_ready(self, sends: bool) -> bool:
        self._come_in("select")
        if self._closed:
            return True
        if sends:
            return self._receivers.first is not None or len(self._items) < self._capacity
        return self._senders.first is not None or len(self._items) > 0
