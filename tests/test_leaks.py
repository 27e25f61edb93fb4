"""The checks that follow every test are checked themselves: each kind of leak is seen."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import gevent
import pytest
from gevent import monkey
from gevent.event import Event
from greenlet import greenlet
from leaks import Census, left_since

start_new_thread = monkey.get_original("_thread", "start_new_thread")
allocate_lock = monkey.get_original("_thread", "allocate_lock")


@contextmanager
def seen(what: str) -> Iterator[None]:
    """The block leaves something behind, described with *what*."""
    before = Census()
    yield
    left = left_since(before)
    assert any(what in one for one in left), left


def test_nothing_is_seen_where_nothing_is_left():
    before = Census()
    gevent.spawn(gevent.sleep, 0.01).join()
    with gevent.Timeout(5):
        gevent.sleep(0)
    os.close(os.dup(0))
    assert left_since(before) == []


def test_what_ends_in_a_few_passes_of_the_loop_is_let_go():
    before = Census()
    gevent.spawn(gevent.sleep, 0)
    assert left_since(before) == []


def test_a_greenlet_that_waits_is_seen_with_its_stack():
    with seen("forgotten_wait"):
        waiting = gevent.spawn(forgotten_wait, Event())
        gevent.sleep(0)
    waiting.kill()


def forgotten_wait(event):
    event.wait()


def test_a_greenlet_that_nobody_refers_to_is_seen():
    event = Event()
    with seen("forgotten_wait"):
        gevent.spawn(forgotten_wait, event)
        gevent.sleep(0)
    event.set()
    gevent.sleep(0)


def test_a_raw_greenlet_that_has_begun_is_seen():
    with seen("greenlet.greenlet"):
        raw = greenlet(lambda: raw.parent.switch(), parent=gevent.getcurrent())
        raw.switch()
    raw.switch()
    assert raw.dead


def test_a_greenlet_that_goes_on_and_on_is_seen():
    going = [True]

    def spin():
        while going:
            gevent.sleep(0)

    with seen("spin"):
        spinning = gevent.spawn(spin)
    going.clear()
    spinning.join()


def test_a_timer_is_seen():
    with seen("active watcher"):
        timer = gevent.get_hub().loop.timer(1000)
        timer.start(lambda: None)
    timer.close()


def test_a_timer_that_does_not_keep_the_loop_alive_is_seen():
    with seen("active watcher"):
        timer = gevent.get_hub().loop.timer(1000, ref=False)
        timer.start(lambda: None)
    timer.close()


def test_a_timeout_that_was_not_closed_is_seen():
    with seen("active watcher"):
        timeout = gevent.Timeout.start_new(1000)
    timeout.close()


def test_a_descriptor_is_seen():
    with seen("descriptor"):
        number = os.dup(0)
    os.close(number)


def test_a_thread_is_seen_with_its_stack():
    lock, begun = taken_lock(), taken_lock()
    with seen("blocked_thread"):
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
    with seen("threadpool"):
        result = gevent.get_hub().threadpool.spawn(lock.acquire)
    lock.release()
    result.get()


def test_what_was_there_before_is_not_blamed():
    waiting = gevent.spawn(forgotten_wait, Event())
    gevent.sleep(0)
    assert left_since(Census()) == []
    waiting.kill()


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
