"""Forks: the child's copies of the jobs that were under way are told that they are copies.

Their greenlets and timers are still in the child's loop: by the job's state each of
them sees that it must not act. Nobody is woken: who waits is a copy, too.
"""

from __future__ import annotations

import os
from typing import Any

from gowork.states import JobGiven

__all__ = ["under_way"]

#: The jobs of this process that have greenlets and have not ended.
under_way: set[Any] = set()


def _after_in_child() -> None:
    for job in under_way:
        job._move(JobGiven.FORK)
    under_way.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_in_child)
