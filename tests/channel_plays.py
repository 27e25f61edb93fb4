"""Greenlets that play with channels: each call is compared with the model, each value counted."""

from __future__ import annotations

import itertools
import re
import time

import gevent
import pytest
from channel_models import CLOSED, DIED, LATE, REFUSED, Call, Case, Model, State

from gowork.channels import Channel, select
from gowork.errors import Cancelled, ChannelClosed, ChannelTimeout, WouldBlock


class Thrown(BaseException):
    """What is thrown into a greenlet, besides what gevent and jobs throw."""


DEATHS = (gevent.GreenletExit, gevent.Timeout, Cancelled, Thrown)


class Player:
    """A greenlet in a call of a :class:`Play`, and how that ended."""

    def __init__(self, play):
        self.play, self.end, self.greenlet = play, "unborn", None
        play.players.append(self)

    def spawn(self, call, *args, delay=0, limit=None):
        self.greenlet = gevent.spawn_later(delay, self.run, call, *args, limit=limit)
        return self

    def run(self, call, *args, limit=None):
        """Call *call* in the running greenlet; *limit* is that of a ``gevent.Timeout``."""
        self.greenlet, self.end = gevent.getcurrent(), "waits"
        try:
            with gevent.Timeout(limit):
                self.end = call(*args)
        except DEATHS as error:
            self.end = type(error).__name__
            if isinstance(error, gevent.GreenletExit):
                raise  # to be told of it is what some wait for
        except BaseException as error:
            self.play.failures.append(error)

    def kill(self):
        """As gevent does it: at the next turn of the loop."""
        if self.greenlet:
            self.greenlet.kill(block=False)

    def throw(self):
        if self.end == "waits":
            self.greenlet.kill(Thrown, block=False)


class Play:
    """Channels and those who call them, all in one simulation."""

    def __init__(self, *capacities):
        self.channels = [Channel(capacity) for capacity in capacities]
        self.model = Model(capacities)
        self.numbers = itertools.count(1)
        self.players, self.failures = [], []
        self.sent, self.kept, self.received = [], [], []

    def spawn(self, call, *args, **when):
        return Player(self).spawn(call, *args, **when)

    def send(self, which, timeout=None):
        value = next(self.numbers)
        return self._send(which, value, lambda channel: channel.send(value, timeout), timeout)

    def send_nowait(self, which):
        value = next(self.numbers)
        return self._send(which, value, lambda channel: channel.send_nowait(value), 0)

    def _send(self, which, value, send, timeout):
        def call():
            send(self.channels[which])
            return 0, None

        how, _ = self._call([Case(0, which, value)], call, timeout)
        return "sent" if how == 0 else how

    def recv(self, which, timeout=None):
        return self._recv(which, lambda channel: channel.recv(timeout), timeout)

    def recv_nowait(self, which):
        return self._recv(which, lambda channel: channel.recv_nowait(), 0)

    def _recv(self, which, recv, timeout):
        how, value = self._call([Case(0, which)], lambda: (0, recv(self.channels[which])), timeout)
        return how if value is None else value

    def select(self, plan, timeout=None):
        """Each of *plan* is ``("send", which)``, ``("recv", which)`` or None."""
        cases, real = [], []
        for index, each in enumerate(plan):
            if each is None:
                real.append(None)
                continue
            doing, which = each
            value = next(self.numbers) if doing == "send" else None
            cases.append(Case(index, which, value))
            channel = self.channels[which]
            real.append(channel.receiving() if value is None else channel.sending(value))

        def call():
            index, value, ok = select(real, timeout)
            if index is None:
                raise ChannelTimeout
            assert ok or value is None
            return index, value

        return self._call(cases, call, timeout)

    def _call(self, cases, function, timeout):
        """How *function*, which may do one of *cases*, ends; with *timeout* 0 at once."""
        call = Call(len(self.model.seen), tuple(cases))
        offered = {case.index: case.value for case in cases if case.value is not None}
        how, value, begun = DIED, None, time.monotonic()
        self.model.begin(call)
        try:
            how, value = function()
        except ChannelClosed:
            how = CLOSED
        except (ChannelTimeout, WouldBlock):
            assert time.monotonic() == pytest.approx(begun + timeout)
            how = LATE if timeout else REFUSED
        finally:
            # Meanwhile nobody else has had a turn, if it is to be at once.
            assert timeout != 0 or len(self.model.seen) == call.name + 1
            if how in offered:
                self.sent.append(offered.pop(how))
            self.kept += offered.values()
            self.received += [] if value is None else [value]
            self.model.end(call, how, value)
        return how, value

    def close(self, which):
        """Close a channel that is open."""
        if not self.channels[which].closed:
            self.model.close(which)
            self.channels[which].close()

    def look(self):
        """What the channels tell of themselves, and what went wrong, is as the model has it."""
        if self.failures:
            raise self.failures[0]
        self.model.look(*(state_of(channel)[:2] for channel in self.channels))

    def rest(self):
        """Let everybody do what he can."""
        gevent.sleep(0.001)
        self.look()
        self.model.rest(*map(state_of, self.channels))

    def conclude(self):
        """How all players have ended, once nobody can do anything; THE LAW holds then."""
        self.rest()
        ends = tuple(player.end for player in self.players)
        for player in self.players:
            player.kill()
        self.rest()
        assert not any(player.greenlet for player in self.players)
        assert not gevent.get_hub().errors
        assert {state_of(channel)[2:] for channel in self.channels} == {(0, 0)}
        for which in range(len(self.channels)):
            while self.recv_nowait(which) not in (REFUSED, CLOSED):
                pass
        assert sorted(self.received) == sorted(self.sent)
        assert sorted(self.sent + self.kept) == list(range(1, next(self.numbers)))
        for channel in self.channels:
            assert channel.closed or exchange(channel, "fresh") == "fresh"
        return ends


def state_of(channel):
    senders, receivers = re.search(r" senders=(\d+) receivers=(\d+)>$", repr(channel)).groups()
    return State(channel.closed, len(channel), int(senders), int(receivers))


def exchange(channel, value):
    """*value* from one greenlet to another."""
    sender = gevent.spawn(channel.send, value, 1)
    received = channel.recv(1)
    sender.get()
    return received
