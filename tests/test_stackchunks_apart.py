"""The cache of stack chunks in processes of its own: what else a process may do, or be."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import gevents_own_cached
import pytest

START = """\
import os, signal, sys, threading
import gevent
from stacks import ArenaAllocator, counted, end, of_libc, parked
from gowork import stackchunks
from gowork.stackchunks import CHUNK, install, statistics, trim, uninstall
"""
# Whatever else goes on, this is what it is for.
IT_WORKS = """
assert statistics()[:2] == (True, ""), statistics()
trim()
assert counted(lambda: end(parked(20))) == (0, 20, 20)
assert counted(lambda: end(parked(20))) == (20, 0, 0)
"""
IT_IS_OFF = """
assert not statistics().installed
assert counted(lambda: end(parked(20))) == (0, 0, 0)
gevent.joinall([gevent.spawn(gevent.sleep, 0) for _ in range(20)], raise_error=True)
"""


def run(program: str, *options: str, start: str = START, **variables: str) -> str:
    """What *program* prints to the end; it may not print errors."""
    environment = {key: value for key, value in os.environ.items() if key != "GOWORK_STACK_CACHE"}
    ended = subprocess.run(
        [sys.executable, "-P", *options, "-c", start + program],
        env=environment | {"PYTHONPATH": str(Path(__file__).parent)} | variables,
        capture_output=True,
        text=True,
        timeout=25,
    )
    assert ended.returncode == 0, ended.stderr
    assert not ended.stderr
    return ended.stdout


# Settings


def test_it_is_on_once_gowork_is_imported():
    run(IT_WORKS)


def test_a_plain_gevent_program_needs_one_line():
    told = run("import gowork.stackchunks as s; print(s.statistics().installed)", start="")
    assert told == "True\n"


@pytest.mark.parametrize("value", ["0", "off", "No", "false"])
def test_the_environment_can_switch_it_off_and_the_program_on_again(value):
    reason = "assert statistics().reason == 'GOWORK_STACK_CACHE keeps it off'\n"
    run(reason + IT_IS_OFF + "assert install()" + IT_WORKS, GOWORK_STACK_CACHE=value)


@pytest.mark.parametrize("value", ["", "1", "on"])
def test_no_other_value_switches_it_off(value):
    run(IT_WORKS, GOWORK_STACK_CACHE=value)


@pytest.mark.parametrize("off", ["", "0"])
def test_where_pure_python_is_wanted_it_is_off(off):
    never = "assert statistics().reason == 'PURE_PYTHON is set' and not install()"
    run(never + IT_IS_OFF, PURE_PYTHON="1", GOWORK_STACK_CACHE=off)


def test_without_the_extension_everything_works():
    missing = "import sys; sys.modules['gowork._speedups.chunks'] = None\n" + START
    told = run(
        "uninstall(), trim(); print(install(), statistics().reason)" + IT_IS_OFF, start=missing
    )
    assert told.startswith("False its extension is not there, perhaps for want of a C compiler: ")


@pytest.mark.parametrize("name", ["default", "debug", "malloc", "malloc_debug", "pymalloc_debug"])
def test_it_does_not_mind_another_allocator_of_objects(name):
    run(IT_WORKS, PYTHONMALLOC=name)


@pytest.mark.parametrize("option", ["-Xtracemalloc", "-Xdev"])
def test_it_does_not_mind_that_memory_is_watched(option):
    run(IT_WORKS, option)


def test_it_can_be_imported_anew():
    anew = "import importlib\nimportlib.reload(stackchunks)\n"
    anew += "del sys.modules['gowork._speedups.chunks']\nimportlib.reload(stackchunks)\n"
    run("end(parked(50))\n" + anew + IT_WORKS)


# Other allocators


def test_one_that_takes_its_place_is_left_there():
    run(
        """
before = ArenaAllocator.current()
end(parked(20))
theirs = of_libc()
theirs.put_in_place()
assert not install()
assert "another arena allocator" in statistics().reason
assert statistics().held_chunks == statistics().limit == 0
uninstall()
assert theirs.is_in_place()
end(parked(20))
before.put_in_place()
assert install()
"""
        + IT_WORKS
    )


def test_one_on_top_of_it_goes_on_to_call_it():
    run(
        """
ours = ArenaAllocator.current()
theirs = ArenaAllocator(1, ours.alloc_, ours.free_)
theirs.put_in_place()
assert install()
"""
        + IT_WORKS
        + """
uninstall()
assert theirs.is_in_place()
end(parked(20))
assert statistics().held_chunks == 0
assert install()
assert theirs.is_in_place()
"""
        + IT_WORKS
    )


def test_one_below_it_is_used_and_put_back():
    put_in = "theirs = of_libc()\ntheirs.put_in_place()\nassert install()\n"
    put_back = "uninstall()\nassert theirs.is_in_place()\nend(parked(20))\nassert install()\n"
    run(put_in + IT_WORKS + put_back + IT_WORKS, GOWORK_STACK_CACHE="0")


# Memory

SHORT_OF_MEMORY = """
import resource
def spare(number):
    pages = int(open("/proc/self/statm").read().split()[0])
    limit = pages * resource.getpagesize() + number, resource.RLIM_INFINITY
    resource.setrlimit(resource.RLIMIT_AS, limit)
"""


def test_where_memory_is_short_a_greenlet_cannot_start_and_later_it_can():
    run(
        SHORT_OF_MEMORY
        + """
trim()
spare(0)
try:
    crowd = parked(20)
except MemoryError:
    spare(1 << 30)
else:
    sys.exit("there was memory")
"""
        + IT_WORKS
    )


def test_where_memory_is_short_what_is_kept_is_given_back():
    run(
        SHORT_OF_MEMORY
        + """
end(parked(1000))
arenas = ArenaAllocator.current()
spare(4 << 20)
assert arenas.alloc(32 << 20) is None
assert statistics().held_chunks == 0
spare(64 << 20)
end(parked(1000))
spare(0)
address = arenas.alloc(8 << 20)
assert address is not None
arenas.free(address, 8 << 20)
"""
        + IT_WORKS
    )


# Processes


@pytest.mark.parametrize("fork", ["os.fork", "gevent.os.fork"])
def test_a_child_inherits_what_is_held_and_takes_nothing_from_its_parent(fork):
    run(
        f"""
import gevent.os
end(parked(20))
before = statistics()
pid = {fork}()
if pid == 0:
    right = counted(lambda: end(parked(30))) == (20, 10, 10)
    gevent.joinall([gevent.spawn(gevent.sleep, 0.001) for _ in range(5)])
    trim()
    os._exit(0 if right and statistics().held_chunks == 0 else 1)
assert os.waitpid(pid, 0)[1] == 0
assert statistics() == before
"""
        + IT_WORKS
    )


def test_a_child_can_use_it_though_another_thread_was_using_it_at_the_fork():
    run(
        """
arenas = ArenaAllocator.current()
over = threading.Event()
def use():
    while not over.is_set():
        arenas.free(arenas.alloc(CHUNK), CHUNK)
threads = [threading.Thread(target=use) for _ in range(2)]
for thread in threads:
    thread.start()
for _ in range(100):
    pid = os.fork()
    if pid == 0:
        signal.alarm(10)
        end(parked(3))
        os._exit(0 if counted(lambda: end(parked(3))) == (3, 0, 0) else 1)
    assert os.waitpid(pid, 0)[1] == 0
over.set()
for thread in threads:
    thread.join()
""",
        "-Wignore::DeprecationWarning",
    )


def test_it_bears_threads_forks_and_switches_all_at_once():
    run(
        "import stack_stress\nstack_stress.main(1, 1, crossing=0)" + IT_WORKS,
        "-Wignore::DeprecationWarning",
    )


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_it_is_on_in_the_processes_of_multiprocessing(method):
    run(
        f"""
import multiprocessing
with multiprocessing.get_context("{method}").Pool(1) as pool:
    assert pool.apply(statistics).installed
    assert sum(pool.apply(counted, [parked, 20])[:2]) >= 20
""",
        "-Wignore::DeprecationWarning",
    )


SUBINTERPRETERS = """
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters
IMPORT = f'''
import importlib.util, os
spec = importlib.util.spec_from_file_location("chunks", {stackchunks.chunks.__file__!r})
try:
    spec.loader.exec_module(importlib.util.module_from_spec(spec))
except ImportError:
    os.write(1, b"refused ")
'''
for isolated in (False, True):
    if sys.version_info < (3, 13):
        interpreter = interpreters.create(isolated=isolated)
    else:
        interpreter = interpreters.create("isolated" if isolated else "legacy")
    interpreters.run_string(interpreter, IMPORT)
    interpreters.destroy(interpreter)
"""


def test_other_interpreters_cannot_switch_it_and_do_it_no_harm():
    assert run(SUBINTERPRETERS + IT_WORKS) == "refused refused "


@pytest.mark.parametrize(
    "module",
    gevents_own_cached.available(["test__real_greenlet", "test__refcount", "test__threading"]),
)
def test_gevents_own_tests_pass_with_it(module):
    outcome = gevents_own_cached.run(module, cached=True)
    assert outcome.status == 0
    assert outcome.used > 0


def test_a_process_ends_quietly_with_greenlets_and_threads_that_have_not_ended():
    told = run("""
import atexit
atexit.register(lambda: print(len(parked(20))))
crowd = parked(50)
begun, never = threading.Event(), threading.Event()
threading.Thread(target=lambda: (parked(5), begun.set(), never.wait()), daemon=True).start()
begun.wait()
gevent.spawn(gevent.sleep, 1000)
gevent.sleep(0)
""")
    assert told == "20\n"
