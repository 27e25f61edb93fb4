"""What a proxy, a pool and a manager have got wrong before, each as it happened to somebody."""

from __future__ import annotations

import gevent
import pytest
from connections import client_of, read_all, stream_and_peer

from gowork import IdleTimeout, Job, JobState, NotAcknowledged, PingPong
from gowork.net.managers import ConnManager, Direction
from gowork.net.relays import relay
from gowork.net.streams import Stream, StreamClosed, StreamState, read_task, write_task

INBOUND, OUTBOUND = Direction.INBOUND, Direction.OUTBOUND
CLOSED = StreamState.CLOSED


@pytest.fixture
def front():
    yield from listening()


@pytest.fixture
def back():
    yield from listening()


def listening():
    manager = ConnManager(("127.0.0.1", 0))
    manager.listen()
    yield manager
    manager.close()


def proxied(front, upstream):
    """The job of the next client: a relay to an upstream connection of its own."""

    def joining(job):
        relay(job, job.value, upstream.connect(), idle_timeout=10)

    job = Job()
    job.add_oneshot_task(front.accept_task)
    job.spawn(joining, job)
    job.run()
    return job


def test_a_client_that_leaves_before_its_reply_leaves_it_to_nobody_else(front, back):
    upstream = ConnManager(back.address)
    first_job, first = proxied(front, upstream), client_of(front)
    first.sendall(b"a secret")
    first_server = back.accept()
    assert first_server.recv_raw() == b"a secret"
    Stream(first).abort()
    first_job.join()
    second_job, second = proxied(front, upstream), client_of(front)
    second.sendall(b"hello")
    second_server = back.accept()
    with pytest.raises(ConnectionError):
        first_server.recv_raw()
    first_server.close()
    second_server.write_raw(b"reply to " + second_server.recv_raw())
    second_server.close()
    assert read_all(second) == b"reply to hello"
    second.close()
    second_job.join()
    second_job.check()


def test_overlapping_clients_have_a_connection_each_and_none_is_kept(front, back):
    upstream = ConnManager(back.address)
    for _ in range(10):
        jobs = [proxied(front, upstream) for _ in range(2)]
        clients = [client_of(front) for _ in jobs]
        servers = [back.accept() for _ in jobs]
        for each in clients + servers:
            each.close()
        for job in jobs:
            job.join()
            job.check()
    assert front.counts == {(INBOUND, CLOSED): 20}
    assert upstream.counts == {(OUTBOUND, CLOSED): 20}


def test_connects_at_the_same_time_give_streams_of_their_own(back):
    upstream = ConnManager(back.address)
    connecting = [gevent.spawn(upstream.connect) for _ in range(20)]
    gevent.joinall(connecting, raise_error=True)
    streams = [each.value for each in connecting]
    assert len({stream._socket.raw.getsockname() for stream in streams}) == 20
    for each in [*streams, *(back.accept() for _ in streams)]:
        each.close()


def test_a_hundred_clients_whose_upstream_is_dead_end_each_with_that_error_alone(front, back):
    upstream = ConnManager(back.address)
    back.close()
    for _ in range(100):
        job, client = proxied(front, upstream), client_of(front)
        assert read_all(client) == b""
        client.close()
        job.join()
        assert [type(error) for error in job.errors] == [ConnectionRefusedError]
    assert front.counts == {(INBOUND, CLOSED): 100}
    assert (upstream.counts, upstream.errors) == ({}, 100)


def test_a_hundred_rejected_clients_leave_nothing_and_disturb_no_job():
    manager = ConnManager(("127.0.0.1", 0), inbound_limit=0)
    job = Job()
    job.add_oneshot_task(manager.accept_task)
    job.run()
    for _ in range(100):
        with client_of(manager) as client:
            assert read_all(client) == b""
    assert (manager.rejected, job.state) == (100, JobState.ONESHOT_RUNNING)
    assert manager.counts == {}
    job.cancel()
    job.join()
    manager.close()


def test_what_has_been_received_is_the_receivers_own():
    with stream_and_peer() as (stream, peer):
        peer.sendall(b"first")
        first = stream.recv_raw()
        peer.sendall(b"SECOND")
        assert stream.recv_raw() == b"SECOND"
        assert first == b"first"


def test_a_task_blocked_in_a_write_idles_out():
    with stream_and_peer() as (stream, _):
        job, pingpong = Job(), PingPong()
        job.add_task(write_task(pingpong, stream, raw=True), idle_timeout=0.05)
        job.run()
        with pytest.raises(NotAcknowledged):
            pingpong.send(bytes(20_000_000))
        job.join()
        assert isinstance(job.interrupted_by.error, IdleTimeout)


def test_a_sender_whose_stream_is_gone_is_told_and_does_not_wait_for_ever():
    with stream_and_peer() as (stream, _):
        stream.close()
        with pytest.raises(StreamClosed):
            stream.write_raw(b"x")


def test_closing_twice_releases_whoever_waits_each_time():
    for _ in range(2):
        with stream_and_peer() as (stream, _):
            job = Job()
            job.add_task(read_task(job.pingpong(), stream))
            job.run()
            gevent.sleep(0)
            stream.close()
            stream.close()
            job.join()
            assert isinstance(job.interrupted_by.error, StreamClosed)


def test_bytes_can_be_framed_and_none_is_neither_a_message_nor_an_end():
    with stream_and_peer() as (stream, peer):
        stream.write_frame(b"bytes")
        with pytest.raises(TypeError):
            stream.write_frame(None)
        stream.write_frame(b"")
        other = Stream(peer)
        stream.close()
        assert [other.recv_frame() for _ in range(3)] == [b"bytes", b"", None]
