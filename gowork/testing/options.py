"""What a schedule chooses among: labels of all that could run next."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

from gowork.testing.traces import Trace
from gowork.testing.watchers import Callback, Watcher

__all__ = ["Options"]


class Options(Sequence[str]):
    """Labels of what could run, made only if a schedule reads them."""

    def __init__(self, trace: Trace, ready: Sequence[Callback], events: Sequence[Watcher]) -> None:
        self._trace = trace
        self._ready = ready
        self._events = events

    def __len__(self) -> int:
        return len(self._ready) + len(self._events)

    def __iter__(self) -> Iterator[str]:
        return (self._trace.label_of(entry) for entry in itertools.chain(self._ready, self._events))

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[one] for one in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        index %= len(self)
        at = index - len(self._ready)
        return self._trace.label_of(self._ready[index] if at < 0 else self._events[at])
