"""The simulated loop keeps the interface and the habits of gevent's own."""

from __future__ import annotations

import os
import time

import gevent
import gevent.socket
import pytest
from gevent import Timeout, monkey
from gevent.event import Event
from gevent.os import make_nonblocking
from gevent.socket import wait_read, wait_write

from gowork.testing import Deadlock, ScheduleDiverged, Simulation, explore, simulate
from gowork.testing.clocks import FREE_READS

SCHEDULES = ["fifo", "lifo", "random", "bounded", "pct"]
every_schedule = pytest.mark.parametrize("schedule", SCHEDULES)


def loop():
    return gevent.get_hub().loop


@pytest.mark.parametrize("real", [True, False])
def test_a_callback_is_pending_until_it_runs_and_true_while_it_does(real):
    def program():
        told = []

        def look():
            told.append((callback.pending, bool(callback)))

        callback = loop().run_callback(look)
        told.append((callback.pending, bool(callback)))
        gevent.sleep(0.001)
        told.append((callback.pending, bool(callback)))
        return told

    told = program() if real else simulate(program).value
    assert told == [(True, True), (False, True), (False, False)]


@every_schedule
def test_a_callback_that_was_stopped_does_not_run_and_is_no_choice(schedule):
    def program():
        ran = []
        callbacks = [loop().run_callback(ran.append, number) for number in range(3)]
        callbacks[1].stop()
        callbacks[1].stop()
        gevent.sleep(1)
        return sorted(ran)

    ended = simulate(program, schedule=schedule, seed=1)
    assert (ended.value, ended.hub_errors, ended.steps) == ([0, 2], [], 3)


def test_a_timer_repeats_at_exact_times_until_it_is_stopped():
    def program():
        fired = []
        with loop().timer(1, repeat=2) as timer:
            timer.start(lambda: fired.append(time.monotonic()))
            gevent.sleep(6)
            timer.again(lambda: fired.append(-time.monotonic()))
            gevent.sleep(5)
        gevent.sleep(5)
        return fired

    assert simulate(program).value == [1, 3, 5, -8, -10]


@every_schedule
def test_a_timer_that_is_stopped_when_it_is_due_already_does_not_fire(schedule):
    def program():
        fired = []
        timers = [loop().timer(1) for _ in range(2)]
        for timer, other in (timers, reversed(timers)):
            timer.start(lambda other=other: fired.append(1) or other.stop())
        gevent.sleep(2)
        return len(fired)

    assert simulate(program, schedule=schedule, seed=1).value == 1


def test_a_sleep_as_long_as_its_timeout_ends_first_as_on_libev():
    def program():
        with Timeout(5):
            gevent.sleep(5)

    assert simulate(program).now == 5


def test_on_other_loops_the_timeout_may_come_first_and_some_schedule_does_so():
    def program():
        with Timeout(5, False):
            gevent.sleep(5)
            return "woke"
        return "timeout"

    assert {simulate(program, seed=seed).value for seed in range(20)} == {"woke", "timeout"}


@pytest.mark.parametrize("later", [True, False])
def test_a_timer_without_a_reference_keeps_nobody_waiting(later):
    def program():
        with loop().timer(5, ref=later) as timer:
            timer.start(int)
            timer.ref = False
            Event().wait()

    with pytest.raises(Deadlock, match="at 0 virtual seconds"):
        simulate(program)


def test_watchers_without_a_reference_are_not_what_a_program_leaves():
    def program():
        loop().timer(5, ref=False).start(int)
        loop().timer(5).start(int)

    assert simulate(program).left == ["timer int"]


def test_timers_that_were_stopped_do_not_pile_up():
    def program():
        for _ in range(2000):
            with Timeout(3600):
                gevent.sleep(0.001)
        return len(loop()._timers._heap)

    assert simulate(program).value < 500


def test_prepare_check_and_idle_watchers_run_in_each_pass():
    def program():
        ran = []
        with loop().prepare() as prepare, loop().check() as check, loop().idle() as idle:
            for watcher in (prepare, check, idle):
                watcher.start(ran.append, watcher.kind)
            gevent.sleep(0)
            assert "idle" not in ran
            gevent.sleep(1)
        return set(ran)

    ended = simulate(program)
    assert ended.value == {"prepare", "check", "idle"}
    assert (ended.now, ended.steps < 20) == (1, True)


def test_an_async_watcher_wakes_who_waits_for_it():
    def program():
        with loop().async_() as watcher:
            gevent.spawn_later(3, watcher.send)
            gevent.get_hub().wait(watcher)

    ended = simulate(program)
    assert (ended.now, ended.hub_errors) == (3, [])


def test_the_end_of_a_pipe_wakes_both_who_reads_and_who_writes():
    def program():
        for_reading, for_writing = os.pipe(), os.pipe()
        os.close(for_reading[1]), os.close(for_writing[0])
        make_nonblocking(for_reading[0])
        wait_read(for_reading[0], timeout=5)
        wait_write(for_writing[1], timeout=5)
        os.close(for_reading[0]), os.close(for_writing[1])

    assert simulate(program).now == 0


def test_what_comes_from_outside_is_given_a_moment_of_real_time():
    nap = monkey.get_original("time", "sleep")
    start = monkey.get_original("_thread", "start_new_thread")
    native = monkey.get_original("socket", "socket")
    with gevent.socket.create_server(("127.0.0.1", 0)) as server:
        address = server.getsockname()

        def outside():
            with native() as connection:
                connection.connect(address)
                nap(0.05)
                connection.sendall(b"late")

        start(outside, ())
        listener = server.dup()

    def program():
        accepting = gevent.socket.socket(fileno=listener.detach())
        with accepting, accepting.accept()[0] as connection:
            return connection.recv(10)

    assert simulate(program).value == b"late"


def test_a_program_may_read_the_clock_often_if_it_gives_way():
    def program():
        for _ in range(20):
            for _ in range(FREE_READS - 10):
                time.monotonic()
            gevent.sleep(0)

    assert simulate(program).now == 0


@every_schedule
def test_data_sent_to_and_fro_without_end_does_not_stop_the_time(schedule):
    def echo(connection, until):
        while time.monotonic() < until:
            connection.sendall(connection.recv(1))

    def program():
        one, other = gevent.socket.socketpair()
        with one, other:
            one.sendall(b"x")
            echoing = [gevent.spawn(echo, end, 3600) for end in (one, other)]
            gevent.sleep(3600)
            gevent.killall(echoing)

    assert simulate(program, schedule=schedule, seed=1, spin_limit=50).now == 3600


def test_names_are_never_asked_of_the_system(monkeypatch):
    asked = []
    monkeypatch.setattr("_socket.getaddrinfo", lambda *args: asked.append(args[-1]) or [])
    flag = gevent.socket.AI_NUMERICHOST
    simulate(gevent.socket.getaddrinfo, "example.org", 80)
    simulate(gevent.socket.getaddrinfo, "127.0.0.1", 80)
    assert [flags & flag for flags in asked] == [flag, flag]


def test_other_orders_have_other_digests_and_the_clean_up_is_no_part_of_them():
    def stays():
        try:
            gevent.sleep(99)
        finally:
            gevent.sleep(1)

    def program():
        order = []
        for name in "abc":
            gevent.spawn(order.append, name)
        gevent.spawn(stays)
        gevent.sleep(1)
        return "".join(order)

    runs = [simulate(program, seed=seed) for seed in range(60)]
    assert len({one.value for one in runs}) == 6
    assert len({one.digest for one in runs}) >= 6
    assert {(one.steps, one.trace[-1].time, one.jumps) for one in runs} == {(5, 1.0, 1)}


def test_the_body_of_a_with_block_is_the_main_greenlet():
    with Simulation(seed=3) as simulation:
        order = []
        for name in "ab":
            gevent.spawn(order.append, name)
        gevent.sleep(1)
        assert simulation.now == 1
        assert simulation.steps == 3
    assert sorted(order) == ["a", "b"]


def test_an_exploration_finds_out_that_there_were_more_options_than_before():
    runs = []

    def program():
        runs.append(1)
        for _ in range(2 if len(runs) == 1 else 3):
            gevent.spawn(int)
        gevent.sleep(1)

    with pytest.raises(ScheduleDiverged):
        explore(program)
    assert len(runs) == 2
