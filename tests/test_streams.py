"""Streams: what is written arrives, what is cut short is never taken for an end."""

from __future__ import annotations

import gevent
import pytest
from connections import read_all, stream_and_peer
from gevent import socket
from zope.interface.verify import verifyClass, verifyObject

from gowork import Cancelled, IdleTimeout, Job, JobState, PingPong, StateError, TaskState
from gowork.interfaces import IStream
from gowork.net.buffers import scratch
from gowork.net.frames import (
    BadMagic,
    BytesCodec,
    FrameTooLarge,
    TruncatedFrame,
    encode_frame,
)
from gowork.net.streams import Stream, StreamClosed, StreamState, read_task, write_task

MUCH = 20_000_000  # more than the buffers of two sockets hold


def framed(payload):
    return b"".join(encode_frame([payload]))


def begun(function, *args):
    """A greenlet that has run until it blocks."""
    greenlet = gevent.spawn(function, *args)
    gevent.sleep(0)
    return greenlet


@pytest.fixture
def pair():
    with stream_and_peer() as both:
        yield both


@pytest.fixture
def stream(pair):
    return pair[0]


@pytest.fixture
def peer(pair):
    return pair[1]


def test_a_stream_keeps_its_promise(stream):
    assert verifyClass(IStream, Stream)
    assert verifyObject(IStream, stream)


# Reading


def test_raw_bytes_come_as_they_are_and_then_the_end_again_and_again(stream, peer):
    peer.sendall(b"hello")
    peer.close()
    assert stream.recv_raw() == b"hello"
    assert stream.recv_raw() == b""
    assert stream.recv_raw() == b""
    assert stream.state is StreamState.READ_ENDED


def test_frames_come_as_messages_and_then_none_again_and_again(stream, peer):
    peer.sendall(framed(b"one") + framed(b"") + framed(b"three"))
    peer.close()
    assert [stream.recv_frame() for _ in range(5)] == [b"one", b"", b"three", None, None]


def test_an_end_inside_a_frame_is_an_error(stream, peer):
    peer.sendall(framed(b"whole") + framed(b"cut short")[:-1])
    peer.close()
    assert stream.recv_frame() == b"whole"
    with pytest.raises(TruncatedFrame):
        stream.recv_frame()


def test_good_frames_before_garbage_come_out_and_then_the_error_without_waiting(stream, peer):
    peer.sendall(framed(b"good") + b"garbage")
    assert stream.recv_frame() == b"good"
    for _ in range(2):
        with pytest.raises(BadMagic):
            stream.recv_frame()


def test_a_stream_that_received_garbage_can_still_send_a_last_word(stream, peer):
    peer.sendall(b"garbage")
    with pytest.raises(BadMagic):
        stream.recv_frame()
    stream.write_frame(b"what?")
    stream.close()
    assert peer.recv(100) == framed(b"what?")


def test_raw_reading_is_refused_where_it_would_leave_out_bytes(stream, peer):
    peer.sendall(framed(b"one") + framed(b"two"))
    assert stream.recv_frame() == b"one"
    with pytest.raises(StateError, match="recv_frame"):
        stream.recv_raw()
    assert stream.recv_frame() == b"two"


def test_a_read_takes_at_most_the_read_buffer():
    with stream_and_peer(read_buffer=3) as (stream, peer):
        peer.sendall(b"hello")
        assert stream.recv_raw() == b"hel"


def test_a_killed_reader_loses_nothing(stream, peer):
    peer.sendall(framed(b"hello")[:10])
    reader = begun(stream.recv_frame)
    reader.kill()
    peer.sendall(framed(b"hello")[10:])
    assert stream.recv_frame() == b"hello"


def test_a_reader_with_a_fast_peer_gives_way_to_others(stream, peer):
    peer.sendall(b"x" * 100)
    others = begun(gevent.sleep, 0)
    stream.recv_raw()
    assert others.ready()


# Writing


def test_frames_and_bytes_are_written_in_order(stream, peer):
    stream.write_frame(b"hello")
    stream.write_raw(bytearray(b"raw"))
    stream.write_raw(b"")
    stream.close()
    assert read_all(peer) == framed(b"hello") + b"raw"


def test_a_write_returns_when_everything_has_been_taken(stream, peer):
    writer = begun(stream.write_raw, bytes(MUCH))
    assert not writer.ready()
    received = 0
    while received < MUCH:
        received += len(peer.recv(65536))
    writer.get()
    assert stream.bytes_out == MUCH


def test_two_writers_never_interleave(stream, peer):
    writers = [begun(stream.write_raw, letter * MUCH) for letter in (b"a", b"b")]
    reader = gevent.spawn(read_all, peer)
    gevent.joinall(writers, raise_error=True)
    stream.close()
    assert reader.get() == b"a" * MUCH + b"b" * MUCH


def test_a_message_of_thousands_of_buffers_arrives_whole():
    class Shredder(BytesCodec):
        def encode(self, message):
            return [message[at : at + 1] for at in range(len(message))]

    with stream_and_peer(codec=Shredder()) as (stream, peer):
        stream.write_frame(b"abc" * 1000)
        stream.close()
        assert read_all(peer) == framed(b"abc" * 1000)


def test_a_message_too_large_is_refused_and_nothing_is_written():
    with stream_and_peer(max_frame=4) as (stream, peer):
        with pytest.raises(FrameTooLarge):
            stream.write_frame(b"12345")
        stream.write_frame(b"1234")
        stream.close()
        assert read_all(peer) == framed(b"1234")


def test_bytes_are_counted_before_anybody_can_see_them(stream, peer):
    counted = []

    def watch():
        total = 0
        while chunk := peer.recv(65536):
            total += len(chunk)
            counted.append(stream.bytes_out >= total)

    watcher = begun(watch)
    stream.write_raw(bytes(MUCH))
    stream.close()
    watcher.get()
    assert all(counted)


def test_received_bytes_are_counted(stream, peer):
    peer.sendall(framed(b"hello"))
    stream.recv_frame()
    assert (stream.bytes_in, stream.bytes_out) == (21, 0)


def test_writing_without_waiting_takes_what_there_is_room_for_and_no_more(stream, peer):
    taken = stream.write_nowait(bytes(MUCH))
    assert 0 < taken < MUCH
    assert stream.write_nowait(b"more") == 0
    assert stream.bytes_out == taken
    stream.close()
    assert len(read_all(peer)) == taken


def test_writing_without_waiting_takes_nothing_in_the_midst_of_another_write(stream, peer):
    writer = begun(stream.write_raw, b"a" * MUCH)
    for _ in range(20):  # so that there is room
        peer.recv(100_000)
    assert stream.write_nowait(b"b") == 0
    reader = gevent.spawn(read_all, peer)
    writer.get()
    stream.close()
    assert set(reader.get()) == set(b"a")


def test_writing_without_waiting_is_refused_and_breaks_as_writing_is(stream, peer):
    Stream(peer).abort()
    socket.wait_read(stream._socket.raw.fileno())
    with pytest.raises(ConnectionResetError):
        stream.write_nowait(b"x")
    assert stream.state is StreamState.BROKEN
    with pytest.raises(StreamClosed):
        stream.write_nowait(b"x")


def test_streams_share_one_buffer_and_never_each_others_bytes():
    with stream_and_peer() as (first, one), stream_and_peer() as (second, two):
        readers = [begun(stream.recv_raw) for stream in (first, second)]
        one.sendall(b"a" * 1000)
        two.sendall(b"b" * 1000)
        assert [reader.get() for reader in readers] == [b"a" * 1000, b"b" * 1000]
    assert scratch(10).obj is scratch(20).obj


def test_a_thread_has_a_buffer_of_its_own():
    here, there = scratch(10), gevent.get_hub().threadpool.apply(scratch, (10,))
    assert here.obj is not there.obj


def test_a_read_may_take_more_than_the_usual_buffer_holds():
    with stream_and_peer(read_buffer=1_000_000) as (stream, peer):
        sending = gevent.spawn(peer.sendall, bytes(500_000))
        sizes = []
        while sum(sizes) < 500_000:
            gevent.sleep(0.001)  # for more to come
            sizes.append(len(stream.recv_raw()))
        assert max(sizes) > 65536
        sending.get()


# What is cut short


def test_a_write_killed_half_way_breaks_the_stream(stream):
    writer = begun(stream.write_raw, bytes(MUCH))
    writer.kill()
    assert stream.state is StreamState.BROKEN
    assert isinstance(stream.error, gevent.GreenletExit)
    for refused in (lambda: stream.write_raw(b"more"), stream.shutdown_write):
        with pytest.raises(StreamClosed):
            refused()


def test_closing_a_broken_stream_is_no_end_for_the_peer_but_an_error(stream, peer):
    begun(stream.write_raw, bytes(MUCH)).kill()
    stream.close()
    with pytest.raises(ConnectionResetError):
        read_all(peer)


def test_a_stream_closed_while_a_write_is_half_way_is_no_end_for_the_peer(stream, peer):
    def write():
        with pytest.raises(StreamClosed):
            stream.write_raw(bytes(MUCH))

    writer = begun(write)
    stream.close()
    writer.get()
    with pytest.raises(ConnectionResetError):
        read_all(peer)


def test_a_broken_stream_can_still_be_read(stream, peer):
    begun(stream.write_raw, bytes(MUCH)).kill()
    peer.sendall(b"too large")
    assert stream.recv_raw() == b"too large"


def test_a_writer_killed_before_its_turn_breaks_nothing(stream, peer):
    first = begun(stream.write_raw, b"a" * MUCH)
    begun(stream.write_raw, b"b" * MUCH).kill()
    reader = gevent.spawn(read_all, peer)
    first.get()
    stream.close()
    assert reader.get() == b"a" * MUCH


def test_a_writer_killed_before_its_first_byte_breaks_nothing(stream):
    stream._socket.raw.settimeout(0)
    with pytest.raises(BlockingIOError):
        while True:
            stream._socket.raw.send(bytes(65536))
    stream._socket.raw.settimeout(None)
    writer = begun(stream.write_raw, b"more")
    assert not writer.ready()
    writer.kill()
    assert stream.state is StreamState.OPEN


def test_the_peers_reset_breaks_the_stream(stream, peer):
    Stream(peer).abort()
    with pytest.raises(ConnectionResetError) as caught:
        stream.recv_raw()
    assert stream.state is StreamState.BROKEN
    assert stream.error is caught.value
    assert not stream.is_connected


def test_a_timeout_of_the_callers_own_breaks_nothing_though_it_be_an_oserror(stream, peer):
    mine = TimeoutError("mine")
    with pytest.raises(TimeoutError) as caught, gevent.Timeout(0.001, mine):
        stream.recv_raw()
    assert caught.value is mine
    peer.sendall(b"late")
    assert stream.recv_raw() == b"late"


# The ends


def test_after_the_end_of_writing_the_peer_can_still_answer(stream, peer):
    stream.write_raw(b"question")
    stream.shutdown_write()
    assert stream.state is StreamState.WRITE_ENDED
    assert read_all(peer) == b"question"
    peer.sendall(b"answer")
    peer.close()
    assert stream.recv_raw() + stream.recv_raw() == b"answer"
    assert stream.state is StreamState.ENDED


def test_what_has_ended_is_not_written_to(stream):
    stream.shutdown_write()
    for refused in (lambda: stream.write_raw(b"more"), stream.shutdown_write):
        with pytest.raises(StreamClosed, match="WRITE_ENDED"):
            refused()


def test_the_end_of_writing_waits_for_the_writers(stream, peer):
    writer = begun(stream.write_raw, bytes(MUCH))
    ender = begun(stream.shutdown_write)
    assert len(read_all(peer)) == MUCH
    gevent.joinall([writer, ender], raise_error=True)


@pytest.mark.parametrize("blocking", ["recv_raw", "recv_frame", "write_raw"])
def test_closing_wakes_who_waits_in_the_stream(stream, blocking):
    def wait():
        with pytest.raises(StreamClosed):
            getattr(stream, blocking)(*[bytes(MUCH)] * (blocking == "write_raw"))

    waiting = begun(wait)
    assert not waiting.ready()
    stream.close()
    waiting.get()


@pytest.mark.parametrize("call", ["recv_raw", "recv_frame", "shutdown_write"])
def test_a_closed_stream_refuses(stream, call):
    stream.close()
    with pytest.raises(StreamClosed, match="CLOSED"):
        getattr(stream, call)()


def test_closing_is_told_once_and_may_be_repeated():
    told = []
    with stream_and_peer(on_close=told.append) as (stream, _):
        stream.close()
        stream.abort()
        assert told == [stream]
        assert stream.state is StreamState.CLOSED


@pytest.mark.parametrize("options", [{"read_buffer": 0}, {"read_buffer": -1}, {"max_frame": -1}])
def test_senseless_numbers_are_refused(peer, options):
    with pytest.raises(ValueError, match="must"):
        Stream(peer, **options)


# Whether it is connected


def test_an_open_stream_is_connected_with_and_without_data_to_read(stream, peer):
    assert stream.is_connected
    peer.sendall(b"x")
    assert stream.is_connected
    assert stream.recv_raw() == b"x"


def test_a_stream_whose_peer_has_closed_is_not_connected_though_nobody_has_read(stream, peer):
    peer.close()
    socket.wait_read(stream._socket.raw.fileno())
    assert not stream.is_connected
    assert stream.state is StreamState.OPEN


def test_asking_does_not_disturb_a_reader(stream, peer):
    reader = begun(stream.recv_raw)
    assert stream.is_connected
    peer.sendall(b"x")
    assert reader.get() == b"x"


def test_a_closed_stream_is_not_connected(stream):
    stream.close()
    assert not stream.is_connected


# Tasks


def echo_job(stream, *, raw):
    job = Job(stream)
    pingpong = job.pingpong()
    job.add_task(read_task(pingpong, raw=raw))
    job.add_task(write_task(pingpong, raw=raw))
    return job


@pytest.mark.parametrize("raw", [False, True])
def test_a_polite_peer_gets_every_answer_and_the_job_is_done(stream, peer, raw):
    job = echo_job(stream, raw=raw)
    job.run()
    peer.sendall(framed(b"one") + framed(b"two"))
    peer.shutdown(socket.SHUT_WR)
    assert read_all(peer) == framed(b"one") + framed(b"two")
    assert job.join()
    assert job.state is JobState.DONE
    assert stream.state is StreamState.CLOSED


def test_the_next_read_begins_when_the_data_has_been_acknowledged(stream, peer):
    pingpong = PingPong()
    with Job() as job:
        job.add_task(read_task(pingpong, stream))
        job.run()
        peer.sendall(framed(b"one"))
        with pingpong.recv() as data:
            assert data == b"one"
            peer.sendall(framed(b"two"))
            gevent.sleep(0.01)
            assert stream.bytes_in == len(framed(b"one"))
        with pingpong.recv() as data:
            assert data == b"two"
        peer.close()


def test_data_is_acknowledged_when_it_has_been_written(stream, peer):
    pingpong = PingPong()
    with Job() as job:
        job.add_task(write_task(pingpong, stream))
        job.run()
        pingpong.send(b"hello")
        assert stream.bytes_out == len(framed(b"hello"))
        pingpong.close()
    assert read_all(peer) == framed(b"hello")


def test_closing_the_pingpong_ends_writing_and_reading_goes_on(stream, peer):
    inbox, outbox = PingPong(), PingPong()
    with Job() as job:
        job.add_task(read_task(inbox, stream, raw=True))
        job.add_task(write_task(outbox, stream, raw=True))
        job.run()
        outbox.send(b"question")
        outbox.close()
        assert read_all(peer) == b"question"
        peer.sendall(b"answer")
        with inbox.recv() as data:
            assert data == b"answer"
        peer.close()


def test_the_peers_reset_cancels_the_job(stream, peer):
    job = echo_job(stream, raw=True)
    job.run()
    Stream(peer).abort()
    job.join()
    task, error = job.interrupted_by
    assert task is job.tasks[0]
    assert isinstance(error, ConnectionResetError)
    assert stream.state is StreamState.CLOSED


def test_a_task_blocked_in_a_read_idles_out(stream, peer):
    job = Job(stream)
    job.add_task(read_task(job.pingpong()), idle_timeout=0.01)
    job.run().wait()
    assert isinstance(job.interrupted_by.error, IdleTimeout)
    assert read_all(peer) == b""


def test_a_job_without_a_stream_says_so_and_its_finalizers_run():
    job = Job("no stream")
    job.add_task(read_task(job.pingpong()))
    job.run().wait()
    assert isinstance(job.interrupted_by.error, TypeError)
    assert "no stream" in str(job.interrupted_by.error)
    assert len(job.errors) == 1


@pytest.mark.parametrize("call", ["recv_raw", "recv_frame", "shutdown_write", "write_raw"])
def test_a_task_that_swallowed_its_cancel_meets_it_again_in_the_stream(stream, peer, call):
    met = []

    def stubborn():
        try:
            gevent.sleep(60)
        except Cancelled:
            pass
        try:
            getattr(stream, call)(*[b"x"] * (call == "write_raw"))
        except Cancelled:
            met.append(call)
            raise

    job = Job()
    task = job.spawn(stubborn)
    job.run()
    gevent.sleep(0)
    job.cancel()
    job.join()
    assert met == [call]
    assert task.state is TaskState.CANCELLED
