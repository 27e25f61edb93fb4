"""Task groups of anyio, on asyncio."""

from __future__ import annotations

import anyio

from benchmarks.apart.checks import all_ran
from benchmarks.timing import clock, per_item

__all__ = ["group"]


@per_item
def group(tasks: int, groups: int) -> float:
    """Task groups of so many tasks, one after the other."""
    ran: list[None] = []

    async def function() -> None:
        ran.append(None)

    async def main() -> float:
        start = clock()
        for _ in range(groups):
            async with anyio.create_task_group() as group:
                for _ in range(tasks):
                    group.start_soon(function)
        return clock() - start

    seconds = anyio.run(main, backend="asyncio")
    all_ran(ran, groups * tasks)
    return seconds
