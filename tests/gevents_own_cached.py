"""Run gevent's own test modules on their usual loop, without and with the cache of stack chunks.

::

    python tests/gevents_own_cached.py                          # all of MODULES, in minutes
    python tests/gevents_own_cached.py test__pool test__thread  # these

What comes out must be the same. Not every version of gevent has all of them.
"""

# ruff: noqa: T201

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from typing import NamedTuple

# Of greenlets, pools, threads, forks, and what lives as long as one of them.
MODULES = """
    test__GreenletExit test___ident test__contextvars test__core_fork test__destroy
    test__destroy_default_loop test__event test__events test__greenlet test__greenletset test__hub
    test__hub_join test__hub_join_timeout test__import_blocking_in_greenlet test__iwait
    test__joinall test__local test__lock test__memleak test__monkey_fork_atomic
    test__monkey_futures_thread_fork test__monkey_hub_in_thread test__os test__pool
    test__real_greenlet test__refcount test__refcount_core test__semaphore test__subprocess
    test__thread test__threading test__threading_2 test__threading_before_monkey
    test__threading_fork_from_dummy test__threading_holding_lock_while_monkey
    test__threading_monkey_in_thread test__threading_native_before_monkey
    test__threading_no_monkey test__threading_patched_local test__threading_shutdown_atexit
    test__threading_vs_settrace test__threadpool test__threadpool_executor_patched
""".split()

PROGRAM = """
import atexit, os, runpy, sys
from gowork import stackchunks
process = os.getpid()
used = lambda: stackchunks.statistics().hits + stackchunks.statistics().misses
atexit.register(lambda: os.getpid() == process and print("\\nUSED", used(), file=sys.stderr))
sys.argv = sys.argv[1:]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""


class Outcome(NamedTuple):
    """What a module's tests said at the end, and how many chunks the cache saw."""

    status: int
    summary: str
    used: int


def run(module: str, cached: bool) -> Outcome:
    done = subprocess.run(
        [sys.executable, "-P", "-c", PROGRAM, f"gevent.tests.{module}"],
        env=os.environ | {"GOWORK_STACK_CACHE": "1" if cached else "0"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    said = re.findall(r"^(?:Ran \d+ tests?|OK.*|FAILED.*)", done.stderr, re.MULTILINE)
    [used] = re.findall(r"^USED (\d+)$", done.stderr, re.MULTILINE)
    return Outcome(done.returncode, ", ".join(said), int(used))


def main(modules: list[str]) -> bool:
    """Run them and print a line for each; whether the cache was used and made no difference."""
    all_well = True
    for module in modules:
        without, cached = run(module, False), run(module, True)
        well = without[:2] == cached[:2] and not without.used and cached.used > 0
        print(f"{module:40} {cached.summary or cached.status} {'' if well else without}")
        all_well &= well
    return all_well


def available(modules: list[str]) -> list[str]:
    """Those *modules* that this version of gevent has."""
    return [module for module in modules if find_spec(f"gevent.tests.{module}")]


if __name__ == "__main__":
    sys.exit(not main(sys.argv[1:] or available(MODULES)))
