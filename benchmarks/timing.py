"""Timing: the clock of all benchmarks, and what one item of a run costs."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from functools import wraps

__all__ = ["clock", "per_item"]

WARM_UP = 100  # items in a first run, which imports, allocates and opens what all runs need

clock = time.process_time


def per_item(measure: Callable[[int, int], float]) -> Callable[[int, float], float]:
    """Turn the seconds of so many items, so many times, into those of a single item.

    What comes of it is called with the number of items and with the seconds that all runs
    together shall take at least: the times are doubled until they do.
    """

    @wraps(measure)
    def seconds_per_item(items: int, least: float) -> float:
        measure(min(items, WARM_UP), 1)
        times = 1
        while True:
            gc.collect()
            seconds = measure(items, times)
            if seconds >= least:
                return seconds / (items * times)
            times *= 2

    return seconds_per_item
