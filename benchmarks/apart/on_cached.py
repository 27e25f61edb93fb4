"""Jobs of gowork and greenlets of gevent with the stack-chunk cache, which others lack."""

from __future__ import annotations

from benchmarks.apart.on_gevent import group, parked
from benchmarks.apart.on_gowork import add_task, spawn, waits
from gowork import stackchunks

__all__ = ["add_task", "group", "parked", "spawn", "waits"]

if not stackchunks.install():
    raise RuntimeError("the stack-chunk cache cannot be switched on")
