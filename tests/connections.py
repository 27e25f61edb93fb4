"""Real connections over loopback, closed when the test is over."""

from __future__ import annotations

from contextlib import contextmanager

from gevent import socket

from gowork.net.streams import Stream


@contextmanager
def tcp_pair():
    """Two connected sockets."""
    with socket.socket() as listener:  # gevent's create_server would make one that blocks
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        near = socket.create_connection(listener.getsockname())
        far, _ = listener.accept()
    with near, far:
        yield near, far


@contextmanager
def stream_and_peer(**options):
    """A stream, and the socket at its other end, whose reads give up after a while."""
    with tcp_pair() as (near, far):
        far.settimeout(10)
        stream = Stream(near, **options)
        try:
            yield stream, far
        finally:
            stream.close()


def client_of(manager):
    """A socket connected to where *manager* listens, whose reads give up after a while."""
    client = socket.create_connection(manager.address)
    client.settimeout(10)
    return client


def read_all(sock):
    """Everything that comes from *sock* until its end."""
    chunks = []
    while chunk := sock.recv(65536):
        chunks.append(chunk)
    return b"".join(chunks)
