"""Parts of the balancer example, put together in the process of the tests."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import gevent
from gevent import socket
from PIL import Image

from examples.tcpbalancer import backend, proxy
from examples.tcpbalancer.asking import Outcome
from examples.tcpbalancer.client import Client
from examples.tcpbalancer.files import Outputs, pictures_below
from examples.tcpbalancer.memory import Intake
from examples.tcpbalancer.protocol import MAX_FRAME, Hello, codec
from examples.tcpbalancer.resizing import Wanted
from examples.tcpbalancer.serving import accepting
from examples.tcpbalancer.workers import Resizer
from gowork import Job
from gowork.net.managers import ConnManager
from gowork.net.messages import Message
from gowork.net.streams import Stream

Address = tuple[str, int]
HERE = ("127.0.0.1", 0)


@contextmanager
def serving(manager: ConnManager, make_job: Callable[[], Job]) -> Iterator[Address]:
    """A job for each connection to the address."""
    manager.listen()
    job = Job(name="server")
    job.add_task(accepting(manager, make_job))
    job.run()
    try:
        yield manager.address
    finally:
        job.finish()
        job.join()
    job.check()


@contextmanager
def a_backend(
    name: str = "b1", processes: bool = False, intake: int = 64 * 2**20
) -> Iterator[Address]:
    manager = ConnManager(HERE, codec=codec)
    resizer = Resizer(processes=processes)
    pictures = Intake(intake)
    try:
        with serving(
            manager, lambda: backend.connection_job(manager, resizer, pictures, name)
        ) as address:
            yield address
    finally:
        resizer.close()
    assert eventually(lambda: pictures.held == resizer.held == 0)


@contextmanager
def a_proxy(*upstreams: Address, maxconns: int | None = None) -> Iterator[Address]:
    manager = ConnManager(HERE, inbound_limit=maxconns)
    shares = proxy.Upstreams(upstreams, seed=1)
    with serving(manager, lambda: proxy.connection_job(manager, shares)) as address:
        yield address


@contextmanager
def a_server(handle: Callable[[Stream], object], with_codec: bool = True) -> Iterator[Address]:
    """What calls *handle* with the stream of each client, and then closes it."""
    manager = ConnManager(HERE, codec=codec if with_codec else None)

    def make_job() -> Job:
        job = Job(name="connection")
        job.add_oneshot_task(manager.accept_task)
        job.spawn(lambda: handle(job.value))
        return job

    with serving(manager, make_job) as address:
        yield address


def a_false_backend(
    handle: Callable[[Stream], object], requests: int = 1
) -> AbstractContextManager[Address]:
    """:func:`a_server` that says first, as backends do, what it takes."""

    def greet_and_handle(stream: Stream) -> None:
        stream.write_frame(Message(Hello(requests, MAX_FRAME)))
        handle(stream)

    return a_server(greet_and_handle)


@contextmanager
def connected(address: Address) -> Iterator[socket.socket]:
    """A client's socket, whose reads give up after a while."""
    with socket.create_connection(address, timeout=10) as sock:
        yield sock


def nobody() -> Address:
    """An address where nobody listens."""
    with socket.socket() as sock:
        sock.bind(HERE)
        return sock.getsockname()


def picture(size: tuple[int, int] = (80, 60), kind: str = "JPEG") -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size, "teal").save(out, kind)
    return out.getvalue()


def fill(directory: Path, **files: bytes) -> list[Path]:
    """Write a file for each; the pictures there are."""
    directory.mkdir(exist_ok=True)
    for name, data in files.items():
        (directory / f"{name}.jpg").write_bytes(data)
    return pictures_below(directory)


def outcomes(
    address: Address, tmp_path: Path, connections: int = 1, dry: bool = False, **files: bytes
) -> tuple[dict[str, Outcome], Client]:
    """What came of resizing *files* to 40x30 at *address*, by name, and the client."""
    came: dict[str, Outcome] = {}
    paths = fill(tmp_path / "in", **files)
    outputs = None if dry else Outputs(tmp_path / "out")
    client = Client(
        address, Wanted(40, 30), outputs, lambda o: came.update({o.request.name.stem: o})
    )
    client.resize(tmp_path / "in", paths, connections)
    return came, client


def eventually(condition: Callable[[], bool]) -> bool:
    """Whether *condition* comes true within some seconds."""
    with gevent.Timeout(10, False):
        while not condition():
            gevent.sleep(0.005)
    return condition()
