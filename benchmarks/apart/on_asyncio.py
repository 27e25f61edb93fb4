"""Task groups of asyncio, on its own loop and on that of uvloop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

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
    return _run(asyncio.new_event_loop, tasks, groups, partial(asyncio.sleep, 0))


async def _nothing() -> None:
    pass


def _run(
    make: Callable[[], asyncio.AbstractEventLoop],
    tasks: int,
    groups: int,
    wait: Callable[[], Awaitable[None]] = _nothing,
) -> float:
    ran: list[None] = []

    async def function() -> None:
        await wait()
        ran.append(None)

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
