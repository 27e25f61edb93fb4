"""Whatever happens to whom, each sender learns what has become of its data."""

import math
import random

import gevent
import pytest
from channel_plays import Player
from makers import routines
from pingpong_plays import Rally, by_hand, forgetting, holding, in_a_block, refusing
from simulating import played, played_in_every_order

from gowork import Job
from gowork.errors import NotAcknowledged
from gowork.pingpong import PingPong
from gowork.testing import explore


def ends_of(program, capacity=0):
    """How the players of *program* may end under all schedules."""

    def run():
        rally = Rally(PingPong(capacity))
        program(rally)
        return rally.conclude()

    return set(explore(run).values)


PROCESSES = {
    in_a_block: "acknowledged",
    by_hand: "acknowledged",
    refusing: "not acknowledged",
    forgetting: "not acknowledged",
}


def killed(rally, call, *args):
    gevent.spawn_later(1, rally.spawn(call, *args).kill)


def late(rally, call, *args):
    rally.spawn(call, *args, 1)  # its own timeout


def timed_out(rally, call, *args):
    rally.spawn(call, *args, limit=1)


def later(rally, call, *args):
    rally.spawn(call, *args, delay=1)


in_trouble = pytest.mark.parametrize(
    ("trouble", "end"), [(killed, "GreenletExit"), (timed_out, "Timeout"), (late, "late")]
)
with_any_process = pytest.mark.parametrize(("process", "answer"), PROCESSES.items())
with_or_without_room = pytest.mark.parametrize("capacity", [0, 1])


@in_trouble
@with_any_process
@with_or_without_room
def test_a_sender_in_trouble_is_answered_or_has_left(capacity, process, answer, trouble, end):
    def program(rally):
        trouble(rally, rally.send)
        later(rally, rally.recv, process)

    taken, untaken = ("not answered", "not taken") if trouble is late else (end, end)
    assert ends_of(program, capacity) == {(answer, 1), (taken, 1), (untaken, "waits")}


@in_trouble
@with_any_process
@with_or_without_room
def test_the_data_of_a_receiver_in_trouble_is_answered(capacity, process, answer, trouble, end):
    def program(rally):
        trouble(rally, rally.recv, process)
        later(rally, rally.send)

    had_it = set() if trouble is late else {(end, "not acknowledged")}
    assert ends_of(program, capacity) == {(1, answer), (end, "waits")} | had_it


@in_trouble
@with_or_without_room
def test_a_sender_learns_that_the_holder_of_its_data_has_died(capacity, trouble, end):
    def program(rally):
        rally.spawn(rally.send)
        trouble(rally, rally.recv, holding)

    ends = ("acknowledged", 1) if trouble is late else ("not acknowledged", end)
    assert ends_of(program, capacity) == {ends}


@with_any_process
@with_or_without_room
def test_a_close_is_told_to_a_sender_whose_data_nobody_has(capacity, process, answer):
    def program(rally):
        rally.spawn(rally.send)
        later(rally, rally.recv, process)
        gevent.spawn_later(1, rally.close)

    assert ends_of(program, capacity) == {(answer, 1), ("closed", "closed")}


@in_trouble
@with_any_process
@with_or_without_room
def test_the_data_of_a_receiver_in_trouble_when_it_is_closed(
    capacity, process, answer, trouble, end
):
    def program(rally):
        trouble(rally, rally.recv, process)
        later(rally, rally.send)
        gevent.spawn_later(1, rally.close)

    had_it = set() if trouble is late else {(end, "not acknowledged")}
    ends = {(1, answer), ("closed", "closed"), (end, "closed")} | had_it
    assert ends_of(program, capacity) == ends


@with_or_without_room
@pytest.mark.parametrize(("timeout", "end"), [(None, "acknowledged"), (1.5, "not answered")])
def test_what_is_held_at_the_close_is_answered_all_the_same(capacity, timeout, end):
    def program(rally):
        rally.spawn(rally.send, timeout)
        rally.spawn(rally.recv, holding)
        gevent.spawn_later(1, rally.close)

    assert ends_of(program, capacity) == {(end, 1)}


@with_or_without_room
def test_the_data_of_one_that_dies_before_it_resumes_goes_to_the_next(capacity):
    def program(rally):
        killed(rally, rally.recv, in_a_block)
        rally.spawn(rally.recv, in_a_block)
        later(rally, rally.send)

    seen = ends_of(program, capacity)
    assert seen == {
        ("GreenletExit", 1, "acknowledged"),
        ("GreenletExit", "waits", "not acknowledged"),
        (1, "waits", "acknowledged"),
    }


@in_trouble
@with_or_without_room
def test_a_sender_in_trouble_lets_the_next_one_pass(capacity, trouble, end):
    def program(rally):
        trouble(rally, rally.send)
        rally.spawn(rally.send)
        later(rally, rally.recv, by_hand)

    taken, untaken = ("not answered", "not taken") if trouble is late else (end, end)
    seen = ends_of(program, capacity)
    # They are the first and the second in any order, and so are their data.
    assert seen == {
        (untaken, "acknowledged", 1),
        (untaken, "acknowledged", 2),
        (taken, "waits", 1),
        ("acknowledged", "waits", 1),
    }


def put_back_twice(capacity):
    """In which order data is received after some was in dead hands, and withdrawn then."""
    rally = Rally(PingPong(capacity))
    for senders in (1, 2):
        for _ in range(senders):
            rally.spawn(rally.send, 1, delay=1)
        rally.spawn(rally.recv, by_hand, limit=1)
        gevent.sleep(3 - 1.5 * (senders - 1))
    return rally.recv(by_hand), rally.recv(by_hand), rally.conclude()


@with_or_without_room
def test_data_put_back_goes_before_all_that_nobody_has_had(capacity):
    one, two, ends = played(put_back_twice, capacity)
    assert (one, two) == (2, 3)
    assert ends == ("not taken", "Timeout", "acknowledged", "acknowledged", "Timeout")


# With a job, and at large


def of_a_job(cancel):
    """How those who send to a job's PingPong end: the data is held, lies ready, is not in yet."""
    job = Job()
    rally = Rally(job.pingpong(1))
    holder = Player(rally)
    job.add_task(routines(None, lambda task: (holder.run(rally.recv, holding), task.done())))
    job.run()
    for _ in range(3):
        gevent.sleep(0.1)
        rally.spawn(rally.send)
    if cancel:
        job.cancel()
    job.run().wait()
    assert rally.pingpong.closed
    return rally.conclude()[1:]


@pytest.mark.parametrize(
    ("cancel", "answer"), [(True, "not acknowledged"), (False, "acknowledged")]
)
def test_the_end_of_a_job_is_told_to_all_who_send_to_it(cancel, answer):
    ends = played_in_every_order(of_a_job, cancel)
    assert set(ends) == {(answer, "closed", "closed")}


class Game:
    """What *seed* says: greenlets that send and receive, again and again, kill or close."""

    def __init__(self, seed):
        self.draw = random.Random(seed)

    def __call__(self):
        draw = self.draw
        self.rally = Rally(PingPong(draw.choice([0, 0, 1, 2, math.inf])))
        for _ in range(draw.randint(8, 24)):
            plan = [(draw.choice([0, 0, 1]), *self.step()) for _ in range(draw.randint(1, 5))]
            limit = draw.choice([None, None, None, 2])
            self.rally.spawn(self.follow, plan, delay=draw.randint(0, 3), limit=limit)
        gevent.sleep(draw.choice([2, 30]))
        self.rally.close()
        # Without a timer: who waits for a dead peer would be a Deadlock.
        gevent.joinall([player.greenlet for player in self.rally.players])
        self.rally.conclude()
        return self.rally.sends.values()

    def step(self):
        draw = self.draw
        timeout = draw.choice([None, None, 0, 1, 2])
        dice = draw.random()
        if dice < 0.01:
            return self.rally.close, ()
        if dice < 0.2:
            return self.kill, (draw.random(),)
        if dice < 0.6:
            return self.rally.send, (timeout,)
        return self.rally.recv, (draw.choice([*PROCESSES, holding]), timeout)

    def kill(self, whom):
        player = self.rally.players[int(whom * len(self.rally.players))]
        (player.kill if whom * 100 % 1 < 0.5 else player.throw)()

    def follow(self, plan):
        for pause, call, args in plan:
            gevent.sleep(pause)
            call(*args)


def played_with(schedule, seed):
    """How all sends of a game ended."""
    how = {} if schedule in ("fifo", "lifo") else {"seed": seed}
    return played(Game(seed), schedule=schedule, **how)


@pytest.mark.parametrize("schedule", ["fifo", "lifo", "random", "bounded", "pct"])
def test_in_a_large_game_every_sender_learns_what_became_of_its_data(schedule):
    ends = [end for seed in range(20) for end in played_with(schedule, seed)]
    seen = {type(end) if isinstance(end, NotAcknowledged) else end for end in ends}
    assert seen == {"acknowledged", NotAcknowledged, "closed", "not taken", "not answered", "died"}
