"""Treat the cache of stack chunks badly: python tests/stack_stress.py [seconds] [seed].

Native threads start, park, end, kill and drop greenlets, also those of other threads, and end
with some that are parked; others call the allocator without the GIL; the main thread forks, and
switches the cache. It prints what the cache has done. To be run under AddressSanitizer or
valgrind, too: docs/stack-cache.rst tells how.
"""

# ruff: noqa: T201

from __future__ import annotations

import os
import random
import sys
import time
from collections import deque
from threading import Thread

from greenlet import GreenletExit, getcurrent, greenlet
from stacks import ArenaAllocator

from gowork.stackchunks import CHUNK, install, statistics, trim, uninstall

THREADS = 6
DIRECTLY = 3  # threads more


def deep(depth: int) -> None:
    """Need *depth* frames, thus further chunks; then park, and go back through all of them."""
    if depth:
        deep(depth - 1)
    else:
        getcurrent().parent.switch()


def live(seed: float, end: float, strangers: deque[greenlet]) -> None:
    """Do what greenlets do, in an order by chance; leave some to others, who will drop them."""
    dice = random.Random(seed)
    crowd: list[greenlet] = []
    while time.monotonic() < end:
        what = dice.random()
        if what < 0.5 or not crowd:
            crowd.append(greenlet(deep))
            crowd[-1].switch(dice.choice([0, 1, 5, 150]))
        elif what < 0.8:
            crowd.pop(dice.randrange(len(crowd))).switch()
        elif what < 0.9:
            crowd.pop(dice.randrange(len(crowd))).throw(GreenletExit)
        elif what < 0.95:
            strangers.append(crowd.pop())
        elif strangers:
            strangers.popleft()
        if len(crowd) > 300:
            crowd = crowd[150:]  # which kills the others


def use_directly(end: float) -> None:
    """Take and give chunks without the GIL, and write all over them."""
    arenas = ArenaAllocator.current()
    taken: deque[int] = deque()
    while time.monotonic() < end:
        taken.append(arenas.alloc(CHUNK))
        arenas.fill(taken[-1], CHUNK)
        if len(taken) > 20:
            arenas.free(taken.popleft(), CHUNK)
    for address in taken:
        arenas.free(address, CHUNK)


def fork() -> None:
    pid = os.fork()
    if pid == 0:
        live(0, time.monotonic() + 0.01, deque())
        trim()
        os._exit(0 if statistics().held_chunks == 0 else 1)
    assert os.waitpid(pid, 0)[1] == 0


def main(seconds: float, seed: int, crossing: int = 50) -> None:
    """Do it for so many *seconds*; at most *crossing* greenlets are on their way to other threads.

    greenlet 3.1 bears none: where another thread drops a greenlet it raises errors, with the
    cache and without.
    """
    dice = random.Random(seed)
    strangers: deque[greenlet] = deque(maxlen=crossing)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        soon = min(end, time.monotonic() + 0.2)
        threads = [
            *(Thread(target=live, args=(dice.random(), soon, strangers)) for _ in range(THREADS)),
            *(Thread(target=use_directly, args=(soon,)) for _ in range(DIRECTLY)),
        ]
        for thread in threads:
            thread.start()
        while time.monotonic() < soon:
            dice.choice([fork, trim, uninstall, install, lambda: install(50 * CHUNK)])()
            live(dice.random(), time.monotonic() + 0.005, strangers)
        for thread in threads:
            thread.join()
    strangers.clear()
    assert install()
    print(statistics())


if __name__ == "__main__":
    main(float([*sys.argv[1:], "1"][0]), int([*sys.argv[2:], "1"][0]))
