"""The scenarios of the Go original's own tests, of today and of former versions, in its order.

Where the original waited for real milliseconds, what is awaited here is the event itself.
"""

from __future__ import annotations

import gevent
import pytest
from gevent.event import Event
from makers import done, ended, noting, raising, routines
from small_tasks import Broken, blocks, states

from gowork import Channel, IdleTimeout, Job, JobState, JobTimeout, TaskState

# Its tasks sleep for microseconds, of which libuv warns and makes a millisecond.
pytestmark = pytest.mark.filterwarnings("ignore:libuv only supports millisecond:UserWarning")


def counting_after(seconds):
    """A ``run`` that adds one to the job's value after *seconds*."""

    def run(task):
        gevent.sleep(seconds)
        task.job.value += 1
        task.done()

    return run


def failing_after(seconds, error):
    """A ``run`` that asserts in vain after *seconds*."""

    def run(task):
        gevent.sleep(seconds)
        task.assert_true(False, error)

    return run


def square(number):
    """A factory of tasks whose result is the square of *number*."""

    def run(task):
        gevent.sleep(number * 1e-4)
        task.result = number * number
        task.done()

    return routines(None, run)


# 1, 2: done


@pytest.mark.parametrize("count", [10, 50, 1000])
def test_all_tasks_are_done_and_so_is_the_job(count):
    job = Job(0)
    for index in range(count):
        job.add_task(routines(None, counting_after(index * 1e-6)))

    assert ended(job).state is JobState.DONE
    assert job.value == count
    assert set(states(job)) == {TaskState.FINISHED}


def test_a_oneshot_and_a_recurrent_task_are_both_done():
    job = Job(0)
    job.add_oneshot_task(routines(None, counting_after(1e-4)))
    job.add_task(routines(None, counting_after(1e-4)))

    assert ended(job).state is JobState.DONE
    assert job.value == 2
    assert states(job) == [TaskState.FINISHED] * 2


# 3, 4: cancelled


@pytest.mark.parametrize("count", [10, 100])
def test_a_failing_task_among_many_cancels_the_job(count):
    job = Job(0)
    for index in range(count):
        job.add_task(routines(None, counting_after(index * 1e-6)))
        job.add_task(routines(None, failing_after(index * 2e-6, Broken())))

    assert ended(job).state is JobState.CANCELLED
    assert job.interrupted_by.task.state is TaskState.FAILED
    assert isinstance(job.interrupted_by.error, Broken)


def test_the_finalizers_of_finished_tasks_run_though_another_has_failed():
    finalized = []
    others = []

    def fail_last(task):
        gevent.wait([gevent.spawn(other.join) for other in others])
        raise Broken

    job = Job()
    others += [job.add_task(routines(None, done, noting(finalized, index))) for index in range(10)]
    job.add_task(routines(None, fail_last))

    assert ended(job).state is JobState.CANCELLED
    assert finalized == list(range(9, -1, -1))
    assert states(job) == [TaskState.FINISHED] * 10 + [TaskState.FAILED]


# 5, 6: timeout


def test_tasks_that_are_quick_enough_meet_no_timeout():
    job = Job(0).with_timeout(10)
    for index in range(100):
        job.add_task(routines(None, counting_after(index * 1e-4)))

    assert ended(job).state is JobState.DONE
    assert job.value == 100
    assert not job.was_timed_out()


def test_a_quick_task_finishes_and_a_slow_one_is_cancelled_by_the_timeout():
    job = Job(0).with_timeout(0.05)
    job.add_task(routines(None, counting_after(0.001)))
    job.add_task(routines(None, counting_after(99999)))

    done_event = job.run()

    assert not done_event.is_set()
    assert done_event.wait()
    assert job.state is JobState.CANCELLED
    assert isinstance(job.interrupted_by.error, JobTimeout)
    assert job.value == 1
    assert states(job) == [TaskState.FINISHED, TaskState.CANCELLED]


# 7, 8, 9: oneshot


def test_the_oneshot_is_done_before_another_task_begins():
    order = []
    job = Job()
    job.add_oneshot_task(routines(None, noting(order, "oneshot", done)))

    def run(task):
        order.append("square")
        task.result = 4 * 4
        task.done()

    task = job.add_task(routines(None, run))

    assert ended(job).state is JobState.DONE
    assert order == ["oneshot", "square"]
    assert task.result == 16


def test_after_a_failing_oneshot_nothing_else_runs():
    job = Job()
    job.add_oneshot_task(routines(None, raising(Broken())))
    task = job.add_task(square(4))

    assert ended(job).state is JobState.CANCELLED
    assert task.state is TaskState.SKIPPED
    assert task.result is None


def test_a_background_start_returns_when_the_oneshot_is_done():
    go_on = Event()
    job = Job(0)
    job.add_oneshot_task(routines(None, counting_after(0.001)))

    def run(task):
        go_on.wait()
        task.job.value += 1
        task.done()

    job.add_task(routines(None, run))

    job.run_in_background().wait()

    assert (job.state, job.value) == (JobState.RECURRENT_RUNNING, 1)
    go_on.set()
    job.job_done_notify().wait()
    assert (job.state, job.value) == (JobState.DONE, 2)


# 10, 11: assertions


def test_of_many_tasks_a_third_fails_and_the_error_of_the_first_is_the_jobs():
    error = ZeroDivisionError("division by zero")
    job = Job()
    for index in range(300):
        job.add_task(routines(None, failing_after(0, error)) if index % 3 == 2 else square(index))

    assert ended(job).state is JobState.CANCELLED
    assert job.interrupted_by.error is error
    assert job.interrupted_by.task.index == 3


def test_a_missing_file_fails_the_job(tmp_path):
    def read(task):
        try:
            task.result = (tmp_path / "missing").read_bytes()
            error = None
        except OSError as caught:
            error = caught
        task.assert_true(error is None, error)
        task.done()

    job = Job()
    for _ in range(2):
        job.add_task(routines(None, read))

    assert ended(job).state is JobState.CANCELLED
    assert isinstance(job.interrupted_by.error, FileNotFoundError)


# 12, 13: idle timeout


def test_a_task_that_is_slower_than_its_idle_timeout_cancels_the_job():
    job = Job(0)
    task = job.add_task_with_idle_timeout(routines(None, counting_after(60)), 0.02)

    assert ended(job).state is JobState.CANCELLED
    assert job.interrupted_by.task is task
    assert isinstance(job.interrupted_by.error, IdleTimeout)
    assert job.value == 0


def test_a_task_that_is_quicker_than_its_idle_timeout_is_done():
    job = Job(0)
    job.add_task_with_idle_timeout(routines(None, counting_after(0.001)), 10)

    assert ended(job).state is JobState.DONE
    assert job.interrupted_by == (None, None)
    assert job.value == 1


# 14, 15: panics


def test_an_exception_in_run_cancels_the_job_with_it():
    error = Broken()

    def run(task):
        gevent.sleep(0.001)
        raise error

    job = Job()
    task = job.add_task(routines(None, run))

    assert ended(job).state is JobState.CANCELLED
    assert job.interrupted_by == (task, error)


def test_an_exception_in_init_cancels_the_job_with_it_and_run_is_never_called():
    error = Broken()
    called = []
    job = Job()
    task = job.add_task(routines(raising(error), noting(called, "run", done)))

    assert ended(job).state is JobState.CANCELLED
    assert job.interrupted_by == (task, error)
    assert called == []


# 16: prerequisites


def test_a_task_begins_when_both_signals_have_been_given():
    signals = [Event(), Event()]
    seen = []
    job = Job().with_prerequisites(*signals)

    def run(task):
        seen.extend(signal.is_set() for signal in signals)
        job.cancel()
        task.done()

    job.add_task(routines(None, run))
    for index, signal in enumerate(signals, start=1):
        gevent.spawn_later(index * 0.001, signal.set)

    assert ended(job).state is JobState.CANCELLED
    assert seen == [True, True]
    assert not job.was_timed_out()


# 17, 18: results


def test_a_finished_task_keeps_its_result_though_the_job_is_timed_out():
    job = Job().with_timeout(0.05)
    quick = job.add_task(square(3))
    slow = job.add_task(routines(None, blocks))

    assert ended(job).state is JobState.CANCELLED
    assert quick.result == 9
    assert slow.result is None


def test_a_task_may_depend_on_others_that_finish_at_different_times():
    job = Job()
    squares = [job.add_task(square(number)) for number in (4, 3, 2)]

    def add_up(task):
        for each in squares:
            each.join()
        task.result = sum(each.result for each in squares)
        task.done()

    total = job.add_task(routines(None, add_up))

    assert ended(job).state is JobState.DONE
    assert total.result == 29


# 19: errors


def test_as_many_tasks_have_failed_as_were_failing():
    go = Event()

    def divide_by_zero(task):
        go.wait()
        task.result = 1 / 0

    job = Job()
    for _ in range(30):
        job.add_task(routines(None, divide_by_zero))
    job.add_task(routines(None, blocks))
    job.spawn(go.set)
    notices = job.task_done_notify()

    ended(job)

    failed = [str(task.error) for task in notices if task.state is TaskState.FAILED]
    assert failed == ["division by zero"] * 30
    assert len(job.errors) == 30


def test_errors_may_go_through_a_channel_of_the_users():
    errors = Channel(10)

    def run(task):
        try:
            task.result = 1 / 0
        except ZeroDivisionError as error:
            errors.send(error)
        task.done()

    job = Job()
    job.add_task(routines(None, run))

    assert ended(job).state is JobState.DONE
    assert str(errors.recv()) == "division by zero"


# 20: routines that are not there


@pytest.mark.parametrize("init", [None, noting([], "init")])
@pytest.mark.parametrize("run", [None, done])
@pytest.mark.parametrize("finalize", [None, noting([], "finalize")])
def test_any_of_the_routines_may_be_missing(init, run, finalize):
    job = Job()
    task = job.add_task(routines(init, run, finalize))

    assert ended(job).state is JobState.DONE
    assert task.state is TaskState.FINISHED


def test_a_task_that_has_only_an_init_is_done_after_it():
    called = []
    job = Job()
    job.add_task(routines(noting(called, "init")))

    assert ended(job).state is JobState.DONE
    assert called == ["init"]
