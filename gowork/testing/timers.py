"""When the next timer is due: a heap that holds stopped timers, too, but not too many."""

from __future__ import annotations

import heapq
import itertools
import math

from gowork.testing.watchers import TimerWatcher

__all__ = ["Timers"]

FEW = 100  # stopped ones, which need no sweeping

Entry = tuple[float, int, TimerWatcher]


class Timers:
    """The timers of a simulated loop that are active and not due yet."""

    def __init__(self) -> None:
        self._heap: list[Entry] = []
        self._sequence = itertools.count()

    def add(self, timer: TimerWatcher, living: int) -> None:
        """Begin to wait for *timer*; *living* are active."""
        if len(self._heap) > 2 * living + FEW:
            # Stopped timers stay till they would be due: sweep before they pile up.
            self._heap = [entry for entry in self._heap if _is_live(entry)]
            heapq.heapify(self._heap)
        heapq.heappush(self._heap, (timer.due, next(self._sequence), timer))

    def take_due(self, now: float) -> list[TimerWatcher]:
        """Those that are due, in order; it is no longer waited for them."""
        due = []
        while self._heap and self._heap[0][0] <= now:
            entry = heapq.heappop(self._heap)
            if _is_live(entry):
                due.append(entry[2])
        return due

    def next_time(self, now: float) -> float:
        """The first time after *now* at which one is due, infinity if none is."""
        while self._heap and not _is_live(self._heap[0]):
            heapq.heappop(self._heap)
        if self._heap and self._heap[0][0] > now:
            return self._heap[0][0]
        later = (entry[0] for entry in self._heap if entry[0] > now and _is_live(entry))
        return min(later, default=math.inf)

    def clear(self) -> None:
        """Wait for none."""
        self._heap.clear()


def _is_live(entry: Entry) -> bool:
    """Whether its timer still waits for that time."""
    due, _, timer = entry
    return timer.active and timer.due == due
