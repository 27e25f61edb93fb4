"""Which descriptors are ready, and which of them nobody outside the process can make ready."""

from __future__ import annotations

import _socket
import fcntl
import os
import stat
import termios
from collections.abc import Iterable
from typing import Any

from gevent.monkey import get_original

__all__ = ["READ", "WRITE", "Poller", "has_unsent", "is_closed", "is_inside"]

poll = get_original("select", "poll")
POLLIN = get_original("select", "POLLIN")
POLLOUT = get_original("select", "POLLOUT")
POLLNVAL = get_original("select", "POLLNVAL")
READ, WRITE = 1, 2
INVALID = -1  # all events, as libev says it of a descriptor that was closed


class Poller:
    """Asks the system which of some descriptors are ready; remembers what it asked last."""

    def __init__(self) -> None:
        self._asked: dict[int, int] = {}
        self._poll = poll()

    def ready(self, watchers: Iterable[Any], patience: float = 0.0) -> list[Any]:
        """Those *watchers* whose descriptors are ready, after *patience* real seconds at most.

        What is ready of one is then in its attribute ``ready``.
        """
        asked: dict[int, int] = {}
        for watcher in watchers:
            asked[watcher.fd] = asked.get(watcher.fd, 0) | watcher.events
        if asked != self._asked:
            self._ask(asked)
        happened = dict(self._poll.poll(patience * 1000))
        for watcher in watchers:
            mask = happened.get(watcher.fd, 0)
            watcher.ready = INVALID if mask & POLLNVAL else watcher.events & _as_events(mask)
        return [watcher for watcher in watchers if watcher.ready]

    def _ask(self, asked: dict[int, int]) -> None:
        self._poll = poll()
        for descriptor, events in asked.items():
            mask = (POLLIN if events & READ else 0) | (POLLOUT if events & WRITE else 0)
            self._poll.register(descriptor, mask)
        self._asked = asked


def _as_events(mask: int) -> int:
    if mask & ~(POLLIN | POLLOUT):  # an error or a hang-up wakes whoever waits, as on libev
        return READ | WRITE
    return (READ if mask & POLLIN else 0) | (WRITE if mask & POLLOUT else 0)


def is_closed(descriptor: int) -> bool:
    """Whether there is no such descriptor."""
    try:
        os.fstat(descriptor)
    except OSError:
        return True
    return False


def has_unsent(descriptor: int) -> bool:
    """Whether the kernel holds bytes of a TCP socket that its peer has not acknowledged."""
    try:
        held = fcntl.ioctl(descriptor, termios.TIOCOUTQ, b"\0" * 4)
    except OSError:  # no socket, or not connected
        return False
    return held != b"\0" * 4


def is_inside(descriptor: int) -> bool:
    """Whether what becomes ready there does so at once, by this process's own doing.

    So it is with pipes and unix sockets, whose other end is taken to be in the process
    too, with files, and with an epoll descriptor that watches only such.
    """
    try:
        mode = os.fstat(descriptor).st_mode
    except OSError:  # it is closed, which is known at once as well
        return True
    if not stat.S_ISSOCK(mode):
        return stat.S_ISFIFO(mode) or stat.S_ISREG(mode) or _watches_inside(descriptor)
    borrowed = _socket.socket(fileno=descriptor)
    try:
        return borrowed.family == _socket.AF_UNIX
    finally:
        borrowed.detach()


def _watches_inside(descriptor: int) -> bool:
    try:
        if os.readlink(f"/proc/self/fd/{descriptor}") != "anon_inode:[eventpoll]":
            return False
        with open(f"/proc/self/fdinfo/{descriptor}") as lines:
            watched = [line.split()[1] for line in lines if line.startswith("tfd:")]
    except OSError:
        return False
    return all(is_inside(int(one)) for one in watched)
