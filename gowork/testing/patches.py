"""What a simulation replaces in its process while it runs, and puts back.

The clocks of module ``time``, and an unpatched ``time.sleep``, tell the virtual time to
the thread that simulates and the real one to every other. Forks, and unpatched thread
starts, are refused to that thread. ``gevent.pool`` gets sets that keep their order: a
Group kills its members in the order of its set, which is that of memory addresses.
"""

from __future__ import annotations

import _thread
import contextlib
import math
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, MutableSet
from typing import Any

import gevent.os
import gevent.pool
from gevent.monkey import is_module_patched, is_object_patched

from gowork.testing.clocks import EPOCH, Clock
from gowork.testing.errors import NotSimulated, SimulationError
from gowork.threads import get_ident

__all__ = ["OrderedSet", "replaced"]

NANOSECONDS = 1_000_000_000

# How threads are begun by the standard library: module and name, where it exists.
THREAD_STARTS = [
    (module, name)
    for module in (_thread, threading)
    for name in (
        "start_new_thread",
        "start_new",
        "start_joinable_thread",
        "_start_new_thread",
        "_start_joinable_thread",
    )
    if hasattr(module, name)
]

FORKS = [
    (module, name)
    for module in (os, gevent.os)
    for name in ("fork", "forkpty", "fork_and_watch", "forkpty_and_watch")
    if hasattr(module, name)
]
NO_THREADS = (
    "a simulation cannot control native threads: patch them with gevent.monkey, use greenlets,"
    " or do what the thread does before the simulation begins"
)
NO_FORKS = "a simulation cannot be in two processes: replace what forks"

_clocks: dict[int, Clock] = {}  # of the threads that simulate
_replaced: list[tuple[Any, str, Any, Any]] = []


class OrderedSet(MutableSet[Any]):
    """A set that is iterated in the order in which its elements came."""

    def __init__(self, elements: Iterable[Any] = ()) -> None:
        self._elements = dict.fromkeys(elements)

    def __contains__(self, element: object) -> bool:
        return element in self._elements

    def __iter__(self) -> Iterator[Any]:
        return iter(self._elements)

    def __len__(self) -> int:
        return len(self._elements)

    def add(self, value: Any) -> None:
        self._elements[value] = None

    def discard(self, value: Any) -> None:
        self._elements.pop(value, None)

    def __repr__(self) -> str:
        return f"{{{', '.join(map(repr, self))}}}"


@contextlib.contextmanager
def replaced(clock: Clock) -> Iterator[None]:
    """Have *clock* tell the time to this thread within the block.

    :raises SimulationError: if another simulation runs in this thread.
    """
    thread = get_ident()
    if thread in _clocks:
        raise SimulationError("a simulation runs already: one cannot run within another")
    if not _clocks:
        _install()
    _clocks[thread] = clock
    try:
        yield
    finally:
        del _clocks[thread]
        if not _clocks:
            _remove()


def _install() -> None:
    for name in ("monotonic", "perf_counter"):
        _replace(time, name, _telling(lambda now: now))
        _replace(time, f"{name}_ns", _telling(lambda now: round(now * NANOSECONDS)))
    _replace(time, "time", _telling(lambda now: EPOCH + now))
    _replace(time, "time_ns", _telling(lambda now: round((EPOCH + now) * NANOSECONDS)))
    for name in ("localtime", "gmtime", "ctime"):
        _replace(time, name, _of_now(0, lambda: time.time()))
    _replace(time, "asctime", _of_now(0, lambda: time.localtime()))
    _replace(time, "strftime", _of_now(1, lambda: time.localtime()))
    if not is_object_patched("time", "sleep"):
        _replace(time, "sleep", _sleeping)
    if not is_module_patched("threading"):
        for module, name in THREAD_STARTS:
            _replace(module, name, _refusing(NO_THREADS))
    for module, name in FORKS:
        _replace(module, name, _refusing(NO_FORKS))
    gevent.pool.set = OrderedSet  # type: ignore[attr-defined]


def _remove() -> None:
    del gevent.pool.set  # type: ignore[attr-defined]
    while _replaced:
        module, name, original, ours = _replaced.pop()
        if getattr(module, name) is ours:  # else the program has patched it meanwhile
            setattr(module, name, original)


def _replace(module: Any, name: str, make: Callable[[Any], Any]) -> None:
    original = getattr(module, name)
    ours = make(original)
    _replaced.append((module, name, original, ours))
    setattr(module, name, ours)


def _telling(as_told: Callable[[float], Any]) -> Callable[[Any], Any]:
    def make(original: Callable[[], Any]) -> Callable[[], Any]:
        def read() -> Any:
            clock = _clocks.get(get_ident())
            return original() if clock is None else as_told(clock.read())

        return read

    return make


def _of_now(position: int, now: Callable[[], Any]) -> Callable[[Any], Any]:
    """For functions that take the time at *position*, and the present one where it is left out."""

    def make(original: Callable[..., Any]) -> Callable[..., Any]:
        def function(*args: Any) -> Any:
            if get_ident() in _clocks and (len(args) == position or args[position:] == (None,)):
                args = (*args[:position], now())
            return original(*args)

        return function

    return make


def _sleeping(original: Callable[[float], None]) -> Callable[[float], None]:
    def sleep(seconds: float) -> None:
        clock = _clocks.get(get_ident())
        if clock is None or not 0 <= seconds < math.inf:
            original(seconds)
        else:  # it blocks the thread, and all greenlets with it, as the real one does
            clock.advance(seconds)

    return sleep


def _refusing(why: str) -> Callable[[Any], Any]:
    def make(original: Callable[..., Any]) -> Callable[..., Any]:
        def start(*args: Any, **kwargs: Any) -> Any:
            if get_ident() in _clocks:
                raise NotSimulated(why)
            return original(*args, **kwargs)

        return start

    return make
