"""Wires: what carries the bytes between a client's socket and a server's, through faults.

A connection is two socket pairs of the system, with a wire between them: the client has
an end of one pair, the server an end of the other, and two greenlets carry the bytes from
pair to pair, one in each direction. So both hold real sockets, whose buffers fill, and
which see the end, a broken pipe or a reset as the system has it.

The wire holds its own two ends alone. Of those it has given away it knows the descriptor
and the inode, which does not keep them open: they are closed when their owners close
them. It hears of that by an epoll, even while it reads nothing, as in a stall, and goes
when both are closed.

The system resets a socket whose peer is closed with bytes unread. So a reset first writes
one for itself, by the descriptor that was given away. Of a socket that has been shut, and
takes no more, the last byte is never read, though it is carried; if there was none, one
is written before it is shut.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import partial
from random import Random
from typing import Any

from gevent import getcurrent, joinall, killall, socket
from gevent.monkey import get_original
from gevent.pool import Group

from gowork.testing.faults import Fault

__all__ = ["Connection", "connected"]

# The least that the system has to offer is a good deal smaller, and takes many switches.
_BUFFER = 8 * 1024  # bytes, of each socket
_PIECE = 4 * 1024  # bytes that a wire takes at once

try:
    epoll = get_original("select", "epoll")
except AttributeError:  # only Linux has it
    epoll = None


class Connection:
    """A wire through *faults*; it goes by itself when both its sockets are closed."""

    def __init__(
        self,
        number: int,
        title: str,
        faults: tuple[Fault, ...],
        seed: int | str,
        errors: list[BaseException],
        client: _End,
        server: _End,
    ) -> None:
        self.number = number
        self._title = title
        self._faults = faults
        self._seed = seed
        self._errors = errors  # that no end of the connection is to be told
        self._client = client
        self._server = server
        self._passed = {"up": 0, "down": 0}
        self._greenlets = Group()
        self._is_ending = False

    def __str__(self) -> str:
        ends = (("client", self._client), ("server", self._server))
        states = [f"{name} {'open' if end.is_open() else 'closed'}" for name, end in ends]
        passed = [f"{count} bytes {way}" for way, count in self._passed.items()]
        return f"connection {self.number} {self._title}: {', '.join(states + passed)}"

    def is_open(self) -> bool:
        """Whether one of the sockets is not closed."""
        return self._client.is_open() or self._server.is_open()

    def start(self) -> None:
        """Begin to carry."""
        carriers = [
            self._spawn("up", self._carry, "up", self._client, self._server),
            self._spawn("down", self._carry, "down", self._server, self._client),
        ]
        self._spawn("hang-ups", self._watch, carriers)

    def reset(self) -> None:
        """End by a reset of both sockets, unless it is ending; blocks until the wire lets go."""
        self._end(_End.reset)

    def join(self) -> None:
        """Wait until nothing of the wire is left."""
        self._greenlets.join()

    def _end(self, close: Callable[[_End], None]) -> None:
        if self._is_ending:
            return
        self._is_ending = True
        me = getcurrent()
        try:
            # Nobody must wait for a socket that is closed: gevent would close it later.
            while others := [one for one in self._greenlets if one is not me and not one.dead]:
                killall(others)
        finally:
            close(self._client)
            close(self._server)

    def _spawn(self, what: str, fn: Callable[..., object], *args: Any) -> Any:
        greenlet = self._greenlets.spawn(fn, *args)
        greenlet.name = f"wire {self.number} {self._title}, {what}"
        return greenlet

    def _carry(self, direction: str, source: _End, sink: _End) -> None:
        pieces = source.pieces()
        random = Random(f"{self._seed} {self.number} {direction}")
        for fault in self._faults:
            if fault.stage is not None and fault.direction in (None, direction):
                pieces = fault.stage(pieces, random, partial(self._spawn, direction))
        try:
            for piece in pieces:
                sink.port.sendall(piece)
                self._passed[direction] += len(piece)
        except ConnectionResetError:
            self.reset()
            return
        except OSError:  # who reads is gone
            pass
        except Exception as error:  # of a fault that is none of ours, or wrong
            self._errors.append(error)
            self.reset()
            return
        source.shutdown(socket.SHUT_RD)
        sink.shutdown(socket.SHUT_WR)

    def _watch(self, carriers: list[Any]) -> None:
        """Make an end when neither socket can be told anything more: both are closed, or shut."""
        if epoll is None:
            joinall(carriers)
        else:
            self._await_hang_ups()
        self._end(_End.close)

    def _await_hang_ups(self) -> None:
        with epoll() as hang_ups:
            left = 0
            for end in (self._client, self._server):
                if end.port.fileno() >= 0:  # else it has been closed before we began
                    hang_ups.register(end.port.fileno(), 0)  # hang-ups are always reported
                    left += 1
            while left:
                socket.wait_read(hang_ups.fileno())
                for descriptor, _ in hang_ups.poll(0):
                    hang_ups.unregister(descriptor)
                    left -= 1


class _End:
    """The wire's end of a socket pair, and what it knows of the other, which is given away."""

    def __init__(self, port: Any, given: Any) -> None:
        self.port = port
        self._descriptor = given.fileno()
        self._inode = os.fstat(self._descriptor).st_ino
        self._is_shut = False
        self._is_sealed = False  # its last byte is none of the stream

    def is_open(self) -> bool:
        """Whether the socket that was given away is not closed, whoever has its descriptor now."""
        try:
            return os.fstat(self._descriptor).st_ino == self._inode
        except OSError:
            return False

    def pieces(self) -> Iterator[bytes]:
        """What comes, until its end, of which a byte is left in the socket if it was only shut."""
        while data := self.port.recv(_PIECE, socket.MSG_PEEK):
            if self._is_shut and len(data) == 1:
                if not self._is_sealed:
                    yield data
                return
            yield self.port.recv(len(data) - self._is_shut)

    def will_be_shut(self) -> None:
        """Nothing follows in the stream: see to it that there is a byte to be left unread."""
        if not self._is_shut:
            self._is_sealed = self._write()
            self._is_shut = True

    def shutdown(self, how: int) -> None:
        """Read no more, or tell that nothing more will come."""
        try:
            self.port.shutdown(how)
        except OSError:  # it was reset
            pass

    def close(self) -> None:
        """Close this end, which is no reset to the other."""
        self.shutdown(socket.SHUT_RD)
        try:
            while os.read(self.port.fileno(), _PIECE):
                pass
        except OSError:  # it was reset
            pass
        self.port.close()

    def reset(self) -> None:
        """Close this end, which resets the other."""
        if self.is_open():
            self._write()
        self.port.close()

    def _write(self) -> bool:
        """Write a byte to this end, if there is room; where there is none some are unread."""
        try:
            return os.write(self._descriptor, b"\0") == 1
        except OSError:
            return False


class _Socket(socket.socket):
    """One that is given away; it tells the wire before it is shut."""

    _end: _End | None = None

    def shutdown(self, how: int) -> None:
        if how != socket.SHUT_RD and self._end is not None:
            self._end.will_be_shut()
        super().shutdown(how)


def connected(
    number: int,
    title: str,
    faults: tuple[Fault, ...],
    seed: int | str,
    errors: list[BaseException],
) -> tuple[Connection, Any, Any]:
    """A connection that has not started, the client's socket of it, and the server's."""
    client, near = _end()
    server, far = _end()
    return Connection(number, title, faults, seed, errors, near, far), client, server


def _end() -> tuple[Any, _End]:
    pair = socket.socketpair()
    for sock in pair:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
    port, plain = pair
    given = _Socket(plain.family, plain.type, plain.proto, fileno=plain.detach())
    given._end = _End(port, given)
    return given, given._end
