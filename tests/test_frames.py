"""Frames: what is complete comes out, what is bad is refused, nothing is lost or held back."""

from __future__ import annotations

import random
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st
from zope.interface.verify import verifyClass, verifyObject

from gowork.errors import GoworkError
from gowork.interfaces import ICodec
from gowork.net.frames import (
    HEADER_SIZE,
    MAGIC,
    BadMagic,
    BytesCodec,
    FrameError,
    FrameReceiver,
    FrameTooLarge,
    TruncatedFrame,
    encode_frame,
)


def framed(*payloads):
    return b"".join(b"".join(encode_frame([payload])) for payload in payloads)


def claiming(size):
    return MAGIC + size.to_bytes(8, "big")


# What comes out


def test_a_frame_is_magic_big_endian_length_and_payload():
    assert framed(b"hello") == bytes.fromhex("aade07a60257c2d0 0000000000000005") + b"hello"


def test_encoding_does_not_join_or_copy_the_buffers():
    parts = [b"head", bytearray(b"body")]
    _, first, second = encode_frame(parts)
    assert first is parts[0]
    assert second is parts[1]


def test_the_length_counts_bytes_not_items():
    header, _ = encode_frame([memoryview(bytes(16)).cast("Q")])
    assert header == claiming(16)


def test_several_frames_in_one_chunk_come_out_in_order():
    assert FrameReceiver().feed(framed(b"a", b"", b"ccc")) == [b"a", b"", b"ccc"]


def test_a_frame_may_come_one_byte_at_a_time():
    receiver = FrameReceiver()
    data = framed(b"hello")
    for byte in data[:-1]:
        assert receiver.feed(bytes([byte])) == []
    assert receiver.feed(data[-1:]) == [b"hello"]


def test_an_empty_frame_comes_out_without_waiting_for_another_byte():
    assert FrameReceiver().feed(framed(b"")) == [b""]


def test_a_payload_is_in_memory_of_its_own_and_read_only():
    data = bytearray(framed(b"hello"))
    [payload] = FrameReceiver().feed(data)
    data[:] = bytes(len(data))
    assert payload == b"hello"
    assert payload.readonly


@given(st.lists(st.binary(max_size=300), max_size=8), st.randoms(use_true_random=False))
def test_frames_cut_anywhere_come_out_whole(payloads, rng):
    receiver, data, found = FrameReceiver(), framed(*payloads), []
    while data:
        cut = rng.randint(1, 150)
        found += receiver.feed(data[:cut])
        data = data[cut:]
    receiver.feed_eof()
    assert found == payloads


def test_one_receiver_serves_many_rounds_of_large_payloads():
    rng, receiver = random.Random(4), FrameReceiver()
    for _ in range(50):
        payloads = [rng.randbytes(rng.randint(1500, 65536)) for _ in range(4)]
        data, found = framed(*payloads), []
        while data:
            cut = rng.randint(1, 1500)
            found += receiver.feed(data[:cut])
            data = data[cut:]
        assert found == payloads
        assert receiver.pending == 0


def test_a_hundred_thousand_small_frames_in_one_chunk_take_linear_time(monkeypatch):
    moved = []
    fill = FrameReceiver._fill
    monkeypatch.setattr(
        FrameReceiver,
        "_fill",
        staticmethod(lambda *args: moved.append(fill(*args)) or moved[-1]),
    )
    data = framed(b"x") * 100_000
    assert len(FrameReceiver().feed(data)) == 100_000
    assert sum(moved) == len(data)  # every byte is moved once
    assert len(moved) <= 200_001


# What is refused


@pytest.mark.parametrize("garbage", [b"G", b"GET / HTTP/1.1\r\n", MAGIC[:7] + b"!", b"\0" * 40])
def test_garbage_is_refused_as_soon_as_it_differs(garbage):
    with pytest.raises(BadMagic) as caught:
        FrameReceiver().feed(garbage)
    assert caught.value.found == garbage[:8]


def test_good_frames_before_a_bad_one_come_out_and_then_the_error():
    receiver = FrameReceiver()
    assert receiver.feed(framed(b"a", b"b") + b"garbage") == [b"a", b"b"]
    with pytest.raises(BadMagic):
        receiver.feed(b"")


def test_a_receiver_that_has_failed_stays_failed():
    receiver = FrameReceiver()
    with pytest.raises(BadMagic) as first:
        receiver.feed(b"garbage")
    with pytest.raises(BadMagic) as second:
        receiver.feed(framed(b"good"))
    assert second.value is first.value
    with pytest.raises(BadMagic):
        receiver.feed_eof()


@pytest.mark.parametrize("size", [11, 2**40, 2**63, 2**64 - 1])
def test_a_claim_above_the_limit_is_refused_on_the_header(size):
    with pytest.raises(FrameTooLarge) as caught:
        FrameReceiver(max_frame=10).feed(claiming(size))
    assert (caught.value.size, caught.value.limit) == (size, 10)


def test_a_frame_of_exactly_the_limit_passes():
    assert FrameReceiver(max_frame=5).feed(framed(b"12345")) == [b"12345"]


def test_memory_grows_with_what_arrives_not_with_what_is_claimed():
    receiver = FrameReceiver(max_frame=2**40)
    tracemalloc.start()
    try:
        receiver.feed(claiming(2**40) + b"x")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 100_000


def test_a_frame_too_large_to_be_received_is_not_encoded():
    with pytest.raises(FrameTooLarge):
        encode_frame([b"123", b"456"], max_frame=5)


def test_a_negative_limit_is_refused():
    with pytest.raises(ValueError, match="negative"):
        FrameReceiver(max_frame=-1)


def test_every_refusal_is_a_frame_error_and_says_what_it_saw():
    for error, words in [
        (BadMagic(b"GET"), "47 45 54"),
        (FrameTooLarge(11, 10), "11 bytes"),
        (TruncatedFrame(3), "first 3 bytes"),
    ]:
        assert isinstance(error, FrameError)
        assert isinstance(error, GoworkError)
        assert words in str(error)


# The end, and what is pending


@pytest.mark.parametrize("held", [1, 8, HEADER_SIZE, HEADER_SIZE + 2])
def test_an_end_inside_a_frame_is_an_error(held):
    receiver = FrameReceiver()
    receiver.feed(framed(b"hello")[:held])
    with pytest.raises(TruncatedFrame) as caught:
        receiver.feed_eof()
    assert caught.value.pending == held


def test_an_end_between_frames_is_none():
    receiver = FrameReceiver()
    receiver.feed_eof()
    receiver.feed(framed(b"hello"))
    receiver.feed_eof()


def test_pending_counts_exactly_the_bytes_of_the_incomplete_frame():
    receiver = FrameReceiver()
    receiver.feed(framed(b"whole") + framed(b"hello")[:3])
    assert receiver.pending == 3
    receiver.feed(framed(b"hello")[3 : HEADER_SIZE + 2])
    assert receiver.pending == HEADER_SIZE + 2
    receiver.feed(b"llo")
    assert receiver.pending == 0


def test_flush_gives_the_pending_bytes_as_they_came_and_begins_anew():
    receiver = FrameReceiver()
    held = framed(b"hello")[: HEADER_SIZE + 2]
    receiver.feed(held)
    assert receiver.flush() == held
    assert receiver.pending == 0
    assert receiver.feed(framed(b"next")) == [b"next"]


def test_flush_of_a_failed_receiver_shows_what_it_met():
    receiver = FrameReceiver()
    assert receiver.feed(framed(b"good") + b"GET / HTTP/1.1\r\n\r\n") == [b"good"]
    assert receiver.flush() == b"GET / HTTP/1.1\r\n\r\n"


# The default codec


def test_the_bytes_codec_keeps_its_promise():
    assert verifyClass(ICodec, BytesCodec)
    assert verifyObject(ICodec, BytesCodec())


def test_the_bytes_codec_decodes_what_it_encoded_into_owned_bytes():
    codec = BytesCodec()
    [buffer] = codec.encode(b"hello")
    assert codec.decode(memoryview(buffer)) == b"hello"


def test_the_bytes_codec_refuses_what_is_no_bytes():
    with pytest.raises(TypeError):
        BytesCodec().encode("text")
