"""Who waits on what: the report of a deadlock.

gevent keeps no such record. But whatever a greenlet waits for must know the greenlet, to
wake it. So the report goes from a greenlet to the objects that refer to it, by way of
bound methods, waiters and lists of links, until it meets one that can be waited for. Its
name is looked for among the variables of the waiting code.
"""

from __future__ import annotations

import gc
import itertools
import linecache
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from types import BuiltinMethodType, FrameType, MethodType, ModuleType
from typing import Any

from gevent import Greenlet
from gevent._abstract_linkable import AbstractLinkable
from gevent.hub import Waiter
from gevent.lock import RLock
from gevent.queue import Channel as GeventChannel
from gevent.queue import Queue, SimpleQueue
from greenlet import greenlet

from gowork.channels import Channel, Exchange, Party
from gowork.crews import Member
from gowork.events import Event
from gowork.pingpong import PingPong, Pings
from gowork.testing.traces import Trace
from gowork.testing.watchers import AsyncWatcher, IoWatcher, TimerWatcher

__all__ = ["who_waits"]

WAITED_FOR = (
    AbstractLinkable,
    SimpleQueue,
    Queue,
    GeventChannel,
    Channel,
    PingPong,
    Event,
    TimerWatcher,
    IoWatcher,
)
GO_BETWEEN = (
    BuiltinMethodType,
    MethodType,
    Waiter,
    list,
    deque,
    dict,
    Exchange,
    Party,
    AsyncWatcher,
)
WAKING = ("switch", "switch_args", "_on_expiration", "send_ignoring_arg")
STEPS = 9  # from a greenlet to what it waits for, at most
SHOWN = 50  # greenlets, and items of a container that are looked at
SHOWN_AWAITED = 5
LIBRARIES = ("gevent.", "gowork.", "greenlet.", "threading.", "contextlib.")


def who_waits(waiting: Sequence[greenlet], trace: Trace) -> str:
    """A line for each of the *waiting* greenlets, and the line of code where it waits."""
    shown = list(waiting[:SHOWN])
    order = {id(one): number for number, one in enumerate(trace.greenlets())}
    awaited = _awaited_by(shown, trace.greenlets())
    lines = []
    for one in shown:
        frames = list(_frames_of(one))
        waited_for = sorted(awaited[id(one)], key=lambda what: order.get(id(what), -1))
        whats = [_describe(what, frames, trace) for what in waited_for]
        if len(whats) > SHOWN_AWAITED:
            whats[SHOWN_AWAITED:] = [f"{len(whats) - SHOWN_AWAITED} more"]
        what = ", ".join(whats) or "something unknown"
        lines.append(f"  {trace.name_of(one)}{_given_name(one)} waits for {what}")
        if frames:
            lines.append(f"    {_place_of(frames[0])}")
    if len(waiting) > SHOWN:
        lines.append(f"  ... and {len(waiting) - SHOWN} more")
    return "\n".join(lines)


class _Mark:
    """A link to the end of a greenlet, which is there to be found among its links."""

    def __init__(self, owner: Any) -> None:
        self.owner = owner

    def __call__(self, owner: Any) -> None:
        """Never called: it is taken back before anything runs."""


def _awaited_by(waiting: list[greenlet], living: list[greenlet]) -> dict[int, list[Any]]:
    """What each greenlet waits for, by the id of the greenlet.

    Of *living* greenlets the end may be waited for. What they refer to the collector does
    not tell: so each gets a mark in its list of links.
    """
    marks = [
        _Mark(one) for one in living if isinstance(one, (Greenlet, Member)) and not one.ready()
    ]
    for mark in marks:
        mark.owner.rawlink(mark)
    try:
        return _search(waiting)
    finally:
        for mark in marks:
            mark.owner.unlink(mark)


def _search(waiting: list[greenlet]) -> dict[int, list[Any]]:
    found: dict[int, list[Any]] = {id(one): [] for one in waiting}
    # Each lead with the greenlets, by id, to which it leads.
    leads: dict[int, tuple[Any, set[int]]] = {id(one): (one, {id(one)}) for one in waiting}
    for _ in range(STEPS):
        following: dict[int, tuple[Any, set[int]]] = {}
        arrived: list[tuple[int, Any]] = []
        objects = [lead for lead, _ in leads.values()]
        for lead, whom in leads.values():
            if isinstance(lead, Party):  # which its neighbours in the line may be all to know
                if _is_awaited(lead.exchange):
                    arrived += [(one, lead.exchange) for one in whom]
                else:  # the inside of something
                    following.setdefault(id(lead.exchange), (lead.exchange, set()))[1].update(whom)
            links = lead if isinstance(lead, list) else []
            owners = [link.owner for link in links if isinstance(link, _Mark)]
            arrived += [(one, owner) for owner in owners for one in whom if one != id(owner)]
        for referrer in gc.get_referrers(*objects):
            if referrer is objects or referrer is waiting or isinstance(referrer, greenlet):
                continue
            for lead in gc.get_referents(referrer):
                _, whom = leads.get(id(lead), (None, set[int]()))
                if _is_awaited(referrer):
                    arrived += [(one, referrer) for one in whom]
                elif whom and _leads_on(referrer):
                    following.setdefault(id(referrer), (referrer, set()))[1].update(whom)
        for one, awaited in arrived:
            if not any(awaited is other for other in found[one]):
                found[one].append(awaited)
        unknown = {one for one, awaited in found.items() if not awaited}
        leads = {
            key: (lead, whom & unknown)
            for key, (lead, whom) in following.items()
            if key not in leads and whom & unknown
        }
        if not leads:
            break
    return found


def _is_awaited(what: Any) -> bool:
    return isinstance(what, WAITED_FOR) and not isinstance(what, Pings)


def _leads_on(referrer: Any) -> bool:
    if not isinstance(referrer, GO_BETWEEN):
        return False
    if isinstance(referrer, dict):
        return "__name__" not in referrer and "__builtins__" not in referrer
    if isinstance(referrer, BuiltinMethodType | MethodType):
        return referrer.__name__ in WAKING
    return True


def _describe(awaited: Any, frames: list[FrameType], trace: Trace) -> str:
    if isinstance(awaited, greenlet):
        return f"the end of {trace.name_of(awaited)}{_given_name(awaited)}"
    if isinstance(awaited, IoWatcher):
        return f"descriptor {awaited.fd}"
    if isinstance(awaited, TimerWatcher):
        return "a timer"
    awaited, name = _named(awaited, frames)
    if isinstance(awaited, Channel | PingPong) and awaited.name:
        name = repr(awaited.name)
    kind = type(awaited).__name__
    holder = getattr(awaited, "_owner", None) if isinstance(awaited, RLock) else None
    held = f", held by {trace.name_of(holder)}" if isinstance(holder, greenlet) else ""
    return f"{kind} {name}{held}" if name else f"a {kind}{held}"


def _named(awaited: Any, frames: list[FrameType]) -> tuple[Any, str]:
    """What it is in the eyes of the waiting code, and the name it has there, or ''."""
    for frame in frames:
        for name, value in _variables(frame):
            # A lock may wait in a lock of its own.
            if value is awaited or getattr(value, "_block", None) is awaited:
                return value, name
    return awaited, ""


def _variables(frame: FrameType) -> Iterator[tuple[str, Any]]:
    """Names and values of a frame: its variables, what they hold, then its globals."""
    local = list(frame.f_locals.items())
    names = frame.f_code.co_names
    known = [(name, frame.f_globals[name]) for name in names if name in frame.f_globals]
    for variables in (local, known):
        yield from variables
        for name, value in variables:
            attributes = getattr(value, "__dict__", None)
            if isinstance(attributes, dict) and not isinstance(value, ModuleType):
                for attribute, held in attributes.items():
                    yield f"{name}.{attribute}", held
                    yield from _items(f"{name}.{attribute}", held)
            yield from _items(name, value)


def _items(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    items: Iterable[tuple[Any, Any]] = ()
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list | tuple):
        items = enumerate(value)
    for key, held in itertools.islice(items, SHOWN):
        yield f"{name}[{_short(key)}]", held


def _short(key: Any) -> str:
    """A key as the program may have written it; others would show an address."""
    return repr(key) if isinstance(key, str | int | bytes | tuple) else "..."


def _frames_of(one: greenlet) -> Iterator[FrameType]:
    """Where a suspended greenlet is, innermost first, without gevent's and gowork's code."""
    frame = one.gr_frame
    while frame is not None:
        module = frame.f_globals.get("__name__", "")
        if not f"{module}.".startswith(LIBRARIES):
            yield frame
        frame = frame.f_back


def _place_of(frame: FrameType) -> str:
    code = frame.f_code
    line = linecache.getline(code.co_filename, frame.f_lineno, frame.f_globals).strip()
    return f"{code.co_filename}:{frame.f_lineno} in {code.co_name}: {line}"


def _given_name(one: greenlet) -> str:
    """The name that the program gave to the greenlet, in brackets."""
    name = one.name if isinstance(one, Member) else vars(one).get("name")
    return f" ({name})" if isinstance(name, str) else ""
