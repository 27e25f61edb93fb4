"""The hub of a simulation: gevent's, without threads, with a memory for errors."""

from __future__ import annotations

import _socket
from typing import Any

from gevent.hub import Hub

from gowork.testing.errors import NotSimulated
from gowork.testing.loops import Loop

__all__ = ["SimulatedHub"]


class SimulatedHub(Hub):
    """A hub on a simulated loop; keeps in *errors*, its loop's, what gevent would only print."""

    def __init__(self, loop: Loop) -> None:
        super().__init__(loop)  # type: ignore[call-overload]
        self.name = "simulated"
        self.errors = loop.errors

    def handle_error(self, context: Any, kind: Any, value: Any, tb: Any) -> None:
        if isinstance(value, BaseException) and not isinstance(value, self.NOT_ERROR):
            self.errors.append(value)
        super().handle_error(context, kind, value, tb)

    def start_periodic_monitoring_thread(self) -> None:  # type: ignore[override]
        """Nothing: it would be a thread, and measure real time."""

    @property
    def threadpool(self) -> Any:  # type: ignore[override]
        raise NotSimulated(
            "a simulation has no native threads, so no threadpool: replace what runs in it, or"
            " do it before the simulation begins"
        )

    @property
    def resolver(self) -> Any:  # type: ignore[override]
        return _Resolver


class _Resolver:
    """Addresses that need no asking."""

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

    @staticmethod
    def gethostbyaddr(ip_address: str) -> Any:
        raise _refusal(ip_address)

    @staticmethod
    def getnameinfo(sockaddr: Any, flags: int) -> Any:
        return _socket.getnameinfo(sockaddr, flags | _socket.NI_NUMERICHOST)


def _refusal(name: Any) -> NotSimulated:
    return NotSimulated(
        f"a simulation resolves no names, and {name!r} is one: use a numeric address, localhost,"
        " or a Network of gowork.testing"
    )
