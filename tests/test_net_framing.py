"""Framing, fuzzed: whatever comes, and however it is cut, means what it means in one piece."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gowork.net.frames import (
    HEADER_SIZE,
    MAGIC,
    BadMagic,
    FrameError,
    FrameReceiver,
    FrameTooLarge,
    TruncatedFrame,
    encode_frame,
)

LIMIT = 50


def framed(payload):
    return b"".join(encode_frame([payload]))


def claiming(size):
    return MAGIC + size.to_bytes(8, "big")


payloads = st.lists(st.binary(max_size=LIMIT), max_size=8)
frames = payloads.map(lambda each: b"".join(map(framed, each)))
garbage = st.binary(max_size=40) | st.integers(0, 8).flatmap(
    lambda size: st.binary(max_size=20).map(lambda rest: MAGIC[:size] + rest)
)
sizes = st.one_of(
    st.integers(LIMIT - 1, LIMIT + 2), st.sampled_from([2**31, 2**32 - 1, 2**63, 2**64 - 1])
)
hostile = sizes.map(claiming)
anything = st.lists(st.one_of(frames, garbage, hostile), max_size=4).map(b"".join)
cuts = st.lists(st.integers(0, 120), max_size=12)


def meaning(data):
    """The payloads in *data*, the kind of error behind them, and where it is found."""
    found, at = [], 0
    while at < len(data):
        magic = data[at : at + len(MAGIC)]
        if not MAGIC.startswith(magic):
            return found, BadMagic
        header = data[at : at + HEADER_SIZE]
        if len(header) < HEADER_SIZE:
            return found, TruncatedFrame
        size = int.from_bytes(header[len(MAGIC) :], "big")
        if size > LIMIT:
            return found, FrameTooLarge
        at += HEADER_SIZE + size
        if at > len(data):
            return found, TruncatedFrame
        found.append(data[at - size : at])
    return found, None


def pieces(data, at):
    borders = sorted({0, len(data), *(cut for cut in at if cut < len(data))})
    return [data[begin:end] for begin, end in itertools.pairwise(borders)]


def fed(chunks):
    """What a receiver makes of *chunks* and an end, and at which of them it failed."""
    receiver, found = FrameReceiver(LIMIT), []
    try:
        for chunk in chunks:
            found += map(bytes, receiver.feed(chunk))
            assert receiver.pending < HEADER_SIZE + LIMIT or receiver._error is not None
        receiver.feed_eof()
    except FrameError as error:
        return found, type(error)
    return found, None


@given(anything, cuts)
@example(claiming(0) + claiming(LIMIT + 1), [])
@example(framed(b"x") + MAGIC[:-1] + b"!", [3])
def test_however_it_is_cut_it_means_what_it_means_in_one_piece(data, at):
    assert fed(pieces(data, at)) == meaning(data)


@given(anything)
def test_so_it_does_byte_by_byte(data):
    assert fed(bytes([byte]) for byte in data) == meaning(data)


@given(frames, st.data())
def test_an_end_is_an_error_exactly_inside_a_frame(data, draw):
    end = draw.draw(st.integers(0, len(data)))
    receiver = FrameReceiver(LIMIT)
    whole = receiver.feed(data[:end])
    inside = end - sum(HEADER_SIZE + len(payload) for payload in whole)
    assert receiver.pending == inside
    if not inside:
        receiver.feed_eof()
        return
    with pytest.raises(TruncatedFrame) as caught:
        receiver.feed_eof()
    assert caught.value.pending == inside


@given(frames, st.one_of(garbage, hostile), anything, cuts)
def test_whatever_follows_an_error_changes_nothing(before, bad, after, at):
    _, error = meaning(before + bad)
    if error not in (BadMagic, FrameTooLarge):
        return
    receiver = FrameReceiver(LIMIT)
    raised = []
    for chunk in [*pieces(before + bad, at), b"", after, b""]:
        try:
            receiver.feed(chunk)
        except FrameError as failure:
            raised.append(failure)
    assert type(raised[0]) is error
    assert all(failure is raised[0] for failure in raised)


@given(sizes.filter(lambda size: size > LIMIT), st.binary(max_size=10))
def test_a_hostile_length_is_refused_with_its_last_byte_and_nothing_is_held_for_it(size, rest):
    receiver = FrameReceiver(LIMIT)
    assert receiver.feed(claiming(size)[:-1]) == []
    with pytest.raises(FrameTooLarge) as caught:
        receiver.feed(claiming(size)[-1:] + rest)
    assert (caught.value.size, caught.value.limit) == (size, LIMIT)
    assert receiver.pending == HEADER_SIZE + len(rest)


@given(frames, st.integers(1, HEADER_SIZE + LIMIT), cuts)
def test_flush_gives_what_is_pending_and_the_next_byte_begins_anew(data, size, at):
    held = framed(bytes(LIMIT))[: size - 1]
    receiver = FrameReceiver(LIMIT)
    for chunk in pieces(data + held, at):
        receiver.feed(chunk)
    assert receiver.flush() == held
    assert receiver.pending == 0
    assert receiver.feed(framed(b"anew")) == [b"anew"]


@given(payloads, cuts)
def test_no_payload_shares_memory_with_what_came_or_with_another(sent, at):
    receiver, found = FrameReceiver(LIMIT), []
    for chunk in pieces(b"".join(map(framed, sent)), at):
        scratch = bytearray(chunk)
        found += receiver.feed(scratch)
        scratch[:] = bytes(len(scratch))
    assert found == sent
