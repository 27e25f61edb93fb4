"""Addresses: ``(host, port)`` of IPv4 or IPv6, or the path of a Unix socket.

The file of a Unix socket outlives a process that was killed, and is in the way of the
next one. It is removed where nobody listens behind it, which is found out by connecting:
who does listen sees a client come and go. Two processes that start at a
time must not take each other's for such a one, bound as it is an instant before it is
listened on; so the directory is locked meanwhile. It is locked and no file beside the
socket, since that one could never be removed.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import gevent
from gevent import socket
from gevent.monkey import get_original

from gowork.net.sockets import is_of_the_system

__all__ = ["Address", "bind", "dial", "identity", "shown", "validated"]

Address = tuple[str, int] | str

#: Clients that the system keeps waiting to be accepted, at most.
BACKLOG = 1024
#: Seconds before another try to connect to a path behind which too many clients are waiting.
PAUSE = 0.01
#: Seconds that another process may keep a directory locked, in which it makes a socket too.
LOCKED = 1.0

_getaddrinfo_original = get_original("socket", "getaddrinfo")


def validated(address: Any) -> Address:
    """*address*, a path as text.

    :raises TypeError: if it is neither a pair nor a path.
    :raises ValueError: if the port is negative, or the path is empty or holds a null.
    """
    if isinstance(address, tuple):
        host, port = address
        if port < 0:
            raise ValueError(f"the port must be at least 0: {port!r}")
        return host, port
    path = os.fspath(address)
    if not isinstance(path, str):
        raise TypeError(f"a path must be text: {path!r}")
    if not path or "\0" in path:
        raise ValueError(f"a path must name a file: {path!r}")
    return path


def shown(address: Address) -> str:
    """*address* as people write it."""
    if isinstance(address, str):
        return address
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def dial(address: Address) -> Any:
    """A socket connected to *address*, or to the first of those it stands for that answers.

    :raises OSError: if the address is not found, or none answers.
    """
    failure: OSError | None = None
    for family, kind, protocol, _, where in _resolve(address):
        sock = socket.socket(family, kind, protocol)
        try:
            _connect(sock, where)
            return sock
        except BaseException as error:
            sock.close()
            if not isinstance(error, OSError) or not is_of_the_system(error):
                raise
            failure = error
    assert failure is not None  # there is at least one address, or an error
    raise failure


def _connect(sock: Any, where: Any) -> None:
    if sock.family != socket.AF_UNIX:
        sock.connect(where)
        return
    sock.settimeout(0)
    while True:
        try:
            with _told_with_number():
                sock.connect(where)
            return
        except BlockingIOError:  # too many clients are waiting there, and no event tells us more
            gevent.sleep(PAUSE)


def bind(address: Address) -> Any:
    """A socket that listens on *address*, or on the first of those it stands for.

    :raises OSError: if that cannot be.
    """
    family, kind, protocol, _, where = _resolve(address, socket.AI_PASSIVE)[0]
    listener = socket.socket(family, kind, protocol)
    try:
        if family == socket.AF_UNIX:
            with _locked_directory(where), _told_with_number():
                _unlink_stale(where)
                listener.bind(where)
                listener.listen(BACKLOG)
        else:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:  # the same everywhere, whatever a system's default
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listener.bind(where)
            listener.listen(BACKLOG)
    except BaseException:
        listener.close()
        raise
    return listener


def _resolve(address: Address, flags: int = 0) -> list[tuple[Any, ...]]:
    """What :func:`socket.getaddrinfo` says; numeric addresses need none of gevent's threads."""
    if isinstance(address, str):
        return [(socket.AF_UNIX, socket.SOCK_STREAM, 0, "", address)]
    host, port = address
    hints = (0, socket.SOCK_STREAM, 0)
    try:
        found = _getaddrinfo_original(host or None, port, *hints, flags | socket.AI_NUMERICHOST)
    except socket.gaierror:
        found = socket.getaddrinfo(host, port, *hints, flags)
    return list(found)


# Unix sockets


def identity(path: str) -> tuple[int, int] | None:
    """Which file *path* is now, None if there is none."""
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def _unlink_stale(path: str) -> None:
    """Remove the socket at *path* if nobody listens behind it.

    :raises OSError: if something else is there.
    """
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise OSError(errno.EADDRINUSE, "a file is there that is no socket")
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(0)  # a listener with many clients waiting makes one more wait
        if probe.connect_ex(path) == errno.ECONNREFUSED:
            os.unlink(path)


@contextmanager
def _locked_directory(path: str) -> Iterator[None]:
    directory = os.open(os.path.dirname(path) or ".", os.O_RDONLY)
    try:
        _lock(directory)
        try:
            yield
        finally:
            # In a monkey-patched process os.close leaves the closing, and the lock, for later.
            fcntl.flock(directory, fcntl.LOCK_UN)
    finally:
        os.close(directory)


def _lock(directory: int) -> None:
    """Lock it. Whoever can read it can keep it locked: so the wait is short, and not the hub's.

    :raises OSError: if somebody keeps it locked.
    """
    end = time.monotonic() + LOCKED
    while True:
        try:
            fcntl.flock(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= end:
                text = "another process keeps its directory locked"
                raise OSError(errno.EADDRINUSE, text) from None
            gevent.sleep(PAUSE)


@contextmanager
def _told_with_number() -> Iterator[None]:
    """Give the error for a path that is too long the number that Python leaves out."""
    try:
        yield
    except OSError as error:
        if error.errno is None and "too long" in str(error):
            raise OSError(errno.ENAMETOOLONG, str(error)) from error
        raise
