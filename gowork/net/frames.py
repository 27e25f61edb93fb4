"""Frames: where one message ends and the next begins in a stream of bytes.

A frame is 8 bytes of magic, 8 bytes of big-endian length, and that many bytes of
payload. Nothing here touches a socket: bytes go in, payloads come out.

The receiver is either inside a header or inside a body. The magic is compared as its
bytes arrive, and the length is checked as soon as it is complete, so that garbage is
refused at its first byte and nothing is allocated because somebody claimed a size: a
body grows with what has really arrived. After a bad frame there is no finding back
into step, so the receiver stays failed and its connection has to be closed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from zope.interface import implementer

from gowork.errors import GoworkError
from gowork.interfaces import ICodec

__all__ = [
    "HEADER_SIZE",
    "MAGIC",
    "MAX_FRAME",
    "BadMagic",
    "BytesCodec",
    "FrameError",
    "FrameReceiver",
    "FrameTooLarge",
    "TruncatedFrame",
    "encode_frame",
]

MAGIC = bytes.fromhex("AA DE 07 A6 02 57 C2 D0")
HEADER_SIZE = len(MAGIC) + 8
#: The largest payload that is sent or accepted unless somebody says otherwise, in bytes.
MAX_FRAME = 16 * 1024 * 1024

# What holds bytes and can be sent; the name of its type (PEP 688) came with Python 3.12.
Buffer = Any


class FrameError(GoworkError):
    """The bytes do not follow the format; the connection they came on is lost."""


class BadMagic(FrameError):
    """What should have been the beginning of a frame is something else; ``found`` holds it."""

    def __init__(self, found: bytes) -> None:
        self.found = found
        super().__init__(found)

    def __str__(self) -> str:
        return f"no frame begins with {self.found.hex(' ')}"


class FrameTooLarge(FrameError):
    """A payload of ``size`` bytes where at most ``limit`` are allowed."""

    def __init__(self, size: int, limit: int) -> None:
        self.size = size
        self.limit = limit
        super().__init__(size, limit)

    def __str__(self) -> str:
        return f"a frame of {self.size} bytes, and at most {self.limit} are allowed"


class TruncatedFrame(FrameError):
    """The bytes ended inside a frame, of which ``pending`` bytes had come."""

    def __init__(self, pending: int) -> None:
        self.pending = pending
        super().__init__(pending)

    def __str__(self) -> str:
        return f"the end came after the first {self.pending} bytes of a frame"


def encode_frame(buffers: Sequence[Buffer], max_frame: int = MAX_FRAME) -> list[Buffer]:
    """The buffers of one frame: a header, then *buffers* as they are, never joined.

    :raises FrameTooLarge: if together they hold more than *max_frame* bytes.
    """
    size = sum(memoryview(buffer).nbytes for buffer in buffers)
    if size > max_frame:
        raise FrameTooLarge(size, max_frame)
    return [MAGIC + size.to_bytes(8, "big"), *buffers]


class FrameReceiver:
    """Takes bytes as they come and gives the payloads of the frames in them.

    ::

        receiver = FrameReceiver()
        for payload in receiver.feed(data):
            ...

    :param max_frame: the largest payload to accept, in bytes.
    :raises ValueError: if *max_frame* is negative.
    """

    def __init__(self, max_frame: int = MAX_FRAME) -> None:
        if max_frame < 0:
            raise ValueError(f"max_frame must not be negative: {max_frame!r}")
        self.max_frame = max_frame
        self._header = bytearray()
        self._body = bytearray()
        self._size: int | None = None  # of the body, once its header is complete
        self._error: FrameError | None = None

    @property
    def pending(self) -> int:
        """How many bytes are held that belong to no complete frame."""
        return len(self._header) + len(self._body)

    def feed(self, data: Buffer) -> list[memoryview]:
        """The payloads that *data* completes, as read-only views of memory of their own.

        Good frames in front of a bad one are returned, and the error is raised by the
        next call, for which ``feed(b"")`` will do; with none to return it is raised now.
        From then on every call raises it.

        :raises BadMagic: if a frame does not begin as frames do.
        :raises FrameTooLarge: if one claims more than ``max_frame`` bytes.
        """
        if self._error is not None:
            raise self._error
        payloads: list[memoryview] = []
        view = memoryview(data).cast("B")
        at = 0
        while True:
            if self._size is None:
                at += self._fill(self._header, view[at:], HEADER_SIZE)
                try:
                    self._size = self._parse_header()
                except FrameError as error:
                    self._body += view[at:]  # nobody's now, but flush() shows it
                    self._error = error
                    if not payloads:
                        raise
                    return payloads
                if self._size is None:
                    return payloads
            at += self._fill(self._body, view[at:], self._size)
            if len(self._body) < self._size:
                return payloads
            payloads.append(memoryview(self._body).toreadonly())
            self._header, self._body, self._size = bytearray(), bytearray(), None

    def feed_eof(self) -> None:
        """Say that no more bytes will come.

        :raises TruncatedFrame: if they ended inside a frame.
        :raises FrameError: if the receiver has failed before.
        """
        if self._error is None and self.pending:
            self._error = TruncatedFrame(self.pending)
        if self._error is not None:
            raise self._error

    def flush(self) -> bytes:
        """Take out the pending bytes, exactly as they came; ``pending`` is 0 afterwards.

        What follows them begins a new frame, unless the receiver has failed.
        """
        held = bytes(self._header + self._body)
        self._header, self._body, self._size = bytearray(), bytearray(), None
        return held

    @staticmethod
    def _fill(target: bytearray, source: memoryview, size: int) -> int:
        """Move bytes until *target* holds *size*; how many were moved."""
        wanted = source[: size - len(target)]
        target += wanted
        return len(wanted)

    def _parse_header(self) -> int | None:
        """The size of the body, None while the header is incomplete.

        :raises FrameError: if the header, as far as it has come, is bad.
        """
        magic = bytes(self._header[: len(MAGIC)])
        if not MAGIC.startswith(magic):
            raise BadMagic(magic)
        if len(self._header) < HEADER_SIZE:
            return None
        size = int.from_bytes(self._header[len(MAGIC) :], "big")
        if size > self.max_frame:
            raise FrameTooLarge(size, self.max_frame)
        return size


@implementer(ICodec)
class BytesCodec:
    """The plainest codec: a message is bytes, and travels as it is."""

    def encode(self, message: Buffer) -> Sequence[Buffer]:
        """*message* as the only buffer of its payload.

        :raises TypeError: if it holds no bytes.
        """
        return (memoryview(message),)

    def decode(self, payload: memoryview) -> bytes:
        """The bytes of *payload*, in memory of their own."""
        return bytes(payload)
