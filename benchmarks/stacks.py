"""What the cache of stack chunks saves a plain gevent program, by ``python -m benchmarks.stacks``.

In one process the cache is switched off and on in turns. The ratio is that of the time with it to
the time without it in the same turn; of all figures it is the median that is shown.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from statistics import median
from typing import NamedTuple

import gevent
import greenlet
from gevent.pool import Group

from benchmarks.timing import clock
from gowork import stackchunks

TURNS = 9


class Work(NamedTuple):
    name: str
    do: Callable[[int], object]
    size: int
    times: int


def nothing() -> None:
    pass


def start_and_end(number: int) -> None:
    for _ in range(number):
        greenlet.greenlet(nothing).switch()


def spawn_and_join(number: int) -> None:
    for _ in range(number):
        gevent.spawn(nothing).join()


def group(number: int) -> None:
    group = Group()
    for _ in range(number):
        group.spawn(nothing)
    group.join()


def parked(number: int) -> None:
    """Greenlets that are started, wait, are switched to once more, and end."""
    hub = gevent.get_hub()

    def wait() -> None:
        hub.switch()

    greenlets = [gevent.spawn(wait) for _ in range(number)]
    gevent.sleep(0)
    for one in greenlets:
        hub.loop.run_callback(one.switch)
    gevent.joinall(greenlets)


WORKS = (
    Work("greenlet, start to end", start_and_end, 1_000, 20),
    Work("gevent.spawn(), join()", spawn_and_join, 1_000, 10),
    Work("Group of 1,000, spawn(), join()", group, 1_000, 10),
    Work("1,000 greenlets start, wait, end", parked, 1_000, 10),
    Work("10,000 greenlets start, wait, end", parked, 10_000, 1),
)


def microseconds(work: Work) -> float:
    """What one greenlet costs, once the cache holds what it can."""
    work.do(work.size)
    gc.collect()
    start = clock()
    for _ in range(work.times):
        work.do(work.size)
    return (clock() - start) / (work.size * work.times) * 1e6


def main(turns: int = TURNS) -> None:
    if not stackchunks.install():
        sys.exit(stackchunks.statistics().reason)
    print(f"Python {sys.version.split()[0]}, gevent {gevent.__version__}; microseconds")
    print(f"{'':34} {'off':>6} {'on':>6} {'ratio':>6}")
    for work in WORKS:
        offs, ons = [], []
        for _ in range(turns):
            stackchunks.uninstall()
            offs.append(microseconds(work))
            stackchunks.install()
            ons.append(microseconds(work))
        ratio = median(on / off for on, off in zip(ons, offs, strict=True))
        print(f"{work.name:34} {median(offs):6.2f} {median(ons):6.2f} {ratio:6.2f}", flush=True)


if __name__ == "__main__":
    main()
