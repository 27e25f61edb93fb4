"""What comes too late to stop a send: the send returns, and it comes later, once, or not at all."""

import gc
import weakref

import gevent
import greenlet
import pytest
from gevent import GreenletExit, Timeout
from gevent.event import Event
from gevent.pool import Group, Pool
from latecomers import LONG, Late, Story, in_the_hub, living, rest
from makers import in_a_thread, passes, routines

from gowork import Job, PingPong, TaskState
from gowork.channels import Channel, select
from gowork.errors import Cancelled, ChannelTimeout
from gowork.postponing import postponed
from gowork.testing import explore


@pytest.fixture(autouse=True)
def nothing_stays_postponed():
    yield
    gevent.sleep(0)
    assert not postponed


def by_send(channel, value):
    channel.send(value)


def by_select(channel, value):
    select([Channel().receiving(), channel.sending(value), None])


def by_pingpong(pingpong, value):
    pingpong.send(value)


SENDS = {
    "send": (Channel, by_send),
    "select": (Channel, by_select),
    "ping": (PingPong, by_pingpong),
}


def receive(pipe):
    """Take the value, and acknowledge it, without waiting."""
    value = pipe.recv(0)
    if isinstance(pipe, PingPong):
        value.ack()


# A kill, and whatever else is thrown


WAITS = {
    "in a sleep": lambda: gevent.sleep(1),
    "for an event": lambda: Event().wait(1),
    "to receive": lambda: Channel().recv(1),
    "to send": lambda: Channel().send("another", 1),
    "for an answer": lambda: PingPong().send("another", 1),
    "in a select": lambda: select([None], 1),
}
THROWN = {
    "a kill": GreenletExit,
    "an exception": Late(),
    "a class": Late,
    "a timeout by hand": Timeout(),
    "an exit": SystemExit(),
}


def colliding(make, send, wait, thrown):
    """A receipt and a kill at one moment: how the sender fares, and whether there was a value."""
    pipe, story, received = make(), Story(), Story()

    def live():
        story.step("sent", send, pipe, "value")
        story.step("waited", wait)
        story.step("rested", rest)

    sender = gevent.spawn(live)
    gevent.spawn_later(1, received.step, "received", receive, pipe)
    gevent.spawn_later(1, sender.kill, thrown, block=False)
    gevent.sleep(3 * LONG)
    return tuple(story), received == ["received"]


@pytest.mark.parametrize("wait", WAITS.values(), ids=list(WAITS))
@pytest.mark.parametrize(("make", "send"), SENDS.values(), ids=list(SENDS))
def test_a_kill_that_is_late_comes_at_the_next_wait(make, send, wait):
    ends = set(explore(colliding, make, send, wait, Late).values)
    assert len(ends) == 2
    for story, received in ends:
        if received:
            assert story == ("sent", ("waited", Late), "rested")
        else:
            assert (story[0], story[2]) == (("sent", Late), "rested")
            assert story[1] != ("waited", Late)  # it came once


@pytest.mark.parametrize("thrown", THROWN.values(), ids=list(THROWN))
def test_whatever_is_thrown_comes_once(thrown):
    kind = thrown if isinstance(thrown, type) else type(thrown)
    ends = set(explore(colliding, Channel, by_send, lambda: gevent.sleep(1), thrown).values)
    assert ends == {
        (("sent", ("waited", kind), "rested"), True),
        ((("sent", kind), "waited", "rested"), False),
    }


def test_who_does_nothing_but_send_is_killed_however_often_that_is_late():
    channel, sent = Channel(), []

    def send():
        while True:
            channel.send("value")
            sent.append("value")

    def receive():
        while True:
            channel.recv()
            gevent.sleep(0)

    sender, receiver = living(send), living(receive)
    sender.kill(block=False)
    passes(20)
    assert sender.dead and len(sent) < 5
    receiver.kill()


def test_several_that_are_late_come_in_their_order():
    channel, story = Channel(), Story()

    def live():
        story.step("sent", channel.send, "value")
        for _ in range(4):
            story.step("waited", channel.recv, 0.001)

    sender = living(live)
    in_the_hub(channel.recv_nowait)
    for error in (Late, GreenletExit, ValueError):
        sender.kill(error, block=False)
    sender.join()
    thrown = [("waited", error) for error in (Late, GreenletExit, ValueError, ChannelTimeout)]
    assert story == ["sent", *thrown]


def killed_one_by_one(senders):
    for sender in senders:
        sender.kill()


def killed_as_a_group(senders):
    Group(senders).kill()


def killed_as_a_pool(senders):
    pool = Pool(3)
    for sender in senders:
        pool.add(sender)
    pool.kill()


@pytest.mark.parametrize("wait", [lambda: None, rest], ids=["no more", "once more"])
@pytest.mark.parametrize(
    "kill", [killed_one_by_one, gevent.killall, killed_as_a_group, killed_as_a_pool]
)
def test_who_kills_may_wait_for_the_end_of_a_sender_whose_kill_is_late(kill, wait):
    channel, story = Channel(), Story()

    def live(number):
        story.step("sent", channel.send, number)
        wait()

    senders = [living(live, number) for number in range(3)]
    in_the_hub(*[channel.recv_nowait] * 3)
    kill(senders)
    assert story == ["sent"] * 3
    assert all(sender.dead for sender in senders)


@pytest.mark.parametrize("waits", [0, 1])
def test_a_greenlet_without_gevents_methods_gets_it_too(waits):
    channel, story = Channel(), Story()

    def live():
        story.step("sent", channel.send, "value")
        for _ in range(waits):
            story.step("waited", gevent.sleep, LONG)

    sender = greenlet.greenlet(live, gevent.get_hub())
    in_the_hub(sender.switch)
    gevent.sleep(0)
    in_the_hub(channel.recv_nowait, lambda: sender.throw(Late))
    passes()
    assert story == ["sent", *[("waited", Late)] * waits] and sender.dead


@pytest.mark.hub_prints
@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_what_ends_the_program_comes_at_the_main_greenlets_next_wait(error):
    channel = Channel()

    def end():
        channel.recv_nowait()
        raise error

    in_the_hub(end)
    channel.send("value")
    with pytest.raises(error):
        gevent.sleep(LONG)


def test_a_task_that_is_cancelled_too_late_for_its_send_is_told_once():
    job, channel, story = Job(), Channel(), Story()

    def run(task):
        story.step("sent", channel.send, "value")
        story.step("sent again", channel.send, "another")
        story.step("cleaned up", gevent.sleep, 0.001)

    task = job.add_task(routines(None, run))
    job.run()
    gevent.sleep(0)
    in_the_hub(job.cancel, channel.recv_nowait)
    job.job_done_notify().wait()
    assert story == ["sent", ("sent again", Cancelled), "cleaned up"]
    assert task.state is TaskState.CANCELLED


def test_a_send_whose_hub_has_been_destroyed_returns_and_the_next_one_raises():
    story = Story()

    def live(channel):
        story.step("sent", channel.send, "value")
        story.step("waited", channel.send, "another")

    def thread():
        channel, sender = Channel(), greenlet.greenlet(live)
        in_the_hub(gevent.getcurrent().switch)
        sender.switch(channel)
        channel.recv_nowait()
        gevent.get_hub().destroy(destroy_loop=True)
        sender.throw(Late)

    in_a_thread(thread)
    assert story == ["sent", ("waited", Late)]


# Memory


@pytest.fixture
def no_collector():
    gc.collect()
    gc.disable()
    yield
    gc.enable()


class Value:
    """What can be referred to weakly."""


def send_and_wait(send, pipe, value):
    try:
        send(pipe, value)
        del value
        pipe.recv()
    except GreenletExit:
        pass  # kept by a dead greenlet, it would know all of this


@pytest.mark.parametrize("late", [False, True], ids=["in time", "late"])
@pytest.mark.parametrize(("make", "send"), SENDS.values(), ids=list(SENDS))
def test_nothing_of_a_killed_sender_waits_for_the_collector(no_collector, make, send, late):
    pipe, value = make(), Value()
    sender = living(send_and_wait, send, pipe, value)
    left = [weakref.ref(one) for one in (pipe, value, sender)]
    if late:
        in_the_hub(lambda pipe=pipe: receive(pipe))
    sender.kill(block=False)
    sender.join()
    del pipe, value, sender
    gevent.sleep(0)
    assert [one() for one in left] == [None] * 3
