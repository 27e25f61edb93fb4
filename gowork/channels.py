"""Channels: pipes between greenlets through which each value passes exactly once."""

from __future__ import annotations

import math
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Sequence
from itertools import count, takewhile
from typing import Any, Generic, TypeVar

from gevent import Greenlet, get_hub
from gevent.hub import Hub
from zope.interface import implementer

from gowork.clocks import as_seconds
from gowork.errors import ChannelClosed, ChannelTimeout, StateError, WouldBlock
from gowork.interfaces import IChannel
from gowork.operations import Case, Entry, Item, Operation, Queue, seed, spare
from gowork.scopes import checkpoint
from gowork.threads import allocate_lock, get_ident

__all__ = ["Case", "Channel", "seed", "select"]

T = TypeVar("T")


@implementer(IChannel)
class Channel(Generic[T]):
    """A pipe between greenlets of one hub, after Go's: values and waiters are FIFO.

    With *capacity* 0 a sender waits for its receiver; with more, so many values are
    kept; with ``math.inf`` no sender ever waits. ::

        channel = Channel(10, name="pictures")
        gevent.spawn(channel.send, "a picture")
        picture = channel.recv(timeout=5)

    The channel belongs to the hub in which it is first used. A greenlet that is killed
    or timed out in any operation loses no value: either it was handed over, or it is
    still the sender's, or it is in the channel, at the front if somebody has had it.
    A value put back so counts in ``len()`` beyond the capacity. (The exception: what a
    receive that must not wait takes from a sender that is just being killed has been
    received, although that ``send`` raises.)

    :raises TypeError: if *capacity* is neither an int nor ``math.inf``.
    :raises ValueError: if *capacity* is negative.
    """

    # Set by the job that owns the channel and closes it: closing it twice is no mistake.
    _owned = False

    def __init__(self, capacity: float = 0, *, name: str | None = None) -> None:
        if isinstance(capacity, bool) or not (isinstance(capacity, int) or capacity == math.inf):
            raise TypeError(f"the capacity must be an int or math.inf, not {capacity!r}")
        if capacity < 0:
            raise ValueError(f"the capacity must not be negative: {capacity}")
        self.name = name
        self._capacity = capacity
        self._closed = False
        self._hub: Hub | None = None
        self._numbers = count()
        self._items: deque[Item] = deque()
        # While items are kept, no receiver waits.
        self._senders: Queue = OrderedDict()
        self._receivers: Queue = OrderedDict()

    @property
    def capacity(self) -> float:
        """How many values it keeps; an int, or ``math.inf``."""
        return self._capacity

    @property
    def closed(self) -> bool:
        """Whether it has been closed; there may still be values to receive."""
        return self._closed

    def send(self, value: T, timeout: float | None = None) -> None:
        """Hand *value* over; blocks until a receiver, or the channel, has accepted it.

        :param timeout: seconds to wait at most; 0 tries once.
        :raises ChannelClosed: if the channel is closed, also while waiting.
        :raises ChannelTimeout: if the time is over; the value is still the caller's.
        :raises Cancelled: if the caller is a task that must stop.
        :raises StateError: if the channel belongs to another thread's hub.
        :raises TypeError: if *timeout* is no number.
        :raises ValueError: if it is negative.
        """
        _check_timeout(timeout)
        checkpoint()
        self._send(value, timeout, ChannelTimeout)

    def recv(self, timeout: float | None = None) -> T:
        """The next value; blocks until there is one.

        :param timeout: seconds to wait at most; 0 tries once.
        :raises ChannelClosed: if the channel is closed and drained, also while waiting.
        :raises ChannelTimeout: if the time is over.
        :raises Cancelled: if the caller is a task that must stop.
        :raises StateError: if the channel belongs to another thread's hub.
        :raises TypeError: if *timeout* is no number.
        :raises ValueError: if it is negative.
        """
        _check_timeout(timeout)
        checkpoint()
        return self._recv(timeout, ChannelTimeout)

    def send_nowait(self, value: T) -> None:
        """Hand *value* over without blocking; may be called in the hub.

        :raises WouldBlock: if neither a receiver nor the channel can accept it now.
        :raises ChannelClosed: if the channel is closed.
        :raises StateError: if the channel belongs to another thread's hub.
        """
        self._send(value, 0, WouldBlock)

    def recv_nowait(self) -> T:
        """The next value, without blocking; may be called in the hub.

        :raises WouldBlock: if there is none now.
        :raises ChannelClosed: if the channel is closed and drained.
        :raises StateError: if the channel belongs to another thread's hub.
        """
        return self._recv(0, WouldBlock)

    def send_threadsafe(self, value: T) -> None:
        """Hand *value* over from a thread that is not the channel's.

        Blocks the whole calling thread until the value is accepted, for which the
        channel's hub must be running; a thread that waits here does not keep it so.

        :raises ChannelClosed: if the channel is closed, also while waiting.
        :raises StateError: if the channel has not been used in a hub yet, or belongs to
            the calling thread.
        :raises Cancelled: if the caller is a task that must stop.
        """
        self._call_from_thread(self.send, value)

    def receiving(self) -> Case:
        """The case of a :func:`select` that receives from this channel."""
        return Case(self, sends=False)

    def sending(self, value: T) -> Case:
        """The case of a :func:`select` that sends *value* to this channel."""
        return Case(self, sends=True, value=value)

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

    def _close_now(self) -> None:
        """:meth:`close` for the job that owns the channel: never raises."""
        self._closed = True
        for queue in (self._senders, self._receivers):
            while queue:
                entry = next(iter(queue))
                entry.operation.settle(entry, None, False)

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

    def __repr__(self) -> str:
        return (
            f"<{type(self).__name__} {self.name or hex(id(self))}"
            f" capacity={self._capacity} len={len(self)} {'closed' if self._closed else 'open'}"
            f" senders={len(self._senders)} receivers={len(self._receivers)}>"
        )

    def _call_from_thread(self, fn: Callable[[Any], None], value: Any) -> None:
        """Call *fn(value)* in a greenlet of the channel's hub; block this thread until then."""
        checkpoint()
        hub, doing = self._hub, "send_threadsafe"
        if hub is None or hub.loop is None:
            raise StateError("WITHOUT_HUB", doing, f"use {self!r} in its hub first")
        if hub.thread_ident == get_ident():
            raise StateError("OF_THIS_THREAD", doing, "use send()")
        done = allocate_lock()
        done.acquire()
        errors: list[BaseException] = []

        def call() -> None:
            try:
                fn(value)
            except BaseException as error:  # whatever it is, it is the thread's to raise
                errors.append(error)
            finally:
                done.release()

        hub.loop.run_callback_threadsafe(Greenlet.spawn, call)
        done.acquire()
        if errors:
            raise errors.pop()

    def _withdraw(self, value: T) -> None:
        """Take *value* out again, if it is kept here, for a sender that has waited on."""
        for item in self._items:
            if item.value is value:
                self._items.remove(item)
                self._wake_sender()
                return

    # What an operation asks of its channels; nothing below ever switches.

    def _send(self, value: T, timeout: float | None, too_late: type[Exception]) -> None:
        outcome = Operation((Case(self, True, value),), "send").perform(timeout)
        if outcome is None:
            raise too_late(f"nobody took the value from {self!r}")
        if not outcome.ok:
            raise ChannelClosed(f"{self!r} is closed")

    def _recv(self, timeout: float | None, too_late: type[Exception]) -> T:
        outcome = Operation((Case(self, False),), "recv").perform(timeout)
        if outcome is None:
            raise too_late(f"no value came from {self!r}")
        if outcome.item is None:
            raise ChannelClosed(f"{self!r} is closed and drained")
        value: T = outcome.item.value
        return value

    def _enter(self, doing: str) -> None:
        """Be in the thread of the channel's hub; where that is refused, no hub is made."""
        if self._hub is not None and self._hub.thread_ident != get_ident():
            advice = "only send_threadsafe() may be called in another thread"
            raise StateError("BELONGS_TO_ANOTHER_HUB", doing, advice)
        self._hub = get_hub()

    def _is_ready(self, entry: Entry) -> bool:
        """Whether *entry*, not queued yet, could proceed now."""
        if self._closed:
            return True
        if entry.sends:
            return self._has_room() or spare(self._receivers, self._senders) is not None
        return bool(self._items) or spare(self._senders, self._receivers) is not None

    def _has_room(self) -> bool:
        return not self._senders and len(self._items) < self._capacity

    def _proceed(self, entry: Entry, take: bool) -> bool:
        """Settle *entry*, not queued yet, if it can be; *take* even a waiting sender's value."""
        if entry.sends:
            if self._closed:
                entry.operation.settle(entry, None, False)
                return True
            receiver = spare(self._receivers, self._senders)
            if receiver is None and not self._has_room():
                return False
            self._pass_on(entry, receiver)
            return True
        sender = spare(self._senders, self._receivers) if take and not self._items else None
        if self._items:
            entry.operation.settle(entry, self._items.popleft(), True)
            self._wake_sender()
        elif sender is not None:
            self._pass_on(sender, entry)
        elif self._closed:
            entry.operation.settle(entry, None, False)
        else:
            return False
        return True

    def _turn(self) -> tuple[Entry, Entry | None] | None:
        """The waiting sender whose turn it is, and its receiver; None for the channel itself.

        A select on both ends of one channel cannot be its own partner.
        """
        for sender in self._senders if self._receivers else ():
            for receiver in self._receivers:
                if receiver.operation is not sender.operation:
                    return sender, receiver
        if self._senders and len(self._items) < self._capacity:
            return next(iter(self._senders)), None
        return None

    def _pass_on(self, sender: Entry, receiver: Entry | None) -> None:
        item = Item(next(self._numbers), sender.value)
        if receiver is None:
            self._items.append(item)
        else:
            receiver.operation.settle(receiver, item, True)
        sender.operation.settle(sender, None, True)

    def _put_back(self, item: Item) -> None:
        """Give *item*, which its receiver could not use, to the next one, or keep it."""
        older = takewhile(lambda other: other.number < item.number, self._items)
        self._items.insert(sum(1 for _ in older), item)
        while self._items and self._receivers:
            receiver = next(iter(self._receivers))
            receiver.operation.settle(receiver, self._items.popleft(), True)

    def _join(self, entry: Entry) -> None:
        if entry.sends:
            self._senders[entry] = None
        else:
            self._receivers[entry] = None
            self._wake_sender()

    def _part(self, entry: Entry) -> None:
        if entry.sends:
            del self._senders[entry]
            self._wake_sender()
        else:
            del self._receivers[entry]

    def _wake_sender(self) -> None:
        turn = self._turn()
        if turn is not None:
            turn[0].operation.wake()


def select(
    cases: Sequence[Case | None], timeout: float | None = None
) -> tuple[int | None, Any, bool]:
    """``(index, value, ok)`` of the one case that proceeded; blocks until one can.

    Of several that can, one is chosen at random. ``ok`` is False for a receive from a
    closed and drained channel, and for ``(None, None, False)``: the time is over. None
    as a case never proceeds, and keeps the others' indexes::

        index, value, ok = select([pictures.receiving(), results.sending(result)])

    :param timeout: seconds to wait at most; 0 is Go's ``default``.
    :raises ChannelClosed: if the case that proceeds sends to a closed channel.
    :raises TypeError: if a case is neither from a channel nor None.
    :raises Cancelled: if the caller is a task that must stop.
    :raises StateError: if a channel belongs to another thread's hub.
    :raises TypeError: if *timeout* is no number.
    :raises ValueError: if it is negative.
    """
    _check_timeout(timeout)
    for case in cases:
        if case is not None and not isinstance(case, Case):
            raise TypeError(f"a case is made by receiving() or sending(), not {case!r}")
    checkpoint()
    outcome = Operation(cases, "select").perform(timeout)
    if outcome is None:
        return None, None, False
    entry, item, ok = outcome
    if entry.sends and not ok:
        raise ChannelClosed(f"{entry.channel!r} is closed")
    return entry.index, None if item is None else item.value, ok


def _check_timeout(timeout: float | None) -> None:
    if timeout is not None:
        as_seconds("timeout", timeout)
