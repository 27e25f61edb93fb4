"""The demo: three backends, a proxy and a client resize a directory full of pictures.

    python -m examples.tcpbalancer.demo

Backends and proxy are processes of their own, and tasks of one job: they start in order,
stop in reverse order, and when one of them dies all others are stopped.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from PIL import Image
from rich.console import Console

from examples.tcpbalancer.asking import Outcome
from examples.tcpbalancer.client import Client
from examples.tcpbalancer.files import Outputs
from examples.tcpbalancer.likeness import alike
from examples.tcpbalancer.options import address
from examples.tcpbalancer.pictures import SAMPLES, Sample, written
from examples.tcpbalancer.processes import Server
from examples.tcpbalancer.progress import Meter
from examples.tcpbalancer.reports import write_report
from examples.tcpbalancer.resizing import Wanted, fitted
from examples.tcpbalancer.sheets import Card, contact_sheet
from examples.tcpbalancer.signals import until_a_signal
from examples.tcpbalancer.statistics import Statistics
from examples.tcpbalancer.texts import printable
from gowork import Job, JobState, Task

__all__ = ["Demo", "main", "problem_of", "run"]

BACKENDS = ("backend-1", "backend-2", "backend-3")
CONNECTIONS = 6
WIDTH = 480
HERE = "examples.tcpbalancer"


class Demo:
    """What the demo makes, and what comes of it, below *directory*."""

    def __init__(self, directory: Path, samples: Sequence[Sample], console: Console) -> None:
        self.originals = directory / "originals"
        self.outputs = Outputs(directory / "resized")
        self.sheet = directory / "contact-sheet.png"
        self.report = directory / "report.html"
        self.logs = directory / "logs"
        self.logs.mkdir(exist_ok=True)
        self.samples = samples
        self.console = console
        self.outcomes: list[Outcome] = []

    def draw(self) -> list[Path]:
        """Make the pictures."""
        with Meter("drawing", len(self.samples), self.console) as meter:
            paths = []
            for path in written(self.originals, self.samples):
                meter.step(path.name)
                paths.append(path)
        return paths

    def serve_and_resize(self, paths: Sequence[Path]) -> tuple[Job, Statistics | None]:
        """Start all servers, resize *paths* through them, and stop them; the job that did it."""
        job = Job(name="demo")
        job.add_task(until_a_signal)
        backends = [self._backend(name) for name in BACKENDS]
        proxy = Server("proxy", f"{HERE}.proxy", lambda: _proxy_options(backends), self.logs)
        servers = (*backends, proxy)
        for server in servers:
            job.add_task(server, name=server.name)

        def resize(task: Task) -> None:
            for server in servers:
                print(f"{server.name} listens on {server.address}, process {server.pid}")
            task.result = self.resize(proxy.address, paths)
            task.finish_job()

        client = job.add_task(lambda _: (None, resize, None), name="client")
        job.run()
        job.join()
        return job, client.result

    def _backend(self, name: str) -> Server:
        return Server(name, f"{HERE}.backend", lambda: ("--port", "0", "--name", name), self.logs)

    def resize(self, proxy: str, paths: Sequence[Path]) -> Statistics:
        """Have *paths* resized by whoever listens at *proxy*."""
        with Meter("resizing", len(paths), self.console) as meter:

            def show(outcome: Outcome) -> None:
                self.outcomes.append(outcome)
                meter.step(f"{outcome.request.name} by {outcome.backend or 'nobody'}")

            client = Client(address(proxy), Wanted(WIDTH, 0), self.outputs, show)
            client.statistics.backends.update(dict.fromkeys(BACKENDS, 0))  # also who gets nothing
            client.resize(self.originals, paths, CONNECTIONS)
        client.statistics.stop()
        return client.statistics

    def problems(self) -> list[str]:
        """What is wrong with the results, a line for each."""
        found = self._found()
        problems = [
            f"{sample.path}: {problem}"
            for sample in self.samples
            if (problem := problem_of(self.originals, sample, found.get(sample.path)))
        ]
        if len(self.outcomes) != len(self.samples):
            problems.append(f"{len(self.outcomes)} outcomes for {len(self.samples)} pictures")
        return problems

    def draw_sheet(self, statistics: Statistics) -> None:
        """Make the contact sheet, and the report."""
        summary = (
            f"{statistics.requests} pictures, {statistics.ok} resized and {statistics.failed}"
            f" refused, by {len(BACKENDS)} backends in {statistics.seconds:.1f} s"
        )
        found = self._found()
        cards = [
            _card(self.originals / sample.path, sample, found[sample.path])
            for sample in self.samples
            if sample.path in found
        ]
        title = "Before and after the balancer"
        contact_sheet(cards, title, summary, self.sheet)
        write_report(self.report, title, statistics, self.outcomes)

    def _found(self) -> dict[str, Outcome]:
        return {outcome.request.name.as_posix(): outcome for outcome in self.outcomes}


def problem_of(originals: Path, sample: Sample, outcome: Outcome | None) -> str:
    """What is wrong with *outcome*, if anything: the result is opened, not believed."""
    if outcome is None:
        return "there is no outcome"
    if sample.oddity == "broken":
        return "" if outcome.failure == "DAMAGED" else f"not seen to be broken: {outcome.failure}"
    if outcome.failure is not None or outcome.result is None:
        return f"{outcome.failure}, {outcome.message}"
    kind = "PNG" if sample.path.endswith(".png") else "JPEG"
    size = fitted(WIDTH, 0, sample.size)
    try:
        with Image.open(outcome.result) as picture:
            picture.load()
            if (picture.format, picture.size) != (kind, size):
                return f"is a {picture.format} of {picture.size}, not a {kind} of {size}"
            if not alike(originals / sample.path, picture):
                return "shows something else than the original"
    except OSError as error:
        return f"the result cannot be opened: {error}"
    return "" if outcome.size == size else f"was reported to be of {outcome.size}"


def _proxy_options(backends: Sequence[Server]) -> list[str]:
    options = ["--port", "0"]
    for backend in backends:
        options += ["--upstream", backend.address]
    return options


def _card(original: Path, sample: Sample, outcome: Outcome) -> Card:
    note = f"refused: {outcome.failure}, {outcome.message}"
    if outcome.failure is None:
        note = f"{1000 * outcome.seconds:.0f} ms, {outcome.backend}"
    return Card(sample.path, original, outcome.result, note)


def run(directory: Path, samples: Sequence[Sample] = SAMPLES) -> int:
    """Do it all below *directory*; 0 if everything was right, 1 if not."""
    started = time.monotonic()
    console = Console(highlight=False)
    directory.mkdir(parents=True, exist_ok=True)
    demo = Demo(directory, samples, console)
    job, statistics = demo.serve_and_resize(demo.draw())
    problems = [repr(error) for error in job.errors]
    if statistics is not None:
        console.print(statistics.table())
        problems += demo.problems()
        demo.draw_sheet(statistics)
        print(f"before and after, to look at: {demo.sheet}")
        print(f"and as a page: {demo.report}")
    elif job.state is JobState.DONE:
        problems.append("stopped before the end")
    for problem in problems:
        print(printable(f"wrong: {problem}"))
    verdict = "something was wrong" if problems else "everything was right, the refusal included"
    print(f"{verdict}, after {time.monotonic() - started:.1f} s")
    return 1 if problems else 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo; its exit status."""
    parser = argparse.ArgumentParser(
        prog=f"python -m {HERE}.demo", description="Resize pictures through a load balancer."
    )
    parser.add_argument("--output", type=Path, default=Path("demo-output"), metavar="DIR",
                        help="where everything is put (default: ./demo-output)")  # fmt: skip
    return run(parser.parse_args(arguments).output.resolve())


if __name__ == "__main__":
    sys.exit(main())
