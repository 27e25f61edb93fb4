"""What a test has left behind: greenlets, watchers of the loop, pool work, threads, descriptors.

Everything is compared with a census taken before the test, so that nothing is blamed
twice and fixtures of a wider scope may hold what they like. Greenlets and watchers are
looked for among all objects that the garbage collector knows, which finds them whoever
holds them, and on every loop: not all loops can say how many watchers are active.
"""

from __future__ import annotations

import gc
import os
import sys
import traceback
from types import FrameType
from typing import Any

import gevent
from gevent._ffi import watcher as ffi_watchers
from gevent.monkey import get_original
from greenlet import getcurrent, greenlet

nap = get_original("time", "sleep")

# How often the loop may go round for what ends by itself, and how long a thread may take.
PASSES = 5
THREAD_SECONDS = 1.0


def _watcher_types() -> tuple[type, ...]:
    types: list[type] = [ffi_watchers.watcher]
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


class Census:
    """Everything that runs, waits or is open now; take it in the main greenlet."""

    def __init__(self) -> None:
        hub = gevent.get_hub()
        exempt = (hub, getcurrent(), _root(getcurrent()))
        kinds = (greenlet, *_watcher_types())
        found = [one for one in gc.get_objects() if issubclass(type(one), kinds)]
        self.greenlets = [
            one
            for one in found
            if isinstance(one, greenlet)
            and _lives(one)
            and not any(one is other for other in exempt)
            and _root(one) is exempt[2]
        ]
        self.watchers = [
            one
            for one in found
            if not isinstance(one, greenlet) and one.loop and getattr(one, "active", False)
        ]
        self.pool_tasks = len(hub.threadpool)
        self.threads = {
            ident: frame
            for ident, frame in sys._current_frames().items()
            if not _is_pool_thread(frame)
        }
        self.descriptors = _descriptors()

    def since(self, before: Census) -> list[str]:
        """What is here and was not *before*, each described in a few lines."""
        left = [
            f"greenlet {one!r}\n{_stack(one.gr_frame)}"
            for one in new(self.greenlets, before.greenlets)
        ]
        left += [f"active watcher {one!r}" for one in new(self.watchers, before.watchers)]
        if self.pool_tasks > before.pool_tasks:
            left.append(f"{self.pool_tasks - before.pool_tasks} unfinished in the threadpool")
        left += [
            f"thread {ident}\n{_stack(frame)}"
            for ident, frame in self.threads.items()
            if ident not in before.threads
        ]
        left += [
            f"descriptor {number}: {target}"
            for number, target in self.descriptors.items()
            if before.descriptors.get(number) != target
        ]
        return left


def new(now: list[Any], before: list[Any]) -> list[Any]:
    """Those of *now* that are not *before*, by identity."""
    known = {id(one) for one in before}
    return [one for one in now if id(one) not in known]


def sweep(before: Census) -> None:
    """Make an end of what is left of all since *before*, so that only one test fails by it."""
    for _ in range(PASSES):
        now = Census()
        for one in new(now.greenlets, before.greenlets):
            throw = one.throw if bool(one) else getattr(one, "kill", one.throw)
            gevent.get_hub().loop.run_callback(throw)
        gevent.sleep(0.001)
    for one in new(Census().watchers, before.watchers):
        one.stop()


def left_since(before: Census) -> list[str]:
    """What is left of all that began after *before*, once it has had its chance to end."""
    for _ in range(PASSES):
        left = Census().since(before)
        if not left:
            return []
        gevent.sleep(0.001)  # sleep(0) would not take the loop all the way round
    gc.collect()  # a socket in a cycle is closed by its collection
    waited = 0.0
    while (left := Census().since(before)) and waited < THREAD_SECONDS:
        if not all(one.startswith("thread ") for one in left):
            break
        nap(0.01)
        waited += 0.01
    return left


def _is_pool_thread(frame: FrameType) -> bool:
    outer: FrameType | None = frame
    while outer is not None:
        if outer.f_globals.get("__name__") == "gevent.threadpool":
            return True
        outer = outer.f_back
    return False


def _descriptors() -> dict[str, str]:
    """Open descriptors and what they are of; empty where the system does not say."""
    found = {}
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


def _stack(frame: FrameType | None) -> str:
    if frame is None:
        return "  (has not begun)"
    return "".join(traceback.format_stack(frame)).rstrip()
