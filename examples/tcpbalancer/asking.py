"""The client's side of one connection: a job that asks, and one that takes the answers."""

from __future__ import annotations

import errno
import math
import os
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from examples.tcpbalancer.files import Outputs
from examples.tcpbalancer.protocol import MAX_PICTURE, Hello, Refusal, Reply, Resize, Result
from examples.tcpbalancer.resizing import Wanted
from gowork import Job, Task, TaskState
from gowork.net.managers import ConnManager
from gowork.net.messages import Message, MessageError

__all__ = ["Asker", "Outcome", "Request"]

#: Seconds without an answer, over those that one may take, after which a connection is lost.
PATIENCE = 30.0
#: Bytes that the head of a picture has room in.
HEAD = 1024

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
    :param seconds: how long each may take.
    :param most: how many requests it takes.
    """

    todo: deque[Request]
    wanted: Wanted
    outputs: Outputs | None
    seconds: float
    tell: Callable[[Outcome], object]
    most: float = math.inf
    answered: int = 0
    #: What was refused for a reason that may pass, and shall be asked for elsewhere.
    put_off: list[Outcome] = field(default_factory=list)
    _under_way: dict[int, Request] = field(default_factory=dict)
    _largest: int = 0  # picture that the other end takes; until it has said so: 0

    @property
    def under_way(self) -> list[Request]:
        """What has been asked for and not been answered."""
        return list(self._under_way.values())

    def connection_job(self, manager: ConnManager) -> Job:
        """The job: connect, then ask until there is nothing left, and take the answers.

        It asks as often as it has credits. The other end gives them, and each answer
        gives one back.
        """
        job = Job(name="connection")
        allowed = job.channel(math.inf)

        def ask(task: Task) -> None:
            allowed.recv()
            if self.put_off or not self.todo or self.most < 1:
                job.value.shutdown_write()  # the other end will end, too
                task.done()
                return
            request = self.todo.popleft()
            self.most -= 1
            self._under_way[request.number] = request  # what cannot be read now is lost with it
            picture = self._read(request)
            if picture is None:
                del self._under_way[request.number]
                allowed.send(None)
            else:
                request.asked = time.monotonic()
                dry, size, how = self.outputs is None, self.wanted[:2], self.wanted[2:]
                head = Resize(request.number, *size, self.seconds, dry, *how)
                job.value.write_frame(Message(head, picture))
            task.tick()

        def take(task: Task) -> None:
            message = job.value.recv_frame()
            if message is None:
                whole = asker.state is TaskState.FINISHED and not self._under_way
                task.assert_true(whole, ConnectionError("the other end has left too early"))
                task.done()
                return
            for _ in range(self._take(*message)):
                allowed.send(None)
            task.tick()

        job.add_oneshot_task(manager.connect_task)
        job.add_task(
            lambda _: (None, take, None), name="taker", idle_timeout=PATIENCE + self.seconds
        )
        asker = job.add_task(lambda _: (None, ask, None), name="asker")
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
                if size <= self._largest:
                    return file.read(size)
        except OSError as error:
            if error.errno in _EXHAUSTED:
                raise
            self.tell(Outcome(request, "UNREADABLE", str(error)))
            return None
        self.tell(Outcome(request, "TOO_LARGE", f"{size} bytes"))
        return None

    def _take(self, head: Hello | Reply, body: memoryview) -> int:
        """Tell what *head* and *body* answer; how many credits come with them.

        :raises MessageError: if they answer nothing that was asked.
        """
        if isinstance(head, Hello) and not self._largest:
            self._largest = min(MAX_PICTURE, head.max_frame - HEAD)
            return head.credits
        if not isinstance(head, (Result, Refusal)) or head.request_id not in self._under_way:
            raise MessageError(f"nothing was asked that this would answer: {head!r}")
        request = self._under_way.pop(head.request_id)
        self.answered += 1
        if isinstance(head, Result):
            self.tell(self._outcome(request, head, body))
        else:
            outcome = Outcome(request, head.code, head.message, head.backend)
            (self.put_off.append if head.retryable else self.tell)(outcome)
        return 1

    def _outcome(self, request: Request, head: Result, body: memoryview) -> Outcome:
        """What has come of *request*, its result being written."""
        result = None
        size = (head.width, head.height)
        if self.outputs is not None:
            try:
                result = self.outputs.write(request.name, *size, head.format, bytes(body))
            except (OSError, ValueError) as error:
                return Outcome(request, "NOT_WRITTEN", str(error), head.backend)
        latency = time.monotonic() - request.asked
        return Outcome(request, None, "", head.backend, result, size, head.seconds, latency)
