"""A worker: one benchmark in a process that has imported nothing for any other.

    python -m benchmarks.worker on_gevent.group 1000 0.1

prints one figure. The first name is a module of ``benchmarks.apart``.
"""

from __future__ import annotations

import sys
from importlib import import_module

__all__ = ["main"]


def main() -> None:
    """Call the function that the command line names with the numbers behind it."""
    work, items, *seconds = sys.argv[1:]
    module, function = work.split(".")
    measure = getattr(import_module(f"benchmarks.apart.{module}"), function)
    print(repr(measure(int(items), *map(float, seconds))))


if __name__ == "__main__":
    main()
