"""Goroutines of goless, on gevent; they can be joined through a channel only."""

from __future__ import annotations

import goless

from benchmarks.timing import clock, per_item

__all__ = ["goroutines"]


@per_item
def goroutines(tasks: int, times: int) -> float:
    """So many goroutines that each report their end."""

    def function() -> None:
        ended.send(None)

    start = clock()
    for _ in range(times):
        ended = goless.chan(tasks)
        for _ in range(tasks):
            goless.go(function)
        for _ in range(tasks):
            ended.recv()
    return clock() - start
