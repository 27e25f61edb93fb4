"""Streams: one connected socket each, read and written in bytes or in frames.

A stream ends twice, once in each direction, and neither end is an error: the peer's is
``b""`` or None from a read, its own is :meth:`Stream.shutdown_write`. What must never
happen is that something cut short looks like an end. So a write that was interrupted
half-way breaks the stream: nothing follows on it, no end either, and closing it then
resets the connection, which the peer sees as an error.

Every read waits first and receives then. Data is seldom there already, so that this
saves the failing call before the wait, and a reader with a fast peer gives way to others.
"""

from __future__ import annotations

import enum
import struct
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from gevent import socket
from gevent.lock import Semaphore
from zope.interface import implementer

from gowork.errors import ChannelClosed, StateError
from gowork.interfaces import IStream
from gowork.net.frames import MAX_FRAME, BytesCodec, FrameReceiver, encode_frame
from gowork.scopes import checkpoint

if TYPE_CHECKING:
    from gowork.pingpong import PingPong

__all__ = ["READ_BUFFER", "Stream", "StreamClosed", "StreamState", "read_task", "write_task"]

#: How much one read takes at most unless somebody says otherwise, in bytes.
READ_BUFFER = 64 * 1024

# How many buffers one sendmsg takes: IOV_MAX on every system that has a say in it.
_MOST_BUFFERS = 1024

# SO_LINGER on, for no time at all: closing sends a reset.
_RESET = struct.pack("ii", 1, 0)


class StreamState(enum.Enum):
    """What a stream can still do; CLOSED is the end."""

    OPEN = "open"
    READ_ENDED = "the peer sends no more"
    WRITE_ENDED = "nothing more is sent"
    ENDED = "ended both ways"
    BROKEN = "broken"
    CLOSED = "closed"


# What follows when the peer has ended, and when this side has; what is missing is refused.
_READ_END = {
    StreamState.OPEN: StreamState.READ_ENDED,
    StreamState.READ_ENDED: StreamState.READ_ENDED,
    StreamState.WRITE_ENDED: StreamState.ENDED,
    StreamState.ENDED: StreamState.ENDED,
    StreamState.BROKEN: StreamState.BROKEN,
}
_WRITE_END = {
    StreamState.OPEN: StreamState.WRITE_ENDED,
    StreamState.READ_ENDED: StreamState.ENDED,
}


class StreamClosed(StateError):
    """The stream is closed, or its direction has ended or is broken."""


@implementer(IStream)
class Stream:
    """A connected socket, which belongs to the stream from now on.

    ::

        stream = Stream(gevent.socket.create_connection(("localhost", 9090)))
        stream.write_frame(b"ping")
        answer = stream.recv_frame()

    :param sock: one of :mod:`gevent.socket`.
    :param codec: an `ICodec` between messages and payloads; the default carries bytes.
    :param max_frame: the largest payload sent or accepted, in bytes.
    :param read_buffer: how many bytes one read takes at most.
    :param on_close: is called with the stream, once, when it has been closed.
    :raises ValueError: if *read_buffer* is not positive or *max_frame* is negative.
    """

    def __init__(
        self,
        sock: Any,
        *,
        codec: Any = None,
        max_frame: int = MAX_FRAME,
        read_buffer: int = READ_BUFFER,
        on_close: Callable[[Stream], object] | None = None,
    ) -> None:
        if read_buffer < 1:
            raise ValueError(f"read_buffer must be positive: {read_buffer!r}")
        #: Bytes received and sent so far.
        self.bytes_in = 0
        self.bytes_out = 0
        #: What has broken the stream, or None.
        self.error: BaseException | None = None
        self._receiver = FrameReceiver(max_frame)
        self._payloads: deque[memoryview] = deque()
        self._codec = BytesCodec() if codec is None else codec
        self._read_buffer = read_buffer
        self._on_close = on_close
        self._state = StreamState.OPEN
        self._write_lock = Semaphore()
        self._socket = sock
        sock.settimeout(None)
        try:
            #: The peer's address, None if it has left already.
            self.peer: Any = sock.getpeername()
        except OSError:
            self.peer = None

    def __repr__(self) -> str:
        return f"<Stream {self.peer} {self._state.name} in={self.bytes_in} out={self.bytes_out}>"

    @property
    def state(self) -> StreamState:
        """What the stream can still do."""
        return self._state

    @property
    def is_connected(self) -> bool:
        """Whether both ends are there, as far as the socket knows; never blocks.

        False as soon as the peer has ended its direction, even if nobody has read so far.
        """
        if self._state not in (StreamState.OPEN, StreamState.WRITE_ENDED):
            return False
        self._socket.settimeout(0)
        try:
            return bool(self._socket.recv(1, socket.MSG_PEEK))
        except BlockingIOError:
            return True
        except OSError:
            return False
        finally:
            self._socket.settimeout(None)

    # Reading

    def recv_raw(self) -> bytes:
        """The next bytes, at most ``read_buffer``; ``b""`` at the end. Blocks until there are any.

        :raises StreamClosed: if the stream is closed, before or meanwhile.
        :raises StateError: if :meth:`recv_frame` holds bytes that would be left out.
        :raises OSError: if the connection fails.
        :raises Cancelled: if the caller is a task that must stop.
        """
        if self._payloads or self._receiver.pending:
            raise StateError(self._state, "recv_raw", "a frame has begun, use recv_frame")
        return self._receive()

    def recv_frame(self) -> Any:
        """The next message as the codec makes it; None at the end. Blocks until it is whole.

        :raises TruncatedFrame: if the end comes inside a frame.
        :raises FrameError: if what comes is no frame, or no message; a stream that is
            out of step raises it for ever.
        :raises StreamClosed: if the stream is closed, before or meanwhile.
        :raises OSError: if the connection fails.
        :raises Cancelled: if the caller is a task that must stop.
        """
        checkpoint()
        while not self._payloads:
            self._receiver.feed(b"")  # raises what good frames have held up
            data = self._receive()
            if not data:
                self._receiver.feed_eof()
                return None
            self._payloads.extend(self._receiver.feed(data))
        return self._codec.decode(self._payloads.popleft())

    def _receive(self) -> bytes:
        checkpoint()
        if self._state is StreamState.CLOSED:
            raise StreamClosed(self._state, "read")
        try:
            self._socket._wait(self._socket._read_event)
            data: bytes = self._socket.recv(self._read_buffer)
        except BaseException as error:
            self._interrupted("read", error)
            raise
        self.bytes_in += len(data)
        if not data:
            self._state = _READ_END[self._state]
        return data

    # Writing

    def write_raw(self, data: Any) -> None:
        """Write *data*, anything that holds bytes; blocks until the system has taken it all.

        Of several writers each gets all of its data out before the next one begins.

        :raises StreamClosed: if the stream is closed, shut or broken, before or meanwhile.
        :raises OSError: if the connection fails.
        :raises Cancelled: if the caller is a task that must stop.
        """
        self._write([data])

    def write_frame(self, message: Any) -> None:
        """Write *message* as one frame; blocks until the system has taken it all.

        :raises FrameTooLarge: if it is larger than ``max_frame``; nothing is written then.
        :raises StreamClosed: if the stream is closed, shut or broken, before or meanwhile.
        :raises OSError: if the connection fails.
        :raises Cancelled: if the caller is a task that must stop.
        """
        self._write(encode_frame(self._codec.encode(message), self._receiver.max_frame))

    def shutdown_write(self) -> None:
        """Tell the peer that nothing more will come; reading goes on. Blocks for the writers.

        :raises StreamClosed: if the stream is closed or broken, or was told before.
        :raises OSError: if the connection is gone.
        :raises Cancelled: if the caller is a task that must stop.
        """
        checkpoint()
        with self._write_lock:
            following = self._writable("shutdown_write")
            self._socket.shutdown(socket.SHUT_WR)
            self._state = following

    def _write(self, buffers: Sequence[Any]) -> None:
        checkpoint()
        views = [memoryview(buffer).cast("B") for buffer in buffers]
        with self._write_lock:
            self._writable("write")
            at = written = 0
            try:
                while at < len(views):
                    sent = self._socket.sendmsg(views[at : at + _MOST_BUFFERS])
                    written += sent
                    self.bytes_out += sent  # before anybody else runs
                    at = _advance(views, at, sent)
            except BaseException as error:
                self._interrupted("write", error, halfway=written > 0)
                raise

    def _writable(self, given: str) -> StreamState:
        """The state in which this direction has ended; it must not have so far."""
        following = _WRITE_END.get(self._state)
        if following is None:
            raise StreamClosed(self._state, given)
        return following

    def _interrupted(self, given: str, error: BaseException, halfway: bool = False) -> None:
        """Break the stream if *error* is the connection's, or the write was *halfway* through.

        :raises StreamClosed: if *error* only says that the stream has been closed.
        """
        failed = is_of_the_system(error)
        if self._state is StreamState.CLOSED:
            if failed:
                raise StreamClosed(self._state, given) from error
        elif failed or halfway:
            self._state = StreamState.BROKEN
            self.error = error

    # The end

    def close(self) -> None:
        """Close the socket, which ends both directions; a broken stream is aborted. Never blocks.

        Whoever waits in the stream sees :exc:`StreamClosed`. Closing twice is no mistake.
        """
        self._close(reset=self._state is StreamState.BROKEN)

    def abort(self) -> None:
        """Close the socket by a reset: the peer sees an error and no end. Never blocks.

        What was written and has not been sent yet is lost.
        """
        self._close(reset=True)

    def _close(self, reset: bool) -> None:
        if self._state is StreamState.CLOSED:
            return
        self._state = StreamState.CLOSED
        try:
            if reset:
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        except OSError:  # some systems refuse it when the peer has sent a reset: gone either way
            pass
        finally:
            self._socket.close()
            if self._on_close is not None:
                self._on_close(self)


def is_of_the_system(error: BaseException) -> bool:
    """Whether the system reports *error*; a caller's own timeout may be an OSError too."""
    return isinstance(error, OSError) and error.errno is not None


def _advance(views: list[memoryview], at: int, sent: int) -> int:
    """The index of the first of *views* that is not wholly sent; that one is shortened."""
    while at < len(views) and sent >= len(views[at]):
        sent -= len(views[at])
        at += 1
    if sent:
        views[at] = views[at][sent:]
    return at


class _StreamTask:
    """What reading and writing tasks share: a stream and a ping/pong."""

    def __init__(self, job: Any, pingpong: PingPong[Any], stream: Any, raw: bool) -> None:
        self._job = job
        self._pingpong = pingpong
        self._stream = stream
        self._raw = raw

    def init(self, task: Any) -> None:
        if self._stream is None:
            if not IStream.providedBy(self._job.value):
                raise TypeError(f"job.value is to be a stream, not {self._job.value!r}")
            self._stream = self._job.value

    def finalize(self, task: Any) -> None:
        if self._stream is not None:
            self._stream.close()


class _ReadTask(_StreamTask):
    def run(self, task: Any) -> None:
        data = self._stream.recv_raw() if self._raw else self._stream.recv_frame()
        at_end = not data if self._raw else data is None
        if at_end:
            self._pingpong.close()
            task.done()
        else:
            self._pingpong.send(data)
            task.tick()


class _WriteTask(_StreamTask):
    def run(self, task: Any) -> None:
        try:
            ping = self._pingpong.recv()
        except ChannelClosed:
            self._stream.shutdown_write()
            task.done()
            return
        with ping as data:
            (self._stream.write_raw if self._raw else self._stream.write_frame)(data)
        task.tick()


def read_task(
    pingpong: PingPong[Any], stream: Any = None, *, raw: bool = False
) -> Callable[[Any], object]:
    """Routines for ``job.add_task`` that send what *stream* receives into *pingpong*.

    The next read begins when the data has been acknowledged. The peer's end closes the
    ping/pong, and the task is done. Its finalizer closes the stream.

    :param stream: an `IStream`; None for the one that the oneshot leaves in ``job.value``.
    :param raw: True for bytes as they come, False for frames.
    """

    def reading(job: Any) -> _ReadTask:
        return _ReadTask(job, pingpong, stream, raw)

    return reading


def write_task(
    pingpong: PingPong[Any], stream: Any = None, *, raw: bool = False
) -> Callable[[Any], object]:
    """Routines for ``job.add_task`` that write to *stream* what comes out of *pingpong*.

    Data is acknowledged when it has been written. When the ping/pong is closed, the
    peer is told that nothing more will come, and the task is done. Its finalizer closes
    the stream.

    :param stream: an `IStream`; None for the one that the oneshot leaves in ``job.value``.
    :param raw: True for bytes as they are, False for frames.
    """

    def writing(job: Any) -> _WriteTask:
        return _WriteTask(job, pingpong, stream, raw)

    return writing
