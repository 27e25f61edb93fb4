"""A timeout that fires too late to stop a send is raised within its block, or not at all."""

import time

import gevent
import pytest
from gevent import Timeout
from gevent.monkey import get_original
from latecomers import LONG, Late, Story, in_the_hub, living, rest

from gowork.channels import Channel
from gowork.postponing import postponed
from gowork.testing import explore

block_the_loop = get_original("time", "sleep")


class Replacing(Timeout):
    """A timeout that throws something else."""

    def _on_expiration(self, greenlet, error):
        greenlet.throw(Late)


class Wrapping(Timeout):
    """A timeout that has its own way to throw something else."""

    def _on_expiration(self, greenlet, error):
        super()._on_expiration(greenlet, Late())


TIMEOUTS = {
    "itself": lambda seconds: Timeout(seconds),
    "itself with a text": lambda seconds: Timeout(seconds, "text"),
    "itself, silently": lambda seconds: Timeout(seconds, False),
    "a class": lambda seconds: Timeout(seconds, Late),
    "an instance": lambda seconds: Timeout(seconds, Late()),
    "as it replaces": lambda seconds: Replacing(seconds),
    "as it wraps": lambda seconds: Wrapping(seconds),
}


def limited(timeout, end, story, *calls):
    timeout.start()
    for call in calls:
        story.step(*call)
    end(timeout)


def timing_out(make, end, *more):
    """A receipt at the moment a timeout fires: how the sender fares that is limited by it."""
    channel, story, received = Channel(), Story(), Story()
    timeout = make(1)

    def live():
        limited(timeout, end, story, ("sent", channel.send, "value"), *more)
        story.step("rested", rest)

    sender = gevent.spawn(live)
    gevent.spawn_later(1, received.step, "received", channel.recv_nowait)
    sender.join()
    timeout.close()
    assert not postponed
    return tuple(story), received == ["received"]


@pytest.mark.parametrize("end", [Timeout.close, Timeout.cancel])
@pytest.mark.parametrize("make", TIMEOUTS.values(), ids=list(TIMEOUTS))
def test_a_timeout_that_is_late_is_not_raised_once_its_block_is_left(make, end):
    ends = set(explore(timing_out, make, end).values)
    assert (("sent", "rested"), True) in ends
    for story, received in ends:
        assert story[-1] == "rested"
        assert (story[0] == "sent") is received


@pytest.mark.parametrize("make", TIMEOUTS.values(), ids=list(TIMEOUTS))
def test_a_timeout_that_is_late_is_raised_once_while_its_block_lasts(make):
    waits = [("waited", gevent.sleep, 5), ("waited once more", gevent.sleep, 5)]
    ends = set(explore(timing_out, make, Timeout.close, *waits).values)
    assert len(ends) == 2
    for story, received in ends:
        raised = story[received]  # the first step or the second
        assert [one for one in story if isinstance(one, tuple)] == [raised]


@pytest.mark.parametrize("make", TIMEOUTS.values(), ids=list(TIMEOUTS))
def test_it_is_so_on_a_real_loop(make):
    channel, stories = Channel(), []

    def live(*more):
        stories.append(story := Story())
        limited(make(0.004), Timeout.close, story, ("sent", channel.send, "value"), *more)
        story.step("rested", gevent.sleep, 0.01)

    senders = [living(live), living(live, ("waited", rest))]
    receipt = gevent.get_hub().loop.timer(0.001)
    receipt.start(lambda: [channel.recv_nowait() for _ in senders])
    block_the_loop(0.01)  # now all of them are due, in one pass of the loop
    gevent.joinall(senders)
    receipt.close()
    assert stories[0] == ["sent", "rested"]
    assert [one if isinstance(one, str) else one[0] for one in stories[1]] == [
        "sent",
        "waited",
        "rested",
    ]


def test_with_timeout_gives_what_a_call_returned_in_time_though_it_was_late_to_tell():
    def program():
        channel = Channel()
        gevent.spawn_later(1, channel.recv, 1)
        gevent.sleep(0)
        value = gevent.with_timeout(1, channel.send, "value", timeout_value="too late")
        rest()
        return value

    assert set(explore(program).values) == {None, "too late"}


def test_of_two_timeouts_that_are_late_the_one_whose_block_is_left_does_not_come():
    def program():
        channel, story = Channel(), Story()
        gevent.spawn_later(1, story.step, "received", channel.recv_nowait)

        def live():
            with Timeout(1, Late):
                with Timeout(1, ValueError):
                    story.step("sent", channel.send, "value")
                gevent.sleep(1)

        story.step("lived", live)
        rest()
        return story

    ends = [story for story in explore(program).values if "sent" in story]
    assert ends and all(story[-1] == ("lived", Late) for story in ends)


def test_a_timeout_that_is_late_and_started_anew_does_not_come_before_its_time():
    def program():
        channel = Channel()
        gevent.spawn_later(1, channel.recv, 0)
        timeout, times = Timeout(1), []
        for value in range(2):
            began = time.monotonic()
            timeout.start()
            try:
                channel.send(value)
            except Timeout:
                times.append(time.monotonic() - began)
            finally:
                timeout.cancel()
        timeout.close()
        return times

    assert {tuple(times) for times in explore(program).values} == {(1,)}


def test_a_timeout_that_nobody_closes_comes_although_it_is_late():
    def program():
        channel, story = Channel(), Story()
        gevent.spawn_later(1, channel.recv, 1)
        timeout = Timeout.start_new(1)
        story.step("sent", channel.send, "value")
        story.step("waited", rest)
        story.append(timeout.pending)
        timeout.close()
        return story

    ends = set(map(tuple, explore(program).values))
    assert ends == {("sent", ("waited", Timeout), False), (("sent", Timeout), "waited", False)}


def closed():
    timeout = Timeout(LONG)
    timeout.close()
    return timeout


def pending():
    return Timeout.start_new(LONG)


def fired():
    timeout = Timeout.start_new(0.001)
    try:
        gevent.sleep(LONG)
    except Timeout:
        return timeout


@pytest.mark.parametrize("make", [closed, pending, fired])
def test_a_timeout_of_somebody_else_comes_like_any_exception(make):
    channel, story, timeout = Channel(), Story(), make()

    def live():
        story.step("sent", channel.send, "value")
        story.step("waited", gevent.sleep, LONG)

    sender = living(live)
    in_the_hub(channel.recv_nowait)
    sender.kill(timeout, block=False)
    gevent.sleep(0)
    timeout.close()
    sender.join()
    assert story == ["sent", ("waited", Timeout)]


def test_what_somebody_throws_whose_own_timeout_has_fired_is_not_taken_for_that():
    channel, story = Channel(), Story()

    def live():
        story.step("sent", channel.send, "value")
        story.step("waited", gevent.sleep, LONG)

    sender = living(live)
    with Timeout(0.001, ValueError):
        try:
            gevent.sleep(LONG)
        except ValueError:
            channel.recv_nowait()
            in_the_hub(gevent.getcurrent().switch)
            sender.throw(Late)
    sender.join()
    assert story == ["sent", ("waited", Late)]


class ClosingItself(Timeout):
    """A timeout that is over before it throws."""

    def _on_expiration(self, greenlet, error):
        self.close()
        greenlet.throw(error)


def test_a_timeout_that_has_closed_itself_comes_like_any_exception():
    ends = set(explore(timing_out, ClosingItself, Timeout.close).values)
    assert ends == {
        (("sent", "rested"), True),  # woken before it fired
        (("sent", ("rested", ClosingItself)), True),
        ((("sent", ClosingItself), "rested"), False),
    }
