"""A Hypothesis strategy that draws the schedule, so that it shrinks with everything else."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies

from gowork.testing.schedules import Drawn

__all__ = ["schedules"]


@strategies.composite
def schedules(draw: Any, limit: int = 200) -> Drawn:
    """Schedules for :func:`~gowork.testing.simulate`; the simplest is gevent's own order.

    ::

        @given(schedules())
        def test_nothing_is_lost(schedule):
            simulate(program, schedule=schedule)

    :param limit: of choices that are drawn; after them it is gevent's order.
    """
    return Drawn(lambda options: draw(strategies.integers(0, options - 1)), limit)
