"""Greenlets that play ping/pong, and what each side says of each piece of data."""

from __future__ import annotations

import itertools
import time
from contextlib import contextmanager, suppress

import gevent
import pytest
from channel_plays import DEATHS, Player
from small_tasks import Broken

from gowork.errors import ChannelClosed, ChannelTimeout, NotAcknowledged


class Rally:
    """Senders and receivers of one PingPong; what each says of each piece of data."""

    def __init__(self, pingpong):
        self.pingpong = pingpong
        self.players, self.failures = [], []
        self.numbers = itertools.count(1)
        self.calls = 0
        self.sends = {}  # how the send of each piece of data has ended
        self.fates = {}  # what its receiver did with it

    def spawn(self, call, *args, **when):
        return Player(self).spawn(call, *args, **when)

    def send(self, timeout=None):
        data = next(self.numbers)
        self.sends[data] = "waits"
        try:
            with self.in_time(timeout):
                self.pingpong.send(data, timeout)
            self.sends[data] = "acknowledged"
        except NotAcknowledged as error:
            self.sends[data] = error
            return "not acknowledged"
        except ChannelClosed:
            self.sends[data] = "closed"
        except ChannelTimeout as error:
            self.sends[data] = "not answered" if "not acknowledged" in str(error) else "not taken"
        except DEATHS:
            self.sends[data] = "died"
            raise
        return self.sends[data]

    def recv(self, process, timeout=None):
        try:
            with self.in_time(timeout):
                ping = self.pingpong.recv(timeout)
        except ChannelClosed:
            return "closed"
        except ChannelTimeout:
            return "late"
        # Once, and not from a sender that has raised.
        assert ping.value not in self.fates
        assert self.sends[ping.value] == "waits"
        self.fates[ping.value] = "is held"
        try:
            self.fates[ping.value] = process(ping)
        except DEATHS as error:
            self.fates[ping.value] = error
            raise
        return ping.value

    @contextmanager
    def in_time(self, timeout):
        """If the block is late, then not later than that; with 0 nobody else has a turn."""
        begun = time.monotonic()
        self.calls += 1
        call = self.calls
        try:
            yield
        except ChannelTimeout:
            assert time.monotonic() == pytest.approx(begun + timeout)
            raise
        finally:
            assert timeout != 0 or self.calls == call

    def close(self):
        if not self.pingpong.closed:
            self.pingpong.close()

    def rest(self):
        """Nobody can do anything: then nobody waits for what nobody will do."""
        gevent.sleep(5)
        if self.failures:
            raise self.failures[0]
        for data, end in self.sends.items():
            self.compare(end, self.fates.get(data))

    def compare(self, end, fate):
        """Both sides tell the same of a piece of data; *fate* is None if nobody had it."""
        if isinstance(end, NotAcknowledged):
            unanswered = fate == "forgotten" or isinstance(fate, DEATHS[1:])
            assert end.reason is fate or (unanswered and is_an_end(end.reason))
        elif end in ("waits", "closed", "not taken"):
            assert fate is None
        elif end == "acknowledged":
            assert fate == "acknowledged"
        elif end == "not answered":
            assert fate is not None
        else:
            assert end == "died"

    def conclude(self):
        """How all players have ended; an end is made of those that wait."""
        self.rest()
        ends = tuple(player.end for player in self.players)
        for player in self.players:
            player.kill()
        self.rest()
        assert "len=0" in repr(self.pingpong) and "senders=0 receivers=0" in repr(self.pingpong)
        if not self.pingpong.closed:
            self.spawn(self.send)
            assert self.recv(in_a_block) == next(self.numbers) - 1
            self.pingpong.close()
        self.rest()
        return ends


def is_an_end(reason):
    """Whether *reason* is that of a greenlet that ended, or was killed later on."""
    return isinstance(reason, gevent.GreenletExit) or "ended without" in str(reason)


# What a receiver may do with what it has


def in_a_block(ping):
    with ping:
        gevent.sleep(0)
        return "acknowledged"


def by_hand(ping):
    gevent.sleep(0)
    ping.ack()
    with suppress(Broken), ping:
        raise Broken  # a second answer means nothing
    return "acknowledged"


def refusing(ping):
    error = Broken()
    try:
        with ping:
            gevent.sleep(0)
            raise error
    except Broken:
        return error


def forgetting(ping):
    gevent.sleep(0)
    return "forgotten"


def holding(ping):
    gevent.sleep(2)
    return in_a_block(ping)
