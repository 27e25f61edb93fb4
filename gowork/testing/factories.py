"""The watchers that a simulated loop makes for gevent, and those that it refuses to make."""

from __future__ import annotations

from gowork.testing.errors import NotSimulated
from gowork.testing.watchers import AsyncWatcher, IoWatcher, PassWatcher, TimerWatcher, Watcher

__all__ = ["WatcherFactory"]


class WatcherFactory:
    """The part of gevent's loop interface that makes watchers."""

    def timer(
        self, after: float, repeat: float = 0.0, ref: bool = True, priority: int | None = None
    ) -> TimerWatcher:
        return TimerWatcher(self, after, repeat, ref, priority)

    def io(self, fd: int, events: int, ref: bool = True, priority: int | None = None) -> IoWatcher:
        return IoWatcher(self, fd, events, ref, priority)

    def async_(self, ref: bool = True, priority: int | None = None) -> AsyncWatcher:
        return AsyncWatcher(self, ref, priority)

    locals()["async"] = async_  # gevent has both names

    def signal(self, signum: int, ref: bool = True, priority: int | None = None) -> Watcher:
        """A watcher that never fires: in a simulation nobody sends signals."""
        return Watcher(self, ref, priority)

    def idle(self, ref: bool = True, priority: int | None = None) -> PassWatcher:
        return PassWatcher(self, "idle", ref, priority)

    def prepare(self, ref: bool = True, priority: int | None = None) -> PassWatcher:
        return PassWatcher(self, "prepare", ref, priority)

    def check(self, ref: bool = True, priority: int | None = None) -> PassWatcher:
        return PassWatcher(self, "check", ref, priority)

    def fork(self, ref: bool = True, priority: int | None = None) -> Watcher:
        raise NotSimulated(
            "a simulation has no native threads and no forks, so no ThreadPool either: pass the"
            " program what it needs of them, or replace what it calls in them"
        )

    def child(self, pid: int, trace: int = 0, ref: bool = True) -> Watcher:
        raise NotSimulated("a simulation cannot wait for processes: replace what starts them")

    def install_sigchld(self) -> None:
        self.child(0)

    def reset_sigchld(self) -> None:
        """Nothing: no signal was taken."""

    def stat(
        self, path: str, interval: float = 0.0, ref: bool = True, priority: int | None = None
    ) -> Watcher:
        raise NotSimulated("a simulation does not watch files: replace what watches them")
