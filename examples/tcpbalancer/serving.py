"""What proxy and backend share: a job for each connection, until a signal says stop."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from examples.tcpbalancer.signals import until_a_signal
from examples.tcpbalancer.texts import brief
from gowork import Job, JobState, Task
from gowork.net.managers import ConnManager

__all__ = ["Routines", "accepting", "new_connection", "serve"]

MakeJob = Callable[[], Job]
Routines = tuple[Any, Any, Any]


def serve(manager: ConnManager, make_job: MakeJob) -> int:
    """Serve until SIGTERM or SIGINT; the exit status. Blocks until then.

    *make_job* makes the job of one connection, whose oneshot accepts it. Says where it
    listens as soon as it can be connected to, and told to stop.
    """
    try:
        manager.listen()
    except OSError as error:
        print(error, file=sys.stderr)
        return 1
    server = Job(name="server")
    server.add_task(until_a_signal)
    server.add_task(accepting(manager, make_job), name="acceptor")
    # It runs when every task has begun: whoever reads it may send a signal at once.
    server.spawn(print, "listening on {}:{}".format(*manager.address), flush=True)
    server.run()
    server.join()
    if server.state is JobState.DONE:
        return 0
    print(f"stopped by an error: {server.interrupted_by.error!r}", file=sys.stderr)
    return 1


def new_connection(manager: ConnManager) -> Job:
    """The job of one client of *manager*, which it waits for; more tasks are to be added."""

    def log_end(error: Any) -> None:
        job.log(1, "gave up a connection: %s", brief(error))

    job = Job(name="connection").with_shutdown(log_end)
    job.add_oneshot_task(manager.accept_task)
    return job


def accepting(manager: ConnManager, make_job: MakeJob) -> Callable[[Job], Routines]:
    """A task that has one more job waiting for a client, always; stopped, it stops them all."""

    def factory(job: Job) -> Routines:
        connections: set[Job] = set()

        def run(task: Task) -> None:
            connection = make_job()
            connections.add(connection)
            connection.job_done_notify().rawlink(lambda _: connections.discard(connection))
            accept = connection.get_task_by_index(0)
            connection.run_in_background().wait()
            # A listener that fails would fail again at once.
            task.assert_true(accept.error is None, accept.error)
            task.tick()

        def finalize(task: Task) -> None:
            stopping = list(connections)
            for connection in stopping:
                connection.finish()
            manager.close()
            for connection in stopping:
                connection.join()

        return None, run, finalize

    return factory
