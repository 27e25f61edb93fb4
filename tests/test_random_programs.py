"""Random gevent programs under all schedules: each run can be had again and leaves nothing."""

from __future__ import annotations

import random
import time
import weakref

import gevent
import pytest
from gevent import event, local, lock, pool, queue, socket

from gowork.testing import Deadlock, Livelock, Simulation

PROGRAMS = 60  # for each of the schedules
SCHEDULES = ["fifo", "lifo", "random", "bounded", "pct"]
CLOCKS = ["time", "monotonic", "perf_counter", "time_ns", "monotonic_ns", "sleep"]


class Program:
    """What *seed* says: greenlets that do things to each other and to what they share.

    Each method ``do_...`` is something that a greenlet may do, with a small number and, if it
    is of use, a further plan.
    """

    def __init__(self, seed):
        self.draw = random.Random(seed)
        self.log = []
        self.greenlets = weakref.WeakSet()

    def __call__(self):
        gevent.get_hub().exception_stream = None  # what fails is meant to
        self.event, self.result = event.Event(), event.AsyncResult()
        self.lock, self.semaphore = lock.RLock(), lock.Semaphore(2)
        self.queues = [queue.Queue(1), queue.PriorityQueue(), queue.Channel()]
        self.pool, self.local = pool.Pool(2), local.local()
        self.left, self.right = socket.socketpair()
        with self.left, self.right:
            plans = [self.plan(3) for _ in range(self.draw.randint(1, 4))]
            self.tasks = [self.spawn(plan) for plan in plans]
            gevent.joinall(self.tasks, timeout=self.draw.choice([None, 4, 9]))

    def plan(self, depth):
        names = [name for name in vars(Program) if name.startswith("do_")]
        return [
            (
                self.draw.choice(names),
                self.draw.choice([0, 1, 1, 2, 3]),
                self.plan(depth - 1) if depth else [],
            )
            for _ in range(self.draw.randint(1, 5))
        ]

    def spawn(self, plan, later=0):
        spawned = gevent.spawn_later(later, self.follow, plan)
        self.greenlets.add(spawned)
        return spawned

    def follow(self, plan):
        for name, number, inner in plan:
            try:
                self.note(name, getattr(self, name)(number, inner))
            except BaseException as error:
                self.note(name, type(error).__name__)
                if not isinstance(error, Exception):
                    raise

    def nap(self, seconds):
        gevent.sleep(seconds)
        return seconds

    def note(self, *what):
        self.log.append((time.monotonic(), *what))

    def do_sleep(self, number, inner):
        gevent.sleep(number)

    def do_block_all(self, number, inner):
        time.sleep(number / 2)

    def do_give_way(self, number, inner):
        for _ in range(number):
            gevent.sleep(0)

    def do_idle(self, number, inner):
        gevent.idle()

    def do_set(self, number, inner):
        self.event.set()
        self.result.set(number)
        if number == 2:
            self.event.clear()

    def do_wait(self, number, inner):
        return self.event.wait(number), self.result.wait(number)

    def do_wait_for_two(self, number, inner):
        return len(gevent.wait([self.event, *self.tasks], timeout=number, count=2))

    def do_put(self, number, inner):
        self.queues[number % 3].put(number, timeout=number or None)

    def do_get(self, number, inner):
        return self.queues[number % 3].get(timeout=2)

    def do_lock(self, number, inner):
        with self.lock, self.semaphore:
            self.follow(inner)

    def do_time_out(self, number, inner):
        with gevent.Timeout(number, False):
            self.follow(inner)

    def do_spawn(self, number, inner):
        self.spawn(inner, number).link(lambda one: self.note("ended", one.successful()))

    def do_fail_in_a_link(self, number, inner):
        self.spawn([]).link(lambda one: 1 / 0)

    def do_join(self, number, inner):
        self.spawn(inner).join(number)

    def do_kill(self, number, inner):
        self.tasks[number % len(self.tasks)].kill(block=number > 1, timeout=number)

    def do_kill_what_has_not_begun(self, number, inner):
        gevent.Greenlet(self.note).kill(block=False)
        self.spawn(inner).kill(KeyError, block=False)

    def do_swallow_a_kill(self, number, inner):
        try:
            gevent.sleep(number)
        except gevent.GreenletExit:
            self.follow(inner)

    def do_use_the_pool(self, number, inner):
        return [str(one) for one in self.pool.imap_unordered(self.nap, [number, 1, 0])]

    def do_kill_the_pool(self, number, inner):
        self.pool.kill(block=False)

    def do_send(self, number, inner):
        self.left.sendall(b"x" * number)

    def do_receive(self, number, inner):
        self.right.settimeout(number)
        return self.right.recv(9)

    def do_count(self, number, inner):
        self.local.count = getattr(self.local, "count", 0) + 1
        return self.local.count


def settings_for(schedule, seed):
    draw = random.Random(seed)
    return {
        "schedule": schedule,
        "seed": None if schedule in ("fifo", "lifo") else seed,
        "late": draw.choice([0, 0, 0.3, 1]),
        "cost": draw.choice([0, 0, 0.001, 0.5]),
        "legal": draw.choice([False, False, True]),
        "spin_limit": draw.choice([20, 100_000]),
        "on_spin": draw.choice(["jump", "raise"]),
    }


def played(seed, settings):
    """All that can be seen of the run of a program, and the choices of its schedule."""
    program, simulation, end = Program(seed), Simulation(**settings), ""
    try:
        with simulation:
            program()
    except (Deadlock, Livelock) as error:
        end = str(error)
    assert simulation.steps > 0
    assert simulation.deterministic
    assert all(one.dead for one in program.greenlets)
    errors = [repr(error) for error in simulation.hub_errors]
    times = simulation.now, simulation.steps, simulation.jumps
    return (program.log, end, times, errors, simulation.left, simulation.digest), simulation.choices


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_every_run_can_be_had_again_and_leaves_nothing(schedule):
    # given
    outside = [getattr(time, name) for name in CLOCKS], gevent.get_hub(), vars(pool).copy()
    for seed in range(PROGRAMS):
        settings = settings_for(schedule, seed)
        # when
        seen, choices = played(seed, settings)
        if schedule != "fifo":
            settings.update(schedule="replay", seed=None, choices=choices)
        again, _ = played(seed, settings)
        # then
        assert again == seen, f"program {seed}, {settings}"
        restored = [getattr(time, name) for name in CLOCKS], gevent.get_hub(), vars(pool)
        assert restored == outside


def test_no_choices_at_all_are_gevents_own_order():
    for seed in range(PROGRAMS):
        # given
        settings = settings_for("fifo", seed) | {"late": 0, "spin_limit": 100_000}
        # when
        fifo, _ = played(seed, settings)
        replay, _ = played(seed, settings | {"schedule": "replay", "choices": []})
        # then
        assert replay[-1] == fifo[-1], f"program {seed}, {settings}"  # the digests
