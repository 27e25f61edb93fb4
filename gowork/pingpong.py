"""Ping/pong: a channel whose sender waits until its data has been processed.

Each piece of data travels as a :class:`Ping` that brings a way back of its own, so
that an answer can reach no other sender than the one that waits for it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Generic, TypeVar

from greenlet import GreenletExit
from zope.interface import implementer

from gowork.channels import Channel, select
from gowork.clocks import as_seconds
from gowork.errors import ChannelClosed, ChannelTimeout, NotAcknowledged
from gowork.interfaces import IPingPong
from gowork.scopes import on_end

__all__ = ["Ping", "PingPong"]

T = TypeVar("T")


class Ping(Generic[T]):
    """A piece of data that was received and is to be acknowledged.

    Either as a context manager, which gives the data and acknowledges on leaving the
    block, or by hand with :attr:`value` and :meth:`ack`.
    """

    def __init__(self, value: T) -> None:
        self.value = value
        self._answers: Channel[NotAcknowledged | None] = Channel(1)
        self._answered = False
        self._taken = False
        self._withdrawn = False
        self._forget_death: Callable[[], None] | None = None

    def ack(self) -> None:
        """Let the sender's ``send`` return. Does not block; a second answer means nothing."""
        self._answer(None)

    def __enter__(self) -> T:
        return self.value

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._answer(None if error is None else NotAcknowledged(error))

    def __repr__(self) -> str:
        state = "answered" if self._answered else "taken" if self._taken else "on its way"
        return f"<{type(self).__name__} {self.value!r} {state}>"

    def _take(self) -> None:
        """Belong to the running greenlet, whose death is an answer too."""
        self._taken = True
        self._forget_death = on_end(self._receiver_died)

    def _receiver_died(self, greenlet: Any) -> None:
        reason = greenlet.exception
        if reason is None and isinstance(greenlet.value, GreenletExit):
            reason = greenlet.value
        self._answer(NotAcknowledged(reason or "the receiver ended without acknowledging"))

    def _answer(self, answer: NotAcknowledged | None) -> None:
        if not self._answered:
            self._answers.send_nowait(answer)
            self._answered = True
            if self._forget_death is not None:
                self._forget_death()
                self._forget_death = None


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
        self._pings: Channel[Ping[T]] = Channel(capacity, name=name)
        # Never sent to; its end reaches the senders whose data nobody has taken yet.
        self._closing: Channel[None] = Channel()

    @property
    def name(self) -> str | None:
        """The name it was given."""
        return self._pings.name

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

        :param timeout: seconds to wait at most for the acknowledgement; 0 tries once.
        :raises NotAcknowledged: if the receiver left its block by an exception, or its
            greenlet ended, without acknowledging.
        :raises ChannelClosed: if it is closed before anybody has received the data.
        :raises ChannelTimeout: if the time is over; its text tells whether a receiver
            has the data.
        :raises Cancelled: if the caller is a task that must stop.
        :raises StateError: if it belongs to another thread's hub.
        """
        deadline = _deadline(timeout)
        ping = Ping(data)
        try:
            self._pings.send(ping, timeout)
            answer = self._wait_for_answer(ping, deadline)
        except BaseException:
            ping._withdrawn = True
            self._pings._withdraw(ping)
            raise
        if answer is not None:
            raise answer

    def _wait_for_answer(self, ping: Ping[T], deadline: float) -> NotAcknowledged | None:
        cases = [ping._answers.receiving(), self._closing.receiving()]
        index, answer, _ = select(cases, _left(deadline))
        if index == 1 and ping._taken:
            # Closed, but in somebody's hands: its fate is still to be told.
            index, answer, _ = select(cases[:1], _left(deadline))
        if index == 1:
            raise ChannelClosed(f"{self!r} is closed")
        if index is None:
            where = "was received but not acknowledged" if ping._taken else "was not received"
            raise ChannelTimeout(f"the data {where} in time: {self!r}")
        verdict: NotAcknowledged | None = answer
        return verdict

    def recv(self, timeout: float | None = None) -> Ping[T]:
        """The next piece of data, to be acknowledged; blocks until there is one.

        Use it in a ``with`` statement, or call ``ack()`` of what you get. If the
        greenlet that called ends without, the sender learns that too.

        :param timeout: seconds to wait at most; 0 tries once.
        :raises ChannelClosed: if it is closed, also while waiting.
        :raises ChannelTimeout: if the time is over.
        :raises Cancelled: if the caller is a task that must stop.
        :raises StateError: if it belongs to another thread's hub.
        """
        deadline = _deadline(timeout)
        while True:
            ping = self._pings.recv(timeout)
            if not ping._withdrawn:
                ping._take()
                return ping
            # Its sender gave up after it had been handed to us.
            timeout = _left(deadline)

    def send_threadsafe(self, data: T) -> None:
        """:meth:`send` from a thread that is not its hub's; blocks the whole thread.

        :raises NotAcknowledged: as :meth:`send` does.
        :raises ChannelClosed: as :meth:`send` does.
        :raises StateError: if it has not been used in a hub yet, or belongs to the
            calling thread.
        """
        self._pings._call_from_thread(self.send, data)

    def close(self) -> None:
        """Take no more data and wake all who wait. May be called in the hub.

        Senders keep what nobody has received yet; what has been received can still be
        acknowledged.

        :raises ChannelClosed: if it is closed already, unless it belongs to a job.
        :raises StateError: if it belongs to another thread's hub.
        """
        if not (self._owned and self.closed):
            self._pings.close()
            self._close_now()

    def _close_now(self) -> None:
        """:meth:`close` for the job that owns it: never raises."""
        self._pings._close_now()
        self._closing._close_now()

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

    def __repr__(self) -> str:
        return repr(self._pings).replace(type(self._pings).__name__, type(self).__name__, 1)


def _deadline(timeout: float | None) -> float:
    limit = None if timeout is None else as_seconds("timeout", timeout)
    return math.inf if limit is None else time.monotonic() + limit


def _left(deadline: float) -> float:
    return max(0.0, deadline - time.monotonic())
