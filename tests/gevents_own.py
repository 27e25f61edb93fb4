"""Run gevent's own test modules on the simulated loop, and print a table of the results.

::

    python tests/gevents_own.py                         # all of MODULES
    python tests/gevents_own.py test__event test__pool  # these
    python tests/gevents_own.py --seed=1                # in a legal order, by chance

Each module runs in a process of its own, whose program is one simulation: the module is
imported in it, so what it takes from module ``time`` is virtual too.
``gevent.testing`` brings a hub class of its own; the simulation's hub here is of that
class as well, or gevent's tests would quietly run on the loop they always run on. After
each test the hub is looked at, and a row without steps is no result.
"""

# ruff: noqa: T201

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
import unittest
from collections.abc import Iterable
from importlib.util import find_spec
from typing import Any, NamedTuple

import gevent._compat
from gevent._hub_local import get_hub_if_exists, set_hub
from gevent.queue import SimpleQueue

from gowork.testing import Simulation, simulations
from gowork.testing.hubs import SimulatedHub

LIMIT = 60.0  # real seconds for a module

# Those whose tests need a loop, and have neither native threads nor processes as their
# subject. Not every version of gevent has them all.
MODULES = """
    test__api test__api_timeout test__backdoor test__contextvars test__core_callback test__event
    test__exc_info test__fileobject test__greenio test__greenlet test__greenletset test__hub
    test__hub_join test__hub_join_timeout test__issue330 test__issue467 test__issue607
    test__issue639 test__issue2013 test__iwait test__joinall test__local test__lock
    test__loop_callback test__makefile_ref test__monkey_queue test__monkey_selectors test__order
    test__os test__pool test__pywsgi test__queue test__refcount test__select test__selectors
    test__semaphore test__server test__server_pywsgi test__socket test__socket_close
    test__socket_errors test__socket_timeout test__ssl test__systemerror test__threading_2
    test__threading_shutdown_atexit test__timeout test__util
""".split()

# Why, and which tests cannot pass in a simulation. They are run all the same.
EXCLUDED_BY_REASON = {
    "native threads": """
        test__event.TestAsyncResultCrossThread.test_cross_thread_callback_can_run_before_scheduling_returns
        test__event.TestAsyncResultCrossThread.test_cross_thread_use
        test__event.TestAsyncResultCrossThread.test_cross_thread_use_bg
        test__event.TestAsyncResultCrossThread.test_cross_thread_use_set_in_bg
        test__event.TestAsyncResultCrossThread.test_cross_thread_use_set_in_bg2
        test__event.TestAsyncResultCrossThread.test_cross_thread_use_timed
        test__event.TestAsyncResultCrossThread.test_cross_thread_use_timed_bg
        test__event.TestEventCrossThread.test_cross_thread_callback_can_run_before_scheduling_returns
        test__event.TestEventCrossThread.test_cross_thread_use
        test__event.TestEventCrossThread.test_cross_thread_use_bg
        test__event.TestEventCrossThread.test_cross_thread_use_set_in_bg
        test__event.TestEventCrossThread.test_cross_thread_use_set_in_bg2
        test__event.TestEventCrossThread.test_cross_thread_use_timed
        test__event.TestEventCrossThread.test_cross_thread_use_timed_bg
        test__hub_join.TestJoin.test_destroy_in_main_thread_from_new_thread
        test__hub_join.TestJoin.test_join_in_new_thread_doesnt_leak_hub_or_greenlet
        test__issue2013.TestHublessThreadSemaphore.test_hubless_native_thread_release_wakes_waiters
        test__lock.TestRLockMultiThread.test_acquire_in_one_then_another
        test__lock.TestRLockMultiThread.test_acquire_in_one_then_another_timed
        test__lock.TestRLockMultiThread.test_acquire_in_one_wait_greenlet_wait_thread_gives_up
        test__lock.TestRLockMultiThread.test_dueling_threads
        test__lock.TestRLockMultiThread.test_dueling_threads_timeout
        test__lock.TestRLockMultiThread.test_dueling_threads_with_hub
        test__semaphore.TestBoundedSemaphoreMultiThread.test_acquire_in_one_then_another
        test__semaphore.TestBoundedSemaphoreMultiThread.test_acquire_in_one_then_another_timed
        test__semaphore.TestBoundedSemaphoreMultiThread.test_acquire_in_one_wait_greenlet_wait_thread_gives_up
        test__semaphore.TestBoundedSemaphoreMultiThread.test_dueling_threads
        test__semaphore.TestBoundedSemaphoreMultiThread.test_dueling_threads_timeout
        test__semaphore.TestBoundedSemaphoreMultiThread.test_dueling_threads_with_hub
        test__semaphore.TestSemaphoreMultiThread.test_acquire_in_one_then_another
        test__semaphore.TestSemaphoreMultiThread.test_acquire_in_one_then_another_timed
        test__semaphore.TestSemaphoreMultiThread.test_acquire_in_one_wait_greenlet_wait_thread_gives_up
        test__semaphore.TestSemaphoreMultiThread.test_dueling_threads
        test__semaphore.TestSemaphoreMultiThread.test_dueling_threads_timeout
        test__semaphore.TestSemaphoreMultiThread.test_dueling_threads_with_hub
        test__util.TestFuncs.test_clear_stack_frames
    """,
    "the hub's threadpool": """
        test__fileobject.TestFileObjectThread.test_bufsize_0
        test__fileobject.TestFileObjectThread.test_close_pipe
        test__fileobject.TestFileObjectThread.test_del_noclose
        test__fileobject.TestFileObjectThread.test_name_after_close
        test__fileobject.TestFileObjectThread.test_newlines
        test__fileobject.TestFileObjectThread.test_r_readline_on_fobject_produces_native
        test__fileobject.TestFileObjectThread.test_r_readline_produces_native
        test__fileobject.TestFileObjectThread.test_read1_binary_present
        test__fileobject.TestFileObjectThread.test_read1_default
        test__fileobject.TestFileObjectThread.test_read1_text_not_present
        test__fileobject.TestFileObjectThread.test_readinto
        test__fileobject.TestFileObjectThread.test_readinto_serial
        test__fileobject.TestFileObjectThread.test_seek
        test__fileobject.TestFileObjectThread.test_str_default_to_native
        test__fileobject.TestFileObjectThread.test_text_encoding
        test__hub.TestPeriodicMonitoringThread.test_blocking_threadpool_thread_multi_greenlet
        test__hub.TestPeriodicMonitoringThread.test_blocking_threadpool_thread_one_greenlet
        test__hub.TestPeriodicMonitoringThread.test_blocking_threadpool_thread_task_queue
        test__os.TestOS_tp.test_if_pipe_blocks_memoryview
    """,
    "gevent's monitoring thread": """
        test__hub.TestPeriodicMonitoringThread.test_blocking_this_thread
        test__hub.TestPeriodicMonitoringThread.test_kill_removes_trace
    """,
    "child processes": """
        test__os.TestForkAndWatch.test_waitpid_all
        test__threading_2.ThreadJoinOnShutdown.test_1_join_on_shutdown
        test__threading_2.ThreadJoinOnShutdown.test_2_join_in_forked_process
        test__threading_2.ThreadJoinOnShutdown.test_3_join_in_forked_from_thread
        test__threading_2.ThreadTests.test_finalize_runnning_thread
        test__threading_2.ThreadTests.test_join_nondaemon_on_shutdown
    """,
    "names of hosts": """
        test__hub.TestCloseSocketWhilePolling.test
        test__socket.TestTCP.test_connect_ex_gaierror
        test__socket.TestTCP.test_connect_ex_not_call_connect
        test__ssl.TestSSL.test_connect_ex_gaierror
        test__ssl.TestSSL.test_connect_ex_not_call_connect
    """,
}
if SimpleQueue.__module__ == "queue":  # gevent's own is not the standard library's since 25
    EXCLUDED_BY_REASON["a native lock"] = """
        test__queue.TestGetInterruptSimpleQueue.test_raises_timeout_number
    """
EXCLUDED = {test for tests in EXCLUDED_BY_REASON.values() for test in tests.split()}


class Report(NamedTuple):
    """What became of the tests of one module; they are named from the module on."""

    module: str
    passed: list[str]
    failed: dict[str, str]  # test: the last line of its traceback
    errors: dict[str, str]
    skipped: dict[str, str]
    steps: int
    jumps: int
    virtual: float  # seconds
    wall: float  # seconds

    @property
    def tests(self) -> int:
        return len(self.passed) + len(self.failed) + len(self.errors) + len(self.skipped)

    @property
    def unexpected(self) -> dict[str, str]:
        """What failed though nobody said so."""
        bad = self.failed | self.errors
        return {test: why for test, why in bad.items() if test not in EXCLUDED}

    @property
    def excluded(self) -> list[str]:
        """What failed as it must."""
        return [test for test in self.failed | self.errors if test in EXCLUDED]

    @property
    def passed_after_all(self) -> list[str]:
        """What passed though it is excluded."""
        return [test for test in self.passed if test in EXCLUDED]


def run(module: str, seed: int | None = None) -> Report:
    """Run the tests of *module* in a process of its own; without *seed* in gevent's order."""
    child = subprocess.run(
        [sys.executable, __file__, "--here", json.dumps([module, seed])],
        capture_output=True,
        text=True,
        timeout=LIMIT,
    )
    try:
        return Report(*json.loads(child.stdout.splitlines()[-1]))
    except (IndexError, ValueError):
        last = "\n".join(child.stderr.splitlines()[-20:])
        raise RuntimeError(f"{module} ended with {child.returncode}, no report:\n{last}") from None


# In that process


class Result(unittest.TestResult):
    """Keeps the names of what passes, and sees to it that the hub is the simulation's."""

    def __init__(self) -> None:
        super().__init__()
        self.passed: list[unittest.TestCase] = []
        self._hub = get_hub_if_exists()

    def addSuccess(self, test: unittest.TestCase) -> None:  # noqa: N802
        super().addSuccess(test)
        self.passed.append(test)

    def stopTest(self, test: unittest.TestCase) -> None:  # noqa: N802
        super().stopTest(test)
        if get_hub_if_exists() is not self._hub:
            set_hub(self._hub)
            self.errors.append((test, "it left another hub than the simulation's"))


def run_here(module: str, seed: int | None) -> Report:
    # gevent's tests measure with a copy of the clock that gevent took long ago.
    gevent._compat.perf_counter = lambda: time.perf_counter()
    simulations.SimulatedHub = quiet_hub()
    began = time.monotonic()
    with Simulation(seed=seed, legal=True) as simulation:
        tests = unittest.defaultTestLoader.loadTestsFromName(f"gevent.tests.{module}")
        result = Result()
        tests.run(result)
        simulation.hub_errors.clear()  # among them what is refused to tests that are excluded
    return Report(
        module,
        [name_of(test) for test in result.passed],
        by_name(result.failures),
        by_name(result.errors),
        by_name(result.skipped + result.expectedFailures),
        simulation.steps,
        simulation.jumps,
        simulation.now,
        time.monotonic() - began,
    )


def quiet_hub() -> Any:
    """A simulated hub with the manners that gevent's tests expect of theirs."""
    from gevent.testing.hub import QuietHub

    return type("QuietHub", (SimulatedHub, QuietHub), {})


def by_name(outcomes: Iterable[tuple[unittest.TestCase, str]]) -> dict[str, str]:
    return {name_of(test): first_line(text) for test, text in outcomes}


def first_line(text: str) -> str:
    """What a formatted error, or a reason to skip, says at first."""
    said = text.rpartition("Traceback (most recent call last):")[2].splitlines()
    return next((line for line in said if line and not line.startswith(" ")), "")


def name_of(test: unittest.TestCase) -> str:
    return test.id().removeprefix("gevent.tests.")


# The table

COLUMNS = "module tests passed skipped excluded failed steps jumps virtual wall".split()
WIDTHS = [32, *[8] * (len(COLUMNS) - 1)]
RULE = " ".join("=" * width for width in WIDTHS)


def row(report: Report) -> list[Any]:
    """What the table says of *report*; times are in seconds."""
    outcomes = report.passed, report.skipped, report.excluded, report.unexpected
    run = report.steps, report.jumps, report.virtual, report.wall
    return [report.module, report.tests, *map(len, outcomes), *run]


def total(rows: list[list[Any]]) -> list[Any]:
    """The last line of the table."""
    _, *columns = zip(*rows, strict=True)
    return ["total", *map(sum, columns)]


def line(cells: list[Any]) -> str:
    """*cells* in a line of the table, the numbers to the right."""
    name, *others = (f"{cell:.2f}" if isinstance(cell, float) else str(cell) for cell in cells)
    width, *widths = WIDTHS
    return " ".join([name.ljust(width), *map(str.rjust, others, widths)])


def main(modules: list[str], seed: int | None) -> bool:
    """Run *modules* and print the table; whether only what is excluded failed."""
    print(f"gevent {gevent.__version__}, Python {sys.version.split()[0]}\n")
    print(RULE, line(COLUMNS), RULE, sep="\n")
    reports = []
    for module in modules:
        reports.append(run(module, seed))
        print(line(row(reports[-1])), flush=True)
    print(line(total([row(report) for report in reports])), RULE, sep="\n")
    for report in reports:
        for test in report.passed_after_all:
            print(f"\n{test} is excluded, but passed")
        for test, why in report.unexpected.items():
            print(f"\n{test}: {why}")
        if not report.steps:
            print(f"\n{report.module} was not simulated")
    return all(report.steps and not report.unexpected for report in reports)


def available(modules: Iterable[str]) -> list[str]:
    """Those *modules* that this version of gevent has."""
    return [module for module in modules if find_spec(f"gevent.tests.{module}")]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Run gevent's own tests in simulations.")
    parser.add_argument("modules", nargs="*", default=available(MODULES))
    parser.add_argument("--seed", type=int)
    parser.add_argument("--here", type=json.loads, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.here:
        del sys.argv[1:]  # some modules read it
        print("\n" + json.dumps(run_here(*arguments.here)))
    else:
        sys.exit(not main(arguments.modules, arguments.seed))
