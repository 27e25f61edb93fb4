"""What came of the requests: counts, latencies, bytes, and who did the work."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from examples.tcpbalancer.texts import printable, size_text

__all__ = ["Statistics", "percentile"]


def percentile(values: Sequence[float], part: float) -> float:
    """The smallest of *values* that *part* of them do not exceed; 0 if there are none."""
    if not values:
        return 0.0
    return sorted(values)[max(0, math.ceil(part * len(values)) - 1)]


class Statistics:
    """Counts requests from its creation to :meth:`stop`."""

    def __init__(self) -> None:
        self.ok = 0
        self.failures: Counter[str] = Counter()
        self.backends: Counter[str] = Counter()
        self.latencies: list[float] = []
        self.resizing: list[float] = []
        self.bytes_sent = 0
        self.bytes_received = 0
        self.retries = 0
        self.connections = 0
        self._started = time.monotonic()
        self._seconds: float | None = None

    @property
    def failed(self) -> int:
        """How many requests failed."""
        return self.failures.total()

    @property
    def requests(self) -> int:
        """How many requests there were, a request tried again being one."""
        return self.ok + self.failed

    @property
    def seconds(self) -> float:
        """How long it took, or has taken up to now."""
        return time.monotonic() - self._started if self._seconds is None else self._seconds

    def succeeded(self, backend: str, latency: float, resizing: float) -> None:
        """Count one picture, *latency* seconds after it was asked for."""
        self.ok += 1
        self.backends[backend] += 1
        self.latencies.append(latency)
        self.resizing.append(resizing)

    def refused(self, why: str, backend: str = "") -> None:
        """Count one failure; without a *backend* none has answered."""
        self.failures[why] += 1
        if backend:
            self.backends[backend] += 1

    def stop(self) -> None:
        """The clock stops here."""
        self._seconds = self.seconds

    def rows(self) -> list[tuple[str, str]]:
        """Everything as pairs of text."""
        reasons = ", ".join(f"{why} {count}" for why, count in self.failures.most_common())
        rows = [
            ("requests", f"{self.requests}"),
            ("ok", f"{self.ok}"),
            ("failed", f"{self.failed}" + (f" ({reasons})" if reasons else "")),
            ("tried again", f"{self.retries}"),
            ("connections", f"{self.connections}"),
            ("time", f"{self.seconds:.2f} s"),
            ("images/s", f"{self.ok / max(self.seconds, 1e-9):.1f}"),
        ]
        for name, values in (("latency", self.latencies), ("resizing", self.resizing)):
            points = (f"{1000 * percentile(values, part):.0f}" for part in (0.5, 0.95, 0.99))
            rows.append((f"{name} p50 / p95 / p99", " / ".join(points) + " ms"))
        rows.append(("bytes sent", size_text(self.bytes_sent)))
        rows.append(("bytes received", size_text(self.bytes_received)))
        answered = max(1, self.backends.total())
        for name, count in sorted(self.backends.items()):
            rows.append((f"share of {name}", f"{count} ({100 * count / answered:.0f} %)"))
        return rows

    def table(self) -> Table:
        """Everything as a table to print."""
        table = Table("statistics", "")
        for name, value in self.rows():
            table.add_row(Text(printable(name)), Text(printable(value)))
        return table
