"""How a job starts, grows and ends when nothing goes wrong."""

from __future__ import annotations

import gc

import gevent
import pytest
from gevent.event import Event as GeventEvent
from greenlet import greenlet
from makers import done, ended, noting, park, passes, raising, routines

from gowork import Job, JobState, StateError, TaskState


def states_of(job):
    return [task.state for task in job.tasks]


def greenlets_of(job):
    """All that live and are named after *job*."""
    gc.collect()
    return [
        one
        for one in gc.get_objects()
        if isinstance(one, greenlet)
        and str(getattr(one, "name", "")).startswith(f"{job.name}/")
        and not one.dead
    ]


# Start


def test_a_job_with_no_tasks_is_done_at_once():
    job = Job()
    assert job.state is JobState.NEW
    assert job.run().is_set()
    assert job.state is JobState.DONE


def test_a_job_with_only_a_oneshot_is_done_after_it():
    job = Job()
    oneshot = job.add_oneshot_task(routines(run=done))
    assert ended(job).state is JobState.DONE
    assert oneshot.state is TaskState.FINISHED


def test_many_tasks_all_run_and_the_job_is_done():
    job = Job(value=0)

    def count(task):
        gevent.sleep(task.index / 1e3)
        job.value += 1
        task.done()

    for _ in range(50):
        job.add_task(routines(run=count))
    assert ended(job).state is JobState.DONE
    assert job.value == 50
    assert states_of(job) == [TaskState.FINISHED] * 50


def test_the_oneshot_is_done_before_any_other_begins_and_all_inits_before_any_run():
    notes = []
    job = Job()
    for name in "ab":
        job.add_task(
            routines(noting(notes, f"init {name}"), noting(notes, f"run {name}", done)), name=name
        )
    job.add_oneshot_task(routines(noting(notes, "init 0"), noting(notes, "run 0", done)))
    assert ended(job).state is JobState.DONE
    assert notes == ["init 0", "run 0", "init a", "init b", "run a", "run b"]


def test_an_init_that_blocks_holds_up_the_next_and_every_run():
    notes, gate = [], GeventEvent()
    job = Job()
    job.add_task(routines(run=noting(notes, "run 1", done)))
    job.add_task(routines(noting(notes, "init 2", lambda task: gate.wait()), done))
    job.add_task(routines(noting(notes, "init 3"), done))
    over = job.run()
    passes(10)
    assert notes == ["init 2"]
    gate.set()
    over.wait()
    assert notes == ["init 2", "init 3", "run 1"]


def test_a_oneshot_that_blocks_holds_up_every_init():
    notes, gate = [], GeventEvent()
    job = Job()
    job.add_oneshot_task(routines(lambda task: gate.wait(), done))
    job.add_task(routines(noting(notes, "init"), done))
    over = job.run()
    passes(10)
    assert notes == []
    gate.set()
    over.wait()
    assert notes == ["init"]


def test_the_states_of_a_job_are_seen_from_inside_and_outside():
    seen, signal = [], GeventEvent()

    def look(task):
        seen.append(task.job.state)
        task.done()

    job = Job().with_prerequisites(signal)
    job.add_oneshot_task(routines(run=look))
    job.add_task(routines(None, look, look))
    seen.append(job.state)
    over = job.run()
    seen.append(job.state)
    signal.set()
    over.wait()
    assert [*seen, job.state] == list(JobState)[:5] + [JobState.DONE]


def test_the_states_of_a_task_are_seen_from_inside_and_outside():
    seen = []

    def look(task):
        seen.append(task.state)
        task.done()

    job = Job()
    task = job.add_task(routines(look, look, look))
    assert task.state is TaskState.PENDING
    ended(job)
    assert seen == [TaskState.RUNNING, TaskState.FINISHED]


def test_a_task_without_run_is_done_after_its_init():
    notes = []
    job = Job()
    task = job.add_task(routines(noting(notes, "init")))
    assert ended(job).state is JobState.DONE
    assert task.state is TaskState.FINISHED
    assert notes == ["init"]


def test_a_task_of_a_finalizer_alone_takes_its_turn_among_the_inits():
    notes = []
    job = Job()
    first = routines(noting(notes, "init 1"), done, noting(notes, "finalize 1"))
    job.add_task(first)
    alone = job.add_task(routines(finalize=noting(notes, "finalize 2")))

    def init(task):
        notes.append(f"init 3, task 2 is {alone.state.name}")

    job.add_task(routines(init, done, noting(notes, "finalize 3")))
    assert ended(job).state is JobState.DONE
    assert notes == [
        "init 1",
        "init 3, task 2 is FINISHED",
        "finalize 3",
        "finalize 2",
        "finalize 1",
    ]


def test_a_task_of_no_routines_is_finished():
    job = Job()
    job.add_oneshot_task(routines())
    job.add_task(routines())
    assert ended(job).state is JobState.DONE
    assert states_of(job) == [TaskState.FINISHED] * 2


# Ends that come early


def test_a_job_cancelled_before_it_was_run_never_runs_anything():
    notes = []
    job = Job()
    whole = routines(*[noting(notes, what, done) for what in ("init", "run", "finalize")])
    job.add_oneshot_task(whole)
    job.add_task(whole)
    assert job.cancel() is True
    assert job.state is JobState.CANCELLED
    assert job.run().is_set()
    passes()
    assert notes == []
    assert states_of(job) == [TaskState.SKIPPED] * 2


def test_a_job_finished_before_it_was_run_is_done_and_its_tasks_are_skipped():
    job = Job()
    job.add_task(routines(run=done))
    assert job.finish() is True
    assert job.run().is_set()
    assert job.state is JobState.DONE
    assert states_of(job) == [TaskState.SKIPPED]


def test_a_job_cancelled_while_it_waits_begins_no_task():
    job = Job().with_prerequisites(GeventEvent())
    job.add_oneshot_task(routines(run=done))
    job.add_task(routines(run=done))
    over = job.run()
    passes()
    job.cancel()
    over.wait()
    assert job.state is JobState.CANCELLED
    assert states_of(job) == [TaskState.SKIPPED] * 2


def test_a_oneshot_that_fails_leaves_the_others_unbegun():
    job = Job()
    oneshot = job.add_oneshot_task(routines(run=raising(ValueError())))
    other = job.add_task(routines(noting([], "", park), park, park))
    assert ended(job).state is JobState.CANCELLED
    assert (oneshot.state, other.state) == (TaskState.FAILED, TaskState.SKIPPED)
    assert other.result is None


def test_an_init_that_fails_leaves_later_ones_unbegun_and_calls_no_run():
    notes = []
    job = Job()
    job.add_task(routines(noting(notes, "init 1"), noting(notes, "run 1", done)))
    job.add_task(routines(raising(ValueError()), noting(notes, "run 2", done)))
    job.add_task(routines(noting(notes, "init 3"), noting(notes, "run 3", done)))
    assert ended(job).state is JobState.CANCELLED
    assert notes == ["init 1"]
    assert states_of(job) == [TaskState.CANCELLED, TaskState.FAILED, TaskState.SKIPPED]


# Adding to a running job


def test_a_task_added_to_a_running_job_starts_at_once():
    notes = []
    job = Job()
    keeper = job.add_task(routines(run=park))
    over = job.run()
    passes()
    added = job.add_task(routines(noting(notes, "init"), noting(notes, "run", done)))
    passes()
    assert notes == ["init", "run"]
    assert added.state is TaskState.FINISHED
    keeper.done()
    over.wait()
    assert job.state is JobState.DONE


@pytest.mark.parametrize("begins_at", ["init", "oneshot", "waiting"])
def test_a_task_added_before_the_gate_has_opened_begins_with_the_others(begins_at):
    notes, signal = [], GeventEvent()
    job = Job()
    if begins_at == "waiting":
        job.with_prerequisites(signal)
    elif begins_at == "oneshot":
        job.add_oneshot_task(routines(lambda task: signal.wait(), done))
    blocker = signal.wait if begins_at == "init" else passes
    job.add_task(routines(lambda task: blocker(), noting(notes, "run 1", done)))
    over = job.run()
    passes(10)
    job.add_task(routines(noting(notes, "init 2"), noting(notes, "run 2", done)))
    passes(10)
    assert notes == []
    signal.set()
    over.wait()
    assert notes == ["init 2", "run 1", "run 2"]


def test_a_task_may_add_the_next_one_and_the_job_waits_for_it():
    job = Job(value=0)

    def run(task):
        job.value += 1
        if job.value < 100:
            job.add_task(routines(run=run))
        task.done()

    job.add_task(routines(run=run))
    assert ended(job).state is JobState.DONE
    assert [task.index for task in job.tasks] == list(range(1, 101))
    assert job.value == 100


def test_a_oneshot_may_add_tasks_and_a_task_without_greenlet_may_be_added():
    job = Job()

    def run(task):
        job.add_task(routines())
        job.add_task(routines(finalize=done))
        job.spawn(passes)
        task.done()

    job.add_oneshot_task(routines(run=run))
    assert ended(job).state is JobState.DONE
    assert states_of(job) == [TaskState.FINISHED] * 4


def test_a_task_of_a_finalizer_alone_may_be_added_to_a_running_job():
    notes = []
    job = Job()
    keeper = job.add_task(routines(run=park))
    job.run()
    passes()
    assert job.add_task(routines(finalize=noting(notes, "f"))).state is TaskState.FINISHED
    keeper.done()
    assert job.join()
    assert notes == ["f"]


def test_nothing_can_be_added_once_the_job_finalizes():
    refused = []

    def finalize(task):
        for add in (job.add_task, job.spawn, job.add_oneshot_task):
            with pytest.raises(StateError) as refusal:
                add(routines(run=done))
            refused.append(refusal.value.state)

    job = Job()
    job.add_task(routines(None, done, finalize))
    assert ended(job).state is JobState.DONE
    assert refused == [JobState.FINALIZING] * 3


@pytest.mark.parametrize("end", [Job.finish, Job.cancel])
def test_nothing_can_be_added_to_an_ended_job(end):
    job = Job()
    end(job)
    for add in (job.add_task, job.spawn, job.add_oneshot_task):
        with pytest.raises(StateError) as refusal:
            add(routines(run=done))
        assert refusal.value.state is job.state
    assert job.tasks == ()


# The end


@pytest.mark.parametrize("fails", [False, True])
def test_an_end_never_changes(fails):
    job = Job()
    task = job.add_task(routines(run=raising(ValueError()) if fails else done))
    ended(job)
    before = (job.state, task.state, job.interrupted_by, job.errors, job.unstopped)
    assert job.cancel(KeyError()) is False
    assert job.finish() is False
    assert job.run().is_set()
    for verdict in (task.tick, task.idle, task.park, task.done, task.finish_job):
        verdict()
    passes()
    assert (job.state, task.state, job.interrupted_by, job.errors, job.unstopped) == before


def wait_a_little(task):
    passes()


@pytest.mark.parametrize("last", [raising(ValueError()), lambda task: task.finish_job()])
def test_when_the_end_is_published_no_greenlet_of_the_job_is_left(last):
    left = []
    job = Job(name="lived")
    job.add_task(routines(wait_a_little, park, wait_a_little))
    job.add_task(routines(None, park))
    job.add_task(routines(wait_a_little, last))
    job.run().rawlink(lambda event: left.append(greenlets_of(job)))
    ended(job)
    assert left == [[]]


def test_when_a_job_that_owes_no_clean_up_is_done_none_of_its_greenlets_is_left():
    left = []
    job = Job(name="lived")
    for _ in range(3):
        job.add_task(routines(run=done))
    job.run().rawlink(lambda event: left.append(greenlets_of(job)))
    ended(job)
    assert left == [[]]


def test_the_end_is_published_after_the_last_finalizer():
    seen = []

    def finalize(task):
        passes()
        seen.append((job.state, job.run().is_set()))

    job = Job()
    job.add_task(routines(None, done, finalize))
    ended(job)
    assert seen == [(JobState.FINALIZING, False)]
