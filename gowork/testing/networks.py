"""A network in memory, with faults: for code that is given its sockets.

The sockets are real, the system's own, though no port is used and nothing outside the
process; :mod:`gowork.testing.wires` says how. Time is gevent's: the faults take theirs on
the clock of a simulation as on the real one.
"""

from __future__ import annotations

import errno
import traceback
from collections import Counter
from collections.abc import Callable, Hashable
from types import TracebackType
from typing import Any

from gevent import GreenletExit, killall
from gevent.pool import Group

from gowork.channels import Channel
from gowork.errors import ChannelClosed, ChannelTimeout
from gowork.testing.faults import Fault
from gowork.testing.wires import Connection, connected

__all__ = ["Listener", "Network"]


class Network:
    """Connections between greenlets, with the same faults for the same *seed*.

    ::

        with Network(latency(0.2), slicer(), seed=7) as network:
            network.serve(echo, ("server", 80))
            client = network.connect(("server", 80))

    :param faults: what happens to every connection, in this order.
    :param seed: of all that is drawn; None for 0.
    :raises TypeError: if one of *faults* is not made by one of :mod:`gowork.testing.faults`.
    """

    def __init__(self, *faults: Fault, seed: int | str | None = None) -> None:
        self._faults = _checked(faults)
        self._seed = 0 if seed is None else seed
        self._listeners: dict[Hashable, Listener] = {}
        self._connections: list[Connection] = []
        self._made = 0
        self._refused: Counter[tuple[Hashable, Fault]] = Counter()
        self._acceptors = Group()
        self._handlers = Group()
        self._served: set[Any] = set()  # the sockets of the handlers
        self._errors: list[BaseException] = []
        self._is_closed = False

    def __repr__(self) -> str:
        state = "closed" if self._is_closed else f"{len(self.open)} open"
        return f"<Network {list(self._faults)} seed={self._seed!r}, {state}>"

    def __enter__(self) -> Network:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        if error is None:
            self.close()
        else:
            self._end()
            for failure in self._errors:
                error.add_note(
                    f"Meanwhile in the network:\n{''.join(traceback.format_exception(failure))}"
                )

    @property
    def open(self) -> list[str]:
        """What is still open: a line for each connection of which an end is not closed."""
        self._connections = [one for one in self._connections if one.is_open()]
        return [str(one) for one in self._connections]

    def listen(self, address: Hashable, backlog: int = 100) -> Listener:
        """A listener that accepts connections to *address*, which may be anything hashable.

        :param backlog: so many connects go on before they are accepted; others wait.
        :raises OSError: if somebody listens there already, or the network is closed.
        """
        self._refuse_if_closed()
        if address in self._listeners:
            raise OSError(errno.EADDRINUSE, f"somebody listens at {address!r} already")
        listener = self._listeners[address] = Listener(self, address, backlog)
        return listener

    def serve(
        self, handle: Callable[[Any, Any], object], address: Hashable, backlog: int = 100
    ) -> Listener:
        """A listener with a greenlet for each connection, which calls *handle(socket, peer)*.

        The socket is closed when *handle* has returned. What it raises is kept, and raised by
        :meth:`close`. Closing the listener ends nothing but the accepting.

        :raises OSError: if somebody listens there already, or the network is closed.
        """
        listener = self.listen(address, backlog)
        self._acceptors.spawn(self._accept, listener, handle).name = f"accept at {address!r}"
        return listener

    def connect(self, address: Hashable, *faults: Fault, timeout: float | None = None) -> Any:
        """A socket connected to *address*; blocks while the backlog there is full.

        :param faults: what happens to this connection after the faults of the network.
        :param timeout: for how many seconds to wait at most; None for ever.
        :raises ConnectionRefusedError: if nobody listens there, or a fault has it so.
        :raises TimeoutError: if *timeout* has passed.
        :raises OSError: if the network is closed.
        :raises TypeError: if one of *faults* is none.
        """
        self._refuse_if_closed()
        faults = self._faults + _checked(faults)
        listener = self._listeners.get(address)
        if listener is None or self._has_a_refusal_for(address, faults):
            raise _refusal(address)
        connection, client, server = self._join(f"to {address!r}", faults)
        try:
            listener._take(connection, server, ("client", connection.number), timeout)
        except BaseException:
            client.close()
            server.close()
            connection.reset()
            raise
        connection.start()
        return client

    def pair(self, *faults: Fault) -> tuple[Any, Any]:
        """Two connected sockets; from the first to the second is "up".

        :param faults: what happens to this connection after the faults of the network.
        :raises ValueError: if it is to be refused: a pair is connected.
        :raises OSError: if the network is closed.
        :raises TypeError: if one of *faults* is none.
        """
        self._refuse_if_closed()
        if any(fault.refusals for fault in _checked(faults)):
            raise ValueError(f"only a connect can be refused, a pair is connected: {faults!r}")
        connection, a, b = self._join("pair", self._faults + faults)
        connection.start()
        return a, b

    def close(self) -> None:
        """Stop the listeners and the handlers, and reset what is connected; blocks until they end.

        Sockets that were given away are their owners' to close, but those of the handlers.

        :raises BaseException: what a handler raised, or a fault of your own; an
            :exc:`ExceptionGroup` of all if there are several.
        """
        self._end()
        errors = self._errors.copy()
        self._errors.clear()  # the same list is the wires'
        if len(errors) == 1:
            raise errors[0]
        if errors:
            raise BaseExceptionGroup("several handlers or faults failed", errors)

    def _end(self) -> None:
        self._is_closed = True
        for listener in list(self._listeners.values()):
            listener.close()
        self._acceptors.join()
        killall(list(self._handlers))
        self._handlers.join()
        for sock in self._served:  # of handlers that have not begun
            sock.close()
        for connection in self._connections:
            connection.reset()
            connection.join()

    def _refuse_if_closed(self) -> None:
        if self._is_closed:
            raise OSError(errno.ENETDOWN, "the network is closed")

    def _has_a_refusal_for(self, address: Hashable, faults: tuple[Fault, ...]) -> bool:
        for fault in faults:
            if self._refused[address, fault] < fault.refusals:
                self._refused[address, fault] += 1
                return True
        return False

    def _join(self, title: str, faults: tuple[Fault, ...]) -> tuple[Connection, Any, Any]:
        self._made += 1
        joined = connected(self._made, title, faults, self._seed, self._errors)
        self._connections = [one for one in self._connections if one.is_open()]
        self._connections.append(joined[0])
        return joined

    def _accept(self, listener: Listener, handle: Callable[[Any, Any], object]) -> None:
        while True:
            try:
                sock, peer = listener.accept()
            except OSError:  # it is closed
                return
            self._served.add(sock)
            handler = self._handlers.spawn(self._handle, handle, sock, peer)
            handler.name = f"handler of {peer!r} at {listener.address!r}"

    def _handle(self, handle: Callable[[Any, Any], object], sock: Any, peer: Any) -> None:
        try:
            handle(sock, peer)
        except (GreenletExit, KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:
            self._errors.append(error)
        finally:
            self._served.remove(sock)
            sock.close()


class Listener:
    """Accepts the connections to an address of a network; made by :meth:`Network.listen`."""

    def __init__(self, network: Network, address: Hashable, backlog: int) -> None:
        self.address = address
        self._network = network
        self._backlog: Channel[tuple[Connection, Any, Any]] = Channel(backlog)

    def __repr__(self) -> str:
        state = "closed" if self._backlog.closed else f"{len(self._backlog)} to accept"
        return f"<Listener at {self.address!r}, {state}>"

    def accept(self) -> tuple[Any, Any]:
        """The server's socket of the next connection, and the client's address; blocks for it.

        :raises OSError: if the listener is closed, before or meanwhile.
        """
        try:
            _, sock, peer = self._backlog.recv()
        except ChannelClosed:
            raise OSError(errno.EBADF, f"the listener at {self.address!r} is closed") from None
        return sock, peer

    def close(self) -> None:
        """Accept no more, and reset what nobody has accepted; blocks until that is done."""
        if self._backlog.closed:
            return
        del self._network._listeners[self.address]
        self._backlog.close()
        for connection, server, _ in self._backlog:
            connection.reset()
            server.close()

    def _take(self, connection: Connection, server: Any, peer: Any, timeout: Any) -> None:
        try:
            self._backlog.send((connection, server, peer), timeout)
        except ChannelClosed:
            raise _refusal(self.address) from None
        except ChannelTimeout:
            raise TimeoutError(f"the backlog at {self.address!r} was full too long") from None


def _checked(faults: tuple[Fault, ...]) -> tuple[Fault, ...]:
    for fault in faults:
        if not isinstance(fault, Fault):
            raise TypeError(
                f"{fault!r} is no fault: make them by latency(), slicer() and the like, and pass"
                " them one by one"
            )
    return faults


def _refusal(address: Hashable) -> ConnectionRefusedError:
    return ConnectionRefusedError(errno.ECONNREFUSED, f"nobody accepts at {address!r}")
