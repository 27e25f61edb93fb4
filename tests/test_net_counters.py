"""Counters: whoever is killed at whatever moment, and whatever the network does, they are exact."""

from __future__ import annotations

import gevent
import pytest
from connections import read_all, tcp_pair
from gevent import socket
from hypothesis import given, settings
from hypothesis import strategies as st

from gowork import Job
from gowork.net.frames import FrameError
from gowork.net.managers import ConnManager
from gowork.net.relays import relay
from gowork.net.streams import Stream, StreamClosed
from gowork.testing import simulate
from gowork.testing.faults import bandwidth, corrupt, cut, latency, reset, slicer, stall
from gowork.testing.networks import Network

MUCH = 20_000

fault = st.one_of(
    st.builds(latency, st.sampled_from([0, 1, 3])),
    st.builds(slicer, st.integers(1, 20)),
    st.builds(bandwidth, st.sampled_from([7, 1000])),
    st.builds(stall, st.integers(0, 60), seconds=st.sampled_from([0, 2])),
    st.builds(cut, st.integers(0, 90)),
    st.builds(reset, st.integers(0, 90)),
    st.builds(corrupt, st.integers(10, 90)),
)
faults = st.lists(fault, max_size=3)
messages = st.lists(st.binary(max_size=30), max_size=5)
moment = st.floats(0, 12)
seeds = st.integers(0, 3)


def quietly(function, *args):
    try:
        return function(*args)
    except (OSError, StreamClosed, FrameError) as error:
        return error


def all_frames(stream, seen):
    while (message := stream.recv_frame()) is not None:
        seen.append(message)


def written(stream, sent):
    for message in sent:
        stream.write_frame(message)
    stream.shutdown_write()


@settings(max_examples=150)
@given(faults, messages, seeds)
def test_frames_over_any_network_come_in_order_and_end_only_when_all_have_come(faults, sent, seed):
    def program():
        with Network(*faults, seed=seed) as network:
            near, far = map(Stream, network.pair())
            seen = []
            writing = gevent.spawn(quietly, written, near, sent)
            error = quietly(all_frames, far, seen)
            far.abort()
            writing.get()
            near.abort()
            assert near.bytes_out >= far.bytes_in
            return seen, error

    seen, error = simulate(program, seed=seed).value
    names = {fault.name for fault in faults}
    if "corrupt" not in names:
        assert seen == sent[: len(seen)]
        assert len(seen) == len(sent) or error is not None or "cut" in names
    if not names & {"corrupt", "cut", "reset"}:
        assert (seen, error) == (sent, None)


def total(stream, sizes):
    while data := stream.recv_raw():
        sizes.append(len(data))


coarse = st.lists(
    st.one_of(
        st.builds(latency, st.sampled_from([0, 1, 3])),
        st.builds(slicer, st.integers(500, 5000)),
        st.builds(bandwidth, st.sampled_from([2000, 5000])),
        st.builds(cut, st.integers(0, MUCH)),
        st.builds(reset, st.integers(0, MUCH)),
    ),
    max_size=3,
)


@settings(max_examples=60)
@given(coarse, moment, moment, seeds)
def test_what_was_counted_is_what_was_seen_whoever_is_killed_whenever(
    faults, writer_killed, reader_killed, seed
):
    def program():
        with Network(*faults, seed=seed) as network:
            a, b = network.pair()
            a.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)  # so that writing takes a while
            near, far, sizes = Stream(a), Stream(b), []
            writer = gevent.spawn(quietly, near.write_raw, bytes(MUCH))
            reader = gevent.spawn(quietly, total, far, sizes)
            gevent.spawn_later(writer_killed, writer.kill)
            gevent.spawn_later(reader_killed, reader.kill)
            gevent.joinall([writer, reader], timeout=1000)
            assert far.bytes_in == sum(sizes)
            assert near.bytes_out >= far.bytes_in
            near.abort()
            far.abort()

    simulate(program, seed=seed)


@settings(max_examples=40)
@given(st.floats(0, 5), st.integers(5, 20), seeds)
def test_a_relay_stopped_at_any_moment_has_sent_all_that_it_has_counted(moment, piece, seed):
    def program():
        with Network(slicer(piece), bandwidth(20), seed=seed) as network:
            (client, left), (right, server) = network.pair(), network.pair()
            job, streams = Job(), (Stream(left), Stream(right))
            relay(job, *streams)
            with client, left, right, server:
                job.run()
                client.sendall(bytes(100))
                receiving = gevent.spawn(read_all, server)
                gevent.sleep(moment)
                job.cancel()
                job.join()
                for stream in streams:  # which the relay leaves to us if it has not begun
                    stream.close()
                assert streams[1].bytes_out == len(receiving.get())
                # What came while it was being stopped is dropped, and the peers are reset.
                assert 0 <= streams[0].bytes_in - streams[1].bytes_out <= piece

    simulate(program, seed=seed)


@pytest.mark.parametrize("size", [1, 1000, 5_000_000])
def test_a_manager_keeps_what_its_streams_have_counted_when_they_are_gone(size):
    manager = ConnManager(("127.0.0.1", 0))
    manager.listen()
    connector = ConnManager(manager.address)
    for _ in range(3):
        near, far = connector.connect(), manager.accept()
        reading = gevent.spawn(total, far, [])
        near.write_raw(bytes(size))
        near.close()
        reading.get()
        far.close()
    assert connector.bytes_out == manager.bytes_in == 3 * size
    assert connector.bytes_in == manager.bytes_out == 0
    manager.close()


@pytest.mark.parametrize("moment", range(0, 40, 3))
def test_over_a_real_socket_the_peer_gets_what_a_killed_writer_has_counted(moment):
    with tcp_pair() as (near, far):
        stream, sizes = Stream(near), []
        writer = gevent.spawn(stream.write_raw, bytes(20_000_000))
        reader = gevent.spawn(total, Stream(far), sizes)
        for _ in range(moment):
            gevent.sleep(0)
        writer.kill()
        near.shutdown(1)  # and not as a broken stream does, whose reset would lose some
        reader.get()
        assert stream.bytes_out == sum(sizes)
        stream.close()
