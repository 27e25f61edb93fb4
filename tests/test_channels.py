"""Channels, one by one; what must hold for any order of events is in test_channel_laws."""

import gc
import math
import weakref

import gevent
import pytest
from gevent import GreenletExit
from gevent.monkey import get_original

from gowork.channels import Channel, seed, seeded, select
from gowork.errors import Cancelled, ChannelClosed, ChannelTimeout, StateError, WouldBlock

start_thread = get_original("_thread", "start_new_thread")
block_the_loop = get_original("time", "sleep")
SOON = 0.01
LONG = 10


def starting(function, *args, **kwargs):
    """A greenlet that is about to call *function*; errors are its value."""

    def call():
        try:
            return function(*args, **kwargs)
        except BaseException as error:
            return error

    return gevent.spawn(call)


def waiting(function, *args, **kwargs):
    """A greenlet that has called *function* and waits in it; errors are its value."""
    greenlet = starting(function, *args, **kwargs)
    gevent.sleep(0)
    return greenlet


def end_of(greenlet):
    greenlet.join()
    return greenlet.value


# One value, no trouble


def test_an_unbuffered_send_waits_for_its_receiver():
    channel = Channel()
    sender = waiting(channel.send, "a")
    assert not sender.dead and len(channel) == 0
    assert channel.recv() == "a"
    assert end_of(sender) is None


def test_a_receiver_waits_for_its_sender_which_goes_on_at_once():
    channel = Channel()
    receiver = waiting(channel.recv)
    channel.send("a", timeout=0)
    assert end_of(receiver) == "a"


def test_a_buffered_channel_keeps_as_many_values_as_its_capacity():
    channel = Channel(2)
    channel.send(1)
    channel.send(2)
    with pytest.raises(WouldBlock):
        channel.send_nowait(3)
    assert (len(channel), channel.recv(), channel.recv()) == (2, 1, 2)


def test_a_channel_without_bound_takes_whatever_comes():
    channel = Channel(math.inf)
    for number in range(1000):
        channel.send_nowait(number)
    assert channel.capacity == math.inf and len(channel) == 1000


def test_values_and_waiters_are_served_in_the_order_they_came():
    channel = Channel(1)
    senders = [waiting(channel.send, number) for number in range(5)]
    assert [channel.recv() for _ in senders] == [0, 1, 2, 3, 4]
    receivers = [waiting(channel.recv) for _ in range(5)]
    for number in range(5):
        channel.send(number)
    assert [end_of(receiver) for receiver in receivers] == [0, 1, 2, 3, 4]


def test_a_later_sender_does_not_overtake_one_whose_turn_has_come():
    channel = Channel(1)
    channel.send(1)
    sender = waiting(channel.send, 2)
    assert channel.recv() == 1
    with pytest.raises(WouldBlock):
        channel.send_nowait(3)
    assert channel.recv() == 2
    assert end_of(sender) is None


def test_a_receive_makes_room_for_the_sender_that_waits():
    channel = Channel(1)
    channel.send(1)
    senders = [waiting(channel.send, 2), waiting(channel.send, 3)]
    assert channel.recv() == 1
    assert end_of(senders[0]) is None
    assert (len(channel), senders[1].dead) == (1, False)
    channel.close()
    assert isinstance(end_of(senders[1]), ChannelClosed)


def test_a_receive_that_may_not_wait_takes_from_waiting_senders():
    channel = Channel(1)
    senders = [waiting(channel.send, number) for number in range(3)]
    assert [channel.recv_nowait() for _ in range(3)] == [0, 1, 2]
    with pytest.raises(WouldBlock):
        channel.recv_nowait()
    assert [end_of(sender) for sender in senders] == [None] * 3


def test_a_receive_that_may_not_wait_leaves_the_value_that_is_due_to_another():
    channel = Channel()
    senders = [waiting(channel.send, number) for number in range(2)]
    receiver = gevent.spawn(channel.recv)
    stolen = []
    thief = gevent.spawn(lambda: stolen.append(channel.recv_nowait()))
    gevent.joinall([receiver, thief, *senders])
    assert (receiver.value, stolen) == (0, [1])


def test_none_is_a_value_like_any_other():
    channel = Channel(1)
    channel.send(None)
    assert channel.recv() is None
    channel.send(None)
    assert select([channel.receiving()]) == (0, None, True)


def test_iteration_ends_when_the_channel_is_closed_and_drained():
    channel = Channel(3)
    for number in range(3):
        channel.send(number)
    reader = waiting(list, channel)
    channel.close()
    assert end_of(reader) == [0, 1, 2]


# What is refused


@pytest.mark.parametrize("capacity", [True, 1.5, "1", None, math.nan, -math.inf])
def test_a_capacity_that_is_no_number_of_values_is_refused(capacity):
    with pytest.raises(TypeError):
        Channel(capacity)


def test_a_negative_capacity_is_refused():
    with pytest.raises(ValueError, match="negative"):
        Channel(-1)


@pytest.mark.parametrize("timeout", [-1, math.nan, -math.inf])
def test_a_timeout_that_is_no_time_is_refused(timeout):
    channel = Channel(1)
    for call in (lambda t: channel.send(1, t), channel.recv, lambda t: select([], t)):
        with pytest.raises(ValueError, match="timeout"):
            call(timeout)
    assert len(channel) == 0


def test_a_select_refuses_what_no_channel_made():
    with pytest.raises(TypeError, match="receiving"):
        select([Channel()])


def test_a_blocking_call_in_the_hub_fails_and_leaves_nothing():
    channel, errors = Channel(), []

    def call():
        try:
            channel.recv()
        except BaseException as error:
            errors.append(error)

    gevent.get_hub().loop.run_callback(call)
    gevent.sleep(0)
    assert len(errors) == 1 and "receivers=0" in repr(channel)


def test_what_never_blocks_may_be_called_in_the_hub():
    channel = Channel(1)
    run = gevent.get_hub().loop.run_callback
    run(channel.send_nowait, 1)
    receiver, ends = waiting(channel.recv), waiting(channel.recv)
    run(channel.close)
    assert end_of(receiver) == 1
    assert isinstance(end_of(ends), ChannelClosed)


# Time


def test_a_receive_that_is_too_late_is_a_timeout_and_leaves_the_queue():
    channel = Channel()
    with pytest.raises(ChannelTimeout) as caught:
        channel.recv(timeout=SOON)
    assert isinstance(caught.value, TimeoutError)
    with pytest.raises(WouldBlock):
        channel.send_nowait(1)


def test_a_send_that_is_too_late_keeps_its_value():
    channel = Channel()
    with pytest.raises(ChannelTimeout):
        channel.send(1, timeout=SOON)
    with pytest.raises(WouldBlock):
        channel.recv_nowait()


@pytest.mark.parametrize("timeout", [0, 0.0])
def test_a_timeout_of_zero_tries_once_without_a_switch(timeout):
    channel, others = Channel(), []
    other = gevent.spawn(others.append, 1)
    with pytest.raises(ChannelTimeout):
        channel.recv(timeout)
    with pytest.raises(ChannelTimeout):
        channel.send(1, timeout)
    assert select([channel.receiving()], timeout) == (None, None, False)
    assert others == []
    other.join()


def test_an_infinite_timeout_waits_as_long_as_none():
    channel = Channel()
    receiver = waiting(channel.recv, math.inf)
    channel.send(1)
    assert end_of(receiver) == 1


def test_a_value_that_came_before_the_deadline_was_noticed_is_received():
    channel = Channel()
    receiver = waiting(channel.recv, SOON)
    block_the_loop(2 * SOON)
    channel.send(1)
    assert end_of(receiver) == 1 and len(channel) == 0


def test_the_users_own_timeout_goes_through_as_it_is():
    channel = Channel()
    with pytest.raises(gevent.Timeout) as caught, gevent.Timeout(SOON) as mine:
        channel.recv(timeout=LONG)
    assert caught.value is mine


# Closing


def test_closing_lets_the_values_inside_be_received_and_none_be_sent():
    channel = Channel(2)
    channel.send(1)
    channel.close()
    with pytest.raises(ChannelClosed):
        channel.send(2)
    with pytest.raises(ChannelClosed):
        channel.send_nowait(2)
    assert channel.recv() == 1
    for receive in (channel.recv, channel.recv_nowait):
        with pytest.raises(ChannelClosed):
            receive()


def test_closing_wakes_every_waiter_and_senders_keep_their_values():
    empty, full = Channel(), Channel()
    waiters = [waiting(empty.recv) for _ in range(3)]
    waiters += [waiting(full.send, number) for number in range(3)]
    empty.close()
    full.close()
    assert [type(end_of(waiter)) for waiter in waiters] == [ChannelClosed] * 6
    assert list(full) == []


def test_closing_twice_is_a_mistake_but_not_for_a_channel_of_a_job():
    channel = Channel()
    channel.close()
    with pytest.raises(ChannelClosed):
        channel.close()
    channel._owned = True
    channel.close()
    channel._close_now()
    assert channel.closed


def test_a_close_in_the_pass_of_the_meeting_takes_nothing_back():
    channel = Channel()
    sender = waiting(channel.send, 1)
    receiver, closer = starting(channel.recv), starting(channel.close)
    # The value is taken before the close, although the sender goes on only after it.
    assert end_of(receiver) == 1
    assert (end_of(closer), end_of(sender)) == (None, None)


def test_a_close_after_the_handing_over_takes_nothing_back():
    channel = Channel()
    receiver = waiting(channel.recv)
    channel.send(1)
    channel.close()
    assert end_of(receiver) == 1


# Kills


def test_a_value_that_was_handed_to_a_killed_receiver_goes_back_to_the_front():
    channel = Channel(1)
    receiver = waiting(channel.recv)
    receiver.kill(block=False)
    channel.send("first")
    channel.send("second")
    assert isinstance(end_of(receiver), GreenletExit)
    assert channel.recv() == "first"
    assert list_now(channel) == ["second"]


def list_now(channel):
    return [channel.recv_nowait() for _ in range(len(channel))]


def test_an_unbuffered_channel_keeps_the_value_of_a_killed_receiver():
    channel = Channel()
    receiver = waiting(channel.recv)
    receiver.kill(block=False)
    channel.send(1)
    assert isinstance(end_of(receiver), GreenletExit)
    assert len(channel) == 1
    assert channel.recv(timeout=0) == 1


def test_values_of_several_killed_receivers_keep_their_order():
    channel = Channel(3)
    receivers = [waiting(channel.recv) for _ in range(3)]
    for receiver in receivers:
        receiver.kill(block=False)
    for number in range(4):
        channel.send(number)
    gevent.joinall(receivers)
    assert list_now(channel) == [0, 1, 2, 3]


def test_the_value_of_a_killed_receiver_goes_to_the_next_one_that_waits():
    channel = Channel()
    first, second = waiting(channel.recv), waiting(channel.recv)
    first.kill(block=False)
    channel.send(1)
    assert end_of(second) == 1
    assert isinstance(end_of(first), GreenletExit)


def test_a_receiver_that_is_killed_after_its_value_came_has_it():
    channel, got = Channel(), []

    def receive():
        got.append(channel.recv())
        channel.recv()

    receiver = waiting(receive)
    channel.send(1)
    receiver.kill()
    assert got == [1] and len(channel) == 0


def test_the_value_of_a_killed_receiver_survives_the_close():
    channel = Channel()
    receiver = waiting(channel.recv)
    receiver.kill(block=False)
    channel.send(1)
    channel.close()
    receiver.join()
    assert list(channel) == [1]


def test_a_killed_sender_keeps_its_value():
    channel = Channel()
    sender = waiting(channel.send, 1)
    sender.kill()
    with pytest.raises(ChannelTimeout):
        channel.recv(timeout=SOON)
    assert isinstance(end_of(sender), GreenletExit)


def test_a_sender_whose_value_is_taken_before_the_kill_arrives_has_sent():
    channel, sent = Channel(), []

    def send():
        channel.send(1)
        sent.append(1)
        channel.send(2)

    sender = waiting(send)
    sender.kill(block=False)
    assert channel.recv() == 1
    assert isinstance(end_of(sender), GreenletExit)
    assert sent == [1]
    with pytest.raises(WouldBlock):
        channel.recv_nowait()


def test_a_killed_sender_stands_in_nobodys_way():
    channel = Channel()
    first, second = waiting(channel.send, 1), waiting(channel.send, 2)
    first.kill()
    assert channel.recv() == 2
    assert isinstance(end_of(first), GreenletExit)
    assert end_of(second) is None


def test_a_sender_that_is_killed_after_it_has_handed_over_has_sent():
    channel, sent = Channel(), []

    def send():
        channel.send(1)
        sent.append(1)
        channel.send(2)

    sender = waiting(send)
    assert channel.recv() == 1
    sender.kill()
    assert sent == [1]
    with pytest.raises(WouldBlock):
        channel.recv_nowait()


def test_a_killed_sender_gets_no_place():
    channel = Channel(1)
    channel.send(0)
    first, second = waiting(channel.send, 1), waiting(channel.send, 2)
    first.kill()
    assert channel.recv() == 0
    assert end_of(second) is None
    assert isinstance(end_of(first), GreenletExit)
    assert channel.recv_nowait() == 2


def test_a_foreign_exception_goes_through_as_it_is():
    channel, error = Channel(), ValueError("mine")
    waiters = [waiting(channel.recv), waiting(Channel().send, 1), waiting(select, [])]
    for waiter in waiters:
        waiter.kill(error)
    assert [waiter.value for waiter in waiters] == [error] * 3
    assert "receivers=0" in repr(channel)


class StoppedTask:
    """As much of a task as a checkpoint asks for."""

    def _checkpoint(self):
        raise Cancelled("enough")


def test_a_task_that_must_stop_is_stopped_before_it_does_anything():
    channel = Channel(1)
    calls = [lambda: channel.send(1), channel.recv, lambda: select([channel.sending(1)])]
    calls.append(lambda: list(channel))

    def run(call):
        gevent.getcurrent().gowork_task = StoppedTask()
        call()

    assert [type(end_of(waiting(run, call))) for call in calls] == [Cancelled] * 4
    assert len(channel) == 0


# Select


def test_a_select_does_exactly_one_of_its_cases():
    one, two = Channel(1), Channel(1)
    one.send("a")
    two.send("b")
    index, value, ok = select([one.receiving(), None, two.receiving()])
    assert (index, value, ok) in [(0, "a", True), (2, "b", True)]
    assert len(one) + len(two) == 1


def test_a_select_waits_until_one_case_can_proceed_and_leaves_the_others():
    one, two, three = Channel(), Channel(), Channel()
    chooser = waiting(select, [one.receiving(), two.sending("v"), three.receiving()])
    assert two.recv() == "v"
    assert end_of(chooser) == (1, None, True)
    for channel in (one, three):
        with pytest.raises(WouldBlock):
            channel.send_nowait(1)


def test_a_select_without_a_case_that_fires_waits_until_its_time_is_over():
    assert select([None, None], timeout=SOON) == (None, None, False)
    assert select([], timeout=SOON) == (None, None, False)


def test_a_select_whose_turn_has_come_on_one_channel_does_not_take_anothers_on_the_next():
    one, two = Channel(), Channel()
    sender = waiting(one.send, "sender's")
    chooser = waiting(select, [one.sending("never"), two.sending("chooser's")])
    receivers = [starting(two.recv), starting(one.recv)]
    assert [end_of(receiver) for receiver in receivers] == ["chooser's", "sender's"]
    assert (end_of(chooser), end_of(sender)) == ((1, None, True), None)


def test_two_selects_that_face_each_other_meet():
    there, back = Channel(), Channel()
    for _ in range(20):
        one = waiting(select, [there.sending(1), back.receiving()])
        two = waiting(select, [there.receiving(), back.sending(2)])
        ends = (end_of(one), end_of(two))
        assert ends in [((0, None, True), (0, 1, True)), ((1, 2, True), (1, None, True))]


def test_the_same_channel_may_stand_in_several_cases():
    channel = Channel()
    chooser = waiting(select, [channel.receiving(), channel.receiving()])
    channel.send(1)
    assert end_of(chooser) in [(0, 1, True), (1, 1, True)]
    chooser = waiting(select, [channel.sending(1), channel.sending(2)])
    assert channel.recv() in (1, 2)
    assert end_of(chooser)[2]


def test_a_select_on_both_ends_of_a_channel_does_not_meet_itself():
    channel = Channel()
    cases = [channel.sending("mine"), channel.receiving()]
    chooser = waiting(select, cases)
    assert not chooser.dead
    channel.send_nowait("yours")
    assert end_of(chooser) == (1, "yours", True)
    chooser = waiting(select, cases)
    assert channel.recv() == "mine"
    assert end_of(chooser) == (0, None, True)


def test_two_selects_on_both_ends_of_a_channel_meet():
    channel = Channel()
    choosers = [waiting(select, [channel.sending(n), channel.receiving()]) for n in (1, 2)]
    ends = [end_of(chooser) for chooser in choosers]
    assert sorted(end[0] for end in ends) == [0, 1]


@pytest.mark.parametrize("ready", ["kept", "offered", "mixed"])
def test_a_select_is_fair_among_cases_that_are_ready(ready):
    channels = [Channel(1), Channel(1)] if ready == "kept" else [Channel(), Channel(1)]
    channels[1] = Channel() if ready == "offered" else channels[1]
    seed(7)
    chosen = []
    for _ in range(60):
        senders = [waiting(channel.send, 1) for channel in channels]
        index, _, _ = select([channel.receiving() for channel in channels])
        chosen.append(index)
        channels[1 - index].recv()
        gevent.joinall(senders)
    seed()
    assert 15 < sum(chosen) < 45


def test_the_choices_of_a_select_can_be_repeated():
    def choices():
        seed(3)
        channel = Channel(math.inf)
        return [select([channel.sending(0), channel.sending(0)])[0] for _ in range(30)]

    first = choices()
    assert first == choices()
    seed()
    assert set(first) == {0, 1}


def test_a_receive_case_of_a_closed_channel_is_ready_and_not_ok():
    channel = Channel(1)
    channel.send(None)
    channel.close()
    assert select([channel.receiving()]) == (0, None, True)
    assert select([channel.receiving()]) == (0, None, False)


def test_a_send_case_of_a_closed_channel_raises():
    channel = Channel(1)
    channel.close()
    with pytest.raises(ChannelClosed):
        select([channel.sending(1)])


def test_closing_wakes_a_select():
    receiving, sending = Channel(), Channel()
    chooser = waiting(select, [None, receiving.receiving()])
    sender = waiting(select, [sending.sending(1), None])
    receiving.close()
    sending.close()
    assert end_of(chooser) == (1, None, False)
    assert isinstance(end_of(sender), ChannelClosed)


def test_a_value_that_was_handed_to_a_killed_select_goes_back():
    one, two = Channel(), Channel()
    chooser = waiting(select, [one.receiving(), two.sending(2)])
    chooser.kill(block=False)
    one.send(1)
    with pytest.raises(ChannelTimeout):
        two.recv(timeout=SOON)
    assert isinstance(end_of(chooser), GreenletExit)
    assert one.recv_nowait() == 1


def test_a_select_takes_what_a_sender_has_that_is_being_killed_and_that_one_knows():
    def play():
        dying, ready = Channel(), Channel(1)
        ready.send(1)
        sender = waiting(dying.send, 2)
        sender.kill(block=False)
        index, value, _ = select([dying.receiving(), ready.receiving()], timeout=LONG)
        assert end_of(sender) is None if value == 2 else isinstance(end_of(sender), GreenletExit)
        return index

    with seeded(1):
        chosen = {play() for _ in range(10)}
    assert chosen == {0, 1}


# Threads


def in_thread(function, *args):
    """Call *function* in a native thread; the channel returned tells how it ended."""
    ends = Channel(1)
    hub = gevent.get_hub()
    with pytest.raises(WouldBlock):
        ends.recv_nowait()

    def call():
        try:
            end = function(*args)
        except BaseException as error:
            end = error
        hub.loop.run_callback_threadsafe(ends.send_nowait, end)

    start_thread(call, ())
    return ends


def test_a_thread_sends_and_goes_on_when_the_value_is_accepted():
    channel = Channel()
    with pytest.raises(WouldBlock):
        channel.recv_nowait()
    end = in_thread(channel.send_threadsafe, 1)
    assert channel.recv(timeout=LONG) == 1
    assert end.recv(timeout=LONG) is None


def test_closing_wakes_the_threads_that_send():
    channel = Channel(1)
    channel.send(0)
    end = in_thread(channel.send_threadsafe, 1)
    with pytest.raises(ChannelTimeout):
        end.recv(timeout=SOON)
    channel.close()
    assert isinstance(end.recv(timeout=LONG), ChannelClosed)


def test_a_thread_cannot_send_to_a_channel_without_a_hub():
    with pytest.raises(StateError, match="first"):
        Channel().send_threadsafe(1)


def test_the_thread_of_the_channel_cannot_wait_for_itself():
    channel = Channel(1)
    channel.send(1)
    with pytest.raises(StateError, match="send"):
        channel.send_threadsafe(1)


def test_another_thread_may_use_nothing_else():
    channel = Channel(1)
    channel.send(1)
    calls = [channel.recv, channel.recv_nowait, channel.close, lambda: channel.send(1, 0)]
    calls.append(lambda: select([channel.receiving()]))
    for call in calls:
        error = in_thread(call).recv(timeout=LONG)
        assert isinstance(error, StateError) and "send_threadsafe" in str(error)
    assert len(channel) == 1


def test_many_threads_lose_nothing():
    channel, got = Channel(), []
    with pytest.raises(WouldBlock):
        channel.recv_nowait()

    def send_ten(base):
        for number in range(10):
            channel.send_threadsafe(base + number)

    ends = [in_thread(send_ten, 10 * thread) for thread in range(5)]
    for _ in range(50):
        got.append(channel.recv(timeout=LONG))
    assert sorted(got) == list(range(50))
    assert [end.recv(timeout=LONG) for end in ends] == [None] * 5


# Being an object


def test_an_empty_channel_is_true_and_has_no_length():
    channel = Channel()
    assert channel and len(channel) == 0


def test_a_channel_tells_what_it_holds_and_who_waits():
    channel = Channel(1, name="pictures")
    channel.send(1)
    sender = waiting(channel.send, 2)
    assert repr(channel) == "<Channel pictures capacity=1 len=1 open senders=1 receivers=0>"
    channel.close()
    assert repr(channel) == "<Channel pictures capacity=1 len=1 closed senders=0 receivers=0>"
    sender.join()


def test_a_channel_and_its_values_are_freed_without_the_collector():
    class Thing:
        pass

    gc.disable()
    try:
        channel, thing = Channel[Thing](), Thing()
        sender = waiting(channel.send, thing)
        assert channel.recv() is thing
        sender.join()
        references = weakref.ref(channel), weakref.ref(thing)
        del channel, thing, sender
        assert [reference() for reference in references] == [None, None]
    finally:
        gc.enable()


def test_ten_thousand_waiters_are_served_in_good_time():
    channel = Channel()
    senders = [gevent.spawn(channel.send, number) for number in range(10_000)]
    gevent.sleep(0)
    receivers = [gevent.spawn(channel.recv) for _ in senders]
    gevent.joinall(senders + receivers)
    assert [receiver.value for receiver in receivers] == list(range(10_000))
