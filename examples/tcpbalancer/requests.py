"""What one client asks a backend for, read only as far as there is room for pictures."""

from __future__ import annotations

from collections import deque
from typing import Any

from examples.tcpbalancer.memory import Intake
from examples.tcpbalancer.protocol import MAX_FRAME, codec
from gowork.net.frames import FrameReceiver
from gowork.net.messages import Message
from gowork.net.streams import Stream

__all__ = ["Requests"]


class Requests:
    """The requests that come on *stream*, each held until it is :meth:`done`."""

    def __init__(self, stream: Stream, intake: Intake) -> None:
        self._stream = stream
        self._intake = intake
        self._receiver = FrameReceiver(MAX_FRAME)
        self._payloads: deque[memoryview] = deque()
        self._held = 0

    def recv(self) -> Message[Any] | None:
        """The next request, to be given to :meth:`done`; None at the end. Blocks.

        :raises FrameError: if what comes is none.
        :raises OSError: if the connection fails.
        """
        while not self._payloads:
            self._receiver.feed(b"")  # raises what good frames have held up
            self._intake.wait(self)
            data = self._stream.recv_raw()
            if not data:
                self._receiver.feed_eof()
                return None
            payloads = self._receiver.feed(data)
            for payload in payloads:
                self._intake.came(len(payload))
                self._held += len(payload)
            self._intake.begun(self, self._receiver.pending)
            self._payloads.extend(payloads)
        return codec.decode(self._payloads.popleft())

    def done(self, body: memoryview) -> None:
        """The request with this *body* is not held any longer."""
        size = len(body.obj)  # the whole payload
        self._held -= size
        self._intake.left(size)

    def close(self) -> None:
        """Nothing is held any longer."""
        self._intake.begun(self, 0)
        self._intake.left(self._held)
        self._held = 0
