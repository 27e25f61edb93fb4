"""What Go's own tests assert of select, asserted of ours.

The originals are in golang/go: a file is one of ``test/chan``, a ``Test`` or a ``Benchmark`` one
of ``src/runtime/chan_test.go`` or ``chanbarrier_test.go`` beside it.
"""

# select.go                      a_case_that_has_had_its_turn_becomes_none
# select3.go                     the tests of "Waiting or not"
# select4.go, select5.go         the_one_case_that_can_proceed_does_whatever_stands_around_it, and
#                                where_no_case_can_proceed_none_does; in which order the parts of a
#                                case are evaluated, Python says
# select6.go                     a_select_that_loses_leaves_the_queue_to_those_around_it
# select7.go                     every_kind_of_send_meets_every_kind_of_receive
# select8.go                     not ours: it is about Go's break
# TestNonblockSelectRace, TestNonblockSelectRace2
#                                a_select_that_may_not_wait_sees_all_channels_at_one_moment
# TestSelectDuplicateChannel     a_select_that_stands_twice_in_a_queue_leaves_it_twice
# TestSelectStackAdjust          closing_wakes_a_select_once_though_it_stands_there_twice
# TestChanSendSelectBarrier      in test_go_channels
# select2.go, TestSelectFairness, TestPseudoRandomSend
#                                in test_go_fairness
# doubleselect.go, TestSelfSelect, TestSelectStress, and what the benchmarks do
#                                in test_go_programs
#
# What Go's tests leave to chance is explored here: every schedule, with several choices of select.

from itertools import compress, product

import gevent
import pytest
from gophers import closed, does_not_switch, every_outcome, kept

from gowork import Channel, ChannelClosed, select
from gowork.testing import Deadlock, simulate

NONE = (None, None, False)


# Waiting or not


@pytest.mark.parametrize(
    "cases",
    [
        lambda channel: [],
        lambda channel: [None],
        lambda channel: [None, None],
        lambda channel: [channel.receiving()],
        lambda channel: [channel.sending(1)],
        lambda channel: [channel.sending(1), channel.receiving()],
        lambda channel: [channel.receiving(), None, channel.sending(1), channel.receiving()],
    ],
)
def test_a_select_of_which_no_case_can_proceed_waits_for_ever(cases):
    with pytest.raises(Deadlock):
        simulate(lambda: select(cases(Channel())))
    assert does_not_switch(select, cases(Channel()), 0) == NONE


@pytest.mark.parametrize(
    ("case", "end"),
    [
        (lambda: Channel(1).sending(7), (0, None, True)),
        (lambda: kept(7).receiving(), (0, 7, True)),
        (lambda: closed().receiving(), (0, None, False)),
    ],
)
def test_a_select_of_which_a_case_can_proceed_does_not_wait(case, end):
    assert does_not_switch(select, [case()]) == end
    assert does_not_switch(select, [case()], 0) == end
    assert does_not_switch(select, [case(), None, Channel().receiving()]) == end


def test_a_select_that_sends_to_a_closed_channel_raises_also_if_it_may_not_wait():
    for timeout in (None, 0, 1):
        with pytest.raises(ChannelClosed):
            does_not_switch(select, [None, closed().sending(7)], timeout)


def around_one():
    """Cases that cannot proceed, in all combinations, and a place among them."""
    idle = Channel()
    for use in product([True, False], repeat=4):
        around = list(compress([idle.sending(1), idle.receiving(), None, None], use))
        for place in range(len(around) + 1):
            yield around, place


@pytest.mark.parametrize("timeout", [None, 0, 1])
def test_the_one_case_that_can_proceed_does_whatever_stands_around_it(timeout):
    channel = Channel(1)
    for number, (around, place) in enumerate(around_one()):
        before, after = around[:place], around[place:]
        sending = [*before, channel.sending(number), *after]
        assert does_not_switch(select, sending, timeout) == (place, None, True)
        receiving = [*before, channel.receiving(), *after]
        assert does_not_switch(select, receiving, timeout) == (place, number, True)


def test_where_no_case_can_proceed_none_does():
    for around, _ in around_one():
        assert does_not_switch(select, around, 0) == NONE


def send_to_each(cases):
    """How many of *cases* proceed, each once, until none can."""
    proceeded = 0
    while True:
        index, _, _ = select(cases, timeout=0)
        if index is None:
            return proceeded
        cases[index] = None
        proceeded += 1


def test_a_case_that_has_had_its_turn_becomes_none():
    one, two = Channel(1), Channel(1)
    assert send_to_each([one.sending(1), two.sending(2)]) == 2
    assert (one.recv(), two.recv()) == (1, 2)
    assert send_to_each([one.sending(4), None]) == 1
    assert (len(one), len(two)) == (1, 0)


# Who meets whom


RECEIVES = {
    "recv": lambda channel: channel.recv(),
    "one case": lambda channel: select([channel.receiving()])[1],
    "two cases": lambda channel: select([channel.receiving(), Channel().receiving()])[1],
    "twice": lambda channel: select([channel.receiving(), channel.receiving()])[1],
    "both ends": lambda channel: select([Channel().sending("no"), channel.receiving()])[1],
}
SENDS = {
    "send": lambda channel: channel.send("value"),
    "one case": lambda channel: select([channel.sending("value")]),
    "two cases": lambda channel: select([channel.sending("value"), Channel().sending("no")]),
    "twice": lambda channel: select([channel.sending("value"), channel.sending("value")]),
    "both ends": lambda channel: select([Channel().receiving(), channel.sending("value")]),
}


@pytest.mark.parametrize("receive", RECEIVES.values(), ids=RECEIVES)
@pytest.mark.parametrize("send", SENDS.values(), ids=SENDS)
@pytest.mark.parametrize("capacity", [0, 1])
def test_every_kind_of_send_meets_every_kind_of_receive(send, receive, capacity):
    def program():
        channel = Channel(capacity)
        sender = gevent.spawn(send, channel)
        receiver = gevent.spawn(receive, channel)
        gevent.sleep(1)
        return sender.ready(), receiver.get(block=False), len(channel)

    assert every_outcome(program) == {(True, "value", 0)}


def test_a_select_that_loses_leaves_the_queue_to_those_around_it():
    def program():
        crowded, decisive, got = Channel(), Channel(), []

        def choose():
            index, _, _ = select([crowded.receiving(), decisive.receiving()])
            got.append(crowded.recv() if index == 1 else decisive.recv())

        gevent.spawn(lambda: got.append(crowded.recv()))
        gevent.spawn(choose)
        gevent.spawn(decisive.send, "decision")
        gevent.sleep(1)
        crowded.send(1, timeout=1)
        crowded.send(2, timeout=1)
        gevent.sleep(1)
        return tuple(sorted(got)), repr(crowded).partition("open")[2]

    assert every_outcome(program) == {((1, 2), " senders=0 receivers=0>")}


def test_a_select_that_stands_twice_in_a_queue_leaves_it_twice():
    def program():
        twice, once, got = Channel(), Channel(), []

        def choose():
            index, _, _ = select([twice.receiving(), twice.receiving(), once.receiving()])
            got.append(index)

        gevent.spawn(choose)
        gevent.sleep(1)
        gevent.spawn(lambda: got.append(twice.recv()))
        gevent.sleep(1)
        once.send("for the select", timeout=1)
        twice.send("for the other", timeout=1)
        gevent.sleep(1)
        return tuple(sorted(got, key=str)), repr(twice).partition("open")[2]

    assert every_outcome(program) == {((2, "for the other"), " senders=0 receivers=0>")}


def test_closing_wakes_a_select_once_though_it_stands_there_twice():
    def program():
        one, two = Channel(), Channel()
        cases = [one.receiving(), two.receiving()]
        once, twice = gevent.spawn(select, cases), gevent.spawn(select, cases * 2)
        gevent.sleep(1)
        two.close()
        gevent.sleep(1)
        assert not one.closed and "receivers=0" in repr(one)
        return once.get(block=False), twice.get(block=False)

    end = (1, None, False)
    assert every_outcome(program) <= {(end, end), (end, (3, None, False))}


# Races


@pytest.mark.parametrize(
    "make_ready", [lambda two: two.send(1), lambda two: two.close()], ids=["send", "close"]
)
def test_a_select_that_may_not_wait_sees_all_channels_at_one_moment(make_ready):
    """At every moment one of the two, or the other, is ready."""

    def program():
        one, two, ends = kept(1), Channel(1), []
        cases = [one.receiving(), two.receiving()]
        gevent.spawn(lambda: ends.append(select(cases, timeout=0)))
        gevent.sleep(0)
        make_ready(two)
        gevent.sleep(0)
        select([one.receiving()], timeout=0)
        gevent.sleep(1)
        return ends[0][0]

    assert every_outcome(program) == {0, 1}


def test_of_two_selects_that_face_each_other_both_do_the_same():
    def program():
        there, back, ends = Channel(), Channel(), {}

        def choose(name, *cases):
            ends[name] = select(cases)

        gevent.spawn(choose, "a", there.sending("from a"), back.receiving())
        gevent.spawn(choose, "b", there.receiving(), back.sending("from b"))
        gevent.sleep(1)
        return ends["a"], ends["b"]

    sent, received = (0, None, True), (0, "from a", True)
    taken, given = (1, "from b", True), (1, None, True)
    assert every_outcome(program) == {(sent, received), (taken, given)}


def test_of_three_selects_in_a_ring_two_meet_and_one_waits_on():
    def program():
        ring, ends = [Channel() for _ in range(3)], []

        def choose(at):
            cases = [ring[at].sending(at), ring[at - 1].receiving()]
            ends.append((at, *select(cases, timeout=1)))

        for at in range(3):
            gevent.spawn(choose, at)
        gevent.sleep(2)
        return tuple(sorted(ends))

    for ends in every_outcome(program):
        ((sender, *_),) = [end for end in ends if end[1] == 0]
        ((receiver, _, value, _),) = [end for end in ends if end[1] == 1]
        ((_, *nothing),) = [end for end in ends if end[1] is None]
        assert value == sender == (receiver - 1) % 3
        assert tuple(nothing) == NONE


def test_a_select_that_both_a_close_and_a_receiver_want_follows_one_of_them():
    def program():
        closing, wanted, ends = Channel(), Channel(), {}

        def choose():
            ends["select"] = select([closing.receiving(), wanted.sending("value")])

        def want():
            ends["receiver"] = select([wanted.receiving()], timeout=1)

        gevent.spawn(choose)
        gevent.spawn(closing.close)
        gevent.spawn(want)
        gevent.sleep(2)
        return ends["select"], ends["receiver"]

    expected = {((0, None, False), NONE), ((1, None, True), (0, "value", True))}
    assert every_outcome(program) == expected


def test_a_close_finds_the_value_of_a_select_either_sent_or_still_the_senders():
    def program():
        channel, never, ends = Channel(), Channel(), {}

        def choose():
            try:
                ends["select"] = select([never.receiving(), channel.sending("value")])
            except ChannelClosed:
                ends["select"] = "closed"

        def receive():
            ends["receiver"] = select([channel.receiving()])

        gevent.spawn(choose)
        gevent.spawn(receive)
        gevent.spawn(channel.close)
        gevent.sleep(1)
        return ends["select"], ends["receiver"]

    expected = {((1, None, True), (0, "value", True)), ("closed", (0, None, False))}
    assert every_outcome(program) == expected


def test_a_select_takes_from_a_blocked_sender_or_sees_the_other_channel_closed():
    def program():
        offered, ended = Channel(), closed()
        sender = gevent.spawn(offered.send, "value")
        gevent.sleep(1)
        end = select([offered.receiving(), ended.receiving()])
        gevent.sleep(1)
        sent = sender.ready()
        sender.kill()
        return end, sent, len(offered)

    expected = {((0, "value", True), True, 0), ((1, None, False), False, 0)}
    assert every_outcome(program) == expected


def test_a_kill_between_two_selects_that_face_each_other_takes_no_value():
    def program():
        there, back, ends = Channel(), Channel(), {"a": "killed", "b": NONE}

        def choose(name, *cases):
            ends[name] = select(cases, timeout=1)

        victim = gevent.spawn(choose, "a", there.sending("from a"), back.receiving())
        gevent.spawn(choose, "b", there.receiving(), back.sending("from b"))
        gevent.spawn(victim.kill, block=False)
        gevent.sleep(2)
        return ends["a"], ends["b"], len(there), len(back)

    assert every_outcome(program) <= {
        ((0, None, True), (0, "from a", True), 0, 0),
        ((1, "from b", True), (1, None, True), 0, 0),
        ("killed", NONE, 0, 0),
        ("killed", (1, None, True), 0, 1),  # it had the value in its hands
    }
