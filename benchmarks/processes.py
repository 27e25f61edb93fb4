"""Processes: runners that meet nobody else's imports, heap or loop.

Each figure is that of a new process, which warms up, measures and prints it. So the peers
of jobs are measured beside a gevent that has never met gowork, and memory is counted where
none has been used and freed before.
"""

from __future__ import annotations

import atexit
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from shutil import which
from tempfile import TemporaryDirectory
from typing import NamedTuple

__all__ = ["HAS_GO", "Apart", "figure", "go_version", "has", "importing", "in_go", "worker"]

ROOT = Path(__file__).resolve().parents[1]
HAS_GO = which("go") is not None
PATIENCE = 120  # seconds that one process may take
LEAST = 0.1  # seconds that are measured in it
# gevent imports zope.schema where it happens to be installed, and takes twice as long.
ALONE = "import sys, time; sys.modules['zope.schema'] = None; "
WRITE = ALONE + "sys.dont_write_bytecode = False; import {}"
IMPORT = ALONE + "start = time.process_time(); import {}; print(time.process_time() - start)"

Command = Callable[[float], list[str]]  # for a scale


def has(module: str) -> bool:
    """Whether it is installed."""
    return find_spec(module) is not None


class Apart(NamedTuple):
    """A runner that is a new process each time."""

    name: str
    command: Command
    goal: float | None = None
    is_here: bool = True

    def ready(self, scale: float) -> Callable[[], float]:
        command = self.command(scale)
        return lambda: figure(command)


def figure(command: list[str]) -> float:
    """What a process prints."""
    return float(_run(command, ROOT))


def _run(command: list[str], directory: Path) -> str:
    """:raises RuntimeError: if the process fails, with what it has said."""
    ended = subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=PATIENCE)
    if ended.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{ended.stderr}")
    return ended.stdout


def worker(work: str, items: int, least: float | None = LEAST, *, cached: bool = False) -> Command:
    """A worker that measures so many *items*, for *least* seconds if it counts those.

    If gowork is in it, its stack-chunk cache is on where that is what is *cached*, and off else.
    """
    program = ["env", f"GOWORK_STACK_CACHE={cached:d}", sys.executable, "-m", "benchmarks.worker"]
    return lambda scale: [*program, work, *_numbers(items, least, scale)]


def in_go(work: str, items: int, least: float | None = LEAST) -> Command:
    """The same, done by the Go program, which is built if there is need of it."""
    return lambda scale: [_go_program(), work, *_numbers(items, least, scale)]


def _numbers(items: int, least: float | None, scale: float) -> list[str]:
    seconds = [] if least is None else [str(least * scale)]
    return [str(max(1, int(items * scale))), *seconds]


def go_version() -> str:
    """What the Go of this machine calls itself."""
    return _run(["go", "env", "GOVERSION"], ROOT).strip()


@cache
def _go_program() -> str:
    directory = TemporaryDirectory()
    atexit.register(directory.cleanup)
    program = str(Path(directory.name, "peers"))
    _run(["go", "build", "-o", program, "."], ROOT / "benchmarks" / "go")
    return program


def importing(module: str) -> Command:
    """An interpreter that does nothing but to import *module*, whose bytecode it finds.

    Packages that pip has installed have theirs, but those of a working tree need not.
    """

    def command(scale: float) -> list[str]:
        _run([sys.executable, "-c", WRITE.format(module)], ROOT)
        return [sys.executable, "-c", IMPORT.format(module)]

    return command
