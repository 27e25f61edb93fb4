"""What gowork relies on gevent to do, and what it must survive: pinned, so that a change is seen.

Nothing here is gowork's. A test that fails with a new gevent says which assumption of the
code to look at again. Each must hold on all loops, patched or not, compiled or pure.
"""

from __future__ import annotations

import contextvars
import signal
import sys
import time

import gevent
import pytest
from gevent import Greenlet, Timeout, monkey, socket
from gevent._hub_local import get_hub_if_exists
from gevent.event import AsyncResult, Event
from gevent.exceptions import BlockingSwitchOutError, ConcurrentObjectUseError, LoopExit
from gevent.greenlet import SpawnedLink
from gevent.hub import Waiter
from gevent.pool import Group
from greenlet import GreenletExit, getcurrent
from greenlet import greenlet as greenlet_class

start_new_thread = monkey.get_original("_thread", "start_new_thread")
allocate_lock = monkey.get_original("_thread", "allocate_lock")
real_sleep = monkey.get_original("time", "sleep")

LONG = 10.0  # seconds that are never waited for


class Stop(GreenletExit):
    """A kill with a reason, as gowork's is."""


@pytest.fixture
def said():
    """What happened, in order."""
    return []


@pytest.fixture
def in_thread():
    """Run functions in threads of their own; wait for them at the end."""
    ends = []

    def start(function, *args):
        end, result = Event(), []

        def live():
            try:
                result.append(function(*args))
            except BaseException as error:
                result.append(error)
            finally:
                hub = get_hub_if_exists()
                if hub is not None:
                    hub.destroy(destroy_loop=True)
                loop.run_callback_threadsafe(end.set)

        loop = gevent.get_hub().loop
        ends.append(end)
        start_new_thread(live, ())
        return end, result

    yield start
    for end in ends:
        assert end.wait(LONG)


def recorder(said, name="ran", wait=gevent.sleep):
    """A function that says how it began and how it ended."""

    def function():
        said.append(name)
        try:
            wait(LONG)
            said.append(f"{name} to its end")
        except BaseException as error:
            said.append(type(error).__name__)
            raise

    return function


# Killing


def test_a_greenlet_killed_before_its_first_switch_never_runs_but_its_links_do(said):
    greenlet = gevent.spawn(said.append, "ran")
    greenlet.rawlink(lambda g: said.append(g.dead))
    greenlet.kill(Stop("early"), block=False)
    gevent.sleep(0)
    gevent.sleep(0)
    assert said == [True]
    assert greenlet.successful()
    assert isinstance(greenlet.value, Stop)


def test_a_greenlet_exit_that_carries_a_reason_arrives_as_the_same_object(said):
    reason = Stop("why")

    def catch():
        try:
            gevent.sleep(LONG)
        except Stop as stop:
            said.append(stop)

    greenlet = gevent.spawn(catch)
    gevent.sleep(0)
    greenlet.kill(reason, block=False)
    greenlet.join()
    assert said[0] is reason


def test_a_killed_greenlet_counts_as_successful_and_prints_nothing():
    greenlet = gevent.spawn(gevent.sleep, LONG)
    gevent.sleep(0)
    greenlet.kill()
    assert greenlet.successful()
    assert isinstance(greenlet.get(), GreenletExit)
    assert greenlet.exception is None


def test_a_greenlet_that_raises_greenlet_exit_itself_counts_as_successful():
    def leave():
        raise GreenletExit

    greenlet = gevent.spawn(leave)
    greenlet.join()
    assert greenlet.successful()


def test_a_kill_that_is_swallowed_is_gone(said):
    def stubborn():
        try:
            gevent.sleep(LONG)
        except BaseException:
            said.append("swallowed")
        gevent.sleep(0)
        said.append("went on")

    greenlet = gevent.spawn(stubborn)
    gevent.sleep(0)
    greenlet.kill()
    assert said == ["swallowed", "went on"]


def test_no_exception_handler_for_exception_sees_a_kill(said):
    def careless():
        try:
            gevent.sleep(LONG)
        except Exception:
            said.append("swallowed")

    greenlet = gevent.spawn(careless)
    gevent.sleep(0)
    greenlet.kill()
    assert said == []


def test_a_kill_without_blocking_comes_after_a_wake_up_that_was_queued_first(said):
    event, second = Event(), Event()

    def waiting():
        event.wait()
        said.append("woke")
        recorder(said, "went on", second.wait)()

    greenlet = gevent.spawn(waiting)
    gevent.sleep(0)
    event.set()
    greenlet.kill(block=False)
    greenlet.join()
    assert said == ["woke", "went on", "GreenletExit"]


def test_a_kill_without_blocking_is_lost_on_a_greenlet_that_ends_first(said):
    event = Event()

    def waiting():
        event.wait()
        said.append("finished")

    greenlet = gevent.spawn(waiting)
    gevent.sleep(0)
    event.set()
    greenlet.kill(block=False)
    greenlet.join()
    assert said == ["finished"]
    assert greenlet.value is None


def test_a_kill_of_oneself_without_blocking_arrives_at_the_next_switch(said):
    def suicidal():
        getcurrent().kill(block=False)
        said.append("still here")
        recorder(said)()

    gevent.spawn(suicidal).join()
    assert said == ["still here", "ran", "GreenletExit"]


def test_a_second_kill_interrupts_a_finally_that_blocks(said):
    def unwinding():
        try:
            gevent.sleep(LONG)
        finally:
            recorder(said, "finally")()

    greenlet = gevent.spawn(unwinding)
    gevent.sleep(0)
    greenlet.kill(block=False)
    gevent.sleep(0)
    assert said == ["finally"]
    greenlet.kill(Stop(), block=False)
    greenlet.join()
    assert said == ["finally", "Stop"]


def test_a_kill_can_be_lost_to_a_timeout_that_fires_while_it_unwinds(said):
    def looping():
        for number in range(3):
            with Timeout(0.02, False):
                try:
                    gevent.sleep(LONG)
                finally:
                    if number == 0:
                        gevent.sleep(LONG)
            said.append(number)

    greenlet = gevent.spawn(looping)
    gevent.sleep(0)
    greenlet.kill()
    assert said == [0, 1, 2]
    assert greenlet.value is None


@pytest.mark.hub_prints
def test_an_exception_in_a_finally_masks_the_kill(hub_output):
    def failing():
        try:
            gevent.sleep(LONG)
        finally:
            raise ValueError("while unwinding")

    greenlet = gevent.spawn(failing)
    gevent.sleep(0)
    greenlet.kill()
    assert isinstance(greenlet.exception, ValueError)
    assert isinstance(greenlet.exception.__context__, GreenletExit)
    assert "while unwinding" in hub_output.getvalue()


def test_killing_a_greenlet_leaves_those_it_spawned_alone(said):
    children = []

    def parent():
        children.append(gevent.spawn(gevent.sleep, LONG))
        gevent.sleep(LONG)

    greenlet = gevent.spawn(parent)
    gevent.sleep(0)
    gevent.sleep(0)
    greenlet.kill()
    assert not children[0].dead
    children[0].kill()


# Groups


def test_a_group_never_throws_twice(said):
    def stubborn():
        for _ in range(2):
            try:
                gevent.sleep(LONG)
            except GreenletExit:
                said.append("swallowed")

    group = Group()
    greenlet = group.spawn(stubborn)
    gevent.sleep(0)
    group.kill(block=False)
    gevent.sleep(0.01)
    group.kill(block=False)
    gevent.sleep(0.01)
    assert said == ["swallowed"]
    greenlet.kill()
    assert said == ["swallowed", "swallowed"]


def test_a_dead_member_stays_in_its_group_until_the_hub_runs_its_links():
    group = Group()
    greenlet = group.spawn(int)
    seen = gevent.spawn(lambda: (greenlet.dead, len(group)))
    assert seen.get() == (True, 1)
    gevent.sleep(0)
    assert len(group) == 0


def test_a_group_is_open_again_after_a_kill():
    group = Group()
    group.kill()
    assert group.spawn(int).get() == 0


@pytest.mark.hub_prints
def test_joining_a_group_misses_the_error_of_a_member_that_died_before():
    group = Group()
    group.spawn(int, "x").join()
    gevent.sleep(0)
    group.join(raise_error=True)


# Timeouts


def test_a_timeout_is_told_by_its_identity_only(said):
    mine = Timeout(LONG)
    with mine:
        try:
            AsyncResult().get(timeout=0.01)
        except Timeout as other:
            said.append(other is mine)
    assert said == [False]


def test_what_expires_in_a_wait_is_no_exception_and_no_greenlet_exit():
    assert issubclass(Timeout, BaseException)
    assert not issubclass(Timeout, Exception | GreenletExit)


def test_an_event_that_times_out_returns_false_and_raises_nothing():
    assert Event().wait(0.001) is False


def test_of_equal_deadlines_the_one_that_began_first_wins():
    outer, inner = Timeout(0.02), Timeout(0.02, False)
    with pytest.raises(Timeout) as caught, outer, inner:
        gevent.sleep(LONG)
    assert caught.value is outer


def test_a_timeout_belongs_to_the_greenlet_that_began_it(said):
    with Timeout(0.01, False):
        child = gevent.spawn(recorder(said))
        child.join()
    assert said == ["ran"]
    assert not child.dead
    child.kill()


def test_work_that_is_complete_when_its_deadline_fires_has_won():
    with Timeout(0.01):
        hog = gevent.spawn(hog_the_loop, 0.05)
        hog.join()
    assert hog.dead


def hog_the_loop(seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


@pytest.mark.hub_prints
def test_a_timeout_that_escapes_a_greenlet_is_a_failure_and_printed(hub_output):
    def slow():
        Timeout.start_new(0.001)
        gevent.sleep(LONG)

    greenlet = gevent.spawn(slow)
    greenlet.join()
    assert not greenlet.successful()
    assert "Timeout" in hub_output.getvalue()


# The hub and its loop


def test_callbacks_of_the_loop_run_in_the_order_in_which_they_were_queued(said):
    loop = gevent.get_hub().loop
    for number in range(5):
        loop.run_callback(said.append, number)
    gevent.spawn(said.append, "greenlet")
    loop.run_callback(said.append, "last")
    gevent.sleep(0)
    assert said == [0, 1, 2, 3, 4, "greenlet", "last"]


def test_a_callback_that_was_stopped_does_not_run(said):
    gevent.get_hub().loop.run_callback(said.append, "ran").stop()
    gevent.sleep(0)
    assert said == []


def test_giving_way_lets_a_timer_run_within_the_switch_interval(said):
    timer = gevent.get_hub().loop.timer(0.001)
    timer.start(said.append, "fired")
    deadline = time.monotonic() + LONG
    began = time.monotonic()
    while not said and time.monotonic() < deadline:
        gevent.sleep(0)
    timer.close()
    assert said == ["fired"]
    assert time.monotonic() - began < 100 * sys.getswitchinterval()


def test_what_can_finish_at_once_never_gives_way(said):
    event = Event()
    event.set()
    other = gevent.spawn(said.append, "ran")
    for _ in range(1000):
        event.wait()
    assert said == []
    other.join()


def test_a_timer_may_be_stopped_and_started_again_with_another_callback(said):
    timer = gevent.get_hub().loop.timer(0.001)
    timer.start(said.append, "first")
    timer.stop()
    timer.start(said.append, "second")
    gevent.sleep(0.05)
    timer.close()
    assert said == ["second"]


def test_a_closed_timer_does_not_fire(said):
    timer = gevent.get_hub().loop.timer(0.001)
    timer.start(said.append, "fired")
    timer.close()
    gevent.sleep(0.02)
    assert said == []


@pytest.mark.hub_prints
def test_blocking_in_the_hub_is_an_assertion_error(said, hub_output):
    gevent.get_hub().loop.run_callback(gevent.sleep, 1)
    gevent.sleep(0)
    assert "BlockingSwitchOutError" in hub_output.getvalue()
    assert issubclass(BlockingSwitchOutError, AssertionError)
    assert issubclass(ConcurrentObjectUseError, AssertionError)


@pytest.mark.hub_prints
def test_an_error_in_a_callback_is_printed_and_the_next_one_runs(said, hub_output):
    loop = gevent.get_hub().loop
    loop.run_callback(int, "x")
    loop.run_callback(said.append, "next")
    gevent.sleep(0)
    assert said == ["next"]
    assert "ValueError" in hub_output.getvalue()


@pytest.mark.hub_prints
@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_a_system_error_in_a_greenlet_is_thrown_into_main_as_the_same_object(kind):
    error = kind("from a greenlet")

    def fail():
        raise error

    gevent.spawn(fail)
    with pytest.raises(kind) as caught:
        gevent.sleep(LONG)
    assert caught.value is error


@pytest.mark.hub_prints
def test_the_hub_throws_a_system_error_into_main_on_demand():
    hub = gevent.get_hub()
    error = KeyboardInterrupt()
    hub.loop.run_callback(hub.handle_system_error, KeyboardInterrupt, error)
    with pytest.raises(KeyboardInterrupt) as caught:
        gevent.sleep(LONG)
    assert caught.value is error


def test_a_loop_with_nothing_to_do_raises_loop_exit_in_main_only(said):
    greenlet = gevent.spawn(recorder(said, wait=lambda _: Event().wait()))
    with pytest.raises(LoopExit):
        Event().wait()
    assert said == ["ran"]
    greenlet.kill()
    assert said == ["ran", "GreenletExit"]


def test_any_timer_hides_a_loop_with_nothing_to_do():
    timer = gevent.get_hub().loop.timer(0.01)
    event = Event()
    timer.start(event.set)
    assert event.wait()
    timer.close()


# Waiters and links


def test_a_waiter_is_woken_by_a_switch_from_the_hub_even_before_it_waits():
    waiter = Waiter()
    loop = gevent.get_hub().loop
    loop.run_callback(waiter.switch, "late")
    assert waiter.get() == "late"
    waiter = Waiter()
    loop.run_callback(waiter.switch, "early")
    gevent.sleep(0)
    assert waiter.get() == "early"


def test_a_waiter_may_be_switched_to_when_its_greenlet_is_no_longer_waiting():
    waiter = Waiter()
    greenlet = gevent.spawn(waiter.get)
    gevent.sleep(0)
    greenlet.kill()
    gevent.get_hub().loop.run_callback(waiter.switch, None)
    gevent.sleep(0)
    assert greenlet.dead


def test_a_waiter_throws_what_it_is_given():
    waiter = Waiter()
    gevent.get_hub().loop.run_callback(waiter.throw, ValueError("thrown"))
    with pytest.raises(ValueError, match="thrown"):
        waiter.get()


@pytest.mark.parametrize("begun", [True, False])
def test_a_rawlink_runs_in_the_hub_also_for_a_greenlet_killed_before_its_start(begun, said):
    greenlet = gevent.spawn(gevent.sleep, LONG)
    greenlet.rawlink(lambda _: said.append(getcurrent()))
    if begun:
        gevent.sleep(0)
    greenlet.kill()
    gevent.sleep(0)
    assert said == [gevent.get_hub()]


def test_a_rawlink_to_a_dead_greenlet_runs_in_the_next_pass(said):
    greenlet = gevent.spawn(int)
    greenlet.join()
    greenlet.rawlink(said.append)
    assert said == []
    gevent.sleep(0)
    assert said == [greenlet]


def test_links_run_in_the_order_in_which_they_were_made(said):
    greenlet = gevent.spawn(int)
    for number in range(3):
        greenlet.rawlink(lambda _, number=number: said.append(number))
    greenlet.join()
    gevent.sleep(0)
    assert said == [0, 1, 2]


def test_a_link_that_was_taken_back_does_not_run(said):
    greenlet = gevent.spawn(int)
    greenlet.rawlink(said.append)
    greenlet.unlink(said.append)
    greenlet.join()
    gevent.sleep(0)
    assert said == []


def test_in_the_hub_events_are_set_greenlets_spawned_and_killed(said):
    event = Event()
    sleeper = gevent.spawn(gevent.sleep, LONG)
    gevent.sleep(0)

    def in_the_hub(_):
        event.set()
        sleeper.kill(block=False)
        gevent.spawn(said.append, "spawned")

    gevent.spawn(int).rawlink(in_the_hub)
    assert event.wait(LONG)
    sleeper.join(LONG)
    assert sleeper.dead
    assert said == ["spawned"]


def test_an_event_that_is_set_wakes_its_waiters_in_order_even_if_cleared_at_once(said):
    event = Event()

    def wait(number):
        event.wait()
        said.append(number)

    greenlets = [gevent.spawn(wait, number) for number in range(3)]
    gevent.sleep(0)
    event.set()
    event.clear()
    gevent.joinall(greenlets, timeout=LONG)
    assert said == [0, 1, 2]


def test_what_has_rawlink_can_be_waited_for_with_gevent_wait():
    class Linkable:
        def rawlink(self, callback):
            gevent.get_hub().loop.run_callback(callback, self)

        def unlink(self, callback):
            pass

    one = Linkable()
    assert gevent.wait([one], timeout=LONG) == [one]


# Context


def test_a_new_greenlet_begins_with_an_empty_context():
    variable = contextvars.ContextVar("variable", default="default")
    variable.set("set")
    assert gevent.spawn(variable.get).get() == "default"


def test_a_greenlet_runs_in_the_context_that_it_was_given_before_its_start():
    variable = contextvars.ContextVar("variable", default="default")
    variable.set("set")
    greenlet = Greenlet(variable.get)
    greenlet.gr_context = contextvars.copy_context()
    greenlet.start()
    assert greenlet.get() == "set"


def test_the_context_of_a_dead_greenlet_can_be_run_in_again():
    variable = contextvars.ContextVar("variable", default="default")
    context = contextvars.copy_context()
    greenlet = Greenlet(variable.set, "by the greenlet")
    greenlet.gr_context = context
    greenlet.start()
    greenlet.join()
    assert context.run(variable.get) == "by the greenlet"


def test_a_greenlet_carries_attributes_and_a_name(said):
    greenlet = Greenlet(lambda: said.append(getcurrent().gowork_task))
    greenlet.gowork_task = "task"
    greenlet.name = "job/task"
    greenlet.start()
    greenlet.join()
    assert said == ["task"]
    assert "job/task" in repr(greenlet)


# Threads and signals


def test_an_event_that_another_thread_sets_wakes_its_waiter(in_thread):
    event = Event()
    waiting = gevent.spawn(event.wait, LONG)
    gevent.sleep(0)
    in_thread(event.set)
    assert waiting.get() is True


def test_an_event_can_be_waited_for_in_another_thread(in_thread):
    event = Event()
    end, result = in_thread(event.wait, LONG)
    gevent.sleep(0.01)
    event.set()
    assert end.wait(LONG)
    assert result == [True]


def test_a_callback_from_another_thread_wakes_the_loop(in_thread):
    event = Event()
    in_thread(gevent.get_hub().loop.run_callback_threadsafe, event.set)
    assert event.wait(LONG)


def test_a_kill_from_another_thread_goes_through_a_threadsafe_callback(in_thread, said):
    greenlet = gevent.spawn(recorder(said))
    gevent.sleep(0)
    loop = gevent.get_hub().loop
    in_thread(loop.run_callback_threadsafe, greenlet.kill, Stop, False)
    greenlet.join(LONG)
    assert said == ["ran", "Stop"]


def test_each_thread_has_a_hub_of_its_own(in_thread):
    end, result = in_thread(gevent.get_hub)
    assert end.wait(LONG)
    assert result[0] is not gevent.get_hub()


def test_the_threads_native_identity_is_to_be_had_in_a_patched_process():
    get_ident = monkey.get_original("_thread", "get_ident")
    assert gevent.spawn(get_ident).get() == get_ident()


def test_a_signal_wakes_an_idle_loop(said):
    event = Event()
    watcher = gevent.signal_handler(signal.SIGUSR1, event.set)
    signal.raise_signal(signal.SIGUSR1)
    assert event.wait(LONG)
    watcher.cancel()


# Sockets


@pytest.fixture
def pair():
    ends = socket.socketpair()
    yield ends
    for end in ends:
        end.close()


@pytest.fixture
def reading(pair):
    """A greenlet that reads from the first of the pair, and its way to say how that ended."""

    def read():
        try:
            return pair[0].recv(1)
        except OSError as error:
            return error

    greenlet = gevent.spawn(read)
    gevent.sleep(0)
    return greenlet


def test_closing_a_socket_wakes_its_reader_with_an_os_error(pair, reading):
    pair[0].close()
    assert isinstance(reading.get(timeout=LONG), OSError)


def test_a_killed_reader_leaves_the_socket_usable(pair, reading):
    reading.kill()
    pair[1].sendall(b"x")
    assert pair[0].recv(1) == b"x"


def test_a_second_reader_of_one_socket_is_refused(pair, reading):
    with pytest.raises(ConcurrentObjectUseError):
        pair[0].recv(1)
    pair[1].sendall(b"x")
    assert reading.get() == b"x"


def test_a_sockets_timeout_is_no_timeout_of_gevents(pair):
    pair[0].settimeout(0.001)
    with pytest.raises(TimeoutError) as caught:
        pair[0].recv(1)
    assert not isinstance(caught.value, Timeout)


# What the greenlets of tasks offer in gevent's place


class Raw(greenlet_class):
    """With attributes of its own."""


def test_a_group_has_a_set_an_event_that_it_is_empty_and_a_way_out():
    group, greenlet = Group(), Greenlet()
    group.greenlets.add(greenlet)
    group._empty_event.clear()
    assert len(group) == 1 and not group.join(timeout=0)
    group._discard(greenlet)
    assert len(group) == 0 and group.join(timeout=0)


def test_a_spawned_link_calls_in_a_greenlet_of_its_own(said):
    link = SpawnedLink(lambda source: said.append((source, getcurrent())))
    gevent.get_hub().loop.run_callback(link, "source")
    gevent.sleep(0)
    ((source, where),) = said
    assert source == "source" and where.dead


def test_a_hub_numbers_greenlets_of_any_kind():
    raw = greenlet_class(lambda: None, gevent.get_hub())
    idents = gevent.get_hub().ident_registry
    assert idents.get_ident(raw) == idents.get_ident(raw) != idents.get_ident(getcurrent())


def test_whoever_is_spawned_shares_the_locals_of_the_spawner_whatever_kind_that_is(said):
    def spawn():
        getcurrent().spawn_tree_locals = {"user": "me"}
        said.append(Greenlet().spawn_tree_locals)

    gevent.get_hub().loop.run_callback(Raw(spawn, gevent.get_hub()).switch)
    gevent.sleep(0)
    assert said == [{"user": "me"}]
