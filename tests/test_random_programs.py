"""Random gevent programs under all schedules: each run can be had again and leaves nothing."""

from __future__ import annotations

import random
import time
import weakref

import gevent
import gevent.pool
import pytest
from gevent import event, local, lock, queue, socket

from gowork.testing import Deadlock, Livelock, simulate

PROGRAMS = 20  # for each of the schedules
CLOCKS = ("time", "monotonic", "perf_counter", "time_ns", "monotonic_ns", "sleep")
SCHEDULES = ["fifo", "lifo", "random", "bounded", "pct"]


class Program:
    """What *seed* says: greenlets that do things to each other and to what they share."""

    def __init__(self, seed):
        self.draw = random.Random(seed)
        self.log = []
        self.greenlets = weakref.WeakSet()

    def __call__(self):
        gevent.get_hub().exception_stream = None  # what fails is meant to
        self.event, self.result = event.Event(), event.AsyncResult()
        self.lock, self.semaphore = lock.RLock(), lock.Semaphore(2)
        self.queues = [queue.Queue(1), queue.PriorityQueue(), queue.Channel()]
        self.pool, self.local = gevent.pool.Pool(2), local.local()
        self.left, self.right = socket.socketpair()
        with self.left, self.right:
            plans = [self.plan(3) for _ in range(self.draw.randint(1, 4))]
            self.tasks = [self.spawn(plan) for plan in plans]
            gevent.joinall(self.tasks, timeout=self.draw.choice([None, 4, 9]))
            self.note("end")
        return self.log

    def plan(self, depth):
        names = [name for name in vars(Program) if name.startswith("do_")]
        steps = []
        for _ in range(self.draw.randint(1, 5)):
            name = self.draw.choice(names)
            inner = self.plan(depth - 1) if depth else []
            steps.append((name, self.draw.choice([0, 1, 1, 2, 3]), inner))
        return steps

    def spawn(self, plan, later=None):
        if later is None:
            one = gevent.spawn(self.follow, plan)
        else:
            one = gevent.spawn_later(later, self.follow, plan)
        self.greenlets.add(one)
        return one

    def follow(self, plan):
        for name, number, inner in plan:
            try:
                self.note(name, getattr(self, name)(number, inner))
            except Exception as error:
                self.note(name, type(error).__name__)
            except BaseException as error:
                self.note(name, type(error).__name__)
                raise

    def nap(self, seconds):
        gevent.sleep(seconds)
        return seconds

    def note(self, *what):
        self.log.append((time.monotonic(), *what))

    def do_sleep(self, number, inner):
        gevent.sleep(number)

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

    def do_wait_for_any(self, number, inner):
        return len(gevent.wait([self.event, *self.tasks], timeout=number, count=2))

    def do_put(self, number, inner):
        self.queues[number % 3].put(number, timeout=number or None)

    def do_get(self, number, inner):
        return self.queues[number % 3].get(timeout=2)

    def do_lock(self, number, inner):
        with self.lock, self.semaphore:
            self.follow(inner)

    def do_timeout(self, number, inner):
        with gevent.Timeout(number, False):
            self.follow(inner)

    def do_spawn(self, number, inner):
        self.spawn(inner, number).link(lambda one: self.note("link", one.successful()))

    def do_fail_in_a_link(self, number, inner):
        self.spawn([]).link(lambda one: 1 / 0)

    def do_join(self, number, inner):
        gevent.joinall([self.spawn(inner)], timeout=number)

    def do_kill(self, number, inner):
        victim = self.tasks[number % len(self.tasks)]
        victim.kill(block=number > 1, timeout=number)

    def do_kill_what_has_not_begun(self, number, inner):
        gevent.Greenlet(self.note).kill(block=False)
        self.spawn(inner).kill(KeyError, block=False)

    def do_swallow_a_kill(self, number, inner):
        try:
            gevent.sleep(number)
        except gevent.GreenletExit:
            self.follow(inner)

    def do_pool(self, number, inner):
        return [str(one) for one in self.pool.imap_unordered(self.nap, [number, 1, 0])]

    def do_kill_a_pool(self, number, inner):
        self.pool.kill(block=False)

    def do_send(self, number, inner):
        self.left.sendall(b"x" * number)

    def do_receive(self, number, inner):
        self.right.settimeout(number)
        return self.right.recv(9)

    def do_local(self, number, inner):
        self.local.number = getattr(self.local, "number", 0) + 1
        return self.local.number

    def do_sleep_natively(self, number, inner):
        time.sleep(number / 2)


def record_of(seed, how):
    program = Program(seed)
    try:
        simulation = gevent_record(program, how)
    finally:
        assert all(one.dead for one in program.greenlets)
    return simulation


def gevent_record(program, how):
    from gowork.testing import Simulation
    simulation = Simulation(**how)
    end = None
    try:
        with simulation:
            program()
    except (Deadlock, Livelock) as error:
        end = str(error)
    errors = [type(one).__name__ for one in simulation.hub_errors]
    return simulation, (program.log, end, simulation.digest, simulation.now, simulation.steps, simulation.left, errors, simulation.deterministic)
