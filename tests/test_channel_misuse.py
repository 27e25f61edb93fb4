"""Channels that are misused, or end in the midst: an error, never a crash or a hang."""

import copy
import inspect
import pickle
import signal
import subprocess
import sys
import time
import weakref
from functools import partial

import gevent
import pytest
from gevent import Greenlet, GreenletExit, Timeout
from gevent.exceptions import BlockingSwitchOutError
from gevent.monkey import get_original
from makers import done, ended, in_a_thread, routines

from gowork import Channel, Job, JobState, PingPong, select
from gowork.errors import Cancelled, ChannelClosed, ChannelTimeout, StateError
from gowork.testing import Deadlock, explore, simulate

start_thread = get_original("_thread", "start_new_thread")
get_ident = get_original("_thread", "get_ident")
block_the_loop = get_original("time", "sleep")


def outcome_of(function, *args):
    """What it returns or raises."""
    try:
        return function(*args)
    except BaseException as error:
        return error


def waiting(function, *args):
    """A greenlet that has called *function* and waits in it; its value is the outcome."""
    greenlet = gevent.spawn(outcome_of, function, *args)
    gevent.sleep(0)
    return greenlet


def until(condition):
    """Let the loop go round until *condition()* holds."""
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        gevent.sleep(0.001)


def used(pipe):
    """*pipe*, which belongs to the hub of this thread from now on."""
    assert type(outcome_of(pipe.recv, 0)) is ChannelTimeout
    return pipe


HALF_MADE = """
from gowork import Case, Channel, PingPong, select
from gowork.channels import Exchange, Party

class Forgetful(Channel):
    def __init__(self): pass

makers = Forgetful, lambda: Channel.__new__(Channel), lambda: PingPong.__new__(PingPong)
uses = [
    lambda half: half.send(1, 0.01), lambda half: half.send_nowait(1),
    lambda half: half.recv(0.01), lambda half: half.recv_nowait(),
    lambda half: half.send_threadsafe(1), lambda half: half.close(), len, list,
    lambda half: select([half.receiving()], 0.01), lambda half: select([half.sending(1)], 0.01),
]
calls = [lambda make=make, use=use: use(make()) for make in makers for use in uses]
calls += [
    lambda: select([Case()]), lambda: select([type(Channel().sending(1))()], 0),
    lambda: Exchange.__new__(Exchange).send_nowait(1),
    lambda: Party().wait(None), lambda: Party().done(), lambda: Party().stop(),
]
for number, call in enumerate(calls):
    try:
        call()
    except Exception:
        pass
    else:
        print("call", number, "has returned")
"""


def test_what_is_half_made_raises_an_exception_and_never_crashes():
    process = subprocess.run(
        [sys.executable, "-P", "-c", HALF_MADE], capture_output=True, text=True, timeout=25
    )
    assert (process.returncode, process.stdout, process.stderr) == (0, "", "")


@pytest.mark.parametrize("taking", [copy.copy, copy.deepcopy, pickle.dumps])
def test_a_channel_is_neither_copied_nor_pickled_and_keeps_its_values(taking):
    channel = Channel(3)
    channel.send("a")
    with pytest.raises(TypeError):
        taking(channel)
    channel.send("b")
    assert [channel.recv(), channel.recv(), len(channel)] == ["a", "b", 0]


NO_LISTS = {
    "a channel": lambda channel, pingpong: select(channel),
    "a pingpong": lambda channel, pingpong: select(pingpong),
    "a case": lambda channel, pingpong: select(channel.receiving()),
    "cases": lambda channel, pingpong: select(channel.receiving(), channel.sending(1)),
    "a list of channels": lambda channel, pingpong: select([channel.receiving(), channel]),
    "a list of pingpongs": lambda channel, pingpong: select([channel.receiving(), pingpong]),
}


@pytest.mark.parametrize("call", NO_LISTS.values(), ids=NO_LISTS)
def test_a_select_of_anything_else_than_cases_says_what_it_takes_and_takes_nothing(call):
    channel, pingpong = Channel(2), PingPong()
    channel.send("a")
    sender = waiting(pingpong.send, "b")
    with pytest.raises(TypeError, match=r"list of cases|receiving\(\)"):
        call(channel, pingpong)
    assert (channel.recv_nowait(), len(channel)) == ("a", 0)
    pingpong.recv(0).ack()
    sender.join()


def test_a_select_takes_its_cases_from_whatever_gives_them_in_turn():
    channels = [Channel(1) for _ in range(3)]
    channels[1].send("a")
    assert select(channel.receiving() for channel in channels) == (1, "a", True)
    assert select(tuple(channel.sending("b") for channel in channels[:1])) == (0, None, True)


def test_a_case_tells_what_it_would_do():
    channel = Channel(name="pictures")
    assert all(word in repr(channel.receiving()) for word in ("pictures", "receiv"))
    assert all(word in repr(channel.sending("a")) for word in ("pictures", "send", "'a'"))


def test_the_signatures_can_be_inspected():
    calls = [Channel.send, Channel.recv, Channel.sending, select]
    found = [[*inspect.signature(call).parameters] for call in calls]
    assert found[:2] == [["self", "value", "timeout"], ["self", "timeout"]]
    assert found[2:] == [["self", "value"], ["cases", "timeout"]]


# Waits, as gevent sees them


WAITS = {
    "send": lambda channel, value: channel.send(value),
    "recv": lambda channel, value: channel.recv() is value,
    "select to send": lambda one, value: select([one.sending(value), Channel().receiving()]),
    "select to receive": lambda one, value: select([Channel().sending(value), one.receiving()]),
    "ping": lambda pipe, value: pipe.send(value),
}
waits = pytest.mark.parametrize("wait", WAITS.values(), ids=WAITS)


def made_for(wait):
    return PingPong() if wait is WAITS["ping"] else Channel()


@waits
def test_the_hook_of_a_greenlet_that_waits_is_called_once(wait):
    class Hooked(Greenlet):
        def switch_out(self):
            switches.append(self)

    switches = []
    greenlet = Hooked(outcome_of, wait, made_for(wait), 1)
    greenlet.start()
    gevent.sleep(0)
    assert switches == [greenlet]
    greenlet.kill()
    assert switches == [greenlet]


@waits
def test_nobody_waits_in_the_hub_and_nothing_stays_in_line(wait):
    channel, outcomes = made_for(wait), []
    gevent.get_hub().loop.run_callback(lambda: outcomes.append(outcome_of(wait, channel, 1)))
    gevent.sleep(0)
    assert [type(one) for one in outcomes] == [BlockingSwitchOutError]
    assert "senders=0 receivers=0" in repr(channel)


@waits
@pytest.mark.parametrize("thrown", [GreenletExit, Timeout, ValueError])
def test_who_is_thrown_out_of_a_wait_keeps_nothing_alive(wait, thrown):
    def live(channel, value):
        try:
            wait(channel, value)
        except thrown:  # or, in pure Python, gevent's own frames keep the greenlet
            pass

    channel, value = made_for(wait), Greenlet()
    greenlet = gevent.spawn(live, channel, value)
    gevent.sleep(0)
    alive = [weakref.ref(one) for one in (channel, value, greenlet)]
    greenlet.kill(thrown)
    del channel, value, greenlet
    gevent.sleep(0)
    assert [one() for one in alive] == [None] * 3  # during a test the collector does not come


def test_the_errors_of_a_pingpong_name_it():
    pingpong = PingPong(name="pictures")
    calls = [pingpong.recv, partial(pingpong.send, 1)]
    late = [outcome_of(call, timeout) for call in calls for timeout in (0, 0.001)]
    pingpong.close()
    closed = [outcome_of(call) for call in [*calls, pingpong.close]]
    assert [type(error) for error in late + closed] == [ChannelTimeout] * 4 + [ChannelClosed] * 3
    assert all("<PingPong pictures " in str(error) for error in late + closed)


def test_a_ping_that_may_not_wait_disturbs_nobody():
    pingpong, served, others = PingPong(), [], []

    def serve(name):
        with pingpong.recv():
            served.append(name)

    receivers = [waiting(serve, "first"), waiting(serve, "second")]
    other = gevent.spawn(others.append, 1)
    with pytest.raises(ChannelTimeout):
        pingpong.send("never", timeout=0)
    assert others == [] and "receivers=2" in repr(pingpong)
    pingpong.send("a")
    assert served == ["first"]
    pingpong.close()
    gevent.joinall([*receivers, other])


def test_an_answer_from_another_thread_is_refused_and_can_be_given_later():
    pingpong = PingPong()
    sender = waiting(pingpong.send, "a")
    ping = pingpong.recv()
    assert type(in_a_thread(lambda: outcome_of(ping.ack))) is StateError
    assert not sender.dead
    ping.ack()
    sender.join()
    assert sender.value is None


# Ends of threads, hubs and tasks


def test_a_thread_whose_send_is_killed_before_it_begins_is_told():
    def kill_first(greenlet):
        gevent.get_hub().loop.run_callback(greenlet.kill, GreenletExit, False)

    channel = used(Channel(1))
    sender = waiting(in_a_thread, partial(outcome_of, channel.send_threadsafe, 1))
    Greenlet.add_spawn_callback(kill_first)
    try:
        sender.join()
    finally:
        Greenlet.remove_spawn_callback(kill_first)
    assert type(sender.value) is GreenletExit and len(channel) == 0


def test_a_thread_that_waits_for_a_hub_which_is_destroyed_is_told():
    def strand():
        channel, outcomes = used(Channel()), []
        start_thread(lambda: outcomes.append(outcome_of(channel.send_threadsafe, 1)), ())
        until(lambda: "senders=1" in repr(channel))
        gevent.get_hub().destroy(destroy_loop=True)
        until(lambda: outcomes)
        return outcomes

    assert [type(one) for one in in_a_thread(strand)] == [StateError]


@pytest.mark.parametrize("make", [Channel, PingPong])
def test_a_thread_that_is_interrupted_takes_back_what_nobody_has_taken(make):
    def interrupt(number, frame):
        raise InterruptedError

    def receive_later():
        pipes.append(used(make()))
        until(lambda: "senders=1" in repr(pipes[0]))
        if not raised:  # else the test has failed already
            signal.pthread_kill(main, signal.SIGUSR1)
        block_the_loop(0.05)  # who does not wait for it to go round has raised already
        until(lambda: raised)
        return outcome_of(pipes[0].recv, 0)

    pipes, raised, main = [], [], get_ident()
    former = signal.signal(signal.SIGUSR1, interrupt)
    try:
        receiver = waiting(in_a_thread, receive_later)
        until(lambda: pipes)
        with pytest.raises(InterruptedError):
            pipes[0].send_threadsafe("a")
    finally:
        raised.append(True)
        signal.signal(signal.SIGUSR1, former)
    assert type(receiver.get()) is ChannelTimeout


def stranded(channel):
    """*channel*, at which somebody waits in a hub that has been destroyed."""
    waiting(channel.recv)
    gevent.get_hub().destroy(destroy_loop=True)
    return channel


@pytest.mark.parametrize("capacity", [0, 1])
def test_a_value_is_not_lost_to_those_who_waited_in_a_hub_that_has_been_destroyed(capacity):
    def play():
        channel = stranded(Channel(capacity))
        return [outcome_of(channel.send, "a", 0), outcome_of(channel.recv, 0)]

    sent, received = in_a_thread(play)
    assert (received == "a") is (sent is None), (sent, received)


def test_a_job_ends_although_the_hub_of_its_channel_has_been_destroyed():
    job = Job()
    channel = job.channel()
    assert in_a_thread(lambda: stranded(channel).close()) is None
    job.add_task(routines(None, done))
    assert ended(job).state is JobState.DONE and channel.closed


def test_a_task_that_swallows_every_cancel_leaves_the_hub_to_others():
    channel, over = Channel(), []

    def swallow(task):
        tries = iter(range(1_000_000))  # without an end, a failure would be a process that hangs
        while not over and next(tries, None) is not None:
            outcome_of(channel.recv)

    job = Job(grace=0.05)
    task = job.add_task(routines(None, swallow))
    end = job.run()
    gevent.sleep(0)
    job.cancel()
    end.wait()
    over.append(True)
    assert [one.task for one in job.unstopped] == [task]


PIPES = {
    "send": (Channel, lambda pipe: pipe.send(1), lambda pipe: pipe.recv(0)),
    "select": (Channel, lambda pipe: select([pipe.sending(1)]), lambda pipe: pipe.recv(0)),
    "recv": (Channel, lambda pipe: pipe.recv(), lambda pipe: pipe.send(1, 0)),
    "ping": (PingPong, lambda pipe: pipe.send(1), lambda pipe: pipe.recv(0).ack()),
}


def cancelled_when_served(make, wait, serve):
    """What a task is told that is served and cancelled in one pass, and how its clean-up ends."""
    pipe, told = make(), []

    def live(task):
        try:
            wait(pipe)
            wait(pipe)
        except Cancelled as error:
            told.append(type(error))
        told.append(outcome_of(gevent.sleep, 1))

    job = Job(grace=5)
    job.add_task(routines(None, live))
    job.run()
    gevent.sleep(1)
    gevent.spawn(outcome_of, serve, pipe)
    job.cancel()
    gevent.sleep(5)
    return told


@pytest.mark.parametrize("how", PIPES.values(), ids=PIPES)
def test_a_task_that_is_served_and_cancelled_at_once_is_told_once(how):
    for told in explore(cancelled_when_served, *how).values:
        assert told == [Cancelled, None]


def waits_of(*functions):
    """What it says of greenlets that call these *functions* and are never served."""
    with pytest.raises(Deadlock) as caught:
        simulate(lambda: gevent.joinall([gevent.spawn(one) for one in functions]))
    return [line.partition(" waits for ")[2] for line in str(caught.value).splitlines()]


def test_a_deadlock_names_the_channels_of_all_who_stand_in_a_long_line():
    crowded, lonely = Channel(name="crowded"), Channel(name="lonely")
    one, both = partial(crowded.send, 1), [crowded.sending(1), lonely.receiving()]
    told = waits_of(*[one] * 20, partial(select, both), *[one] * 20)
    assert told.count("Channel 'crowded'") == 40
    assert any("'crowded'" in wait and "'lonely'" in wait for wait in told)


def test_a_deadlock_names_a_pingpong_to_all_who_wait_at_it():
    asked, answered, taken = PingPong(name="asked"), PingPong(name="answered"), []

    def take():
        taken.append(answered.recv())  # and never acknowledged
        asked.recv()

    told = waits_of(lambda: answered.send(1), take, asked.recv)
    assert (told.count("PingPong 'answered'"), told.count("PingPong 'asked'")) == (1, 2)
