"""An echo server with a job per connection; what comes back is in upper case.

python -m examples.echo_server --port 7007
python -m examples.echo_server --self-test 10
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

from gowork import ChannelClosed, Job, PingPong, Task
from gowork.net.managers import ConnManager


def complain(error: Any) -> None:
    """Tell of what has ended a connection: nobody else waits for its job."""
    print(f"a connection was cut: {error!r}", file=sys.stderr)


def connection_job(manager: ConnManager) -> Job:
    """Wait for a client, then hand on its data from the reader to the shouter to the writer."""
    job = Job(name="connection").with_shutdown(complain)
    heard: PingPong[bytes] = job.pingpong()
    shouted: PingPong[bytes] = job.pingpong()

    def shout(task: Task) -> None:
        try:
            ping = heard.recv()
        except ChannelClosed:  # the client has said all it had to say
            shouted.close()
            task.done()
            return
        with ping as data:
            shouted.send(data.upper())
        task.tick()

    job.add_oneshot_task(manager.accept_task)
    job.add_task(manager.read_task(heard, raw=True), idle_timeout=60)
    job.add_task(manager.write_task(shouted, raw=True))
    job.add_task(lambda job: (None, shout, None), name="shouter")
    return job


def acceptor(manager: ConnManager) -> Any:
    """A task that has one more connection waiting for a client; stopped, it stops them all."""
    connections: set[Job] = set()

    def run(task: Task) -> None:
        connection = connection_job(manager)
        connections.add(connection)
        connection.job_done_notify().rawlink(lambda _: connections.discard(connection))
        connection.run_in_background().wait()
        task.tick()

    def finalize(task: Task) -> None:
        for connection in list(connections):
            connection.finish()
        for connection in list(connections):
            connection.join()
        manager.close()

    return lambda job: (None, run, finalize)


def ask(manager: ConnManager, number: int) -> None:
    """Say something to the server, and fail unless it comes back as it should."""
    stream = manager.connect()
    try:
        stream.write_raw(b"hello from %d" % number)
        stream.shutdown_write()
        heard = b"".join(iter(stream.recv_raw, b""))
    finally:
        stream.close()
    if heard != b"HELLO FROM %d" % number:
        raise ValueError(f"client {number} got {heard!r}")


def self_test(server: Job, manager: ConnManager, clients: int) -> None:
    """Let so many clients talk to *server* at a time, then finish it."""
    with Job(name="clients").with_timeout(20) as job:
        for number in range(clients):
            job.spawn(ask, ConnManager(manager.address), number)
    server.finish()
    print(f"{clients} clients got what they wanted")


def main() -> None:
    """Serve until interrupted, or until the self-test is over."""
    parser = argparse.ArgumentParser(description="Echo, in upper case.")
    parser.add_argument("--port", type=int, default=0, help="where to listen on the loopback")
    parser.add_argument("--self-test", type=int, metavar="CLIENTS", help="try it out, and stop")
    options = parser.parse_args()
    if not 0 <= options.port < 65536:
        parser.error(f"there is no port {options.port}")
    manager = ConnManager(("127.0.0.1", options.port))
    try:
        manager.listen()
    except OSError as error:
        sys.exit(str(error))
    print("listening on {}:{}".format(*manager.address), flush=True)
    try:
        with Job(name="server") as server:
            server.add_task(acceptor(manager), name="acceptor")
            if options.self_test is not None:
                server.spawn(self_test, server, manager, options.self_test)
    except KeyboardInterrupt:
        print("stopped")


if __name__ == "__main__":
    main()
