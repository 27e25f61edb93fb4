"""A backend: resizes the pictures that come, beside its loop, so that this never stalls.

    python -m examples.tcpbalancer.backend --port 9091 --name first

A picture that cannot be resized is answered with a refusal, and its connection goes on.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import gevent

from examples.tcpbalancer import resizing
from examples.tcpbalancer.memory import Intake
from examples.tcpbalancer.options import backend_parser, set_up_logging
from examples.tcpbalancer.protocol import MAX_FRAME, Hello, Resize, Result, codec
from examples.tcpbalancer.requests import Requests
from examples.tcpbalancer.serving import new_connection, serve
from examples.tcpbalancer.worker import reply_with, wanted_of
from examples.tcpbalancer.workers import Resizer
from gowork import ChannelClosed, Job, Task
from gowork.net.managers import ConnManager
from gowork.net.messages import Message, MessageError

__all__ = ["Connection", "connection_job", "main"]

#: Seconds without a request after which a connection is given up.
IDLE = 60.0
#: Requests that may wait for a reply on one connection.
CREDITS = 4
MIB = 1024 * 1024


class Connection:
    """The routines that read one client's requests, and have others resize.

    With each picture comes one more task to resize it, until there are as many as the
    client has credits. They answer as they get done, in any order.
    """

    def __init__(self, job: Job, resizer: Resizer, intake: Intake, name: str) -> None:
        self._job = job
        self._resizer = resizer
        self._intake = intake
        self._name = name
        self._pictures = job.channel()
        self._tasks: list[Task] = []

    def init(self, task: Task) -> None:
        """Say what is taken."""
        self._stream = self._job.value
        self._requests = Requests(self._stream, self._intake)
        self._reader = task
        self._stream.write_frame(Message(Hello(CREDITS, MAX_FRAME)))

    def run(self, task: Task) -> None:
        """Take one request, and answer it or hand it on."""
        request = self._requests.recv()
        if request is None:  # the client will ask no more
            self._pictures.close()
            for each in self._tasks:
                each.join()
            self._stream.shutdown_write()
            task.done()
            return
        head, body = request
        if not isinstance(head, Resize):
            raise MessageError(f"a {type(head).__name__} is no request")
        if head.dry_run:
            result = Result(head.request_id, "", head.width, head.height, 0.0, self._name)
            self._stream.write_frame(Message(result))
            self._requests.done(body)
        else:
            if len(self._tasks) < CREDITS:
                routines = None, self._resize, None
                self._tasks.append(self._job.add_task(lambda _: routines, name="resizer"))
            self._pictures.send((head, body, time.monotonic() + head.seconds))
        task.tick()

    def finalize(self, task: Task) -> None:
        """Hold nothing any longer."""
        self._requests.close()

    def _resize(self, task: Task) -> None:
        try:
            head, body, deadline = self._pictures.recv()
        except ChannelClosed:
            task.done()
            return
        with self._resizer.loan() as loan:
            with _beating(self._reader.progress):  # it is this end that keeps it waiting
                seconds = deadline - time.monotonic()
                outcome = self._resizer.resize(loan, body, wanted_of(head), seconds)
            self._stream.write_frame(reply_with(outcome, head.request_id, self._name))
        self._requests.done(body)
        self._reader.progress()
        task.tick()


@contextmanager
def _beating(beat: Callable[[], object]) -> Iterator[None]:
    """Call *beat* often enough within the block that nobody is taken for idle."""
    timer = gevent.get_hub().loop.timer(IDLE / 4, repeat=IDLE / 4)
    timer.start(beat)
    try:
        yield
    finally:
        timer.close()


def connection_job(manager: ConnManager, resizer: Resizer, intake: Intake, name: str) -> Job:
    """The job of one client: accept it, then read, resize and write until it has enough."""
    job = new_connection(manager)
    job.add_task(
        lambda job: Connection(job, resizer, intake, name), name="reader", idle_timeout=IDLE
    )
    return job


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a backend until it is told to stop; the exit status."""
    options = backend_parser().parse_args(arguments)
    set_up_logging(options.loglevel)
    resizing.have_pillow_refuse_bombs()
    manager = ConnManager(options.port, codec=codec, max_frame=MAX_FRAME)
    intake = Intake(options.memory * MIB // 4)
    resizer = Resizer(options.memory * MIB * 3 // 4, options.processes)

    def make_job() -> Job:
        name = options.name or "{}:{}".format(*manager.address)
        return connection_job(manager, resizer, intake, name)

    try:
        return serve(manager, make_job)
    finally:
        resizer.close()


if __name__ == "__main__":
    sys.exit(main())
