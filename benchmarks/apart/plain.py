"""Plain Python: what a loop costs that only calls a function."""

from __future__ import annotations

from benchmarks.timing import clock, per_item

__all__ = ["calls"]


@per_item
def calls(count: int, times: int) -> float:
    """A function that takes the next of some numbers."""
    return sum(_calling(count) for _ in range(times))


def _calling(count: int) -> float:
    left = iter(range(count))

    def run(task: None) -> None:
        next(left)

    start = clock()
    for _ in range(count):
        run(None)
    return clock() - start
