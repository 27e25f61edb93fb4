"""Jobs: what tasks cost to run, to stop and to keep, each runner in a process of its own."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module

from benchmarks.contests import Gauge, Race
from benchmarks.processes import HAS_GO, Apart, figure, has, importing, in_go, worker

__all__ = ["GAUGES", "RACES"]

SIZES = (10, 1_000, 100_000)  # of jobs, and a job of one
TICKS = 100_000
MANY = 10_000
STACK_CHUNKS = "gowork.stackchunks"


def in_nanoseconds(seconds: float) -> str:
    return f"{seconds * 1e9:.0f} ns"


def in_milliseconds(seconds: float) -> str:
    return f"{seconds * 1e3:.1f} ms"


def in_bytes(amount: float) -> str:
    return f"{amount:,.0f} bytes"


def has_cache() -> bool:
    """Whether gowork's stack-chunk cache is there, and on where nobody has switched it off."""
    return has(STACK_CHUNKS) and bool(import_module(STACK_CHUNKS).statistics().installed)


def group(size: int, goal: float | None) -> Apart:
    return Apart("gevent Group().spawn()", worker("on_gevent.group", size), goal)


def task_group(size: int, goal: float | None) -> Apart:
    return Apart("asyncio TaskGroup()", worker("on_asyncio.group", size), goal)


def nursery(size: int, goal: float | None) -> Apart:
    return Apart("trio nursery", worker("on_trio.nursery", size), goal, has("trio"))


def jobs_of(size: int) -> Iterator[Race]:
    """Jobs of so many tasks, beside groups of as many: the time of one task."""
    group_goal, asyncio_goal = (1.5, None) if size == 1 else (0.8, 2.0)
    peers = group(size, group_goal), task_group(size, asyncio_goal)
    uvloop, anyio = worker("on_asyncio.group_on_uvloop", size), worker("on_anyio.group", size)
    others = (
        Apart("the same on uvloop", uvloop, is_here=has("uvloop")),
        nursery(size, None),
        Apart("anyio task group", anyio, is_here=has("anyio")),
        Apart("gevent Pool(100).spawn()", worker("on_gevent.pool", size)),
        Apart("goless go()", worker("on_goless.goroutines", size), is_here=has("goless")),
        Apart("Go, sync.WaitGroup", in_go("group", size), is_here=HAS_GO),
    )
    spawn = Apart("job.spawn()", worker("on_gowork.spawn", size))
    add_task = Apart("job.add_task()", worker("on_gowork.add_task", size))
    yield Race(f"spawn-{size}", spawn, (*peers, *others))
    yield Race(f"tasks-{size}", add_task, peers)


def cached(size: int) -> Iterator[Race]:
    """Jobs and greenlets with the stack-chunk cache, beside what has none."""

    def ours(what: str, work: str) -> Apart:
        command = worker(f"on_cached.{work}", size, cached=True)
        return Apart(f"{what}, stack cache on", command, is_here=has_cache())

    peers = group(size, 0.45), task_group(size, 0.9), nursery(size, 0.7)
    yield Race(f"spawn-{size}-cached", ours("job.spawn()", "spawn"), peers)
    yield Race(f"tasks-{size}-cached", ours("job.add_task()", "add_task"), peers)
    off = Apart("the same, off", worker("on_gevent.group", size), goal=0.55)
    yield Race(f"group-{size}-cached", ours("gevent Group().spawn()", "group"), (off,))
    off = Apart("the same, off", worker("on_gevent.parked", size), goal=0.4)
    yield Race(f"parked-{size}-cached", ours("greenlets that wait", "parked"), (off,))


def waiting(cached: bool) -> Race:
    """Tasks that wait once each, so that each has a greenlet of its own, beside greenlets."""
    module, name = ("on_cached", "waits-cached") if cached else ("on_gowork", "waits")
    what = "tasks that wait, stack cache on" if cached else "tasks that wait"
    work = worker(f"{module}.waits", 1_000, cached=cached)
    is_here = has_cache() if cached else True
    peers = (
        Apart("gevent Group().spawn()", worker("on_gevent.waits", 1_000)),
        Apart("asyncio TaskGroup()", worker("on_asyncio.waits", 1_000)),
    )
    return Race(name, Apart(what, work, is_here=is_here), peers)


def flat(name: str, size: int, others: tuple[int, ...]) -> Race:
    """A task in a job of that *size*, beside one in jobs of other sizes."""
    peers = [Apart(f"{n:,} tasks", worker("on_gowork.spawn", n), goal=1.5) for n in others]
    return Race(name, Apart(f"a job of {size:,} tasks", worker("on_gowork.spawn", size)), (*peers,))


RACES = (
    *jobs_of(1),
    *(race for size in SIZES for race in (*jobs_of(size), *cached(size))),
    waiting(cached=False),
    waiting(cached=True),
    flat("small", 10, (1_000, 100_000)),
    flat("large", 100_000, (10, 1_000)),
    Race(
        "tick",
        Apart("tick() of a trivial run", worker("on_gowork.tick", TICKS)),
        (Apart("calls of a plain function", worker("plain.calls", TICKS), goal=3.3),),
        in_nanoseconds,
    ),
    Race(
        "tick-beside",
        Apart("tick(), 10,000 others idle", worker("on_gowork.tick_beside_idle_tasks", TICKS, 1)),
        (
            Apart(
                "the same, the others gone",
                worker("on_gowork.tick_behind_idle_tasks", TICKS, 1),
                goal=1.05,
            ),
        ),
        in_nanoseconds,
    ),
    Race(
        "cancel",
        Apart("job.cancel(), with finalizers", worker("on_gowork.cancel", MANY)),
        (
            Apart("gevent Group().kill()", worker("on_gevent.cancel", MANY), goal=0.6),
            Apart("Go, the end of a context", in_go("cancel", MANY), is_here=HAS_GO),
        ),
    ),
    Race(
        "memory",
        Apart("a blocked task, with a finalizer", worker("on_gowork.memory", MANY, None)),
        (
            Apart(
                "gevent.spawn(), with a finally",
                worker("on_gevent.memory", MANY, None),
                goal=1.15,
            ),
            Apart("a blocked goroutine", in_go("memory", MANY, None), is_here=HAS_GO),
        ),
        in_bytes,
    ),
    Race(
        "connection",
        Apart("a job with a oneshot and timeouts", worker("on_gowork.connection", 100)),
        (
            Apart("three gevent.spawn(), a Timeout", worker("on_gevent.connection", 100), goal=1.3),
            Apart("Go, three goroutines", in_go("connection", 100), is_here=HAS_GO),
        ),
    ),
    Race(
        "import",
        Apart("import gowork", importing("gowork")),
        (Apart("import gevent", importing("gevent"), goal=1.4),),
        in_milliseconds,
    ),
)


def idling(seconds: float) -> float:
    """The share of a core, in percent, that idle tasks take in so many seconds."""
    return figure(worker("on_gowork.idling", MANY, seconds)(1))


GAUGES = (
    Gauge("idle-tasks", f"{MANY:,} tasks that idle", idling, amount=4, unit="% CPU", limit=2),
)
