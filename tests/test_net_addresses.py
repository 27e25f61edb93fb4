"""Addresses: IPv6, and Unix sockets whose files are removed by nobody but those they belong to."""

from __future__ import annotations

import errno
import fcntl
import os
import socket as sockets
from pathlib import Path

import gevent
import pytest
from certificates import client_context, server_context
from makers import passes

from gowork.net import addresses
from gowork.net.managers import ConnManager


def talk(manager, **options):
    """A frame there and back, with a client of its own."""
    connecting = gevent.spawn(ConnManager(manager.address, **options).connect)
    server = manager.accept()
    answering = gevent.spawn(lambda: server.write_frame(server.recv_frame()[::-1]))
    client = connecting.get()
    client.write_frame(b"hello")
    assert client.recv_frame() == b"olleh"
    answering.get()
    client.close()
    server.close()


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "gowork.sock")


def left_by_a_process_that_was_killed(path):
    with sockets.socket(sockets.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()


# IPv6


def test_ipv6_connects_accepts_and_is_shown_in_brackets():
    manager = ConnManager(("::1", 0))
    manager.listen()
    host, port = manager.address
    assert (host, f"[::1]:{port}" in repr(manager)) == ("::1", True)
    talk(manager)
    manager.close()


def test_nobody_listening_on_ipv6_is_told_with_the_address():
    manager = ConnManager(("::1", 0))
    manager.listen()
    address = manager.address
    manager.close()
    with pytest.raises(ConnectionRefusedError, match=rf"cannot connect to \[::1\]:{address[1]}: "):
        ConnManager(address).connect()


def test_ipv4_can_be_listened_on_beside_ipv6():
    six = ConnManager(("::", 0))
    six.listen()
    four = ConnManager(("0.0.0.0", six.address[1]))
    four.listen()
    four.close()
    six.close()


def test_of_several_addresses_the_first_that_answers_is_taken(monkeypatch):
    manager = ConnManager(("127.0.0.1", 0))
    manager.listen()
    port = manager.address[1]
    closed = ("127.0.0.1", 1)
    found = [
        (sockets.AF_INET, sockets.SOCK_STREAM, 0, "", where)
        for where in (closed, ("127.0.0.1", port))
    ]
    monkeypatch.setattr(addresses.socket, "getaddrinfo", lambda *args: found)
    client = ConnManager(("somewhere.example", port)).connect()
    assert client.peer == ("127.0.0.1", port)
    client.close()
    manager.accept().close()
    manager.close()


# Unix sockets


@pytest.mark.parametrize("kind", [str, Path])
def test_a_unix_socket_connects_and_accepts(path, kind):
    manager = ConnManager(kind(path))
    manager.listen()
    assert manager.address == path
    assert path in repr(manager)
    talk(manager)
    manager.close()


def test_tls_works_over_a_unix_socket(path):
    manager = ConnManager(path, ssl=server_context())
    manager.listen()
    talk(manager, ssl=client_context(), server_hostname="localhost")
    manager.close()


def test_closing_removes_the_file_and_a_second_time_nothing(path):
    manager = ConnManager(path)
    manager.listen()
    assert os.path.exists(path)
    manager.close()
    assert not os.path.exists(path)
    Path(path).touch()
    manager.close()
    assert os.path.exists(path)


def test_closing_leaves_the_file_of_another_alone(path):
    first, second = ConnManager(path), ConnManager(path)
    first.listen()
    os.unlink(path)
    second.listen()
    first.close()
    talk(second)
    second.close()


def test_a_file_that_is_gone_already_is_no_error(path):
    manager = ConnManager(path)
    manager.listen()
    os.unlink(path)
    manager.close()


def test_a_file_left_by_a_process_that_was_killed_is_no_obstacle(path):
    left_by_a_process_that_was_killed(path)
    manager = ConnManager(path)
    manager.listen()
    talk(manager)
    manager.close()


def test_a_socket_behind_which_somebody_listens_is_left_alone(path):
    first = ConnManager(path)
    first.listen()
    with pytest.raises(OSError, match=f"cannot listen on {path}: .*in use") as caught:
        ConnManager(path).listen()
    assert caught.value.errno == errno.EADDRINUSE
    first.accept().close()  # that was the question whether somebody listens
    talk(first)
    first.close()


def test_so_is_one_whose_listener_has_no_room_for_another_client(path):
    with sockets.socket(sockets.AF_UNIX) as listener, sockets.socket(sockets.AF_UNIX) as client:
        listener.bind(path)
        listener.listen(0)
        client.connect(path)
        with pytest.raises(OSError, match="in use"):
            ConnManager(path).listen()
        assert os.path.exists(path)


@pytest.mark.parametrize("make", [Path.touch, Path.mkdir])
def test_what_is_no_socket_is_never_removed(path, make):
    make(Path(path))
    with pytest.raises(OSError, match=f"cannot listen on {path}: .* no socket"):
        ConnManager(path).listen()
    assert os.path.exists(path)


def test_a_link_is_not_followed(path, tmp_path):
    elsewhere = str(tmp_path / "elsewhere")
    left_by_a_process_that_was_killed(elsewhere)
    os.symlink(elsewhere, path)
    with pytest.raises(OSError, match="no socket"):
        ConnManager(path).listen()
    assert os.path.exists(elsewhere)


def test_no_other_can_take_a_socket_for_left_between_bind_and_listen(path, monkeypatch):
    checked = []

    class Watched(addresses.socket.socket):
        def listen(self, *args):
            directory = os.open(os.path.dirname(path), os.O_RDONLY)
            with pytest.raises(BlockingIOError):
                fcntl.flock(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.close(directory)
            checked.append(self)
            super().listen(*args)

    monkeypatch.setattr(addresses.socket, "socket", Watched)
    manager = ConnManager(path)
    manager.listen()
    manager.close()
    assert len(checked) == 1


@pytest.fixture
def locked(path):
    """The directory of the socket, as another process locks it."""
    directory = os.open(os.path.dirname(path), os.O_RDONLY)
    fcntl.flock(directory, fcntl.LOCK_EX)
    yield directory
    fcntl.flock(directory, fcntl.LOCK_UN)
    os.close(directory)


def test_who_keeps_the_directory_locked_keeps_nobody_waiting_for_ever(path, locked, monkeypatch):
    monkeypatch.setattr(addresses, "LOCKED", 0.02)
    with pytest.raises(OSError, match="another process keeps its directory locked"):
        ConnManager(path).listen()
    assert not os.path.exists(path)


def test_who_wants_to_listen_lets_others_run_while_the_directory_is_locked(path, locked):
    manager = ConnManager(path)
    listening = gevent.spawn(manager.listen)
    passes()
    assert not listening.ready()
    fcntl.flock(locked, fcntl.LOCK_UN)
    listening.get()
    manager.close()


def test_a_directory_that_is_not_there_is_told(path):
    with pytest.raises(FileNotFoundError, match=f"cannot listen on {path}/x: No such file"):
        ConnManager(path + "/x").listen()


@pytest.mark.parametrize("doing", ["listen on", "connect to"])
def test_a_path_that_is_too_long_is_told(tmp_path, doing):
    manager = ConnManager(str(tmp_path / ("x" * 200)))
    with pytest.raises(OSError, match=f"cannot {doing} .*x: .*too long") as caught:
        manager.listen() if doing == "listen on" else manager.connect()
    assert caught.value.errno == errno.ENAMETOOLONG


def test_nobody_at_a_path_is_told(path):
    manager = ConnManager(path)
    with pytest.raises(FileNotFoundError, match=f"cannot connect to {path}: No such file"):
        manager.connect()
    left_by_a_process_that_was_killed(path)
    with pytest.raises(ConnectionRefusedError, match=f"cannot connect to {path}: .*refused"):
        manager.connect()
    assert manager.errors == 2


def test_connecting_waits_without_spinning_where_too_many_wait_before(path, monkeypatch):
    pauses = []
    pause = gevent.sleep

    def paused(seconds):
        pauses.append(seconds)
        waiting.accept()[0].close()
        pause(0)

    monkeypatch.setattr(addresses.gevent, "sleep", paused)
    with sockets.socket(sockets.AF_UNIX) as waiting, sockets.socket(sockets.AF_UNIX) as first:
        waiting.bind(path)
        waiting.listen(0)
        first.connect(path)
        ConnManager(path).connect().close()
    assert pauses == [addresses.PAUSE]


@pytest.mark.parametrize(
    ("address", "error"),
    [("", ValueError), ("a\0b", ValueError), (("x", -1), ValueError), (b"x", TypeError)]
    + [(7, TypeError), (None, TypeError)],
)
def test_what_is_no_address_is_refused(address, error):
    with pytest.raises(error):
        ConnManager(address)
