"""Sockets over TLS: what is given is encrypted, what is taken has been decrypted.

OpenSSL works here on two buffers in memory and never sees the socket, so that all
waiting is ours. gevent's own TLS socket would not do: its shutdown tells the peer of
no end, and its unwrap waits for the peer's end and fails if data comes instead.

*The handshake* is done by whoever takes or gives first, so that accepting a client does
not wait for it, and it is bounded in time.

*Tickets*, with which a client may come back, are sent by a server of TLS 1.3 with the first
data and not before: a client that has written, and closed without reading, would answer
them by a reset, which takes from the server what it has not received yet.

*The end* of a direction is an alert, close_notify. The way back stays open as long as
the peer leaves it so: TLS 1.3 says that it may, before 1.3 a peer was to close at once.
A connection that ends without the alert was cut short, which is an error and no end.

*What has been encrypted* has its place in the stream and must be sent. Of a write that
is interrupted then the peer gets nothing more, and the socket says ``halfway``.
"""

from __future__ import annotations

import errno
import ssl
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, TypeVar, cast

import gevent
from gevent.lock import Semaphore

from gowork.net.buffers import READ_BUFFER, scratch
from gowork.net.sockets import PlainSocket

__all__ = ["HANDSHAKE_TIMEOUT", "TLSSocket"]

#: Seconds that a handshake may take unless somebody says otherwise.
HANDSHAKE_TIMEOUT = 5.0

# How much is encrypted before it is sent, in bytes: several records, so that there are few sends.
_AT_ONCE = 64 * 1024

T = TypeVar("T")


class TLSSocket(PlainSocket):
    """A connected socket with TLS on it, for a :class:`~gowork.net.streams.Stream`.

    ::

        stream = Stream(TLSSocket(sock, context, server_hostname="example.org"))

    :param raw: one of :mod:`gevent.socket`, which belongs to it from now on.
    :param context: a :class:`ssl.SSLContext`, of :mod:`gevent.ssl` or not.
    :param server_hostname: whom a client expects to meet.
    :param timeout: seconds that the handshake may take.
    """

    def __init__(
        self,
        raw: Any,
        context: Any,
        *,
        server_side: bool = False,
        server_hostname: str | None = None,
        timeout: float | None = HANDSHAKE_TIMEOUT,
    ) -> None:
        super().__init__(raw)
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls: ssl.SSLObject = context.wrap_bio(
            self._incoming, self._outgoing, server_side, server_hostname
        )
        self._timeout = timeout
        self._is_ready = False  # for data: the handshake is over
        self._has_ended = False  # in this direction
        self._is_fetching = False
        self._tickets = b""  # that a client may come back with
        self._unsent = memoryview(b"")  # the oldest bytes of what goes out
        self._plain = bytearray()  # decrypted before anybody asked
        self._handshaking = Semaphore()
        self._sending = Semaphore()

    def handshake(self) -> None:
        """Agree with the peer, unless that has been done; blocks until then.

        :raises TimeoutError: if that takes too long.
        :raises OSError: if they cannot agree, or the connection fails.
        """
        if self._is_ready:
            return
        with self._handshaking:
            if self._is_ready:
                return
            try:
                with gevent.Timeout(self._timeout) as timer:
                    self._drive(self._tls.do_handshake)
                    if self._tls.server_side and self._tls.version() == "TLSv1.3":
                        self._tickets += self._outgoing.read()
                    self._send()
            except gevent.Timeout as expired:
                if expired is not timer:
                    raise
                text = f"no TLS handshake in {self._timeout} s"
                raise TimeoutError(errno.ETIMEDOUT, text) from None
            except ssl.SSLError:
                with suppress(OSError):
                    self._send_nowait()  # the alert that says why
                raise
            self._is_ready = True

    def take(self, buffer: memoryview) -> int:
        self.handshake()
        if self._plain:
            size = min(len(self._plain), len(buffer))
            buffer[:size] = self._plain[:size]
            del self._plain[:size]
            return size
        return self._drive(self._read, buffer)

    def give(self, views: Sequence[memoryview]) -> int:
        self.handshake()
        given = 0
        try:
            for view in views:
                at = 0
                while at < len(view) and self._outgoing.pending < _AT_ONCE:
                    self.halfway = True
                    at += self._drive(self._tls.write, view[at:])
                given += at
                if at < len(view):
                    break
            self._send()
        finally:
            if not self._owes:
                self.halfway = False
        return given

    def give_nowait(self, data: Any) -> int:
        return 0  # what has been encrypted could not be taken back

    def end(self) -> None:
        self.handshake()
        self._say_end()
        self._send()

    def peek(self) -> bool:
        # Encrypted bytes may be an end, or no data. But whoever waits for them would not be
        # woken for what has been taken from under him.
        if not self._is_ready or self._is_fetching:
            return super().peek()
        while not (at_end := self._decrypt()) and not self._plain:
            self._put(self._recv_nowait())
        return bool(self._plain) or not at_end

    def close(self) -> None:
        """As said above. An end for which there is no room is left out, and missed by the peer.

        Whoever wants it to arrive in any case calls :meth:`end` before, which waits.
        """
        try:
            if self._is_ready:
                self._say_end()
                self._send_nowait()
                # Unread tickets, or the peer's end, would make the system send a reset.
                self._recv_nowait()
        except OSError:  # it goes either way, and the peer misses the end
            pass
        finally:
            super().close()

    # Between OpenSSL and the socket

    def _drive(self, step: Callable[..., T], *args: Any) -> T:
        """What *step* returns once the peer has said what it needs; nothing runs after that."""
        while True:
            try:
                return step(*args)
            except ssl.SSLWantReadError:
                # Whoever is sending takes this along. Waiting for him, who may wait for
                # the peer to read, would keep us from reading what the peer writes.
                if not self._sending.locked():
                    self._send()
                self._fetch()

    def _read(self, buffer: memoryview) -> int:
        try:
            # With a buffer it returns how many bytes, which typeshed does not know.
            return cast(int, self._tls.read(len(buffer), buffer))
        except ssl.SSLZeroReturnError:  # the peer's end, where ours has been said as well
            return 0

    def _decrypt(self) -> bool:
        """Decrypt what has been received, for later; whether the end is there."""
        buffer = scratch(READ_BUFFER)
        try:
            while size := self._read(buffer):
                self._plain += buffer[:size]
        except ssl.SSLWantReadError:
            return False
        return True

    def _say_end(self) -> None:
        if not self._has_ended:
            self._decrypt()  # OpenSSL would read on, and fail if data came
            self._has_ended = True
            with suppress(ssl.SSLWantReadError):  # it would wait for the peer's end
                self._tls.unwrap()

    def _fetch(self) -> None:
        self._is_fetching = True
        try:
            self.raw._wait(self.raw._read_event)
            self._put(self.raw.recv(READ_BUFFER))
        finally:
            self._is_fetching = False

    def _recv_nowait(self) -> bytes:
        self.raw.settimeout(0)
        try:
            data: bytes = self.raw.recv(READ_BUFFER)
        finally:
            self.raw.settimeout(None)
        return data

    def _put(self, data: bytes) -> None:
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()

    @property
    def _owes(self) -> bool:
        """Whether encrypted bytes wait to be sent."""
        return bool(self._unsent) or self._outgoing.pending > 0

    def _send(self) -> None:
        with self._sending:
            while self._owes:
                self._send_some()

    def _send_nowait(self) -> None:
        with suppress(BlockingIOError):
            while self._owes and not self._sending.locked():
                self._send_some(0, 0.0)

    def _send_some(self, *options: Any) -> None:
        if not self._unsent:
            self._unsent = memoryview(self._tickets + self._outgoing.read())
            self._tickets = b""
        self._unsent = self._unsent[self.raw.send(self._unsent, *options) :]
