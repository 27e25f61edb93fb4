"""Relays: every byte, every end and every error of one peer reaches the other."""

from __future__ import annotations

import hashlib
import random
import tracemalloc
from contextlib import ExitStack

import gevent
import pytest
from connections import read_all, stream_and_peer
from gevent import socket

from gowork import IdleTimeout, Job, JobState
from gowork.net.relays import relay
from gowork.net.streams import Stream, StreamState

MUCH = 20_000_000


@pytest.fixture
def ends():
    """Two streams to be joined, and the socket at the far end of each."""
    with stream_and_peer() as (left, client), stream_and_peer() as (right, server):
        yield left, right, client, server


def running(left, right, **options):
    job = Job()
    relay(job, left, right, **options)
    job.run()
    return job


def send_and_close(peer, data):
    peer.sendall(data)
    peer.close()


def reset_for(*peers):
    for peer in peers:
        with pytest.raises(ConnectionResetError):
            read_all(peer)


def test_bytes_go_both_ways_whoever_speaks_first(ends):
    left, right, client, server = ends
    job = running(left, right)
    server.sendall(b"welcome")
    assert client.recv(100) == b"welcome"
    client.sendall(b"hello")
    assert server.recv(100) == b"hello"
    for peer in (client, server):
        peer.close()
    job.join()
    assert job.state is JobState.DONE


@pytest.mark.parametrize("first", ["client", "server"])
def test_an_end_is_passed_on_and_the_way_back_stays_open(ends, first):
    left, right, client, server = ends
    asking, answering = (client, server) if first == "client" else (server, client)
    job = running(left, right)
    asking.sendall(b"question")
    asking.shutdown(socket.SHUT_WR)
    assert read_all(answering) == b"question"
    answering.sendall(b"answer")
    answering.close()
    assert read_all(asking) == b"answer"
    job.join()
    assert job.state is JobState.DONE


def test_a_peer_that_sends_much_and_closes_at_once_loses_nothing(ends):
    left, right, client, server = ends
    job = running(left, right)
    data = random.Random(1).randbytes(MUCH)

    sending = gevent.spawn(send_and_close, server, data)
    assert hashlib.sha256(read_all(client)).digest() == hashlib.sha256(data).digest()
    client.close()
    sending.get()
    job.join()
    job.check()


def test_when_both_have_ended_both_streams_are_closed_and_neither_is_used_again(ends):
    left, right, client, server = ends
    job = running(left, right)
    client.close()
    server.close()
    job.join()
    assert left.state is right.state is StreamState.CLOSED


def test_who_leaves_before_its_reply_takes_its_upstream_connection_along(ends):
    left, right, client, server = ends
    job = running(left, right)
    client.sendall(b"a secret question")
    assert server.recv(100) == b"a secret question"
    Stream(client).abort()
    job.join()
    assert right.state is StreamState.CLOSED
    with pytest.raises(ConnectionError):
        server.recv(100)


def test_what_a_slow_reader_has_not_taken_yet_still_arrives_when_the_relay_is_done(ends):
    left, right, client, server = ends
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    left._socket.raw.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1_000_000)
    job = running(left, right)
    server.sendall(bytes(200_000))
    for peer in (client, server):
        peer.shutdown(socket.SHUT_WR)
    job.join()
    assert read_all(client) == bytes(200_000)


@pytest.mark.parametrize("first", ["client", "server"])
def test_a_reset_is_passed_on_as_a_reset(ends, first):
    left, right, client, server = ends
    failing, other = (client, server) if first == "client" else (server, client)
    job = running(left, right)
    failing.sendall(b"half of it")
    assert other.recv(100) == b"half of it"
    Stream(failing).abort()
    reset_for(other)
    job.join()
    assert isinstance(job.interrupted_by.error, ConnectionResetError)


def test_a_reset_after_one_direction_has_ended_is_still_passed_on(ends):
    left, right, client, server = ends
    job = running(left, right)
    client.shutdown(socket.SHUT_WR)
    assert read_all(server) == b""
    server.sendall(b"half of it")
    assert client.recv(100) == b"half of it"
    Stream(server).abort()
    reset_for(client)
    job.join()


@pytest.mark.parametrize("stop", [Job.cancel, Job.finish])
def test_a_relay_that_is_stopped_looks_to_neither_peer_like_an_end(ends, stop):
    left, right, client, server = ends
    job = running(left, right)
    client.sendall(b"half of it")
    assert server.recv(100) == b"half of it"
    stop(job)
    job.join()
    reset_for(client, server)


def test_a_relay_can_join_a_running_job(ends):
    left, right, client, server = ends
    job = Job()
    job.spawn(lambda: relay(job, left, right))
    job.run()
    client.sendall(b"hello")
    assert server.recv(100) == b"hello"
    client.close()
    server.close()
    job.join()
    job.check()


# Idleness


def test_a_relay_without_a_byte_in_either_direction_idles_out(ends):
    left, right, client, server = ends
    job = running(left, right, idle_timeout=0.02)
    job.join()
    assert isinstance(job.interrupted_by.error, IdleTimeout)
    reset_for(client, server)


def test_bytes_in_one_direction_keep_the_other_alive(ends):
    left, right, client, server = ends
    job = running(left, right, idle_timeout=0.5)
    for _ in range(8):
        gevent.sleep(0.1)
        server.sendall(b"x")
        assert client.recv(1) == b"x"
    assert job.state is JobState.RECURRENT_RUNNING
    for peer in (client, server):
        peer.close()
    job.join()
    job.check()


def test_bytes_that_nobody_takes_are_no_activity(ends):
    left, right, client, _ = ends
    job = running(left, right, idle_timeout=0.1)

    def send():
        with pytest.raises(ConnectionError):
            client.sendall(bytes(MUCH))

    sending = gevent.spawn(send)
    job.join()
    assert isinstance(job.interrupted_by.error, IdleTimeout)
    sending.get()


def test_memory_stays_bounded_while_a_peer_does_not_read(ends):
    left, right, client, server = ends
    job = running(left, right)
    sending = gevent.spawn(client.sendall, bytes(MUCH))
    gevent.sleep(0.05)
    assert left.bytes_in - right.bytes_out <= 65536
    assert len(read_all_of(server, MUCH)) == MUCH
    sending.get()
    for peer in (client, server):
        peer.close()
    job.join()


def test_neither_streams_of_a_thread_nor_slow_readers_mix_their_bytes():
    with ExitStack() as stack:
        lines = []
        for number in range(3):
            near, far = (stack.enter_context(stream_and_peer()) for _ in range(2))
            job = running(near[0], far[0])
            data = bytes([number]) * MUCH
            sending = gevent.spawn(
                lambda peer, data: peer.sendall(data) or peer.close(), near[1], data
            )
            lines.append((job, sending, far[1], data))
        gevent.sleep(0.05)  # until every buffer on the way is full
        readers = [gevent.spawn(read_all, peer) for _, _, peer, _ in lines]
        for (job, sending, peer, data), reader in zip(lines, readers, strict=True):
            assert reader.get() == data
            peer.close()
            sending.get()
            job.join()
            job.check()


def test_fifty_megabytes_in_both_directions_need_no_more_than_four(ends):
    left, right, client, server = ends
    job = running(left, right)
    tracemalloc.start()
    try:
        piece = bytes(1_000_000)
        senders = [
            gevent.spawn(lambda peer: [peer.sendall(piece) for _ in range(50)], peer)
            for peer in (client, server)
        ]
        gevent.sleep(0.05)  # with nobody reading
        readers = [gevent.spawn(dropped, peer, 50_000_000) for peer in (client, server)]
        gevent.joinall(senders + readers, raise_error=True)
        assert tracemalloc.get_traced_memory()[1] < 4_000_000
    finally:
        tracemalloc.stop()
    job.cancel()
    job.join()


@pytest.mark.parametrize("stop", [Job.cancel, Job.finish])
def test_a_relay_stopped_while_a_peer_takes_nothing_is_gone_at_once(ends, stop):
    left, right, client, server = ends
    job = running(left, right)

    def send():
        with pytest.raises(ConnectionError):
            client.sendall(bytes(MUCH))

    sending = gevent.spawn(send)
    gevent.sleep(0.02)
    stop(job)
    assert job.join(5)
    assert left.state is right.state is StreamState.CLOSED
    reset_for(server)
    sending.get()


def test_an_end_behind_what_a_slow_reader_has_not_taken_comes_after_it(ends):
    left, right, client, server = ends
    job = running(left, right)
    sending = gevent.spawn(lambda: client.sendall(bytes(MUCH)) or client.shutdown(socket.SHUT_WR))
    gevent.sleep(0.02)
    assert not sending.ready()
    assert len(read_all(server)) == MUCH
    server.sendall(b"answer")
    server.close()
    assert read_all(client) == b"answer"
    sending.get()
    job.join()
    job.check()


def dropped(peer, size):
    while size:
        size -= len(peer.recv(min(size, 65536)))


def read_all_of(peer, size):
    received = bytearray()
    while len(received) < size:
        received += peer.recv(65536)
    return received
