"""Who resizes: threads, or processes that can be killed, as many as there are processors.

A thread cannot be stopped: after the deadline it works on for nobody, and keeps its place
and its bytes until it is done. A process is killed at the deadline, and when a picture
makes it hold too much, it is the process that fails.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gevent
from gevent import socket
from gevent.lock import BoundedSemaphore
from gevent.subprocess import Popen
from gevent.threadpool import ThreadPool
from PIL import Image

from examples.tcpbalancer import resizing
from examples.tcpbalancer.memory import Budget
from examples.tcpbalancer.protocol import MAX_FRAME, Resize, Result, codec
from examples.tcpbalancer.resizing import Refused, Resized, Wanted
from gowork.net.frames import FrameError
from gowork.net.messages import Message
from gowork.net.streams import Stream

__all__ = ["UNPACKED", "Processes", "Resizer", "Threads"]

#: Bytes of pictures that are being unpacked at a time, unless somebody says otherwise.
UNPACKED = 384 * 1024 * 1024

ROOT = Path(__file__).resolve().parents[2]

# What a thread returns: an exception that left it would be printed by the hub as well.
Outcome = Resized | Refused


class Resizer:
    """Resizes as many pictures at a time as there are processors.

    :param memory: how many bytes of pictures may be unpacked at a time.
    :param processes: work in processes, which can be killed, and not in threads.
    """

    def __init__(self, memory: int = UNPACKED, processes: bool = False) -> None:
        # All of Pillow now: it could not be imported when there is no file descriptor left.
        Image.init()
        number = os.cpu_count() or 1
        # Threads of its own: in the hub's pool, pictures would hold up host names.
        self._threads = Threads(number)
        self._workers = Processes(number) if processes else self._threads
        self._budget = Budget(memory)

    @property
    def held(self) -> int:
        """How many bytes are held."""
        return self._budget.held

    @contextmanager
    def loan(self) -> Iterator[Loan]:
        """What a picture and then its result are charged to, until the block ends."""
        loan = Loan(self._budget)
        try:
            yield loan
        finally:
            loan.end()

    def resize(self, loan: Loan, picture: memoryview, wanted: Wanted, seconds: float) -> Outcome:
        """The new picture, or why there is none; blocks until that is known."""
        text = f"it was not done within {seconds:g} s"
        late = Refused("EXPIRED", text, retryable=True)
        if seconds <= 0:
            return late
        try:
            with gevent.Timeout(seconds, late):
                size = self._threads.call(resizing.cost, picture, wanted)
                if isinstance(size, Refused):
                    return size
                loan.take(size)
                return self._workers.resize(loan, picture, wanted)
        except Refused as refusal:
            return refusal

    def close(self) -> None:
        """End the workers; blocks until threads have finished what they do."""
        self._threads.close()
        if self._workers is not self._threads:
            self._workers.close()


class Loan:
    """What is held for one picture: while it is worked at, then of its result."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._held = 0
        self._working = False
        self._over = False

    def take(self, size: int) -> None:
        """Borrow *size* bytes; blocks until they are there.

        :raises Refused: if there can never be so many.
        """
        if size > self._budget.limit:
            raise Refused("TOO_LARGE", f"unpacking it would take {size // 2**20 + 1} MiB")
        self._budget.take(size)
        self._held = size

    def begin(self) -> None:
        """Somebody works at it, and will not be stopped: the end is not before :meth:`done`."""
        self._working = True

    def done(self, outcome: Outcome) -> None:
        """The work is over; only the result is held on to, until the end."""
        self._working = False
        self._keep(0 if self._over or isinstance(outcome, Refused) else len(outcome.data))

    def end(self) -> None:
        """Nobody wants the result any more."""
        self._over = True
        if not self._working:
            self._keep(0)

    def _keep(self, size: int) -> None:
        size = min(size, self._held)
        self._held, free = size, self._held - size
        self._budget.give(free)


class Threads:
    """*number* threads."""

    def __init__(self, number: int) -> None:
        self._pool = ThreadPool(number)

    def call(self, function: Any, *args: Any) -> Any:
        """What ``function(*args)`` returns, or the :exc:`Refused` it raises."""
        return self._pool.apply(_guarded, (function, *args))

    def resize(self, loan: Loan, picture: memoryview, wanted: Wanted) -> Outcome:
        """The new picture, or why there is none; blocks."""
        # Where none is free this waits, and who gives up meanwhile has begun nothing.
        result = self._pool.spawn(_guarded, resizing.resize, picture, wanted)
        loan.begin()
        result.rawlink(lambda _: loan.done(result.value))
        outcome: Outcome = result.get()
        return outcome

    def close(self) -> None:
        """End them; blocks until they have finished what they do."""
        self._pool.kill()


class Processes:
    """*number* processes, started when they are needed."""

    def __init__(self, number: int) -> None:
        self._places = BoundedSemaphore(number)
        self._idle: list[Worker] = []

    def resize(self, loan: Loan, picture: memoryview, wanted: Wanted) -> Outcome:
        """The new picture, or why there is none; blocks. Interrupted, the process is killed."""
        with self._places:
            worker = self._idle.pop() if self._idle else Worker()
            try:
                outcome = worker.resize(picture, wanted)
            except BaseException as error:
                worker.kill()
                if isinstance(error, (OSError, FrameError)):
                    text = f"a process that resizes has ended with status {worker.status}"
                    return Refused("INTERNAL", text, retryable=True)
                raise
            self._idle.append(worker)
        loan.done(outcome)
        return outcome

    def close(self) -> None:
        """Kill all that are idle; one at work is killed when that is interrupted."""
        while self._idle:
            self._idle.pop().kill()


class Worker:
    """A process that resizes, and the stream that it is spoken to by."""

    def __init__(self) -> None:
        ours, its = socket.socketpair()
        with its:
            command = [sys.executable, "-m", "examples.tcpbalancer.worker", str(its.fileno())]
            # In a session of its own, Ctrl-C is for its master alone.
            self._process = Popen(
                command, pass_fds=[its.fileno()], cwd=ROOT, start_new_session=True
            )
        self._stream = Stream(ours, codec=codec, max_frame=MAX_FRAME)

    @property
    def status(self) -> int | None:
        """How it has ended."""
        status: int | None = self._process.returncode
        return status

    def resize(self, picture: memoryview, wanted: Wanted) -> Outcome:
        """The new picture, or why there is none; blocks until the process has answered.

        :raises OSError: if it has ended, as :exc:`FrameError` may say, too.
        """
        self._stream.write_frame(Message(Resize(0, *wanted[:2], 0.0, False, *wanted[2:]), picture))
        reply = self._stream.recv_frame()
        if reply is None:
            raise ConnectionError("it has ended")
        head, body = reply
        if isinstance(head, Result):
            return Resized(body, head.format, head.width, head.height, head.seconds)
        return Refused(head.code, head.message, head.retryable)

    def kill(self) -> None:
        """End it whatever it does."""
        self._stream.close()
        self._process.kill()
        self._process.wait()


def _guarded(function: Any, *args: Any) -> Any:
    # An exception that leaves a thread would be printed by the hub as well.
    try:
        return function(*args)
    except Refused as refusal:
        return refusal
    except Exception as error:
        return Refused("INTERNAL", repr(error), retryable=True)
