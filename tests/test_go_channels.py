"""What Go's own tests assert of sending, receiving and closing, asserted of our channels.

The originals are in golang/go: a file is one of ``test/chan``, a ``Test`` or a ``Benchmark`` one
of ``src/runtime/chan_test.go`` or ``chanbarrier_test.go`` beside it.
"""

# fifo.go                        the tests of "Order"
# goroutines.go                  a_value_goes_through_a_long_chain_of_greenlets
# nonblock.go                    the tests of "Without waiting", for None and false values too
# zerosize.go                    values_that_are_nothing_are_counted_like_others
# sendstmt.go                    a_channel_that_came_through_a_channel_is_sent_to_at_once; how
#                                Go parses a send is nothing to us
# perm.go                        not ours: what may be done to a channel is checked by its compiler
# ../closedchan.go               the tests of "Closed"
# ../chancap.go, TestChan        the tests of "Any capacity"; where Go receives a zero from a
#                                closed channel, ours raises ChannelClosed, or is not ok in a select
# TestNonblockRecvRace           a_receive_that_may_not_wait_finds_the_value_or_the_end
# TestChanSendInterface          a_full_channel_refuses_every_object_and_keeps_the_one_it_has
# TestMultiConsumer              in test_go_programs
# TestChanSendBarrier            what_was_sent_arrives_alive_and_is_freed_when_it_is_dropped
# TestShrinkStackDuringBlockedSend, TestNoShrinkStackWhileParking
#                                a_collection_of_garbage_harms_no_value_on_its_way; greenlets
#                                have no stacks that shrink
# BenchmarkReceiveDataFromClosedChan
#                                a_closed_channel_gives_what_it_holds_and_then_its_end_for_ever
# BenchmarkChanSem               a_channel_is_a_semaphore
# All of its selects             in test_go_selects

import gc
import weakref
from collections import Counter
from itertools import pairwise

import gevent
import pytest
from gophers import does_not_switch, going, play, receive

from gowork import Channel, ChannelClosed, ChannelTimeout, WouldBlock, select
from gowork.testing import Deadlock, explore, simulate

capacities = pytest.mark.parametrize("capacity", [0, 1, 2, 10, 100])


def filled(capacity):
    channel = Channel(capacity)
    for number in range(capacity):
        channel.send(number)
    return channel


# Order


def test_a_buffered_channel_is_a_queue():
    channel = filled(10)
    assert [channel.recv() for _ in range(10)] == list(range(10))


def test_an_unbuffered_channel_is_a_queue_to_receivers_that_take_turns():
    def program():
        channel, got = Channel(), []

        def receive_one(before, after):
            before.recv()
            got.append(channel.recv())
            after.send("your turn")

        turns = [Channel() for _ in range(11)]
        with going() as group:
            for before, after in pairwise(turns):
                group.spawn(receive_one, before, after)
            turns[0].send("your turn")
            for number in range(10):
                channel.send(number)
            turns[-1].recv()
        return got

    assert play(program) == [list(range(10))]


def pass_through_a_chain(length):
    with going() as group:
        first = right = Channel()
        for _ in range(length):
            left, right = right, Channel()
            group.spawn(lambda left, right: left.send(right.recv()), left, right)
        group.spawn(right.send, "a value")
        return first.recv()


def test_a_value_goes_through_a_long_chain_of_greenlets():
    assert pass_through_a_chain(10_000) == "a value"
    assert play(pass_through_a_chain, 30) == ["a value"]


# Without waiting


VALUES = [123, 0, None, False, "hello", "", (), b"\0" * 10_000, Exception("a value too")]


@pytest.mark.parametrize("capacity", [0, 1])
def test_an_empty_channel_has_nothing_for_a_receive_that_may_not_wait(capacity):
    channel = Channel(capacity)
    with pytest.raises(WouldBlock):
        channel.recv_nowait()
    with pytest.raises(ChannelTimeout):
        channel.recv(timeout=0)
    assert select([channel.receiving()], timeout=0) == (None, None, False)


@pytest.mark.parametrize("capacity", [0, 1])
@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_a_send_that_may_not_wait_reaches_the_receiver_that_waits(value, capacity):
    channel = Channel(capacity)
    receiver = gevent.spawn(channel.recv)
    gevent.sleep(0)
    does_not_switch(channel.send_nowait, value)
    assert receiver.get() is value


@pytest.mark.parametrize("capacity", [0, 1])
@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_a_receive_that_may_not_wait_takes_what_was_sent_before(value, capacity):
    channel = Channel(capacity)
    sender = gevent.spawn(channel.send, value)
    gevent.sleep(0)
    assert sender.dead is bool(capacity)
    assert does_not_switch(channel.recv_nowait) is value
    sender.get()


def test_a_receive_that_may_not_wait_finds_the_value_or_the_end():
    def program():
        channel, ends = Channel(1), []

        def receive_now():
            try:
                ends.append(channel.recv_nowait())
            except ChannelClosed:
                ends.append("closed")

        channel.send("value")
        gevent.spawn(receive_now)
        gevent.sleep(0)
        channel.close()
        gevent.spawn(receive_now)
        gevent.sleep(0)
        receive_now()
        gevent.sleep(1)
        return tuple(ends)

    assert set(explore(program).values) == {("value", "closed", "closed")}


def test_a_full_channel_refuses_every_object_and_keeps_the_one_it_has():
    channel, kept = Channel(1), object()
    channel.send(kept)
    for _ in range(20):
        assert select([channel.sending(kept)], timeout=0)[0] is None
        assert select([channel.sending(kept), channel.sending(object())], timeout=0)[0] is None
    assert channel.recv() is kept and len(channel) == 0


@pytest.mark.parametrize("capacity", [0, 1])
def test_values_that_are_nothing_are_counted_like_others(capacity):
    def program():
        channel = Channel(capacity)
        with going() as group:
            for _ in range(5):
                group.spawn(channel.send, None)
            return [receive(channel) for _ in range(5)]

    assert play(program) == [[(None, True)] * 5]


def test_a_channel_that_came_through_a_channel_is_sent_to_at_once():
    channels, channel = Channel(1), Channel(1)
    channels.send(channel)
    assert select([channels.recv().sending(2)], timeout=0) == (0, None, True)
    assert channel.recv() == 2


# Closed


@pytest.mark.parametrize("capacity", [0, 2])
def test_a_closed_channel_gives_what_it_holds_and_then_its_end_for_ever(capacity):
    channel = filled(capacity)
    channel.close()
    assert [receive(channel) for _ in range(capacity)] == [(n, True) for n in range(capacity)]
    for _ in range(10):
        assert does_not_switch(receive, channel) == (None, False)
        for call in (channel.recv, channel.recv_nowait, lambda: channel.recv(timeout=0)):
            with pytest.raises(ChannelClosed):
                call()
    assert list(channel) == []


@pytest.mark.parametrize("capacity", [0, 2])
def test_a_closed_channel_is_neither_sent_to_nor_closed_again(capacity):
    channel = Channel(capacity)
    channel.close()
    calls = [channel.send, channel.send_nowait, lambda value: channel.send(value, timeout=0)]
    calls += [lambda value: select([channel.sending(value)], timeout=0)]
    calls += [lambda value: select([channel.sending(value)]), lambda _: channel.close()]
    for call in calls:
        with pytest.raises(ChannelClosed):
            does_not_switch(call, "value")
    assert (len(channel), receive(channel)) == (0, (None, False))


# Any capacity


@capacities
def test_receives_from_an_empty_channel_wait(capacity):
    channel = Channel(capacity)
    receivers = [gevent.spawn(channel.recv), gevent.spawn(receive, channel)]
    gevent.sleep(0)
    assert not any(receiver.dead for receiver in receivers)
    channel.send("one")
    channel.send("two")
    assert [receiver.get() for receiver in receivers] == ["one", ("two", True)]


@capacities
def test_a_send_to_a_full_channel_waits(capacity):
    channel = filled(capacity)
    sender = gevent.spawn(channel.send, "one more")
    gevent.sleep(0)
    assert not sender.dead and len(channel) == capacity
    with pytest.raises(WouldBlock):
        channel.send_nowait("and another")
    assert [channel.recv() for _ in range(capacity + 1)] == [*range(capacity), "one more"]
    sender.get()


def test_what_waits_for_nobody_waits_for_ever():
    for call in (Channel().recv, lambda: Channel().send(1), lambda: filled(2).send(1)):
        with pytest.raises(Deadlock):
            simulate(call)


@capacities
def test_closing_wakes_receives(capacity):
    channel = Channel(capacity)
    receivers = [gevent.spawn(receive, channel), gevent.spawn(list, channel)]
    gevent.sleep(0)
    channel.close()
    assert [receiver.get() for receiver in receivers] == [(None, False), []]


@capacities
@pytest.mark.parametrize("take", [Channel.recv, lambda channel: receive(channel)[0]])
def test_a_hundred_numbers_arrive_whole_and_in_order(capacity, take):
    def program():
        channel = Channel(capacity)
        with going() as group:
            group.spawn(lambda: [channel.send(number) for number in range(100)])
            return [take(channel) for _ in range(100)]

    assert play(program) == [list(range(100))]


def four_to_four(capacity, amount):
    """What four greenlets receive of the same numbers sent by four others."""
    channel, got = Channel(capacity), Counter()
    with going() as group:
        for _ in range(4):
            group.spawn(lambda: [channel.send(number) for number in range(amount)])
            group.spawn(lambda: [got.update([channel.recv()]) for _ in range(amount)])
        group.join()
    return got


@capacities
def test_what_four_senders_send_four_receivers_receive(capacity):
    assert four_to_four(capacity, 400) == dict.fromkeys(range(400), 4)
    assert play(four_to_four, capacity, 20) == [dict.fromkeys(range(20), 4)]


@capacities
def test_a_channel_knows_its_length_and_its_capacity(capacity):
    empty, full = Channel(capacity), filled(capacity)
    assert (len(empty), empty.capacity) == (0, capacity)
    assert (len(full), full.capacity) == (capacity, capacity)


def test_a_channel_is_a_semaphore():
    def program():
        places, inside, numbers = Channel(3), [], []

        def visit(name):
            places.send(name)
            inside.append(name)
            numbers.append(len(inside))
            gevent.sleep(0)
            inside.remove(name)
            places.recv()

        with going() as group:
            for name in range(10):
                group.spawn(visit, name)
            group.join()
        assert (len(numbers), len(places)) == (10, 0)
        return max(numbers)

    assert max(play(program)) == 3


# Memory


class Reply:
    """An object that can be watched."""


@pytest.mark.parametrize("use_select", [False, True])
def test_what_was_sent_arrives_alive_and_is_freed_when_it_is_dropped(use_select):
    never, replies = Channel(), weakref.WeakSet()

    def answer(channel):
        reply = Reply()
        replies.add(reply)
        if use_select:
            select([channel.sending(reply), never.receiving()])
        else:
            channel.send(reply)

    def ask():
        for _ in range(20):
            channel = Channel()
            gevent.spawn(answer, channel)
            reply = channel.recv()
            gevent.sleep(0)
            assert type(reply) is Reply

    gc.disable()
    try:
        for asker in [gevent.spawn(ask) for _ in range(10)]:
            asker.get()
        gevent.sleep(0)
        assert len(replies) == 0 and "receivers=0" in repr(never)
    finally:
        gc.enable()


def test_a_collection_of_garbage_harms_no_value_on_its_way():
    channel = Channel()
    with going() as group:
        group.spawn(lambda: [channel.send([number]) for number in range(10)])
        for number in range(10):
            gevent.sleep(0)  # the sender is in the middle of its send
            gc.collect()
            assert channel.recv() == [number]
        receiver = group.spawn(select, [channel.receiving(), Channel().sending(1)])
        gevent.sleep(0)
        gc.collect()
        channel.send(["last"])
        assert receiver.get() == (0, ["last"], True)
