"""Connection managers: an address, the streams to or from it, and what they have done.

A listener is bound once and outlives the troubles of single connections: where an
accept fails because descriptors have run out, or a client has left while it waited,
the manager counts the error, pauses and goes on.
"""

from __future__ import annotations

import enum
import errno
import logging
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

import gevent
from gevent import socket
from gevent.lock import Semaphore
from gevent.monkey import get_original

from gowork.clocks import as_seconds
from gowork.errors import StateError
from gowork.net.frames import MAX_FRAME
from gowork.net.streams import (
    READ_BUFFER,
    Stream,
    StreamState,
    is_of_the_system,
    read_task,
    write_task,
)
from gowork.routines import Routines
from gowork.scopes import checkpoint

__all__ = ["ConnManager", "Direction"]

#: Clients that the system keeps waiting to be accepted, at most.
BACKLOG = 1024
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
_getaddrinfo_original = get_original("socket", "getaddrinfo")


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

    :param address: ``(host, port)``; port 0 lets the system choose when it is listened on.
    :param inbound_limit: how many accepted streams may live at a time: None for any number;
        a client beyond it is closed at once and counted as rejected.
    :param connect_timeout: seconds for finding the address and connecting.
    :param codec: for the streams, as are *max_frame* and *read_buffer*.
    :raises ValueError: if a number is out of its range.
    """

    def __init__(
        self,
        address: tuple[str, int],
        *,
        inbound_limit: int | None = None,
        connect_timeout: float = 5.0,
        codec: Any = None,
        max_frame: int = MAX_FRAME,
        read_buffer: int = READ_BUFFER,
    ) -> None:
        for name, number, least in (
            ("the port", address[1], 0),
            ("inbound_limit", 0 if inbound_limit is None else inbound_limit, 0),
            ("max_frame", max_frame, 0),
            ("read_buffer", read_buffer, 1),
        ):
            if number < least:
                raise ValueError(f"{name} must be at least {least}: {number!r}")
        self._address = address
        self._inbound_limit = inbound_limit
        self._connect_timeout = as_seconds("connect_timeout", connect_timeout)
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
        host, port = self.address
        return f"<ConnManager {host}:{port}, {len(self._living())} streams>"

    # What can be read

    @property
    def address(self) -> tuple[str, int]:
        """``(host, port)``, with the port that the system has chosen once it is listened on."""
        if self._listener is None:
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
                sock = self._dial()
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
        return self._adopt(sock, Direction.OUTBOUND)

    def _dial(self) -> Any:
        failure: BaseException | None = None
        for family, kind, protocol, _, address in _resolve(self._address):
            sock = socket.socket(family, kind, protocol)
            try:
                sock.connect(address)
                return sock
            except BaseException as error:
                sock.close()
                if not is_of_the_system(error):
                    raise
                failure = error
        assert failure is not None  # there is at least one address, or an error
        raise failure

    def listen(self) -> None:
        """Bind the address, unless that has been done, and let clients queue up there.

        :raises OSError: if that cannot be; the text names the address and says why.
        :raises StateError: if the manager has been closed.
        """
        self._require_open("listen")
        if self._listener is not None:
            return
        try:
            family, kind, protocol, _, address = _resolve(self._address, socket.AI_PASSIVE)[0]
            listener = socket.socket(family, kind, protocol)
            try:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                listener.bind(address)
                listener.listen(BACKLOG)
            except BaseException:
                listener.close()
                raise
        except OSError as error:
            raise self._explained("listen on", error) from error
        self._listener = listener

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
                    return self._adopt(sock, Direction.INBOUND)
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
                    _log.warning("cannot accept on %s:%s: %s", *self.address, error)
                troubled = True
            gevent.sleep(PAUSE)

    def close(self) -> None:
        """Stop listening; streams live on. Never blocks; closing twice is no mistake."""
        self._closed = True
        if self._listener is not None:
            self._address = self.address
            self._listener.close()
            self._listener = None

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

    def _adopt(self, sock: Any, direction: Direction) -> Stream:
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        except OSError:  # the peer is gone already, as the first read will tell
            pass
        stream = Stream(sock, on_close=partial(self._forget, direction), **self._options)
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
        host, port = self._address
        return type(error)(error.errno, f"cannot {what} {host}:{port}: {error.strerror or error}")


def _resolve(address: tuple[str, int], flags: int = 0) -> list[tuple[Any, ...]]:
    """What :func:`socket.getaddrinfo` says; numeric addresses need none of gevent's threads."""
    host, port = address
    hints = (0, socket.SOCK_STREAM, 0)
    try:
        found = _getaddrinfo_original(host or None, port, *hints, flags | socket.AI_NUMERICHOST)
    except socket.gaierror:
        found = socket.getaddrinfo(host, port, *hints, flags)
    return list(found)


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
