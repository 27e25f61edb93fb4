"""The watchers of the simulated loop: gevent's interface, without anything native below."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Any

from gevent._interfaces import ICallback, IWatcher  # type: ignore[import-not-found]
from zope.interface import implementer

from gowork.testing.descriptors import READ, WRITE, is_closed, is_inside

__all__ = ["AsyncWatcher", "Callback", "IoWatcher", "PassWatcher", "TimerWatcher", "Watcher"]


@implementer(ICallback)
class Callback:
    """What ``run_callback`` returns: runs once, unless it is stopped before."""

    __slots__ = ("_loop", "args", "callback", "label", "latest")
    kind = ""

    def __init__(self, loop: Any, callback: Callable[..., Any], args: tuple[Any, ...]) -> None:
        self._loop = loop
        self.callback: Callable[..., Any] | None = callback
        self.args: tuple[Any, ...] | None = args
        self.label: str | None = None  # in the trace, once it was asked for
        self.latest = 0  # the step after which it is no choice any more

    def stop(self) -> None:
        if self.callback is not None:
            self._loop.forget(self)
        self.callback = self.args = None

    close = stop

    @property
    def pending(self) -> bool:
        return self.callback is not None

    def __bool__(self) -> bool:
        # As gevent's: true while it runs, too.
        return self.args is not None


@implementer(IWatcher)
class Watcher:
    """What all watchers have in common; on its own one that never fires, as for signals."""

    kind = "signal"

    def __init__(self, loop: Any, ref: bool = True, priority: int | None = None) -> None:
        self.loop = loop
        self._ref = ref
        self.priority = priority or 0
        self.callback: Callable[..., Any] | None = None
        self.args: tuple[Any, ...] | None = None
        self.active = False
        self.pending = False
        self.label: str | None = None  # in the trace, once it was asked for

    @property
    def ref(self) -> bool:
        """Whether the loop goes on for its sake."""
        return self._ref

    @ref.setter
    def ref(self, ref: bool) -> None:
        if self.active:
            self.loop.references += ref - self._ref
        self._ref = ref

    def start(self, callback: Callable[..., Any], *args: Any) -> None:
        """Have the loop call *callback(\\*args)* when it happens, until stopped."""
        if not callable(callback):
            raise TypeError(f"Expected callable, not {callback!r}")
        if self.loop is None or self.loop.is_destroyed:
            raise ValueError("operation on destroyed loop")
        self.callback, self.args, self.label = callback, args, None
        if not self.active:
            self.active = True
            self.loop.started(self)

    def stop(self) -> None:
        """Let it happen without anybody being called."""
        if self.active:
            self._retire()
        self.pending = False
        self.callback = self.args = None

    def close(self) -> None:
        """Stop for good."""
        self.stop()
        self.loop = None

    def _retire(self) -> None:
        self.active = False
        self.loop.stopped(self)

    def fire(self) -> None:
        """Call the callback, from the loop."""
        callback, args = self.callback, self.args or ()
        if callback is not None:
            callback(*args)

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "active" if self.active else "stopped"
        return f"<simulated {self.kind} watcher, {state}, callback={self.callback!r}>"


class TimerWatcher(Watcher):
    """Fires when the virtual clock has come to its time, then each *repeat* seconds."""

    kind = "timer"

    def __init__(
        self, loop: Any, after: float, repeat: float, ref: bool, priority: int | None
    ) -> None:
        super().__init__(loop, ref, priority)
        if repeat < 0:
            raise ValueError(f"repeat must be positive or zero: {repeat!r}")
        self.after = after
        self.repeat = repeat
        self.due = 0.0

    def start(self, callback: Callable[..., Any], *args: Any, update: Any = None) -> None:
        """Begin to count from now; the loop's time is never stale, so *update* changes nothing."""
        if not self.active and self.loop is not None:
            self.due = self.loop.now() + max(self.after, 0.0) + self.loop.lateness()
        super().start(callback, *args)

    def again(self, callback: Callable[..., Any], *args: Any, update: Any = None) -> None:
        """Begin once more, each *repeat* seconds."""
        self.stop()
        self.after = self.repeat
        self.start(callback, *args)

    def fire(self) -> None:
        callback, args = self.callback, self.args or ()
        self._retire()
        if self.repeat:
            self.due += self.repeat
            self.active = True
            self.loop.started(self)
        try:
            if callback is not None:
                callback(*args)
        finally:
            if not self.active:
                self.stop()


class IoWatcher(Watcher):
    """Fires while its descriptor is ready to be read, written or either."""

    kind = "io"

    def __init__(
        self, loop: Any, descriptor: int, events: int, ref: bool, priority: int | None
    ) -> None:
        super().__init__(loop, ref, priority)
        if descriptor < 0:
            raise ValueError(f"fd must be non-negative: {descriptor!r}")
        if not events or events & ~(READ | WRITE):
            raise ValueError(f"illegal event mask: {events!r}")
        if is_closed(descriptor):
            raise OSError(errno.EBADF, "Bad file descriptor")
        self.fd = descriptor
        self.events = events
        self.ready = 0  # of its events, when last asked
        self.is_inside = False
        self._pass_events = False

    def start(self, callback: Callable[..., Any], *args: Any, pass_events: bool = False) -> None:
        """Have the loop call *callback*; with *pass_events* what is ready comes first."""
        self._pass_events = pass_events
        self.is_inside = is_inside(self.fd)
        super().start(callback, *args)

    def fire(self) -> None:
        callback, args = self.callback, self.args or ()
        if callback is not None:
            callback(*((self.ready, *args) if self._pass_events else args))


class AsyncWatcher(Watcher):
    """Fires once it was sent something, by whatever thread."""

    kind = "async"

    def send(self) -> None:
        if self.active:
            self.pending = True

    def send_ignoring_arg(self, _ignored: object) -> None:
        self.send()

    def fire(self) -> None:
        self.pending = False
        super().fire()


class PassWatcher(Watcher):
    """Fires in each pass of the loop, or in each that finds nothing else to do (idle)."""

    def __init__(self, loop: Any, kind: str, ref: bool, priority: int | None) -> None:
        super().__init__(loop, ref, priority)
        self.kind = kind
