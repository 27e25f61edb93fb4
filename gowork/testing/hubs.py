"""The hub of a simulation, without threads and with a memory for errors; and that outside."""

from __future__ import annotations

import _socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

from gevent.hub import Hub

from gowork.testing.errors import NotSimulated, SimulationError
from gowork.testing.loops import Loop
from gowork.threads import get_ident

__all__ = ["SimulatedHub", "out_of_reach"]


RUNS_LATER = ("run_callback", "timer", "io", "async_", "idle", "prepare", "check", "signal")

_GeventHub: Any = Hub  # with what its type stubs leave out


class SimulatedHub(_GeventHub):  # type: ignore[misc]
    """A hub on a simulated loop; keeps in *errors*, its loop's, what gevent would only print."""

    def __init__(self, loop: Loop) -> None:
        super().__init__(loop)
        self.name = "simulated"
        self.errors = loop.errors

    def handle_error(self, context: Any, kind: Any, value: Any, tb: Any) -> None:
        if isinstance(value, BaseException) and not isinstance(value, self.NOT_ERROR):
            self.errors.append(value)
        super().handle_error(context, kind, value, tb)

    def start_periodic_monitoring_thread(self) -> None:
        """Nothing: it would be a thread, and measure real time."""

    # What the program puts in their place is used.

    def _get_threadpool(self) -> Any:
        if self._threadpool is None:
            raise NotSimulated(
                "a simulation has no native threads, so no threadpool: replace what runs in it,"
                " or do it before the simulation begins"
            )
        return self._threadpool

    def _get_resolver(self) -> Any:
        return self._resolver or _Resolver()

    threadpool = property(_get_threadpool, _GeventHub._set_threadpool, _GeventHub._del_threadpool)
    resolver = property(_get_resolver, _GeventHub._set_resolver, _GeventHub._del_resolver)


class _OutsideLoop:
    """The loop of the hub outside: not for the thread that simulates, but for its watchers."""

    def __init__(self, loop: Any) -> None:
        self._loop = loop
        self._thread = get_ident()

    def __getattr__(self, name: str) -> Any:
        if name in RUNS_LATER and get_ident() == self._thread:
            _refuse_to_wait_outside()
        return getattr(self._loop, name)


@contextmanager
def out_of_reach(hub: Any) -> Iterator[None]:
    """Refuse to this thread what would wait for *hub*, which does not run meanwhile."""
    loop = hub.loop
    hub.switch, hub.loop = _refuse_to_wait_outside, _OutsideLoop(loop)
    try:
        yield
    finally:
        del hub.switch
        hub.loop = loop


def _refuse_to_wait_outside() -> NoReturn:
    raise SimulationError(
        "this would wait for the hub outside of the simulation, where it was made or has waited"
        " before (a queue, a socket, or a lock or an event of a module): make it in the program"
    )


class _Resolver:
    """Addresses that need no asking."""

    def close(self) -> None:
        """Nothing: nothing is open."""

    @staticmethod
    def getaddrinfo(
        host: Any, port: Any, family: int = 0, kind: int = 0, proto: int = 0, flags: int = 0
    ) -> Any:
        if host not in ("localhost", b"localhost"):
            flags |= _socket.AI_NUMERICHOST
        try:
            return _socket.getaddrinfo(host, port, family, kind, proto, flags)
        except _socket.gaierror as error:
            raise _refusal(host) from error

    @classmethod
    def gethostbyname(cls, hostname: str) -> Any:
        return cls.getaddrinfo(hostname, None, _socket.AF_INET)[0][4][0]

    @classmethod
    def gethostbyname_ex(cls, hostname: str) -> Any:
        return hostname, [], [cls.gethostbyname(hostname)]

    @classmethod
    def gethostbyaddr(cls, ip_address: str) -> Any:
        cls.getaddrinfo(ip_address, None)
        raise _socket.herror(1, "Unknown host")  # a number it may be, but it has no name here

    @staticmethod
    def getnameinfo(sockaddr: Any, flags: int) -> Any:
        return _socket.getnameinfo(sockaddr, flags | _socket.NI_NUMERICHOST)


def _refusal(name: Any) -> NotSimulated:
    return NotSimulated(
        f"a simulation resolves no names, and {name!r} is one: use a numeric address, localhost,"
        " or a Network of gowork.testing"
    )
