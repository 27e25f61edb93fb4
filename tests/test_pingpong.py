"""Ping/pong: the sender learns what has become of its data."""

import gc
import math
import weakref

import gevent
import pytest
from gevent import GreenletExit
from gevent.monkey import get_original

from gowork.channels import Channel
from gowork.errors import (
    Cancelled,
    ChannelClosed,
    ChannelTimeout,
    GoworkError,
    NotAcknowledged,
    StateError,
)
from gowork.pingpong import PingPong

start_thread = get_original("_thread", "start_new_thread")
SOON = 0.01
LONG = 10


def waiting(function, *args, **kwargs):
    """A greenlet that has called *function* and waits in it; errors are its value."""

    def call():
        try:
            return function(*args, **kwargs)
        except BaseException as error:
            return error

    greenlet = gevent.spawn(call)
    for _ in range(3):
        gevent.sleep(0)
    return greenlet


def end_of(greenlet):
    greenlet.join()
    return greenlet.value


@pytest.mark.parametrize("capacity", [0, 1, math.inf])
def test_a_send_returns_when_the_data_has_been_processed(capacity):
    pingpong = PingPong(capacity)
    sender = waiting(pingpong.send, "data")
    with pingpong.recv() as data:
        gevent.sleep(0)
        assert (data, sender.dead) == ("data", False)
    assert end_of(sender) is None


def test_the_two_steps_of_the_seed_do_the_same():
    pingpong = PingPong()
    sender = waiting(pingpong.send, "data")
    ping = pingpong.recv()
    gevent.sleep(0)
    assert (ping.value, sender.dead) == ("data", False)
    ping.ack()
    assert end_of(sender) is None


def test_a_second_answer_means_nothing():
    pingpong = PingPong()
    sender = waiting(pingpong.send, "data")
    ping = pingpong.recv()
    ping.ack()
    ping.ack()
    with pytest.raises(ValueError, match="late"), ping:
        raise ValueError("late")
    assert end_of(sender) is None


def test_each_sender_gets_the_answer_to_its_own_data():
    pingpong = PingPong(3)
    senders = [waiting(pingpong.send, number) for number in range(3)]
    pings = [pingpong.recv() for _ in senders]
    for number in (1, 2, 0):
        pings[number].ack()
        senders[number].join()
        assert [sender.dead for sender in senders].count(True) == {1: 1, 2: 2, 0: 3}[number]


def test_leaving_the_block_by_an_exception_tells_the_sender_why():
    pingpong, error = PingPong(), ValueError("no")
    sender = waiting(pingpong.send, "data")
    with pytest.raises(ValueError, match="no") as caught, pingpong.recv():
        raise error
    answer = end_of(sender)
    assert caught.value is error
    assert isinstance(answer, NotAcknowledged)
    assert answer.reason is error


def test_a_receiver_killed_in_its_block_tells_the_sender():
    pingpong = PingPong()

    def process():
        with pingpong.recv():
            gevent.sleep(LONG)

    receiver = waiting(process)
    sender = waiting(pingpong.send, "data")
    receiver.kill()
    answer = end_of(sender)
    assert isinstance(answer, NotAcknowledged)
    assert isinstance(answer.reason, GreenletExit)


def test_the_end_of_the_receiver_without_an_answer_is_an_answer():
    pingpong = PingPong()
    receiver = waiting(pingpong.recv)
    answer = end_of(waiting(pingpong.send, "data"))
    assert isinstance(answer, NotAcknowledged)
    assert "ended" in str(answer.reason)
    end_of(receiver).ack()


def test_the_death_of_the_receiver_carries_its_reason():
    pingpong = PingPong()

    def process():
        pingpong.recv()
        gevent.sleep(LONG)

    receiver = gevent.spawn(process)
    sender = waiting(pingpong.send, "data")
    receiver.kill(Cancelled("enough"))
    answer = end_of(sender)
    assert isinstance(answer.reason, Cancelled)


def test_data_handed_to_a_receiver_that_is_being_killed_goes_to_the_next():
    pingpong = PingPong()
    first, second = gevent.spawn(pingpong.recv), gevent.spawn(process_all, pingpong, 1)
    gevent.sleep(0)
    first.kill(block=False)
    pingpong.send("data", timeout=LONG)
    assert end_of(second) == ["data"]


def process_all(pingpong, count):
    got = []
    for _ in range(count):
        with pingpong.recv() as data:
            got.append(data)
    return got


def test_an_answered_receiver_may_die_in_peace():
    pingpong = PingPong()
    receivers = [waiting(process_all, pingpong, 1) for _ in range(3)]
    for number in range(3):
        pingpong.send(number)
    assert [end_of(receiver) for receiver in receivers] == [[0], [1], [2]]


def test_a_receiver_that_lives_on_keeps_nothing_of_what_it_has_answered():
    class Data:
        pass

    def process():
        for ping in pingpong:
            ping.ack()
            del ping

    pingpong, data = PingPong(), Data()
    reference = weakref.ref(data)
    receiver = waiting(process)
    gc.disable()
    try:
        pingpong.send(data)
        del data
        freed = reference() is None
    finally:
        gc.enable()
    pingpong.close()
    receiver.join()
    assert freed


def test_iteration_gives_what_is_to_be_acknowledged_until_the_close():
    pingpong, got = PingPong(), []

    def process():
        for ping in pingpong:
            with ping as data:
                got.append(data)

    receiver = waiting(process)
    for number in range(3):
        pingpong.send(number)
    pingpong.close()
    assert end_of(receiver) is None
    assert got == [0, 1, 2]


# A sender that gives up


@pytest.mark.parametrize("capacity", [0, 1])
@pytest.mark.parametrize("timeout", [0, SOON])
def test_data_that_nobody_received_in_time_is_never_received(capacity, timeout):
    pingpong = PingPong(capacity)
    with pytest.raises(ChannelTimeout):
        pingpong.send("data", timeout)
    assert len(pingpong) == 0
    with pytest.raises(ChannelTimeout):
        pingpong.recv(timeout=0)


def test_a_timeout_while_the_data_is_being_processed_says_so():
    pingpong = PingPong()
    receiver = waiting(lambda: (pingpong.recv(), gevent.sleep(5 * SOON)))
    with pytest.raises(ChannelTimeout, match="was received but not acknowledged"):
        pingpong.send("data", timeout=SOON)
    receiver.join()


@pytest.mark.parametrize("capacity", [0, 1])
def test_data_of_a_killed_sender_is_never_received(capacity):
    pingpong = PingPong(capacity)
    sender = waiting(pingpong.send, "data")
    sender.kill()
    assert len(pingpong) == 0
    with pytest.raises(ChannelTimeout):
        pingpong.recv(timeout=SOON)


def test_a_sender_that_gives_up_while_its_data_is_under_way_takes_it_along():
    pingpong = PingPong()
    receiver = waiting(process_all, pingpong, 1)
    with pytest.raises(ChannelTimeout):
        pingpong.send("early", timeout=0)
    pingpong.send("late", timeout=LONG)
    assert end_of(receiver) == ["late"]


def test_senders_that_give_up_do_not_put_off_the_deadline_of_a_receiver():
    pingpong = PingPong()
    receiver = waiting(pingpong.recv, 3 * SOON)
    for _ in range(50):
        if receiver.dead:
            break
        with pytest.raises(ChannelTimeout):
            pingpong.send("data", timeout=0)
        gevent.sleep(SOON)
    assert receiver.dead
    assert isinstance(end_of(receiver), ChannelTimeout)


def test_the_place_of_a_sender_that_gave_up_is_free_again():
    pingpong = PingPong(1)
    first, second = waiting(pingpong.send, 1), waiting(pingpong.send, 2)
    first.kill()
    gevent.sleep(0)
    assert len(pingpong) == 1
    assert process_all(pingpong, 1) == [2]
    assert end_of(second) is None


def test_an_answer_to_a_sender_that_has_gone_is_no_error():
    pingpong = PingPong()
    sender = waiting(pingpong.send, "data")
    with pingpong.recv():
        sender.kill()
    assert isinstance(end_of(sender), GreenletExit)


def test_the_users_own_timeout_goes_through_as_it_is():
    pingpong = PingPong()
    with pytest.raises(gevent.Timeout) as caught, gevent.Timeout(SOON) as mine:
        pingpong.send("data", timeout=LONG)
    assert caught.value is mine


# Closing


@pytest.mark.parametrize("capacity", [0, 1])
def test_closing_wakes_the_senders_whose_data_nobody_received(capacity):
    pingpong = PingPong(capacity)
    senders = [waiting(pingpong.send, number) for number in range(2)]
    pingpong.close()
    assert [type(end_of(sender)) for sender in senders] == [ChannelClosed] * 2
    assert len(pingpong) == 0


def test_closing_wakes_the_receivers():
    pingpong = PingPong()
    receivers = [waiting(pingpong.recv) for _ in range(2)]
    pingpong.close()
    assert [type(end_of(receiver)) for receiver in receivers] == [ChannelClosed] * 2


def test_what_was_received_before_the_close_can_still_be_acknowledged():
    pingpong = PingPong()
    sender = waiting(pingpong.send, "data")
    with pingpong.recv():
        pingpong.close()
        gevent.sleep(0)
        assert not sender.dead
    assert end_of(sender) is None


def test_a_receiver_that_dies_with_data_under_way_in_the_pass_of_the_close_loses_nothing():
    pingpong = PingPong()
    receiver = gevent.spawn(pingpong.recv)
    gevent.sleep(0)
    receiver.kill(block=False)
    gevent.spawn(pingpong.close)
    with pytest.raises(ChannelClosed):
        pingpong.send("data", timeout=LONG)
    assert isinstance(end_of(receiver), GreenletExit)


def test_closing_twice_is_a_mistake_but_not_for_one_of_a_job():
    pingpong = PingPong()
    pingpong.close()
    with pytest.raises(ChannelClosed):
        pingpong.close()
    pingpong._owned = True
    pingpong.close()
    pingpong._close_now()
    assert pingpong.closed


# Threads, and being an object


def test_a_thread_sends_and_goes_on_when_its_data_has_been_processed():
    pingpong, ends = PingPong(), Channel(1)
    loop = gevent.get_hub().loop
    receiver = waiting(process_all, pingpong, 1)
    with pytest.raises(GoworkError):
        ends.recv_nowait()

    def send():
        pingpong.send_threadsafe("data")
        loop.run_callback_threadsafe(ends.send_nowait, "sent")

    start_thread(send, ())
    assert ends.recv(timeout=LONG) == "sent"
    assert end_of(receiver) == ["data"]


def test_the_thread_of_its_hub_cannot_wait_for_itself():
    pingpong = PingPong()
    with pytest.raises(ChannelTimeout):
        pingpong.recv(timeout=0)
    with pytest.raises(StateError):
        pingpong.send_threadsafe("data")


@pytest.mark.parametrize(("capacity", "error"), [(-1, ValueError), (True, TypeError)])
def test_a_wrong_capacity_is_refused(capacity, error):
    with pytest.raises(error):
        PingPong(capacity)


def test_it_tells_what_it_holds_and_who_waits():
    pingpong = PingPong(2, name="jobs")
    sender = waiting(pingpong.send, 1)
    assert repr(pingpong) == "<PingPong jobs capacity=2 len=1 open senders=0 receivers=0>"
    assert (pingpong.name, pingpong.capacity, pingpong.closed) == ("jobs", 2, False)
    assert PingPong()
    with pingpong.recv():
        pass
    sender.join()
