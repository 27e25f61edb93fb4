"""How far it is, as a bar on a terminal and as a line now and then anywhere else."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from examples.tcpbalancer.texts import printable

__all__ = ["Meter"]


class Meter:
    """Shows that *total* steps are being done; use it in a ``with`` block.

    It draws when it is told of a step and at no other time: no thread of its own.
    """

    def __init__(self, what: str, total: int, console: Console) -> None:
        self._what = what
        self._total = total
        self._console = console
        self._done = 0
        self._shown = -1
        self._bar = Progress(
            TextColumn("{task.description:<10}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[note]}", markup=False),
            console=console,
            auto_refresh=False,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task(what, total=total, note="")

    def __enter__(self) -> Meter:
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._bar.update(self._task, note="", refresh=True)
        self._bar.stop()

    def step(self, note: str = "") -> None:
        """One more step is done; *note* says which."""
        self._done += 1
        self._bar.update(self._task, advance=1, note=printable(note), refresh=True)
        tenth = 10 * self._done // max(1, self._total)
        if not self._console.is_terminal and tenth != self._shown:
            self._shown = tenth
            print(
                f"{self._what}: {self._done} of {self._total}", file=self._console.file, flush=True
            )
