"""A server in a process of its own, as the task of a job."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gevent
from gevent.subprocess import DEVNULL, PIPE, Popen, TimeoutExpired

from gowork import Task

__all__ = ["ProcessFailed", "Server"]

ROOT = Path(__file__).resolve().parents[2]
#: Seconds for a server to say where it listens, and for it to stop when told to.
START, STOP = 30.0, 8.0


class ProcessFailed(Exception):
    """A process did not do what it was started for."""


class Server:
    """Routines: begun when it listens, failed if it ends by itself, told to stop at the end.

    :param name: what it is called, and its log.
    :param module: what ``python -m`` is to run.
    :param options: makes its options when it is to begin.
    :param logs: the directory for what it writes to stderr.
    """

    def __init__(
        self, name: str, module: str, options: Callable[[], Sequence[str]], logs: Path
    ) -> None:
        self.name = name
        self.address = ""
        self.pid = 0
        self._module = module
        self._options = options
        self._log = logs / f"{name}.log"
        self._process: Any = None

    def init(self, task: Task) -> None:
        """Start it, and wait until it says where it listens."""
        with self._log.open("w") as log:
            command = [sys.executable, "-m", self._module, *self._options()]
            self._process = Popen(command, stdin=DEVNULL, stdout=PIPE, stderr=log, cwd=ROOT)
        self.pid = self._process.pid
        late = ProcessFailed(f"{self.name} did not say where it listens")
        with gevent.Timeout(START, late):
            said = self._process.stdout.readline().decode()
        if not said.startswith("listening on "):
            raise ProcessFailed(f"{self.name} did not start, see {self._log}")
        self.address = said.removeprefix("listening on ").strip()

    def run(self, task: Task) -> None:
        """Wait for what should not happen."""
        raise ProcessFailed(f"{self.name} ended by itself with status {self._process.wait()}")

    def finalize(self, task: Task) -> None:
        """Tell it to stop, and see that it does so well."""
        if self._process is None:
            return
        self._process.stdout.close()
        if self._process.returncode is not None:
            return
        self._process.terminate()
        try:
            status = self._process.wait(STOP)
        except TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise ProcessFailed(f"{self.name} did not stop in {STOP:g} s") from None
        if status:
            raise ProcessFailed(f"{self.name} stopped with status {status}, see {self._log}")
