"""TLS: what is cut short is no end, a silent client holds up nobody, and no byte gets lost."""

from __future__ import annotations

import ssl
import subprocess
import sys
from contextlib import contextmanager

import gevent
import pytest
from certificates import authority, client_context, server_context
from connections import read_all, tcp_pair
from gevent import socket
from gevent import ssl as gevent_ssl
from gevent.monkey import get_original

from gowork import Job, JobState
from gowork.net.frames import TruncatedFrame, encode_frame
from gowork.net.managers import ConnManager, Direction
from gowork.net.relays import relay
from gowork.net.streams import Stream, StreamClosed, StreamState
from gowork.net.tls import TLSSocket

select = get_original("select", "select")

MUCH = 20_000_000  # more than the buffers of two sockets hold
VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


@contextmanager
def secure_pair(version=ssl.TLSVersion.TLSv1_3):
    """The stream of a client and the stream of a server."""
    context = client_context()
    context.maximum_version = version
    with tcp_pair() as (near, far):
        client = Stream(TLSSocket(near, context, server_hostname="localhost"))
        server = Stream(TLSSocket(far, server_context(), server_side=True))
        try:
            yield client, server
        finally:
            client.abort()
            server.abort()


@pytest.fixture(params=VERSIONS, ids=lambda version: version.name)
def pair(request):
    with secure_pair(request.param) as both:
        yield both


def settled(client, server):
    """After it the handshake is over, and nothing that belongs to it is on its way."""
    for source, sink in ((client, server), (server, client)):
        writing = gevent.spawn(source.write_raw, b"!")
        assert sink.recv_raw() == b"!"
        writing.get()


def received(stream):
    chunks = []
    while chunk := stream.recv_raw():
        chunks.append(chunk)
    return b"".join(chunks)


def failing_with(kind, function, *args):
    with pytest.raises(kind) as caught:
        function(*args)
    return caught.value


def listening(**options):
    manager = ConnManager(("127.0.0.1", 0), ssl=server_context(), **options)
    manager.listen()
    return manager


def connector(manager, **options):
    return ConnManager(
        manager.address, ssl=client_context(), **{"server_hostname": "localhost"} | options
    )


# Data


@pytest.mark.parametrize("first", ["client", "server"])
def test_frames_arrive_whoever_speaks_first(pair, first):
    client, server = pair
    speaking, listening = (client, server) if first == "client" else (server, client)
    writing = gevent.spawn(speaking.write_frame, b"hello")
    assert listening.recv_frame() == b"hello"
    writing.get()


def test_much_goes_both_ways_at_once(pair):
    writers = [gevent.spawn(stream.write_raw, bytes(MUCH)) for stream in pair]
    ends = [
        gevent.spawn(lambda s=s, w=w: w.get() or s.shutdown_write())
        for s, w in zip(pair, writers, strict=True)
    ]
    readers = [gevent.spawn(received, stream) for stream in pair]
    assert [len(reader.get()) for reader in readers] == [MUCH, MUCH]
    gevent.joinall(ends, raise_error=True)


def test_bytes_are_counted_without_what_tls_adds(pair):
    client, server = pair
    writing = gevent.spawn(client.write_raw, bytes(100_000))
    while server.bytes_in < 100_000:
        server.recv_raw()
    writing.get()
    assert (client.bytes_out, client.bytes_in) == (100_000, 0)
    assert (server.bytes_out, server.bytes_in) == (0, 100_000)


def test_a_read_takes_at_most_the_read_buffer():
    with secure_pair() as (client, server):
        client._read_buffer = 3
        settled(client, server)
        server.write_raw(b"hello")
        assert [client.recv_raw(), client.recv_raw()] == [b"hel", b"lo"]


def test_a_killed_reader_loses_nothing(pair):
    client, server = pair
    settled(client, server)
    reader = gevent.spawn(client.recv_frame)
    frame = b"".join(encode_frame([b"hello"]))
    server.write_raw(frame[:10])
    gevent.sleep(0)
    reader.kill()
    server.write_raw(frame[10:])
    assert client.recv_frame() == b"hello"


@pytest.mark.parametrize("module", [ssl, gevent_ssl])
def test_contexts_of_gevent_and_others_serve(module):
    context = module.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority().configure_trust(context)
    with tcp_pair() as (near, far):
        client = Stream(TLSSocket(near, context, server_hostname="localhost"))
        server = Stream(TLSSocket(far, server_context(), server_side=True))
        settled(client, server)
        client.close()
        server.close()


# Ends


def test_the_end_of_one_direction_leaves_the_way_back_open(pair):
    client, server = pair
    asking = gevent.spawn(lambda: client.write_raw(b"question") or client.shutdown_write())
    assert received(server) == b"question"
    asking.get()
    assert (client.state, server.state) == (StreamState.WRITE_ENDED, StreamState.READ_ENDED)
    server.write_raw(b"answer")
    server.close()
    assert received(client) == b"answer"
    assert client.state is StreamState.ENDED


def test_an_end_can_be_said_while_data_is_waiting_and_loses_none_of_it(pair):
    client, server = pair
    settled(client, server)
    server.write_raw(b"a" * 50_000)
    assert client.is_connected  # it has looked, which decrypts
    server.write_raw(b"b" * 50_000)
    client.shutdown_write()
    server.close()
    assert received(client) == b"a" * 50_000 + b"b" * 50_000


def test_an_end_can_be_said_in_the_midst_of_reading(pair):
    client, server = pair
    settled(client, server)
    server.write_raw(b"a" * 50_000)
    server.close()
    begun = client.recv_raw()
    assert len(begun) < 50_000
    client.shutdown_write()
    assert begun + received(client) == b"a" * 50_000


def test_the_peers_close_is_an_end(pair):
    client, server = pair
    settled(client, server)
    server.close()
    assert client.recv_raw() == client.recv_raw() == b""
    client.shutdown_write()
    assert client.state is StreamState.ENDED


def test_who_writes_and_closes_at_once_loses_nothing_and_not_the_end_either(pair):
    client, server = pair

    def say():
        client.write_raw(b"x" * 300_000)
        client.close()  # with tickets of the server unread

    saying = gevent.spawn(say)
    assert received(server) == b"x" * 300_000
    saying.get()


@pytest.mark.parametrize("how", ["end", "reset"])
def test_a_connection_that_ends_without_a_word_was_cut_short(pair, how):
    client, server = pair
    settled(client, server)
    server.write_raw(b"half of it")
    if how == "end":
        server._socket.raw.shutdown(socket.SHUT_WR)
    else:
        server.abort()
    with pytest.raises((ssl.SSLEOFError, ConnectionResetError)):
        while client.recv_raw():
            pass
    assert client.state is StreamState.BROKEN


def test_a_frame_cut_short_by_an_end_in_good_order_is_an_error_too(pair):
    client, server = pair
    settled(client, server)
    server.write_raw(b"".join(encode_frame([b"whole"]))[:-1])
    server.close()
    with pytest.raises(TruncatedFrame):
        client.recv_frame()


def test_a_write_killed_half_way_is_no_end_for_the_peer(pair):
    client, server = pair
    settled(client, server)
    writer = gevent.spawn(client.write_raw, bytes(MUCH))
    gevent.sleep(0)
    writer.kill()
    assert client.state is StreamState.BROKEN
    client.close()
    with pytest.raises(ConnectionResetError):
        received(server)


def test_a_write_during_which_the_stream_is_closed_is_no_end_for_the_peer(pair):
    client, server = pair
    settled(client, server)
    writer = gevent.spawn(failing_with, StreamClosed, client.write_raw, bytes(MUCH))
    gevent.sleep(0)
    client.close()
    writer.get()
    with pytest.raises(ConnectionResetError):
        received(server)


def test_what_is_no_tls_is_an_error():
    with tcp_pair() as (near, far):
        stream = Stream(TLSSocket(near, server_context(), server_side=True))
        far.sendall(b"GET / HTTP/1.1\r\n\r\n")
        with pytest.raises(ssl.SSLError):
            stream.recv_raw()
        assert stream.state is StreamState.BROKEN
        stream.close()


def test_a_stream_whose_peer_has_closed_is_not_connected_though_nobody_has_read(pair):
    client, server = pair
    settled(client, server)
    assert client.is_connected
    server.close()
    socket.wait_read(client._socket.raw.fileno())
    assert not client.is_connected
    assert client.recv_raw() == b""


def test_asking_whether_it_is_connected_takes_nothing_from_a_reader(pair):
    client, server = pair
    settled(client, server)
    reader = gevent.spawn(client.recv_raw)
    gevent.sleep(0)
    server.write_raw(b"x")
    select([client._socket.raw.fileno()], [], [], 10)  # and nobody else runs
    assert client.is_connected
    assert reader.get() == b"x"


# The handshake


def test_a_client_that_says_nothing_holds_up_no_other():
    manager = listening()
    with socket.create_connection(manager.address):
        silent = manager.accept()
        connecting = gevent.spawn(connector(manager).connect)
        served = manager.accept()
        served_frame = gevent.spawn(served.write_frame, b"hello")
        client = connecting.get()
        assert client.recv_frame() == b"hello"
        served_frame.get()
        for each in (silent, served, client, manager):
            each.close()


def test_a_client_that_says_nothing_is_given_up_in_time():
    manager = listening(handshake_timeout=0.02)
    with socket.create_connection(manager.address):
        stream = manager.accept()
        with pytest.raises(TimeoutError, match=r"no TLS handshake in 0\.02 s"):
            stream.recv_raw()
        stream.close()
        assert manager.errors == 1
        manager.close()


def test_a_server_that_says_nothing_is_given_up_in_time():
    plain = ConnManager(("127.0.0.1", 0))
    plain.listen()
    manager = connector(plain, connect_timeout=0.02)
    with pytest.raises(TimeoutError, match="cannot connect to 127"):
        manager.connect()
    assert manager.errors == 1
    plain.close()


def test_a_handshake_that_was_killed_is_taken_up_by_the_next():
    with secure_pair() as (client, server):
        first = gevent.spawn(client.recv_raw)
        second = gevent.spawn(client.write_raw, b"hello")
        gevent.sleep(0)
        first.kill()
        assert server.recv_raw() == b"hello"
        second.get()


def test_a_callback_chooses_by_the_name_that_the_client_asked_for():
    # In a patched process gevent's context has taken its place, and is no good for this.
    context = get_original("ssl", "SSLContext")(ssl.PROTOCOL_TLS_SERVER)
    with authority().issue_cert("localhost").private_key_and_cert_chain_pem.tempfile() as path:
        context.load_cert_chain(path)
    asked = []
    context.sni_callback = lambda tls, name, _: asked.append(name)
    with tcp_pair() as (near, far):
        client = Stream(TLSSocket(near, client_context(), server_hostname="localhost"))
        server = Stream(TLSSocket(far, context, server_side=True))
        settled(client, server)
        assert asked == ["localhost"]
        client.close()
        server.close()


@pytest.mark.parametrize("trusted", [False, True])
def test_a_client_meets_whom_it_expects_or_nobody(trusted):
    manager = listening()
    accepting = gevent.spawn(manager.accept)
    asking = (
        connector(manager, server_hostname="elsewhere")
        if trusted
        else ConnManager(
            manager.address,
            ssl=ssl.create_default_context(),
            server_hostname="localhost",
        )
    )
    connecting = gevent.spawn(failing_with, ssl.SSLCertVerificationError, asking.connect)
    server = accepting.get()
    with pytest.raises(ssl.SSLError, match=r"(?i)alert"):
        server.recv_raw()
    assert "cannot connect to 127" in str(connecting.get())
    assert (asking.errors, server.state) == (1, StreamState.BROKEN)
    server.close()
    manager.close()


def test_the_host_is_whom_a_client_expects_unless_told_otherwise():
    manager = ConnManager(("127.0.0.1", 0), ssl=server_context("127.0.0.1"))
    manager.listen()
    connecting = gevent.spawn(ConnManager(manager.address, ssl=client_context()).connect)
    server = manager.accept()
    server.write_raw(b"hello")
    client = connecting.get()
    assert client.recv_raw() == b"hello"
    for each in (client, server, manager):
        each.close()


@pytest.mark.parametrize("server_side", [False, True])
def test_a_context_for_the_other_side_is_refused_and_leaves_no_socket(server_side):
    wrong = client_context() if server_side else server_context()
    listener = ConnManager(("127.0.0.1", 0), ssl=wrong if server_side else None)
    listener.listen()
    with socket.create_connection(listener.address) as client:
        asking = listener if server_side else ConnManager(listener.address, ssl=wrong)
        with pytest.raises(ssl.SSLError, match="Cannot create"):
            (asking.accept if server_side else asking.connect)()
        if server_side:
            assert read_all(client) == b""
    listener.close()


def test_a_process_may_be_patched_after_the_network_has_been_imported():
    program = (
        "import gowork.net.managers, gevent.monkey\n"
        "gevent.monkey.patch_all()\n"
        "import ssl\n"
        "ssl.create_default_context().minimum_version = ssl.TLSVersion.TLSv1_2\n"
    )
    command = [sys.executable, "-W", "error", "-c", program]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=25)
    assert (ended.returncode, ended.stderr) == (0, "")


# Jobs


def test_jobs_echo_over_tls_and_polite_clients_get_every_answer():
    manager = listening()
    job = Job()
    pingpong = job.pingpong()
    job.add_oneshot_task(manager.accept_task)
    job.add_task(manager.read_task(pingpong))
    job.add_task(manager.write_task(pingpong))
    job.run()
    connecting = gevent.spawn(connector(manager).connect)
    client = connecting.get()
    for number in range(10):
        client.write_frame(b"%d" % number)
    client.shutdown_write()
    assert [client.recv_frame() for _ in range(11)] == [b"%d" % n for n in range(10)] + [None]
    job.join()
    assert job.state is JobState.DONE
    client.close()
    assert manager.counts == {(Direction.INBOUND, StreamState.CLOSED): 1}
    assert (manager.bytes_in, manager.bytes_out) == (170, 170)
    manager.close()


@pytest.mark.parametrize("whole", [True, False])
def test_a_relay_passes_ends_on_from_tls_to_tcp_and_what_is_cut_short_as_a_reset(whole):
    with secure_pair() as (client, left), tcp_pair() as (near, far):
        job = Job()
        relay(job, left, Stream(near))
        job.run()
        client.write_raw(b"half of it")
        assert far.recv(100) == b"half of it"
        if whole:
            client.shutdown_write()
            assert far.recv(100) == b""
            far.close()
            assert client.recv_raw() == b""
        else:
            client._socket.raw.shutdown(socket.SHUT_WR)
            with pytest.raises(ConnectionResetError):
                far.recv(100)
        job.join()
        assert job.state is (JobState.DONE if whole else JobState.CANCELLED)
