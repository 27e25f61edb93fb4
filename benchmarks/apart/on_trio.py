"""Nurseries of trio."""

from __future__ import annotations

import trio

from benchmarks.apart.checks import all_ran
from benchmarks.timing import clock, per_item

__all__ = ["nursery"]


@per_item
def nursery(tasks: int, nurseries: int) -> float:
    """Nurseries of so many tasks, one after the other."""
    ran: list[None] = []

    async def function() -> None:
        ran.append(None)

    async def main() -> float:
        start = clock()
        for _ in range(nurseries):
            async with trio.open_nursery() as nursery:
                for _ in range(tasks):
                    nursery.start_soon(function)
        return clock() - start

    seconds = trio.run(main)
    all_ran(ran, nurseries * tasks)
    return seconds
