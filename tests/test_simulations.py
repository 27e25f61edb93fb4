"""A simulation is a gevent program of its own: its time, its hub, its end."""

from __future__ import annotations

import calendar
import gc
import importlib
import os
import subprocess
import sys
import threading
import time
import weakref
from types import SimpleNamespace

import gevent
import gevent.os
import gevent.socket
import gevent.threadpool
import pytest
from gevent import Timeout, monkey, pool, select
from gevent.event import AsyncResult, Event
from gevent.lock import RLock, Semaphore
from gevent.queue import Queue
from gevent.server import StreamServer

from gowork import Channel, Job
from gowork import select as select_channels
from gowork.testing import (
    Deadlock,
    Livelock,
    NotSimulated,
    Random,
    ScheduleDiverged,
    Simulation,
    SimulationError,
    simulate,
)
from gowork.threads import get_ident

YEAR = 365 * 24 * 3600.0
SCHEDULES = ["fifo", "lifo", "random", "bounded", "pct"]
every_schedule = pytest.mark.parametrize("schedule", SCHEDULES)


def elapsed(block, *args):
    """Virtual seconds that *block* takes."""
    return simulate(block, *args).now


# Time


def test_a_year_takes_no_time():
    began = time.perf_counter()
    assert simulate(gevent.sleep, YEAR).now == YEAR
    assert time.perf_counter() - began < 5


@every_schedule
def test_sleepers_wake_in_the_order_of_their_times_and_exactly_then(schedule):
    def program():
        woken = []

        def sleeper(seconds):
            gevent.sleep(seconds)
            woken.append((seconds, time.monotonic()))

        gevent.joinall([gevent.spawn(sleeper, one) for one in (YEAR, 0.001, 5, 0.25)])
        return woken

    assert simulate(program, schedule=schedule, seed=1).value == [
        (one, one) for one in (0.001, 0.25, 5, YEAR)
    ]


def test_all_clocks_of_the_module_time_tell_the_same():
    def program():
        gevent.sleep(1.5)
        return (
            time.monotonic(),
            time.perf_counter(),
            time.time() - 1e9,
            time.monotonic_ns() / 1e9,
            time.perf_counter_ns() / 1e9,
            time.time_ns() / 1e9 - 1e9,
        )

    assert set(simulate(program).value) == {1.5}


def test_the_calendar_is_that_of_the_virtual_clock():
    def program():
        gevent.sleep(2)
        return (
            calendar.timegm(time.gmtime()),
            calendar.timegm(time.gmtime(None)),
            time.mktime(time.localtime()),
            time.mktime(time.strptime(time.ctime())),
            time.mktime(time.strptime(time.asctime())),
            time.mktime(time.strptime(time.strftime("%c"), "%c")),
        )

    assert set(simulate(program).value) == {1_000_000_002}
    assert simulate(time.gmtime, 0).value.tm_year == 1970
    assert simulate(time.strftime, "%Y", (2020,) + (1,) * 8).value == "2020"
    assert time.gmtime().tm_year > 2020


def test_a_thread_that_is_a_greenlet_may_be_left_running(monkeypatch):
    said = []
    monkeypatch.setattr("threading.excepthook", said.append)

    def thread():  # as a monkey-patched one ends
        try:
            gevent.sleep(99)
        except BaseException as error:
            threading.excepthook(SimpleNamespace(exc_type=type(error)))
        threading.excepthook(SimpleNamespace(exc_type=LookupError))

    assert len(simulate(gevent.spawn, thread).left) == 2
    assert [args.exc_type for args in said] == [LookupError]


def test_the_real_clock_is_back_when_it_is_over_however_it_ends():
    before = time.time, time.monotonic, time.sleep
    with pytest.raises(LookupError), Simulation():
        assert time.time() < 1.1e9
        raise LookupError
    assert (time.time, time.monotonic, time.sleep) == before
    assert time.time() > 1.5e9


def test_other_threads_keep_the_real_time():
    read_time = monkey.get_original("time", "time")
    start = monkey.get_original("_thread", "start_new_thread")
    go, done = (monkey.get_original("_thread", "allocate_lock")() for _ in range(2))
    go.acquire(), done.acquire()
    seen = []

    def elsewhere():
        with go:
            seen.append(time.time())
        done.release()

    start(elsewhere, ())
    with Simulation():
        go.release()
        done.acquire()
    assert abs(seen[0] - read_time()) < 60


def test_a_busy_wait_ends_though_nobody_moves_the_clock():
    def program():
        end = time.monotonic() + 5
        while time.monotonic() < end:
            pass

    assert 5 <= elapsed(program) < 5.1


def test_an_unpatched_sleep_blocks_everybody_as_it_really_does_and_a_patched_one_does_not():
    def program():
        meanwhile = gevent.spawn(time.monotonic)
        time.sleep(7)
        meanwhile.join()
        return meanwhile.value

    assert simulate(program).value == (0 if monkey.is_module_patched("time") else 7)


WAITS = {
    "Event": lambda: Event().wait(9),
    "AsyncResult": lambda: AsyncResult().wait(9),
    "Queue": lambda: Queue().get(timeout=9),
    "Semaphore": lambda: Semaphore(0).acquire(timeout=9),
    "Greenlet.join": lambda: gevent.spawn(gevent.sleep, 99).join(9),
    "wait": lambda: gevent.wait([Event()], timeout=9),
    "with_timeout": lambda: gevent.with_timeout(9, gevent.sleep, 99, timeout_value=0),
    "Timeout": lambda: Timeout(9).start() or gevent.sleep(99),
    "spawn_later": lambda: gevent.spawn_later(9, int).join(),
    "select": lambda: on_a_pair(lambda one: select.select([one], [], [], 9)),
    "recv": lambda: on_a_pair(lambda one: one.settimeout(9) or one.recv(1)),
}


def on_a_pair(use):
    one, other = gevent.socket.socketpair()
    with one, other:
        return use(one)


@pytest.mark.parametrize("name", WAITS)
@every_schedule
def test_what_gevent_waits_for_waits_in_virtual_time(name, schedule):
    def program():
        try:
            WAITS[name]()
        except (Timeout, Exception):
            pass
        return time.monotonic()

    assert simulate(program, schedule=schedule, seed=2).value == 9


def test_steps_may_cost_time_and_timers_may_be_late():
    assert simulate(gevent.sleep, 1, cost=0.25).now == 1.25
    ends = {simulate(gevent.sleep, 1, late=3, seed=seed).now for seed in range(30)}
    assert ends == {1, 2, 3, 4}


# Order and trace


def racing():
    order = []

    def runner(name):
        for _ in range(3):
            order.append(name)
            gevent.sleep(0)

    gevent.joinall([gevent.spawn(runner, name) for name in "abc"])
    return "".join(order)


def test_without_a_seed_the_order_is_gevents_own():
    gevents = racing()
    assert simulate(racing).value == gevents == "abcabcabc"


def test_seeds_give_many_orders_and_each_seed_always_the_same_one():
    orders = {seed: simulate(racing, seed=seed) for seed in range(300)}
    assert len({one.value for one in orders.values()}) > 50
    for seed in range(20):
        again = simulate(racing, seed=seed)
        assert (again.value, again.digest) == (orders[seed].value, orders[seed].digest)


@every_schedule
def test_the_choices_of_a_run_replay_it(schedule):
    first = simulate(racing, schedule=schedule, seed=5)
    if schedule == "fifo":
        assert first.choices == []
    again = simulate(racing, schedule="replay", choices=first.choices)
    assert (again.value, again.digest) == (first.value, first.digest)


PROGRAM = """
import gevent, gevent.pool, gevent.socket
from gowork import Job
from gowork.testing import simulate

def program():
    group, order = gevent.pool.Group(), []
    def member(name):
        try:
            gevent.sleep(50)
        finally:
            order.append(name)
    for name in "abcdefgh":
        group.spawn(member, name)
    one, other = gevent.socket.socketpair()
    with one, other, Job() as job:
        job.spawn(one.sendall, b"x")
        job.spawn(other.recv, 1)
        job.spawn(gevent.sleep, 2)
    group.kill()
    return "".join(order)

if __name__ == "__main__":
    heap = [object() for _ in range({heap})]
    ended = simulate(program, seed=7)
    print(ended.digest, ended.value, ended.steps, ended.now)
"""


def test_the_digest_is_the_same_in_any_process_under_any_hash_seed(monkeypatch, tmp_path):
    told = set()
    for number in range(3):
        script = tmp_path / f"program{number}.py"
        script.write_text(PROGRAM.replace("{heap}", str(1000 * number)))
        monkeypatch.setenv("PYTHONHASHSEED", str(number))
        told.add(subprocess.check_output([sys.executable, script], timeout=30))
    assert len(told) == 1, told


def test_a_legal_schedule_keeps_the_order_of_what_is_ready():
    for seed in range(50):
        assert simulate(racing, seed=seed, legal=True).value == "abcabcabc"


def test_a_legal_schedule_still_mixes_timers_that_are_due_together():
    def program():
        order = []
        for name in "abc":
            gevent.spawn_later(1, order.append, name)
        gevent.sleep(2)
        return "".join(order)

    assert len({simulate(program, seed=seed, legal=True).value for seed in range(60)}) == 6


# Failures


def test_a_failure_goes_on_as_it_is_with_a_note_that_says_how_to_replay_it():
    error = LookupError("lost")

    def program():
        gevent.sleep(1)
        raise error

    with pytest.raises(LookupError) as caught:
        simulate(program, seed=11, late=2)
    assert caught.value is error
    note = error.__notes__[0]
    assert "schedule='random', seed=11, late=2" in note
    assert "main" in note


def test_a_failure_without_a_seed_is_replayed_by_the_choices_in_its_note():
    def program():
        assert racing().startswith("ab")

    found = next(
        choices
        for choices in ([n] for n in range(3))
        if simulate(racing, schedule="replay", choices=choices).value[0] != "a"
    )
    with pytest.raises(AssertionError) as caught:
        simulate(program, schedule="replay", choices=found)
    assert f"choices={found}" in caught.value.__notes__[0]


def test_errors_that_reach_the_hub_are_kept_and_printed(capsys):
    def program():
        gevent.spawn(int, "no number").join()

    (error,) = simulate(program).hub_errors
    assert isinstance(error, ValueError)
    assert "no number" in capsys.readouterr().err


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt])
def test_what_ends_programs_is_raised_in_the_main_greenlet(kind):
    def fail():
        raise kind

    def program():
        gevent.spawn(fail)
        gevent.sleep(1)

    with pytest.raises(kind):
        simulate(program)


# Deadlock and livelock


def test_a_lock_order_deadlock_is_found_by_some_seed_and_says_who_waits_for_what():
    def program():
        a, b = Semaphore(), RLock()

        def first():
            with a:
                gevent.sleep(0)
                with b:
                    pass

        def second():
            with b:
                gevent.sleep(0)
                with a:
                    pass

        gevent.joinall([gevent.spawn(first), gevent.spawn(second)])

    def told(seed):
        try:
            simulate(program, seed=seed)
        except Deadlock as deadlock:
            return str(deadlock)
        return None

    reports = [told(seed) for seed in range(30)]
    assert None in reports
    report = next(filter(None, reports))
    assert "first waits for RLock b, held by" in report
    assert "second waits for Semaphore a" in report
    assert "main waits for the end of" in report
    assert "with b:" in report


def deadlocked(wait):
    with pytest.raises(Deadlock) as caught:
        simulate(wait)
    return str(caught.value)


def test_a_deadlock_names_events_queues_and_what_gowork_waits_with():
    event, queue, channel = Event(), Queue(), Channel()
    assert "Event event" in deadlocked(lambda: event.wait())
    assert "Queue queue" in deadlocked(lambda: queue.get())
    assert "Channel channel" in deadlocked(lambda: channel.recv())
    job = Job(name="stuck")
    job.spawn(channel.recv)
    report = deadlocked(lambda: job.run().wait())
    assert "Event" in report
    assert "(stuck/recv) waits for a Channel" in report


def test_a_deadlock_names_a_lock_that_the_main_greenlet_waits_for():
    def program():
        lock = Semaphore()
        lock.acquire()
        lock.acquire()

    assert "main waits for Semaphore lock" in deadlocked(program)


def test_a_deadlock_names_locks_that_are_held_in_objects_and_containers():
    class Bank:
        def __init__(self):
            self.locks = {"anna": RLock(), "bert": RLock()}

        def transfer(self, source, target):
            with self.locks[source]:
                gevent.sleep(0)
                with self.locks[target]:
                    pass

    def program():
        bank = Bank()
        ways = [("anna", "bert"), ("bert", "anna")]
        gevent.joinall([gevent.spawn(bank.transfer, *way) for way in ways])

    report = deadlocked(program)
    assert "1:Bank.transfer waits for RLock self.locks['bert'], held by 2:Bank.transfer" in report


@pytest.mark.deadline(20)
def test_the_report_of_a_deadlock_of_hundreds_of_greenlets_takes_no_minute():
    def program():
        lock = Semaphore(0)
        gevent.joinall([gevent.spawn(lock.acquire) for _ in range(500)])

    report = deadlocked(program)
    assert "the end of 5:Semaphore.acquire, 495 more" in report
    assert "... and 451 more" in report


def test_a_deadlock_is_a_loop_exit_and_the_program_may_go_on_after_it():
    def program():
        try:
            Event().wait()
        except gevent.hub.LoopExit:
            gevent.sleep(3)

    assert elapsed(program) == 3


def test_waiting_for_the_end_of_all_is_no_deadlock():
    def program():
        gevent.spawn(gevent.sleep, 5)
        return gevent.wait()

    ended = simulate(program)
    assert (ended.value, ended.now) == (True, 5)


def spinning(sleeper):
    while not sleeper.dead:
        gevent.sleep(0)


def test_a_greenlet_that_spins_does_not_stop_the_time():
    def program():
        spinning(gevent.spawn(gevent.sleep, 3600))

    assert simulate(program, spin_limit=1000).now == 3600


@every_schedule
def test_a_spin_can_be_an_error_and_says_who_spins(schedule):
    def program():
        spinning(gevent.spawn(gevent.sleep, 3600))

    with pytest.raises(Livelock, match="main"):
        simulate(program, schedule=schedule, spin_limit=1000, on_spin="raise")


def test_a_spin_with_no_timer_is_a_livelock_anyway():
    def program():
        spinning(gevent.spawn(Event().wait))

    with pytest.raises(Livelock, match="spin_limit"):
        simulate(program, spin_limit=1000)


@every_schedule
def test_no_schedule_starves_a_greenlet_or_a_timer_beside_spinners(schedule):
    def program():
        stop = []
        spinners = [gevent.spawn(lambda: [gevent.sleep(0) for _ in iter(lambda: len(stop), 2)])]
        gevent.spawn_later(1, stop.append, 1)
        gevent.spawn(lambda: [gevent.sleep(0) for _ in range(5)] and stop.append(1))
        gevent.joinall(spinners)

    assert simulate(program, schedule=schedule, seed=3, spin_limit=2000).now == 1


@every_schedule
def test_timers_of_no_length_do_not_stop_the_time_either(schedule):
    def program():
        sleeper = gevent.spawn(gevent.sleep, 3600)
        others = [gevent.spawn(turns, sleeper) for _ in range(2)]
        gevent.joinall([sleeper, *others])

    def turns(sleeper):
        hub = gevent.get_hub()
        while not sleeper.dead:
            with hub.loop.timer(0) as passing:
                hub.wait(passing)

    assert simulate(program, schedule=schedule, seed=1, spin_limit=3000).now == 3600


@every_schedule
def test_input_that_never_ceases_does_not_stop_the_time_either(schedule):
    def program():
        one, other = gevent.socket.socketpair()
        with one, other:
            one.sendall(b"x")
            while time.monotonic() < 3600:  # sent to and fro
                other.sendall(one.recv(1)) if one_has_it(one) else one.sendall(other.recv(1))
                gevent.sleep(0)

    def one_has_it(one):
        return bool(select.select([one], [], [], 0)[0])

    def with_a_timer():
        gevent.spawn_later(3600, int)
        program()

    assert simulate(with_a_timer, schedule=schedule, seed=1, spin_limit=100).now == 3600


@every_schedule
def test_ready_callbacks_get_their_turn_though_their_number_grows_with_each_step(schedule):
    def program():
        loop, ran = gevent.get_hub().loop, []
        loop.run_callback(ran.append, 1)
        while not ran:
            loop.run_callback(int)
            loop.run_callback(int)
            gevent.sleep(0)

    assert simulate(program, schedule=schedule, seed=1).steps < 20_000


@every_schedule
def test_a_broken_error_handler_does_not_end_the_loop(schedule, capfd):
    def program():
        def broken(*error):
            raise LookupError("handler")

        gevent.get_hub().handle_error = broken
        gevent.get_hub().loop.run_callback(int, "no number")
        gevent.sleep(1)

    (error,) = simulate(program, schedule=schedule).hub_errors
    assert (str(error), str(error.__context__)[:7]) == ("handler", "invalid")
    assert "handler" in capfd.readouterr().err


# What it does not simulate


REFUSED = {
    "threadpool": lambda: gevent.get_hub().threadpool.apply(int),
    "ThreadPool": lambda: gevent.threadpool.ThreadPool(1).spawn(int).get(),
    "resolver": lambda: gevent.socket.gethostbyname("somewhere.invalid"),
    "getaddrinfo": lambda: gevent.socket.getaddrinfo("somewhere.invalid", 80),
    "subprocess": lambda: gevent.subprocess.Popen(["true"]),
    "fork": lambda: os.fork(),
    "fork_and_watch": lambda: gevent.os.fork_and_watch(),
    "stat": lambda: gevent.get_hub().loop.stat("/"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_simulated_is_refused_with_advice(name):
    importlib.import_module("gevent.subprocess")

    with pytest.raises(NotSimulated, match="simulation"):
        simulate(REFUSED[name])


def test_native_threads_are_refused_and_patched_ones_are_greenlets():
    def program():
        thread = threading.Thread(target=time.sleep, args=(3,))
        thread.start()
        thread.join()
        return time.monotonic()

    if monkey.is_module_patched("threading"):
        assert simulate(program).value == 3
    else:
        with pytest.raises(NotSimulated, match="native threads"):
            simulate(program)
        assert threading.active_count() == 1


def test_addresses_that_need_no_asking_are_resolved():
    assert simulate(gevent.socket.gethostbyname, "127.0.0.1").value == "127.0.0.1"
    assert simulate(gevent.socket.gethostbyname, "localhost").value.startswith("127.")


def test_a_number_may_be_an_address_but_has_no_name():
    assert simulate(gevent.socket.getfqdn, "127.0.0.1").value == "127.0.0.1"
    with pytest.raises(NotSimulated):
        simulate(gevent.socket.gethostbyaddr, "somewhere.invalid")


def test_a_resolver_and_a_threadpool_of_the_programs_own_are_used():
    class Own:
        def gethostbyname(self, name):
            return f"{name}!"

        def close(self):
            pass

        kill = close

    def program():
        hub = gevent.get_hub()
        hub.resolver, hub.threadpool = Own(), Own()
        return gevent.socket.gethostbyname("somewhere"), hub.threadpool

    name, threadpool = simulate(program).value
    assert name == "somewhere!"
    assert isinstance(threadpool, Own)


def test_a_descriptor_that_is_closed_is_said_to_be():
    def program():
        poller = select.poll()
        closing, other = gevent.socket.socketpair()
        poller.register(closing, select.POLLIN)
        descriptor = closing.fileno()
        closing.close(), other.close()
        with pytest.raises(OSError, match="descriptor"):
            gevent.get_hub().loop.io(descriptor, 1)
        try:
            return poller.poll(1) == [(descriptor, select.POLLNVAL)]
        except OSError:  # the oldest gevent lets it through
            return gevent.version_info < (25,)

    assert simulate(program).value


def test_what_waits_for_the_hub_outside_is_refused():
    lock = Semaphore(1)
    with lock:
        gevent.spawn(lock.acquire).join(0.001)
    gevent.sleep(0)  # now the lock has waited in the real hub
    lock.release()
    outside, other = gevent.socket.socketpair()

    def program(wait):
        with pytest.raises(SimulationError, match="make it in the program"):
            wait()
        gevent.sleep(5)

    with outside, other, lock:
        assert elapsed(program, lock.acquire) == 5
        assert elapsed(program, lambda: outside.recv(1)) == 5
        gevent.spawn(other.sendall, b"x")
        assert outside.recv(1) == b"x"


def test_what_a_simulation_finds_wrong_is_not_lost_in_a_program_that_swallows_errors():
    def program():
        try:
            racing()
        except Exception:
            return

    with pytest.raises(ScheduleDiverged):
        simulate(program, choices=[9])


def test_one_simulation_within_another_is_refused_and_the_first_goes_on():
    with Simulation() as simulation:
        with pytest.raises(SimulationError, match="runs already"):
            simulate(gevent.sleep, 1)
        gevent.sleep(2)
    assert simulation.now == 2


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"schedule": "best"}, "take one of fifo"),
        ({"schedule": "replay"}, "choices"),
        ({"schedule": "random", "choices": [1]}, "replay"),
        ({"late": -1}, "late"),
        ({"spin_limit": 0}, "spin_limit"),
        ({"on_spin": "stop"}, "'jump' or 'raise'"),
    ],
)
def test_bad_settings_are_refused_with_what_is_right(settings, says):
    with pytest.raises(ValueError, match=says):
        simulate(int, **settings)


# Sockets


def test_socket_pairs_are_deterministic():
    def program():
        one, other = gevent.socket.socketpair()
        with one, other:
            seen = []

            def reader():
                while data := other.recv(3):
                    seen.append((time.monotonic(), data))

            reading = gevent.spawn(reader)
            for _ in range(3):
                one.sendall(b"12345")
                gevent.sleep(1)
            one.shutdown(gevent.socket.SHUT_WR)
            reading.join()
            return seen

    runs = [simulate(program, seed=seed) for seed in (1, 2, 1, 2)]
    assert [one.digest for one in runs[:2]] == [one.digest for one in runs[2:]]
    assert all(one.deterministic for one in runs)
    assert b"".join(data for _, data in runs[0].value) == b"12345" * 3


def test_a_real_server_on_loopback_works_in_virtual_time_and_is_said_not_to_be_deterministic():
    def handle(connection, _address):
        gevent.sleep(30)
        connection.sendall(connection.recv(10).upper())
        connection.close()

    def ask(address):
        with gevent.socket.create_connection(address) as connection:
            connection.sendall(b"hello")
            return connection.recv(10)

    def program():
        server = StreamServer(("127.0.0.1", 0), handle)
        server.start()
        clients = [gevent.spawn(ask, server.address) for _ in range(5)]
        gevent.joinall(clients, raise_error=True)
        server.stop()
        return [client.value for client in clients]

    ended = simulate(program)
    assert ended.value == [b"HELLO"] * 5
    assert 30 <= ended.now < 31
    assert not ended.deterministic


def test_a_refusal_in_some_greenlet_is_not_lost_either():
    with pytest.raises(NotSimulated):
        simulate(lambda: gevent.spawn(os.fork).join())


# What was there before


def test_a_queue_of_the_module_is_refused_rather_than_left_asleep():
    queue = Queue()

    def program():
        waiting = gevent.spawn(queue.get, timeout=5)
        gevent.sleep(1)
        with pytest.raises(SimulationError, match="make it in the program"):
            queue.put(1)
        waiting.kill()

    simulate(program)
    assert queue.get() == 1  # outside it is as good as ever


def test_a_program_may_monkey_patch_the_clock_and_keeps_what_it_patched():
    original = time.time

    def own():
        return 5.0

    def program():
        time.time = own
        return time.monotonic()

    try:
        assert simulate(program).value == 0
        assert time.time is own
    finally:
        time.time = original


@pytest.mark.parametrize("seconds", [-1, float("nan"), float("inf")])
def test_a_sleep_of_no_possible_length_is_the_error_that_it_is_outside(seconds):
    if monkey.is_module_patched("time"):
        seconds = -1  # gevent's own takes the others

    def program():
        with pytest.raises((ValueError, OverflowError)):
            time.sleep(seconds) or (monkey.is_module_patched("time") and int("x"))
        return time.monotonic()

    assert simulate(program).value == 0


def test_a_simulation_is_run_once_and_so_is_a_schedule():
    with Simulation() as simulation:
        pass
    with pytest.raises(SimulationError, match="once"), simulation:
        pass
    schedule = Random(1)
    simulate(racing, schedule=schedule)
    with pytest.raises(SimulationError, match="once"):
        simulate(racing, schedule=schedule)


def test_the_dice_of_select_are_those_of_the_seed():
    def program():
        one, other = Channel(10), Channel(10)
        for number in range(10):
            one.send(number), other.send(-number)
        return [select_channels([one.receiving(), other.receiving()])[0] for _ in range(10)]

    assert len({tuple(simulate(program, seed=3).value) for _ in range(5)}) == 1
    assert len({tuple(simulate(program, seed=seed).value) for seed in range(5)}) > 1


# What is left


def test_what_the_program_leaves_is_listed_and_then_stopped_with_its_clean_ups():
    cleaned = []

    def stays():
        try:
            gevent.sleep(YEAR)
        finally:
            gevent.sleep(1)
            cleaned.append(get_ident())

    def program():
        gevent.spawn(stays)
        gevent.sleep(1)

    ended = simulate(program)
    assert cleaned == [get_ident()]
    assert ended.left == ["greenlet 1:stays", "timer 1:stays"]
    assert ended.now == 1


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt])
def test_what_ends_programs_is_not_lost_in_the_clean_up(kind):
    def stays():
        try:
            gevent.sleep(99)
        finally:
            raise kind

    def program():
        gevent.spawn(stays)
        gevent.sleep(1)

    before = time.time
    with pytest.raises(kind):
        simulate(program)
    assert time.time is before


def test_greenlets_that_cannot_be_stopped_do_not_keep_a_simulation_from_ending():
    stubborn = [True]

    def stays():
        while stubborn:
            try:
                gevent.sleep(0)
            except BaseException:
                continue

    def program():
        gevent.sleep(1)
        return gevent.spawn(stays)

    ended = simulate(program, spin_limit=100)
    assert ended.left[0] == "greenlet 1:stays"
    stubborn.clear()
    ended.value.throw()


def test_a_program_that_leaves_nothing_is_said_to():
    ended = simulate(racing, seed=1)
    assert (ended.left, ended.hub_errors) == ([], [])


def test_nothing_of_a_simulation_outlives_it():
    ended = simulate(racing, seed=1)
    hub = weakref.ref(ended._hub)
    del ended
    gc.collect()
    assert hub() is None


def test_objects_of_the_module_may_be_used_in_one_simulation_after_another():
    lock, event = Semaphore(1), Event()

    def holder():
        with lock:
            gevent.sleep(1)

    def program():
        event.clear()
        gevent.spawn_later(2, event.set)
        gevent.joinall([gevent.spawn(holder) for _ in range(2)])
        return event.wait(5)

    assert [simulate(program, seed=seed).value for seed in range(3)] == [True] * 3
    gevent.joinall([gevent.spawn(lambda: lock.acquire() and lock.release()) for _ in range(2)])


def test_a_simulation_within_a_greenlet_of_a_real_program_gives_way_to_nobody():
    elsewhere = gevent.spawn(gevent.sleep, 0)
    inner = gevent.spawn(lambda: simulate(racing, seed=1).value)
    assert inner.get() == simulate(racing, seed=1).value
    elsewhere.join()


def test_two_threads_may_simulate_at_once():
    results = gevent.get_hub().threadpool.map(
        lambda seed: simulate(racing, seed=seed).digest, [1, 1, 2, 2]
    )
    expected = [simulate(racing, seed=seed).digest for seed in (1, 1, 2, 2)]
    assert results == expected


def test_a_group_kills_its_members_in_the_order_they_came():
    def program():
        group, order = pool.Group(), []

        def member(number):
            try:
                gevent.sleep(100)
            finally:
                order.append(number)

        for number in range(30):
            group.spawn(member, number)
        gevent.sleep(1)
        group.kill()
        return order

    assert simulate(program).value == list(range(30))
    assert pool.Group().greenlets == set()
    assert type(pool.Group().greenlets) is set
