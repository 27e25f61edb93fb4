"""Alarm and IdleClock: one timer, no more entries than are watched, nothing early or late."""

from __future__ import annotations

import math
import time
from types import SimpleNamespace

import gevent
import pytest
from gevent.hub import Waiter
from makers import passes

from gowork import clocks
from gowork.clocks import Alarm, IdleClock, as_seconds, idle_clock
from gowork.testing import simulate
from gowork.testing.leaks import Census


class Timer:
    def __init__(self, loop, after):
        self.loop, self.due = loop, loop.now + after
        self.callback = None

    def start(self, callback, update=None):
        assert update  # the clock of a real loop is as old as its last look at it
        self.callback = callback
        self.loop.timers.append(self)

    def stop(self):
        if self in self.loop.timers:
            self.loop.timers.remove(self)

    def close(self):
        assert self not in self.loop.timers


class Loop:
    """A loop whose time is moved by hand; callbacks run in the real one."""

    def __init__(self):
        self.now = 1000.0
        self.timers = []

    def timer(self, after):
        return Timer(self, after)

    def run_callback(self, function, *args):
        gevent.get_hub().loop.run_callback(function, *args)

    def monotonic(self):
        return self.now

    def move(self, seconds):
        """Let time pass, and what is due happen."""
        self.now += seconds
        for timer in [one for one in self.timers if one.due <= self.now]:
            timer.stop()
            timer.callback()
        passes()


@pytest.fixture
def loop(monkeypatch):
    loop = Loop()
    monkeypatch.setattr(clocks, "time", SimpleNamespace(monotonic=loop.monotonic))
    return loop


def noting(notes, what, *following):
    """A check that notes that it was called, and asks for *following* times in turn."""
    times = list(following)

    def check(now):
        notes.append((what, now))
        return times.pop(0) if times else None

    return check


# Seconds


@pytest.mark.parametrize(("value", "seconds"), [(0, 0.0), (1, 1.0), (2.5, 2.5), (math.inf, None)])
def test_seconds_are_numbers_and_infinity_is_none(value, seconds):
    assert as_seconds("it", value) == seconds


@pytest.mark.parametrize(
    ("value", "error"),
    [("1", TypeError), (None, TypeError), (True, TypeError), (1j, TypeError)]
    + [(-0.1, ValueError), (-math.inf, ValueError), (math.nan, ValueError)],
)
def test_seconds_that_are_none_are_refused_by_name(value, error):
    with pytest.raises(error, match="the limit"):
        as_seconds("the limit", value)


# Alarm


def test_a_check_is_called_when_it_is_due_and_not_before(loop):
    notes, alarm = [], Alarm(loop)
    alarm.watch(loop.now + 5, noting(notes, "a"))
    loop.move(4.9)
    assert notes == []
    loop.move(0.1)
    assert notes == [("a", 1005.0)]
    loop.move(100)
    assert len(notes) == 1


def test_a_check_is_called_again_at_the_time_it_names(loop):
    notes, alarm = [], Alarm(loop)
    alarm.watch(1001, noting(notes, "a", 1010, 1020))
    for _ in range(30):
        loop.move(1)
    assert notes == [("a", 1001), ("a", 1010), ("a", 1020)]


def test_checks_are_called_in_the_order_in_which_they_are_due(loop):
    notes, alarm = [], Alarm(loop)
    for due in (1003, 1001, 1002, 1001):
        alarm.watch(due, noting(notes, due))
    loop.move(10)
    assert [what for what, _ in notes] == [1001, 1001, 1002, 1003]


def test_one_timer_waits_for_the_earliest_of_all(loop):
    alarm = Alarm(loop)
    for due in (1050, 1020, 1030, 1010, 1040):
        alarm.watch(due, noting([], due))
        assert len(loop.timers) == 1
    assert loop.timers[0].due == 1010
    loop.move(10)
    assert [timer.due for timer in loop.timers] == [1020]
    alarm.close()


def test_no_timer_is_left_when_nothing_is_watched(loop):
    notes, alarm = [], Alarm(loop)
    entries = [alarm.watch(1001, noting(notes, n)) for n in range(3)]
    for entry in entries:
        assert len(loop.timers) == 1
        alarm.drop(entry)
        alarm.drop(entry)
    assert loop.timers == []
    alarm.watch(1001, noting(notes, "fires"))
    loop.move(1)
    assert [what for what, _ in notes] == ["fires"]
    assert loop.timers == []


def test_a_closed_alarm_watches_nothing(loop):
    notes, alarm = [], Alarm(loop)
    entry = alarm.watch(1001, noting(notes, "a"))
    alarm.close()
    assert loop.timers == []
    alarm.drop(entry)
    loop.move(5)
    assert notes == []


def test_what_is_dropped_or_closed_between_the_timer_and_its_check_is_not_called(loop):
    for stop in (lambda alarm, entry: alarm.drop(entry), lambda alarm, entry: alarm.close()):
        notes, alarm = [], Alarm(loop)
        entry = alarm.watch(loop.now + 1, noting(notes, "a"))
        gevent.get_hub().loop.run_callback(stop, alarm, entry)
        loop.move(1)
        assert notes == []
        assert loop.timers == []


def test_work_that_is_queued_when_the_timer_fires_comes_before_the_check(loop):
    order, alarm = [], Alarm(loop)
    alarm.watch(loop.now + 1, lambda now: order.append("deadline"))
    gevent.get_hub().loop.run_callback(order.append, "work")
    loop.move(1)
    assert order == ["work", "deadline"]


def test_a_check_may_watch_and_drop(loop):
    notes, alarm = [], Alarm(loop)
    victim = alarm.watch(1005, noting(notes, "victim"))

    def check(now):
        alarm.drop(victim)
        alarm.watch(1002, noting(notes, "new"))

    alarm.watch(1001, check)
    loop.move(1)
    loop.move(9)
    assert [what for what, _ in notes] == ["new"]
    assert loop.timers == []


def test_dropped_entries_do_not_pile_up(loop):
    alarm = Alarm(loop)
    kept = [alarm.watch(10_000, noting([], n)) for n in range(100)]
    for _ in range(100_000):
        alarm.drop(alarm.watch(5_000, noting([], "dropped")))
        assert len(alarm._entries) <= 2 * len(kept) + 65
    alarm.close()


def test_an_alarm_on_the_real_loop_leaves_no_timer():
    alarm, fired = Alarm(gevent.get_hub().loop), gevent.event.Event()
    before = Census().watchers
    alarm.watch(clocks.time.monotonic() + 0.01, lambda now: fired.set())
    assert len(Census().watchers) == len(before) + 1
    assert fired.wait(10)
    assert len(Census().watchers) == len(before)


@pytest.mark.parametrize("after", [0.0, 0.0004, 0.001])
def test_less_than_a_millisecond_is_no_trouble_on_any_loop(after):
    alarm, fired = Alarm(gevent.get_hub().loop), gevent.event.Event()
    alarm.watch(clocks.time.monotonic() + after, lambda now: fired.set())
    assert fired.wait(10)
    gevent.spawn(idle_clock().pause, Waiter(), after).get()


# IdleClock


def paused(clock, pause, *lengths):
    """Greenlets that each take a pause, and the list of those whose pause is over."""
    over = []

    def take(length):
        pause(clock, Waiter(), length)
        over.append(length)

    greenlets = [gevent.spawn(take, length) for length in lengths]
    passes()
    return greenlets, over


def test_a_pause_ends_when_its_time_is_over(loop):
    clock = IdleClock(loop)
    _, over = paused(clock, IdleClock.pause, 3, 1, 2)
    assert len(loop.timers) == 1
    for expected in ([1], [1, 2], [1, 2, 3]):
        loop.move(1)
        assert over == expected
    assert loop.timers == []


def test_a_pause_ends_early_when_its_waiter_is_woken(loop):
    clock, waiter = IdleClock(loop), Waiter()
    greenlet = gevent.spawn(clock.pause, waiter, 3600)
    passes()
    gevent.get_hub().loop.run_callback(waiter.switch, None)
    passes()
    assert greenlet.dead
    assert loop.timers == []


def test_a_pause_that_is_killed_leaves_no_timer(loop):
    clock = IdleClock(loop)
    greenlets, over = paused(clock, IdleClock.pause, 1, 2, 3)
    gevent.killall(greenlets)
    assert over == []
    assert loop.timers == []


def test_a_lone_back_off_takes_its_length(loop):
    clock = IdleClock(loop)
    _, over = paused(clock, IdleClock.back_off, 0.1)
    loop.move(0.0999)
    assert over == []
    loop.move(0.0002)
    assert over == [0.1]


def test_back_offs_of_a_crowd_that_begin_apart_end_in_company(loop):
    clock, over, ends = IdleClock(loop), [], set()
    paused(clock, IdleClock.pause, *[9999] * 1000)
    for _ in range(20):
        over.append(paused(clock, IdleClock.back_off, 0.1)[1])
        loop.move(0.001)
        ends.add(loop.timers[0].due)
    loop.move(1)
    assert all(over)
    assert len(ends) <= 3
    loop.move(9999)


def test_where_many_pause_they_wake_a_limited_number_of_times_a_second_together(loop):
    clock, limit = IdleClock(loop), clocks.WAKES_PER_SECOND
    greenlets, over = paused(clock, IdleClock.back_off, *[0.1] * (2 * limit))
    loop.move(1)
    assert 0 < len(over) <= 0.6 * limit
    loop.move(20)
    assert len(over) == 2 * limit
    gevent.joinall(greenlets)


def test_early_wakes_do_not_pile_up(loop):
    clock = IdleClock(loop)
    (sleeper,), _ = paused(clock, IdleClock.pause, 9999)
    most = 0

    def wake_early():
        nonlocal most
        for _ in range(100_000):
            waiter = Waiter()
            gevent.get_hub().loop.run_callback(waiter.switch, None)
            clock.pause(waiter, 3600)
            most = max(most, len(clock._entries))

    gevent.spawn(wake_early).join()
    assert most < 100
    sleeper.kill()


def test_each_hub_has_one_idle_clock():
    assert idle_clock() is idle_clock() is gevent.get_hub().gowork_idle_clock


def test_no_timer_stays_armed_for_a_pause_that_was_given_up():
    def program():
        clock = idle_clock()
        short = gevent.spawn(clock.pause, Waiter(), 1)
        long = gevent.spawn(clock.pause, Waiter(), 1000)
        given_up = gevent.spawn(clock.pause, Waiter(), 500)
        gevent.sleep(0.5)
        long.kill()
        given_up.kill()
        short.join()
        return gevent.wait() and time.monotonic()

    assert simulate(program).value == 1
