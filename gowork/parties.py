"""Parties: greenlets that wait to send or to receive, and the lines they stand in.

A call that has to wait stands as a :class:`Party` in the line of an exchange; a select
stands in several. Whoever makes one of them proceed moves the value and settles the call:
in one step, with no switch inside, it leaves all its lines and is woken through the loop.

gevent may throw an exception into a greenlet whose wake-up is already due. If that one
was to receive, it gives the value back. If its own value has been taken, the call returns,
and the exception is postponed.

This file is plain Python, and also the source of the extension ``gowork._parties``, which
``_parties.pxd`` gives its types; so are ``exchanges.py`` and ``selects.py``. Once they are
built, a change here takes effect with the next build, or at once with ``PURE_PYTHON=1``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from gowork import greenlets
from gowork.clocks import start_timer
from gowork.postponing import next_postponed, postpone, postponed

__all__ = ["CLOSED", "DONE", "WAITING", "Line", "Party", "new_party"]

# The extension has C functions of these names, which an import would hide.
import_greenlet: Callable[[], None]
switch_to: Callable[[Any], Any]
if __name__ == "gowork.parties":
    globals().update({name: getattr(greenlets, name) for name in greenlets.__all__})
import_greenlet()

# These are C variables there.
late_errors = postponed
hookless: set[type] = set()
# What has become of a party: it waits, has proceeded, has met the end, or has gone.
WAITING, DONE, CLOSED, GONE = range(4)


class Party:
    """A sender or receiver that waits: a greenlet's call, or one of several cases of it."""

    __slots__ = (
        "after", "before", "call_soon", "callback", "cases", "exchange", "greenlet", "hub",
        "index", "line", "number", "sends", "state", "stopped", "value",
    )  # fmt: skip
    line: Line
    exchange: Any
    sends: bool
    value: Any
    #: Which of several cases it is.
    index: int
    #: All the cases of its call, or None: it is the only one.
    cases: list[Party] | None
    greenlet: Any
    hub: Any
    call_soon: Any
    #: That which will wake the greenlet, once it is due.
    callback: Any
    state: int
    stopped: bool
    #: How many values its exchange had handed out when it got its own.
    number: int
    before: Party | None
    after: Party | None

    def wait(self, timeout: float | None) -> None:
        """Block until settled or stopped, *timeout* seconds at most; then it stands no more."""
        if timeout is None:
            self._wait()
            return
        limit = start_timer(self.hub.loop, timeout, self.stop)
        try:
            self._wait()
        finally:
            limit.close()

    def settle(self, state: int) -> None:
        """Proceed, or meet the end: leave all lines and be woken."""
        first = self if self.cases is None else self.cases[0]
        first._wake()  # before all else, as it fails if the loop is no more
        first._leave()
        self.state = state

    def done(self) -> None:
        """Proceed, though nobody takes the value: as the sender of an answered ping."""
        self.settle(DONE)
        self.value = None

    def stop(self) -> None:
        """Wait no longer than for this pass of the loop."""
        self.stopped = True
        self._wake()

    def give(self) -> Any:
        """The value, which is kept here no longer: the party itself may be, for a while."""
        value, self.value = self.value, None
        return value

    def _wake(self) -> None:
        if self.callback is None:
            self.callback = self.call_soon(self.greenlet.switch, self)

    def _wait(self) -> None:
        woken = None
        try:
            if type(self.greenlet) not in hookless:
                _call_hook(self.greenlet)
            if late_errors:
                error = next_postponed(self.greenlet)
                if error is not None:
                    raise error
            while self.state == WAITING and not self.stopped:
                woken = switch_to(self.hub)
        except BaseException as error:
            done = self._done_one()
            if done is None or not done.sends:
                if done is not None:
                    done.exchange._put_back(done.number, done.give())
                raise
            postpone(error, self.greenlet, self.hub)
        finally:
            if self.callback is not None and woken is not self:
                self.callback.stop()  # somebody else has resumed us
            self.callback = None  # which knows us: let go without the collector
            if self.state == WAITING:
                self._leave()
            self.greenlet = None  # which may keep us, in the traceback of what has ended it

    def _done_one(self) -> Party | None:
        """That one of the call's parties which has proceeded."""
        for party in self.cases or (self,):
            if party.state == DONE:
                return party
        return None

    def _leave(self) -> None:
        if self.cases is None:
            self.line.remove(self)
            self.state = GONE
        else:
            for party in self.cases:
                party.line.remove(party)
                party.state = GONE


def _call_hook(greenlet: Any) -> None:
    """Tell *greenlet* that it is about to wait, as gevent does; the hub objects."""
    switch_out = getattr(greenlet, "switch_out", None)
    if switch_out is None:
        hookless.add(type(greenlet))  # to look costs more than all else that is done here
    else:
        switch_out()


def new_party(
    exchange: Any, line: Line, sends: bool, value: Any, greenlet: Any, hub: Any, call_soon: Any
) -> Party:
    """A party of *exchange* that does not stand in *line* yet.

    No constructor: from C, one could not be called without packing its arguments.
    """
    party = Party.__new__(Party)
    party.exchange = exchange
    party.line = line
    party.sends = sends
    party.value = value
    party.greenlet = greenlet
    party.hub = hub
    party.call_soon = call_soon
    party.index = party.number = 0
    party.cases = party.callback = party.before = party.after = None
    party.state = WAITING
    party.stopped = False
    return party


class Line:
    """Parties in the order they came; one may leave from the middle at no cost."""

    __slots__ = ("first", "last", "length")

    def __init__(self) -> None:
        self.first: Party | None = None
        self.last: Party | None = None
        self.length = 0

    def append(self, party: Party) -> None:
        """Let *party* stand at the end."""
        last = self.last
        party.before = last
        if last is None:
            self.first = party
        else:
            last.after = party
        self.last = party
        self.length += 1

    def remove(self, party: Party) -> None:
        """Let *party*, which stands here, go."""
        before, after = party.before, party.after
        if before is None:
            self.first = after
        else:
            before.after = after
        if after is None:
            self.last = before
        else:
            after.before = before
        party.before = party.after = None
        self.length -= 1

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[Party]:
        """Those who stand here, from the first to the last."""
        party = self.first
        while party is not None:
            yield party
            party = party.after
