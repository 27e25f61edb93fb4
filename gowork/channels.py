"""Channels: pipes between greenlets through which each value passes exactly once."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Generic, NoReturn, TypeVar

from gevent import Greenlet
from zope.interface import implementer

from gowork.dice import seed, seeded
from gowork.errors import ChannelClosed, StateError
from gowork.interfaces import IChannel
from gowork.scopes import checkpoint
from gowork.threads import allocate_lock, get_ident

if TYPE_CHECKING or os.environ.get("PURE_PYTHON"):
    from gowork.exchanges import Case, Exchange
    from gowork.parties import Party
    from gowork.selects import select
else:
    try:
        from gowork._exchanges import Case, Exchange
        from gowork._parties import Party
        from gowork._selects import select
    except ImportError:  # they have not been built: it goes without, only slower
        from gowork.exchanges import Case, Exchange
        from gowork.parties import Party
        from gowork.selects import select

__all__ = [
    "Case",
    "Channel",
    "Exchange",
    "Party",
    "as_capacity",
    "call_from_thread",
    "describe",
    "seed",
    "seeded",
    "select",
]

T = TypeVar("T")
GLANCE = 1  # seconds; how often a thread that waits looks whether the hub has ended


@implementer(IChannel)
class Channel(Exchange, Generic[T]):
    """A pipe between greenlets of one hub, after Go's: values and waiters are FIFO.

    With *capacity* 0 a sender waits for its receiver; with more, so many values are
    kept; with ``math.inf`` no sender ever waits. ::

        channel = Channel(10, name="pictures")
        gevent.spawn(channel.send, "a picture")
        picture = channel.recv(timeout=5)

    The channel belongs to the hub in which it is first used. A greenlet that is killed
    or timed out in any operation loses no value: either it was handed over, or it is
    still the sender's, or it is in the channel, at the front if somebody has had it.
    A value put back so counts in ``len()`` beyond the capacity.

    :raises TypeError: if *capacity* is neither an int nor ``math.inf``.
    :raises ValueError: if *capacity* is negative.
    """

    # Set by the job that owns the channel and closes it: closing it twice is no mistake.
    _owned = False

    def __init__(self, capacity: float = 0, *, name: str | None = None) -> None:
        self._asked: float = as_capacity(capacity)
        super().__init__(int(min(capacity, sys.maxsize)))  # nothing can hold more
        self.name = name

    @property
    def capacity(self) -> float:
        """How many values it keeps; an int, or ``math.inf``."""
        return self._asked

    @property
    def closed(self) -> bool:
        """Whether it has been closed; there may still be values to receive."""
        return self._closed

    def send_threadsafe(self, value: T) -> None:
        """Hand *value* over from a thread that is not the channel's.

        Blocks the whole calling thread until the value is accepted, for which the
        channel's hub must be running; a thread that waits here does not keep it so.

        :raises ChannelClosed: if the channel is closed, also while waiting.
        :raises StateError: if the channel has not been used in a hub yet, belongs to the
            calling thread, or its hub ends meanwhile.
        :raises Cancelled: if the caller is a task that must stop.
        """
        call_from_thread(self._hub, self.send, value)

    if TYPE_CHECKING:  # what an Exchange does, for values of one type

        def send(self, value: T, timeout: float | None = None) -> None: ...

        def recv(self, timeout: float | None = None) -> T: ...

        def send_nowait(self, value: T) -> None: ...

        def recv_nowait(self) -> T: ...

    def close(self) -> None:
        """Let no value in any more and wake all who wait; those inside can be received.

        Does not block and may be called in the hub. Waiting senders keep their values.

        :raises ChannelClosed: if it is closed already, unless it belongs to a job.
        :raises StateError: if the channel belongs to another thread's hub.
        """
        self._enter("close")
        if self._closed and not self._owned:
            raise ChannelClosed(f"{self!r} is closed already")
        self._close_now()

    def __iter__(self) -> Iterator[T]:
        """Receive until the channel is closed and drained."""
        try:
            while True:
                yield self.recv()
        except ChannelClosed:
            return

    def __len__(self) -> int:
        """How many values can be received without a sender."""
        return len(self._items)

    def __bool__(self) -> bool:
        return True

    def __reduce__(self) -> NoReturn:
        # Also of copy(), which would make two channels of one queue.
        raise TypeError(f"{self!r} cannot be copied or pickled: share it, or send its values")

    def __repr__(self) -> str:
        return describe(self, len(self._senders), len(self._receivers))


def as_capacity(capacity: float) -> float:
    """*capacity* if it is one.

    :raises TypeError: if it is neither an int nor ``math.inf``.
    :raises ValueError: if it is negative.
    """
    if isinstance(capacity, bool) or not (isinstance(capacity, int) or capacity == math.inf):
        raise TypeError(f"the capacity must be an int or math.inf, not {capacity!r}")
    if capacity < 0:
        raise ValueError(f"the capacity must not be negative: {capacity}")
    return capacity


def describe(pipe: Any, senders: int, receivers: int, kind: str = "") -> str:
    """The representation of a channel, or what is like one, and of how many wait at it."""
    return (
        f"<{kind or type(pipe).__name__} {pipe.name or hex(id(pipe))}"
        f" capacity={pipe.capacity} len={len(pipe)} {'closed' if pipe.closed else 'open'}"
        f" senders={senders} receivers={receivers}>"
    )


def call_from_thread(hub: Any, fn: Callable[[Any], object], value: Any) -> None:
    """Call *fn(value)* in a greenlet of *hub*; blocks this thread, which is another, until then.

    Where something is raised in the waiting thread itself, as by Ctrl-C, the greenlet is
    killed first; but where it has made the call already, this raises nevertheless.

    :raises StateError: if *hub* is None, or over, or this thread's own.
    """
    checkpoint()
    doing = "send_threadsafe"
    loop = None if hub is None else hub.loop
    if loop is None:
        raise StateError("WITHOUT_HUB", doing, "use it in its hub first")
    if hub.thread_ident == get_ident():
        raise StateError("OF_THIS_THREAD", doing, "use send()")
    done = allocate_lock()
    done.acquire()
    calls: list[Greenlet[..., Any]] = []

    def begin() -> None:
        call: Greenlet[..., Any] = Greenlet(_quietly, fn, value)
        # A link, since a greenlet that is killed before it begins still calls its links.
        call.rawlink(lambda _: done.release())
        calls.append(call)
        call.start()

    def stop() -> None:
        for call in calls:
            call.kill(block=False)

    loop.run_callback_threadsafe(begin)
    try:
        _wait_in_thread(done, hub)
    except BaseException:
        if hub.loop is not None:
            loop.run_callback_threadsafe(stop)
            _wait_in_thread(done, hub)
        raise
    error = calls[0].value
    if isinstance(error, BaseException):
        raise error


def _wait_in_thread(done: Any, hub: Any) -> None:
    while not done.acquire(timeout=GLANCE):
        if hub.loop is None:
            raise StateError("WITHOUT_HUB", "send_threadsafe", "it has ended meanwhile")


def _quietly(fn: Callable[[Any], object], value: Any) -> BaseException | None:
    try:
        fn(value)
    except BaseException as error:  # whatever it is, it is the waiting thread's to raise
        return error
    return None
