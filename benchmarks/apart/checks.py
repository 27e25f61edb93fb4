"""Checks, and the memory of the process: what workers need besides their library."""

from __future__ import annotations

import gc
import os
from collections.abc import Sized
from pathlib import Path

__all__ = ["all_ran", "resident"]


def all_ran(ran: Sized, count: int) -> None:
    """Let no run count in which a task was lost or ran twice."""
    if len(ran) != count:
        raise RuntimeError(f"{len(ran)} tasks of {count} have run")


def resident() -> int:
    """How many bytes of memory the process occupies: its VmRSS."""
    gc.collect()
    pages = Path("/proc/self/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")
