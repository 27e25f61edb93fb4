"""The proxy: passes each connection on to one upstream, byte by byte, whatever it carries.

    python -m examples.tcpbalancer.proxy --port 9090 -u 127.0.0.1:9091 -u 127.0.0.1:9092

One upstream connection serves one client and no other. It knows nothing of pictures: any
TCP service can stand behind it.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Sequence

from examples.tcpbalancer.options import Address, proxy_parser, set_up_logging
from examples.tcpbalancer.serving import Routines, new_connection, serve
from gowork import Job, Task
from gowork.net.managers import ConnManager
from gowork.net.relays import relay
from gowork.net.streams import Stream

__all__ = ["NoUpstream", "Upstreams", "connection_job", "main"]

#: Seconds without a byte in either direction after which a connection is given up.
IDLE = 60.0


class NoUpstream(ConnectionError):
    """None of the upstreams could be connected to; its text says why of each."""


class Upstreams:
    """Where connections may be passed on to.

    :param seed: makes the choices repeatable.
    :raises ValueError: if there is none.
    """

    def __init__(self, addresses: Sequence[Address], seed: int | None = None) -> None:
        if not addresses:
            raise ValueError("there is no upstream")
        self._managers = [ConnManager(address) for address in addresses]
        self._random = random.Random(seed)

    def connect(self) -> Stream:
        """A stream to an upstream chosen at random, or to another if that one is not there.

        Blocks until it is connected.

        :raises NoUpstream: if each has been tried.
        """
        failures = []
        for manager in self._random.sample(self._managers, len(self._managers)):
            try:
                return manager.connect()
            except OSError as error:
                failures.append(str(error))
        raise NoUpstream("; ".join(failures))


def connection_job(manager: ConnManager, upstreams: Upstreams) -> Job:
    """The job of one client: accept it, connect to an upstream, pass bytes both ways."""

    def balance(job: Job) -> Routines:
        connected: list[Stream] = []

        def run(task: Task) -> None:
            client: Stream = job.value
            upstream = upstreams.connect()
            connected.append(upstream)
            job.log(1, "%s is passed on to %s", client.peer, upstream.peer)
            relay(job, client, upstream, idle_timeout=IDLE)
            task.done()

        def finalize(task: Task) -> None:
            # The relay closes it; but the job may end before the relay has begun.
            for upstream in connected:
                upstream.close()

        return None, run, finalize

    job = new_connection(manager)
    job.add_task(balance)
    return job


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the proxy until it is told to stop; the exit status."""
    parser = proxy_parser()
    options = parser.parse_args(arguments)
    if not options.upstream:
        parser.error("give at least one --upstream")
    set_up_logging(options.loglevel)
    upstreams = Upstreams(options.upstream)
    manager = ConnManager(options.port, inbound_limit=options.maxconns)
    return serve(manager, lambda: connection_job(manager, upstreams))


if __name__ == "__main__":
    sys.exit(main())
