"""Virtual time: a clock that stands still until the loop moves it.

Only a program that reads the clock over and over without giving way makes it move: it
waits for a time that would never come. Of the reads within one step those beyond the
first thousand take time, each a nanosecond more than the one before, so that a busy wait
of five milliseconds costs some 4,000 reads and one of an hour 3 million.
"""

from __future__ import annotations

__all__ = ["EPOCH", "Clock"]

#: What ``time.time()`` says when a simulation begins, in seconds; what is monotonic says 0.
EPOCH = 1_000_000_000.0

FREE_READS = 1000
NANOSECOND = 1e-9


class Clock:
    """The time of one simulation, in seconds since its start."""

    def __init__(self) -> None:
        self.now = 0.0
        self._reads = 0

    def read(self) -> float:
        """What a program under test is told."""
        self._reads += 1
        if self._reads > FREE_READS:
            self.now += (self._reads - FREE_READS) * NANOSECOND
        return self.now

    def step(self) -> None:
        """The program gave way: its reads count from none again."""
        self._reads = 0

    def advance(self, seconds: float) -> None:
        """Let *seconds* pass."""
        self.now += seconds

    def jump(self, due: float) -> None:
        """Let it be *due*, unless it is later already."""
        self.now = max(self.now, due)
