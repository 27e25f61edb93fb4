"""The checks that follow every test are checked themselves: each kind of leak is seen."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import gevent
import gevent.socket
import pytest
from gevent import monkey
from gevent.event import Event
from greenlet import greenlet

from gowork.testing import Simulation
from gowork.testing.leaks import Census, left_since, sweep, watch

start_new_thread = monkey.get_original("_thread", "start_new_thread")
allocate_lock = monkey.get_original("_thread", "allocate_lock")


@contextmanager
def seen(kind: str, *words: str) -> Iterator[None]:
    """The block leaves one thing behind, of that *kind* and described with all *words*."""
    with watch() as before:
        yield
        left = left_since(before)
    assert [one.kind for one in left] == [kind], left
    assert all(word in left[0].what for word in words), left


@contextmanager
def nothing_seen() -> Iterator[None]:
    """The block leaves nothing behind."""
    with watch() as before:
        yield
        assert left_since(before) == []


def test_nothing_is_seen_where_nothing_is_left():
    with nothing_seen():
        gevent.spawn(gevent.sleep, 0.01).join()
        with gevent.Timeout(5):
            gevent.sleep(0)
        os.close(os.dup(0))


def test_what_ends_in_a_few_passes_of_the_loop_is_let_go():
    with nothing_seen():
        gevent.spawn(gevent.sleep, 0)


def test_a_greenlet_that_waits_is_seen_with_its_stack_and_where_it_was_spawned():
    with seen("greenlet", "in forgotten_wait\n    event.wait()", "in forget_a_wait\n"):
        waiting = forget_a_wait(Event())
    waiting.kill()


def forget_a_wait(event):
    waiting = gevent.spawn(forgotten_wait, event)
    gevent.sleep(0)
    return waiting


def forgotten_wait(event):
    event.wait()


def test_a_greenlet_that_nobody_refers_to_is_seen():
    event = Event()
    with seen("greenlet", "forgotten_wait"):
        forget_a_wait(event)
    event.set()
    gevent.sleep(0)


def test_a_raw_greenlet_that_has_begun_is_seen():
    with seen("greenlet", "greenlet.greenlet"):
        raw = greenlet(lambda: raw.parent.switch(), parent=gevent.getcurrent())
        raw.switch()
    raw.switch()
    assert raw.dead


def test_a_greenlet_that_goes_on_and_on_is_seen():
    going = [True]

    def spin():
        while going:
            gevent.sleep(0)

    with seen("greenlet", "spin"):
        spinning = gevent.spawn(spin)
    going.clear()
    spinning.join()


def test_a_greenlet_that_will_begin_later_is_seen():
    with watch() as before:
        late = gevent.spawn_later(1000, print)
        kinds = {one.kind for one in left_since(before)}
    late.kill()
    assert kinds == {"greenlet", "active watcher"}


def test_a_timer_is_seen():
    with seen("active watcher", "timer"):
        timer = gevent.get_hub().loop.timer(1000)
        timer.start(lambda: None)
    timer.close()


def test_a_timer_that_does_not_keep_the_loop_alive_is_seen():
    with seen("active watcher", "timer"):
        timer = gevent.get_hub().loop.timer(1000, ref=False)
        timer.start(lambda: None)
    timer.close()


def test_a_timeout_that_was_not_closed_is_seen():
    with seen("active watcher", "timer"):
        timeout = gevent.Timeout.start_new(1000)
    timeout.close()


def test_a_descriptor_is_seen():
    with seen("descriptor"):
        number = os.dup(0)
    os.close(number)


def test_a_descriptor_is_seen_with_the_object_that_holds_it():
    with seen("descriptor", "gevent._socket3.socket", "family=2"):
        holder = gevent.socket.socket()
    holder.close()


def test_a_thread_is_seen_with_its_stack():
    lock, begun = taken_lock(), taken_lock()
    with seen("thread", "blocked_thread"):
        start_new_thread(blocked_thread, (lock, begun))
        begun.acquire()
    lock.release()


def taken_lock():
    lock = allocate_lock()
    lock.acquire()
    return lock


def blocked_thread(lock, begun):
    begun.release()
    lock.acquire()


def test_work_of_the_threadpool_is_seen():
    lock = taken_lock()
    with seen("pool work", "1 unfinished"):
        result = gevent.get_hub().threadpool.spawn(lock.acquire)
    lock.release()
    result.get()


def open_null():
    return open(os.devnull)


class Knot:
    """Refers to itself, so that only the collector frees it."""

    def __init__(self, held):
        self.held = held
        self.itself = self


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
@pytest.mark.parametrize(
    ("make", "what"), [(gevent.socket.socket, "_socket3.socket"), (open_null, "/dev/null")]
)
def test_a_reference_cycle_that_holds_a_descriptor_is_seen(make, what):
    with seen("reference cycle", "that holds", what):
        Knot(make())


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
def test_a_cycle_is_seen_however_much_was_made_after_it():
    with seen("reference cycle"):
        Knot(gevent.socket.socket())
        assert len([[] for _ in range(10_000)])


def test_a_cycle_of_memory_alone_is_let_go():
    with nothing_seen():
        Knot(gevent.spawn(len, ()))
        Knot(gevent.get_hub().loop.timer(1))
        gevent.sleep(0)


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
def test_a_cycle_that_was_collected_in_time_is_let_go():
    with nothing_seen():
        Knot(gevent.socket.socket())
        gc.collect()


def test_a_greenlet_that_waits_in_a_cycle_is_seen_as_a_greenlet():
    event = Event()
    with seen("greenlet", "forgotten_wait"):
        Knot(forget_a_wait(event)).event = event
    event.set()
    gevent.sleep(0)


def test_what_was_there_before_is_not_blamed():
    waiting = forget_a_wait(Event())
    with nothing_seen():
        pass
    waiting.kill()


@pytest.mark.parametrize(("young", "meanwhile"), [(0, 0), (700, 50_000), (10**6, 10**6)])
def test_the_collector_comes_seldom_and_then_as_before(young, meanwhile):
    outer = gc.get_threshold()
    gc.set_threshold(young, 7, 8)
    try:
        with watch():
            assert gc.get_threshold() == (meanwhile, 7, 8)
        assert gc.get_threshold() == (young, 7, 8)
    finally:
        gc.set_threshold(*outer)


def test_what_is_swept_up_is_gone():
    before = Census()
    forget_a_wait(Event())
    gevent.Timeout.start_new(1000)
    late = gevent.spawn_later(1000, print)
    sweep(before)
    assert left_since(before) == []
    assert late.dead


def test_work_of_the_threadpool_that_was_swept_up_still_ends_well():
    lock, before = taken_lock(), Census()
    result = gevent.get_hub().threadpool.spawn(lock.acquire)
    sweep(before)
    lock.release()
    assert result.get(timeout=10)
    assert left_since(before) == []


def test_the_pool_that_the_hub_makes_for_itself_is_not_blamed_and_any_other_is():
    with nothing_seen():
        gevent.get_hub().threadpool.apply(len, ((),))
    before = Census()
    pool = gevent.get_hub().threadpool_class(1)
    pool.apply(len, ((),))
    left = left_since(before)
    pool.kill()
    assert {one.kind for one in left} == {"active watcher"}


def test_in_a_simulation_its_greenlets_and_timers_are_seen():
    with Simulation() as simulation:
        before = Census()
        gevent.spawn(gevent.sleep, 1000)
        gevent.Timeout.start_new(1000)
        left = left_since(before)
        sweep(before)
        assert left_since(before) == []
    assert sorted(one.kind for one in left) == ["active watcher"] * 2 + ["greenlet"]
    assert simulation.left == []


def test_in_a_simulation_no_pool_is_made():
    with Simulation(), nothing_seen():
        gevent.sleep(1000)


@pytest.fixture
def run_suite(pytester, monkeypatch):
    """Run a test module in a process of its own, with this suite's conftest."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    monkeypatch.delenv("GOWORK_TEST_EXPECT", raising=False)

    def run(body):
        pytester.makepyfile("import time, gevent, gevent.event, pytest\n" + body)
        return pytester.runpytest_subprocess("-p", "conftest")

    return run


def test_the_fixture_fails_and_names_the_test_that_leaked(run_suite):
    result = run_suite(
        """
def test_leaky():
    gevent.spawn(gevent.event.Event().wait)

def test_the_next_one_finds_a_clean_hub():
    with pytest.raises(gevent.exceptions.LoopExit):
        gevent.event.Event().wait()
"""
    )
    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(["*test_leaky left behind:*", "*greenlet <Greenlet*"])


def test_the_fixture_fails_a_test_that_makes_the_hub_print(run_suite):
    result = run_suite(
        """
def test_noisy():
    gevent.spawn(int, "x").join()

@pytest.mark.hub_prints
def test_noisy_and_says_so(hub_output):
    gevent.spawn(int, "x").join()
    assert "ValueError" in hub_output.getvalue()
"""
    )
    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(["*test_noisy made the hub print:*", "*ValueError*"])


@pytest.mark.deadline(60)
@pytest.mark.parametrize(
    "hang",
    [
        "gevent.event.Event().wait(1000)",
        "while True: pass",
        "gevent.spawn(hog).join()",
    ],
)
def test_the_fixture_ends_a_test_that_hangs_and_shows_where(run_suite, hang):
    result = run_suite(
        f"""
def hog():
    try:
        while True: pass
    except BaseException:
        while True: pass

@pytest.mark.deadline(0.2)
def test_hanging():
    {hang}

def test_after_it():
    pass
"""
    )
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["*DeadlineExceeded: not over after 0.2 seconds*"])
    result.stdout.re_match_lines([r"(FAILED|ERROR) .*test_hanging"])
    result.stdout.no_re_match_line(r"(FAILED|ERROR) .*test_after_it")
