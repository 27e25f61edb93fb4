"""Run the benchmarks, all or some, and show what they say.

    python -m benchmarks
    python -m benchmarks unbuffered buffered --rounds 3

Without names all of them run, but for the one that takes minutes.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from benchmarks import chains, handovers, jobs, pingpongs, selects
from benchmarks.charts import chart
from benchmarks.contests import Gauge, Race, Row
from benchmarks.tables import PYTHON, around, context, table

__all__ = ["BENCHMARKS", "main"]

BENCHMARKS = (
    *handovers.RACES,
    *pingpongs.RACES,
    *selects.RACES,
    *selects.GAUGES,
    *chains.RACES,
    *chains.GAUGES,
    *jobs.RACES,
    *jobs.GAUGES,
)
QUICK = "A quick run, to see whether everything works: the figures say nothing.\n"
BY_NAME = {benchmark.name: benchmark for benchmark in (*BENCHMARKS, chains.MILLION)}


def main() -> int:
    """The exit code: 1 if a benchmark has failed, or goals were to be checked and one is missed."""
    parser = _parser()
    options = parser.parse_args()
    if options.rounds < 1:
        parser.error("argument --rounds: must be at least 1")
    try:
        place = around(options.write) if options.write else None
    except (OSError, ValueError) as error:
        parser.error(f"argument --write: {error}")
    rounds, scale = (1, 0.01) if options.quick else (options.rounds, 1)
    rows = list(_rows(options.benchmarks, rounds, scale))
    text = f"{table(rows)}\n\n{QUICK if options.quick else ''}{context(rounds)}"
    print(text)
    failed = any(row.error for row in rows)
    if place and failed:
        _progress(f"{options.write} stays as it was, since something has failed.\n")
    elif place:
        page: Path = options.write
        page.write_text(text.join(place))
        page.with_name(f"{page.stem}-{PYTHON}.svg").write_text(chart(rows))
    return int(failed or (options.check and any(row.met is False for row in rows)))


def _rows(benchmarks: Iterable[Race | Gauge], rounds: int, scale: float) -> Iterator[Row]:
    """The rows of all; what has failed is told at once, and the next ones run."""
    for benchmark in benchmarks:
        _progress(f"{benchmark.name} ")
        rows = benchmark.run(rounds, scale, progress=lambda: _progress("."))
        _progress("\n")
        for row in rows:
            if row.error:
                _progress(f"FAILED, {row.name}\n{row.error}")
        yield from rows


def _progress(text: str) -> None:
    print(text, end="", file=sys.stderr, flush=True)


def _named(name: str) -> Race | Gauge:
    if name not in BY_NAME:
        raise argparse.ArgumentTypeError(f"there are {', '.join(BY_NAME)}; none is {name!r}")
    return BY_NAME[name]


def _parser() -> argparse.ArgumentParser:
    purpose = "Run the benchmarks and show what they say."
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=purpose)
    parser.add_argument(
        "benchmarks",
        nargs="*",
        type=_named,
        default=BENCHMARKS,
        metavar="name",
        help=f"a benchmark to run: {', '.join(BY_NAME)} (default: all but {chains.MILLION.name})",
    )
    parser.add_argument("--rounds", type=int, default=5, help="how often each contestant runs")
    where = "put the table into PAGE too, at the place of this Python's, and a chart beside it"
    parser.add_argument("--write", type=Path, metavar="PAGE", help=where)
    parser.add_argument("--check", action="store_true", help="fail if a goal is missed")
    parser.add_argument("--quick", action="store_true", help="only see whether everything works")
    return parser


if __name__ == "__main__":
    sys.exit(main())
