"""Managers: bound once, with a reason when not; limits exact; nobody miscounted."""

from __future__ import annotations

import errno

import gevent
import pytest
from connections import client_of, read_all
from gevent import socket

from gowork import Job, JobState, StateError, TaskState
from gowork.net import managers
from gowork.net.managers import ConnManager, Direction
from gowork.net.streams import StreamState

INBOUND, OUTBOUND = Direction.INBOUND, Direction.OUTBOUND
OPEN, CLOSED = StreamState.OPEN, StreamState.CLOSED


@pytest.fixture
def manager():
    with_port = ConnManager(("127.0.0.1", 0))
    with_port.listen()
    yield with_port
    with_port.close()


def listening(**options):
    manager = ConnManager(("127.0.0.1", 0), **options)
    manager.listen()
    return manager


# Listening


def test_listening_binds_once_and_tells_the_port(manager):
    address = manager.address
    assert address[1] != 0
    manager.listen()
    assert manager.address == address


def test_an_address_in_use_is_told_when_the_task_is_added_and_named(manager):
    host, port = manager.address
    job = Job()
    with pytest.raises(OSError, match=f"cannot listen on {host}:{port}: .*in use") as caught:
        job.add_oneshot_task(ConnManager(manager.address).accept_task)
    assert caught.value.errno == errno.EADDRINUSE
    assert job.tasks == ()


def test_a_failed_listen_can_be_tried_again():
    first = listening()
    second = ConnManager(first.address)
    with pytest.raises(OSError, match="in use"):
        second.listen()
    first.close()
    second.listen()
    second.close()


def test_a_closed_manager_accepts_no_more(manager):
    manager.close()
    manager.close()
    for refused in (manager.listen, manager.accept):
        with pytest.raises(StateError, match="closed"):
            refused()


def test_closing_wakes_who_waits_for_a_client(manager):
    def wait():
        with pytest.raises(StateError, match="accept is not allowed in state closed"):
            manager.accept()

    waiting = [gevent.spawn(wait) for _ in range(2)]
    gevent.sleep(0)
    manager.close()
    gevent.joinall(waiting, raise_error=True)


def test_closing_leaves_the_streams_alone(manager):
    with client_of(manager) as client:
        stream = manager.accept()
        manager.close()
        stream.write_raw(b"still here")
        assert client.recv(100) == b"still here"
        stream.close()


# Accepting and connecting


def test_a_job_accepts_a_client_and_another_connects(manager):
    server, client = Job(), Job()
    server.add_oneshot_task(manager.accept_task)
    server.spawn(lambda: server.value.write_frame(server.value.recv_frame().upper()))
    connector = ConnManager(manager.address)
    client.add_oneshot_task(connector.connect_task)
    asking = client.spawn(lambda: client.value.write_frame(b"hello") or client.value.recv_frame())
    for job in (server, client):
        job.run()
    for job in (server, client):
        job.join()
        job.check()
        assert job.value.state is CLOSED
    assert asking.result == b"HELLO"


def test_several_jobs_may_wait_for_clients_of_one_manager(manager):
    jobs = [Job() for _ in range(3)]
    for job in jobs:
        job.add_oneshot_task(manager.accept_task)
    ready = [job.run_in_background() for job in jobs]
    clients = [client_of(manager) for _ in jobs]
    gevent.wait(ready)
    for job, client in zip(jobs, clients, strict=True):
        job.join()
        client.close()
    assert manager.counts == {(INBOUND, CLOSED): 3}


def test_a_job_cancelled_while_it_waits_for_a_client_leaves_nothing(manager):
    job = Job()
    job.add_oneshot_task(manager.accept_task)
    job.run()
    gevent.sleep(0)
    job.cancel()
    job.join()
    with client_of(manager):
        manager.accept().close()


def test_nobody_listening_is_told_with_the_address():
    closed = listening()
    address = closed.address
    closed.close()
    manager = ConnManager(address)
    with pytest.raises(ConnectionRefusedError, match=f"cannot connect to 127.0.0.1:{address[1]}"):
        manager.connect()
    assert manager.errors == 1


def test_a_job_that_cannot_connect_ends_with_that_error_alone():
    closed = listening()
    manager = ConnManager(closed.address)
    closed.close()
    job = Job()
    job.add_oneshot_task(manager.connect_task)
    reading = job.add_task(manager.read_task(job.pingpong()))
    job.run().wait()
    assert isinstance(job.interrupted_by.error, ConnectionRefusedError)
    assert len(job.errors) == 1
    assert reading.state is TaskState.SKIPPED


def test_a_name_that_is_not_found_is_told(monkeypatch):
    def not_found(*args):
        raise socket.gaierror(socket.EAI_NONAME, "no such name")

    monkeypatch.setattr(managers.socket, "getaddrinfo", not_found)
    with pytest.raises(socket.gaierror, match="cannot connect to nowhere:80: no such name"):
        ConnManager(("nowhere", 80)).connect()


def test_connecting_takes_no_longer_than_it_may(monkeypatch):
    manager = ConnManager(("127.0.0.1", 1), connect_timeout=0.01)
    monkeypatch.setattr(manager, "_dial", lambda: gevent.sleep(60))
    with pytest.raises(
        TimeoutError, match=r"cannot connect to 127\.0\.0\.1:1: no answer in 0\.01 s"
    ):
        manager.connect()
    assert manager.errors == 1


@pytest.mark.parametrize("own", [None, TimeoutError("mine")])
def test_a_timeout_of_the_callers_own_goes_through(monkeypatch, own):
    monkeypatch.setattr(managers.socket.socket, "connect", lambda *args: gevent.sleep(60))
    manager = ConnManager(("127.0.0.1", 1))
    mine = gevent.Timeout(0.01, own)
    with pytest.raises((gevent.Timeout, TimeoutError)) as caught, mine:
        manager.connect()
    assert caught.value is (own or mine)
    assert manager.errors == 0


def test_a_numeric_address_needs_no_resolver(manager, monkeypatch):
    monkeypatch.setattr(managers.socket, "getaddrinfo", None)
    with ConnManager(manager.address).connect()._socket.raw:
        manager.accept().close()


# Limits


def test_without_a_limit_every_client_is_accepted(manager):
    clients = [client_of(manager) for _ in range(5)]
    streams = [manager.accept() for _ in clients]
    assert manager.counts == {(INBOUND, OPEN): 5}
    assert manager.rejected == 0
    for each in clients + streams:
        each.close()


def test_a_limit_of_zero_rejects_every_client():
    manager = listening(inbound_limit=0)
    accepting = gevent.spawn(manager.accept)
    for _ in range(3):
        with client_of(manager) as client:
            assert read_all(client) == b""
    assert manager.rejected == 3
    accepting.kill()
    manager.close()


def test_a_limit_is_exact_and_a_place_that_is_left_is_free_again():
    manager = listening(inbound_limit=2)
    clients = [client_of(manager) for _ in range(2)]
    first, second = manager.accept(), manager.accept()
    accepting = gevent.spawn(manager.accept)
    with client_of(manager) as third:
        assert read_all(third) == b""
    first.close()
    clients.append(client_of(manager))
    fourth = accepting.get()
    assert manager.rejected == 1
    assert manager.counts == {(INBOUND, OPEN): 2, (INBOUND, CLOSED): 1}
    for each in (second, fourth, manager, *clients):
        each.close()


@pytest.mark.parametrize(
    "options",
    [{"inbound_limit": -1}, {"read_buffer": 0}, {"max_frame": -1}, {"connect_timeout": -1}],
)
def test_senseless_numbers_are_refused(options):
    with pytest.raises(ValueError, match=r"must|give"):
        ConnManager(("127.0.0.1", 0), **options)


# Trouble


class Troubled:
    """A listener whose first accepts fail."""

    def __init__(self, listener, *numbers):
        self.listener = listener
        self.numbers = list(numbers)
        self.calls = 0

    def accept(self):
        self.calls += 1
        if self.numbers:
            raise OSError(self.numbers.pop(0), "trouble")
        return self.listener.accept()

    def __getattr__(self, name):
        return getattr(self.listener, name)


def test_passing_trouble_is_counted_logged_once_and_waited_out(manager, monkeypatch, caplog):
    monkeypatch.setattr(managers, "PAUSE", 0.001)
    troubled = Troubled(manager._listener, errno.EMFILE, errno.ENFILE, errno.ECONNABORTED)
    manager._listener = troubled
    with client_of(manager):
        manager.accept().close()
    assert troubled.calls == 4
    assert manager.errors == 3
    assert len(caplog.records) == 1


def test_trouble_without_end_does_not_spin(manager):
    troubled = Troubled(manager._listener, *[errno.EMFILE] * 1000)
    manager._listener = troubled
    with gevent.Timeout(0.05, False):
        manager.accept()
    assert troubled.calls == 1


def test_a_listener_that_is_no_more_is_an_error(manager):
    manager._listener = Troubled(manager._listener, errno.EINVAL)
    with pytest.raises(OSError, match="trouble"):
        manager.accept()


# The books


def test_streams_are_counted_by_direction_and_state_and_bytes_never_vanish(manager):
    connector = ConnManager(manager.address)
    near = connector.connect()
    far = manager.accept()
    near.write_raw(b"hello")
    near.shutdown_write()
    assert far.recv_raw() + far.recv_raw() == b"hello"
    assert connector.counts == {(OUTBOUND, StreamState.WRITE_ENDED): 1}
    assert manager.counts == {(INBOUND, StreamState.READ_ENDED): 1}
    far.close()
    near.close()
    assert connector.counts == {(OUTBOUND, CLOSED): 1}
    assert (connector.bytes_out, connector.bytes_in) == (5, 0)
    assert (manager.bytes_out, manager.bytes_in) == (0, 5)
    assert manager.errors == 0


def test_a_stream_that_broke_is_an_error(manager):
    connector = ConnManager(manager.address)
    near, far = connector.connect(), manager.accept()
    near.abort()
    with pytest.raises(ConnectionResetError):
        far.recv_raw()
    far.close()
    assert manager.errors == 1
    assert connector.errors == 0


def test_streams_are_prompt_and_kept_alive(manager):
    connector = ConnManager(manager.address)
    streams = [connector.connect(), manager.accept()]
    for stream in streams:
        assert stream._socket.raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert stream._socket.raw.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        stream.close()


def test_a_hundred_echo_jobs_one_behind_the_other_leave_nothing(manager):
    for number in range(100):
        job = Job()
        job.add_oneshot_task(manager.accept_task)
        pingpong = job.pingpong()
        job.add_task(manager.read_task(pingpong, raw=True))
        job.add_task(manager.write_task(pingpong, raw=True))
        client = client_of(manager)
        job.run_in_background().wait()
        client.sendall(b"%d" % number)
        client.shutdown(socket.SHUT_WR)
        assert read_all(client) == b"%d" % number
        client.close()
        job.join()
        assert job.state is JobState.DONE
    assert manager.counts == {(INBOUND, CLOSED): 100}
