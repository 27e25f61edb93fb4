"""What holds for channels whatever happens, in whatever order: each value is in one place."""

import itertools
from collections import deque

import gevent
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, multiple, rule

from gowork.channels import Channel, select
from gowork.errors import ChannelClosed, WouldBlock

CAPACITIES = st.integers(0, 2)


class Actor:
    """A greenlet that does one thing to channels and notes where its values went."""

    def __init__(self, machine, offers, call):
        self.machine, self.offers = machine, offers
        self.call = call
        self.greenlet = gevent.spawn(self.run)
        machine.actors.append(self)

    def run(self):
        sent = None
        try:
            sent, received = self.call()
            self.machine.received.extend(received)
        except BaseException:
            pass
        self.machine.kept.extend(value for value in self.offers if value != sent)

    def kill(self):
        self.greenlet.kill(block=False)
        if not self.greenlet:  # it has not begun, and never will
            self.machine.kept.extend(self.offers)


class EachValueIsInOnePlace(RuleBasedStateMachine):
    """Operations, kills, timeouts and closes, several in one pass of the loop."""

    living = Bundle("living")

    def __init__(self):
        super().__init__()
        self.channels = [Channel(0), Channel(0), Channel(1), Channel(2)]
        self.actors, self.received, self.kept = [], [], []
        self.made = 0

    def new_value(self):
        self.made += 1
        return self.made

    @rule(target=living, which=st.integers(0, 3), timeout=st.sampled_from([None, None, 0.001]))
    def send(self, which, timeout):
        value, channel = self.new_value(), self.channels[which]
        return Actor(self, [value], lambda: (channel.send(value, timeout) or value, []))

    @rule(target=living, which=st.integers(0, 3), timeout=st.sampled_from([None, None, 0.001]))
    def receive(self, which, timeout):
        channel = self.channels[which]
        return Actor(self, [], lambda: (None, [channel.recv(timeout)]))

    @rule(
        target=living,
        plan=st.lists(st.tuples(st.integers(0, 3), st.booleans()), min_size=1, max_size=4),
        timeout=st.sampled_from([None, None, 0.001]),
    )
    def select(self, plan, timeout):
        cases, values = [], []
        for which, sends in plan:
            channel = self.channels[which]
            values.append(self.new_value() if sends else None)
            cases.append(channel.sending(values[-1]) if sends else channel.receiving())

        def call():
            index, value, ok = select(cases, timeout)
            sent = None if index is None else values[index]
            return sent, [value] if ok and sent is None else []

        return Actor(self, [value for value in values if value is not None], call)

    @rule(which=st.integers(0, 3))
    def send_nowait(self, which):
        value = self.new_value()
        try:
            self.channels[which].send_nowait(value)
        except (WouldBlock, ChannelClosed):
            self.kept.append(value)

    @rule(which=st.integers(0, 3))
    def receive_nowait(self, which):
        # A sender that is being killed right now could not know: let it die first.
        gevent.sleep(0)
        try:
            self.received.append(self.channels[which].recv_nowait())
        except (WouldBlock, ChannelClosed):
            pass

    @rule(actor=living)
    def kill(self, actor):
        if not actor.greenlet.dead:
            actor.kill()

    @rule(actor=living)
    def fail(self, actor):
        if actor.greenlet and not actor.greenlet.dead:
            gevent.get_hub().loop.run_callback(actor.greenlet.throw, ValueError())

    @rule(which=st.integers(0, 3), sure=st.integers(0, 9))
    def close(self, which, sure):
        if sure == 0:
            self.channels[which]._close_now()

    @rule()
    def turn_the_loop(self):
        gevent.sleep(0)

    @rule()
    def let_time_pass(self):
        gevent.sleep(0.0015)

    @rule()
    def settle(self):
        for _ in range(5):
            gevent.sleep(0)
        for channel in self.channels:
            senders, receivers = list(channel._senders), list(channel._receivers)
            assert not (receivers and len(channel))
            assert not (senders and len(channel) < channel.capacity)
            assert not (channel.closed and (receivers or senders))

    def teardown(self):
        for actor in self.actors:
            if not actor.greenlet.dead:
                actor.kill()
        gevent.joinall([actor.greenlet for actor in self.actors])
        inside = [value for channel in self.channels for value in channel._items]
        everywhere = sorted(self.received + self.kept + inside)
        assert everywhere == list(range(1, self.made + 1))
        for channel in self.channels:
            assert "senders=0 receivers=0" in repr(channel)


class LikeASimpleModel(RuleBasedStateMachine):
    """One channel at rest behaves as three queues and a flag."""

    greenlets = Bundle("greenlets")

    def __init__(self):
        super().__init__()
        self.channel = None
        self.numbers = itertools.count()
        self.ends = {}
        self.values, self.senders, self.receivers = deque(), deque(), deque()
        self.expected = {}
        self.closed = False

    @rule(capacity=CAPACITIES)
    def open(self, capacity):
        if self.channel is None:
            self.channel = Channel(capacity)

    def begin(self, call):
        name = next(self.numbers)

        def run():
            try:
                self.ends[name] = call()
            except BaseException as error:
                self.ends[name] = type(error).__name__

        greenlet = gevent.spawn(run)
        self.rest()
        return name, greenlet

    def rest(self):
        for _ in range(4):
            gevent.sleep(0)

    def refill(self):
        while self.senders and len(self.values) < self.channel.capacity:
            name, value = self.senders.popleft()
            self.values.append(value)
            self.expected[name] = None

    @rule(target=greenlets)
    def send(self):
        if self.channel is None:
            return multiple()
        value = object()
        name, greenlet = self.begin(lambda: self.channel.send(value))
        if self.closed:
            self.expected[name] = "ChannelClosed"
        elif self.receivers:
            self.expected[self.receivers.popleft()] = value
            self.expected[name] = None
        else:
            self.senders.append((name, value))
            self.refill()
        return name, greenlet

    @rule(target=greenlets)
    def receive(self):
        if self.channel is None:
            return multiple()
        name, greenlet = self.begin(lambda: self.channel.recv())
        if self.values:
            self.expected[name] = self.values.popleft()
            self.refill()
        elif self.senders:
            sender, self.expected[name] = self.senders.popleft()
            self.expected[sender] = None
        elif self.closed:
            self.expected[name] = "ChannelClosed"
        else:
            self.receivers.append(name)
        return name, greenlet

    @rule(pair=greenlets)
    def kill(self, pair):
        name, greenlet = pair
        if name not in self.expected:
            greenlet.kill()
            self.senders = deque(s for s in self.senders if s[0] != name)
            self.receivers = deque(r for r in self.receivers if r != name)
            self.expected[name] = "GreenletExit"

    @rule()
    def close(self):
        if self.channel is not None and not self.closed:
            self.channel.close()
            self.closed = True
            for name in [*(sender[0] for sender in self.senders), *self.receivers]:
                self.expected[name] = "ChannelClosed"
            self.senders.clear()
            self.receivers.clear()
            self.rest()

    @invariant()
    def agrees(self):
        if self.channel is not None:
            assert self.ends == self.expected
            assert len(self.channel) == len(self.values)
            assert f"senders={len(self.senders)} " in repr(self.channel)
            assert f"receivers={len(self.receivers)}>" in repr(self.channel)

    def teardown(self):
        if self.channel is not None:
            self.channel._close_now()
            self.rest()


ENOUGH = settings(max_examples=100, stateful_step_count=40, deadline=None)
TestEachValueIsInOnePlace = EachValueIsInOnePlace.TestCase
TestEachValueIsInOnePlace.settings = ENOUGH
TestLikeASimpleModel = LikeASimpleModel.TestCase
TestLikeASimpleModel.settings = ENOUGH
