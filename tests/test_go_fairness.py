"""What Go's own tests assert of long runs of selects, asserted of ours: shares, memory and time.

The originals are in golang/go: a file is one of ``test/chan``, a ``Test`` one of
``src/runtime/chan_test.go``.
"""

# TestSelectFairness             a_select_is_fair_in_the_long_run
# TestPseudoRandomSend           a_select_is_fair_to_cases_of_one_channel
# select2.go                     selects_leave_nothing_behind_where_they_never_proceed
# ../chanlinear.go               to_leave_a_queue_takes_no_longer_where_many_wait
#
# Go has no test of the rest: that it does not matter what makes a case ready, and that selects
# which wait take turns.

import gc
import math
import sys
import time
from collections import Counter

import gevent
import pytest
from gophers import closed, going, kept

from gowork import Channel, select
from gowork.channels import seed


@pytest.fixture
def repeatable():
    seed(7)
    yield
    seed()


def assert_fair(counts, cases):
    """Each of so many *cases* had its share, but for five standard deviations."""
    share = counts.total() / cases
    allowed = 5 * math.sqrt(share * (1 - 1 / cases))
    assert len(counts) == cases, counts
    assert all(abs(count - share) < allowed for count in counts.values()), counts


@pytest.mark.usefixtures("repeatable")
def test_a_select_is_fair_in_the_long_run():
    trials = 4000
    full, out, done = [Channel(trials) for _ in range(2)], Channel(), Channel()
    for number, channel in enumerate(full):
        for _ in range(trials):
            channel.send(number)
    cases = [Channel().receiving(), Channel().receiving(), *(one.receiving() for one in full)]

    def forward():
        while select([out.sending(select(cases)[1]), done.receiving()])[0] == 0:
            pass

    forwarder = gevent.spawn(forward)
    assert_fair(Counter(out.recv() for _ in range(trials - 1)), 2)
    done.close()
    forwarder.get()


@pytest.mark.usefixtures("repeatable")
@pytest.mark.parametrize("capacity", [0, 2000])
def test_a_select_is_fair_to_cases_of_one_channel(capacity):
    channel, got = Channel(capacity), Counter()

    def receive():
        for _ in range(2000):
            gevent.sleep(0)
            got[channel.recv()] += 1

    receiver = gevent.spawn(receive)
    for _ in range(2000):
        select([channel.sending(0), channel.sending(1), channel.sending(2)])
    receiver.get()
    assert_fair(got, 3)


@pytest.mark.usefixtures("repeatable")
def test_a_select_is_fair_whatever_makes_its_cases_ready():
    ended, chosen = closed(), Counter()
    for _ in range(1000):
        offered, wanted, full, room = Channel(), Channel(), kept(1), Channel(1)
        with going() as group:
            group.spawn(offered.send, 1)
            group.spawn(wanted.recv)
            gevent.sleep(0)
            cases = [offered.receiving(), wanted.sending(1), full.receiving(), room.sending(1)]
            chosen[select([*cases, ended.receiving()])[0]] += 1
    assert_fair(chosen, 5)


def test_selects_that_wait_on_one_channel_take_turns():
    work, never, got = Channel(), Channel(), Counter()

    def consume(name):
        while True:
            select([never.receiving(), work.receiving()])
            got[name] += 1

    with going() as group:
        for name in range(3):
            group.spawn(consume, name)
        for _ in range(30):
            gevent.sleep(0)
            work.send("work")
        gevent.sleep(0)
    assert got == {0: 10, 1: 10, 2: 10}


def test_selects_leave_nothing_behind_where_they_never_proceed():
    channel, never = Channel(), Channel()

    def blocks_after_waiting(amount):
        sender = gevent.spawn(lambda: [channel.send(1) for _ in range(amount)])
        for _ in range(amount):
            select([channel.receiving(), never.receiving(), never.sending(1)])
        sender.get()
        gc.collect()
        return sys.getallocatedblocks()

    before = blocks_after_waiting(3000)
    assert blocks_after_waiting(3000) - before < 1000
    assert "senders=0 receivers=0" in repr(never)


def test_to_leave_a_queue_takes_no_longer_where_many_wait():
    def seconds_each(waiters):
        popular, own = Channel(), [Channel() for _ in range(waiters)]
        with going() as group:
            for channel in own:
                group.spawn(select, [popular.receiving(), channel.receiving()])
            gevent.sleep(0)
            start = time.process_time()
            for channel in reversed(own):
                channel.send("leave")
            return (time.process_time() - start) / waiters

    # Sixteen times as many: it shows if each of the others is looked at, even by a list.
    assert any(seconds_each(4000) < 3 * seconds_each(250) for _ in range(3))
