"""What code has left behind: greenlets, watchers, pool work, threads, descriptors.

Everything is compared with a census taken before, so that nothing is blamed twice, and
what is wider in scope may hold what it likes. Greenlets and watchers are looked for among
all objects that the garbage collector knows, which finds them whoever holds them, and on
every loop: not all loops can say how many watchers are active.

Of reference cycles only those count that hold a descriptor, as a forgotten socket does:
it stays open until the collector happens to come. What a cycle may hold besides is either
memory alone (a greenlet that is over, a watcher that is stopped; a job that failed is
such a cycle, for its error has the frames of its tasks in its traceback) or out of the
collector's reach, and found alive: a greenlet that waits, a watcher that is started.
"""

from __future__ import annotations

import gc
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from types import FrameType
from typing import Any, NamedTuple, Self

import gevent
import gevent.socket
from gevent._ffi import watcher as ffi_watchers
from gevent.monkey import get_original
from greenlet import getcurrent, greenlet

from gowork.testing.watchers import Watcher

__all__ = ["Census", "Leak", "left_since", "sweep", "watch"]

# How often the loop may go round for what ends by itself, and how long a thread may take.
PASSES = 5
PASS_SECONDS = 0.001  # sleep(0) would not take the loop all the way round
THREAD_SECONDS = 1.0

# Without the collector's help a cycle stays to be seen; this many objects may wait for it.
COLLECTED_AT = 50_000

SPAWNING_FRAMES = 3  # that are shown, of those that gevent remembers

_GEVENT = os.path.join(os.path.dirname(gevent.__file__), "")
_nap = get_original("time", "sleep")
_OWNERS = (gevent.socket.socket, get_original("socket", "socket"), FileIO)


class Leak(NamedTuple):
    """Something that was left behind."""

    #: ``"greenlet"``, ``"active watcher"``, ``"pool work"``, ``"thread"``, ``"descriptor"`` or
    #: ``"reference cycle"``.
    kind: str
    #: What it is; for what waits also where, and where it was spawned.
    what: str

    def __str__(self) -> str:
        return f"{self.kind} {self.what}"


class Census:
    """Everything that runs, waits or is open now; take it in the main greenlet."""

    def __init__(self) -> None:
        hub = gevent.get_hub()
        exempt = (hub, getcurrent(), _root(getcurrent()))
        kinds = (greenlet, *_watcher_types())
        found: list[Any] = [one for one in gc.get_objects() if issubclass(type(one), kinds)]
        self.greenlets = [
            one
            for one in found
            if isinstance(one, greenlet)
            and _lives(one)
            and not any(one is other for other in exempt)
            and _root(one) is exempt[2]
        ]
        # The hub's property would make a pool, which a simulation refuses.
        pool: Any = getattr(hub, "_threadpool", None)
        self.pool_tasks = 0 if pool is None else len(pool)
        self.watchers = [
            one
            for one in found
            if not isinstance(one, greenlet)
            and one.loop
            and getattr(one, "active", False)
            and not _is_of_the_pool(one, pool)
        ]
        self.threads = {
            ident: frame
            for ident, frame in sys._current_frames().items()
            if not _is_pool_thread(frame)
        }
        self.descriptors = _descriptors()

    def since(self, before: Self) -> list[Leak]:
        """What is here and was not *before*."""
        left = [
            Leak("greenlet", f"{one!r}\n{_story(one)}")
            for one in new(self.greenlets, before.greenlets)
        ]
        left += [Leak("active watcher", repr(one)) for one in new(self.watchers, before.watchers)]
        if self.pool_tasks > before.pool_tasks:
            number = self.pool_tasks - before.pool_tasks
            left.append(Leak("pool work", f"({number} unfinished in the threadpool)"))
        left += [
            Leak("thread", f"{ident}\n{_stack(frame)}")
            for ident, frame in self.threads.items()
            if ident not in before.threads
        ]
        opened = self.opened_since(before)
        left += [Leak("descriptor", what) for what in _described(opened).values()]
        return left

    def opened_since(self, before: Self) -> dict[str, str]:
        """The descriptors that were not *before*, and what each is of."""
        return dict(self.descriptors.items() - before.descriptors.items())


@contextmanager
def watch() -> Iterator[Census]:
    """A census to compare with, and a block in which the collector seldom comes.

    ::

        with watch() as before:
            test()
            left = left_since(before)

    What it collects within the block, because it was asked to or at last had to, is not blamed.
    """
    young, *older = gc.get_threshold()
    gc.set_threshold(young and max(young, COLLECTED_AT), *older)
    try:
        yield Census()
    finally:
        gc.set_threshold(young, *older)


def left_since(before: Census) -> list[Leak]:
    """What is left of all that began after *before*, once it has had its chance to end.

    Blocks for a few passes of the loop, and for a second at most while threads end.
    """
    for _ in range(PASSES):
        if not Census().since(before):
            return []
        gevent.sleep(PASS_SECONDS)
    opened = Census().opened_since(before)
    described = _described(opened)
    gc.collect()
    closed = opened.items() - Census().opened_since(before).items()
    cycles = [Leak("reference cycle", f"that holds {described[number]}") for number, _ in closed]
    waited = 0.0
    while (left := Census().since(before)) and waited < THREAD_SECONDS:
        if any(one.kind != "thread" for one in left):
            break
        _nap(0.01)
        waited += 0.01
    return left + cycles


def sweep(before: Census) -> None:
    """Make an end of what is left of all since *before*, so that only one test fails by it.

    Threads, and descriptors that somebody holds, are beyond it.
    """
    for _ in range(PASSES):
        for one in new(Census().greenlets, before.greenlets):
            throw = one.throw if bool(one) else getattr(one, "kill", one.throw)
            gevent.get_hub().loop.run_callback(throw)
        gevent.sleep(PASS_SECONDS)
    for one in new(Census().watchers, before.watchers):
        one.close()  # on libuv some keep the loop going although they are stopped


def new(now: list[Any], before: list[Any]) -> list[Any]:
    """Those of *now* that are not *before*, by identity."""
    known = {id(one) for one in before}
    return [one for one in now if id(one) not in known]


def _watcher_types() -> tuple[type, ...]:
    types: list[type] = [ffi_watchers.watcher, Watcher]
    if "gevent.libev.corecext" in sys.modules:
        types.append(sys.modules["gevent.libev.corecext"].watcher)
    return tuple(types)


def _root(one: Any) -> Any:
    while one.parent is not None:
        one = one.parent
    return one


def _lives(one: Any) -> bool:
    """Whether *one* has begun and not ended, or will begin by itself."""
    return bool(one) or (bool(getattr(one, "started", False)) and not one.dead)


def _is_of_the_pool(watcher: Any, pool: Any) -> bool:
    """Whether the hub's pool watches, which it does as long as it lives, or one of its tasks."""
    watching = getattr(watcher.callback, "__self__", None)
    # Importing its class would import what would have to be patched first.
    is_task = type(watching).__name__ == "ThreadResult"
    return is_task or (watching is not None and watching is pool)


def _is_pool_thread(frame: FrameType) -> bool:
    outer: FrameType | None = frame
    while outer is not None:
        if outer.f_globals.get("__name__") == "gevent.threadpool":
            return True
        outer = outer.f_back
    return False


def _descriptors() -> dict[str, str]:
    """Open descriptors and what they are of; empty where the system does not say."""
    found: dict[str, str] = {}
    try:
        numbers = os.listdir("/proc/self/fd")
    except OSError:
        return found
    for number in numbers:
        try:
            found[number] = os.readlink(f"/proc/self/fd/{number}")
        except OSError:  # the one that listdir used
            continue
    return found


def _described(descriptors: dict[str, str]) -> dict[str, str]:
    """What each is of and, if it is known, the object that holds it, by number."""
    described = {number: f"{number}: {target}" for number, target in descriptors.items()}
    if described:
        for one in gc.get_objects():
            if issubclass(type(one), _OWNERS) and (number := _number(one)) in descriptors:
                described[number] = f"{number}: {descriptors[number]} of {one!r}"
    return described


def _number(one: Any) -> str:
    try:
        return str(one.fileno())
    except (OSError, ValueError):  # it is closed
        return ""


def _story(one: Any) -> str:
    """Where a greenlet waits and, if gevent remembers it, where it was spawned."""
    story = _stack(one.gr_frame)
    origin = getattr(one, "spawning_stack", None)
    while origin is not None and origin.f_code.co_filename.startswith(_GEVENT):
        origin = origin.f_back  # without its extensions gevent remembers itself, too
    if origin is not None:
        spawned = traceback.format_stack(origin, limit=SPAWNING_FRAMES)
        story += "\n spawned at\n" + "".join(spawned).rstrip()
    return story


def _stack(frame: FrameType | None) -> str:
    if frame is None:
        return "  (has not begun)"
    return "".join(traceback.format_stack(frame)).rstrip()
