"""Sockets as streams use them: received into a buffer, sent from several, ended, closed."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

from gevent import socket

__all__ = ["PlainSocket", "is_of_the_system"]

# How many buffers one sendmsg takes: IOV_MAX on every system that has a say in it.
_MOST_BUFFERS = 1024

# SO_LINGER on, for no time at all: closing sends a reset.
_RESET = struct.pack("ii", 1, 0)


class PlainSocket:
    """A connected socket of :mod:`gevent.socket`, which belongs to it from now on."""

    #: Whether something given has been sent in part, and the rest must follow.
    halfway = False

    def __init__(self, raw: Any) -> None:
        self.raw = raw
        raw.settimeout(None)

    def peer(self) -> Any:
        """The peer's address, None if it has left already."""
        try:
            return self.raw.getpeername()
        except OSError:
            return None

    def handshake(self) -> None:
        """Do what comes before data, unless it has been done: nothing."""

    def take(self, buffer: memoryview) -> int:
        """Wait for bytes and receive them; 0 at the end. Nothing runs after they came.

        Waiting comes first. Data is seldom there already, so that this saves the failing
        call before the wait, and a reader with a fast peer gives way to others.
        """
        self.raw._wait(self.raw._read_event)
        size: int = self.raw.recv_into(buffer)
        return size

    def give(self, views: Sequence[memoryview]) -> int:
        """Send some of the bytes in *views*, which hold any; how many. Blocks for room."""
        size: int = self.raw.sendmsg(views[:_MOST_BUFFERS])
        return size

    def give_nowait(self, data: Any) -> int:
        """Send what there is room for; how many bytes."""
        try:
            size: int = self.raw.send(data, 0, 0.0)
        except BlockingIOError:
            return 0
        return size

    def end(self) -> None:
        """Tell the peer that nothing more will come."""
        self.raw.shutdown(socket.SHUT_WR)

    def peek(self) -> bool:
        """Whether bytes are there to be received, and no end; never blocks.

        :raises BlockingIOError: if there is neither.
        """
        self.raw.settimeout(0)
        try:
            return bool(self.raw.recv(1, socket.MSG_PEEK))
        finally:
            self.raw.settimeout(None)

    def close(self) -> None:
        """Close it, which tells the peer that nothing more will come; never blocks."""
        self.raw.close()

    def reset(self) -> None:
        """Close it so that the peer sees an error and no end; never blocks."""
        try:
            self.raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        except OSError:  # some systems refuse it when the peer has sent a reset: gone either way
            pass
        finally:
            self.raw.close()


def is_of_the_system(error: BaseException) -> bool:
    """Whether the system reports *error*; a caller's own timeout may be an OSError too."""
    return isinstance(error, OSError) and error.errno is not None
