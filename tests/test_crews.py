"""The greenlets of tasks: which of them serve again, and what they offer to others."""

from __future__ import annotations

import contextvars
import gc
import subprocess
import sys
import weakref

import gevent
import pytest
from gevent.event import AsyncResult
from gevent.event import Event as GeventEvent
from gevent.pool import Group
from gevent.util import format_run_info
from greenlet import GreenletExit, getcurrent
from makers import ended, park, passes, routines

from gowork import Job, JobState, TaskState, crews, current_task
from gowork.crews import Crew, Member

variable = contextvars.ContextVar("variable", default="nothing")


@pytest.fixture(autouse=True)
def not_traced(monkeypatch):
    """As if no tracer, of a debugger or of coverage, had been there at import."""
    monkeypatch.setattr(crews, "UNKNOWN", crews._count_references())


def members():
    """The greenlets of tasks that live, whatever they do."""
    gc.collect()
    return [one for one in gc.get_objects() if isinstance(one, Member) and not one.dead]


def ids_of_greenlets(job, tasks, function=lambda: None):
    """The greenlets in which *tasks* that call *function* lived, as numbers."""
    ids = []

    def run():
        ids.append(id(getcurrent()))
        function()

    for _ in range(tasks):
        job.spawn(run)
    ended(job)
    return ids


# Who serves again


def test_a_greenlet_whose_task_is_over_serves_the_next_task():
    assert len(set(ids_of_greenlets(Job(), 100))) == 1


def test_it_begins_each_task_with_the_tasks_own_context_and_name():
    seen = []

    def look():
        seen.append((variable.get(), getcurrent().name, current_task().index))
        variable.set("another")

    job = Job(name="job")
    for value in "abc":
        contextvars.copy_context().run(lambda value=value: (variable.set(value), job.spawn(look)))
    ended(job)
    assert seen == [("a", "job/look", 1), ("b", "job/look", 2), ("c", "job/look", 3)]


def test_one_that_has_waited_ends_with_its_task():
    event, dead = GeventEvent(), []
    job = Job()
    job.spawn(event.wait)
    job.add_task(routines(None, park))
    job.run()
    passes()
    waiting = weakref.ref(next(one for one in members() if "wait" in one.name))
    event.set()
    passes()
    dead.append(waiting() is None or waiting().dead)
    job.finish()
    job.join()
    assert dead == [True]


def test_a_timeout_that_a_task_has_left_behind_hits_no_other_task():
    left = []

    def careless():
        left.append(gevent.Timeout.start_new(0.001))

    def wait_for_the_timer():
        while left[0].pending:
            gevent.sleep(0.001)

    job = Job()
    job.spawn(careless)
    for _ in range(3):
        job.spawn(wait_for_the_timer)
    assert ended(job).state is JobState.DONE


def test_a_kill_that_comes_after_the_task_hits_no_other_task():
    def ask_for_death():
        getcurrent().kill(block=False)

    job = Job()
    job.spawn(ask_for_death)
    others = [job.spawn(passes, 4) for _ in range(3)]
    assert ended(job).state is JobState.DONE
    assert {task.state for task in others} == {TaskState.FINISHED}


def test_a_task_for_which_there_is_no_greenlet_has_failed(monkeypatch):
    error = MemoryError()

    def fails(crew):
        raise error

    job = Job()
    task = job.spawn(int)
    monkeypatch.setattr(Crew, "_recruit", fails)
    assert ended(job).interrupted_by == (task, error)
    assert task.state is TaskState.FAILED


def test_an_error_in_the_hub_when_a_task_was_to_begin_is_the_hubs_if_the_job_is_ending(monkeypatch):
    error, told = MemoryError(), []

    def fails(crew):
        job.finish()
        raise error

    monkeypatch.setattr(Crew, "_recruit", fails)
    monkeypatch.setattr(gevent.get_hub(), "handle_error", lambda *args: told.append(args[2]))
    job = Job()
    job.spawn(int)
    assert ended(job).state is JobState.DONE
    assert told == [error]


def test_when_the_spare_one_is_killed_the_next_task_gets_another():
    job = Job(forget=True)
    job.add_task(routines(None, park))
    job.run()
    job.spawn(int)
    passes()
    (spare,) = [one for one in members() if one.gowork_task is None]
    assert "spare" in repr(spare)
    spare.kill()
    assert spare.dead and spare not in job._crew
    task = job.spawn(lambda: "done")
    assert task.join(10) and task.result == "done"
    job.finish()
    job.join()


@pytest.mark.parametrize("meet", [repr, lambda spare: spare.kill(block=False)], ids=["see", "kill"])
def test_who_finds_the_spare_one_does_nothing_to_the_next_task(meet):
    job = Job(name="job", forget=True)
    job.add_task(routines(None, park))
    job.run()
    job.spawn(int)
    passes()
    task = job.spawn(lambda: getcurrent().name)
    meet(*[one for one in members() if one.gowork_task is None])
    assert task.join(10) and task.result == "job/<lambda>"
    job.finish()
    job.join()


def test_none_is_left_when_the_job_has_ended():
    job = Job()
    for _ in range(10):
        job.spawn(int)
    job.spawn(passes)
    job.run()
    left = []
    job.run().rawlink(lambda _: left.append(members()))
    job.join()
    passes()
    assert left == [[]]


def test_a_job_that_runs_for_ever_keeps_one_greenlet_at_most_without_a_task():
    job = Job(forget=True)
    job.add_task(routines(None, park))
    job.run()
    for _ in range(50):
        job.spawn(int)
    passes(8)
    assert len(members()) <= 2
    job.finish()
    job.join()
    assert members() == []


def test_a_spare_greenlet_keeps_nothing_of_the_task_that_it_served():
    class Heavy:
        pass

    heavy = Heavy()
    reference = weakref.ref(heavy)
    job = Job(forget=True)
    job.add_task(routines(None, park))
    with_it = contextvars.copy_context()
    with_it.run(variable.set, heavy)
    with_it.run(job.spawn, str, heavy)
    job.run()
    del heavy, with_it
    passes()
    gc.collect()
    assert reference() is None
    job.finish()
    job.join()


@pytest.mark.parametrize("caught", [False, True])
def test_an_error_that_is_kept_keeps_no_greenlet(caught):
    def fail():
        try:
            raise ValueError
        except ValueError as error:
            errors.append(error)
            if not caught:
                raise

    errors, release = [], GeventEvent()
    job = Job()
    job.spawn(release.wait)
    job.spawn(fail)
    job.run()
    passes()
    release.set()
    job.join()
    gc.collect()
    left = [one for one in gc.get_objects() if isinstance(one, Member)]
    assert errors and all(one.dead and one.parent is gevent.get_hub() for one in left)


@pytest.mark.parametrize("tracing", ["sys.settrace", "sys.setprofile"])
def test_a_process_that_is_traced_makes_a_greenlet_for_each_task(tracing):
    program = (
        f"import sys; {tracing}(lambda *args: None)\nfrom gowork import crews; print(crews.UNKNOWN)"
    )
    assert subprocess.check_output([sys.executable, "-c", program], timeout=30) == b"0\n"


def test_one_that_is_known_is_told_apart_also_if_greenlets_were_traced_when_gowork_was_imported():
    program = (
        "import gevent; from gevent._tracer import GreenletTracer; tracer = GreenletTracer()\n"
        "from gowork import Job; tracer.kill(); known, ids = [], []\n"
        "def meet():\n"
        "    known.append(gevent.getcurrent()); ids.append(id(known[0]))\n"
        "with Job() as job:\n"
        "    job.spawn(meet); job.spawn(lambda: ids.append(id(gevent.getcurrent())))\n"
        "print(ids[0] == ids[1])"
    )
    assert subprocess.check_output([sys.executable, "-c", program], timeout=30) == b"False\n"


# What a greenlet of a task offers


@pytest.fixture
def parked():
    """A job of one task that is parked, and the greenlet of the task."""
    greenlets = []

    def run(task):
        greenlets.append(getcurrent())
        task.park()

    job = Job(name="job")
    job.add_task(routines(None, run), name="task")
    job.run()
    passes()
    yield job, greenlets.pop()
    job.finish()
    job.join()


def test_it_is_called_like_its_task_unless_somebody_calls_it_otherwise(parked):
    _, member = parked
    assert member.name == "job/task" and "job/task" in repr(member)
    member.name = "another"
    assert member.name == "another" and "another" in repr(member)


@pytest.mark.parametrize(
    "wait",
    [
        lambda member: member.join(),
        lambda member: gevent.joinall([member], raise_error=True),
        lambda member: gevent.wait([member]),
        lambda member: member.get(),
    ],
)
def test_others_can_wait_for_it(parked, wait):
    job, member = parked
    waiter = gevent.spawn(wait, member)
    passes()
    assert not waiter.ready() and not member.ready()
    job.finish()
    waiter.join()
    assert waiter.successful() and member.ready() and member.dead and member.successful()


def test_its_end_can_be_waited_for_with_whatever_of_gevents_takes_links(parked):
    job, member = parked
    result, said = AsyncResult(), []
    member.rawlink(result)
    member.link(lambda one: said.append((one, getcurrent() is gevent.get_hub())))
    job.finish()
    job.join()
    assert result.get(timeout=10) is None
    passes()
    assert said == [(member, False)]


@pytest.mark.parametrize("how", [{"block": False}, {"timeout": 0.001}])
def test_to_wait_for_it_in_vain_raises_a_timeout(parked, how):
    with pytest.raises(gevent.Timeout):
        parked[1].get(**how)


def test_who_waits_in_vain_goes_on_when_the_time_is_over(parked):
    _, member = parked
    member.join(0.001)
    assert not member.dead


@pytest.mark.parametrize("error", [GreenletExit, GreenletExit("why"), ValueError("why")])
@pytest.mark.parametrize(
    "kill",
    [
        lambda member, error: member.kill(error),
        lambda member, error: gevent.kill(member, error),
        lambda member, error: gevent.killall([member], error),
        lambda member, error: Group([member]).kill(error),
        lambda member, error: gevent.get_hub().loop.run_callback(member.throw, error),
    ],
)
def test_whatever_kills_it_fails_its_task(parked, kill, error):
    job, member = parked
    kill(member, error)
    job.join()
    (task,) = job.tasks
    kind = error if isinstance(error, type) else type(error)
    assert task.state is TaskState.FAILED and type(task.error) is kind
    assert job.interrupted_by == (task, task.error) and member.dead


def test_to_kill_or_throw_into_a_dead_one_does_nothing(parked):
    job, member = parked
    job.finish()
    job.join()
    assert member.kill() is None and member.throw(ValueError) is None
    assert member.get(block=False) is None
    assert job.state is JobState.DONE


def test_links_are_called_in_the_hub_when_it_is_dead_and_can_be_taken_back(parked):
    job, member = parked
    said = []
    member.rawlink(lambda one: said.append((one is member, one.dead, getcurrent())))
    member.rawlink(said.append)
    member.unlink(said.append)
    member.unlink(print)
    job.finish()
    job.join()
    passes()
    assert said == [(True, True, gevent.get_hub())]


def test_a_link_to_a_dead_one_is_called_too(parked):
    job, member = parked
    job.finish()
    job.join()
    said = []
    member.rawlink(said.append)
    assert said == []
    passes()
    assert said == [member]


@pytest.mark.hub_prints
def test_a_link_that_fails_is_told_by_the_hub_and_keeps_no_other_from_its_turn(parked):
    job, member = parked
    said = []
    member.rawlink(lambda one: 1 / 0)
    member.rawlink(said.append)
    job.finish()
    job.join()
    passes()
    assert said == [member]
    assert "ZeroDivisionError" in gevent.get_hub().exception_stream.getvalue()


def test_it_knows_who_has_run_the_job_and_shares_the_locals_of_that_tree():
    seen = []

    def look():
        seen.append((getcurrent().spawning_greenlet(), getcurrent().spawn_tree_locals))
        gevent.spawn(lambda: seen.append(getcurrent().spawn_tree_locals)).join()

    def root():
        getcurrent().spawn_tree_locals["user"] = "me"
        job = Job()
        job.spawn(look)
        ended(job)

    spawner = gevent.spawn(root)
    spawner.join()
    assert seen == [(spawner, {"user": "me"}), {"user": "me"}]


def test_tasks_of_a_job_that_the_main_greenlet_runs_share_locals_with_each_other():
    job = Job()
    job.spawn(lambda: getcurrent().spawn_tree_locals.update(user="me"))
    task = job.spawn(lambda: gevent.spawn(lambda: getcurrent().spawn_tree_locals).get())
    ended(job)
    assert task.result == {"user": "me"}


def test_it_has_a_small_number_of_its_own(parked):
    _, member = parked
    other = gevent.spawn(int)
    assert member.minimal_ident == member.minimal_ident != other.minimal_ident
    assert 0 <= member.minimal_ident < 10_000
    other.join()


def test_what_gevent_shows_of_all_greenlets_has_its_name(parked):
    assert "job/task" in "".join(format_run_info())


def test_its_group_has_it_as_long_as_it_lives(parked):
    job, member = parked
    crew = job._crew
    assert list(crew) == [member] and not crew.join(timeout=0.001)
    job.finish()
    job.join()
    assert not crew and crew.join(timeout=0)


def test_nobody_is_left_when_gowork_has_been_imported():
    program = (
        "import gc, gowork.crews as crews; gc.collect()\n"
        "print([one for one in gc.get_objects() if isinstance(one, (crews.Member, crews.Crew))])"
    )
    assert subprocess.check_output([sys.executable, "-c", program], timeout=30) == b"[]\n"
