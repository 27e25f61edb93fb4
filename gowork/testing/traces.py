"""What ran, in which order: names for greenlets, a digest of all steps, the last of them.

Names must be the same in every process, so they are made of the number of a greenlet in
the order of appearance and the name of its function, never of an address or a hash.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from gevent.hub import Hub, Waiter
from greenlet import greenlet

from gowork.crews import Crew, Member
from gowork.tasks import Task

__all__ = ["Step", "Trace"]

KEPT = 1000  # steps


class Step(NamedTuple):
    """One step of a simulation: at what virtual second what ran."""

    time: float
    what: str


class Trace:
    """The record of one simulation, of which only the end is kept."""

    def __init__(self, main: greenlet) -> None:
        self.steps = 0
        self.is_closed = False  # what comes later is no part of it
        self.last: deque[Step] = deque(maxlen=KEPT)
        self._hash = hashlib.blake2b(digest_size=16)
        self._main = main
        # Of greenlets, and of tasks: before a task has a greenlet, and when that serves another.
        self._names: WeakKeyDictionary[Any, str] = WeakKeyDictionary()
        self._count = 0

    def add(self, now: float, entry: Any) -> None:
        """Record that a callback or watcher runs now."""
        # Not the label that a schedule may have read before: who waits may have changed.
        step = Step(now, self.describe(entry))
        if self.is_closed:
            return
        self.steps += 1
        self.last.append(step)
        self._hash.update(f"{step.time!r} {step.what}\n".encode())

    def meet(self, callback: Any, args: tuple[Any, ...] | None) -> None:
        """Number the greenlets that a step is about: they count as they are queued."""
        for one in (greenlet_of(callback), *(args or ())):
            if isinstance(one, greenlet | Task):
                self.name_of(one)

    @property
    def digest(self) -> str:
        """The same for the same steps at the same times, in any process."""
        return self._hash.hexdigest()

    def greenlets(self) -> list[greenlet]:
        """The greenlets that ran or were about to and are still there, in order of appearance."""
        known = sorted(self._names, key=lambda one: int(self._names[one].partition(":")[0]))
        found = [one._greenlet if isinstance(one, Task) else one for one in known]
        return [one for one in found if one is not None]

    def describe(self, entry: Any) -> str:
        """What a callback or watcher is about, as things stand."""
        return self._label(entry, self.name_of)

    def label_of(self, entry: Any) -> str:
        """What a callback or watcher is about, as an option for a schedule."""
        if entry.label is None:
            entry.label = self._label(entry, self._known_name_of)
        label: str = entry.label
        return label

    def _label(self, entry: Any, name_of: Callable[[Any], str]) -> str:
        about = greenlet_of(entry.callback)
        if isinstance(getattr(entry.callback, "__self__", None), Crew):
            about = entry.args[0]  # the task that is to begin
        if about is not None:
            text = name_of(about)
        else:
            named = [name_of(arg) for arg in entry.args or () if isinstance(arg, greenlet | Task)]
            text = name_of_function(entry.callback) + (f"({', '.join(named)})" if named else "")
        return f"{entry.kind} {text}" if entry.kind else text

    def _known_name_of(self, one: greenlet | Task) -> str:
        # A greenlet must not get its number because somebody looks.
        one = _task_of(one)
        if one in self._names or one is self._main or isinstance(one, Hub):
            return self.name_of(one)
        return _what_it_does(one)

    def name_of(self, one: greenlet | Task) -> str:
        """*number:function* of a greenlet, its number given at the first question."""
        if one is self._main:
            return "main"
        if isinstance(one, Hub):
            return "hub"
        one = _task_of(one)
        name = self._names.get(one)
        if name is None:
            self._count += 1
            name = self._names[one] = f"{self._count}:{_what_it_does(one)}"
        return name


def _task_of(one: Any) -> Any:
    return (one.gowork_task or one) if isinstance(one, Member) else one


def _what_it_does(one: Any) -> str:
    if isinstance(one, Task):
        return one.name
    return name_of_function(getattr(one, "_run", None) or getattr(one, "run", None) or one)


def greenlet_of(callback: Callable[..., Any]) -> greenlet | None:
    """The greenlet that *callback* switches to, if that is what it does."""
    owner = getattr(callback, "__self__", None)
    if isinstance(owner, Waiter):
        owner = owner.greenlet
    return owner if isinstance(owner, greenlet) else None


def name_of_function(function: Any) -> str:
    """Its name and that of its class, without any address."""
    name = getattr(function, "__name__", None)
    if not isinstance(name, str):
        return type(function).__name__
    owner = getattr(function, "__self__", None)
    if owner is None or isinstance(owner, type(hashlib)):
        return name
    return f"{(owner if isinstance(owner, type) else type(owner)).__name__}.{name}"
