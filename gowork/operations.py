"""Operations: calls that wait until one of their cases can proceed on its channel.

An operation that waits stands, with one entry for each of its cases, in the queues of
its channels. Whatever makes one of them proceed settles the operation: in one step,
with no switch inside, it leaves all queues and learns its outcome; then it is woken.

gevent may throw an exception into a greenlet whose wake-up is already due, and the two
ends are treated differently because of that. A receiver that is thrown out with a value
in its hands puts it back at the front. A sender could not take back what somebody has
used, so a waiting sender is not relieved of its value but woken to hand it over by
itself: an exception that comes first finds the value still with it, and the turn passes
to the next sender. Only a receive that must not wait takes the value straight from a
waiting sender; if that one is being killed in the same pass of the loop, its ``send``
raises although the value has been received.
"""

from __future__ import annotations

import math
import random
from collections import OrderedDict, deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from gevent import get_hub
from gevent.hub import Waiter

from gowork.clocks import start_timer

if TYPE_CHECKING:
    from gowork.channels import Channel

__all__ = ["Case", "Entry", "Item", "Operation", "Queue", "seed", "seeded", "spare"]

_random = random.Random()


def seed(value: int | None = None) -> None:
    """Make the choices of :func:`select` repeatable; None makes them random again."""
    _random.seed(value)


@contextmanager
def seeded(value: int) -> Iterator[None]:
    """Within the block the choices of :func:`select` are those that follow from *value*."""
    state = _random.getstate()
    _random.seed(value)
    try:
        yield
    finally:
        _random.setstate(state)


class Case(NamedTuple):
    """One thing that a :func:`select` may do, made by the channel it does it to."""

    channel: Channel[Any]
    sends: bool
    value: Any = None


class Item(NamedTuple):
    """A value on its way; the number keeps its place when it is put back."""

    number: int
    value: Any


class Settled(NamedTuple):
    """What became of an operation: ``ok`` is False if the channel was closed."""

    entry: Entry
    item: Item | None
    ok: bool


class Entry:
    """A case of an operation, as it stands in its channel's queue."""

    __slots__ = ("channel", "index", "operation", "sends", "value")

    def __init__(self, operation: Operation, index: int, case: Case) -> None:
        self.operation = operation
        self.index = index
        self.channel, self.sends, self.value = case


# Waiters in the order they came. Unlike a deque it lets go of one in the middle at no
# cost, and a select leaves the middle of most of its queues.
Queue = OrderedDict[Entry, None]


class Operation:
    """One call of one greenlet that makes exactly one of its cases proceed."""

    __slots__ = ("_entries", "_expired", "_hub", "_outcome", "_standing", "_waiter")

    def __init__(self, cases: Sequence[Case | None], doing: str) -> None:
        self._entries: Sequence[Entry] = [
            Entry(self, index, case) for index, case in enumerate(cases) if case is not None
        ]
        self._standing: Sequence[Entry] = ()
        self._waiter: Waiter[None] | None = None
        self._expired = False
        self._outcome: Settled | None = None
        for entry in self._entries:
            entry.channel._enter(doing)
        self._hub = get_hub()

    def perform(self, timeout: float | None) -> Settled | None:
        """The outcome; None if *timeout* seconds passed before. Zero never blocks."""
        limit = None
        try:
            preferred = self._start(take=timeout == 0)
            while self._outcome is None and timeout != 0 and not self._expired:
                if limit is None and timeout is not None and timeout != math.inf:
                    limit = start_timer(self._hub.loop, timeout, self._expire)
                self._park(again=preferred)
                self._hand_over()
                if preferred and self._outcome is None:
                    self._leave()
                    preferred = self._start(take=False)
            return self._outcome
        except BaseException:
            if self._outcome is not None and self._outcome.item is not None:
                self._outcome.entry.channel._put_back(self._outcome.item)
            raise
        finally:
            self._leave()
            if limit is not None:
                limit.close()
            # An outcome knows its entry, which knows us: let the value go without the collector.
            self._outcome, self._entries = None, ()

    def settle(self, entry: Entry, item: Item | None, ok: bool) -> None:
        """Let *entry* be the case that proceeds, and all others be forgotten."""
        self._outcome = Settled(entry, item, ok)
        self._leave()
        self.wake()

    def wake(self) -> None:
        """Have the greenlet look around in this pass of the loop, if it is parked."""
        waiter, self._waiter = self._waiter, None
        if waiter is not None:
            self._hub.loop.run_callback(waiter.switch, None)

    def _start(self, take: bool) -> bool:
        """Do what can be done at once, else join the queues; *take*: do not even queue.

        Returns whether one case was preferred to others that could proceed as well. It
        depends on a sender that may yet die, so it stands alone and for one turn only:
        to wait longer while others are ready would be wrong.
        """
        ready: Sequence[Entry] = self._entries
        if take or len(ready) != 1:
            # A lone case that may wait need not ask: it tries, and queues if it must.
            ready = [entry for entry in ready if entry.channel._is_ready(entry)]
        chosen = _random.choice(ready) if ready else None
        done = chosen is not None and chosen.channel._proceed(chosen, take)
        if done or take:
            return False
        preferred = len(ready) > 1
        self._standing = [chosen] if preferred and chosen is not None else self._entries
        for entry in self._standing:
            entry.channel._join(entry)
        return preferred

    def _hand_over(self) -> None:
        """Send, if it is this operation's turn to."""
        for entry in self._standing:
            turn = entry.channel._turn() if entry.sends else None
            if turn is not None and turn[0].operation is self:
                entry.channel._pass_on(*turn)
                return

    def _park(self, again: bool) -> None:
        """Wait to be woken; *again*: once those that are woken already have had their turn."""
        waiter: Waiter[None] = Waiter(self._hub)
        self._waiter = waiter
        if again:
            self.wake()
        try:
            waiter.get()
        finally:
            self._waiter = None

    def _expire(self) -> None:
        self._expired = True
        self.wake()

    def _leave(self) -> None:
        standing, self._standing = self._standing, ()
        for entry in standing:
            entry.channel._part(entry)


def spare(takers: Queue, givers: Queue) -> Entry | None:
    """The first of *takers* that none of *givers* is about to serve.

    Both wait only for the moment until the first giver has been woken, or where a
    select stands on both ends of the channel.
    """
    if not givers:
        return next(iter(takers), None)
    free = deque(takers)
    for giver in givers:
        served = next((taker for taker in free if taker.operation is not giver.operation), None)
        if served is not None:
            free.remove(served)
        elif not free:
            break
    return free[0] if free else None
