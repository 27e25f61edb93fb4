"""Hypothesis plays with channels, and a plain model explains each step."""

import math
from contextlib import ExitStack

import gevent
from channel_plays import Play
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from gowork.testing import Simulation
from gowork.testing.strategies import schedules

CAPACITIES = st.tuples(*[st.sampled_from([0, 0, 1, 2, 3, math.inf])] * 2)
WHICH = st.integers(0, 1)
TIMEOUTS = st.sampled_from([None, None, None, 0, 1])
LIMITS = st.sampled_from([None, None, None, 1])
CASES = st.none() | st.tuples(st.sampled_from(["send", "recv"]), WHICH)
WHOM = st.integers(0, 5)  # the first, the second ... of those who are alive


class AnyGame(RuleBasedStateMachine):
    """Calls, kills, timeouts and closes, several of them in one pass of the loop or one each.

    All runs in a simulation, the order of which is drawn as well.
    """

    def __init__(self):
        super().__init__()
        self.simulation = ExitStack()

    @initialize(capacities=CAPACITIES, schedule=schedules())
    def begin(self, capacities, schedule):
        self.simulation.enter_context(Simulation(schedule=schedule))
        self.play = Play(*capacities)

    @rule(which=WHICH, timeout=TIMEOUTS, limit=LIMITS)
    def send(self, which, timeout, limit):
        self.play.spawn(self.play.send, which, timeout, limit=limit)

    @rule(which=WHICH, timeout=TIMEOUTS, limit=LIMITS)
    def recv(self, which, timeout, limit):
        self.play.spawn(self.play.recv, which, timeout, limit=limit)

    @rule(plan=st.lists(CASES, min_size=1, max_size=4), timeout=TIMEOUTS, limit=LIMITS)
    def select(self, plan, timeout, limit):
        self.play.spawn(self.play.select, plan, timeout, limit=limit)

    @rule(which=WHICH)
    def send_nowait(self, which):
        self.play.send_nowait(which)

    @rule(which=WHICH)
    def recv_nowait(self, which):
        self.play.recv_nowait(which)

    def alive(self, whom):
        return [player for player in self.play.players if player.greenlet][whom : whom + 1]

    @rule(whom=WHOM)
    def kill(self, whom):
        for player in self.alive(whom):
            player.kill()

    @rule(whom=WHOM)
    def throw(self, whom):
        for player in self.alive(whom):
            player.throw()

    @rule(which=WHICH, seldom=st.integers(0, 9))
    def close(self, which, seldom):
        if not seldom:
            self.play.close(which)

    @rule()
    def turn_the_loop(self):
        gevent.sleep(0)

    @rule()
    def let_time_pass(self):
        gevent.sleep(0.6)

    @rule()
    def rest(self):
        self.play.rest()

    @invariant()
    def is_explained(self):
        self.play.look()

    def teardown(self):
        with self.simulation:
            self.play.conclude()


TestAnyGame = AnyGame.TestCase
TestAnyGame.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
