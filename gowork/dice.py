"""Dice: what decides where a select may do several things."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["roll", "seed", "seeded", "shuffle"]

_dice = random.Random()
#: A number from 0 to 1, without 1.
roll = _dice.random
shuffle = _dice.shuffle


def seed(value: int | None = None) -> None:
    """Make the choices of :func:`~gowork.select` repeatable; None makes them random again."""
    _dice.seed(value)


@contextmanager
def seeded(value: int) -> Iterator[None]:
    """Within the block the choices of :func:`~gowork.select` follow from *value*."""
    state = _dice.getstate()
    _dice.seed(value)
    try:
        yield
    finally:
        _dice.setstate(state)
