"""Connection managers: an address, the streams to or from it, and what they have done.

A listener is bound once and outlives the troubles of single connections: where an
accept fails because descriptors have run out, or a client has left while it waited,
the manager counts the error, pauses and goes on.
"""

from __future__ import annotations

import enum
import errno
import logging
import os
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

import gevent
from gevent import socket
from gevent.lock import Semaphore

from gowork.clocks import as_seconds
from gowork.errors import StateError
from gowork.net.addresses import bind, dial, identity, shown, validated
from gowork.net.frames import MAX_FRAME
from gowork.net.sockets import PlainSocket, is_of_the_system
from gowork.net.streams import (
    READ_BUFFER,
    Stream,
    StreamState,
    read_task,
    write_task,
)
from gowork.net.tls import HANDSHAKE_TIMEOUT, TLSSocket
from gowork.routines import Routines
from gowork.scopes import checkpoint

__all__ = ["ConnManager", "Direction"]

#: Seconds without an accept after one that failed.
PAUSE = 0.1

# What accept may report although the listener is sound; see accept(2), "Error handling".
_PASSING = frozenset(
    getattr(errno, name)
    for name in (
        "EMFILE ENFILE ENOBUFS ENOMEM ECONNABORTED EINTR EPERM EPROTO ENOPROTOOPT ENETDOWN"
        " ENETUNREACH EHOSTDOWN EHOSTUNREACH ENONET EOPNOTSUPP ETIMEDOUT"
    ).split()
    if hasattr(errno, name)
)

_log = logging.getLogger("gowork.net")


class Direction(enum.Enum):
    """Who began a connection."""

    INBOUND = "inbound"
    OUTBOUND = "outbound"


class ConnManager:
    """Makes the streams to, or from, one address and counts them.

    ::

        manager = ConnManager(("localhost", 9090))
        inbox = job.pingpong()
        job.add_oneshot_task(manager.connect_task)
        job.add_task(manager.read_task(inbox))

    :param address: ``(host, port)``, where port 0 lets the system choose when it is listened
        on, or the path of a Unix socket.
    :param inbound_limit: how many accepted streams may live at a time: None for any number;
        a client beyond it is closed at once and counted as rejected.
    :param connect_timeout: seconds for finding the address, connecting, and TLS's handshake.
    :param ssl: a :class:`ssl.SSLContext` for TLS, of a client or of a server.
    :param server_hostname: whom a TLS client expects to meet; the host, if nobody else.
    :param handshake_timeout: seconds for the handshake with an accepted client, which its
        stream does when it is first read or written to.
    :param codec: for the streams, as are *max_frame* and *read_buffer*.
    :raises TypeError: if the address is none.
    :raises ValueError: if a number is out of its range, or the path empty.
    """

    def __init__(
        self,
        address: tuple[str, int] | str | os.PathLike[str],
        *,
        inbound_limit: int | None = None,
        connect_timeout: float = 5.0,
        ssl: Any = None,
        server_hostname: str | None = None,
        handshake_timeout: float = HANDSHAKE_TIMEOUT,
        codec: Any = None,
        max_frame: int = MAX_FRAME,
        read_buffer: int = READ_BUFFER,
    ) -> None:
        for name, number, least in (
            ("inbound_limit", 0 if inbound_limit is None else inbound_limit, 0),
            ("max_frame", max_frame, 0),
            ("read_buffer", read_buffer, 1),
        ):
            if number < least:
                raise ValueError(f"{name} must be at least {least}: {number!r}")
        self._address = validated(address)
        self._file: tuple[int, int] | None = None  # of the Unix socket that is listened on
        self._inbound_limit = inbound_limit
        self._connect_timeout = as_seconds("connect_timeout", connect_timeout)
        self._ssl = ssl
        self._server_hostname = server_hostname
        self._handshake_timeout = as_seconds("handshake_timeout", handshake_timeout)
        self._options: dict[str, Any] = {
            "codec": codec,
            "max_frame": max_frame,
            "read_buffer": read_buffer,
        }
        self._listener: Any = None
        self._closed = False
        self._accepting = Semaphore()
        self._streams: dict[Direction, set[Stream]] = {each: set() for each in Direction}
        self._closed_streams: Counter[Direction] = Counter()
        self._bytes_in = 0
        self._bytes_out = 0
        #: Clients closed at once because of the limit.
        self.rejected = 0
        #: Connects that failed, accepts that were tried again, and streams that broke.
        self.errors = 0

    def __repr__(self) -> str:
        return f"<ConnManager {shown(self.address)}, {len(self._living())} streams>"

    # What can be read

    @property
    def address(self) -> Any:
        """The path, or host and port; the port is the system's choice once it is listened on."""
        if self._listener is None or isinstance(self._address, str):
            return self._address
        host, port = self._listener.getsockname()[:2]
        return host, port

    @property
    def counts(self) -> dict[tuple[Direction, StreamState], int]:
        """How many streams there are by direction and state; of CLOSED ones, ever were."""
        counts = Counter(
            (direction, stream.state)
            for direction, streams in self._streams.items()
            for stream in streams
        )
        for direction, closed in self._closed_streams.items():
            counts[direction, StreamState.CLOSED] = closed
        return dict(counts)

    @property
    def bytes_in(self) -> int:
        """Bytes received by all streams so far."""
        return self._bytes_in + sum(stream.bytes_in for stream in self._living())

    @property
    def bytes_out(self) -> int:
        """Bytes sent by all streams so far."""
        return self._bytes_out + sum(stream.bytes_out for stream in self._living())

    def _living(self) -> list[Stream]:
        return [stream for streams in self._streams.values() for stream in streams]

    # Connections

    def connect(self) -> Stream:
        """A new stream to the address; blocks until it is connected.

        :raises TimeoutError: if that takes longer than ``connect_timeout``.
        :raises OSError: if the address is not found, or no one answers there; the text
            names the address.
        :raises Cancelled: if the caller is a task that must stop.
        """
        checkpoint()
        try:
            with gevent.Timeout(self._connect_timeout) as timer:
                connection = self._dial()
        except gevent.Timeout as expired:
            if expired is not timer:
                raise
            self.errors += 1
            late = TimeoutError(errno.ETIMEDOUT, f"no answer in {self._connect_timeout} s")
            raise self._explained("connect to", late) from None
        except OSError as error:
            if not is_of_the_system(error):
                raise
            self.errors += 1
            raise self._explained("connect to", error) from error
        return self._adopt(connection, Direction.OUTBOUND)

    def _dial(self) -> PlainSocket:
        connection = self._secured(dial(self._address), server_side=False)
        try:
            connection.handshake()
        except BaseException:
            connection.reset()
            raise
        return connection

    def listen(self) -> None:
        """Bind the address, unless that has been done, and let clients queue up there.

        Blocks for a second at most, where another process locks a Unix socket's directory.

        :raises OSError: if that cannot be; the text names the address and says why.
        :raises StateError: if the manager has been closed.
        """
        self._require_open("listen")
        if self._listener is not None:
            return
        try:
            self._listener = bind(self._address)
        except OSError as error:
            raise self._explained("listen on", error) from error
        if isinstance(self._address, str):
            self._file = identity(self._address)

    def accept(self) -> Stream:
        """A new stream from the next client that the limit admits; blocks until it comes.

        :raises OSError: if the address cannot be bound, or the listener fails.
        :raises StateError: if the manager is closed, before or meanwhile.
        :raises Cancelled: if the caller is a task that must stop.
        """
        checkpoint()
        self.listen()
        with self._accepting:
            while True:
                sock = self._next_client()
                living = len(self._streams[Direction.INBOUND])
                if self._inbound_limit is None or living < self._inbound_limit:
                    return self._adopt(self._secured(sock, server_side=True), Direction.INBOUND)
                sock.close()
                self.rejected += 1
                gevent.sleep(0)  # a flood of clients must not keep everybody else waiting

    def _next_client(self) -> Any:
        troubled = False
        while True:
            self._require_open("accept")
            try:
                return self._listener.accept()[0]
            except OSError as error:
                self._require_open("accept")
                if error.errno not in _PASSING:
                    raise
                self.errors += 1
                if not troubled:
                    _log.warning("cannot accept on %s: %s", shown(self.address), error)
                troubled = True
            gevent.sleep(PAUSE)

    def close(self) -> None:
        """Stop listening; streams live on. Never blocks; closing twice is no mistake.

        The file of a Unix socket is removed, unless another has taken its place.
        """
        self._closed = True
        if self._listener is not None:
            self._address = self.address
            self._listener.close()
            self._listener = None
            if isinstance(self._address, str) and identity(self._address) == self._file:
                os.unlink(self._address)

    def _require_open(self, given: str) -> None:
        """:raises StateError: if the manager has been closed."""
        if self._closed:
            raise StateError("closed", given)

    # Tasks

    def connect_task(self, job: Any) -> Routines:
        """Routines for a oneshot that connects and leaves the stream in ``job.value``.

        The stream is closed when the job finalizes.
        """
        return _leaving_in(job, self.connect)

    def accept_task(self, job: Any) -> Routines:
        """Routines for a oneshot that waits for a client and leaves its stream in ``job.value``.

        The address is bound now, if it has not been. The stream is closed when the job
        finalizes.

        :raises OSError: if the address cannot be bound; the text names it and says why.
        """
        self.listen()
        return _leaving_in(job, self.accept)

    read_task = staticmethod(read_task)
    write_task = staticmethod(write_task)

    # Keeping the books

    def _secured(self, sock: Any, *, server_side: bool) -> PlainSocket:
        try:
            if self._ssl is None:
                return PlainSocket(sock)
            hostname = self._server_hostname
            if hostname is None and not isinstance(self._address, str):
                hostname = self._address[0]
            return TLSSocket(
                sock,
                self._ssl,
                server_side=server_side,
                server_hostname=None if server_side else hostname,
                timeout=self._handshake_timeout,
            )
        except BaseException:
            sock.close()
            raise

    def _adopt(self, connection: PlainSocket, direction: Direction) -> Stream:
        try:
            connection.raw.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            if connection.raw.family != socket.AF_UNIX:
                connection.raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError:  # the peer is gone already, as the first read will tell
            pass
        stream = Stream(connection, on_close=partial(self._forget, direction), **self._options)
        self._streams[direction].add(stream)
        return stream

    def _forget(self, direction: Direction, stream: Stream) -> None:
        self._streams[direction].remove(stream)
        self._closed_streams[direction] += 1
        self._bytes_in += stream.bytes_in
        self._bytes_out += stream.bytes_out
        self.errors += stream.error is not None

    def _explained(self, what: str, error: OSError) -> OSError:
        """*error* as one of its own kind whose text says what it was that failed."""
        text = f"cannot {what} {shown(self._address)}: {error.strerror or error}"
        return type(error)(error.errno, text)


def _leaving_in(job: Any, make: Callable[[], Stream]) -> Routines:
    made: list[Stream] = []

    def run(task: Any) -> None:
        made.append(make())
        job.value = made[0]
        task.done()

    def finalize(task: Any) -> None:
        for stream in made:
            stream.close()

    return None, run, finalize
