"""Ping/pong: a channel whose sender waits until its data has been processed.

Each piece of data travels as a :class:`Ping` that knows the sender which waits for the
answer, so that it can reach no other. The pings lie in a channel without bound: each has
a sender that waits, so there are never more of them than that. The senders stand in the
line of an exchange that nobody receives from; an answer lets one of them go.
"""

from __future__ import annotations

import enum
import math
import time
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Generic, NoReturn, TypeVar

from gevent import Greenlet, getcurrent
from greenlet import GreenletExit
from zope.interface import implementer

from gowork.channels import (
    Channel,
    Exchange,
    Party,
    as_capacity,
    call_from_thread,
    describe,
)
from gowork.clocks import as_seconds
from gowork.crews import Member
from gowork.errors import ChannelClosed, ChannelTimeout, NotAcknowledged
from gowork.interfaces import IPingPong
from gowork.scopes import checkpoint

__all__ = ["Ping", "PingPong"]

T = TypeVar("T")


class State(enum.Enum):
    """Where a ping is on its way to its receiver and back."""

    OUT = "on its way"
    TAKEN = "taken"
    ANSWERED = "answered"
    WITHDRAWN = "withdrawn"


OUT, TAKEN, ANSWERED, WITHDRAWN = State


class Ping(Generic[T]):
    """A piece of data that was received and is to be acknowledged.

    Either as a context manager, which gives the data and acknowledges on leaving the
    block, or by hand with :attr:`value` and :meth:`ack`.
    """

    __slots__ = ("_answer", "_receiver", "_sender", "_state", "value")

    def __init__(self, value: T) -> None:
        self.value = value
        # What waits for the answer, if it waits still.
        self._sender: Party | None = None
        self._state = OUT
        # Why it was not acknowledged, or None.
        self._answer: NotAcknowledged | None = None
        self._receiver: Greenlet[..., Any] | Member | None = None

    def ack(self) -> None:
        """Let the sender's ``send`` return. Does not block; a second answer means nothing.

        :raises StateError: in another thread than the sender's, while that waits.
        """
        self._settle(None)

    def __enter__(self) -> T:
        return self.value

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._settle(None if error is None else NotAcknowledged(error))

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.value!r} {self._state.value}>"

    def _take(self) -> None:
        """Belong to the running greenlet, whose death is an answer too."""
        self._state = TAKEN
        greenlet: Any = getcurrent()
        if isinstance(greenlet, (Greenlet, Member)):  # no other tells of its end
            self._receiver = greenlet
            greenlet.rawlink(self._receiver_died)

    def _receiver_died(self, greenlet: Any) -> None:
        reason = greenlet.exception
        if reason is None and isinstance(greenlet.value, GreenletExit):
            reason = greenlet.value
        self._settle(NotAcknowledged(reason or "the receiver ended without acknowledging"))

    def _settle(self, answer: NotAcknowledged | None) -> None:
        if self._state is not TAKEN:
            return
        if self._sender is not None:
            self._sender.exchange._enter("ack")
        self._state, self._answer = ANSWERED, answer
        if self._sender is not None:
            self._sender.done()
            self._sender = None
        self._forget_receiver()

    def _forget_receiver(self) -> None:
        """Have its death mean nothing: it has answered, or nobody would hear."""
        if self._receiver is not None:
            self._receiver.unlink(self._receiver_died)
            self._receiver = None

    def _withdraw(self) -> None:
        """Be nobody's any more, unless somebody has taken it."""
        if self._state is OUT:
            self._state = WITHDRAWN
            if self._sender is not None:
                self._sender.done()
                self._sender = None


class Pings(Channel[Ping[T]]):
    """Pings on their way, as many as come; those that were withdrawn go nowhere."""

    def __init__(self, capacity: float, name: str | None, kind: str) -> None:
        super().__init__(math.inf, name=name)
        self._asked = as_capacity(capacity)
        self._kind = kind

    def __len__(self) -> int:
        return int(min(len(self._items), self._asked))

    def __repr__(self) -> str:
        return describe(self, len(self._items) - len(self), len(self._receivers), self._kind)

    def withdraw(self, ping: Ping[T]) -> None:
        """Take *ping* out, if it is here and not in the hands of a receiver."""
        if ping in self._items:
            place = self._items.index(ping)
            del self._items[place]
            del self._returned[place : place + 1]

    def _put_back(self, number: int, ping: Ping[T]) -> None:
        if ping._state is OUT:
            super()._put_back(number, ping)


@implementer(IPingPong)
class PingPong(Generic[T]):
    """A pipe between greenlets whose ``send`` returns when the data has been processed.

    ::

        with pingpong.recv() as data:
            process(data)       # only now does the sender go on

    With a *capacity*, so many pieces of data may lie ready for receivers while their
    senders wait.

    :raises TypeError: if *capacity* is neither an int nor ``math.inf``.
    :raises ValueError: if *capacity* is negative.
    """

    # Set by the job that owns it, as for a channel.
    _owned = False

    def __init__(self, capacity: float = 0, *, name: str | None = None) -> None:
        self._pings: Pings[T] = Pings(capacity, name, type(self).__name__)
        self._senders = Exchange(0)

    @property
    def name(self) -> str | None:
        """The name it was given."""
        return self._pings.name

    @name.setter
    def name(self, name: str | None) -> None:
        self._pings.name = name

    @property
    def capacity(self) -> float:
        """How many pieces of data lie ready at most; an int, or ``math.inf``."""
        return self._pings.capacity

    @property
    def closed(self) -> bool:
        """Whether it has been closed."""
        return self._pings.closed

    def send(self, data: T, timeout: float | None = None) -> None:
        """Return when a receiver has processed *data*; blocks until then.

        When it raises and nobody had received the data, then nobody will.

        :param timeout: seconds to wait at most for the acknowledgement; 0 is always too late.
        :raises NotAcknowledged: if the receiver left its block by an exception, or its
            greenlet ended, without acknowledging.
        :raises ChannelClosed: if it is closed before anybody has received the data.
        :raises ChannelTimeout: if the time is over; its text tells whether a receiver
            has the data.
        :raises Cancelled: if the caller is a task that must stop.
        :raises StateError: if it belongs to another thread's hub.
        :raises TypeError: if *timeout* is no number.
        :raises ValueError: if it is negative.
        """
        limit = None if timeout is None else as_seconds("timeout", timeout)
        checkpoint()
        if limit == 0 and not self.closed:  # nobody can process it in no time
            self._pings._enter("send")
            raise ChannelTimeout(f"the data was not received in time: {self!r}")
        ping = Ping(data)
        self._pings.send_nowait(ping)
        try:
            ping._sender = self._senders._stand(ping)
            ping._sender.wait(limit)
            if ping._state is not ANSWERED:
                raise self._failure(ping)
            if ping._answer is not None:
                raise ping._answer
        finally:
            ping._sender = None
            if ping._state is OUT:
                ping._withdraw()
                self._pings.withdraw(ping)
            else:
                ping._forget_receiver()

    def _failure(self, ping: Ping[T]) -> Exception:
        if ping._state is WITHDRAWN:
            return ChannelClosed(f"{self!r} is closed")
        where = "received but not acknowledged" if ping._state is TAKEN else "not received"
        return ChannelTimeout(f"the data was {where} in time: {self!r}")

    def recv(self, timeout: float | None = None) -> Ping[T]:
        """The next piece of data, to be acknowledged; blocks until there is one.

        Use it in a ``with`` statement, or call ``ack()`` of what you get. If the
        greenlet that called ends without, the sender learns that too.

        :param timeout: seconds to wait at most; 0 tries once.
        :raises ChannelClosed: if it is closed, also while waiting.
        :raises ChannelTimeout: if the time is over.
        :raises Cancelled: if the caller is a task that must stop.
        :raises StateError: if it belongs to another thread's hub.
        :raises TypeError: if *timeout* is no number.
        :raises ValueError: if it is negative.
        """
        if timeout is None:
            deadline = None
        else:
            limit = as_seconds("timeout", timeout)
            deadline = math.inf if limit is None else time.monotonic() + limit
        while True:
            ping = self._pings.recv(timeout)
            if ping._state is OUT:
                ping._take()
                return ping
            # Its sender gave up after it had been handed to us: we stand at the end again.
            timeout = None if deadline is None else max(0.0, deadline - time.monotonic())

    def send_threadsafe(self, data: T) -> None:
        """:meth:`send` from a thread that is not its hub's; blocks the whole thread.

        :raises NotAcknowledged: as :meth:`send` does.
        :raises ChannelClosed: as :meth:`send` does.
        :raises StateError: if it has not been used in a hub yet, belongs to the calling
            thread, or its hub ends meanwhile.
        :raises Cancelled: if the caller is a task that must stop.
        """
        call_from_thread(self._pings._hub, self.send, data)

    def close(self) -> None:
        """Take no more data and wake all who wait. May be called in the hub.

        Senders keep what nobody has received yet; what has been received can still be
        acknowledged.

        :raises ChannelClosed: if it is closed already, unless it belongs to a job.
        :raises StateError: if it belongs to another thread's hub.
        """
        self._pings._enter("close")
        if self.closed and not self._owned:
            raise ChannelClosed(f"{self!r} is closed already")
        self._close_now()

    def _close_now(self) -> None:
        """:meth:`close` for the job that owns it: never raises."""
        self._pings._close_now()
        for sender in list(self._senders._senders):
            sender.value._withdraw()
        while self._pings._items:
            self._pings.withdraw(self._pings._items[0])

    def __iter__(self) -> Iterator[Ping[T]]:
        """Receive until it is closed."""
        try:
            while True:
                yield self.recv()
        except ChannelClosed:
            return

    def __len__(self) -> int:
        """How many pieces of data lie ready."""
        return len(self._pings)

    def __bool__(self) -> bool:
        return True

    def __reduce__(self) -> NoReturn:
        self._pings.__reduce__()

    def __repr__(self) -> str:
        return repr(self._pings)
