"""A backend: resizes the pictures that come, in threads, so that its loop never stalls.

    python -m examples.tcpbalancer.backend --port 9091 --name first

A picture that cannot be resized is answered with a refusal, and its connection goes on.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import gevent
from gevent.threadpool import ThreadPool
from PIL import Image

from examples.tcpbalancer import resizing
from examples.tcpbalancer.options import backend_parser, set_up_logging
from examples.tcpbalancer.protocol import MAX_FRAME, MAX_PICTURE, Refusal, Resize, Result, codec
from examples.tcpbalancer.resizing import Refused, Resized
from examples.tcpbalancer.serving import new_connection, serve
from gowork import ChannelClosed, Job, PingPong, Task
from gowork.net.managers import ConnManager
from gowork.net.messages import Message, MessageError

__all__ = ["Resizer", "answer", "connection_job", "main"]

#: Seconds without a request after which a connection is given up.
IDLE = 60.0

Answer = Message[Result] | Message[Refusal]


class Resizer:
    """Resizes as many pictures at a time as there are processors."""

    def __init__(self) -> None:
        # All of Pillow now: it could not be imported when there is no file descriptor left.
        Image.init()
        # Threads of its own: in the hub's pool, pictures would hold up host names.
        self._pool = ThreadPool(os.cpu_count() or 1)

    def resize(self, picture: memoryview, width: int, height: int) -> Resized | Refused:
        """The new picture, or why there is none; blocks until a thread has done it."""
        outcome: Resized | Refused = self._pool.apply(_resized_or_refused, (picture, width, height))
        return outcome

    def close(self) -> None:
        """End the threads; blocks until they have finished what they do."""
        self._pool.kill()


def _resized_or_refused(picture: memoryview, width: int, height: int) -> Resized | Refused:
    # An exception that leaves a thread would be printed by the hub as well.
    try:
        return resizing.resize(picture, width, height)
    except Refused as refusal:
        return refusal
    except Exception as error:
        return Refused("INTERNAL", repr(error))


def answer(request: Resize, picture: memoryview, resizer: Resizer, name: str) -> Answer:
    """What the backend *name* answers *request* with; blocks while *resizer* is at work."""
    number, width, height = request.request_id, request.width, request.height
    if request.dry_run:
        return Message(Result(number, "", width, height, 0.0, name))
    outcome = resizer.resize(picture, width, height)
    if isinstance(outcome, Refused):
        return Message(Refusal(number, outcome.code, outcome.message[:256], name))
    data, kind, width, height, seconds = outcome
    if len(data) > MAX_PICTURE:
        text = f"{width}x{height} in {kind} are {len(data)} bytes, too many for a message"
        return Message(Refusal(number, "TOO_LARGE", text, name))
    return Message(Result(number, kind, width, height, seconds, name), data)


@contextmanager
def _beating(beat: Callable[[], object]) -> Iterator[None]:
    """Call *beat* often enough within the block that nobody is taken for idle."""
    timer = gevent.get_hub().loop.timer(IDLE / 4, repeat=IDLE / 4)
    timer.start(beat)
    try:
        yield
    finally:
        timer.close()


def connection_job(manager: ConnManager, resizer: Resizer, name: str) -> Job:
    """The job of one client: accept it, then read, resize and write until it has enough."""
    job = new_connection(manager)
    requests: PingPong[Any] = job.pingpong()
    replies: PingPong[Any] = job.pingpong()

    def resize(task: Task) -> None:
        try:
            ping = requests.recv()
        except ChannelClosed:  # the client will ask no more
            replies.close()
            task.done()
            return
        with ping as (head, body):
            if not isinstance(head, Resize):
                raise MessageError(f"a {type(head).__name__} is no request")
            with _beating(reader.progress):  # it is this end that keeps it waiting
                reply = answer(head, body, resizer, name)
            replies.send(reply)
        reader.progress()
        task.tick()

    reader = job.add_task(manager.read_task(requests), name="reader", idle_timeout=IDLE)
    job.add_task(manager.write_task(replies), name="writer")
    job.add_task(lambda _: (None, resize, None), name="resizer")
    return job


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a backend until it is told to stop; the exit status."""
    options = backend_parser().parse_args(arguments)
    set_up_logging(options.loglevel)
    Image.MAX_IMAGE_PIXELS = resizing.MAX_PIXELS
    warnings.simplefilter("error", Image.DecompressionBombWarning)  # Pillow is to refuse, too
    manager = ConnManager(options.port, codec=codec, max_frame=MAX_FRAME)
    resizer = Resizer()

    def make_job() -> Job:
        name = options.name or "{}:{}".format(*manager.address)
        return connection_job(manager, resizer, name)

    try:
        return serve(manager, make_job)
    finally:
        resizer.close()


if __name__ == "__main__":
    sys.exit(main())
