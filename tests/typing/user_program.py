"""A user's program, checked by mypy in strict mode without any plugin: it must find no fault."""

from __future__ import annotations

import logging
from typing import Any

from gowork import (
    Cancelled,
    Channel,
    ChannelClosed,
    Event,
    Job,
    JobCancelled,
    JobState,
    PingPong,
    Task,
    TaskState,
    current_task,
    register_default_logger,
    select,
)

numbers: Channel[int] = Channel(3, name="numbers")
words: Channel[str] = Channel()
requests: PingPong[bytes] = PingPong()


def produce(job: Job) -> tuple[Any, Any, Any]:
    def init(task: Task) -> None:
        task.result = 0

    def run(task: Task) -> None:
        numbers.send(task.index, timeout=1.0)
        task.assert_not_none(job.value)
        task.done()

    def finalize(task: Task) -> None:
        numbers.close()

    return init, run, finalize


class Consumer:
    """An object with the three routines."""

    def __init__(self) -> None:
        self.total = 0

    def init(self, task: Task) -> None:
        task.job.log(1, "%s begins", task.name)

    def run(self, task: Task) -> None:
        try:
            self.total += numbers.recv()
        except ChannelClosed:
            task.finish_job()
        else:
            task.tick()

    def finalize(self, task: Task) -> None:
        task.result = self.total


def serve(task: Task) -> None:
    with requests.recv() as data:
        size: int = len(data)
    task.assert_true(size > 0, ValueError("empty"))
    task.idle(0.5)


def choose() -> str | None:
    index, value, ok = select([numbers.receiving(), words.sending("x"), None], timeout=0)
    if index == 0 and ok:
        return str(value)
    running = current_task()
    return None if running is None else str(running.name)


def main() -> int:
    register_default_logger(logging.getLogger("user"))
    job = Job({"size": 1}, name="typed", grace=1.0)
    job.add_oneshot_task(lambda job: (None, serve, None), name="serve")
    task: Task = job.add_task(produce, idle_timeout=30.0)
    job.add_task_with_idle_timeout(Consumer(), 5)
    job.spawn(divmod, 7, 3)
    job.with_prerequisites(Job().run()).with_timeout(5).with_shutdown(print)
    done: Event = job.run()
    finished: bool = done.wait(timeout=10)
    if not finished:
        job.cancel(TimeoutError("too slow"))
    for one in job.task_done_notify():
        failed: bool = one.state is TaskState.FAILED
        print(one.name, failed)
    by, error = job.interrupted_by
    try:
        job.check()
    except JobCancelled as cancelled:
        print(cancelled.task, cancelled.errors, by, error)
    state: JobState = job.state
    joined: bool = task.join(timeout=1)
    with Job() as other:
        other.spawn(choose)
    return int(joined and state is JobState.DONE)


def careful(task: Task) -> None:
    try:
        task.progress()
    except Cancelled as stopped:
        print(stopped.reason)
        raise


if __name__ == "__main__":
    main()
