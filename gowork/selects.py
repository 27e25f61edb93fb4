"""Selects: calls that do one of several things, whichever can be done first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from gowork import dice
from gowork.clocks import as_seconds
from gowork.errors import ChannelClosed

__all__ = ["select"]

# The extension has all these in C, where an import would hide them.
CLOSED: int
DONE: int
Case: type[exchanges.Case]
Exchange: type[exchanges.Exchange]
getcurrent: Callable[[], Any]
import_greenlet: Callable[[], None]
task_of: Callable[[Any], Any]
if __name__ == "gowork.selects":
    from gowork import exchanges, greenlets, parties

    for room in (greenlets, parties, exchanges):
        globals().update({name: getattr(room, name) for name in room.__all__})
import_greenlet()

roll = dice.roll  # a C variable there


def select(
    cases: Sequence[exchanges.Case | None], timeout: float | None = None
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
    limit = None if timeout is None else _limit_from(timeout)
    task = task_of(getcurrent())
    if task is not None:
        task._checkpoint()
    chances = 0
    all_cases = cases if type(cases) is list else _listed(cases)
    for candidate in all_cases:
        if isinstance(candidate, Case):
            case = candidate
            if case.channel._is_ready(case.sends):
                chances += 1
        elif candidate is not None:
            raise TypeError(
                f"a case is made by a channel's receiving() or sending(): {candidate!r}"
            )
    if chances > 0:
        luck = 0.0 if chances == 1 else roll()
        return _proceed(all_cases, int(luck * chances))
    if limit is not None and limit == 0:
        return None, None, False
    return _wait_for_one(all_cases, limit)


def _listed(cases: Any) -> list[Any]:
    if isinstance(cases, Case) or hasattr(cases, "recv"):  # to go through it would receive
        raise TypeError(f"select() takes a list of cases, not {cases!r}")
    return list(cases)


def _limit_from(timeout: Any) -> float | None:
    if isinstance(timeout, Exchange | Case):
        raise TypeError(f"select() takes one list of cases; {timeout!r} is outside of it")
    return as_seconds("timeout", timeout)


def _proceed(cases: list[exchanges.Case | None], chosen: int) -> tuple[int | None, Any, bool]:
    """Let the case with so many others before it that are ready proceed."""
    index = -1
    for candidate in cases:
        index += 1
        if candidate is not None:
            case = candidate
            if case.channel._is_ready(case.sends):
                if chosen == 0:
                    break
                chosen -= 1
    if case.sends:
        case.channel._accepts(case.value)
        return index, None, True
    if case.channel._is_over():
        return index, None, False
    return index, case.channel._take(), True


def _wait_for_one(
    cases: list[exchanges.Case | None], limit: float | None
) -> tuple[int | None, Any, bool]:
    waiting: list[parties.Party] = []
    for index, case in enumerate(cases):
        if case is not None:
            party = case.channel._party(case.sends, case.value, "select")
            party.index = index
            waiting.append(party)
    if len({party.line for party in waiting}) < len(waiting):
        dice.shuffle(waiting)  # to be fair to several cases of one channel
    if not waiting:
        nothing = Exchange(0)  # from which nobody ever sends
        waiting.append(nothing._party(False, None, "select"))
    for party in waiting:
        party.cases = waiting
        party.line.append(party)
    try:
        waiting[0].wait(limit)
    finally:
        for party in waiting:
            party.cases = party.greenlet = None  # let go without the collector
    for party in waiting:
        if party.state == DONE:
            return party.index, None if party.sends else party.give(), True
        if party.state == CLOSED:
            if party.sends:
                raise ChannelClosed(f"{party.exchange!r} is closed")
            return party.index, None, False
    return None, None, False
