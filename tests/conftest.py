"""What every test gets: a deadline, a quiet hub, and a check that it left nothing behind."""

from __future__ import annotations

import gc
import io
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import gevent
import pytest
from deadlines import deadline
from gevent import monkey
from hypothesis import settings

from gowork import Channel, stackchunks
from gowork.testing import plugin
from gowork.testing.leaks import left_since, sweep, watch

pytest_plugins = ["pytester"]

# In a patched process that has used the threadpool gevent's own fork hangs in the child:
# test_patched_forks.py forks from a fresh one instead.
collect_ignore = ["test_forks.py"] if monkey.is_module_patched("threading") else []
if stackchunks.chunks is None:
    collect_ignore += ["test_stackchunks.py", "test_stackchunks_apart.py"]  # it is not there

# The examples are not installed. At the end of the path: an installed gowork goes first.
sys.path.append(str(Path(__file__).resolve().parent.parent))

DEADLINE = 30.0  # seconds
SHOWN = 10  # of the things that are left behind
_stderr = pytest.StashKey[int]()

# A machine under load is slow, not wrong; a build that fails must fail again.
settings.register_profile("gowork", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("gowork")


def _is_compiled() -> bool:
    return Channel.__mro__[1].__module__ == "gowork._exchanges"


# What the variable GOWORK_TEST_EXPECT may promise of the process, and how to tell.
KINDS = {
    "patched": lambda: monkey.is_module_patched("socket") and monkey.is_module_patched("threading"),
    "libuv": lambda: type(gevent.get_hub().loop).__module__ == "gevent.libuv.loop",
    "pure": lambda: not (hasattr(gevent.Greenlet, "__pyx_vtable__") or _is_compiled()),
    "compiled": lambda: _is_compiled() and stackchunks.statistics().installed,
    "oldest": lambda: gevent.__version__ == "24.10.1",
}


def _kinds() -> list[str]:
    return [kind for kind, holds in KINDS.items() if holds()]


def pytest_addoption(pluginmanager: pytest.PytestPluginManager) -> None:
    # Where gowork is installed, its entry point has done so.
    if not pluginmanager.has_plugin("gowork"):
        pluginmanager.register(plugin, "gowork")


def pytest_configure(config: pytest.Config) -> None:
    missing = set(os.environ.get("GOWORK_TEST_EXPECT", "").split()) - set(_kinds())
    if missing:
        raise pytest.UsageError(f"this should be a test run of kind {missing}: {_kinds()}")
    capture = config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        config.stash[_stderr] = os.dup(2)


def pytest_unconfigure(config: pytest.Config) -> None:
    os.close(config.stash[_stderr])


def pytest_report_header() -> str:
    loop = type(gevent.get_hub().loop).__module__
    return f"gevent {gevent.__version__} on {loop}; kind: {', '.join(_kinds()) or 'plain'}"


def pytest_collection_finish() -> None:
    # The hub opens what it needs when it needs it: let it, before the first census.
    # What exists before the tests is frozen, so that a census need not go through it.
    hub = gevent.get_hub()
    hub.resolver.gethostbyname("localhost")
    hub.threadpool.apply(len, ((),))
    gevent.sleep(0.001)
    if type(hub.loop).__module__ == "gevent.libuv.loop":
        # A LoopExit lists the handles of the loop; on libuv gevent may meet one there whose
        # watcher is gone, and the process dies (seen with 26.9).
        type(hub.loop).debug = lambda self: []
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True, scope="module")
def a_small_heap() -> None:
    """Freeze what the modules before have left to pytest: a census goes through the rest."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def nothing_left_behind(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test that takes too long, makes the hub print, or leaves anything behind."""
    name = request.node.name
    marker = request.node.get_closest_marker("deadline")
    seconds = marker.args[0] if marker else DEADLINE
    hub = gevent.get_hub()
    stream = hub.exception_stream = io.StringIO()
    with watch() as before:
        try:
            with deadline(seconds, request.config.stash[_stderr]):
                yield
        finally:
            left = left_since(before)
            if left:
                sweep(before)
            del hub.exception_stream
    if left:
        more = f"\n... {len(left)} in all" if len(left) > SHOWN else ""
        shown = "\n".join(map(str, left[:SHOWN]))
        pytest.fail(f"{name} left behind:\n{shown}{more}", pytrace=False)
    if stream.getvalue() and not request.node.get_closest_marker("hub_prints"):
        pytest.fail(f"{name} made the hub print:\n{stream.getvalue()}", pytrace=False)


@pytest.fixture
def hub_output(nothing_left_behind: None) -> io.StringIO:
    """What the hub prints during the test; for tests marked ``hub_prints``."""
    stream: io.StringIO = gevent.get_hub().exception_stream
    return stream
