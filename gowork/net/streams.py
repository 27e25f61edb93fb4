"""Streams: one connected socket each, read and written in bytes or in frames.

A stream ends twice, once in each direction, and neither end is an error: the peer's is
``b""`` or None from a read, its own is :meth:`Stream.shutdown_write`. What must never
happen is that something cut short looks like an end. So a write that was interrupted
half-way breaks the stream: nothing follows on it, no end either, and closing it then,
or while a write is half-way, resets the connection, which the peer sees as an error.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from gevent.lock import Semaphore
from zope.interface import implementer

from gowork.errors import ChannelClosed, StateError
from gowork.interfaces import IStream
from gowork.net.buffers import READ_BUFFER, scratch
from gowork.net.frames import MAX_FRAME, BytesCodec, FrameReceiver, encode_frame
from gowork.net.sockets import PlainSocket, is_of_the_system
from gowork.net.states import READ_END, WRITE_END, StreamState
from gowork.scopes import checkpoint

if TYPE_CHECKING:
    from gowork.pingpong import PingPong

__all__ = ["READ_BUFFER", "Stream", "StreamClosed", "StreamState", "read_task", "write_task"]


class StreamClosed(StateError):
    """The stream is closed, or its direction has ended or is broken."""


@implementer(IStream)
class Stream:
    """A connected socket, which belongs to the stream from now on.

    ::

        stream = Stream(gevent.socket.create_connection(("localhost", 9090)))
        stream.write_frame(b"ping")
        answer = stream.recv_frame()

    :param sock: one of :mod:`gevent.socket`, or a :class:`gowork.net.tls.TLSSocket`.
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
        self._halfway = False  # through a write, of which something is with the system
        self._write_lock = Semaphore()
        self._socket = sock if isinstance(sock, PlainSocket) else PlainSocket(sock)
        #: The peer's address, None if it has left already.
        self.peer: Any = self._socket.peer()

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
        try:
            return self._socket.peek()
        except BlockingIOError:
            return True
        except OSError:
            return False

    # Reading

    def recv_raw(self) -> bytes:
        """The next bytes, at most ``read_buffer``; ``b""`` at the end. Blocks until there are any.

        :raises StreamClosed: if the stream is closed, before or meanwhile.
        :raises StateError: if :meth:`recv_frame` holds bytes that would be left out.
        :raises OSError: if the connection fails.
        :raises Cancelled: if the caller is a task that must stop.
        """
        buffer = scratch(self._read_buffer)
        return bytes(buffer[: self.recv_into(buffer)])

    def recv_into(self, buffer: memoryview) -> int:
        """As :meth:`recv_raw`, into *buffer*; how many bytes, 0 at the end.

        Nothing else has run since they came, so that several streams can share a buffer
        whose bytes are used before anything blocks.

        :raises: what :meth:`recv_raw` does.
        """
        if self._payloads or self._receiver.pending:
            raise StateError(self._state, "recv_raw", "a frame has begun, use recv_frame")
        return self._receive(buffer)

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
            buffer = scratch(self._read_buffer)
            size = self._receive(buffer)
            if not size:
                self._receiver.feed_eof()
                return None
            self._payloads.extend(self._receiver.feed(buffer[:size]))
        return self._codec.decode(self._payloads.popleft())

    def _receive(self, buffer: memoryview) -> int:
        checkpoint()
        if self._state is StreamState.CLOSED:
            raise StreamClosed(self._state, "read")
        try:
            size = self._socket.take(buffer)
        except BaseException as error:
            self._interrupted("read", error)
            raise
        self.bytes_in += size
        if not size:
            self._state = READ_END[self._state]
        return size

    # Writing

    def write_raw(self, data: Any) -> None:
        """Write *data*, anything that holds bytes; blocks until the system has taken it all.

        Of several writers each gets all of its data out before the next one begins.

        :raises StreamClosed: if the stream is closed, shut or broken, before or meanwhile.
        :raises OSError: if the connection fails.
        :raises Cancelled: if the caller is a task that must stop.
        """
        self._write([data])

    def write_nowait(self, data: Any) -> int:
        """Write as much of *data* as the system takes at once; how many bytes. Never blocks.

        What is left is for :meth:`write_raw`, and for the caller not to forget: until
        then, others may write. While another writer is at it, and over TLS, nothing is taken.

        :raises: what :meth:`write_raw` does.
        """
        checkpoint()
        self._writable("write")
        if self._write_lock.locked():
            return 0
        try:
            sent = self._socket.give_nowait(data)
        except BaseException as error:
            self._interrupted("write", error)
            raise
        self.bytes_out += sent
        return sent

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
            self._writable("shutdown_write")
            self._socket.end()
            self._state = WRITE_END[self._state]

    def _write(self, buffers: Sequence[Any]) -> None:
        checkpoint()
        views = [memoryview(buffer).cast("B") for buffer in buffers]
        with self._write_lock:
            self._writable("write")
            at = 0
            try:
                while at < len(views):
                    sent = self._socket.give(views[at:])
                    self.bytes_out += sent  # before anybody else runs
                    at = _advance(views, at, sent)
                    self._halfway = at < len(views)
            except BaseException as error:
                self._interrupted("write", error)
                raise

    def _writable(self, given: str) -> None:
        """:raises StreamClosed: if the direction has ended or is broken."""
        if self._state not in WRITE_END:
            raise StreamClosed(self._state, given)

    def _is_halfway(self) -> bool:
        return self._halfway or self._socket.halfway

    def _interrupted(self, given: str, error: BaseException) -> None:
        """Break the stream if *error* is the connection's, or that of a write half-way through.

        :raises StreamClosed: if *error* only says that the stream has been closed.
        """
        failed = is_of_the_system(error)
        if self._state is StreamState.CLOSED:
            if failed:
                raise StreamClosed(self._state, given) from error
        elif failed or (given == "write" and self._is_halfway()):
            self._state = StreamState.BROKEN
            self.error = error

    # The end

    def close(self) -> None:
        """Close the socket, which ends both directions; a broken stream is aborted. Never blocks.

        So is one with a write half-way through. Whoever waits in the stream sees
        :exc:`StreamClosed`. Closing twice is no mistake.
        """
        self._close(reset=self._state is StreamState.BROKEN or self._is_halfway())

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
                self._socket.reset()
            else:
                self._socket.close()
        finally:
            if self._on_close is not None:
                self._on_close(self)


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
