"""Events: read-only, for any number of waiters, in any thread."""

from __future__ import annotations

import weakref

import gevent
import pytest
from gevent.event import Event as GeventEvent
from makers import done, ended, in_a_thread, park, passes, routines

from gowork import Cancelled, Event, Job, JobState


@pytest.fixture
def waited_for():
    """A job whose end is being waited for; it is ended if the test has not."""
    job = Job()
    job.add_task(routines(run=park))
    yield job
    job.finish()
    job.run().wait()


def test_an_event_can_be_read_and_not_set(waited_for):
    event = waited_for.run()
    public = {name for name in dir(event) if not name.startswith("_")}
    assert public == {"wait", "is_set", "rawlink", "unlink"}
    with pytest.raises(AttributeError):
        event.extra = 1


def test_an_event_says_whether_it_has_happened(waited_for):
    event = waited_for.run()
    assert (event.is_set(), repr(event)) == (False, "<Event not set>")
    waited_for.finish()
    assert event.wait()
    assert (event.is_set(), repr(event)) == (True, "<Event set>")


def test_wait_with_a_timeout_that_passes_is_false(waited_for):
    assert waited_for.run().wait(0) is False
    assert waited_for.run().wait(0.01) is False


def test_any_number_may_wait_before_and_after(waited_for):
    event = waited_for.run()
    waiters = [gevent.spawn(event.wait) for _ in range(10)]
    passes()
    waited_for.finish()
    gevent.joinall(waiters)
    assert all(waiter.value is True for waiter in waiters)
    assert [event.wait() for _ in range(3)] == [True] * 3


def test_a_waiter_that_is_killed_takes_nothing_from_the_others(waited_for):
    event = waited_for.run()
    first, second = gevent.spawn(event.wait), gevent.spawn(event.wait)
    passes()
    first.kill()
    waited_for.finish()
    second.join()
    assert second.value is True


def test_gevent_wait_takes_an_event_and_gives_it_back(waited_for):
    event, never = waited_for.run(), GeventEvent()
    assert gevent.wait([event], timeout=0) == []
    gevent.spawn(waited_for.finish)
    assert gevent.wait([never, event], count=1) == [event]
    assert gevent.wait([event]) == [event]


def test_a_link_taken_back_is_not_held_on_to(waited_for):
    def callback(event):
        raise NotImplementedError

    event, watched = waited_for.run(), weakref.ref(callback)
    event.rawlink(callback)
    event.unlink(callback)
    del callback
    assert watched() is None


def test_gevent_iwait_gives_events_in_the_order_in_which_they_happen():
    jobs = [Job() for _ in range(3)]
    for job in jobs:
        job.add_task(routines(run=park))
    events = [job.run() for job in jobs]
    passes()

    def finish_backwards():
        for job in reversed(jobs):
            job.finish()
            passes()

    gevent.spawn(finish_backwards)
    assert list(gevent.iwait(events)) == events[::-1]


def test_a_link_is_called_in_the_hub_with_the_event(waited_for):
    calls = []
    event = waited_for.run()
    event.rawlink(lambda one: calls.append((one, gevent.getcurrent() is gevent.get_hub())))
    waited_for.finish()
    event.wait()
    passes()
    assert calls == [(event, True)]


def test_a_link_to_what_has_happened_is_called_soon():
    calls = []
    event = Job().run()
    event.rawlink(calls.append)
    assert calls == []
    passes()
    assert calls == [event]


def test_a_link_made_twice_is_called_once(waited_for):
    calls = []
    event = waited_for.run()
    event.rawlink(calls.append)
    event.rawlink(calls.append)
    waited_for.finish()
    event.wait()
    passes()
    assert calls == [event]


def test_a_link_can_be_taken_back(waited_for):
    calls = []
    event = waited_for.run()
    event.rawlink(calls.append)
    event.unlink(calls.append)
    event.unlink(calls.append)
    event.unlink(print)
    waited_for.finish()
    event.wait()
    passes()
    assert calls == []


def test_a_thread_may_wait_before_it_happens(waited_for):
    event = waited_for.run()
    passes()

    def wait():
        gevent.spawn(waited_for.finish)  # gets its turn when this thread waits
        return event.wait()

    assert in_a_thread(wait) is True


def test_a_thread_may_wait_after_it_has_happened():
    event = Job().run()
    assert in_a_thread(event.wait) is True


def test_a_thread_may_give_up_waiting(waited_for):
    event = waited_for.run()
    assert in_a_thread(lambda: event.wait(0.01)) is False
    gevent.spawn(waited_for.finish)
    assert event.wait() is True


def test_threads_and_greenlets_may_wait_together(waited_for):
    event = waited_for.run()
    greenlet = gevent.spawn(event.wait)
    passes()
    assert in_a_thread(lambda: event.wait(0.01)) is False

    def wait():
        gevent.spawn(waited_for.finish)
        return event.wait(20)

    assert in_a_thread(wait) is True
    greenlet.join()
    assert greenlet.value is True


def test_a_task_that_must_stop_does_not_begin_to_wait(waited_for):
    seen = []

    def run(task):
        task.job.cancel()
        try:
            waited_for.run().wait()
        except Cancelled as stop:
            seen.append(stop)
            raise

    job = Job()
    job.add_task(routines(run=run))
    assert ended(job).state is JobState.CANCELLED
    assert len(seen) == 1


def test_a_job_may_end_while_its_event_is_linked_to_from_a_task():
    event, job = Job().run(), Job()
    job.add_task(routines(lambda task: gevent.wait([event]), done))
    assert isinstance(event, Event)
    assert ended(job).state is JobState.DONE
