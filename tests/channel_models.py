"""What channels may do, as a plain model to compare them with.

The model is a set of worlds: each is a state in which the channels may be, given all that
has been seen so far. Between two events any of the moves that a world has may be made; what
a call returns or raises leaves the worlds in which it may do that. If none is left, the
channels did what no order of moves explains.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

# How a call may end, besides with the index of its case and the value it received.
CLOSED = "closed"  # ChannelClosed
LATE = "late"  # the time given to the call itself was over
REFUSED = "refused"  # it must not wait and found nothing to do
DIED = "died"  # of an exception that was thrown in


class Case(NamedTuple):
    """To receive from a channel or, with a value, to send to it."""

    index: int
    channel: int
    value: int | None = None

    def __repr__(self):
        return f"{self.index}: " + (
            f"recv({self.channel})" if self.value is None else f"send({self.channel}, {self.value})"
        )


class Call(NamedTuple):
    """A select; a plain send or receive has one case."""

    name: int
    cases: tuple[Case, ...]

    def __repr__(self):
        return f"<call {self.name} {self.cases}>"


class Item(NamedTuple):
    """A value that has left its sender; the numbers are the order in which they did."""

    channel: int
    number: int
    value: int


class End(NamedTuple):
    """What is settled for a call that has not returned yet; without an item: closed."""

    call: Call
    case: Case
    ok: bool
    item: Item | None = None

    @property
    def told(self):
        """What the call may say of it. That it died after it has sent, it may not."""
        if self.ok:
            return (self.case.index,)
        return (CLOSED, DIED) if self.case.value is not None else (CLOSED, DIED, self.case.index)


class State(NamedTuple):
    """What a channel tells of itself."""

    closed: bool
    length: int
    senders: int
    receivers: int


class World(NamedTuple):
    """A state of all channels."""

    closed: frozenset[int] = frozenset()
    kept: tuple[Item, ...] = ()  # sorted
    waiting: tuple[Call, ...] = ()  # in the order they came
    ends: frozenset[End] = frozenset()
    count: int = 0

    def settle(self, *ends):
        calls = [end.call for end in ends]
        return self._replace(
            waiting=tuple(call for call in self.waiting if call not in calls),
            ends=self.ends.union(ends),
        )

    def keep(self, item):
        return self._replace(kept=tuple(sorted((*self.kept, item))))

    def inside(self, channel):
        return [item for item in self.kept if item.channel == channel]

    def claims(self, channel, sends):
        """Who waits to send to, or to receive from, *channel*: calls with their cases."""
        return [
            (call, case)
            for call in self.waiting
            for case in call.cases
            if case.channel == channel and (case.value is not None) is sends
        ]

    def states(self, channels):
        """The :class:`State` of each of so many channels."""
        return tuple(
            State(
                channel in self.closed,
                len(self.inside(channel)),
                len(self.claims(channel, True)),
                len(self.claims(channel, False)),
            )
            for channel in range(channels)
        )

    def moves(self, capacities):
        """All worlds that are one move from this one: nobody overtakes, nobody meets himself."""
        for channel, capacity in enumerate(capacities):
            senders, receivers = self.claims(channel, True), self.claims(channel, False)
            inside = self.inside(channel)
            if channel in self.closed:
                for call, case in senders if inside else senders + receivers:
                    yield self.settle(End(call, case, ok=False))
            if inside:
                rest = self._replace(kept=tuple(one for one in self.kept if one != inside[0]))
                for call, case in first(receivers):
                    yield rest.settle(End(call, case, True, inside[0]))
            if channel in self.closed:
                continue
            numbered = self._replace(count=self.count + 1)
            if len(inside) < capacity:
                for call, case in first(senders):
                    item = Item(channel, self.count, case.value)
                    yield numbered.settle(End(call, case, True)).keep(item)
            for sender, receiver in [] if inside else meetings(senders, receivers):
                item = Item(channel, self.count, sender[1].value)
                yield numbered.settle(End(*sender, True), End(*receiver, True, item))


def first(claims, other=None):
    """The claims of the first call that is not *other*: any of its cases may proceed."""
    calls = [call for call, _ in claims if call != other]
    return [claim for claim in claims if claim[0] in calls[:1]]


def meetings(senders, receivers):
    """Who may meet: each the first for the other."""
    return [
        (sender, receiver)
        for sender in senders
        for receiver in first(receivers, sender[0])
        if sender in first(senders, receiver[0])
    ]


class Model:
    """The worlds that explain all that was seen of channels with these *capacities*."""

    def __init__(self, capacities):
        self.moves = functools.cache(lambda world: tuple(world.moves(capacities)))
        self.reach = functools.cache(self._reach)
        self.worlds = {World()}
        self.seen = []

    def begin(self, call):
        self._see(("begin", call))
        self.worlds = {world._replace(waiting=(*world.waiting, call)) for world in self.worlds}

    def close(self, channel):
        self._see(("close", channel))
        self.worlds = {world._replace(closed=world.closed | {channel}) for world in self.worlds}

    def end(self, call, how, value=None):
        """*call* has ended: *how* is the index of its case, or one of the words above."""
        self._see(("end", call, how, value))
        self._leave(one for world in self.worlds for one in self._after(world, call, how, value))

    def _after(self, world, call, how, value):
        """The worlds, one or none, that *world* may be once *call* has ended so."""
        end = next((end for end in world.ends if end.call == call), None)
        if end is None:
            if how in (DIED, LATE) or (how == REFUSED and self._may_refuse(world, call)):
                yield world._replace(waiting=tuple(one for one in world.waiting if one != call))
            return
        over = world._replace(ends=world.ends - {end})
        if end.item is not None and how == DIED:
            yield over.keep(end.item)  # it had a value in hands, and nobody has it now
        elif how in end.told and value == (end.item and end.item.value):
            yield over

    def _may_refuse(self, world, call):
        """Whether all who can move may do so, and *call* cannot even then."""
        return any(call in one.waiting and not self.moves(one) for one in self.reach(world))

    def look(self, *seen):
        """The channels show these lengths, and whether they are closed."""
        self._move()
        self._leave(
            world
            for world in self.worlds
            if seen == tuple(state[:2] for state in world.states(len(seen)))
        )

    def rest(self, *seen):
        """Nobody has anything left to do, and the channels show these states."""
        self._see(("rest", *seen))
        self._leave(
            world._replace(count=0, kept=tuple(renumbered(world.kept)))
            for world in self.worlds
            if not world.ends and not self.moves(world) and world.states(len(seen)) == seen
        )

    def _see(self, event):
        self.seen.append(event)
        self._move()

    def _move(self):
        self.worlds = set().union(*map(self.reach, self.worlds))

    def _reach(self, world):
        return {world}.union(*map(self.reach, self.moves(world)))

    def _leave(self, worlds):
        before, self.worlds = self.worlds, set(worlds)
        if not self.worlds:
            events = "\n  ".join(map(str, self.seen[-30:]))
            possible = "\n  ".join(map(str, before))
            raise AssertionError(f"not explained:\n  {events}\nwhere it could be\n  {possible}")


def renumbered(items):
    """*items* in the same order; nobody has any other in hands any more."""
    return [item._replace(number=number - len(items)) for number, item in enumerate(items)]
