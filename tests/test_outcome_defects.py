"""How jobs end, and say why.

The labels are those of the catalogue of faults of the Go original.
"""

from __future__ import annotations

import gevent
import pytest
from gevent.event import Event
from greenlet import GreenletExit
from makers import done, ended, in_a_thread, park, raising, routines
from small_tasks import Broken, blocks, states, ticks

from gowork import Cancelled, Job, JobState, StateError, TaskState
from gowork.states import JOB_TABLE, TASK_TABLE, JobGiven, TaskGiven
from gowork.testing.leaks import Census


def named(names):
    """A routine that notes the task's name."""
    return lambda task: names.append(task.name)


# W11: finish


def test_finish_stops_the_other_tasks_and_the_job_is_done():
    finalized = []
    job = Job()
    job.add_task(routines(None, blocks, named(finalized)), name="a")
    job.add_task(routines(None, park, named(finalized)), name="b")
    job.add_task(routines(None, lambda task: task.finish_job(), named(finalized)), name="c")

    assert ended(job).state is JobState.DONE
    assert states(job) == [TaskState.CANCELLED, TaskState.CANCELLED, TaskState.FINISHED]
    assert finalized == ["c", "b", "a"]
    assert job.errors == ()


def test_a_task_may_finish_its_job_without_a_verdict_of_its_own():
    job = Job()
    job.add_task(routines(None, lambda task: job.finish()))
    job.add_task(routines(None, blocks))

    assert ended(job).state is JobState.DONE
    assert job.errors == ()


def test_a_task_that_cancels_its_job_without_a_verdict_of_its_own_is_cancelled():
    reason = Broken()
    job = Job()
    task = job.add_task(routines(None, lambda task: job.cancel(reason)))

    assert ended(job).state is JobState.CANCELLED
    assert task.state is TaskState.CANCELLED
    assert job.errors == (reason,)


def test_a_task_that_cancels_its_job_and_is_done_is_cancelled():
    def run(task):
        job.cancel()
        task.done()

    job = Job()
    task = job.add_task(routines(None, run))

    assert ended(job).state is JobState.CANCELLED
    assert task.state is TaskState.CANCELLED


def test_a_task_may_finish_its_job_and_then_block():

    def run(task):
        job.finish()
        gevent.sleep(3600)

    job = Job()
    task = job.add_task(routines(None, run))

    assert ended(job).state is JobState.DONE
    assert task.state is TaskState.CANCELLED


def test_a_hundred_finished_jobs_leave_nothing_alive():
    before = Census()

    for _ in range(100):
        job = Job()
        job.add_task(routines(None, blocks))
        job.add_task(routines(None, lambda task: task.finish_job()))
        assert ended(job).state is JobState.DONE

    assert Census().since(before) == []


# W12, W13: who ended how, and why


def test_every_task_ends_in_a_state_that_says_how():
    error = Broken()
    job = Job()
    job.add_task(routines(None, done))
    job.add_task(routines(None, blocks))
    job.add_task(routines(None, raising(error)))
    job.add_task(routines(None, done))

    ended(job)

    assert [(task.state, task.error) for task in job.tasks] == [
        (TaskState.FINISHED, None),
        (TaskState.CANCELLED, None),
        (TaskState.FAILED, error),
        (TaskState.SKIPPED, None),
    ]


def test_the_state_of_an_ended_task_does_not_change():
    job = Job()
    finished = job.add_task(routines(None, done))
    failed = job.add_task(routines(None, raising(Broken())))
    ended(job)

    for task in (finished, failed):
        task.tick()
        task.done()
        task.finish_job()

    assert states(job) == [TaskState.FINISHED, TaskState.FAILED]
    assert job.state is JobState.CANCELLED


def test_the_first_error_is_the_reason_and_those_of_other_tasks_are_kept():
    errors = [Broken(number) for number in range(3)]
    go = Event()

    def fail_with(error):
        def run(task):
            go.wait()
            raise error

        return run

    job = Job()
    tasks = [job.add_task(routines(None, fail_with(error))) for error in errors]
    job.spawn(go.set)

    assert ended(job).state is JobState.CANCELLED
    assert job.interrupted_by == (tasks[0], errors[0])
    assert job.errors == tuple(errors)
    assert [task.error for task in tasks] == errors


@pytest.mark.parametrize("arguments", [(), (None,)])
def test_a_job_cancelled_without_a_reason_has_one_all_the_same(arguments):
    job = Job()
    job.add_task(routines(None, blocks))
    job.spawn(job.cancel, *arguments)

    ended(job)

    assert job.interrupted_by.task is None
    assert isinstance(job.interrupted_by.error, Cancelled)


# W14: helper greenlets


@pytest.mark.hub_prints
def test_a_failing_helper_greenlet_fails_the_task_that_gets_its_value():
    error = Broken()

    def run(task):
        gevent.spawn(raising(error), task).get()

    job = Job()
    task = job.add_task(routines(None, run))

    assert ended(job).state is JobState.CANCELLED
    assert job.interrupted_by == (task, error)


@pytest.mark.hub_prints
def test_an_assertion_in_a_helper_greenlet_is_an_exception_there_and_nothing_else():
    helpers = []

    def run(task):
        helpers.append(gevent.spawn(task.assert_true, False, Broken()))
        gevent.joinall(helpers)
        task.done()

    job = Job()
    job.add_task(routines(None, run))

    assert ended(job).state is JobState.DONE
    assert isinstance(helpers[0].exception.error, Broken)


@pytest.mark.hub_prints
def test_an_assertion_in_a_helper_greenlet_fails_the_task_that_gets_its_value():
    error = Broken()
    job = Job()
    task = job.add_task(
        routines(None, lambda task: gevent.spawn(task.assert_true, False, error).get())
    )

    assert ended(job).state is JobState.CANCELLED
    assert task.error is error


# W15: exits


@pytest.mark.parametrize("exit_with", [GreenletExit(), Cancelled(), GreenletExit("a value")])
def test_a_task_that_exits_of_its_own_has_failed(exit_with):
    job = Job()
    task = job.add_task(routines(None, raising(exit_with)))

    assert ended(job).state is JobState.CANCELLED
    assert task.state is TaskState.FAILED
    assert job.interrupted_by == (task, exit_with)


@pytest.mark.parametrize("run", [blocks, park])
def test_a_task_killed_from_outside_has_failed(run):
    greenlets = []
    job = Job()
    task = job.add_task(routines(lambda task: greenlets.append(gevent.getcurrent()), run))
    job.spawn(lambda: greenlets[0].kill(block=False))
    job.add_task(routines(None, blocks))

    assert ended(job).state is JobState.CANCELLED
    assert task.state is TaskState.FAILED
    assert job.interrupted_by.task is task


@pytest.mark.parametrize("exit_with", [KeyboardInterrupt(), SystemExit(3)])
def test_an_exit_of_the_process_cancels_the_job_and_goes_to_whoever_joins(exit_with):
    finalized = []
    job = Job()
    job.add_task(routines(None, blocks, named(finalized)), name="a")
    job.add_task(routines(None, raising(exit_with)))
    job.run()

    with pytest.raises(type(exit_with)) as raised:
        job.join()

    assert raised.value is exit_with
    assert job.state is JobState.CANCELLED
    assert finalized == ["a"]


def test_a_failure_of_the_test_inside_a_task_is_not_success():
    job = Job()
    job.spawn(pytest.fail, "not so")

    assert ended(job).state is JobState.CANCELLED
    assert isinstance(job.interrupted_by.error, pytest.fail.Exception)


# W16, W17: inits


def test_no_init_follows_one_that_failed():
    called = []
    job = Job()
    job.add_task(routines(named(called), ticks, named(called)), name="a")
    job.add_task(routines(raising(Broken()), ticks, named(called)), name="b")
    job.add_task(routines(named(called), ticks, named(called)), name="c")

    ended(job)

    assert called == ["a", "b", "a"]
    assert states(job) == [TaskState.CANCELLED, TaskState.FAILED, TaskState.SKIPPED]


def test_run_returns_while_an_init_blocks():
    caller = gevent.getcurrent()
    entered = Event()
    runners = []

    def init(task):
        runners.append(gevent.getcurrent())
        entered.set()
        gevent.sleep(3600)

    job = Job()
    job.add_task(routines(init, ticks))

    done = job.run()

    entered.wait()
    assert caller not in runners
    assert not done.is_set()
    job.cancel()
    assert done.wait(10)


@pytest.mark.parametrize("add", [Job.add_task, Job.add_oneshot_task])
def test_a_blocking_init_is_cut_by_the_timeout_and_finalized_when_dead(add):
    seen = []

    def init(task):
        try:
            gevent.sleep(3600)
        finally:
            gevent.sleep(0.001)
            seen.append("init is over")

    job = Job().with_timeout(0.01)
    add(job, routines(init, ticks, lambda task: seen.append(task.state)))

    assert ended(job).state is JobState.CANCELLED
    assert job.was_timed_out()
    assert seen == ["init is over", TaskState.CANCELLED]


# W18: hidden leaks


def test_a_hundred_jobs_with_long_timeouts_leave_no_timer_and_no_greenlet():
    before = Census()

    for _ in range(100):
        job = Job().with_timeout(3600)
        job.add_task(routines(None, done), idle_timeout=3600)
        assert ended(job).state is JobState.DONE

    assert Census().since(before) == []


def test_a_job_that_nobody_waits_for_leaves_nothing_behind():
    before = Census()
    ended = Event()
    job = Job().with_timeout(3600)
    job.add_task(routines(None, done, lambda task: ended.set()))

    job.run()

    ended.wait()
    gevent.sleep(0)
    assert job.state is JobState.DONE
    assert Census().since(before) == []


# W19: races


def test_ended_states_have_no_way_out():
    for state in (JobState.CANCELLED, JobState.DONE):
        assert set(JOB_TABLE[state].values()) == {None}
    for task_state in (
        TaskState.FINISHED,
        TaskState.FAILED,
        TaskState.CANCELLED,
        TaskState.SKIPPED,
    ):
        assert set(TASK_TABLE[task_state].values()) == {None}


def test_every_cell_of_both_tables_is_written():
    assert {state: set(row) for state, row in JOB_TABLE.items()} == {
        state: set(JobGiven) for state in JobState
    }
    assert {state: set(row) for state, row in TASK_TABLE.items()} == {
        state: set(TaskGiven) for state in TaskState
    }


def test_work_that_is_complete_when_its_deadline_fires_has_won():
    fired = Event()

    def run(task):
        timer = gevent.get_hub().loop.timer(0.01)
        timer.start(fired.set)  # due together with the job's own
        fired.wait()
        timer.close()
        task.done()

    job = Job().with_timeout(0.01)
    job.add_task(routines(None, run))

    cancelled = ended(job).state is JobState.CANCELLED

    assert cancelled is job.was_timed_out()
    assert cancelled is bool(job.errors)


@pytest.mark.parametrize("first", ["cancel", "finish"])
def test_of_reasons_in_one_pass_of_the_loop_the_first_wins(first):
    reason = Broken()
    job = Job()
    job.add_task(routines(None, blocks))

    def decide():
        ways = {
            "cancel": lambda: job.cancel(reason),
            "finish": job.finish,
        }
        assert ways.pop(first)() is True
        assert [way() for way in ways.values()] == [False]

    job.spawn(decide)

    assert ended(job).state is (JobState.CANCELLED if first == "cancel" else JobState.DONE)
    assert job.errors == ((reason,) if first == "cancel" else ())


def test_a_job_is_cancelled_from_another_thread():
    reason = Broken()
    job = Job()
    job.add_task(routines(None, blocks))
    job.spawn(in_a_thread, lambda: job.cancel(reason))

    assert ended(job).state is JobState.CANCELLED
    assert job.interrupted_by == (None, reason)


def test_another_thread_is_refused_what_is_not_safe_there():
    job = Job()
    job.add_task(routines(None, park))
    job.run()

    def add():
        with pytest.raises(StateError):
            job.add_task(routines(None, done))

    in_a_thread(add)

    job.finish()
    assert ended(job).state is JobState.DONE
