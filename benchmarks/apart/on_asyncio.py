"""Task groups of asyncio, on its own loop and on that of uvloop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from benchmarks.apart.checks import all_ran
from benchmarks.timing import clock, per_item

__all__ = ["group", "group_on_uvloop", "waits"]


@per_item
def group(tasks: int, groups: int) -> float:
    """On asyncio's own loop."""
    return _run(asyncio.new_event_loop, tasks, groups)


@per_item
def group_on_uvloop(tasks: int, groups: int) -> float:
    """On the loop of uvloop."""
    import uvloop

    return _run(uvloop.new_event_loop, tasks, groups)


@per_item
def waits(tasks: int, groups: int) -> float:
    """Tasks that give way to the others once."""
    return _run(asyncio.new_event_loop, tasks, groups, wait=True)


def _run(
    make: Callable[[], asyncio.AbstractEventLoop], tasks: int, groups: int, wait: bool = False
) -> float:
    ran: list[None] = []

    async def at_once() -> None:
        ran.append(None)

    async def behind_others() -> None:
        await asyncio.sleep(0)
        ran.append(None)

    function = behind_others if wait else at_once

    async def main() -> float:
        start = clock()
        for _ in range(groups):
            async with asyncio.TaskGroup() as group:
                for _ in range(tasks):
                    group.create_task(function())
        return clock() - start

    with asyncio.Runner(loop_factory=make) as runner:
        seconds = runner.run(main())
    all_ran(ran, groups * tasks)
    return seconds
