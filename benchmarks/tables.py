"""Tables: what was measured, as text that is reST too, and its place in a page."""

from __future__ import annotations

import os
import platform
import sys
import textwrap
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import gevent

from benchmarks.contests import Row
from benchmarks.processes import HAS_GO, go_version, has
from gowork import Channel

__all__ = ["PYTHON", "around", "context", "is_compiled", "marks", "table"]

HEADS = ("what", "figure", "spread", "ratio", "goal", "met")
MET = {None: "", True: "yes", False: "no"}
PEERS = ("trio", "anyio", "uvloop", "goless")
PYTHON = "{}.{}".format(*sys.version_info)


def is_compiled() -> bool:
    """Whether gowork's extensions are in use."""
    return Channel.__mro__[1].__module__ == "gowork._exchanges"


def context(rounds: int) -> str:
    """With what the figures were measured, as a sentence."""
    loop = type(gevent.get_hub().loop).__module__
    parts = [
        f"{platform.python_implementation()} {platform.python_version()}",
        *(f"{name} {version(name)}" for name in ("gevent", "greenlet", *PEERS) if has(name)),
        *([go_version()] if HAS_GO else []),
        f"gowork {'compiled' if is_compiled() else 'as plain Python'}",
        f"the loop {loop}",
        f"{os.cpu_count()} cores",
    ]
    return textwrap.fill(f"Medians of {rounds} rounds, with {', '.join(parts)}.", 100)


def table(rows: Sequence[Row]) -> str:
    """The *rows* below their heads, as a simple table of reST."""
    cells = [HEADS] + [
        (row.name, row.figure, row.spread, row.ratio, row.goal, MET[row.met]) for row in rows
    ]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    rule = "  ".join("=" * width for width in widths)
    lines = [
        "  ".join(
            cell.ljust(width) if index == 0 else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in cells
    ]
    return "\n".join([rule, lines[0], rule, *lines[1:], rule])


def marks(python: str = PYTHON) -> tuple[str, str]:
    """The lines between which a page has the figures of a *python*, this one's if none is named."""
    figures = f".. The figures of Python {python}"
    return f"{figures} begin; python -m benchmarks --write writes them.", f"{figures} end."


def around(page: Path) -> tuple[str, str]:
    """What stands in *page* before the figures of this Python and after them, with the marks.

    :raises ValueError: if it has no place for them.
    """
    begin, end = marks()
    before, begun, rest = page.read_text().partition(begin)
    _, ended, after = rest.partition(end)
    if not (begun and ended):
        raise ValueError(f"{page} has no place for the figures: {begin!r}, and below it {end!r}")
    return f"{before}{begin}\n\n", f"\n\n{end}{after}"
