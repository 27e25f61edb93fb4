"""The client: has the pictures of a directory resized, over several connections at a time.

    python -m examples.tcpbalancer.client --proxy :9090 --input pictures --output small -w 400

Each picture has an outcome of its own: one that is refused costs nobody else anything.
What was under way on a connection that is lost is asked for again on a new one.
"""

from __future__ import annotations

import logging
import math
import random
import sys
from argparse import Namespace
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

import gevent
from rich.console import Console

from examples.tcpbalancer.asking import Asker, Outcome, Request
from examples.tcpbalancer.files import Outputs, pictures_below
from examples.tcpbalancer.options import check_client, client_parser, set_up_logging
from examples.tcpbalancer.progress import Meter
from examples.tcpbalancer.protocol import MAX_FRAME, codec
from examples.tcpbalancer.reports import write_report
from examples.tcpbalancer.resizing import Wanted
from examples.tcpbalancer.statistics import Statistics
from examples.tcpbalancer.texts import brief, printable
from gowork import IdleTimeout, Job, JobState
from gowork.net.frames import FrameError
from gowork.net.managers import ConnManager
from gowork.net.streams import StreamClosed

__all__ = ["Client", "main"]

#: How often a picture is asked for, and how often a connection is tried, in a row.
TRIES = 3
#: Seconds without a connection after one that was lost, or would not serve, at most; twice
#: that after two.
PAUSE = 0.2

MISSING = f"its connection was lost {TRIES} times"

# What ends a connection and nothing else; any other error is one of this program.
LOSSES = (OSError, FrameError, IdleTimeout, StreamClosed)

_log = logging.getLogger("examples.tcpbalancer.client")


class Client:
    """Resizes pictures through *proxy* and keeps count.

    :param outputs: where results go; None for a dry run.
    :param seconds: how long a backend may take over one picture.
    :param most: how many are asked for on one connection.
    :param on_outcome: is called with each :class:`Outcome` as it comes.
    """

    def __init__(
        self,
        proxy: tuple[str, int],
        wanted: Wanted,
        outputs: Outputs | None,
        on_outcome: Callable[[Outcome], object] = lambda outcome: None,
        seconds: float = 30.0,
        most: float = math.inf,
    ) -> None:
        self.statistics = Statistics()
        self._manager = ConnManager(proxy, codec=codec, max_frame=MAX_FRAME)
        self._wanted = wanted
        self._outputs = outputs
        self._on_outcome = on_outcome
        self._seconds = seconds
        self._most = most
        self._todo: deque[Request] = deque()

    def resize(self, root: Path, paths: Sequence[Path], connections: int) -> None:
        """Have each of *paths*, which lie below *root*, resized once; blocks until all is told.

        :param connections: how many are used at a time.
        """
        numbers = range(self.statistics.requests, self.statistics.requests + len(paths))
        self._todo.extend(
            Request(number, root, path.relative_to(root))
            for number, path in zip(numbers, paths, strict=True)
        )
        with Job(name="crew") as crew:
            for _ in range(min(connections, len(paths))):
                crew.spawn(self._work)
        while self._todo:  # every worker has given up
            self._tell(Outcome(self._todo.popleft(), "NO_CONNECTION", "nobody would take it"))
        self.statistics.bytes_sent = self._manager.bytes_out
        self.statistics.bytes_received = self._manager.bytes_in

    def _work(self) -> None:
        """Use one connection after another until all is done, or too many are lost in a row."""
        lost = pauses = 0
        while self._todo and lost < TRIES:
            gevent.sleep(PAUSE * pauses * random.uniform(0.5, 1))
            asker = Asker(
                self._todo, self._wanted, self._outputs, self._seconds, self._tell, self._most
            )
            connection = asker.connection_job(self._manager)
            self.statistics.connections += 1
            connection.run()
            connection.join()
            self._put_back(asker.put_off)
            pauses = min(1, len(asker.put_off))
            if connection.state is JobState.DONE:
                lost = 0
                continue
            error = connection.interrupted_by.error
            if not isinstance(error, LOSSES):
                raise error
            _log.debug("lost a connection: %s", brief(error))
            self._put_back([Outcome(one, "LOST", MISSING) for one in asker.under_way])
            lost = 0 if asker.answered else lost + 1
            pauses = max(pauses, lost)

    def _put_back(self, outcomes: Sequence[Outcome]) -> None:
        """Have it asked for again, on other connections, unless it has been often enough."""
        for outcome in outcomes:
            request = outcome.request
            request.tries += 1
            if request.tries < TRIES:
                self.statistics.retries += 1
                self._todo.append(request)
            else:
                self._tell(outcome)

    def _tell(self, outcome: Outcome) -> None:
        if outcome.failure is None:
            self.statistics.succeeded(outcome.backend, outcome.latency, outcome.seconds)
        else:
            self.statistics.refused(outcome.failure, outcome.backend)
        self._on_outcome(outcome)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the client; 0 if all pictures were resized, 1 if some were not."""
    parser = client_parser()
    options = parser.parse_args(arguments)
    check_client(parser, options)
    set_up_logging(options.loglevel)
    try:
        paths = pictures_below(options.input, without=options.output)
        outputs = None if options.dry_run else Outputs(options.output)
    except OSError as error:
        print(error, file=sys.stderr)
        return 1
    try:
        return _resize_all(options, paths, outputs)
    except KeyboardInterrupt:
        return 130


def _resize_all(options: Namespace, paths: Sequence[Path], outputs: Outputs | None) -> int:
    console = Console(highlight=False)
    outcomes: list[Outcome] = []
    with Meter("resizing", len(paths) * options.times, console) as meter:

        def show(outcome: Outcome) -> None:
            meter.step(str(outcome.request.name))
            outcomes.append(outcome)

        wanted = Wanted(
            options.width, options.height, options.mode, options.format.upper(), options.quality
        )
        client = Client(options.proxy, wanted, outputs, show, options.timeout, options.requests)
        for _ in range(options.times):
            connections = random.randint(options.minconns, options.maxconns)
            client.resize(options.input, paths, connections)
    client.statistics.stop()
    failed = [outcome for outcome in outcomes if outcome.failure is not None]
    for outcome in failed:
        print(printable(f"{outcome.request.name}: {outcome.failure}, {outcome.message}"))
    console.print(client.statistics.table())
    if options.report is not None:
        try:
            write_report(options.report, "Resized pictures", client.statistics, outcomes)
        except OSError as error:
            print(f"there is no report: {error}", file=sys.stderr)
            return 1
        print(f"all pictures, to look at: {options.report}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
