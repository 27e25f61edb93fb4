"""What a schedule chooses among: labels of all that could run next."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from gowork.testing.traces import Trace
from gowork.testing.watchers import Callback, Watcher

__all__ = ["Options"]


class Options(Sequence[str]):
    """Labels of what could run, made only if a schedule reads them."""

    def __init__(self, trace: Trace, entries: Sequence[Callback | Watcher]) -> None:
        self._trace = trace
        self._entries = entries

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[str]:
        return map(self._trace.label_of, self._entries)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return list(self)[index]
        return self._trace.label_of(self._entries[index])
