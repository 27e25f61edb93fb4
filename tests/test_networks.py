"""The network in memory: what a program sees of it that holds its sockets."""

from __future__ import annotations

import errno
import http.client
import os
import time
from contextlib import ExitStack, closing

import gevent
import pytest
from gevent import socket
from gevent.event import Event

from gowork import Job, PingPong
from gowork.net.streams import Stream, read_task
from gowork.testing import simulate, wires
from gowork.testing.faults import latency, refuse, stall
from gowork.testing.networks import Network

SERVER = ("server", 80)


def echo(sock, peer):
    try:
        while data := sock.recv(4096):
            sock.sendall(data)
    except OSError:
        pass


def read_all(sock):
    """What comes until the end, and the error that it ends with, or None."""
    received = bytearray()
    try:
        while data := sock.recv(4096):
            received += data
    except OSError as error:
        return bytes(received), error
    return bytes(received), None


@pytest.fixture
def network():
    with Network() as network:
        yield network


@pytest.fixture
def pair(network):
    a, b = network.pair()
    with a, b:
        yield a, b


def outcome(fn, *args):
    """What *fn* returns or raises."""
    try:
        return fn(*args)
    except OSError as error:
        return error


def descriptors():
    return len(os.listdir("/proc/self/fd"))


def settles_at(count):
    """Whether there come to be so many descriptors; the loop may close some later."""
    give_up = time.monotonic() + 5
    while descriptors() != count and time.monotonic() < give_up:
        gevent.sleep(0.001)
    return descriptors() == count


# Connecting


def test_a_client_talks_to_the_handler_of_its_server(network):
    network.serve(echo, SERVER)
    with network.connect(SERVER) as client:
        client.sendall(b"hello")
        assert client.recv(10) == b"hello"


def test_the_sockets_are_gevents_own_and_memory_only(network):
    network.serve(echo, SERVER)
    with network.connect(SERVER) as client:
        assert isinstance(client, socket.socket)
        assert client.family == socket.AF_UNIX


def test_a_listener_accepts_in_order_and_says_who_came(network):
    listener = network.listen("anything hashable")
    with network.connect("anything hashable") as first, network.connect("anything hashable"):
        first.sendall(b"I")
        accepted = [listener.accept(), listener.accept()]
        assert [peer for _, peer in accepted] == [("client", 1), ("client", 2)]
        assert accepted[0][0].recv(1) == b"I"
        for sock, _ in accepted:
            sock.close()


def test_a_loop_of_accepts_ends_when_the_listener_is_closed(network):
    listener = network.listen(SERVER)
    accepting = gevent.spawn(outcome, listener.accept)
    gevent.sleep(0)
    listener.close()
    assert accepting.get().errno == errno.EBADF
    assert "closed" in repr(listener)


def test_a_connect_is_refused_where_nobody_listens_any_more(network):
    with pytest.raises(ConnectionRefusedError, match="nobody accepts at"):
        network.connect(SERVER)
    network.listen(SERVER).close()
    with pytest.raises(ConnectionRefusedError):
        network.connect(SERVER)
    network.listen(SERVER)  # the address is free again


def test_an_address_is_taken_only_once(network):
    network.listen(SERVER)
    with pytest.raises(OSError, match="already") as caught:
        network.serve(echo, SERVER)
    assert caught.value.errno == errno.EADDRINUSE


def test_a_connect_waits_while_the_backlog_is_full(network):
    listener = network.listen(SERVER, backlog=1)
    with network.connect(SERVER), pytest.raises(TimeoutError, match="backlog"):
        network.connect(SERVER, timeout=0.01)
    connecting = gevent.spawn(network.connect, SERVER)
    gevent.sleep(0)
    assert not connecting.ready()
    for _ in range(2):
        listener.accept()[0].close()
    connecting.get().close()
    assert not network.open


def test_a_connect_that_waits_is_refused_when_the_listener_is_closed(network):
    listener = network.listen(SERVER, backlog=1)
    with network.connect(SERVER) as unaccepted:
        connecting = gevent.spawn(outcome, network.connect, SERVER)
        gevent.sleep(0)
        listener.close()
        assert isinstance(connecting.get(), ConnectionRefusedError)
        assert isinstance(read_all(unaccepted)[1], ConnectionResetError)


def test_a_connect_that_was_accepted_as_the_network_is_closed_is_reset():
    with Network() as network:
        listener = network.listen(SERVER, backlog=0)
        connecting = gevent.spawn(network.connect, SERVER)
        gevent.sleep(0)
        server, _ = listener.accept()
    with server, connecting.get() as client:
        assert isinstance(read_all(client)[1], ConnectionResetError)
        assert isinstance(read_all(server)[1], ConnectionResetError)


def test_a_connect_that_is_killed_leaves_nothing(network):
    network.listen(SERVER, backlog=0)
    connecting = gevent.spawn(network.connect, SERVER)
    gevent.sleep(0)
    assert len(network.open) == 1
    connecting.kill()
    assert not network.open


def test_the_first_connects_are_refused_to_each_address():
    with Network(refuse(times=2)) as network, ExitStack() as stack:
        for address in ("a", "b"):
            network.serve(echo, address)
            for _ in range(2):
                with pytest.raises(ConnectionRefusedError):
                    network.connect(address)
            stack.enter_context(network.connect(address))


def test_one_connect_can_be_refused_alone(network):
    network.serve(echo, SERVER)
    for _ in range(3):
        with pytest.raises(ConnectionRefusedError):
            network.connect(SERVER, refuse())
    network.connect(SERVER).close()


# Ends


def test_half_a_close_is_passed_on_and_the_way_back_lives(pair):
    a, b = pair
    a.sendall(b"question")
    a.shutdown(socket.SHUT_WR)
    assert read_all(b) == (b"question", None)
    b.sendall(b"answer")
    b.shutdown(socket.SHUT_WR)
    assert read_all(a) == (b"answer", None)


def test_what_was_sent_before_both_ends_are_shut_arrives(pair):
    a, b = pair
    b.shutdown(socket.SHUT_WR)
    assert a.recv(1) == b""
    sending = gevent.spawn(lambda: (a.sendall(bytes(100_000)), a.shutdown(socket.SHUT_WR)))
    assert read_all(b) == (bytes(100_000), None)
    sending.get()


def test_a_shutdown_of_a_full_socket_neither_blocks_nor_loses_anything(network):
    with ExitStack() as stack:
        a, b = map(stack.enter_context, network.pair(stall(seconds=0.01)))
        sent = fill(a)
        a.shutdown(socket.SHUT_WR)
        assert read_all(b) == (bytes(sent), None)


def test_a_peer_that_closes_is_an_end_to_the_reader_and_a_broken_pipe_to_the_writer(pair):
    a, b = pair
    b.sendall(b"last words")
    b.close()
    assert read_all(a) == (b"last words", None)
    with pytest.raises(BrokenPipeError):
        while True:
            a.sendall(bytes(4096))


def test_a_peer_that_closes_on_unread_bytes_is_a_reset(pair):
    a, b = pair
    a.sendall(b"nobody reads this")
    gevent.socket.wait_read(b.fileno())
    b.close()
    assert isinstance(read_all(a)[1], ConnectionResetError)


def fill(sock):
    """Send until nothing moves for a moment; how much it was."""
    sent = 0
    sock.settimeout(0.02)
    try:
        while True:
            sent += sock.send(bytes(4096))
    except TimeoutError:
        sock.settimeout(None)
        return sent


@pytest.mark.parametrize("faults", [(), (latency(0.001),)])
def test_a_reader_that_does_not_read_stops_the_writer(network, faults, monkeypatch):
    monkeypatch.setattr("gowork.testing.faults.LINE", 20_000)
    with ExitStack() as stack:
        a, b = map(stack.enter_context, network.pair(*faults))
        sent = fill(a)
        assert 10_000 < sent < 100_000
        a.shutdown(socket.SHUT_WR)
        assert len(read_all(b)[0]) == sent


# What is left


def test_what_is_open_is_told_until_both_ends_are_closed(network):
    network.serve(lambda sock, peer: sock.recv(1), SERVER)
    client = network.connect(SERVER)
    client.sendall(b"!")
    gevent.wait([gevent.spawn(client.recv, 1)])
    assert network.open == [
        "connection 1 to ('server', 80): client open, server closed, 1 bytes up, 0 bytes down"
    ]
    client.close()
    assert not network.open


@pytest.mark.parametrize("has_epoll", [True, False])
def test_a_wire_goes_by_itself_when_both_ends_are_closed(network, monkeypatch, has_epoll):
    if not has_epoll:
        monkeypatch.setattr(wires, "epoll", None)
    before = descriptors()
    with ExitStack() as stack:
        a, _ = map(stack.enter_context, network.pair())
        a.sendall(b"unread")
        gevent.sleep(0.001)
    assert settles_at(before)


def test_even_a_stalled_wire_goes_though_it_has_not_read_all(network):
    before = descriptors()
    a, b = network.pair(stall())
    a.sendall(b"x")
    b.sendall(b"y")
    gevent.sleep(0.001)
    b.close()
    assert settles_at(before + 1 + 3)  # the other end, and the wire
    a.close()
    assert settles_at(before)


def test_another_file_with_the_same_descriptor_is_not_taken_for_the_socket(network):
    a, b = network.pair()
    number = a.fileno()
    with b:
        a.close()
        reader, writer = os.pipe()
        try:
            assert number in (reader, writer)
            assert "client closed" in network.open[0]
        finally:
            os.close(reader)
            os.close(writer)


def test_closing_the_network_resets_what_is_open():
    with ExitStack() as stack:
        with Network() as network:
            a, b = map(stack.enter_context, network.pair())
            a.shutdown(socket.SHUT_WR)  # even one that has been shut
            assert b.recv(1) == b""
        assert isinstance(read_all(a)[1], ConnectionResetError)
        assert isinstance(read_all(b)[1], ConnectionResetError)


def test_a_closed_network_does_nothing_more():
    network = Network()
    network.close()
    network.close()
    for refused in (network.pair, lambda: network.listen("x"), lambda: network.connect("x")):
        with pytest.raises(OSError, match="the network is closed"):
            refused()
    assert "closed" in repr(network)


# Handlers


def test_what_a_handler_raises_is_raised_by_close():
    error = ValueError("of the handler")

    def handle(sock, peer):
        raise error

    network = Network()
    network.serve(handle, SERVER)
    with network.connect(SERVER) as client:
        assert client.recv(1) == b""  # the handler's socket is closed
    with pytest.raises(ValueError, match="of the handler") as caught:
        network.close()
    assert caught.value is error
    network.close()  # it is told once


def test_what_several_handlers_raise_is_raised_as_a_group():
    def handle(sock, peer):
        raise ValueError if peer == ("client", 1) else gevent.Timeout

    network = Network()
    network.serve(handle, SERVER)
    for _ in range(2):
        with network.connect(SERVER) as client:
            client.recv(1)
    with pytest.raises(BaseExceptionGroup) as caught:
        network.close()
    assert [type(error) for error in caught.value.exceptions] == [ValueError, gevent.Timeout]


def test_an_error_in_the_block_goes_on_and_carries_those_of_the_handlers():
    def handle(sock, peer):
        raise ValueError("of the handler")

    with pytest.raises(KeyError) as caught, Network() as network:
        network.serve(handle, SERVER)
        with network.connect(SERVER) as client:
            client.recv(1)
        raise KeyError("of the test")
    (note,) = caught.value.__notes__
    assert "ValueError: of the handler" in note


def test_close_kills_handlers_and_closes_their_sockets():
    ended = []

    def handle(sock, peer):
        try:
            Event().wait()
        finally:
            ended.append(sock)

    with Network() as network:
        network.serve(handle, SERVER)
        client = network.connect(SERVER)
        gevent.sleep(0.001)
    assert [sock.fileno() for sock in ended] == [-1]
    client.close()
    assert not network.open


@pytest.mark.parametrize("seed", range(40))
def test_whenever_it_is_closed_no_handler_socket_stays_open(seed):
    def program():
        with ExitStack() as clients:
            with Network() as network:
                network.serve(echo, SERVER)
                for _ in range(3):
                    clients.enter_context(network.connect(SERVER))
                    gevent.sleep(0)
            assert all("server closed" in line for line in network.open)
        return network.open

    simulation = simulate(program, seed=seed)
    assert simulation.value == []
    assert not simulation.left


# Legal and illegal


@pytest.mark.parametrize(
    "use",
    [lambda it: Network(it), lambda it: Network().pair(it), lambda it: Network().connect(0, it)],
)
def test_only_faults_are_faults(use):
    with pytest.raises(TypeError, match=r"0\.2 is no fault: make them by latency\(\)"):
        use(0.2)


def test_a_pair_cannot_be_refused(network):
    with pytest.raises(ValueError, match="a pair is connected"):
        network.pair(refuse())
    for sock in Network(refuse()).pair():
        sock.close()


# Code that knows nothing of it


def test_an_http_client_over_a_slow_network():
    def handle(sock, peer):
        with sock.makefile("rb") as lines:
            while lines.readline().strip():
                pass
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")

    def program():
        with Network(latency(60)) as network:
            network.serve(handle, SERVER)
            with closing(http.client.HTTPConnection("server")) as client:
                client.sock = network.connect(SERVER)
                client.request("GET", "/")
                return client.getresponse().read()

    simulation = simulate(program)
    assert simulation.value == b"hello"
    assert simulation.now == 120


def all_of(pingpong):
    seen = []
    for ping in pingpong:
        with ping as data:
            seen.append(bytes(data))
    return seen


def test_a_stream_and_its_tasks_in_virtual_time():
    def program():
        with Network(latency(3600)) as network:
            a, b = network.pair()
            with closing(Stream(a)) as near:
                for number in range(3):
                    near.write_frame(b"%d" % number)
                near.shutdown_write()
                pingpong = PingPong()
                with Job() as job:
                    job.add_task(read_task(pingpong, Stream(b)))
                    seen = job.spawn(all_of, pingpong)
                return seen.result

    simulation = simulate(program)
    assert simulation.value == [b"0", b"1", b"2"]
    assert simulation.now == 3600
