"""Greenlets that serve again: nothing that was meant for one task finds another."""

from __future__ import annotations

import contextvars
import gc
import weakref

import gevent
import pytest
from gevent.event import Event as GeventEvent
from gevent.local import local
from greenlet import GreenletExit, getcurrent, greenlet
from hypothesis import given
from hypothesis import strategies as st
from makers import ended, park, passes, routines

from gowork import Job, JobState, crews, current_task
from gowork.crews import Member

variable = contextvars.ContextVar("variable", default=None)
storage = local()
kept = []


@pytest.fixture(autouse=True)
def not_traced(monkeypatch):
    """As if no tracer, of a debugger or of coverage, had been there at import."""
    monkeypatch.setattr(crews, "UNKNOWN", crews._count_references())


@pytest.fixture
def made(monkeypatch):
    """A list that grows by one with each greenlet that is made for tasks."""
    made = []
    init = Member.__init__

    def count(self, crew):
        made.append(1)
        init(self, crew)

    monkeypatch.setattr(Member, "__init__", count)
    return made


@pytest.fixture
def forgotten():
    yield
    for one in kept:
        if isinstance(one, gevent.Timeout):
            one.close()
    kept.clear()
    gc.collect()


def set_storage():
    storage.value = 1


def wait_in_a_generator():
    def wait():
        me = getcurrent()
        yield me

    kept.append(wait())
    next(kept[-1])


def fail_and_keep_the_error():
    me = getcurrent()
    try:
        raise KeyError(me)
    except KeyError as error:
        kept.append(error)


def fail_and_forget():
    me = getcurrent()
    with pytest.raises(KeyError):
        raise KeyError(me)


ACQUAINTANCES = {
    "a reference": lambda: kept.append(getcurrent()),
    "a bound method": lambda: kept.append(getcurrent().switch),
    "a weak reference": lambda: kept.append(weakref.ref(getcurrent())),
    "a timer": lambda: kept.append(gevent.Timeout.start_new(3600)),
    "a link": lambda: getcurrent().rawlink(id),
    "a link taken back": lambda: (getcurrent().rawlink(id), getcurrent().unlink(id)),
    "an attribute": lambda: setattr(getcurrent(), "mine", 1),
    "a parent": lambda: setattr(
        getcurrent(), "parent", greenlet(lambda *_: None, gevent.get_hub())
    ),
    "a number": lambda: getcurrent().minimal_ident,
    "a local of gevent": set_storage,
    "a generator": wait_in_a_generator,
    "an error": fail_and_keep_the_error,
    "a kill": lambda: getcurrent().kill(block=False),
    "a wait": lambda: gevent.sleep(0),
}

STRANGERS = {
    "nothing": int,
    "a look": lambda: getcurrent() and None,
    "its own variable": lambda: variable.set(1),
    "a timer that is closed": lambda: gevent.Timeout.start_new(3600).close(),
    "a weak reference that is gone": lambda: weakref.ref(getcurrent()) and None,
    "an error that nobody keeps": fail_and_forget,
}


@pytest.mark.parametrize("what", ACQUAINTANCES)
def test_one_that_is_known_serves_no_other_task(what, made, forgotten):
    job = Job()
    job.spawn(ACQUAINTANCES[what])
    job.spawn(int)
    assert ended(job).state is JobState.DONE
    assert len(made) == 2


@pytest.mark.parametrize("what", STRANGERS)
def test_one_that_nobody_knows_serves_the_next_task(what, made):
    job = Job()
    job.spawn(STRANGERS[what])
    job.spawn(int)
    ended(job)
    assert len(made) == 1


@given(st.lists(st.sampled_from([*ACQUAINTANCES, *STRANGERS]), max_size=20))
def test_whatever_tasks_do_each_finds_what_is_its_own(deeds):
    def live(deed):
        me = current_task()
        seen.append((me.name, variable.get(), getattr(storage, "value", None)))
        deed()
        variable.set("left behind")
        seen.append((current_task() is me, getcurrent().name))

    seen, job = [], Job(name="job")
    for number, what in enumerate(deeds):
        deed = {**ACQUAINTANCES, **STRANGERS}[what]
        one = routines(None, lambda task, deed=deed: (task.done(), live(deed)))
        job.add_task(one, name=str(number))
    ended(job)
    for one in kept:
        getattr(one, "close", int)()
    kept.clear()
    began = [entry for entry in seen if len(entry) == 3]
    assert began == [(str(number), None, None) for number in range(len(deeds))]
    names = {entry for entry in seen if len(entry) == 2}
    assert names == {(True, f"job/{number}") for number in range(len(deeds))}


MEETINGS = {
    "a reference": lambda spare: spare,
    "a weak reference": weakref.ref,
    "a look": repr,
    "none": None,
}


@pytest.mark.parametrize("how", MEETINGS)
def test_a_spare_one_that_somebody_finds_serves_no_more(made, how):
    job = Job(forget=True)
    job.add_task(routines(None, park))
    job.run()
    job.spawn(int)
    passes()
    before = len(made)
    found = MEETINGS[how] and MEETINGS[how](job._crew._spare)
    job.spawn(int)
    passes()
    assert len(made) - before == (0 if how == "none" else 1)
    job.finish()
    job.join()
    del found


def test_none_is_made_for_a_task_that_is_skipped(made):
    job = Job()
    job.spawn(job.finish)
    for _ in range(3):
        job.spawn(int)
    ended(job)
    assert len(made) == 1


# What it offers to others


@pytest.fixture
def stubborn():
    """A job whose task waits for *release* whatever is raised in it, and its greenlet."""
    release, members = GeventEvent(), []

    def wait():
        members.append(getcurrent())
        while not release.is_set():
            try:
                release.wait()
            except GreenletExit:
                pass

    job = Job(grace=30)
    job.spawn(wait)
    job.run()
    passes()
    yield members.pop(), release
    release.set()
    job.run().wait()


def test_who_kills_it_waits_until_it_is_dead(stubborn):
    member, release = stubborn
    killer = gevent.spawn(member.kill)
    passes()
    assert not killer.ready()
    release.set()
    killer.join()
    assert member.dead


def test_who_kills_it_waits_no_longer_than_he_says(stubborn):
    member, _ = stubborn
    member.kill(timeout=0.001)
    assert not member.dead


def test_a_link_that_ends_itself_keeps_no_other_from_its_turn():
    def leave(one):
        raise GreenletExit

    def link():
        getcurrent().rawlink(leave)
        getcurrent().rawlink(said.append)

    said = []
    job = Job()
    job.spawn(link)
    ended(job)
    passes()
    assert [one.dead for one in said] == [True]


def test_it_does_not_keep_alive_who_has_run_the_job():
    job, release = Job(), GeventEvent()
    job.spawn(release.wait)
    runner = gevent.spawn(job.run)
    runner.join()
    reference = weakref.ref(runner)
    del runner
    passes()
    gc.collect()
    assert reference() is None
    release.set()
    job.join()
