"""The client's side of one connection: a job that asks, and one that takes the answers."""

from __future__ import annotations

import errno
import os
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from examples.tcpbalancer.files import Outputs
from examples.tcpbalancer.protocol import MAX_PICTURE, Refusal, Reply, Resize, Result
from gowork import ChannelClosed, Job, PingPong, Task
from gowork.net.managers import ConnManager
from gowork.net.messages import Message, MessageError

__all__ = ["Asker", "Outcome", "Request"]

#: Requests under way at a time on one connection: one is resized while the next travels.
WINDOW = 2
#: Seconds without an answer after which a connection is lost.
PATIENCE = 60.0

# The system had no file descriptor left: that says nothing of the picture, and passes.
_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE})


@dataclass
class Request:
    """One picture to be asked for: its number, and its name below *root*."""

    number: int
    root: Path
    name: Path
    tries: int = 0
    asked: float = 0.0


@dataclass(frozen=True)
class Outcome:
    """What came of one request; ``failure`` says in a word why there is no result."""

    request: Request
    failure: str | None = None
    message: str = ""
    backend: str = ""
    result: Path | None = None
    size: tuple[int, int] = (0, 0)
    seconds: float = 0.0
    latency: float = 0.0


@dataclass
class Asker:
    """Takes requests from *todo* and tells what comes of each, over one connection.

    :param outputs: where results go; None for a dry run.
    """

    todo: deque[Request]
    size: tuple[int, int]
    outputs: Outputs | None
    tell: Callable[[Outcome], object]
    answered: int = 0
    _under_way: dict[int, Request] = field(default_factory=dict)

    @property
    def under_way(self) -> list[Request]:
        """What has been asked for and not been answered."""
        return list(self._under_way.values())

    def connection_job(self, manager: ConnManager) -> Job:
        """The job: connect, then ask until there is nothing left, and take the answers."""
        job = Job(name="connection")
        requests: PingPong[Any] = job.pingpong()
        replies: PingPong[Any] = job.pingpong()
        window = job.channel(WINDOW)

        def ask(task: Task) -> None:
            window.send(None)
            if not self.todo:
                requests.close()  # the writer will tell the other end, and it will end, too
                task.done()
                return
            request = self.todo.popleft()
            self._under_way[request.number] = request  # what cannot be read now is lost with it
            picture = self._read(request)
            if picture is None:
                del self._under_way[request.number]
                window.recv()
            else:
                request.asked = time.monotonic()
                head = Resize(request.number, *self.size, dry_run=self.outputs is None)
                requests.send(Message(head, picture))
            task.tick()

        def take(task: Task) -> None:
            try:
                ping = replies.recv()
            except ChannelClosed:
                whole = requests.closed and not self._under_way
                task.assert_true(whole, ConnectionError("the other end has left too early"))
                task.done()
                return
            with ping as (head, body):
                self._take(head, body)
            window.recv()
            task.tick()

        job.add_oneshot_task(manager.connect_task)
        job.add_task(manager.read_task(replies), name="reader", idle_timeout=PATIENCE)
        job.add_task(manager.write_task(requests), name="writer")
        job.add_task(lambda _: (None, ask, None), name="asker")
        job.add_task(lambda _: (None, take, None), name="taker")
        return job

    def _read(self, request: Request) -> bytes | None:
        """The picture to send; None if it cannot be sent, and that has been told.

        :raises OSError: if there are too many open files.
        """
        if self.outputs is None:
            return b""
        try:
            with (request.root / request.name).open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                if size <= MAX_PICTURE:
                    return file.read(size)
        except OSError as error:
            if error.errno in _EXHAUSTED:
                raise
            self.tell(Outcome(request, "UNREADABLE", str(error)))
            return None
        self.tell(Outcome(request, "TOO_LARGE", f"{size} bytes"))
        return None

    def _take(self, head: Reply, body: memoryview) -> None:
        """Tell what *head* and *body* answer.

        :raises MessageError: if they answer nothing that was asked.
        """
        if not isinstance(head, (Result, Refusal)) or head.request_id not in self._under_way:
            raise MessageError(f"nothing was asked that this would answer: {head!r}")
        request = self._under_way.pop(head.request_id)
        self.answered += 1
        if isinstance(head, Refusal):
            self.tell(Outcome(request, head.code, head.message, head.backend))
            return
        result = None
        size = (head.width, head.height)
        if self.outputs is not None:
            try:
                result = self.outputs.write(request.name, *size, head.format, bytes(body))
            except (OSError, ValueError) as error:
                self.tell(Outcome(request, "NOT_WRITTEN", str(error), head.backend))
                return
        latency = time.monotonic() - request.asked
        self.tell(Outcome(request, None, "", head.backend, result, size, head.seconds, latency))
