"""Regressions: a few ratios, quickly measured, that would betray a change that slows gowork down.

    python -m benchmarks.regressions

Ours and the peer's runs are short and many, they take turns, and the quickest of each
counts: what else the machine does can lengthen a run, but never shorten it. The ratio of
the two is much the same everywhere, so that one that has grown by two fifths is no accident.
The stack-chunk cache is off, but for the one that is about it.
"""

from __future__ import annotations

import gc
import math
import os
import sys
from collections.abc import Callable, Mapping
from typing import NamedTuple

import gevent

# It makes all greenlets cheaper, so that what a task costs besides would weigh more.
os.environ["GOWORK_STACK_CACHE"] = "0"

from benchmarks.apart import on_gevent, on_gowork, plain
from benchmarks.handovers import (
    gevent_buffered,
    gevent_unbuffered,
    gowork_buffered,
    gowork_unbuffered,
)
from benchmarks.tables import is_compiled
from gowork import stackchunks

__all__ = ["GUARDS", "Guard", "main"]

RUNS = 10
TRIES = 5
SLACK = 1.4  # times the usual ratio is too much


class Guard(NamedTuple):
    """Two measurements, and their *usual* ratio for each kind of process."""

    name: str
    ours: Callable[[], float]
    peers: Callable[[], float]
    usual: Mapping[str, float]

    def ratio(self, bound: float) -> float:
        """Ours to the peer's; measured again if it is above the *bound*, which may be bad luck."""
        ours, peers = [], []
        for _ in range(TRIES):
            for _ in range(RUNS):
                ours.append(self.ours())
                peers.append(self.peers())
            if min(ours) <= bound * min(peers):
                break
        return min(ours) / min(peers)


def with_cache() -> float:
    """A greenlet of gevent's with the stack-chunk cache on, where it can be."""
    if not stackchunks.install():
        return 0.0
    try:
        return on_gevent.group(100, 0)
    finally:
        stackchunks.uninstall()


def usually(compiled: float, libuv: float, pure: float) -> dict[str, float]:
    """The usual ratio, by the kind of process."""
    return {"compiled": compiled, "libuv": libuv, "pure": pure}


GUARDS = (
    Guard(
        "spawn",
        lambda: on_gowork.spawn(100, 0),
        lambda: on_gevent.group(100, 0),
        usually(0.36, 0.35, 0.3),
    ),
    Guard(
        "add_task",
        lambda: on_gowork.add_task(100, 0),
        lambda: on_gevent.group(100, 0),
        usually(0.39, 0.37, 0.32),
    ),
    Guard(
        "job of one",
        lambda: on_gowork.spawn(1, 0.001),
        lambda: on_gevent.group(1, 0.001),
        usually(1.5, 1.5, 1.25),
    ),
    Guard(
        "tick",
        lambda: on_gowork.tick(10_000, 0),
        lambda: plain.calls(10_000, 0),
        usually(3.3, 3.3, 3.5),
    ),
    Guard(
        "cancel",
        lambda: on_gowork.cancel(100, 0),
        lambda: on_gevent.cancel(100, 0),
        usually(1.1, 1.1, 0.9),
    ),
    Guard(
        "connection",
        lambda: on_gowork.connection(20, 0),
        lambda: on_gevent.connection(20, 0),
        usually(1.1, 1.1, 0.85),
    ),
    Guard("cache", with_cache, lambda: on_gevent.group(100, 0), usually(0.45, 0.5, math.inf)),
    Guard(
        "unbuffered",
        lambda: gowork_unbuffered(1000),
        lambda: gevent_unbuffered(1000),
        usually(0.45, 0.75, 0.85),
    ),
    Guard(
        "buffered",
        lambda: gowork_buffered(1000),
        lambda: gevent_buffered(1000),
        usually(0.9, 0.9, 1.6),
    ),
)


def kind() -> str:
    """What the figures of this process have to be compared with."""
    if is_compiled() != hasattr(gevent.Greenlet, "__pyx_vtable__"):
        return "a mixture of compiled and plain modules"
    if not is_compiled():
        return "pure"
    return "libuv" if "libuv" in type(gevent.get_hub().loop).__module__ else "compiled"


def main() -> int:
    """The exit code: 1 if anything has become too slow."""
    gc.collect()
    gc.freeze()  # each run begins with a collection, which need not look at the modules
    slow = False
    for guard in GUARDS:
        bound = SLACK * guard.usual.get(kind(), math.inf)
        ratio = guard.ratio(bound)
        verdict = "TOO SLOW" if ratio > bound else "fine" if bound < math.inf else "not judged"
        slow = slow or ratio > bound
        print(f"{guard.name:10} {ratio:5.2f}, at most {bound:5.2f} on {kind()}: {verdict}")
    return int(slow)


if __name__ == "__main__":
    sys.exit(main())
